//! What must hold for the core after every event. Tests only: each invariant is checked from scratch.

use std::collections::BTreeSet;

use super::super::lane::State;
use super::super::machine::Core;
use super::super::{At, Timer};
use crate::mail::UnixMillis;
use crate::spool::{Divisible, LaneKey};

impl<L: Divisible + std::fmt::Debug> Core<L> {
    /// Panics if an invariant is violated.
    pub(in crate::scheduler::core) fn check(&self, at: At<'_>) {
        let now = at.now();
        if let Some(first) = self.timers.first() {
            assert!(first > now, "a timer is due at {first:?}, and it is {now:?}");
        }
        let (mut waiting, mut in_flight, mut carriers) = (0, 0, 0);
        for (key, lane) in &self.lanes {
            waiting += lane.waiting();
            in_flight += lane.in_flight;
            carriers += lane.carriers;
            assert!(lane.starting <= lane.carriers, "{key}: {lane:?}");
            if !self.stopped {
                self.check_lane(key, now);
            }
        }
        assert_eq!(waiting, self.waiting, "messages that wait");
        let asked: usize = self.carriers.values().map(|carrier| carrier.questions.len()).sum();
        self.check_places(in_flight - asked, carriers);
    }

    /// Work that can be done is under way, has a deadline, or waits for something that others hold.
    fn check_lane(&self, key: &LaneKey, now: UnixMillis) {
        let lane = &self.lanes[key];
        let armed = lane.timer.is_some_and(|time| self.timers.has(&Timer::Lane(key.clone()), time));
        assert_eq!(lane.timer.is_some(), armed, "{key}: a timer that is not set");
        let by_timer =
            |time: UnixMillis| lane.timer.is_some_and(|timer| timer > now && timer <= time.max(timer));
        if let Some(until) = lane.blocked_until() {
            assert!(until > now && by_timer(until), "{key} is blocked and never opened: {lane:?}");
        }
        if (lane.waiting() > 0 || lane.has_questions())
            && !matches!(lane.state, State::Blocked(_) | State::Paused)
        {
            let later = lane.wants_carrier_at(now).is_some_and(|time| time > now && lane.timer.is_some());
            let rests = lane.rests_until.is_some_and(|until| until > now && lane.timer.is_some());
            let served = lane.carriers > 0 || lane.in_flight > 0 || lane.in_turn || later || rests;
            assert!(served, "{key} waits and nobody comes: {lane:?}");
        }
        if let Some(due) = lane.on_disk
            && !matches!(lane.state, State::Blocked(_) | State::Paused)
        {
            let room = lane.has_room(self.window_max);
            let asked = lane.fetching || lane.hungry || (due > now && lane.timer.is_some());
            assert!(!room || asked, "{key} has mail on disk and is not looked at: {lane:?}");
        }
        assert_eq!(lane.in_turn, self.floor.has_lane(key), "{key}: its turn");
        assert_eq!(
            lane.hungry,
            self.hungry.iter().chain(&self.hungry_served).filter(|hungry| *hungry == key).count() == 1,
            "{key}: hunger"
        );
    }

    /// Carriers, flights and places are each counted once.
    fn check_places(&self, in_flight: usize, carriers: usize) {
        assert_eq!(self.flights_count(), in_flight, "flights");
        let enlisted = self.carriers.values().filter(|carrier| carrier.is_enlisted()).count();
        assert_eq!(enlisted, carriers, "carriers of lanes");
        let known: BTreeSet<u64> = self.carriers.keys().copied().collect();
        self.floor.check(&known, self.stopped);
    }
}
