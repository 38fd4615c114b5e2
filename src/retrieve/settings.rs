//! How things are retrieved.

use std::time::Duration;

/// Limits of one retrieval, and the pace of the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// For the whole exchange, DNS included.
    pub timeout: Duration,
    /// Maximum size of what comes back.
    pub bytes_max: usize,
    /// The wait after the first failure; it doubles.
    pub retry: Duration,
}
