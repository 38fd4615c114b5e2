//! What is due, when it is tried again, and what follows from an attempt. The scheduler knows no
//! socket and no DNS: a [`Carrier`] makes the attempts. It alone changes a message's state after
//! the 250. What is to be done, `core` decides; the other files do it.

mod archive;
mod core;
mod jobs;
mod operate;
mod progress;
mod run;
#[cfg(test)]
mod samples;
pub mod settings;
mod tell;
#[cfg(test)]
mod tests;
mod write;

pub use self::core::{LaneView, retry};
pub use operate::BounceResult;
pub use progress::Progress;
pub use run::{Scheduler, Snapshot};

use std::net::SocketAddr;

use std::pin::Pin;
use std::sync::Arc;

use crate::connector::Outbound;
use crate::mail::{Content, Domain};
use crate::outcome::Outcome;
use crate::spool::{QueuedRecipient, StoredMessage};

/// The way that messages of one lane take.
#[derive(Debug, Clone)]
pub struct Way {
    /// The connector, as chosen for this attempt.
    pub connector: Arc<Outbound>,
    /// The recipient domain; `None` where the lane is a smart-host group or an address literal.
    pub domain: Option<Domain>,
    /// The recipients' address literal, where that is the next hop.
    pub literal: Option<std::net::IpAddr>,
}

/// One message to be attempted for some recipients, all of one lane.
#[derive(Debug, Clone)]
pub struct Job {
    /// The message.
    pub message: Arc<StoredMessage>,
    /// The recipients.
    pub recipients: Arc<[QueuedRecipient]>,
    /// The content.
    pub content: Content,
    /// Which lease of the lane it is; the scheduler's own mark.
    pub ticket: u64,
}

/// Makes attempts.
pub trait Carrier: Send + Sync + 'static {
    /// Carries the lane's jobs until it has none left, or the way is blocked. Each job taken is
    /// reported exactly once; a job that is dropped unreported goes back to the queue as it was.
    fn carry(self: Arc<Self>, way: Way, jobs: Arc<dyn Jobs>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// An operator wants mail tried now: what hosts did a moment ago is no reason not to ask them.
    fn try_anew(&self) {}
}

/// The jobs of one lane, as a carrier sees them, and the places it needs for its sessions.
pub trait Jobs: Send + Sync {
    /// The next job, read from disk if it must be; `None` when the lane has none for this carrier
    /// now, is blocked, or the daemon stops.
    fn next(&self) -> Pin<Box<dyn Future<Output = Option<Job>> + Send + '_>>;

    /// What a job came to: one outcome for each of its recipients, in their order.
    fn report(&self, job: &Job, outcomes: Vec<Outcome>);

    /// To be waited for before a connection to this address is opened: a host has only so many at a time.
    fn reach(&self, address: SocketAddr) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// A connection that was kept is used again.
    fn reuse(&self, address: SocketAddr);

    /// To be waited for once a session is open and before mail goes over it. Whether there was a wait.
    fn opened(&self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>>;

    /// The session has ended, and another one is looked for. `false`: the daemon stops, and there is none.
    fn reopening(&self) -> bool;

    /// Where progress is told, and the word comes that the place is wanted by others.
    fn progress(&self) -> &Arc<Progress>;
}
