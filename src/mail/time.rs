//! Wall-clock timestamps and how they are formatted. It reads no clock.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Wall-clock time: milliseconds since 1970 (UTC).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// This time plus a duration; saturates.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This time minus a duration; saturates.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Days since 1970, in UTC.
    #[must_use]
    pub fn day(self) -> i64 {
        self.0.div_euclid(DAY_MILLIS)
    }

    /// The beginning of a day, counted since 1970, in UTC.
    #[must_use]
    pub fn of_day(day: i64) -> Self {
        Self(day.saturating_mul(DAY_MILLIS))
    }

    /// The time elapsed since `earlier`; zero if that lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

const DAY_MILLIS: i64 = 24 * 3_600 * 1_000;

/// The day of a date such as 2026-11-29, counted since 1970, in UTC; `None`: it is no date.
#[must_use]
pub fn day_of_date(date: &str) -> Option<i64> {
    let date: jiff::civil::Date = date.parse().ok()?;
    let midnight = date.in_tz("UTC").ok()?;
    Some(UnixMillis(midnight.timestamp().as_millisecond()).day())
}

/// Formats a date by RFC 5322 §3.3, in UTC.
#[must_use]
pub fn rfc5322(time: UnixMillis) -> String {
    timestamp(time).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// Formats a date by RFC 3339, in UTC, to the second.
#[must_use]
pub fn rfc3339(time: UnixMillis) -> String {
    timestamp(time).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Formats a date by RFC 3339, in UTC, to the millisecond.
#[must_use]
pub fn rfc3339_millis(time: UnixMillis) -> String {
    timestamp(time).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// A duration in its largest unit, in words.
#[must_use]
pub fn span_in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

fn timestamp(time: UnixMillis) -> Timestamp {
    Timestamp::from_millisecond(time.0).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_in_both_forms() {
        let time = UnixMillis(1_795_469_756_000);
        assert_eq!(rfc5322(time), "Mon, 23 Nov 2026 21:35:56 +0000");
        assert_eq!(rfc3339(time), "2026-11-23T21:35:56Z");
        assert_eq!(rfc3339_millis(UnixMillis(time.0 + 7)), "2026-11-23T21:35:56.007Z");
    }
}
