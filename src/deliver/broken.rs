//! Hosts whose TLS breaks: under opportunistic TLS not every message pays for that again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pool::Key;
use crate::connector::HandshakeFault;

/// Remembered at the same time; the oldest makes room.
const ENTRIES_MAX: usize = 4_096;
/// After that TLS is tried again.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(10 * 60);

/// The hosts whose handshakes broke, and that took mail in clear then.
#[derive(Debug, Default)]
pub(super) struct BrokenTls(Mutex<HashMap<Key, (HandshakeFault, Instant)>>);

impl BrokenTls {
    /// Notes a host. One that is known stays as it is, so that its time is not drawn out.
    pub(super) fn note(&self, key: Key, fault: HandshakeFault, now: Instant) {
        let mut known = self.lock();
        if known.len() >= ENTRIES_MAX && !known.contains_key(&key) {
            known.retain(|_, (_, since)| is_fresh(*since, now));
            let oldest = known.iter().min_by_key(|(_, (_, since))| *since).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest.filter(|_| known.len() >= ENTRIES_MAX) {
                known.remove(&oldest);
            }
        }
        known.entry(key).or_insert((fault, now));
    }

    /// How a host's handshake broke, for as long as TLS is not tried again.
    pub(super) fn recall(&self, key: &Key, now: Instant) -> Option<HandshakeFault> {
        let mut known = self.lock();
        let (fault, since) = known.get(key)?;
        if is_fresh(*since, now) {
            return Some(fault.clone());
        }
        known.remove(key);
        None
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, (HandshakeFault, Instant)>> {
        // Each entry is whole whatever a panicking holder did.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < TRIED_AGAIN_AFTER
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
        let (broken, start) = (BrokenTls::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(broken.recall(&key(1), start), None);
        broken.note(key(1), HandshakeFault::new("first"), start);
        broken.note(key(1), HandshakeFault::new("second"), at(500));
        assert_eq!(broken.recall(&key(1), at(599)).map(|fault| fault.words).as_deref(), Some("first"));
        assert_eq!(broken.recall(&key(2), at(599)), None);
        assert_eq!(broken.recall(&key(1), at(600)), None);
    }

    #[test]
    fn the_memory_is_bounded_and_the_oldest_goes() {
        let (broken, start) = (BrokenTls::default(), Instant::now());
        for port in 0..=u16::try_from(ENTRIES_MAX).expect("small") {
            let now = start + Duration::from_millis(u64::from(port));
            broken.note(key(port), HandshakeFault::new("x"), now);
        }
        assert_eq!(broken.lock().len(), ENTRIES_MAX);
        assert!(broken.recall(&key(0), start).is_none() && broken.recall(&key(1), start).is_some());
    }
}
