//! How many sessions each listener has open. It limits nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::settings::Settings;

/// The number of open sessions, by listener.
#[derive(Debug)]
pub struct OpenSessions(BTreeMap<String, Arc<AtomicU64>>);

impl OpenSessions {
    /// None yet, at the listeners of these settings.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self(settings.listeners.iter().map(|one| (one.name.clone(), Arc::default())).collect())
    }

    /// Every listener, and its open sessions.
    #[must_use]
    pub fn list(&self) -> Vec<(String, u64)> {
        self.0.iter().map(|(name, open)| (name.clone(), open.load(Ordering::Relaxed))).collect()
    }

    /// The count of a listener.
    pub(super) fn at(&self, listener: &str) -> Arc<AtomicU64> {
        self.0.get(listener).map_or_else(Arc::default, Arc::clone)
    }
}

/// Counts one session until it is dropped.
#[derive(Debug)]
pub(super) struct CountedSession(Arc<AtomicU64>);

impl CountedSession {
    pub(super) fn begin(open: &Arc<AtomicU64>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for CountedSession {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
