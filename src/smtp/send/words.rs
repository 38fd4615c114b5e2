//! What is told to an outbound session, and what it tells. Values only.

use super::super::answer::AnswerFault;
use crate::connector::{
    Generation, Mechanism, NotCovered, Permit, Requirement, Revision, SessionId, Shortfall,
};
use crate::mail::{BodyType, Domain, Extension, MessageDsn, Reply, ReversePath};

/// How we say hello.
#[derive(Debug, Clone)]
pub struct Hello {
    /// Our name in EHLO.
    pub name: Domain,
    /// Whether STARTTLS is taken where it is offered.
    pub starttls: bool,
    /// TLS begins with the first octet: the greeting comes inside it (RFC 8314 §3).
    pub implicit: bool,
    /// Whether HELO may follow a refused EHLO. Without EHLO there is no STARTTLS, so never under a
    /// forced requirement.
    pub helo: bool,
    /// Extensions that are passed over though they are offered.
    pub ignored: Vec<Extension>,
}

/// As whom to log in.
#[derive(Clone, Copy)]
pub struct LoginAs<'a> {
    /// How.
    pub mechanism: Mechanism,
    /// The name.
    pub user: &'a str,
    /// The password or token.
    pub secret: &'a str,
}

/// What MAIL FROM tells of a message.
#[derive(Debug, Clone, Copy)]
pub struct MailFrom<'a> {
    /// Who is told of failures.
    pub reverse_path: &'a ReversePath,
    /// What is declared of the content.
    pub body: BodyType,
    /// Octets of content.
    pub size: u64,
    /// Whether it needs SMTPUTF8.
    pub utf8: bool,
    /// What is asked of reports; passed on where DSN is offered.
    pub dsn: &'a MessageDsn,
}

/// What is demanded of the session for a transaction, and by which table.
#[derive(Debug, Clone, Copy)]
pub struct Demand<'a> {
    /// The connector's requirement for this recipient domain.
    pub requirement: &'a Requirement,
    /// The connector's revision.
    pub revision: Revision,
    /// The generation of the table that chose the connector.
    pub generation: Generation,
    /// The message came sealed and must go on sealed: only an enforced requirement will do.
    pub onward_sealed: bool,
}

impl Demand<'_> {
    /// Whether a session's permit covers it.
    ///
    /// # Errors
    /// [`NotCovered`] says why not.
    pub(super) fn met_by(&self, permit: &Permit, session: SessionId) -> Result<(), NotCovered> {
        permit.covers(session, self.requirement, self.revision, self.generation)?;
        if self.onward_sealed && !permit.is_enforced() {
            return Err(NotCovered::Short(Shortfall::Onward));
        }
        Ok(())
    }
}

/// Why a transaction was not begun; nothing of it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotBegun {
    /// The session holds no permit any more, or not the kind that is needed.
    #[error("the session is not authorised for it")]
    Unauthorised,
    /// The permit does not cover it.
    #[error(transparent)]
    NotCovered(#[from] NotCovered),
    /// The session is not open, or a transaction is under way that nothing may be said beside.
    #[error("the session is not ready for a transaction")]
    Busy,
    /// The message is larger than the server takes (RFC 1870 §6.1).
    #[error("the message has {size} octets, and the next hop takes {limit}")]
    TooLarge {
        /// The message's size in octets.
        size: u64,
        /// The server's limit in octets.
        limit: u64,
    },
    /// The content was declared as 8BITMIME, and the server doesn't offer that (RFC 6152 §3).
    #[error("the content has 8-bit lines, and the next hop does not offer 8BITMIME")]
    EightBit,
    /// The content is no lines, and the server does not take it (RFC 3030 §3).
    #[error("the content is binary, and the next hop does not offer CHUNKING and BINARYMIME")]
    Binary,
    /// Addresses or headers are in UTF-8, and the server does not take that (RFC 6531 §3.2).
    #[error("addresses or headers are in UTF-8, and the next hop does not offer SMTPUTF8")]
    Utf8,
}

/// What happened on the way to TLS, or to a session in plaintext.
#[derive(Debug, PartialEq, Eq)]
pub enum OpeningEvent {
    /// The server did not greet with 220. The session is over.
    NotGreeted(Reply),
    /// EHLO or HELO was refused. The session is over.
    HelloRefused(Reply),
    /// The session is in plaintext: STARTTLS was not offered or not wanted, or was refused with this reply.
    InClear(Option<Reply>),
    /// STARTTLS was answered 220: the handshake is next.
    Handshake,
    /// The server closes (421). The session is over.
    Closing(Reply),
}

/// What happened between the handshake and the first transaction.
#[derive(Debug, PartialEq, Eq)]
pub enum SecuredEvent {
    /// EHLO was answered.
    Ready,
    /// With implicit TLS: the server did not greet with 220. The session is over.
    NotGreeted(Reply),
    /// EHLO was refused. The session is over.
    HelloRefused(Reply),
    /// The server closes (421). The session is over.
    Closing(Reply),
}

/// What came of a login.
#[derive(Debug, PartialEq, Eq)]
pub enum LoginEvent {
    /// It was accepted.
    LoggedIn,
    /// It was refused; nothing more may be said but QUIT.
    Refused(Reply),
    /// The server closes (421). The session is over.
    Closing(Reply),
}

/// What happened in an open session.
#[derive(Debug, PartialEq, Eq)]
pub enum OpenEvent {
    /// Content is awaited: send it, then [`super::Open::end_content`].
    SendContent,
    /// The oldest transaction is over.
    Done(TransactionResult),
    /// The server closes (421). The session is over; [`super::Open::abandon`] tells what is left.
    Closing(Reply),
}

/// Why the session can't go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendFault {
    /// The server doesn't speak SMTP.
    #[error(transparent)]
    Answer(#[from] AnswerFault),
    /// A reply that nothing asked for.
    #[error("the peer sent a reply that nothing asked for: {0}")]
    Unasked(Reply),
    /// Octets in clear behind the 220: planted by someone in the middle, to be taken for an answer
    /// inside TLS (CVE-2021-38371).
    #[error("data after STARTTLS reply")]
    AfterStartTls,
}

/// How far a transaction came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransactionResult {
    /// Whether MAIL FROM had any answer.
    pub begun: bool,
    /// The reply, where it was refused.
    pub mail: Option<Reply>,
    /// For each recipient the reply, where it was refused.
    pub recipients: Vec<Option<Reply>>,
    /// The reply to DATA, where it was refused.
    pub data: Option<Reply>,
    /// Whether the content was sent to its end.
    pub sent: bool,
    /// The reply to the content.
    pub end: Option<Reply>,
}

/// What the session waits for; it decides how long (RFC 5321 §4.5.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwaitedReply {
    /// The greeting, or the reply to a command.
    Command,
    /// The reply to STARTTLS.
    StartTls,
    /// The reply to DATA.
    Data,
    /// The reply to the content.
    End,
    /// Nothing.
    Nothing,
}

impl TransactionResult {
    /// Whether MAIL was accepted and at least one recipient was not refused.
    #[must_use]
    pub fn has_taker(&self) -> bool {
        self.mail.is_none() && self.recipients.iter().any(Option::is_none)
    }
}
