//! Which connectors' hosts are looked at, and for which recipient domain. Pure.

use std::sync::Arc;

use super::plan::LookTarget;
use super::settings::Settings;
use crate::connector::{DomainPattern, Mode, NextHop, Outbound, Table, displaced};
use crate::mail::{Domain, Mailbox};

/// A target, and how its hosts are looked at.
#[derive(Debug, Clone)]
pub struct WatchedWay {
    /// What it is called.
    pub target: LookTarget,
    /// The connector.
    pub connector: Arc<Outbound>,
    /// The recipient domain that the hosts are judged for.
    pub domain: Option<Domain>,
    /// The recipient that the hosts are asked about.
    pub recipient: Option<Mailbox>,
}

/// What is watched, and the connectors of which some domains are left out, with the number of these.
#[must_use]
pub fn watched_ways(settings: &Settings, table: &Table) -> (Vec<WatchedWay>, Vec<(Arc<str>, usize)>) {
    let (mut ways, mut left_out) = (Vec::new(), Vec::new());
    let watched = |connector: &&Arc<Outbound>| {
        connector.mode != Mode::Off && !settings.except.contains(&connector.name)
    };
    for connector in table.outbound.iter().filter(watched) {
        let of_it = |mailbox: &&Mailbox| {
            serving(table, mailbox).is_some_and(|serving| serving.name == connector.name)
        };
        let recipients: Vec<&Mailbox> = settings.recipients.iter().filter(of_it).collect();
        let mut domains: Vec<&Domain> = recipients.iter().filter_map(|one| one.domain_name()).collect();
        let (own, more) = own_domains(table, connector);
        domains.extend(own);
        domains.dedup();
        let way = |domain: Option<&Domain>, matters: bool| WatchedWay {
            target: LookTarget {
                connector: Arc::clone(&connector.name),
                domain: domain.filter(|_| matters).cloned(),
            },
            connector: Arc::clone(connector),
            domain: domain.cloned(),
            recipient: recipients.iter().find(|one| one.domain_name() == domain).map(|one| (*one).clone()),
        };
        match connector.next_hop {
            NextHop::SmartHosts(_) if domains.is_empty() && has_only_exact(connector) => {}
            NextHop::SmartHosts(_) => ways.push(way(domains.first().copied(), false)),
            NextHop::Mx { .. } => {
                ways.extend(domains.into_iter().map(|domain| way(Some(domain), true)));
                if more > 0 {
                    left_out.push((Arc::clone(&connector.name), more));
                }
            }
        }
    }
    ways.sort_by(|a, b| a.target.cmp(&b.target));
    ways.dedup_by(|a, b| a.target == b.target);
    (ways, left_out)
}

/// The connector whose hosts are asked about a recipient.
#[must_use]
pub fn serving<'t>(table: &'t Table, mailbox: &Mailbox) -> Option<&'t Arc<Outbound>> {
    let domain = mailbox.domain_name()?;
    let covering = table.outbound.iter().filter(|connector| {
        connector.mode != Mode::Off && DomainPattern::closest(&connector.domains, Some(domain)).is_some()
    });
    covering.into_iter().find(|connector| displaced(table, connector, Some(domain)).is_none())
}

/// The domains that a connector names and that no other one serves in its place, and how many more there are.
fn own_domains<'c>(table: &Table, connector: &'c Outbound) -> (Vec<&'c Domain>, usize) {
    let exact = connector.domains.iter().filter_map(|pattern| match pattern {
        DomainPattern::Exact(domain) => Some(domain),
        DomainPattern::Below(_) | DomainPattern::Any => None,
    });
    let mut own = exact.filter(|domain| displaced(table, connector, Some(domain)).is_none());
    let first: Vec<&Domain> = own.by_ref().take(DOMAINS_MAX).collect();
    (first, own.count())
}

fn has_only_exact(connector: &Outbound) -> bool {
    connector.domains.iter().all(|pattern| matches!(pattern, DomainPattern::Exact(_)))
}

/// Domains of one connector whose mail exchangers are looked at.
const DOMAINS_MAX: usize = 100;
