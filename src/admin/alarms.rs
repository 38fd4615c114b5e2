use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::mail::{UnixMillis, rfc3339};

/// What an operator must see to, for as long as it lasts.
#[derive(Debug, Default)]
pub struct Alarms {
    lasting: Mutex<BTreeMap<AlarmKind, Vec<Alarm>>>,
}

/// What an alarm is about; each kind is replaced as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlarmKind {
    /// The files on disk are not what is in effect.
    Reload,
    /// A certificate of ours is about to expire.
    Expiry,
    /// Lines of the log are dropped.
    Log,
}

/// One alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// What it is about.
    pub kind: AlarmKind,
    /// Since when, as RFC 3339 writes it.
    pub since: String,
    /// What, in a sentence.
    pub what: String,
    /// The outbound connectors it concerns, where it concerns some.
    pub connectors: Vec<String>,
}

impl Alarms {
    /// Says what of a kind lasts now, each with the outbound connectors it concerns. Answers with
    /// those that did not last before: they are to be told.
    pub fn replace(
        &self,
        kind: AlarmKind,
        now: UnixMillis,
        found: Vec<(String, Vec<String>)>,
    ) -> Vec<String> {
        let mut lasting = self.lock();
        let known = lasting.remove(&kind).unwrap_or_default();
        let mut fresh = Vec::new();
        let since = |what: &str| known.iter().find(|alarm| alarm.what == what).map(|a| a.since.clone());
        let mut alarms = Vec::with_capacity(found.len());
        for (what, connectors) in found {
            let since = since(&what).unwrap_or_else(|| {
                fresh.push(what.clone());
                rfc3339(now)
            });
            alarms.push(Alarm { kind, since, what, connectors });
        }
        lasting.insert(kind, alarms);
        fresh
    }

    /// All that last.
    #[must_use]
    pub fn list(&self) -> Vec<Alarm> {
        self.lock().values().flatten().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AlarmKind, Vec<Alarm>>> {
        // A list stays a list whatever a panicking holder did.
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(alarms: &Alarms, now: i64, found: &[&str], told: &[&str], lasting: &[(&str, &str)]) {
        let found = found.iter().map(|what| ((*what).to_owned(), Vec::new())).collect();
        assert_eq!(alarms.replace(AlarmKind::Expiry, UnixMillis(now), found), told);
        let list = alarms.list();
        let list: Vec<_> = list.iter().map(|alarm| (alarm.what.as_str(), alarm.since.as_str())).collect();
        assert_eq!(list, lasting);
    }

    #[test]
    fn what_lasts_is_told_once() {
        let alarms = Alarms::default();
        let (first, second) = ("1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z");
        check(&alarms, 1_000, &["a"], &["a"], &[("a", first)]);
        check(&alarms, 2_000, &["a", "b"], &["b"], &[("a", first), ("b", second)]);
        check(&alarms, 3_000, &["b"], &[], &[("b", second)]);
        check(&alarms, 4_000, &[], &[], &[]);
    }
}
