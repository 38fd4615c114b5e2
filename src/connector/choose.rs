//! Chooses the outbound connector for a recipient domain. It does no MX lookup.

use std::sync::Arc;

use serde::Serialize;

use super::arrival::Arrival;
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

/// Chooses the connector for a recipient domain: an exact match before the longest `*.suffix` before `*`; there one that
/// names the arrival before one that names none; then the lowest cost. `None` as domain is an address literal, which only
/// `*` covers.
#[must_use]
pub fn choose(table: &Table, domain: Option<&Domain>, arrival: Arrival<'_>) -> Option<Choice> {
    let index = &table.index;
    if let Some(domain) = domain {
        if let Some(connector) = index.exact.get(domain).and_then(|servers| servers.of(arrival)) {
            return Some(Choice {
                connector: Arc::clone(connector),
                pattern: DomainPattern::Exact(domain.clone()),
            });
        }
        let mut rest = domain.parent();
        while let Some(suffix) = rest {
            if let Some((parent, servers)) = index.below.get_key_value(suffix)
                && let Some(connector) = servers.of(arrival)
            {
                return Some(Choice {
                    connector: Arc::clone(connector),
                    pattern: DomainPattern::Below(parent.clone()),
                });
            }
            rest = suffix.split_once('.').map(|(_, rest)| rest);
        }
    }
    let connector = index.any.of(arrival)?;
    Some(Choice { connector: Arc::clone(connector), pattern: DomainPattern::Any })
}

/// What is chosen in place of a connector for each arrival that it takes; `None` if it takes some of the mail, or nothing
/// else does.
#[must_use]
pub fn displaced(table: &Table, connector: &Outbound, domain: Option<&Domain>) -> Option<Choice> {
    let named = connector.from_connectors.iter().map(|name| Arrival::By(name));
    let ours = connector.from_connectors.is_empty().then_some(Arrival::Ours);
    let mut displacing = None;
    for arrival in named.chain(ours) {
        let choice =
            choose(table, domain, arrival).filter(|choice| choice.connector.name != connector.name)?;
        displacing.get_or_insert(choice);
    }
    displacing
}

impl Choice {
    /// All connectors of the table with their reasons, the chosen one first.
    #[must_use]
    pub fn considered(
        table: &Table,
        domain: Option<&Domain>,
        arrival: Arrival<'_>,
    ) -> Vec<ConsideredConnector> {
        let chosen = choose(table, domain, arrival);
        let mut all: Vec<ConsideredConnector> =
            table.outbound.iter().map(|c| consider(c, (domain, arrival), chosen.as_ref())).collect();
        all.sort_by(|a, b| b.chosen.cmp(&a.chosen).then_with(|| a.connector.cmp(&b.connector)));
        all
    }
}

fn consider(
    connector: &Arc<Outbound>,
    (domain, arrival): (Option<&Domain>, Arrival<'_>),
    chosen: Option<&Choice>,
) -> ConsideredConnector {
    let passed =
        |reason: String| ConsideredConnector { connector: connector.name.to_string(), chosen: false, reason };
    if connector.mode == Mode::Off {
        return passed("its mode is off".to_owned());
    }
    let Some(pattern) = DomainPattern::closest(&connector.domains, domain) else {
        return passed("none of its domains covers the recipient".to_owned());
    };
    let arrivals = connector.from_connectors.join(" or ");
    if !connector.takes(arrival) {
        return passed(format!(
            "{pattern} covers the recipient, but only for mail that arrives by {arrivals}"
        ));
    }
    let Some(winner) = chosen else {
        return passed(format!("{pattern} covers the recipient"));
    };
    if Arc::ptr_eq(&winner.connector, connector) {
        let named = match arrival {
            Arrival::By(name) if !connector.from_connectors.is_empty() => {
                format!(", for mail that arrives by {name}")
            }
            Arrival::By(_) | Arrival::Ours => String::new(),
        };
        return ConsideredConnector {
            chosen: true,
            ..passed(format!("{pattern} is the closest pattern{named}"))
        };
    }
    let winning = &winner.connector;
    passed(if pattern.specificity() < winner.pattern.specificity() {
        format!("{pattern} covers the recipient, but {} is closer", winner.pattern)
    } else if connector.from_connectors.is_empty() && !winning.from_connectors.is_empty() {
        format!("{pattern} covers the recipient, but {} names the arrival", winning.name)
    } else {
        format!("{pattern} covers the recipient, but {} has the lower cost", winning.name)
    })
}

/// How closely a connector's patterns cover a domain; `None` if none does.
pub(super) fn closeness(patterns: &[DomainPattern], domain: Option<&Domain>) -> Option<Specificity> {
    DomainPattern::closest(patterns, domain).map(DomainPattern::specificity)
}
