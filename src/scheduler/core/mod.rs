//! The scheduler as a pure state machine: events in, actions out, time passed as an argument. It holds
//! what waits, which carriers have it and what is due next; it does not touch the disk, the network,
//! the clock or a lock.
//!
//! An event is a method of [`Core`] that takes the current state of the world ([`At`]) and returns what
//! is to be done outside ([`Actions`]). After every event each pending deadline lies in the future, and
//! work that can be done has been started or has a deadline: `Timers` accepts no other.
//!
//! - `machine`: the events, and a message's state between lease and settlement
//! - `lane`: one lane, and what it learns from outcomes; `tend`: what a lane needs now
//! - `floor`: which carrier may open a session, use one, or connect to a host
//! - `order`: which message of a lane goes next; `place`: which lane a message belongs to
//! - `asks`: questions about recipients, which go by the carriers of mail
//! - `rate`, `pause`: lanes that are held back; `served`: dropped lanes; `joined`: one report for
//!   several lanes
//! - `retry`, `settle`: what follows from an outcome
//! - `timers`: what is due when; `survey`, `share`: what an administrator sees

mod asks;
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
mod share;
mod survey;
mod tend;
#[cfg(test)]
mod tests;
mod timers;

pub(super) use floor::{Pulse, Reach};
pub(super) use lane::AFTER_FAULT;
pub(super) use machine::{Core, HandedWork};
pub(super) use settle::{RecipientVerdict, Rules, Work, judge_overdue};
pub use share::{ConnectorShare, ConnectorShares};
pub use survey::LaneView;
pub(super) use survey::Survey;

use std::sync::Arc;
use std::time::Duration;

use super::Way;
use crate::connector::{Retry, Table};
use crate::mail::{Dates, QueueId, UnixMillis};
use crate::outcome::Trouble;
use crate::spool::{LaneKey, QueuedRecipient, StoredMessage};

/// The world at an event: the table in effect and the time. All times inside the core are on the steady
/// schedule of [`Dates::now`]; the wall clock only determines how old a message is.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) table: &'a Table,
    pub(super) dates: &'a Dates,
}

impl At<'_> {
    /// The current time on the schedule.
    pub(super) fn now(&self) -> UnixMillis {
        self.dates.now()
    }
}

/// The core's limits, already checked.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Octets of content held in memory.
    pub(super) held_bytes_max: u64,
    /// Messages leased at the same time in one lane.
    pub(super) window_max: usize,
    /// Sessions that carry mail at the same time.
    pub(super) seats_max: usize,
    /// Sessions being opened at the same time.
    pub(super) openings_max: usize,
    /// Connections to one host address at the same time, over all lanes.
    pub(super) per_host_max: usize,
    /// When mail with the null reverse-path expires, if sooner than other mail.
    pub(super) null_sender_expire: Option<Duration>,
}

/// What is to be done outside after an event. `L` is a lease: the core moves leases and never looks
/// inside them.
#[derive(Debug)]
pub(super) struct Actions<L> {
    pub(super) starts: Vec<Start>,
    /// Fetches of due messages from disk.
    pub(super) fetches: Vec<Fetch>,
    /// Blocked lanes to search for expired messages.
    pub(super) sweeps: Vec<Sweep>,
    /// Outcomes to log and write.
    pub(super) works: Vec<Work<L>>,
    /// Outcomes to log now and write later.
    pub(super) notices: Vec<Notice>,
    /// Leases that end without anything written.
    pub(super) released: Vec<L>,
    /// Carriers that waited for a seat or a host and may continue.
    pub(super) granted: Vec<u64>,
    /// Carriers whose session must end, unless the final dot was sent.
    pub(super) evicted: Vec<u64>,
    /// Carriers that carried mail and look for another session, which they may not open after the stop.
    pub(super) recalled: Vec<u64>,
    /// Carriers that end at once: nothing is under way, and their mail is on disk.
    pub(super) dismissed: Vec<u64>,
    /// Something waits for a place: [`Core::inspected`] needs the carriers' progress.
    pub(super) inspect: bool,
    /// Questions that nobody will ask any more.
    pub(super) unanswered: Vec<u64>,
    /// The loop would sleep past a new deadline and must be woken.
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
            unanswered: Vec::new(),
            inspect: false,
            wake: false,
        }
    }
}

/// A carrier to start.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) carrier: u64,
    pub(super) way: Arc<Way>,
}

/// A request for what a lane has due now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fetch {
    pub(super) lane: LaneKey,
    pub(super) limit: usize,
}

/// A search for expired messages in a blocked lane.
#[derive(Debug, Clone)]
pub(super) struct Sweep {
    pub(super) lane: LaneKey,
    pub(super) retry: Retry,
    pub(super) trouble: Arc<Trouble>,
    pub(super) blocked_until: Option<UnixMillis>,
}

/// Outcomes of recipients whose settlement waits for other lanes.
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) message: Arc<StoredMessage>,
    pub(super) lane: LaneKey,
    pub(super) verdicts: Vec<(QueuedRecipient, RecipientVerdict)>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Check the carriers' progress.
    Inspect,
    /// A report that waits for other lanes.
    Joined(QueueId),
    Lane(LaneKey),
}

/// The longest wait between two attempts of any connector: nothing on disk is due later than that.
pub(super) fn longest_wait(table: &Table) -> Duration {
    let waits = table.outbound.iter().flat_map(|connector| connector.retry.waits.iter().copied());
    waits.max().unwrap_or_default().max(retry::WITHOUT_CONNECTOR)
}
