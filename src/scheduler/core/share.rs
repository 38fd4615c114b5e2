//! What one outbound connector has of lanes and places, for whoever watches. It reads no lane itself.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The lanes and places of one outbound connector at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectorShare {
    /// Lanes that are tried.
    pub open: u64,
    /// Lanes that an operator has paused.
    pub paused: u64,
    /// Lanes whose last attempt failed as a whole, by the token of the trouble.
    pub failing_by: BTreeMap<&'static str, u64>,
    /// Messages that wait in memory.
    pub waiting: u64,
    /// Messages that carriers have.
    pub in_flight: u64,
    /// Sessions being opened.
    pub opening: u64,
    /// Carriers that wait until a host has fewer connections, or for a seat.
    pub queued: u64,
    /// Sessions that carry mail.
    pub seated: u64,
    /// Sessions that made no progress and lost their seat to others.
    pub parked: u64,
}

/// The shares of all connectors that have any.
pub type ConnectorShares = BTreeMap<Arc<str>, ConnectorShare>;

impl ConnectorShare {
    /// Whether it has any lane.
    #[must_use]
    pub fn has_lanes(&self) -> bool {
        self.open > 0 || self.paused > 0 || self.failing() > 0
    }

    /// Lanes that fail, for any reason.
    #[must_use]
    pub fn failing(&self) -> u64 {
        self.failing_by.values().copied().fold(0, u64::saturating_add)
    }
}
