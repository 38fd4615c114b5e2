//! When our own certificates end: told at certain days before, while there is time to renew.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::connector::Outbound;
use crate::mail::{UnixMillis, rfc3339};
use crate::tls::Identity;

/// The smallest of the days at which it is told that has been reached; 0 once it has expired.
pub(super) fn threshold(not_after: UnixMillis, now: UnixMillis) -> Option<u64> {
    // RFC 5280 §4.1.2.5: notAfter itself still belongs to the time in which it holds.
    if not_after < now {
        return Some(0);
    }
    let left = not_after.since(now).as_secs();
    DAYS.into_iter().find(|days| left < days.saturating_mul(DAY_SECONDS))
}

/// What is to be told of our certificates now, each with the outbound connectors that show it.
pub(super) fn alarms<'a>(
    identities: &BTreeMap<String, Arc<Identity>>,
    outbound: impl Iterator<Item = &'a Arc<Outbound>> + Clone,
    now: UnixMillis,
) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (id, identity) in identities {
        let not_after = identity.facts().not_after;
        let Some(days) = threshold(not_after, now) else { continue };
        let showing = outbound.clone().filter(|c| c.client_certificate.as_deref() == Some(id.as_str()));
        found.push((words(id, days, not_after), showing.map(|c| c.name.to_string()).collect()));
    }
    found
}

/// Our certificates that are not as they were, and until when they hold.
pub(super) fn renewed(
    old: &BTreeMap<String, Arc<Identity>>,
    new: &BTreeMap<String, Arc<Identity>>,
) -> Vec<String> {
    let mut found = Vec::new();
    for (id, identity) in new {
        let facts = identity.facts();
        if old.get(id).is_some_and(|known| known.facts().sha256 == facts.sha256) {
            continue;
        }
        let until = rfc3339(facts.not_after);
        found.push(format!("[certificate.{id}] is another one now, valid until {until}"));
    }
    found
}

fn words(id: &str, days: u64, not_after: UnixMillis) -> String {
    let date = rfc3339(not_after);
    match days {
        0 => format!("[certificate.{id}] expired on {date}: partners that judge it refuse us; renew it"),
        1 => format!("[certificate.{id}] expires in less than a day, on {date}; renew it"),
        days => format!("[certificate.{id}] expires in less than {days} days, on {date}; renew it"),
    }
}

/// From the nearest on.
const DAYS: [u64; 4] = [1, 7, 14, 30];
const DAY_SECONDS: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(seconds_left: i64, expected: Option<u64>) {
        let now = UnixMillis(1_795_469_756_000);
        assert_eq!(threshold(UnixMillis(now.0 + seconds_left * 1_000), now), expected);
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
