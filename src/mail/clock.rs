//! Reads the clocks, and waits for a time that goes on while the host is suspended.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustix::time::{ClockId, clock_gettime};

use super::{Dates, Offsets, UnixMillis};

/// The process's clock. Its steady time is the host's date at the start and what has passed since: it never steps,
/// and it counts the time for which the host was suspended (CLOCK_BOOTTIME). Clones are the same clock.
#[derive(Debug, Clone)]
pub struct Clock {
    /// When it started, in milliseconds since the host did.
    booted: i64,
    started_at: UnixMillis,
    offsets: Arc<ArcSwap<Offsets>>,
}

impl Clock {
    /// Starts it from the host's date.
    #[must_use]
    pub fn start() -> Self {
        Self {
            booted: boottime(),
            started_at: Self::wall(),
            offsets: Arc::new(ArcSwap::from_pointee(Offsets::start(0))),
        }
    }

    /// The steady time now; it never goes back.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        UnixMillis(self.started_at.0.saturating_add(boottime().saturating_sub(self.booted)))
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

    /// The steady time and the host's date, with all steps of the latter that were seen here. It costs
    /// two looks at clocks that need no system call; only a step costs more.
    #[must_use]
    pub fn dates(&self) -> Dates {
        let (now, wall) = (self.now(), Self::wall());
        let offset = wall.0.saturating_sub(now.0);
        let seen = **self.offsets.load();
        if seen.noting(offset).is_some() {
            self.offsets.rcu(|seen| Arc::new(seen.noting(offset).unwrap_or(**seen)));
        }
        Dates::new(now, wall, seen)
    }

    /// Waits until `time`, also where the host is suspended meanwhile. The runtime's timers stand still then, so a
    /// long wait is looked at every [`LOOK_EVERY`]: it ends that much late at most.
    pub async fn sleep_until(&self, time: UnixMillis) {
        loop {
            let left = self.until(time);
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
        }
    }
}

/// Milliseconds since the host started, suspended or not.
fn boottime() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000)
}

/// How often a wait is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_nobody_sets_has_one_time() {
        let clock = Clock::start();
        let dates = clock.dates();
        assert!(dates.now().0.abs_diff(dates.wall().0) < 1_000);
        assert!(clock.now() >= dates.now());
        assert_eq!(clock.clone().dates().to_wall(dates.now()).0.abs_diff(dates.wall().0) / 1_000, 0);
    }

    #[tokio::test]
    async fn a_wait_ends_no_earlier_than_its_time() {
        let clock = Clock::start();
        let time = clock.now().plus(Duration::from_millis(30));
        clock.sleep_until(time).await;
        assert!(clock.now() >= time);
        clock.sleep_until(time).await;
    }
}
