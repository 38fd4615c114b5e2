//! Checked settings of the tracking store. It parses no configuration.

use std::time::Duration;

/// What is kept of each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackingSettings {
    /// Whether anything is kept.
    pub enabled: bool,
    /// How long events are kept.
    pub keep: Duration,
    /// Octets that the store may take.
    pub bytes_max: u64,
}
