//! Limits the messages per minute of a connector, over all its lanes. It holds no messages back itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::connector::Outbound;
use crate::mail::UnixMillis;

const MINUTE_MICROS: i64 = 60_000_000;
/// Fraction of a minute's messages that may go in one burst: one tenth.
const BURST_PART: i64 = 10;

/// For each connector with a rate limit, when its next message would go at an even pace, in
/// microseconds (the generic cell rate algorithm).
#[derive(Debug, Default)]
pub(super) struct Rates(BTreeMap<Arc<str>, i64>);

impl Rates {
    /// Until when a connector must wait before its next message.
    pub(super) fn wait(&self, connector: &Outbound, now: UnixMillis) -> Option<UnixMillis> {
        let (interval, burst) = pace(connector)?;
        let due = self.0.get(&connector.name).copied()?.saturating_sub(burst.saturating_sub(interval));
        let at = UnixMillis(due.saturating_add(999).checked_div(1000)?);
        (at > now).then_some(at)
    }

    pub(super) fn note(&mut self, connector: &Outbound, now: UnixMillis) {
        let Some((interval, _)) = pace(connector) else { return };
        let now = now.0.saturating_mul(1000);
        let next = self.0.entry(Arc::clone(&connector.name)).or_insert(now);
        *next = (*next).max(now).saturating_add(interval);
    }
}

/// Microseconds between two messages, and the burst allowance in microseconds.
fn pace(connector: &Outbound) -> Option<(i64, i64)> {
    let rate = i64::from(connector.sending.messages_per_minute_max?);
    let interval = MINUTE_MICROS.checked_div(rate)?.max(1);
    let burst = rate.checked_div(BURST_PART)?.max(1);
    Some((interval, interval.saturating_mul(burst)))
}
