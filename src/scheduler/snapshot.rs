//! The lanes as an administrator sees them.

use std::sync::Arc;

use serde::Serialize;

use super::lane::{Lane, State};
use super::queue::Queue;
use crate::mail::{Domain, Enhanced, UnixMillis};
use crate::spool::LaneKey;

/// What the scheduler is at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// The lanes: those in trouble first, then the longest.
    pub lanes: Vec<LaneView>,
    /// How many lanes there are that `lanes` does not show.
    pub more: usize,
    /// Carriers at work.
    pub carriers: usize,
    /// Messages that wait in memory.
    pub waiting: usize,
    /// Octets of content held in memory.
    pub held_bytes: u64,
}

/// One lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaneView {
    /// Its name.
    pub lane: LaneKey,
    /// The connector that served it last.
    pub connector: Option<Arc<str>>,
    /// Its recipient domain; `None` for smart hosts and address literals.
    pub domain: Option<Domain>,
    /// Messages that wait in memory.
    pub waiting: usize,
    /// Messages under way.
    pub in_flight: usize,
    /// Carriers that take its messages.
    pub carriers: usize,
    /// When the first message that is on disk alone is due.
    pub on_disk: Option<UnixMillis>,
    /// Whether an operator has its connector stand still.
    pub paused: bool,
    /// Until when nothing is tried.
    pub blocked_until: Option<UnixMillis>,
    /// Failures in a row.
    pub failures: u32,
    /// The status of the last trouble.
    pub status: Option<Enhanced>,
    /// The last trouble, in a sentence.
    pub reason: Option<String>,
}

impl Queue {
    pub(super) fn snapshot(&self) -> Snapshot {
        let mut lanes: Vec<_> = self.lanes.iter().collect();
        // Cached: a key clones the lane's name, and the scheduler stands still meanwhile.
        lanes.sort_by_cached_key(|(key, lane)| {
            (std::cmp::Reverse(lane.failures), std::cmp::Reverse(lane.leased()), (*key).clone())
        });
        let more = lanes.len().saturating_sub(LANES_MAX);
        let lanes = lanes.into_iter().take(LANES_MAX).map(|(key, lane)| lane_view(key, lane));
        Snapshot {
            lanes: lanes.collect(),
            more,
            carriers: self.seats.len(),
            waiting: self.waiting,
            held_bytes: self.held,
        }
    }

    /// Those of the lanes named that are blocked, or stand still, in the order given.
    pub(super) fn blocked(&self, lanes: &[LaneKey]) -> Vec<LaneView> {
        let known = lanes.iter().filter_map(|key| Some((key, self.lanes.get(key)?)));
        let stands = |lane: &Lane| lane.blocked_until().is_some() || lane.state == State::Paused;
        let blocked = known.filter(|(_, lane)| stands(lane));
        blocked.map(|(key, lane)| lane_view(key, lane)).collect()
    }
}

fn lane_view(key: &LaneKey, lane: &Lane) -> LaneView {
    LaneView {
        lane: key.clone(),
        connector: lane.way.as_ref().map(|way| Arc::clone(&way.connector.name)),
        domain: lane.way.as_ref().and_then(|way| way.domain.clone()),
        waiting: lane.waiting.len(),
        in_flight: lane.in_flight,
        carriers: lane.carriers,
        on_disk: lane.on_disk,
        paused: lane.state == State::Paused,
        blocked_until: lane.blocked_until(),
        failures: lane.failures,
        status: lane.trouble.as_ref().map(|trouble| trouble.status),
        reason: lane.trouble.as_ref().map(|trouble| trouble.reason.clone()),
    }
}

const LANES_MAX: usize = 1000;
