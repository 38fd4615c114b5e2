//! Connectors that an operator has paused.

use super::lane::{State, connector_of};
use super::machine::Core;
use super::{Actions, At};
use crate::spool::{Divisible, LaneKey};

impl<L: Divisible> Core<L> {
    /// Pauses a connector, or lets it go on; its lanes follow by [`Self::tend_all`].
    pub(in crate::scheduler) fn pause(&mut self, connector: &str, paused: bool) {
        if paused {
            self.paused.insert(connector.into());
        } else {
            self.paused.remove(connector);
        }
    }

    /// Brings a lane's state in line with what the operator said. While it is paused it holds nothing, and nothing
    /// of it is given up.
    pub(super) fn heed_pause(&mut self, key: &LaneKey, at: At<'_>, out: &mut Actions<L>) {
        let paused = !self.paused.is_empty()
            && self.paused.contains(connector_of(key))
            && at.table.outbound.iter().any(|c| *c.name == *connector_of(key));
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
