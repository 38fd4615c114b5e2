//! Warns of connectors that are valid individually but probably unintended together. It reports no errors.

use std::ops::Range;

use super::check::CheckedFile;
use super::fault::Report;
use super::keys::List;
use super::schema;
use crate::connector::{
    DomainPattern, Generation, Inbound, InboundTls, Mode, NextHop, Outbound, Require, Table, choose,
};
use crate::mail::Domain;

/// Checks all connectors, and warns at the one to change.
pub(super) fn warn(file: &schema::File, checked: &CheckedFile, report: &mut Report<'_>) {
    let table = Table::new(Generation::default(), checked.inbound.clone(), checked.outbound.clone());
    for (entry, connector) in file.outbound.iter().zip(&checked.outbound) {
        let entry = entry.get_ref();
        let (Some(domains), Some(tls)) = (&entry.domains, &entry.tls) else { continue };
        shadowed(connector, &table, domains, report);
        if connector.mode == Mode::Enforce && connector.forced().is_some() {
            forced_out_only(connector, checked, domains, report);
            below_or_above(connector, &table, domains, report);
            chosen_by_dns(connector, tls.span(), report);
        }
    }
    for (entry, connector) in file.inbound.iter().zip(&checked.inbound) {
        let Some(domains) = &entry.get_ref().from_domains else { continue };
        shadowed_inbound(connector, &checked.inbound, domains, report);
        if binds(connector) {
            forced_in_only(connector, &table, domains, report);
        }
    }
}

fn binds(connector: &Inbound) -> bool {
    connector.mode == Mode::Enforce && matches!(connector.tls, InboundTls::Forced(_))
}

/// Warns if each pattern of a connector has a lower-cost connector, so this one never serves.
fn shadowed(connector: &Outbound, table: &Table, domains: &List, report: &mut Report<'_>) {
    let beaten = |pattern: &DomainPattern| {
        table.outbound.iter().find(|other| {
            other.mode != Mode::Off && other.cost < connector.cost && other.domains.contains(pattern)
        })
    };
    let winners: Option<Vec<_>> = connector.domains.iter().map(beaten).collect();
    if let Some(winner) = winners.as_ref().and_then(|winners| winners.first())
        && connector.mode != Mode::Off
    {
        let words = format!(
            "{} never serves: each of its domains is served at a lower cost, as by {}; remove it, or change a cost",
            connector.name, winner.name
        );
        report.warn(domains.span(), words);
    }
}

/// Warns if an enforced forced connector has each of its patterns: no looser one is considered there.
fn shadowed_inbound(connector: &Inbound, all: &[Inbound], domains: &List, report: &mut Report<'_>) {
    if binds(connector) || connector.mode == Mode::Off {
        return;
    }
    let bound = |pattern: &DomainPattern| {
        // `*` binds nobody.
        let here = |other: &&Inbound| binds(other) && other.from_domains.contains(pattern);
        all.iter().find(here).filter(|_| *pattern != DomainPattern::Any)
    };
    let binding: Option<Vec<_>> = connector.from_domains.iter().map(bound).collect();
    if let Some(other) = binding.as_ref().and_then(|binding| binding.first()) {
        let words = format!(
            "{} never admits anyone: {} is forced, covers the same domains and takes precedence; remove one of the two",
            connector.name, other.name
        );
        report.warn(domains.span(), words);
    }
}

/// Warns if mail to a domain is forced, but anyone may send as that domain.
fn forced_out_only(connector: &Outbound, checked: &CheckedFile, domains: &List, report: &mut Report<'_>) {
    for domain in exact(&connector.domains) {
        let closest = checked
            .inbound
            .iter()
            .filter(|c| c.mode != Mode::Off)
            .filter_map(|c| Some((c.covers(Some(domain))?, c)))
            .max_by_key(|(specificity, _)| *specificity);
        let Some((level, _)) = closest else { continue };
        let here =
            checked.inbound.iter().filter(|c| c.mode != Mode::Off && c.covers(Some(domain)) == Some(level));
        let mut here = here.collect::<Vec<_>>();
        here.sort_by(|a, b| a.name.cmp(&b.name));
        let open = here.iter().find(|c| !c.restricts_clients());
        if let (false, Some(open)) = (here.iter().any(|c| binds(c)), open) {
            let words = format!(
                "{domain} is forced only outbound: {} accepts mail in its name from anyone, in plaintext too; add an \
                 [[inbound]] connector with from_domains = [\"{domain}\"] and tls = \"forced\"",
                open.name
            );
            report.warn(domains.span(), words);
        }
    }
}

/// Warns if mail from a domain is forced, but mail to it is not.
fn forced_in_only(connector: &Inbound, table: &Table, domains: &List, report: &mut Report<'_>) {
    for domain in exact(&connector.from_domains) {
        let Some(choice) = choose(table, Some(domain)) else { continue };
        if choice.connector.forced().is_none() {
            let words = format!(
                "{domain} is forced only inbound: {} sends mail to it in plaintext if TLS is not offered; add an \
                 [[outbound]] connector with domains = [\"{domain}\"] and tls = \"forced\"",
                choice.connector.name
            );
            report.warn(domains.span(), words);
        }
    }
}

/// Warns of `a.example` without `*.a.example`, or the reverse, if a looser connector serves the rest.
fn below_or_above(connector: &Outbound, table: &Table, domains: &List, report: &mut Report<'_>) {
    for pattern in &connector.domains {
        let (looked_at, missing) = match pattern {
            DomainPattern::Exact(domain) => {
                (Domain::parse(&format!("x.{domain}")).ok(), format!("*.{domain}"))
            }
            DomainPattern::Below(domain) => (Some(domain.clone()), domain.to_string()),
            DomainPattern::Any => continue,
        };
        let Some(other) = looked_at.and_then(|domain| choose(table, Some(&domain))) else { continue };
        if other.connector.forced().is_none() {
            let words = format!(
                "{pattern} does not cover {missing}, which {} serves without forced TLS; add \"{missing}\" to the \
                 domains, or give it a connector of its own",
                other.connector.name
            );
            report.warn(domains.span(), words);
        }
    }
}

/// Warns if hosts come from DNS and are not identified: anyone who can change the answer or the traffic can
/// pose as one.
fn chosen_by_dns(connector: &Outbound, place: Range<usize>, report: &mut Report<'_>) {
    let Some(forced) = connector.forced() else { return };
    let word = match &forced.require {
        Require::Identity { .. } => return,
        Require::Chain { .. } => "chain",
        Require::Encryption => "encryption",
    };
    let described = !forced.pins.is_empty() || !forced.subject.is_empty();
    if described || !matches!(connector.next_hop, NextHop::Mx { .. }) {
        return;
    }
    let domain =
        exact(&connector.domains).next().map_or_else(|| "partner.example".to_owned(), ToString::to_string);
    let words = format!(
        "require = \"{word}\" with next_hop = \"mx\" does not stop anyone who can change DNS answers or traffic: the mail \
         exchangers are not authenticated; write require = \"identity\" and peer_names = [\"mail.{domain}\"], the \
         names its hosts present (`sealpost probe {domain}` shows them)"
    );
    report.warn(place, words);
}

fn exact(patterns: &[DomainPattern]) -> impl Iterator<Item = &Domain> {
    patterns.iter().filter_map(|pattern| match pattern {
        DomainPattern::Exact(domain) => Some(domain),
        DomainPattern::Below(_) | DomainPattern::Any => None,
    })
}
