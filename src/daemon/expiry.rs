//! When our own certificates expire: reported some days before, while there is time to renew.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::connector::{Outbound, expiry_threshold as threshold};
use crate::mail::{UnixMillis, rfc3339};
use crate::tls::Identity;

/// The expiry alarms of our certificates now, each with the outbound connectors that present it.
pub(super) fn alarms<'a>(
    identities: &BTreeMap<String, Arc<Identity>>,
    staged: &BTreeMap<String, UnixMillis>,
    outbound: impl Iterator<Item = &'a Arc<Outbound>> + Clone,
    now: UnixMillis,
) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (id, identity) in identities {
        let not_after = identity.facts().not_after;
        let Some(days) = threshold(not_after, now) else { continue };
        if staged.get(id).is_some_and(|from| now < *from && *from <= not_after) {
            // Its successor takes over in time.
            continue;
        }
        let showing = outbound.clone().filter(|c| c.client_certificate.as_deref() == Some(id.as_str()));
        found.push((words(id, days, not_after), showing.map(|c| c.name.to_string()).collect()));
    }
    found
}

/// Our certificates that have changed, and until when they are valid.
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
