//! Connectors that an operator has stand still.

use super::lane::State;
use super::queue::{Actions, At, Queue};
use crate::spool::LaneKey;

impl Queue {
    /// Lets the lanes of a connector stand still, or go on.
    pub(super) fn pause(&mut self, connector: &str, paused: bool, at: At<'_>) -> Actions {
        let mut out = Actions::default();
        if paused {
            self.paused.insert(connector.into());
        } else {
            self.paused.remove(connector);
        }
        let of_it = |key: &&LaneKey| connector_of(key) == connector;
        let keys: Vec<LaneKey> = self.lanes.keys().filter(of_it).cloned().collect();
        for key in keys {
            self.tend(key, at, &mut out);
        }
        out
    }

    /// Brings a lane's state in line with what the operator said. While it stands still it holds nothing,
    /// and nothing of it is given up.
    pub(super) fn heed_pause(&mut self, key: &LaneKey, at: At<'_>, out: &mut Actions) {
        let named = self.paused.contains(connector_of(key));
        let still = named && at.table.outbound.iter().any(|c| *c.name == *connector_of(key));
        let Some(lane) = self.lanes.get_mut(key) else { return };
        if still && lane.state != State::Paused {
            lane.state = State::Paused;
            lane.sweep_at = None;
            self.forget_all(key, at, out);
        } else if !still && lane.state == State::Paused {
            lane.state = State::Open;
            lane.mark_disk(at.now);
        }
    }
}

/// The connector that a lane's key names.
fn connector_of(key: &LaneKey) -> &str {
    key.0.split('/').next().unwrap_or_default()
}
