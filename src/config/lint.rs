//! Warns of connectors that are valid individually but probably unintended together. It reports no errors.

use std::net::SocketAddr;
use std::ops::Range;

use ipnet::IpNet;

use super::arrivals::{self, may_arrive, ways};
use super::check::CheckedFile;
use super::clouds::shared_cloud;
use super::fault::Report;
use super::keys::{Entry as _, InboundEntry, List};
use super::schema;
use crate::connector::{
    Arrival, BrakeMode, ClientKind, DomainPattern, Inbound, Mode, NextHop, Onward, Outbound, Require, Table,
    choose,
};
use crate::mail::Domain;

/// Checks all connectors, and warns at the one to change.
pub(super) fn warn(file: &schema::File, (checked, table): (&CheckedFile, &Table), report: &mut Report<'_>) {
    for (entry, connector) in file.outbound.iter().zip(&checked.outbound) {
        let entry = entry.get_ref();
        arrivals::escapes(entry, connector, (table, checked), report);
        arrivals::handed_back(entry, connector, checked, report);
        let Some(tls) = &entry.tls else { continue };
        if connector.mode == Mode::Enforce && connector.forced().is_some() {
            // What a partner's directions and domains lack is said of the partner.
            if let (Some(domains), None) = (&entry.domains, &connector.partner) {
                forced_out_only(connector, checked, domains, report);
                below_or_above(connector, (table, checked), domains, report);
            }
            chosen_by_dns(connector, tls.span(), report);
        }
    }
    for (entry, connector) in file.inbound.iter().zip(&checked.inbound) {
        if let Some(to) = &entry.get_ref().to_domains {
            leads_nowhere(connector, table, to, report);
        }
        arrivals::beyond_reports(entry.get_ref(), connector, table, report);
        open_to_a_cloud(entry.get_ref(), connector, report);
        strangers_as_ours(entry.get_ref(), connector, checked, report);
        above_the_limit(entry.get_ref(), connector, checked, report);
        no_such_family(entry.get_ref(), connector, checked, report);
        let Some(domains) = entry.get_ref().domains_place() else { continue };
        shadowed_inbound(connector, &checked.inbound, domains.clone(), report);
        if connector.is_enforced() && connector.partner.is_none() {
            forced_in_only(connector, (table, checked), domains, report);
        }
    }
}

/// Warns of recipient domains that no outbound connector serves, and of those to which sealed mail can't be sent.
fn leads_nowhere(connector: &Inbound, table: &Table, to: &List, report: &mut Report<'_>) {
    if connector.mode == Mode::Off || table.outbound.is_empty() {
        return;
    }
    let arrival = Arrival::By(&connector.name);
    let serving = || table.outbound.iter().filter(|other| other.mode != Mode::Off && other.takes(arrival));
    for pattern in connector.to_domains.iter().filter(|pattern| **pattern != DomainPattern::Any) {
        let meets = |other: &DomainPattern| other.includes(pattern) || pattern.includes(other);
        if !serving().any(|other| other.domains.iter().any(meets)) {
            let words = format!(
                "no outbound connector serves {pattern}, so its recipients are refused; add it to the domains of one, or remove it"
            );
            report.warn(to.span(), words);
        }
    }
    for domain in exact(&connector.to_domains).filter(|_| connector.onward > Onward::Any) {
        let Some(choice) = choose(table, Some(domain), arrival) else { continue };
        if !connector.onward.is_met_by(&choice.connector.requirement(Some(domain), None)) {
            let words = format!(
                "mail to {domain} waits until it expires: onward is \"{}\", and {} sends {}; give {domain} a \
                 connector with tls = \"forced\"",
                connector.onward.word(),
                choice.connector.name,
                if choice.connector.is_enforced() {
                    "without proof of who the host is"
                } else {
                    "without forced TLS"
                }
            );
            report.warn(to.span(), words);
        }
    }
}

/// Warns of a connector for our own systems by which every customer of a cloud could relay: all of them present its
/// certificate, and pins or a subject tell them apart no better.
fn open_to_a_cloud(entry: &InboundEntry, connector: &Inbound, report: &mut Report<'_>) {
    let cloud = connector.forced().and_then(shared_cloud);
    let apart = connector.users.is_some() || connector.from_networks.restrict();
    let relays = connector.kind == ClientKind::Own
        && connector.mode != Mode::Off
        && connector.to_domains.contains(&DomainPattern::Any);
    let stops = connector.brake == BrakeMode::On && connector.mode != Mode::Off;
    if let (Some(cloud), Some(brake), true) = (cloud, &entry.brake, stops && !apart) {
        let words = format!(
            "every customer of {cloud} could stop the mail by {}: they all present this certificate; write brake = \"alarm\"",
            connector.name
        );
        report.warn(brake.span(), words);
    }
    if let (Some(cloud), Some(to), true) = (cloud, &entry.to_domains, relays && !apart) {
        let words = format!(
            "every customer of {cloud} could relay anywhere through {}: they all present this certificate; write your own \
             domains",
            connector.name
        );
        report.warn(to.span(), words);
    }
}

/// Warns where anyone may claim a domain of ours: our own systems have connectors of their own, so nobody needs this.
fn strangers_as_ours(
    entry: &InboundEntry,
    connector: &Inbound,
    checked: &CheckedFile,
    report: &mut Report<'_>,
) {
    let for_all = connector.mode != Mode::Off
        && connector.from_domains.contains(&DomainPattern::Any)
        && !connector.restricts_clients();
    let have_own =
        checked.inbound.iter().any(|other| other.kind == ClientKind::Own && other.mode != Mode::Off);
    let (true, Some(from)) = (for_all && have_own, &entry.from_domains) else { return };
    for domain in exact(&connector.to_domains) {
        let level = connector.covers(Some(domain));
        let is_bound =
            checked.inbound.iter().any(|other| other.is_enforced() && other.covers(Some(domain)) > level);
        if level.is_some() && !is_bound {
            let words = format!(
                "{} accepts mail that claims to come from {domain} from anyone; add except_domains = [\"{domain}\"]",
                connector.name
            );
            report.warn(from.span(), words);
        }
    }
}

/// Warns of a connector's limit above the one for all, which comes first.
fn above_the_limit(
    entry: &InboundEntry,
    connector: &Inbound,
    checked: &CheckedFile,
    report: &mut Report<'_>,
) {
    let (own, all) = (&connector.limits, &checked.listen.limits);
    let above = |own: Option<usize>, all: usize| own.is_some_and(|own| own > all);
    let too_high = [
        ("message_size", own.message_bytes_max.is_some_and(|own| own > all.message_bytes_max)),
        ("recipients", above(own.recipients_max, all.recipients_max)),
        ("connections", above(own.connections_max, all.connections_max)),
    ];
    for (key, _) in too_high.into_iter().filter(|(_, above)| *above) {
        if let Some(place) = entry.place(key) {
            report.warn(
                place,
                format!("{key} does nothing: {key} of [limits] is lower; raise that, or remove this"),
            );
        }
    }
}

/// Warns of networks whose clients can't reach us: no listener has an address of their family.
fn no_such_family(entry: &InboundEntry, connector: &Inbound, checked: &CheckedFile, report: &mut Report<'_>) {
    let listened: Vec<bool> =
        checked.listen.listeners.iter().flat_map(|one| &one.addresses).map(SocketAddr::is_ipv4).collect();
    let mut families = connector.from_networks.iter().map(|network| matches!(network, IpNet::V4(_)));
    let unreachable =
        !connector.from_networks.is_anywhere() && families.all(|family| !listened.contains(&family));
    let written = entry.place("from_networks").or_else(|| entry.place("from_networks_file"));
    if let Some(place) =
        written.filter(|_| unreachable && !listened.is_empty() && connector.mode != Mode::Off)
    {
        let family = if listened.contains(&true) { "IPv6" } else { "IPv4" };
        let words = format!(
            "nobody can meet this: all these networks are {family}, and no listener has an {family} address; add one to a listener"
        );
        report.warn(place, words);
    }
}

/// Warns if an enforced forced connector has each of its patterns: no looser one is considered there.
fn shadowed_inbound(connector: &Inbound, all: &[Inbound], domains: Range<usize>, report: &mut Report<'_>) {
    if connector.is_enforced() || connector.mode == Mode::Off {
        return;
    }
    let bound = |pattern: &DomainPattern| {
        // `*` binds nobody.
        let here = |other: &&Inbound| other.is_enforced() && other.from_domains.contains(pattern);
        all.iter().find(here).filter(|_| *pattern != DomainPattern::Any)
    };
    let binding: Option<Vec<_>> = connector.from_domains.iter().map(bound).collect();
    if let Some(other) = binding.as_ref().and_then(|binding| binding.first()) {
        let words = format!(
            "{} never admits anyone: {} is forced, covers the same domains and takes precedence; remove one of the two",
            connector.name, other.name
        );
        report.warn(domains, words);
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
        if let (false, Some(open)) = (here.iter().any(|c| c.is_enforced()), open) {
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
fn forced_in_only(
    connector: &Inbound,
    (table, checked): (&Table, &CheckedFile),
    domains: Range<usize>,
    report: &mut Report<'_>,
) {
    for domain in exact(&connector.from_domains) {
        let may_arrive = |arrival: Arrival<'_>| may_arrive(&checked.inbound, Some(domain), arrival);
        let ways = ways(table, Some(domain), may_arrive);
        if let Some(open) = ways.iter().find(|one| one.forced().is_none()) {
            let words = format!(
                "{domain} is forced only inbound: {} sends mail to it in plaintext if TLS is not offered; add an \
                 [[outbound]] connector with domains = [\"{domain}\"] and tls = \"forced\"",
                open.name
            );
            report.warn(domains.clone(), words);
        }
    }
}

/// Warns of `a.example` without `*.a.example`, or the reverse, if a looser connector serves the rest.
fn below_or_above(
    connector: &Outbound,
    (table, checked): (&Table, &CheckedFile),
    domains: &List,
    report: &mut Report<'_>,
) {
    for pattern in &connector.domains {
        let (looked_at, missing) = match pattern {
            DomainPattern::Exact(domain) => {
                (Domain::parse(&format!("x.{domain}")).ok(), format!("*.{domain}"))
            }
            DomainPattern::Below(domain) => (Some(domain.clone()), domain.to_string()),
            DomainPattern::Any => continue,
        };
        let Some(domain) = looked_at else { continue };
        let ways = ways(table, Some(&domain), |arrival| {
            connector.takes(arrival) && may_arrive(&checked.inbound, Some(&domain), arrival)
        });
        if let Some(other) = ways.iter().find(|one| one.forced().is_none()) {
            let words = format!(
                "{pattern} does not cover {missing}, which {} serves without forced TLS; add \"{missing}\" to the \
                 domains, or give it a connector of its own",
                other.name
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
