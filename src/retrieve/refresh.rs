//! When a list is fetched again. Pure.

use std::time::Duration;

use crate::mail::UnixMillis;

/// Even a list for a year is looked at each day: authorities publish a new one when they revoke something.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const WAIT_MIN: Duration = Duration::from_secs(5 * 60);
const BACK_OFF_MAX: Duration = Duration::from_secs(60 * 60);

/// The time between two rounds of tidying and reporting.
pub(super) const ROUND: Duration = Duration::from_secs(10 * 60);

/// Whether a round is due. One that is far ahead was planned before the clock was set back.
pub(super) fn is_round(next_round: UnixMillis, now: UnixMillis) -> bool {
    next_round <= now || next_round.since(now) > ROUND.saturating_mul(2)
}

/// The wait after a success: about half of what is left of the list, so that there are several attempts before it
/// ends. `jitter` is below 1 and spreads the requests of all relays.
pub(super) fn after_success(next_update: Option<UnixMillis>, now: UnixMillis, jitter: f64) -> Duration {
    let left = next_update.map_or(WAIT_MAX, |next| next.since(now));
    spread(left / 2, jitter).clamp(WAIT_MIN, WAIT_MAX)
}

/// The wait after so many failures in a row; it doubles up to an hour.
pub(super) fn after_failures(first: Duration, failures: u32, jitter: f64) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
    spread(first.saturating_mul(factor).min(BACK_OFF_MAX), jitter)
}

/// Up to a quarter less.
fn spread(wait: Duration, jitter: f64) -> Duration {
    wait.mul_f64((1.0 - jitter / 4.0).clamp(0.75, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * 60 * 1_000;

    #[test]
    fn a_round_is_due_at_its_time_and_after_a_step_back_of_the_clock() {
        let next = UnixMillis(1_800_000_000_000);
        for (minutes, due) in [(-60, true), (-21, true), (-10, false), (0, true), (60, true)] {
            assert_eq!(is_round(next, UnixMillis(next.0 + minutes * HOUR / 60)), due, "{minutes} min");
        }
    }

    #[test]
    fn a_list_is_fetched_again_well_before_it_ends() {
        let now = UnixMillis(1_800_000_000_000);
        let wait = |hours: i64, jitter| {
            after_success(Some(UnixMillis(now.0 + hours * HOUR)), now, jitter).as_secs() / 60
        };
        assert_eq!([wait(1, 0.0), wait(1, 1.0)], [30, 22]);
        assert_eq!([wait(24, 0.0), wait(24, 1.0)], [720, 540]);
        assert_eq!([wait(24 * 365, 0.0), wait(24 * 365, 1.0)], [1440, 1440]);
        assert_eq!([wait(0, 0.0), wait(-9, 0.0)], [5, 5], "it has ended: not at once, but soon");
        assert_eq!(after_success(None, now, 0.0).as_secs() / 60, 720);
        // From any moment on there are at least three attempts before the end of a list for a day.
        let (mut at, mut attempts) = (0, 0);
        while at < 24 * HOUR {
            let wait = after_success(Some(UnixMillis(24 * HOUR)), UnixMillis(at), 0.0);
            at += i64::try_from(wait.as_millis()).expect("a wait");
            attempts += 1;
        }
        assert!(attempts > 5, "{attempts}");
    }

    #[test]
    fn failures_back_off_up_to_an_hour() {
        let minute = Duration::from_secs(60);
        let waits: Vec<u64> =
            (1..10).map(|failures| after_failures(minute, failures, 0.0).as_secs() / 60).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(after_failures(minute, u32::MAX, 1.0).as_secs(), 45 * 60);
        assert_eq!(after_failures(Duration::from_secs(1), 0, 0.0).as_secs(), 1);
    }
}
