//! The alarms that last: what an operator must see to. They are replaced by kind and not kept over
//! a restart.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::mail::{UnixMillis, rfc3339};

/// What an operator must see to, for as long as it lasts.
#[derive(Debug, Default)]
pub struct Alarms {
    lasting: Mutex<BTreeMap<AlarmKind, Vec<Alarm>>>,
}

/// What an alarm is about; the alarms of one kind are replaced together.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum AlarmKind {
    /// The files on disk differ from what is in effect.
    Reload,
    /// A certificate of ours, a trust anchor or a revocation list is about to end.
    Expiry,
    /// Revocation lists can't be fetched.
    Lists,
    /// Log lines are being dropped.
    Log,
    /// Events can't be kept in the tracking store.
    Tracking,
    /// Much more mail than usual came by an inbound connector.
    Brake,
    /// A requirement is overridden.
    Override,
    /// New mail is refused, because there is too little room on the disk.
    Disk,
    /// The queue is almost full, or full.
    Queue,
}

/// One lasting problem, as the control API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Alarm {
    /// The kind it is replaced with.
    pub kind: AlarmKind,
    /// Since when, in RFC 3339 format.
    pub since: String,
    /// The problem, in one sentence.
    pub what: String,
    /// The outbound connectors it concerns, if any.
    pub connectors: Vec<String>,
}

/// How a replacement changed the alarms of a kind.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AlarmChanges {
    /// Those that began.
    pub raised: Vec<Alarm>,
    /// Those that ended.
    pub cleared: Vec<Alarm>,
}

impl AlarmKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Reload,
        Self::Expiry,
        Self::Lists,
        Self::Log,
        Self::Tracking,
        Self::Brake,
        Self::Override,
        Self::Disk,
        Self::Queue,
    ];

    /// The word for logs and machines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Expiry => "expiry",
            Self::Lists => "lists",
            Self::Log => "log",
            Self::Tracking => "tracking",
            Self::Brake => "brake",
            Self::Override => "override",
            Self::Disk => "disk",
            Self::Queue => "queue",
        }
    }
}

impl Alarms {
    /// Replaces the alarms of a kind, each with the outbound connectors it concerns. Returns those that began and those
    /// that ended.
    pub fn replace(
        &self,
        kind: AlarmKind,
        now: UnixMillis,
        found: Vec<(String, Vec<String>)>,
    ) -> AlarmChanges {
        let mut lasting = self.lock();
        let mut known = lasting.remove(&kind).unwrap_or_default();
        let mut raised = Vec::new();
        let mut alarms = Vec::with_capacity(found.len());
        for (what, connectors) in found {
            let place = known.iter().position(|alarm| alarm.what == what);
            let before = place.map(|place| known.remove(place).since);
            let is_new = before.is_none();
            let since = before.unwrap_or_else(|| rfc3339(now));
            let alarm = Alarm { kind, since, what, connectors };
            if is_new {
                raised.push(alarm.clone());
            }
            alarms.push(alarm);
        }
        lasting.insert(kind, alarms);
        AlarmChanges { raised, cleared: known }
    }

    /// All current alarms.
    #[must_use]
    pub fn list(&self) -> Vec<Alarm> {
        self.lock().values().flatten().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AlarmKind, Vec<Alarm>>> {
        // A list is consistent even if a holder of the lock panicked.
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[track_caller]
    fn check(alarms: &Alarms, now: i64, found: &[&str], told: (&[&str], &[&str]), lasting: &[(&str, &str)]) {
        let found = found.iter().map(|what| ((*what).to_owned(), Vec::new())).collect();
        let changes = alarms.replace(AlarmKind::Expiry, UnixMillis(now), found);
        let words = |list: Vec<Alarm>| list.into_iter().map(|one| one.what).collect::<Vec<_>>();
        assert_eq!((words(changes.raised), words(changes.cleared)), (owned(told.0), owned(told.1)));
        let list = alarms.list();
        let list: Vec<_> = list.iter().map(|alarm| (alarm.what.as_str(), alarm.since.as_str())).collect();
        assert_eq!(list, lasting);
    }

    #[test]
    fn what_lasts_is_told_once() {
        let alarms = Alarms::default();
        let (first, second) = ("1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z");
        check(&alarms, 1_000, &["a"], (&["a"], &[]), &[("a", first)]);
        check(&alarms, 2_000, &["a", "b"], (&["b"], &[]), &[("a", first), ("b", second)]);
        check(&alarms, 3_000, &["b"], (&[], &["a"]), &[("b", second)]);
        check(&alarms, 4_000, &[], (&[], &["b"]), &[]);
    }
}
