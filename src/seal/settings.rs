//! Checked settings of the sealed record. It parses no configuration.

use std::sync::Arc;
use std::time::Duration;

/// How the record of events is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealSettings {
    /// The name of the relay, which each statement gives.
    pub site: String,
    /// The authority that stamps statements that close a day (RFC 3161), if one does.
    pub timestamp_url: Option<Arc<str>>,
    /// How old a key may get; then another one takes its place.
    pub rotate: Duration,
}
