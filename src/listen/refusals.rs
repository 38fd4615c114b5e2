//! Counts refusals since the start, by inbound connector and reason: what operators and monitoring read. The log has them one
//! by one, but only up to a ration.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::mail::UnixMillis;
use crate::smtp::receive::CountedRefusal;

/// The refusals of all listeners.
#[derive(Debug)]
pub struct RefusalTally {
    since: UnixMillis,
    counts: Mutex<BTreeMap<TallyKey, u64>>,
}

/// The inbound connector, if one was found, and the reason.
type TallyKey = (Option<Arc<str>>, Cow<'static, str>);

/// How often one connector refused for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalCount {
    /// The inbound connector; `None`: none was found, or the session had not come so far.
    pub connector: Option<Arc<str>>,
    /// The token of the reason, or stage and reply code.
    pub reason: Cow<'static, str>,
    /// Number of refusals; it only grows.
    pub count: u64,
}

impl RefusalTally {
    /// Nothing is counted yet.
    #[must_use]
    pub fn new(since: UnixMillis) -> Self {
        Self { since, counts: Mutex::default() }
    }

    /// Counts a refusal.
    pub fn count(&self, refusal: CountedRefusal) {
        let mut counts = self.lock();
        let CountedRefusal { connector, reason, .. } = refusal;
        let key = (connector, reason);
        // Connectors come and go with reloads, so their number has no limit of its own.
        let has_room = counts.len() < KINDS_MAX || counts.contains_key(&key);
        let key = if has_room { key } else { (None, Cow::Borrowed(OTHERS)) };
        let count = counts.entry(key).or_default();
        *count = count.saturating_add(1);
    }

    /// Since when refusals are counted.
    #[must_use]
    pub fn since(&self) -> UnixMillis {
        self.since
    }

    /// All counts, by connector and reason.
    #[must_use]
    pub fn list(&self) -> Vec<RefusalCount> {
        let one = |((connector, reason), count): (&TallyKey, &u64)| RefusalCount {
            connector: connector.clone(),
            reason: reason.clone(),
            count: *count,
        };
        self.lock().iter().map(one).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TallyKey, u64>> {
        // Each count is complete even if a holder of the lock panicked.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kinds that are told apart: at some 100 octets each, less than a megabyte.
const KINDS_MAX: usize = 4_096;
/// The reason of all beyond them.
const OTHERS: &str = "others";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_connector_and_reason_within_bounds() {
        let tally = RefusalTally::new(UnixMillis(7));
        let refused = |connector: Option<&str>, reason: &'static str| CountedRefusal {
            connector: connector.map(Arc::from),
            reason: Cow::Borrowed(reason),
            code: 550,
            decision: None,
        };
        for _ in 0..3 {
            tally.count(refused(Some("internet-in"), "excepted-domain"));
        }
        tally.count(refused(None, "no-connector"));
        let list = tally.list();
        let shown: Vec<_> =
            list.iter().map(|one| (one.connector.as_deref(), &*one.reason, one.count)).collect();
        assert_eq!(shown, [(None, "no-connector", 1), (Some("internet-in"), "excepted-domain", 3)]);
        for number in 0..10_000 {
            tally.count(refused(Some(&number.to_string()), "tls-required"));
        }
        let list = tally.list();
        let others = list.iter().find(|one| one.reason == OTHERS).expect("the rest");
        assert_eq!((list.len(), others.count), (KINDS_MAX + 1, 10_000 - (4_096 - 2)));
        tally.count(refused(Some("internet-in"), "excepted-domain"));
        assert!(tally.list().iter().any(|one| one.reason == "excepted-domain" && one.count == 4));
    }
}
