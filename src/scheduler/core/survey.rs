//! The lanes as an administrator sees them, read in batches so that no delivery waits. It changes
//! nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::lane::{Lane, State};
use super::machine::Core;
use super::share::{ConnectorShare, ConnectorShares};
use crate::mail::{Dates, Domain, Enhanced, UnixMillis};
use crate::outcome::Trouble;
use crate::spool::{Divisible, LaneKey};

/// The state of one lane at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneView {
    /// The lane's key.
    pub lane: LaneKey,
    /// The connector used last.
    pub connector: Option<Arc<str>>,
    /// Its recipient domain; `None` for smart hosts and address literals.
    pub domain: Option<Domain>,
    /// Messages waiting in memory.
    pub waiting: usize,
    /// Messages held by carriers.
    pub in_flight: usize,
    /// Carriers that take its messages.
    pub carriers: usize,
    /// When the first message that is only on disk is due.
    pub on_disk: Option<UnixMillis>,
    /// Whether an operator has paused its connector.
    pub paused: bool,
    /// Until when no attempt is made, if blocked.
    pub blocked_until: Option<UnixMillis>,
    /// Consecutive failures.
    pub failures: u32,
    /// Enhanced status code of the last trouble.
    pub status: Option<Enhanced>,
    /// The last trouble, in a sentence.
    pub reason: Option<String>,
    /// The last trouble itself, for whoever wants to know more: explaining it here would hold up deliveries.
    pub trouble: Option<Arc<Trouble>>,
}

/// The lanes seen so far: failing ones first, then the longest.
#[derive(Debug, Default)]
pub(in crate::scheduler) struct Survey {
    /// A heap with the lowest rank on top.
    best: BinaryHeap<Reverse<Rank>>,
    seen: usize,
    /// Where the next batch starts.
    after: Option<LaneKey>,
}

type Rank = (u32, usize, Reverse<LaneKey>);

impl Survey {
    /// The keys of the lanes to show, in order, and how many more there are.
    pub(in crate::scheduler) fn finish(self) -> (Vec<LaneKey>, usize) {
        let more = self.seen.saturating_sub(self.best.len());
        let best = self.best.into_sorted_vec();
        (best.into_iter().map(|Reverse((_, _, Reverse(key)))| key).collect(), more)
    }

    fn note<L>(&mut self, key: &LaneKey, lane: &Lane<L>) {
        self.seen = self.seen.saturating_add(1);
        let (failures, leased) = (lane.failures, lane.leased());
        if self.best.len() >= LANES_MAX {
            let least = self.best.peek().map(|Reverse((failures, leased, _))| (*failures, *leased));
            if least.is_some_and(|least| least >= (failures, leased)) {
                return;
            }
            self.best.pop();
        }
        self.best.push(Reverse((failures, leased, Reverse(key.clone()))));
    }
}

impl<L: Divisible> Core<L> {
    /// Whether mail waits for an opening or a seat.
    pub(in crate::scheduler) fn is_crowded(&self) -> bool {
        self.floor.is_crowded()
    }

    /// Reads the next batch of lanes. Returns whether there may be more.
    pub(in crate::scheduler) fn survey(&self, survey: &mut Survey) -> bool {
        let mut last = None;
        for (key, lane) in self.lanes_after(survey.after.as_ref()).take(LANES_LOOK) {
            survey.note(key, lane);
            last = Some(key);
        }
        survey.after = last.cloned();
        survey.after.is_some()
    }

    /// Adds the next batch of lanes after this one to their connectors' shares, and with the first batch the places.
    /// Returns where the next batch begins; `None` after the last one.
    pub(in crate::scheduler) fn note_shares(
        &self,
        after: Option<&LaneKey>,
        shares: &mut ConnectorShares,
    ) -> Option<LaneKey> {
        if after.is_none() {
            self.floor.note_shares(shares);
        }
        let mut last = None;
        for (key, lane) in self.lanes_after(after).take(LANES_LOOK) {
            last = Some(key);
            let name = lane.way.as_ref().map_or_else(|| key.connector(), |way| &way.connector.name);
            if !shares.contains_key(name) {
                shares.insert(name.into(), ConnectorShare::default());
            }
            let Some(share) = shares.get_mut(name) else { continue };
            let add = |count: &mut u64, more: usize| {
                *count = count.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
            };
            add(&mut share.waiting, lane.waiting());
            add(&mut share.in_flight, lane.in_flight);
            let state = if lane.state == State::Paused {
                &mut share.paused
            } else if lane.blocked_until().is_some() || lane.failures > 0 {
                let reason = lane.trouble.as_ref().map_or(UNKNOWN, |trouble| trouble.token());
                share.failing_by.entry(reason).or_default()
            } else {
                &mut share.open
            };
            add(state, 1);
        }
        last.cloned()
    }

    /// The lanes of these keys.
    pub(in crate::scheduler) fn views(&self, lanes: &[LaneKey], dates: &Dates) -> Vec<LaneView> {
        let known = lanes.iter().filter_map(|key| Some((key, self.lanes.get(key)?)));
        known.map(|(key, lane)| lane_view(key, lane, dates)).collect()
    }

    /// The blocked or paused ones among these lanes, in the order given.
    pub(in crate::scheduler) fn blocked(&self, lanes: &[LaneKey], dates: &Dates) -> Vec<LaneView> {
        let known = lanes.iter().filter_map(|key| Some((key, self.lanes.get(key)?)));
        let blocked = known.filter(|(_, lane)| lane.blocked_until().is_some() || lane.state == State::Paused);
        blocked.map(|(key, lane)| lane_view(key, lane, dates)).collect()
    }
}

fn lane_view<L>(key: &LaneKey, lane: &Lane<L>, dates: &Dates) -> LaneView {
    LaneView {
        lane: key.clone(),
        connector: lane.way.as_ref().map(|way| Arc::clone(&way.connector.name)),
        domain: lane.way.as_ref().and_then(|way| way.domain.clone()),
        waiting: lane.waiting(),
        in_flight: lane.in_flight,
        carriers: lane.carriers,
        on_disk: lane.on_disk.map(|time| dates.to_wall(time)),
        paused: lane.state == State::Paused,
        blocked_until: lane.blocked_until().map(|time| dates.to_wall(time)),
        failures: lane.failures,
        status: lane.trouble.as_ref().map(|trouble| trouble.status),
        reason: lane.trouble.as_ref().map(|trouble| trouble.reason.clone()),
        trouble: lane.trouble.clone(),
    }
}

/// The reason of a lane whose trouble is not known.
const UNKNOWN: &str = "unknown";
/// The most lanes a survey returns.
const LANES_MAX: usize = 1_000;
/// Lanes read in one batch: a few milliseconds.
pub(super) const LANES_LOOK: usize = 10_000;
