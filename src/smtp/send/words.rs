//! The values that go into an outbound session and come out of it. It holds no session state.

use super::super::answer::AnswerFault;
use crate::connector::{
    Generation, Mechanism, NotCovered, Onward, Permit, Requirement, Revision, SessionId, Shortfall,
};
use crate::mail::{BodyType, Domain, Extension, MessageDsn, Reply, ReversePath};

/// How a session introduces itself and starts TLS.
#[derive(Debug, Clone)]
pub struct Hello {
    /// Our host name in EHLO.
    pub name: Domain,
    /// Whether STARTTLS is used if it is offered.
    pub starttls: bool,
    /// TLS begins with the first octet: the greeting comes inside it (RFC 8314 §3).
    pub implicit: bool,
    /// Whether HELO may follow a refused EHLO, and the session may go on where STARTTLS was refused. Without EHLO
    /// there is no STARTTLS, so never under a forced requirement.
    pub helo: bool,
    /// Extensions that are ignored even if offered.
    pub ignored: Vec<Extension>,
}

/// The credentials for a login.
#[derive(Clone, Copy)]
pub struct LoginAs<'a> {
    /// The SASL mechanism to use.
    pub mechanism: Mechanism,
    /// The user name to log in with.
    pub user: &'a str,
    /// The password or bearer token.
    pub secret: &'a str,
}

/// The message parameters of MAIL FROM.
#[derive(Debug, Clone, Copy)]
pub struct MailFrom<'a> {
    /// Where reports are sent; may be null.
    pub reverse_path: &'a ReversePath,
    /// The declared type of the content (`BODY=`).
    pub body: BodyType,
    /// Octets of content (`SIZE=`).
    pub size: u64,
    /// Whether it needs SMTPUTF8.
    pub utf8: bool,
    /// `XOORG=`: the organisation that the message comes from; said if the server offers it.
    pub originator: Option<&'a Domain>,
    /// `RET=` and `ENVID=`; passed on if DSN is offered.
    pub dsn: &'a MessageDsn,
}

/// What a transaction demands of the session, and under which table.
#[derive(Debug, Clone, Copy)]
pub struct Demand<'a> {
    /// The connector's requirement for this recipient domain.
    pub requirement: &'a Requirement,
    /// The revision of the connector's settings.
    pub revision: Revision,
    /// The generation of the table that chose the connector.
    pub generation: Generation,
    /// What the message requires beside the connector.
    pub onward: Onward,
}

impl Demand<'_> {
    /// Whether a session's permit covers this demand.
    ///
    /// # Errors
    /// [`NotCovered`] says why not.
    pub(super) fn met_by(&self, permit: &Permit, session: SessionId) -> Result<(), NotCovered> {
        permit.covers(session, self.requirement, self.revision, self.generation)?;
        if !permit.satisfies(self.onward) {
            return Err(NotCovered::Short(Shortfall::Onward));
        }
        Ok(())
    }
}

/// Why a transaction was not begun; nothing of it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotBegun {
    /// The session has no permit any more, or not the kind that is needed.
    #[error("the session is not authorised for it")]
    Unauthorised,
    /// The permit does not cover the transaction.
    #[error(transparent)]
    NotCovered(#[from] NotCovered),
    /// The session is not open, or a transaction is under way that allows no further command.
    #[error("the session is not ready for a transaction")]
    Busy,
    /// The message exceeds the server's size limit (RFC 1870 §6.1).
    #[error("the message has {size} octets, and the next hop takes {limit}")]
    TooLarge {
        /// The message's size in octets.
        size: u64,
        /// The server's limit in octets.
        limit: u64,
    },
    /// The content was declared as 8BITMIME, which the server does not offer (RFC 6152 §3).
    #[error("the content has 8-bit lines, and the next hop does not offer 8BITMIME")]
    EightBit,
    /// The content is binary, which the server does not accept (RFC 3030 §3).
    #[error("the content is binary, and the next hop does not offer CHUNKING and BINARYMIME")]
    Binary,
    /// Addresses or headers are in UTF-8, which the server does not accept (RFC 6531 §3.2).
    #[error("addresses or headers are in UTF-8, and the next hop does not offer SMTPUTF8")]
    Utf8,
}

/// What happened on the way to TLS, or to a plaintext session.
#[derive(Debug, PartialEq, Eq)]
pub enum OpeningEvent {
    /// The server did not greet with 220. The session is over.
    NotGreeted(Reply),
    /// EHLO or HELO was refused. The session is over.
    HelloRefused(Reply),
    /// The session is in plaintext: STARTTLS was not offered or not wanted, or was refused with this
    /// reply.
    InClear(Option<Reply>),
    /// STARTTLS was answered with 220: the handshake is next.
    Handshake,
    /// STARTTLS was refused, and the server closes. The session is over.
    RefusedAndClosed(Reply),
    /// The server closes (421). The session is over.
    Closing(Reply),
}

/// What happened between the handshake and the first transaction.
#[derive(Debug, PartialEq, Eq)]
pub enum SecuredEvent {
    /// EHLO was answered; transactions may begin.
    Ready,
    /// With implicit TLS: the server did not greet with 220. The session is over.
    NotGreeted(Reply),
    /// EHLO was refused. The session is over.
    HelloRefused(Reply),
    /// The server closes (421). The session is over.
    Closing(Reply),
}

/// The result of a login.
#[derive(Debug, PartialEq, Eq)]
pub enum LoginEvent {
    /// The server accepted the credentials.
    LoggedIn,
    /// The server refused them; only QUIT may follow.
    Refused(Reply),
    /// The server closes (421). The session is over.
    Closing(Reply),
}

/// What happened in an open session.
#[derive(Debug, PartialEq, Eq)]
pub enum OpenEvent {
    /// The server awaits content: send it, then call [`super::Open::end_content`].
    SendContent,
    /// The oldest transaction is over.
    Done(TransactionResult),
    /// The server closes (421), or refused RSET. The session is over; [`super::Open::abandon`] returns what is left.
    Closing(Reply),
}

/// Why the session can't continue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendFault {
    /// The server does not speak SMTP.
    #[error(transparent)]
    Answer(#[from] AnswerFault),
    /// A reply to no command.
    #[error("the peer sent a reply that nothing asked for: {0}")]
    Unasked(Reply),
    /// Plaintext octets after the 220 to STARTTLS: injected by an attacker, to be taken for a reply
    /// inside TLS (CVE-2021-38371).
    #[error("data after STARTTLS reply")]
    AfterStartTls,
}

/// How far a transaction got.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransactionResult {
    /// Whether MAIL FROM was answered at all.
    pub begun: bool,
    /// The reply to MAIL FROM, if refused.
    pub mail: Option<Reply>,
    /// For each recipient, the reply if it was refused.
    pub recipients: Vec<Option<Reply>>,
    /// The reply to DATA, if refused.
    pub data: Option<Reply>,
    /// Whether the content was sent completely.
    pub sent: bool,
    /// The reply to the content, once it has come.
    pub end: Option<Reply>,
}

/// The reply the session waits for; it decides the time limit (RFC 5321 §4.5.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwaitedReply {
    /// The greeting, or the reply to a command.
    Command,
    /// The reply to STARTTLS, before the handshake.
    StartTls,
    /// The reply to DATA (RFC 5321 §4.5.3.2.4).
    Data,
    /// The reply to the content (RFC 5321 §4.5.3.2.6).
    End,
    /// No reply is pending.
    Nothing,
}

impl TransactionResult {
    /// Whether MAIL was accepted and at least one recipient was not refused.
    #[must_use]
    pub fn has_taker(&self) -> bool {
        self.mail.is_none() && self.recipients.iter().any(Option::is_none)
    }
}
