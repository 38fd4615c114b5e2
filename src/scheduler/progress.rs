//! A carrier's progress: recorded by one atomic write, and read only while others wait for its place.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// One carrier's progress, and the signal that others want its place.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    /// Milliseconds from the start to the last step.
    moved_at: AtomicU64,
    after_dot: AtomicBool,
    evicted: CancellationToken,
    recalled: AtomicBool,
    dismissed: CancellationToken,
    granted: Notify,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            moved_at: AtomicU64::new(0),
            after_dot: AtomicBool::new(false),
            evicted: CancellationToken::new(),
            recalled: AtomicBool::new(false),
            dismissed: CancellationToken::new(),
            granted: Notify::new(),
        }
    }
}

impl Progress {
    /// Records a step: a complete reply, a finished handshake, or output that was taken.
    pub fn moved(&self) {
        let since = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_at.store(since, Ordering::Relaxed);
    }

    /// Sets whether a final dot was sent and is unanswered. While it is set the message may have been
    /// delivered, and the session is not ended for others.
    pub fn set_after_dot(&self, after_dot: bool) {
        self.after_dot.store(after_dot, Ordering::Relaxed);
    }

    /// Completes once others wait for this place and nothing has moved here for long, or the daemon
    /// stops and no session is open; never after the final dot.
    pub async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// Whether the daemon stops; the rest of a job is left for the next start.
    #[must_use]
    pub fn is_recalled(&self) -> bool {
        self.recalled.load(Ordering::Relaxed)
    }

    /// Whether this place was given to others.
    #[must_use]
    pub fn is_evicted(&self) -> bool {
        self.evicted.is_cancelled()
    }

    pub(super) fn is_after_dot(&self) -> bool {
        self.after_dot.load(Ordering::Relaxed)
    }

    pub(super) fn still_for(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.moved_at.load(Ordering::Relaxed)))
    }

    pub(super) fn evict(&self) {
        self.evicted.cancel();
    }

    pub(super) fn recall(&self) {
        self.recalled.store(true, Ordering::Relaxed);
        self.evict();
    }

    pub(super) fn dismiss(&self) {
        self.dismissed.cancel();
    }

    pub(super) async fn dismissed(&self) {
        self.dismissed.cancelled().await;
    }

    pub(super) fn grant(&self) {
        self.granted.notify_one();
    }

    pub(super) async fn granted(&self) {
        self.granted.notified().await;
    }
}
