//! Reads the clocks, and sleeps until a time that keeps running while the host is suspended. It decides
//! nothing.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustix::time::{ClockId, clock_gettime};

use super::{Dates, Offsets, UnixMillis};

/// The process's clock. Steady time is the host's date at startup plus the time elapsed since. It never
/// steps, and it counts time spent suspended (CLOCK_BOOTTIME). Clones share the same clock.
#[derive(Debug, Clone)]
pub struct Clock {
    /// Boot time (CLOCK_BOOTTIME) when the clock was started, in milliseconds.
    booted: i64,
    started_at: UnixMillis,
    offsets: Arc<ArcSwap<Offsets>>,
}

impl Clock {
    /// Starts the clock from the host's date.
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

    /// The time left until `time`; zero if it has passed.
    #[must_use]
    pub fn until(&self, time: UnixMillis) -> Duration {
        time.since(self.now())
    }

    /// The host's date now; certificates are judged by it.
    #[must_use]
    pub fn wall() -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// The steady time and the host's date, with every clock step seen so far. It costs two clock reads
    /// without a system call; only a step costs more.
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

    /// Sleeps until `time`, even if the host is suspended meanwhile. The runtime's timers stop during a
    /// suspend, so a long wait is rechecked every [`LOOK_EVERY`]: it ends at most that much late.
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

/// Milliseconds since boot, suspended or not.
fn boottime() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000)
}

/// How often a wait is rechecked.
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
