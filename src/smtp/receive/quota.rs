//! Counts messages and sessions of inbound connectors that have limits of their own. It does not limit
//! single sessions; `tally` does.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::connector::Inbound;
use crate::mail::{Enhanced, Reply, UnixMillis};

const MINUTE_MILLIS: i64 = 60_000;

/// Counts per inbound connector with limits of its own, over all sessions. Idle counts are dropped when
/// another connector is first counted.
pub struct Quotas {
    now: fn() -> UnixMillis,
    counts: Mutex<HashMap<Arc<str>, Count>>,
}

#[derive(Debug, Default)]
struct Count {
    /// The minute that `messages` counts, since the epoch.
    minute: i64,
    messages: u32,
    /// Messages of the minute before.
    before: u32,
    sessions: usize,
}

/// One session's share, given back on drop.
#[derive(Debug)]
pub(super) struct Share {
    quotas: Arc<Quotas>,
    /// The connectors that count this session.
    held: BTreeSet<Arc<str>>,
}

impl Quotas {
    /// Empty counts, using this clock.
    #[must_use]
    pub fn new(now: fn() -> UnixMillis) -> Arc<Self> {
        Arc::new(Self { now, counts: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Count>> {
        // The counts stay valid even if a holder of the lock panicked.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    pub(super) fn new(quotas: Arc<Quotas>) -> Self {
        Self { quotas, held: BTreeSet::new() }
    }

    /// Counts a message, and with its first message the session.
    ///
    /// # Errors
    /// The reply to the client if a limit is reached; nothing is counted then.
    pub(super) fn enter(&mut self, connector: &Inbound) -> Result<(), Reply> {
        let limits = &connector.limits;
        if limits.messages_per_minute_max.is_none() && limits.connections_max.is_none() {
            return Ok(());
        }
        let now = (self.quotas.now)();
        let minute = now.0.div_euclid(MINUTE_MILLIS);
        let mut counts = self.quotas.lock();
        if !counts.contains_key(&connector.name) {
            // A reload may have removed connectors: idle counts are dropped.
            counts.retain(|_, count| count.sessions > 0 || count.minute >= minute.saturating_sub(1));
        }
        let count = counts.entry(Arc::clone(&connector.name)).or_default();
        let fresh = !self.held.contains(&connector.name);
        if fresh && limits.connections_max.is_some_and(|max| count.sessions >= max) {
            let text = "too many sessions like this one; try again later";
            return Err(Reply::new(451, Enhanced(4, 3, 2), text));
        }
        count.turn_to(minute);
        if limits.messages_per_minute_max.is_some_and(|max| count.within_a_minute(now) >= u64::from(max)) {
            let text = "too many messages within a minute; try again later";
            return Err(Reply::new(450, Enhanced(4, 7, 1), text));
        }
        count.messages = count.messages.saturating_add(1);
        if fresh {
            count.sessions = count.sessions.saturating_add(1);
            self.held.insert(Arc::clone(&connector.name));
        }
        Ok(())
    }
}

impl Count {
    fn turn_to(&mut self, minute: i64) {
        if minute != self.minute {
            self.before = if minute == self.minute.saturating_add(1) { self.messages } else { 0 };
            (self.minute, self.messages) = (minute, 0);
        }
    }

    /// Messages of the last 60 seconds, assuming that those of the previous minute were evenly spread.
    /// This needs two numbers, where a list would grow with the rate.
    fn within_a_minute(&self, now: UnixMillis) -> u64 {
        let left = u64::try_from(MINUTE_MILLIS - now.0.rem_euclid(MINUTE_MILLIS)).unwrap_or(0);
        let spread = u64::from(self.before).saturating_mul(left).div_ceil(MINUTE_MILLIS.unsigned_abs());
        u64::from(self.messages).saturating_add(spread)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let mut counts = self.quotas.lock();
        for name in &self.held {
            if let Some(count) = counts.get_mut(name) {
                count.sessions = count.sessions.saturating_sub(1);
            }
        }
    }
}

impl fmt::Debug for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quotas").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::connector::InboundLimits;

    static NOW: AtomicI64 = AtomicI64::new(0);

    #[test]
    fn messages_are_counted_by_the_minute_over_all_sessions() {
        let connector = Inbound {
            limits: InboundLimits { messages_per_minute_max: Some(2), ..InboundLimits::default() },
            ..Inbound::new("in", Vec::new())
        };
        let quotas = Quotas::new(|| UnixMillis(NOW.load(Ordering::Relaxed)));
        let (mut one, mut two) = (Share::new(Arc::clone(&quotas)), Share::new(Arc::clone(&quotas)));
        let code = |answer: Result<(), Reply>| answer.map_or_else(|reply| reply.code, |()| 250);
        assert_eq!([code(one.enter(&connector)), code(two.enter(&connector))], [250, 250]);
        assert_eq!([code(one.enter(&connector)), code(two.enter(&connector))], [450, 450]);
        // After the minute changes, the previous minute's messages still count, less and less.
        NOW.store(60_000, Ordering::Relaxed);
        assert_eq!(code(two.enter(&connector)), 450);
        NOW.store(90_000, Ordering::Relaxed);
        assert_eq!([code(two.enter(&connector)), code(two.enter(&connector))], [250, 450]);
        NOW.store(180_000, Ordering::Relaxed);
        assert_eq!([code(two.enter(&connector)), code(one.enter(&connector))], [250, 250]);
        // Connectors that are no longer configured are dropped.
        drop((one, two));
        NOW.store(600_000, Ordering::Relaxed);
        let mut three = Share::new(Arc::clone(&quotas));
        assert_eq!(code(three.enter(&Inbound { name: "other".into(), ..connector })), 250);
        assert_eq!(quotas.lock().len(), 1);
    }
}
