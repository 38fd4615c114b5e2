//! State shared by the spool's threads and its callers. It does no I/O except writing the mark of a fault.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::apply::OperationEffects;
use crate::spool::body::Bodies;
use crate::spool::mark::Marker;
use crate::spool::{LeaseBook, SpoolFault, Stats};

/// State shared by the threads and the callers.
pub(super) struct SpoolState {
    pub(super) book: Arc<LeaseBook>,
    pub(super) bodies: Bodies,
    broken: watch::Sender<Option<SpoolFault>>,
    messages: AtomicI64,
    recipients: AtomicI64,
    held: AtomicI64,
    kept: AtomicUsize,
    pub(super) marker: Marker,
    /// Consecutive faults before this start; `since` is when this process started.
    faults: u32,
    since: Instant,
    /// The spool is being dropped: its threads may end.
    pub(super) closing: AtomicBool,
}

impl SpoolState {
    pub(super) fn new(bodies: Bodies, stats: Stats, (marker, faults): (Marker, u32)) -> Self {
        let counter = |count: u64| AtomicI64::new(i64::try_from(count).unwrap_or(i64::MAX));
        Self {
            book: Arc::new(LeaseBook::default()),
            bodies,
            broken: watch::Sender::new(None),
            messages: counter(stats.messages),
            recipients: counter(stats.recipients),
            held: counter(stats.held),
            kept: AtomicUsize::new(0),
            marker,
            faults,
            since: Instant::now(),
            closing: AtomicBool::new(false),
        }
    }

    /// Updates the counters after a commit.
    pub(super) fn count(&self, applied: &OperationEffects) {
        self.messages.fetch_add(applied.messages, Ordering::Relaxed);
        self.recipients.fetch_add(applied.recipients, Ordering::Relaxed);
        self.held.fetch_add(applied.held, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> Stats {
        let read = |counter: &AtomicI64| u64::try_from(counter.load(Ordering::Relaxed)).unwrap_or_default();
        Stats { messages: read(&self.messages), recipients: read(&self.recipients), held: read(&self.held) }
    }

    /// Sets the number of settlements waiting for room.
    pub(super) fn set_kept(&self, count: usize) {
        self.kept.store(count, Ordering::Relaxed);
    }

    /// Refuses new leases while too many settlements wait for room: each attempt adds one, and what is
    /// delivered but not recorded is delivered again after a crash.
    pub(super) fn may_lease(&self) -> Result<(), SpoolFault> {
        if self.kept.load(Ordering::Relaxed) <= KEPT_MAX {
            return Ok(());
        }
        Err(SpoolFault::Full(format!("more than {KEPT_MAX} settlements wait for room; free some")))
    }

    /// Why the engine can't continue; `None` while it can.
    pub(super) fn fault(&self) -> Option<SpoolFault> {
        self.broken.borrow().clone()
    }

    /// Stops the engine and writes a mark. The first fault is kept.
    pub(super) fn set_broken(&self, fault: SpoolFault) {
        // Written before anyone is notified, since the process may end then.
        if self.fault().is_none() {
            let before = if self.since.elapsed() < IN_A_ROW { self.faults } else { 0 };
            self.marker.fault(before.saturating_add(1), &fault.to_string());
        }
        self.broken.send_if_modified(|broken| {
            let first = broken.is_none();
            if first {
                *broken = Some(fault);
            }
            first
        });
    }

    pub(super) fn watch(&self) -> watch::Receiver<Option<SpoolFault>> {
        self.broken.subscribe()
    }
}

/// Stops the engine if the thread holding this ends unexpectedly: nothing would be answered any more.
pub(super) struct Alarm(pub(super) Arc<SpoolState>, pub(super) &'static str);

impl Drop for Alarm {
    fn drop(&mut self) {
        // The first fault is kept; after it, threads may end.
        if std::thread::panicking() || !self.0.closing.load(Ordering::SeqCst) {
            self.0.set_broken(SpoolFault::Lost(self.1));
        }
    }
}

/// A fault within this time of a start counts as consecutive to the earlier ones.
const IN_A_ROW: Duration = Duration::from_secs(3_600);
/// With more settlements than this waiting for room, nothing more is leased.
pub(super) const KEPT_MAX: usize = 4096;
