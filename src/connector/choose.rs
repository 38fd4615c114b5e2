//! Chooses the outbound connector for a recipient domain. It does no MX lookup.

use std::sync::Arc;

use serde::Serialize;

use super::pattern::{DomainPattern, Specificity};
use super::table::{Mode, Outbound, Table};
use crate::mail::Domain;

/// The outbound connector chosen for a recipient domain.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The connector that serves the domain.
    pub connector: Arc<Outbound>,
    /// The connector's pattern that matched.
    pub pattern: DomainPattern,
}

/// An outbound connector and why it was chosen or not, for `explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsideredConnector {
    /// The connector's name.
    pub connector: String,
    /// Whether this is the chosen connector.
    pub chosen: bool,
    /// The reason, as a sentence fragment.
    pub reason: String,
}

/// Chooses the connector for a recipient domain: an exact match before the longest `*.suffix` before `*`,
/// then the lowest cost. `None` as domain is an address literal, which only `*` covers.
#[must_use]
pub fn choose(table: &Table, domain: Option<&Domain>) -> Option<Choice> {
    let index = &table.index;
    if let Some(domain) = domain {
        if let Some(connector) = index.exact.get(domain) {
            return Some(Choice {
                connector: Arc::clone(connector),
                pattern: DomainPattern::Exact(domain.clone()),
            });
        }
        let mut rest = domain.parent();
        while let Some(suffix) = rest {
            if let Some((parent, connector)) = index.below.get_key_value(suffix) {
                return Some(Choice {
                    connector: Arc::clone(connector),
                    pattern: DomainPattern::Below(parent.clone()),
                });
            }
            rest = suffix.split_once('.').map(|(_, rest)| rest);
        }
    }
    let connector = index.any.as_ref()?;
    Some(Choice { connector: Arc::clone(connector), pattern: DomainPattern::Any })
}

impl Choice {
    /// All connectors of the table with their reasons, the chosen one first.
    #[must_use]
    pub fn considered(table: &Table, domain: Option<&Domain>) -> Vec<ConsideredConnector> {
        let chosen = choose(table, domain);
        let mut all: Vec<ConsideredConnector> =
            table.outbound.iter().map(|c| consider(c, domain, chosen.as_ref())).collect();
        all.sort_by(|a, b| b.chosen.cmp(&a.chosen).then_with(|| a.connector.cmp(&b.connector)));
        all
    }
}

fn consider(
    connector: &Arc<Outbound>,
    domain: Option<&Domain>,
    chosen: Option<&Choice>,
) -> ConsideredConnector {
    let name = connector.name.to_string();
    if connector.mode == Mode::Off {
        return ConsideredConnector { connector: name, chosen: false, reason: "its mode is off".to_owned() };
    }
    let Some(pattern) = DomainPattern::closest(&connector.domains, domain) else {
        return ConsideredConnector {
            connector: name,
            chosen: false,
            reason: "none of its domains covers the recipient".to_owned(),
        };
    };
    let Some(winner) = chosen else {
        return ConsideredConnector {
            connector: name,
            chosen: false,
            reason: format!("{pattern} covers the recipient"),
        };
    };
    if Arc::ptr_eq(&winner.connector, connector) {
        return ConsideredConnector {
            connector: name,
            chosen: true,
            reason: format!("{pattern} is the closest pattern"),
        };
    }
    let reason = if pattern.specificity() < winner.pattern.specificity() {
        format!("{pattern} covers the recipient, but {} is closer", winner.pattern)
    } else {
        format!("{pattern} covers the recipient, but {} has the lower cost", winner.connector.name)
    };
    ConsideredConnector { connector: name, chosen: false, reason }
}

/// How closely a connector's patterns cover a domain; `None` if none does.
pub(super) fn closeness(patterns: &[DomainPattern], domain: Option<&Domain>) -> Option<Specificity> {
    DomainPattern::closest(patterns, domain).map(DomainPattern::specificity)
}
