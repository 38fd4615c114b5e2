//! The scheduler as a pure state machine: events in, actions out, the time an argument. It holds what waits, who
//! carries it and what is due next; it does not touch the disk, the network, the clock or a lock.
//!
//! An event is a method of [`Core`] that takes the present state of the world ([`At`]) and answers with what is to
//! be done outside ([`Actions`]). After every event each pending deadline lies in the future, and work that could
//! be done has been started or has a deadline: `Timers` takes no other.
//!
//! - `machine`: the events, and what a message is between lease and settlement
//! - `lane`: one lane, and what its outcomes teach; `tend`: what a lane needs now
//! - `floor`: who may open a session, use one, or connect to a host
//! - `order`: which message of a lane goes next; `place`: which lane a message belongs to
//! - `rate`, `pause`: lanes that rest; `served`: lanes that are gone; `joined`: one report for several lanes
//! - `retry`, `settle`: what follows from an outcome
//! - `timers`: what is due when; `survey`: what an administrator sees

mod floor;
mod joined;
mod lane;
mod machine;
mod order;
mod pause;
mod place;
mod rate;
pub mod retry;
mod served;
mod settle;
mod survey;
mod tend;
#[cfg(test)]
mod tests;
mod timers;

pub(super) use floor::{Pulse, Reach};
pub(super) use lane::AFTER_FAULT;
pub(super) use machine::Core;
pub(super) use settle::{RecipientVerdict, Rules, Work, judge_overdue};
pub use survey::LaneView;
pub(super) use survey::Survey;

use std::sync::Arc;
use std::time::Duration;

use super::Way;
use crate::connector::{Retry, Table};
use crate::mail::{Dates, QueueId, UnixMillis};
use crate::outcome::Trouble;
use crate::spool::{LaneKey, QueuedRecipient, StoredMessage};

/// The world at an event: the table in effect and the time. All times inside the core are on the steady schedule
/// of [`Dates::now`]; the wall clock only tells how old a message is.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) table: &'a Table,
    pub(super) dates: &'a Dates,
}

impl At<'_> {
    /// The time on the schedule.
    pub(super) fn now(&self) -> UnixMillis {
        self.dates.now()
    }
}

/// What the core is told to do; every value is checked.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Octets of content held in memory.
    pub(super) held_bytes_max: u64,
    /// Messages leased at the same time in one lane.
    pub(super) window_max: usize,
    /// Sessions that carry mail at the same time.
    pub(super) seats_max: usize,
    /// Sessions that are being opened at the same time.
    pub(super) openings_max: usize,
    /// Connections to one host address at the same time, over all lanes.
    pub(super) per_host_max: usize,
    /// After what time mail with the null reverse-path is given up, where that is sooner.
    pub(super) null_sender_expire: Option<Duration>,
}

/// What is to be done outside after an event. `L` is a lease: the core moves leases and never looks into them.
#[derive(Debug)]
pub(super) struct Actions<L> {
    /// Carriers to be started.
    pub(super) starts: Vec<Start>,
    /// Questions to the disk for what is due.
    pub(super) fetches: Vec<Fetch>,
    /// Dead lanes to be asked for messages whose time has come.
    pub(super) sweeps: Vec<Sweep>,
    /// What is to be told and written.
    pub(super) works: Vec<Work<L>>,
    /// What is to be told now and written later.
    pub(super) notices: Vec<Notice>,
    /// Leases that end without anything written.
    pub(super) released: Vec<L>,
    /// Carriers that waited for a seat or a host, and go on.
    pub(super) granted: Vec<u64>,
    /// Carriers whose session must end, unless the final dot was sent.
    pub(super) evicted: Vec<u64>,
    /// Carriers that carried mail and look for another session: after the stop there is none.
    pub(super) recalled: Vec<u64>,
    /// Carriers that end at once: nothing is under way, and the disk has their mail.
    pub(super) dismissed: Vec<u64>,
    /// Somebody waits for a seat: [`Core::inspected`] wants to know how the carriers get on.
    pub(super) inspect: bool,
    /// The loop sleeps too long.
    pub(super) wake: bool,
}

impl<L> Default for Actions<L> {
    fn default() -> Self {
        Self {
            starts: Vec::new(),
            fetches: Vec::new(),
            sweeps: Vec::new(),
            works: Vec::new(),
            notices: Vec::new(),
            released: Vec::new(),
            granted: Vec::new(),
            evicted: Vec::new(),
            recalled: Vec::new(),
            dismissed: Vec::new(),
            inspect: false,
            wake: false,
        }
    }
}

/// A carrier to be started.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) carrier: u64,
    pub(super) way: Arc<Way>,
}

/// A question for what a lane has due now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fetch {
    pub(super) lane: LaneKey,
    /// At most this many messages.
    pub(super) limit: usize,
}

/// Messages whose time may have come in a dead lane.
#[derive(Debug, Clone)]
pub(super) struct Sweep {
    pub(super) lane: LaneKey,
    pub(super) retry: Retry,
    pub(super) trouble: Arc<Trouble>,
    pub(super) blocked_until: Option<UnixMillis>,
}

/// What happened to recipients whose settlement waits for others.
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) message: Arc<StoredMessage>,
    pub(super) verdicts: Vec<(QueuedRecipient, RecipientVerdict)>,
}

/// What a timer is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A look at how the carriers get on.
    Inspect,
    /// A report that waits for other lanes.
    Joined(QueueId),
    /// A lane.
    Lane(LaneKey),
}

/// The longest wait between two attempts that any connector has: nothing on disk is due later than that.
pub(super) fn longest_wait(table: &Table) -> Duration {
    let waits = table.outbound.iter().flat_map(|connector| connector.retry.waits.iter().copied());
    waits.max().unwrap_or_default().max(retry::WITHOUT_CONNECTOR)
}
