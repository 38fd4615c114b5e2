use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::UnixMillis;

/// The process's clock: wall-clock time as it was at the start, and from then on the monotonic
/// clock, so that setting the host's clock back delays nothing.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    started_at: UnixMillis,
}

impl Clock {
    /// Starts it from the wall clock.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now(), started_at: Self::wall() }
    }

    /// The time now; it never goes back.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.started_at.plus(self.started.elapsed())
    }

    /// How long it will be until `time`; zero if it has passed.
    #[must_use]
    pub fn until(&self, time: UnixMillis) -> Duration {
        time.since(self.now())
    }

    /// What the host's clock says now: certificates are judged by it.
    #[must_use]
    pub fn wall() -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}
