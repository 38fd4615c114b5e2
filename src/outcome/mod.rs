//! What became of a message for one recipient, and the report about it. Pure: the reply, the
//! shortfall or the fault comes in, a verdict with its reason goes out.

mod classify;
pub mod dsn;

pub use classify::{
    At, LinkFault, NameFault, Stage, classify_fault, classify_name, classify_reply, classify_shortfall,
    classify_together,
};

use std::sync::Arc;

use crate::connector::Decision;
use crate::mail::{Enhanced, Reply};

/// What one attempt came to for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The next hop took it over.
    Delivered(DeliveryRecord),
    /// It stays in the queue.
    Deferred(Trouble),
    /// It is over; the reverse-path is told.
    Failed(Trouble),
}

/// A delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// The host that took it: name, address and port.
    pub host: String,
    /// What it said.
    pub reply: Reply,
    /// How the session stood to the connector.
    pub decision: Arc<Decision>,
    /// Whether the host took over what is asked of reports (RFC 3461 §5.2.1).
    pub reports_on: bool,
}

/// What hindered a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The enhanced status code, of class 4 or 5.
    pub status: Enhanced,
    /// Why, as data.
    pub cause: Cause,
    /// One sentence.
    pub reason: String,
    /// The host that was asked, and what it said, if it spoke.
    pub remote: Option<Remote>,
    /// What the connector demanded and what it got, if it came to that.
    pub decision: Option<Arc<Decision>>,
    /// Whom it hinders.
    pub scope: Scope,
    /// It lasted until the message's time was over.
    pub expired: bool,
}

/// Why a delivery was hindered. What follows is decided by this, and never by the words or digits made from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A connector's requirement was not met; the trouble has the decision.
    Requirement,
    /// The host refused a command, or what came before any.
    Refused(Stage),
    /// The host refused the login, or none could be made.
    Login,
    /// No connection could be made.
    Unreachable,
    /// The host did not answer in time.
    Silent,
    /// The connection was lost.
    Lost,
    /// The host made no progress while others waited for the connection.
    Displaced,
    /// The host broke the protocol.
    Garbled,
    /// The domain does not exist, or has no host for mail.
    NoSuchDomain,
    /// The domain accepts no mail (RFC 7505).
    NullMx,
    /// None of the domain's mail exchangers has an address.
    NoAddress,
    /// The domain's mail exchanger is this host.
    Ourselves,
    /// DNS gave no answer.
    DnsUnanswered,
    /// The message can't go there as it is: its size, its encoding.
    Unsuitable,
    /// The settings of this host are at fault: an address that is not ours, no connector, a secret that can't be read.
    Settings,
    /// The content can't be read here.
    Unreadable,
    /// Nothing was tried: the connector table changed, no place was free, or the daemon stops.
    NotTried,
    /// An operator gave the message up.
    Operator,
}

/// A host and its reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Name, address and port.
    pub host: String,
    /// The reply, unless the connection ended without one.
    pub reply: Option<Reply>,
}

/// Whom a trouble hinders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// This recipient, or this message.
    Recipient,
    /// Everything that goes the same way: the lane waits.
    Lane,
    /// The connection alone (a limit on recipients, a lost session): the rest at once, elsewhere.
    Session,
}

impl Trouble {
    /// What a connector decided before a host was asked for anything.
    #[must_use]
    pub fn by(decision: Decision, scope: Scope) -> Self {
        let status = decision.status().unwrap_or(Enhanced(4, 7, 0));
        let (reason, decision) = (decision.reason(), Some(Arc::new(decision)));
        Self { status, cause: Cause::Requirement, reason, remote: None, decision, scope, expired: false }
    }

    /// The same trouble as a final one: its status moves to class 5.
    #[must_use]
    pub fn made_final(mut self) -> Self {
        self.status = self.status.in_class(5);
        self
    }
}
