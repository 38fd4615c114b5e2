//! Pauses and resumes connectors for an operator. It does not decide which mail goes where.

use super::lane::State;
use super::machine::Core;
use super::{Actions, At};
use crate::spool::{Divisible, LaneKey};

impl<L: Divisible> Core<L> {
    /// Pauses or resumes a connector; its lanes follow by [`Self::tend_all`].
    pub(in crate::scheduler) fn pause(&mut self, connector: &str, paused: bool) {
        if paused {
            self.paused.insert(connector.into());
        } else {
            self.paused.remove(connector);
        }
    }

    /// Brings a lane's state in line with the operator's pause. A paused lane holds nothing in memory,
    /// and none of its mail expires.
    pub(super) fn heed_pause(&mut self, key: &LaneKey, at: At<'_>, out: &mut Actions<L>) {
        let paused = self.is_paused(key, at);
        let Some(lane) = self.lanes.get_mut(key) else { return };
        if paused && lane.state != State::Paused {
            lane.state = State::Paused;
            lane.sweep_at = None;
            self.forget_all(key, at, out);
        } else if !paused && lane.state == State::Paused {
            lane.state = State::Open;
            lane.mark_disk(at.now());
        }
    }
}
