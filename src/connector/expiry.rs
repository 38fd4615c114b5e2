//! The days before a certificate's expiry at which a warning is due. No clock here: `now` is an argument.

use crate::mail::UnixMillis;

/// The smallest warning threshold in days that has been reached; 0 once the certificate has expired.
#[must_use]
pub fn expiry_threshold(not_after: UnixMillis, now: UnixMillis) -> Option<u64> {
    // RFC 5280 §4.1.2.5: the validity period includes notAfter.
    if not_after < now {
        return Some(0);
    }
    let left = not_after.since(now).as_secs();
    DAYS.into_iter().find(|days| left < days.saturating_mul(DAY_SECONDS))
}

/// Warning thresholds in days before notAfter, ascending.
const DAYS: [u64; 4] = [1, 7, 14, 30];
const DAY_SECONDS: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(seconds_left: i64, expected: Option<u64>) {
        let now = UnixMillis(1_795_469_756_000);
        assert_eq!(expiry_threshold(UnixMillis(now.0 + seconds_left * 1_000), now), expected);
    }

    #[test]
    fn each_day_to_be_told_at_has_its_time() {
        const DAY: i64 = 24 * 60 * 60;
        check(365 * DAY, None);
        check(30 * DAY, None);
        check(30 * DAY - 1, Some(30));
        check(14 * DAY, Some(30));
        check(14 * DAY - 1, Some(14));
        check(7 * DAY, Some(14));
        check(7 * DAY - 1, Some(7));
        check(DAY, Some(7));
        check(DAY - 1, Some(1));
        check(0, Some(1));
        check(-1, Some(0));
        check(-365 * DAY, Some(0));
    }
}
