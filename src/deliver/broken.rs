//! Hosts whose TLS breaks, and hosts that can't be reached: not every message pays for that again. What is
//! known of a host stays within its connector.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pool::Key;
/// Remembered at the same time; what ends first makes room.
const ENTRIES_MAX: usize = 4_096;
/// After that TLS is tried again at a host whose handshakes broke, and that took mail in clear then.
pub(super) const TLS_TRIED_AGAIN_AFTER: Duration = Duration::from_secs(10 * 60);

/// What is known of hosts for a while.
#[derive(Debug)]
pub(super) struct Noted<T>(Mutex<HashMap<Key, (T, Instant)>>);

impl<T> Default for Noted<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Noted<T> {
    /// Notes a host for so long. One that is known stays as it is, so that its time is not drawn out.
    pub(super) fn note(&self, key: Key, what: T, (now, keep): (Instant, Duration)) {
        let mut known = self.lock();
        if known.len() >= ENTRIES_MAX && !known.contains_key(&key) {
            known.retain(|_, (_, until)| *until > now);
            let first = known.iter().min_by_key(|(_, (_, until))| *until).map(|(key, _)| key.clone());
            if let Some(first) = first.filter(|_| known.len() >= ENTRIES_MAX) {
                known.remove(&first);
            }
        }
        let until = now.checked_add(keep).unwrap_or(now);
        known.entry(key).or_insert((what, until));
    }

    /// What was noted, until its time is over.
    pub(super) fn recall(&self, key: &Key, now: Instant) -> Option<T> {
        let mut known = self.lock();
        let (what, until) = known.get(key)?;
        if *until > now {
            return Some(what.clone());
        }
        known.remove(key);
        None
    }

    /// What was noted does not hold any more.
    pub(super) fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    /// Nothing of it holds any more.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, (T, Instant)>> {
        // Each entry is whole whatever a panicking holder did.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::Revision;

    fn key(port: u16) -> Key {
        Key { revision: Revision::default(), host: None, address: ([127, 0, 0, 1], port).into() }
    }

    #[test]
    fn a_host_is_remembered_for_a_time_that_is_not_drawn_out() {
        let (broken, start) = (Noted::default(), Instant::now());
        let keep = Duration::from_secs(600);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(broken.recall(&key(1), start), None);
        broken.note(key(1), "first", (start, keep));
        broken.note(key(1), "second", (at(500), keep));
        assert_eq!(broken.recall(&key(1), at(599)), Some("first"));
        assert_eq!(broken.recall(&key(2), at(599)), None);
        assert_eq!(broken.recall(&key(1), at(600)), None);
    }

    #[test]
    fn the_memory_is_bounded_and_the_oldest_goes() {
        let (broken, start) = (Noted::default(), Instant::now());
        for port in 0..=u16::try_from(ENTRIES_MAX).expect("small") {
            let now = start + Duration::from_millis(u64::from(port));
            broken.note(key(port), "x", (now, Duration::from_secs(600)));
        }
        assert_eq!(broken.lock().len(), ENTRIES_MAX);
        assert!(broken.recall(&key(0), start).is_none() && broken.recall(&key(1), start).is_some());
    }
}
