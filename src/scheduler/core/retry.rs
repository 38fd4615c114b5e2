//! When a message is tried again, when a delay is reported to its reverse-path, and when it expires.
//! Pure functions of times.

use std::borrow::Cow;
use std::time::Duration;

use crate::connector::Retry;
use crate::mail::{Enhanced, ReversePath, UnixMillis};
use crate::outcome::{Cause, Trouble};
use crate::spool::Overdue;

/// What follows a deferral.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again at this time.
    TryAt(UnixMillis),
    /// The message has expired.
    GiveUp,
}

/// The wait after this many failures, the first one being 1; the last wait repeats.
#[must_use]
pub fn next_wait(retry: &Retry, failures: u32) -> Duration {
    let place = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    retry.waits.get(place).or(retry.waits.last()).copied().unwrap_or(WITHOUT_CONNECTOR)
}

/// What follows an attempt made at `now` that left a recipient in the queue; `failures` includes it.
/// The last attempt is made when the message expires, not before.
#[must_use]
pub fn after_attempt(retry: &Retry, accepted_at: UnixMillis, failures: u32, now: UnixMillis) -> Next {
    let end = expires_at(retry, accepted_at);
    if end <= now {
        return Next::GiveUp;
    }
    Next::TryAt(now.plus(next_wait(retry, failures)).min(end))
}

/// The schedule of one message; one with the null reverse-path may expire sooner.
#[must_use]
pub fn for_message<'a>(
    retry: &'a Retry,
    null_sender_expire: Option<Duration>,
    reverse_path: &ReversePath,
) -> Cow<'a, Retry> {
    match null_sender_expire.filter(|expire| reverse_path.is_null() && *expire < retry.expire) {
        Some(expire) => Cow::Owned(Retry { expire, ..retry.clone() }),
        None => Cow::Borrowed(retry),
    }
}

/// When a message accepted at `accepted_at` expires.
#[must_use]
pub fn expires_at(retry: &Retry, accepted_at: UnixMillis) -> UnixMillis {
    accepted_at.plus(retry.expire)
}

/// Whether the delay must be reported to the reverse-path now.
#[must_use]
pub fn delay_is_due(retry: &Retry, accepted_at: UnixMillis, told: bool, now: UnixMillis) -> bool {
    !told && retry.delay_dsn.is_some_and(|after| accepted_at.plus(after) <= now)
}

/// Messages accepted at or before these times are due for a delay report, or have expired.
#[must_use]
pub fn cutoffs(retry: &Retry, null_sender_expire: Option<Duration>, now: UnixMillis) -> Overdue {
    Overdue {
        delay: retry.delay_dsn.map(|after| back(now, after)),
        expire: back(now, retry.expire),
        null_expire: null_sender_expire.map(|after| back(now, after)),
    }
}

/// The schedule of mail that no connector covers any more. It is retried every quarter of an hour, so
/// that a corrected configuration soon picks it up, and by default expires no later than other mail.
/// None expires soon after the process started: a connector left out by mistake is only noticed then,
/// and the mail may have waited under a longer limit, or while the host was down.
#[must_use]
pub fn without_connector(accepted_at: UnixMillis, started_at: UnixMillis) -> Retry {
    let spared = started_at.plus(WITHOUT_CONNECTOR_GRACE).since(accepted_at);
    Retry {
        waits: vec![WITHOUT_CONNECTOR],
        expire: WITHOUT_CONNECTOR_EXPIRE.max(spared),
        delay_dsn: Some(Duration::from_secs(4 * 3600)),
    }
}

/// Turns the last trouble of an expired recipient into the final one. An unmet TLS requirement keeps
/// its own code; anything else becomes `delivery time expired` (RFC 3463 §3.5) with the last reason.
#[must_use]
pub fn expired(trouble: Trouble, retry: &Retry) -> Trouble {
    if trouble.cause == Cause::Requirement {
        return Trouble { expired: true, ..trouble.made_final() };
    }
    let reason = format!("not delivered within {}: {}", in_words(retry.expire), trouble.reason);
    Trouble { status: Enhanced(5, 4, 7), reason, expired: true, ..trouble }
}

/// Formats a duration in its two largest units.
#[must_use]
pub fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut words: Vec<String> = Vec::new();
    for (size, name) in units {
        let count = rest.checked_div(size).unwrap_or_default();
        rest = rest.checked_rem(size).unwrap_or_default();
        if count > 0 {
            words.push(format!("{count} {name}"));
        }
    }
    words.truncate(2);
    if words.is_empty() { "0 s".to_owned() } else { words.join(" ") }
}

fn back(now: UnixMillis, by: Duration) -> UnixMillis {
    UnixMillis(now.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
}

/// How often mail that no connector covers is retried.
pub(super) const WITHOUT_CONNECTOR: Duration = Duration::from_secs(15 * 60);
const WITHOUT_CONNECTOR_EXPIRE: Duration = Duration::from_secs(2 * 24 * 3600);
/// Time after the process's start during which no mail expires for lack of a connector.
const WITHOUT_CONNECTOR_GRACE: Duration = Duration::from_secs(4 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Scope;

    fn retry() -> Retry {
        Retry {
            waits: [1, 1, 5, 60].map(Duration::from_secs).to_vec(),
            expire: Duration::from_secs(100),
            delay_dsn: Some(Duration::from_secs(10)),
        }
    }

    #[track_caller]
    fn check(failures: u32, now_s: i64, expected: &str) {
        let got = match after_attempt(&retry(), UnixMillis(0), failures, UnixMillis(now_s * 1000)) {
            Next::TryAt(time) => format!("at {} ms", time.0),
            Next::GiveUp => "give up".to_owned(),
        };
        assert_eq!(got, expected, "{failures} failures at {now_s} s");
    }

    #[test]
    fn the_last_wait_repeats() {
        check(1, 0, "at 1000 ms");
        check(2, 0, "at 1000 ms");
        check(3, 0, "at 5000 ms");
        check(4, 0, "at 60000 ms");
        check(5, 0, "at 60000 ms");
        check(u32::MAX, 0, "at 60000 ms");
        check(0, 0, "at 1000 ms");
    }

    #[test]
    fn the_last_attempt_is_made_when_the_time_is_over() {
        check(4, 40, "at 100000 ms");
        check(4, 41, "at 100000 ms");
        check(4, 99, "at 100000 ms");
        check(4, 100, "give up");
        check(1, 101, "give up");
    }

    #[test]
    fn mail_without_a_sender_may_end_sooner() {
        let expire = |path: &str, null: u64| {
            let path = ReversePath::parse(path).expect("a path");
            for_message(&retry(), Some(Duration::from_secs(null)), &path).expire.as_secs()
        };
        assert_eq!([expire("", 50), expire("", 200), expire("a@b.example", 50)], [50, 100, 100]);
    }

    #[test]
    fn the_sender_is_told_once() {
        let due = |told, ms| delay_is_due(&retry(), UnixMillis(0), told, UnixMillis(ms));
        assert!(!due(false, 9_999));
        assert!(due(false, 10_000));
        assert!(!due(true, 10_000));
        let never = Retry { delay_dsn: None, ..retry() };
        assert!(!delay_is_due(&never, UnixMillis(0), false, UnixMillis(i64::MAX)));
        let (delay, expire) = (Some(UnixMillis(90_000)), UnixMillis(0));
        let cut = |null| cutoffs(&retry(), null, UnixMillis(100_000));
        assert_eq!(cut(None), Overdue { delay, expire, null_expire: None });
        let null_expire = Some(UnixMillis(40_000));
        assert_eq!(cut(Some(Duration::from_secs(60))), Overdue { delay, expire, null_expire });
    }

    #[test]
    fn an_expired_trouble_says_how_long_it_was_tried() {
        let trouble = Trouble {
            status: Enhanced(4, 4, 1),
            cause: Cause::Unreachable,
            reason: "no answer".to_owned(),
            remote: None,
            decision: None,
            scope: Scope::Lane,
            expired: false,
        };
        let last = expired(trouble, &retry());
        assert_eq!(last.status, Enhanced(5, 4, 7));
        assert_eq!(last.reason, "not delivered within 1 min 40 s: no answer");
        assert_eq!(in_words(Duration::from_secs(2 * 86_400)), "2 d");
    }
}
