//! The outcome of a message for one recipient, and the report about it. Pure: a reply, a shortfall or a fault
//! goes in, a verdict with its reason comes out.

mod classify;
pub mod dsn;
mod hints;

pub use classify::{
    At, LinkFault, NameFault, Stage, classify_fault, classify_name, classify_reply, classify_shortfall,
    classify_together, may_be_of_session, may_pass,
};

pub use hints::{
    Actor, CodeRange, Hint, KnownReply, hint_named, hint_on_decision, hint_on_reply, known_handshakes,
    known_replies,
};

use std::borrow::Cow;
use std::sync::Arc;

use crate::connector::{Decision, HeaderTally};
use crate::mail::{Enhanced, Reply};

/// The outcome of one attempt for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The next hop accepted it.
    Delivered(DeliveryRecord),
    /// It stays in the queue and will be retried.
    Deferred(Trouble),
    /// It failed permanently; a DSN goes to the reverse-path.
    Failed(Trouble),
}

/// A successful delivery to the next hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// The host that accepted it: name, address and port.
    pub host: String,
    /// The host's reply.
    pub reply: Reply,
    /// The connector's decision on the session.
    pub decision: Arc<Decision>,
    /// Whether the host took over the requested DSNs (RFC 3461 §5.2.1).
    pub reports_on: bool,
    /// How the content was changed for it.
    pub content: ContentRecord,
}

/// How content was changed for a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContentRecord {
    /// Whether 8-bit content was converted, because the host lacks 8BITMIME.
    pub converted: bool,
    /// The header fields that were removed or promoted; `None`: none.
    pub tally: Option<Arc<HeaderTally>>,
}

/// What hindered a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The enhanced status code, of class 4 or 5.
    pub status: Enhanced,
    /// The cause, as data.
    pub cause: Cause,
    /// The reason in one sentence, for logs and reports.
    pub reason: String,
    /// The host that was tried and its reply, if any.
    pub remote: Option<Remote>,
    /// What the connector required and what was attained, if that was judged.
    pub decision: Option<Arc<Decision>>,
    /// Which mail is affected.
    pub scope: Scope,
    /// Whether it persisted until the message expired.
    pub expired: bool,
}

/// Why a delivery was hindered. Decisions use this value, never the text or codes derived from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A connector's requirement was not met; the trouble has the decision.
    Requirement,
    /// The host refused a command or the connection itself.
    Refused(Stage),
    /// The host refused the login, or we could not log in.
    Login,
    /// No connection could be made.
    Unreachable,
    /// The host did not answer in time.
    Silent,
    /// The connection was lost.
    Lost,
    /// The host made no progress while others waited for the connection.
    Displaced,
    /// The host violated the protocol.
    Garbled,
    /// The domain does not exist, or has no mail exchanger and no address.
    NoSuchDomain,
    /// The domain accepts no mail (RFC 7505).
    NullMx,
    /// None of the domain's mail exchangers has an address.
    NoAddress,
    /// The domain's mail exchanger is this host.
    Ourselves,
    /// DNS gave no valid answer.
    DnsUnanswered,
    /// The message can't be sent there as it is: its size or encoding.
    Unsuitable,
    /// The settings of this host are wrong: a source address that is not ours, no connector, an unreadable
    /// secret.
    Settings,
    /// The content can't be read on our side.
    Unreadable,
    /// No attempt was made: the connector table changed, no place was free, or the daemon is stopping.
    NotTried,
    /// An operator gave the message up.
    Operator,
}

/// A host and its reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The host's name, address and port.
    pub host: String,
    /// The reply, unless the connection ended without one.
    pub reply: Option<Reply>,
}

/// Which mail a trouble affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Only this recipient, or this message.
    Recipient,
    /// Everything with the same next hop: the lane waits.
    Lane,
    /// Only this connection (a recipient limit, a lost session): the rest is retried at once on another one.
    Session,
}

impl Cause {
    /// A stable word for machines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Requirement => "requirement",
            Self::Refused(stage) => stage.refusal_word(),
            Self::Login => "login",
            Self::Unreachable => "unreachable",
            Self::Silent => "no-answer",
            Self::Lost => "connection-lost",
            Self::Displaced => "no-progress",
            Self::Garbled => "protocol-violated",
            Self::NoSuchDomain => "no-such-domain",
            Self::NullMx => "null-mx",
            Self::NoAddress => "no-address",
            Self::Ourselves => "loops-back",
            Self::DnsUnanswered => "dns-unanswered",
            Self::Unsuitable => "unsuitable",
            Self::Settings => "settings",
            Self::Unreadable => "unreadable",
            Self::NotTried => "not-tried",
            Self::Operator => "operator",
        }
    }
}

impl Trouble {
    /// The reason as one word for machines: the token of the decision if the connector's requirement is the cause, and
    /// otherwise the cause itself.
    #[must_use]
    pub fn token(&self) -> &'static str {
        let (Cause::Requirement, Some(decision)) = (self.cause, &self.decision) else {
            return self.cause.word();
        };
        match (decision.shortfall(), decision.token()) {
            (Some(shortfall), _) => shortfall.token(),
            (None, Cow::Borrowed(token)) => token,
            (None, Cow::Owned(_)) => self.cause.word(),
        }
    }

    /// A trouble from a connector's decision made before any host was contacted.
    #[must_use]
    pub fn by(decision: Decision, scope: Scope) -> Self {
        let status = decision.status().unwrap_or(Enhanced(4, 7, 0));
        let (reason, decision) = (decision.reason(), Some(Arc::new(decision)));
        Self { status, cause: Cause::Requirement, reason, remote: None, decision, scope, expired: false }
    }

    /// The same trouble as a failure: its status moves to class 5.
    #[must_use]
    pub fn made_final(mut self) -> Self {
        self.status = self.status.in_class(5);
        self
    }
}
