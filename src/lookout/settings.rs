//! The checked settings of `[watch]`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::mail::Mailbox;

/// What is watched, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether anything is.
    pub on: bool,
    /// How often each target is looked at.
    pub every: Duration,
    /// Maximum number of connections, look-ups included, at the same time.
    pub at_once_max: usize,
    /// The outbound connectors that are left out.
    pub except: BTreeSet<Arc<str>>,
    /// Recipients that hosts are asked about, each at the connector that serves it.
    pub recipients: Vec<Mailbox>,
    /// How long changes are kept.
    pub keep: Duration,
}
