//! Mail whose connector's requirement can't be met, and that goes by another connector instead: which one, and what is
//! kept of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::arrival::Arrival;
use super::choose::{Choice, choose};
use super::requirement::{Forced, KeyExchange};
use super::table::{Mode, OnFailure, Outbound, Table};
use crate::mail::Domain;

/// What is known of a recipient that was handed to another connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rerouting {
    /// The connector whose requirement could not be met.
    pub from: Arc<str>,
    /// The connector that it was handed to.
    pub to: Arc<str>,
    /// The enhanced status code of what hindered the first one.
    pub status: String,
    /// What hindered it, in one sentence.
    pub reason: String,
    /// It is an alert of ours, which goes by another connector than other mail for the recipient.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alert: bool,
}

/// The connector that takes what `from` can't send under its requirement. It is none but a forced one that is enforced, whatever the
/// table says: mail under a forced requirement never leaves in plaintext.
#[must_use]
pub fn reroute_target(table: &Table, from: &Outbound) -> Option<Arc<Outbound>> {
    let OnFailure::Reroute(name) = &from.on_failure else { return None };
    let is_strict = |one: &&Arc<Outbound>| one.mode == Mode::Enforce && one.forced().is_some();
    let found = table.outbound.iter().find(|one| one.name == *name && one.name != from.name);
    found.filter(is_strict).map(Arc::clone)
}

/// The connector named `to`, if it may take an alert of ours in place of `from`: where that one binds, no other than one that
/// requires no less. Alerts must not leave by the connector that they are about, nor less protected because of that.
#[must_use]
pub fn alert_target(table: &Table, from: &Outbound, to: &str) -> Option<Arc<Outbound>> {
    let found = table.outbound.iter().find(|one| *one.name == *to && one.name != from.name)?;
    let bound = |one: &Arc<Outbound>| one.forced().filter(|_| one.mode == Mode::Enforce).cloned();
    let may = match (from.forced().filter(|_| from.mode == Mode::Enforce), bound(found)) {
        (None, _) => found.mode != Mode::Off,
        (Some(from), Some(found)) => requires_no_less(&found, from),
        (Some(_), None) => false,
    };
    may.then(|| Arc::clone(found))
}

/// Whether whoever meets one requirement is protected no less than by another one, each for its own peers.
fn requires_no_less(one: &Forced, other: &Forced) -> bool {
    (one.identifies() || !other.identifies())
        && (one.proves_who() || !other.proves_who())
        && one.min_version >= other.min_version
        && (other.profile.is_none() || one.profile == other.profile)
        && (other.key_exchange != KeyExchange::PostQuantum || one.key_exchange == KeyExchange::PostQuantum)
}

/// The connector to which mail that was handed on before is still handed.
#[must_use]
pub fn handed_to(table: &Table, from: &Outbound, rerouting: &Rerouting) -> Option<Arc<Outbound>> {
    if rerouting.alert { alert_target(table, from, &rerouting.to) } else { reroute_target(table, from) }
}

/// Chooses the connector for a recipient that may have been handed on before. As long as the connector that serves the
/// domain is the one that handed it on, and still hands mail on, it stays with the other one.
#[must_use]
pub fn choose_again(
    table: &Table,
    (domain, arrival): (Option<&Domain>, Arrival<'_>),
    rerouted: Option<&Rerouting>,
) -> Option<Choice> {
    let choice = choose(table, domain, arrival)?;
    let other = rerouted
        .filter(|rerouting| rerouting.from == choice.connector.name)
        .and_then(|rerouting| handed_to(table, &choice.connector, rerouting));
    Some(match other {
        Some(connector) => Choice { connector, ..choice },
        None => choice,
    })
}
