//! When messages are due and tried again, and what follows from an attempt. The scheduler uses no
//! socket and no DNS: a [`Carrier`] makes the attempts. Only the scheduler changes a message's state
//! after the 250. `core` decides what is to be done; the other files do it.

mod archive;
mod ask;
mod core;
mod jobs;
mod operate;
mod progress;
mod questions;
mod run;
#[cfg(test)]
mod samples;
pub mod settings;
mod tell;
#[cfg(test)]
mod tests;
mod write;

pub use self::core::{ConnectorShare, ConnectorShares, LaneView, retry};
pub use operate::BounceResult;
pub use progress::Progress;
pub use run::{Scheduler, Snapshot};

use std::net::SocketAddr;

use std::pin::Pin;
use std::sync::Arc;

use crate::connector::{Onward, Outbound, RecipientCheck};
use crate::mail::{Content, Domain, Mailbox};
use crate::outcome::{Outcome, Trouble};
use crate::spool::{QueuedRecipient, StoredMessage};

/// The way that messages of one lane take.
#[derive(Debug, Clone)]
pub struct Way {
    /// The connector, as chosen for this attempt.
    pub connector: Arc<Outbound>,
    /// The recipient domain; `None` if the lane is a smart-host group or an address literal.
    pub domain: Option<Domain>,
    /// The recipients' address literal, if that is the next hop.
    pub literal: Option<std::net::IpAddr>,
}

/// One message to be attempted for some recipients, all of one lane.
#[derive(Debug, Clone)]
pub struct Job {
    /// The stored message, without its recipients and content.
    pub message: Arc<StoredMessage>,
    /// The recipients to attempt, all in the job's lane.
    pub recipients: Arc<[QueuedRecipient]>,
    /// Header and body, in memory or read from the spool.
    pub content: Content,
    /// Identifies the lease; used only by the scheduler.
    pub ticket: u64,
}

/// A recipient that a host is asked about; no message is sent.
#[derive(Debug, Clone)]
pub struct RecipientQuestion {
    /// Whom the host is asked about.
    pub mailbox: Mailbox,
    /// The inbound connector by which mail for it would have come.
    pub arrives_by: Arc<str>,
    /// How mail for it must leave, at least.
    pub onward: Onward,
    /// Identifies the question; used only by the scheduler.
    pub ticket: u64,
}

/// What a carrier does next.
#[derive(Debug)]
pub enum Errand {
    /// To attempt a message.
    Deliver(Job),
    /// To ask about a recipient.
    Ask(RecipientQuestion),
}

/// How a carrier came to its answer to a question, as far as it tells something of the way.
#[derive(Debug)]
pub enum QuestionEnd {
    /// The host answered.
    ByHost,
    /// The host was not asked.
    Unasked,
    /// There was no session, or it was lost.
    Hindered(Trouble),
}

/// Makes delivery attempts for the scheduler.
pub trait Carrier: Send + Sync + 'static {
    /// Carries the lane's jobs until none are left or the way is blocked. Each job taken is reported
    /// exactly once; a job dropped without a report goes back to the queue unchanged.
    fn carry(self: Arc<Self>, way: Way, jobs: Arc<dyn Jobs>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// An operator wants mail tried now: what hosts did a moment ago is no reason to skip them.
    fn try_anew(&self) {}
}

/// The jobs of one lane, as a carrier sees them, and the places it needs for its sessions.
pub trait Jobs: Send + Sync {
    /// The next job, read from disk if necessary, or question; `None` if the lane has none for this carrier
    /// now, is blocked, or the daemon stops.
    fn next(&self) -> Pin<Box<dyn Future<Output = Option<Errand>> + Send + '_>>;

    /// Reports a job: one outcome for each of its recipients, in their order.
    fn report(&self, job: &Job, outcomes: Vec<Outcome>);

    /// Answers a question.
    fn answer(&self, question: &RecipientQuestion, known: RecipientCheck, end: QuestionEnd);

    /// Must be awaited before a connection to this address is opened: the number of connections to a
    /// host is limited.
    fn reach(&self, address: SocketAddr) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Reports that a cached connection is used again.
    fn reuse(&self, address: SocketAddr);

    /// Must be awaited once a session is open and before it carries mail. Returns whether it had to
    /// wait.
    fn opened(&self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>>;

    /// The session has ended, and another one is needed. `false`: the daemon stops, so open none.
    fn reopening(&self) -> bool;

    /// Where the carrier reports progress, and learns that others want its place.
    fn progress(&self) -> &Arc<Progress>;
}
