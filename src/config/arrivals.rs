//! Checks what `from_connectors` of outbound connectors comes to: whether mail can ever take these ways, and which mail
//! goes another way or back where it came from, or can't be reported. The names themselves are checked in `outbound`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::check::CheckedFile;
use super::fault::Report;
use super::keys::{Entry as _, InboundEntry, OutboundEntry};
use crate::connector::{
    Arrival, ClientKind, DomainPattern, Inbound, Mode, NextHop, Outbound, SmartHostName, Table, choose,
};
use crate::mail::{Domain, Mailbox};

/// Why a connector never serves one of its patterns, for one arrival.
enum Idle<'a> {
    /// Another one does, at a lower cost.
    Beaten(&'a Outbound),
    /// The inbound connector does not relay there.
    NotRelayed,
}

/// One pattern of a connector, for one of its arrivals; `None` as arrival: for all mail.
struct Part<'a> {
    pattern: &'a DomainPattern,
    arrives_by: Option<&'a str>,
    idle: Option<Idle<'a>>,
}

/// Reports a connector that never serves, and warns of the parts that don't.
pub(super) fn never_serves(
    entry: &OutboundEntry,
    connector: &Outbound,
    checked: &CheckedFile,
    report: &mut Report<'_>,
) {
    let Some(domains) = entry.domains_place() else { return };
    let named = entry.place("from_connectors");
    let parts = parts(connector, checked);
    let name = &connector.name;
    let beaten = parts.iter().find_map(|part| match part.idle {
        Some(Idle::Beaten(winner)) => Some(winner),
        Some(Idle::NotRelayed) | None => None,
    });
    if parts.iter().all(|part| part.idle.is_some()) {
        match (beaten, named) {
            (Some(winner), _) => report.fault_of_key(
                domains,
                format!(
                    "{name} never serves: each of its domains is served at a lower cost, as by {}; remove it, change a \
                     cost, or write mode = \"off\"",
                    winner.name
                ),
            ),
            (None, Some(place)) => report.fault_of_key(
                place,
                format!(
                    "{name} never serves: none of these connectors relays to any of its domains (to_domains), or they are \
                     off; correct one of the three, or write mode = \"off\""
                ),
            ),
            (None, None) => {}
        }
        return;
    }
    for part in &parts {
        let Some(Idle::Beaten(winner)) = part.idle else { continue };
        let arriving =
            part.arrives_by.map(|by| format!(" for mail that arrives by {by}")).unwrap_or_default();
        let words = format!(
            "{name} never serves {}{arriving}, which {} serves at a lower cost",
            part.pattern, winner.name
        );
        report.warn(domains.clone(), words);
    }
    let Some(place) = named else { return };
    for by in &connector.from_connectors {
        let of_this = || parts.iter().filter(|part| part.arrives_by == Some(by));
        if of_this().all(|part| matches!(part.idle, Some(Idle::NotRelayed))) {
            let words = format!(
                "no mail that arrives by {by} goes by {name}: {by} relays to none of its domains, or is off; remove it here, or \
                 add to its to_domains"
            );
            report.warn(place.clone(), words);
        }
    }
}

fn parts<'a>(connector: &'a Outbound, checked: &'a CheckedFile) -> Vec<Part<'a>> {
    let mut arrivals: Vec<Option<&str>> = connector.from_connectors.iter().map(|by| Some(&**by)).collect();
    if arrivals.is_empty() {
        arrivals.push(None);
    }
    let competes = |other: &Outbound, arrives_by: Option<&str>| match arrives_by {
        None => other.from_connectors.is_empty(),
        Some(by) => other.from_connectors.iter().any(|name| **name == *by),
    };
    let mut parts = Vec::new();
    for pattern in &connector.domains {
        for arrives_by in &arrivals {
            let winner = checked.outbound.iter().find(|other| {
                other.mode != Mode::Off
                    && other.cost < connector.cost
                    && other.domains.contains(pattern)
                    && competes(other, *arrives_by)
            });
            let inbound = arrives_by.map(|by| checked.inbound.iter().find(|one| *one.name == *by));
            let relays = |one: &Inbound| relays_to(one, pattern, &checked.listen.postmaster);
            let idle = match (winner, inbound) {
                (_, Some(inbound)) if !inbound.is_some_and(relays) => Some(Idle::NotRelayed),
                (Some(winner), _) => Some(Idle::Beaten(winner)),
                (None, _) => None,
            };
            parts.push(Part { pattern, arrives_by: *arrives_by, idle });
        }
    }
    parts
}

/// Whether mail for some domain of the pattern may arrive by the connector. Anybody may write to the postmaster.
fn relays_to(inbound: &Inbound, pattern: &DomainPattern, postmaster: &Mailbox) -> bool {
    let meets = |other: &DomainPattern| other.includes(pattern) || pattern.includes(other);
    let relays = inbound.to_domains.iter().any(meets) || pattern.covers(postmaster.domain_name()).is_some();
    inbound.mode != Mode::Off && relays
}

/// The connectors by which mail for a domain may go, whichever way it arrives; by name.
pub(super) fn ways(
    table: &Table,
    domain: Option<&Domain>,
    may_arrive: impl Fn(Arrival<'_>) -> bool,
) -> Vec<Arc<Outbound>> {
    let arrivals = table.arrivals().filter(|arrival| may_arrive(*arrival));
    let mut found: Vec<_> =
        arrivals.filter_map(|arrival| Some(choose(table, domain, arrival)?.connector)).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.dedup_by(|a, b| a.name == b.name);
    found
}

/// Whether mail for the domain may arrive so.
pub(super) fn may_arrive(inbound: &[Inbound], domain: Option<&Domain>, arrival: Arrival<'_>) -> bool {
    arrival.name().is_none_or(|name| {
        inbound.iter().any(|one| *one.name == *name && one.mode != Mode::Off && one.relays_to(domain))
    })
}

/// Warns at a connector of `*` with `from_connectors` of the domains that another one serves for mail of these arrivals,
/// since their patterns are closer. Another one with the same next hop is no other way.
pub(super) fn escapes(
    entry: &OutboundEntry,
    connector: &Outbound,
    (table, checked): (&Table, &CheckedFile),
    report: &mut Report<'_>,
) {
    let Some(place) = entry.place("domains").filter(|_| !connector.from_connectors.is_empty()) else {
        return;
    };
    if connector.mode == Mode::Off || !connector.domains.contains(&DomainPattern::Any) {
        return;
    }
    let patterns: BTreeSet<&DomainPattern> =
        checked.outbound.iter().flat_map(|other| &other.domains).collect();
    let mut escaping: Vec<String> = Vec::new();
    let mut others: BTreeSet<Arc<str>> = BTreeSet::new();
    for pattern in patterns {
        let Some(domain) = witness(pattern) else { continue };
        for by in &connector.from_connectors {
            let arrival = Arrival::By(by);
            let Some(choice) = choose(table, Some(&domain), arrival) else { continue };
            // One that names arrivals is meant so.
            let elsewhere = choice.connector.from_connectors.is_empty()
                && choice.connector.next_hop != connector.next_hop
                && choice.pattern == *pattern
                && !is_ours(checked, &domain)
                && may_arrive(&checked.inbound, Some(&domain), arrival);
            if elsewhere {
                others.insert(Arc::clone(&choice.connector.name));
                escaping.push(pattern.to_string());
                break;
            }
        }
    }
    if escaping.is_empty() {
        return;
    }
    let more = escaping.len().saturating_sub(NAMED_MAX);
    escaping.truncate(NAMED_MAX);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    let others: Vec<&str> = others.iter().map(AsRef::as_ref).collect();
    let words = format!(
        "{} does not take all mail that arrives by {}: for {}{rest} there are closer patterns (connector {}); add to its \
         domains what it is to take",
        connector.name,
        connector.from_connectors.join(" or "),
        escaping.join(", "),
        others.join(", "),
    );
    report.warn(place, words);
}

/// Whether anybody may write there through us, as to a domain of ours: it has its own way whoever writes.
fn is_ours(checked: &CheckedFile, domain: &Domain) -> bool {
    let names = |one: &Inbound| {
        one.kind == ClientKind::Partner
            && one.mode != Mode::Off
            && DomainPattern::any_names(&one.to_domains, Some(domain))
    };
    checked.listen.postmaster.domain_name() == Some(domain) || checked.inbound.iter().any(names)
}

/// Warns of senders whom no report can reach: only connectors with `from_connectors` lead to them, and a report arrived by
/// none.
pub(super) fn beyond_reports(
    entry: &InboundEntry,
    connector: &Inbound,
    table: &Table,
    report: &mut Report<'_>,
) {
    let places = [entry.place("from_domains"), entry.place("partner"), entry.place("name")];
    let Some(place) = places.into_iter().flatten().next().filter(|_| connector.mode != Mode::Off) else {
        return;
    };
    let any = [DomainPattern::Any];
    let senders = if connector.from_domains.is_empty() { &any[..] } else { &connector.from_domains[..] };
    let out_of_reach = |pattern: &&DomainPattern| {
        let leads = |other: &Arc<Outbound>| {
            other.mode != Mode::Off && other.domains.iter().any(|served| served.includes(pattern))
        };
        choose(table, witness(pattern).as_ref(), Arrival::Ours).is_none() && table.outbound.iter().any(leads)
    };
    let mut named: Vec<String> = senders.iter().filter(out_of_reach).map(|p| format!("\"{p}\"")).collect();
    if named.is_empty() {
        return;
    }
    named.truncate(NAMED_MAX);
    let words = format!(
        "no report reaches the senders of {} at {}: only connectors with from_connectors lead there, and our reports arrive by \
         none; add an [[outbound]] connector for them without from_connectors",
        connector.name,
        named.join(", "),
    );
    report.warn(place, words);
}

fn witness(pattern: &DomainPattern) -> Option<Domain> {
    match pattern {
        DomainPattern::Exact(domain) => Some(domain.clone()),
        DomainPattern::Below(parent) => Domain::parse(&format!("any-below.{parent}")).ok(),
        DomainPattern::Any => None,
    }
}

/// Warns of mail that goes back to the host it came from: the only one that an inbound connector names.
pub(super) fn handed_back(
    entry: &OutboundEntry,
    connector: &Outbound,
    checked: &CheckedFile,
    report: &mut Report<'_>,
) {
    let (NextHop::SmartHosts(hosts), Some(place)) = (&connector.next_hop, entry.place("from_connectors"))
    else {
        return;
    };
    let addresses: Vec<IpAddr> = hosts
        .iter()
        .filter_map(|host| match host.name {
            SmartHostName::Ip(ip) => Some(ip),
            SmartHostName::Name(_) => None,
        })
        .collect();
    let named = |inbound: &&Inbound| connector.from_connectors.contains(&inbound.name);
    for inbound in checked.inbound.iter().filter(named) {
        let single =
            inbound.from_networks.iter().filter(|network| network.prefix_len() == network.max_prefix_len());
        if let Some(network) = single.into_iter().find(|network| addresses.contains(&network.addr())) {
            let words = format!(
                "mail that arrives by {} from {} goes back to it: {} is a next hop; what goes round so is refused in the end \
                 as a loop (own_hops)",
                inbound.name,
                network.addr(),
                network.addr(),
            );
            report.warn(place.clone(), words);
        }
    }
}

/// Patterns named in a warning.
const NAMED_MAX: usize = 10;
