//! When our own certificates, trust anchors, revocation lists and pins expire: reported before, while there is time to
//! renew.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::connector::{
    Forced, Mode, Obstacle, Outbound, Partner, PartnerLack, PinTerm, Table, TrustId,
    expiry_threshold as threshold,
};
use crate::mail::{UnixMillis, rfc3339};
use crate::tls::{Identity, ListEnd, RevocationList, TrustSet};

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

/// The alarms about trust anchors and revocation lists from files, each with the outbound connectors that use the
/// set.
pub(super) fn trust_alarms<'a>(
    trust: &BTreeMap<TrustId, Arc<TrustSet>>,
    outbound: impl Iterator<Item = &'a Arc<Outbound>> + Clone,
    now: UnixMillis,
) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (id, set) in trust {
        let told = ending_anchors(id, set, now).into_iter().chain(ending_lists(id, set, now));
        let naming = outbound.clone().filter(|c| c.forced().is_some_and(|f| f.trust().contains(id)));
        let naming: Vec<String> = naming.map(|connector| connector.name.to_string()).collect();
        found.extend(told.map(|words| (words, naming.clone())));
    }
    found
}

/// What an operator learns about a requirement and the date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequirementTerm {
    /// Nobody can meet it now.
    Unmet(Obstacle),
    /// Its pins end soon; the sentence.
    Ending(String),
}

/// The connectors whose requirement nobody can meet now, or only for a while.
pub(super) fn requirement_terms(
    table: &Table,
    trust: &BTreeMap<TrustId, Arc<TrustSet>>,
    now: UnixMillis,
) -> Vec<(Arc<str>, RequirementTerm)> {
    let inbound = table.inbound.iter().map(|c| (&c.name, c.mode, c.forced()));
    let outbound = table.outbound.iter().map(|c| (&c.name, c.mode, c.forced()));
    let judged = inbound.chain(outbound).filter(|(_, mode, _)| *mode != Mode::Off);
    judged.filter_map(|(name, _, forced)| Some((Arc::clone(name), term(forced?, trust, now)?))).collect()
}

fn term(
    forced: &Forced,
    trust: &BTreeMap<TrustId, Arc<TrustSet>>,
    now: UnixMillis,
) -> Option<RequirementTerm> {
    let vouches = |id: &TrustId| trust.get(id).is_some_and(|set| set.can_vouch(now));
    if let Some(obstacle) = Obstacle::of(forced, now, vouches) {
        return Some(RequirementTerm::Unmet(obstacle));
    }
    let PinTerm::Until(end) = PinTerm::of(&forced.pins, now) else { return None };
    let days = threshold(end, now)?;
    Some(RequirementTerm::Ending(format!(
        "no pin is valid from {} on, in less than {days} days, and mail stops then; add the pin of the partner's next key",
        rfc3339(end)
    )))
}

/// The partners whose review was due, each with its outbound connectors.
pub(super) fn review_alarms(table: &Table, now: UnixMillis) -> Vec<(String, Vec<String>)> {
    let overdue = |partner: &&Arc<Partner>| {
        let lack = PartnerLack::ReviewOverdue(partner.review.filter(|review| *review < now)?);
        let of_it = table.outbound.iter().filter(|c| c.partner.as_ref() == Some(*partner));
        Some((lack.words(partner), of_it.map(|c| c.name.to_string()).collect()))
    };
    table.partners().iter().filter_map(overdue).collect()
}

/// The same as alarms.
pub(super) fn requirement_alarms(
    table: &Table,
    trust: &BTreeMap<TrustId, Arc<TrustSet>>,
    now: UnixMillis,
) -> Vec<(String, Vec<String>)> {
    let inbound = table.inbound.iter().map(|c| (&c.name, &c.partner));
    let partners: BTreeMap<_, _> =
        inbound.chain(table.outbound.iter().map(|c| (&c.name, &c.partner))).collect();
    let words = |(name, term): (Arc<str>, RequirementTerm)| {
        let words = match term {
            RequirementTerm::Unmet(obstacle) => obstacle.to_string(),
            RequirementTerm::Ending(words) => words,
        };
        let partner = partners.get(&name).and_then(|partner| partner.as_ref());
        let whom = partner.map_or_else(String::new, |partner| format!(" (partner {partner})"));
        (format!("connector {name}{whom}: {words}"), vec![name.to_string()])
    };
    requirement_terms(table, trust, now).into_iter().map(words).collect()
}

/// The connectors of a new table that nobody can meet as they are configured, though that was otherwise before.
pub(super) fn newly_unmet(old: &Table, new: &Table, now: UnixMillis) -> Vec<Arc<str>> {
    let unmet = |table: &Table| -> Vec<Arc<str>> {
        let configured = |term: &RequirementTerm| match term {
            RequirementTerm::Unmet(obstacle) => obstacle.is_configured(),
            RequirementTerm::Ending(_) => false,
        };
        let found = requirement_terms(table, &BTreeMap::new(), now).into_iter();
        found.filter(|(_, term)| configured(term)).map(|(name, _)| name).collect()
    };
    let before = unmet(old);
    unmet(new).into_iter().filter(|name| !before.contains(name)).collect()
}

/// Anchors that expire soon or have expired. The path check ignores their dates (RFC 5280 §6.1.1 d), but other
/// software does not, and the authority issues by a new one by then. The system maintains its own set.
pub(super) fn ending_anchors(id: &TrustId, set: &TrustSet, now: UnixMillis) -> Vec<String> {
    if *id == TrustId::system() {
        return Vec::new();
    }
    let ends = set.anchor_ends();
    let replaced =
        |subject: &str| ends.iter().any(|(other, end)| other == subject && threshold(*end, now).is_none());
    let ending = ends.iter().filter(|(subject, _)| !replaced(subject));
    let words = |(subject, end): &(String, UnixMillis)| {
        let (days, date) = (threshold(*end, now)?, rfc3339(*end));
        Some(match days {
            0 => format!(
                "[trust.{id}]: the anchor {subject} ended on {date}; certificates under it are still accepted, but \
                 other software refuses them: add the partner's next anchor, and remove this one"
            ),
            days => format!(
                "[trust.{id}]: the anchor {subject} ends in less than {days} days, on {date}; ask the partner for its \
                 next one"
            ),
        })
    };
    ending.filter_map(words).collect()
}

/// Lists that end soon or have ended and were not replaced by a newer one.
fn ending_lists(id: &TrustId, set: &TrustSet, now: UnixMillis) -> Vec<String> {
    let waiting = set.listed().iter().filter(|(_, list)| !set.has_newer(list, now));
    let words = |(file, list): &(PathBuf, Arc<RevocationList>)| {
        let file = file.display();
        let date = rfc3339(list.next_update()?);
        Some(match list.end(now)? {
            ListEnd::Over => format!(
                "[trust.{id}]: the revocation list {file} ended on {date}: revocation = \"hard\" refuses every \
                 certificate that it covers; fetch a new one"
            ),
            ListEnd::Soon => {
                format!("[trust.{id}]: the revocation list {file} ends on {date}; fetch a new one")
            }
        })
    };
    waiting.filter_map(words).collect()
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
