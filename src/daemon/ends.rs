//! When what we show and trust ends, for metrics. What is said about it, and when, is in `expiry`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::connector::{Forced, Mode, PinTerm, Table, TrustId};
use crate::mail::UnixMillis;
use crate::metrics::ConnectorTerm;
use crate::retrieve::TrustById;
use crate::tls::{Identity, TrustSet};

/// When each certificate of ours ends, but for those whose successor takes over in time.
pub(super) fn certificates(
    identities: &BTreeMap<String, Arc<Identity>>,
    staged: &BTreeMap<String, UnixMillis>,
) -> Vec<(String, UnixMillis)> {
    let end = |(id, identity): (&String, &Arc<Identity>)| {
        let not_after = identity.facts().not_after;
        let is_replaced = staged.get(id).is_some_and(|from| *from <= not_after);
        (!is_replaced).then(|| (id.clone(), not_after))
    };
    identities.iter().filter_map(end).collect()
}

/// When the first anchor of each set ends that has no later one of the same name. The system maintains its own set.
pub(super) fn anchors(trust: &TrustById) -> Vec<(String, UnixMillis)> {
    let end = |(id, set): (&TrustId, &Arc<TrustSet>)| {
        let mut latest = BTreeMap::<&str, UnixMillis>::new();
        for (subject, end) in set.anchor_ends() {
            let known = latest.entry(subject).or_insert(*end);
            *known = (*known).max(*end);
        }
        Some((id.to_string(), latest.into_values().min()?))
    };
    trust.iter().filter(|(id, _)| **id != TrustId::system()).filter_map(end).collect()
}

/// When the first revocation list of each set ends that was not replaced: of files, and of those that were fetched.
pub(super) fn lists(trust: &TrustById, now: UnixMillis) -> Vec<(String, UnixMillis)> {
    let end = |(id, set): (&TrustId, &Arc<TrustSet>)| {
        let shelf = set.shelf();
        let fetched = shelf.urls().into_iter().filter_map(|url| shelf.list(&url));
        let of_files = set.listed().iter().map(|(_, list)| Arc::clone(list));
        let waiting = of_files.chain(fetched).filter(|list| !set.has_newer(list, now));
        Some((id.to_string(), waiting.filter_map(|list| list.next_update()).min()?))
    };
    trust.iter().filter_map(end).collect()
}

/// From when no pin of a connector is valid, or since when.
pub(super) fn pins(table: &Table, now: UnixMillis) -> Vec<ConnectorTerm> {
    let end = |forced: Option<&Forced>| match PinTerm::of(&forced?.pins, now) {
        PinTerm::Until(end) | PinTerm::Ended(end) => Some(end),
        PinTerm::Lasting | PinTerm::NotBefore(_) => None,
    };
    let inbound = table.inbound.iter().map(|c| ("inbound", &c.name, c.mode, c.forced()));
    let outbound = table.outbound.iter().map(|c| ("outbound", &c.name, c.mode, c.forced()));
    let judged = inbound.chain(outbound).filter(|(_, _, mode, _)| *mode != Mode::Off);
    let term = |(direction, name, _, forced): (_, &Arc<str>, _, _)| {
        Some(ConnectorTerm { direction, connector: Arc::clone(name), ends: end(forced)? })
    };
    judged.filter_map(term).collect()
}
