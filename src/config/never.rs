//! Finds settings that are valid one by one and can never take effect beside the others: errors. What is only probably
//! unintended is left to `lint`.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::arrivals;
use super::check::CheckedFile;
use super::fault::Report;
use super::keys::{Entry, InboundEntry, OneOrMany, OutboundEntry};
use super::schema;
use super::values::quoted;
use crate::connector::{
    DomainPattern, Inbound, Mode, NextHop, OnFailure, Outbound, OverrideFault, OverrideLevel, SmartHost,
    SmartHostName,
};
use crate::listen::settings::{Listener, Settings};
use crate::mail::Domain;

/// Reports them at the key to change. Connectors that are off are left alone.
pub(super) fn find(file: &schema::File, checked: &CheckedFile, report: &mut Report<'_>) {
    for (entry, connector) in file.inbound.iter().zip(&checked.inbound) {
        if connector.mode != Mode::Off {
            no_recipient(entry.get_ref(), connector, report);
            no_floor(
                entry.get_ref(),
                connector.override_floor,
                |level| connector.lowered(level).err(),
                report,
            );
        }
    }
    for (entry, connector) in file.outbound.iter().zip(&checked.outbound) {
        if connector.mode != Mode::Off {
            arrivals::never_serves(entry.get_ref(), connector, checked, report);
            sources_without_hosts(entry.get_ref(), connector, report);
            reroutes_nowhere(entry.get_ref(), connector, &checked.outbound, report);
            no_floor(
                entry.get_ref(),
                connector.override_floor,
                |level| connector.lowered(level).err(),
                report,
            );
            ourselves(entry.get_ref(), connector, &checked.listen, report);
        }
    }
    listeners_on_top(file, &checked.listen.listeners, report);
}

/// A list of recipients, or asking for them, where none can be accepted.
fn no_recipient(entry: &InboundEntry, connector: &Inbound, report: &mut Report<'_>) {
    if connector.to_domains.is_empty() {
        for (key, written) in [
            ("recipients_file", connector.recipients.is_some()),
            ("verify_recipients", connector.verify_recipients),
        ] {
            if let Some(place) = entry.place(key).filter(|_| written) {
                let words = format!(
                    "{key} would be ignored: to_domains is empty, so no recipient is accepted; remove it"
                );
                report.fault_of_key(place, words);
            }
        }
        return;
    }
    let Some((known, place)) = connector.recipients.as_ref().zip(entry.place("recipients_file")) else {
        return;
    };
    let domains: BTreeSet<Option<Domain>> =
        known.domains().into_iter().map(|domain| Domain::parse(domain).ok()).collect();
    let covered =
        |pattern: &&DomainPattern| domains.iter().any(|domain| pattern.covers(domain.as_ref()).is_some());
    if !connector.to_domains.iter().any(|pattern| covered(&pattern)) {
        let words = format!(
            "{} has no recipient in any of to_domains, so everyone but postmaster is refused; correct one of the two",
            known.file
        );
        report.fault(place, words);
        return;
    }
    for pattern in connector.to_domains.iter().filter(|pattern| !covered(pattern)) {
        let words = format!(
            "{} has no recipient in {pattern} of to_domains, where everyone but postmaster is refused; add them, or remove {pattern}",
            known.file
        );
        report.warn(place.clone(), words);
    }
}

/// A floor that no override could ever use.
fn no_floor(
    entry: &impl Entry,
    floor: Option<OverrideLevel>,
    fault: impl Fn(OverrideLevel) -> Option<OverrideFault>,
    report: &mut Report<'_>,
) {
    let Some((floor, place)) = floor.zip(entry.place("override_floor")) else { return };
    if let Some(fault) = fault(floor) {
        let words = format!("override_floor = \"{}\" does nothing: {fault}; remove it", floor.word());
        report.fault(place, words);
    }
}

/// A connector to which mail is handed that can't be sent, and that can't take it: mail under a forced requirement stays under
/// one, and is handed on once.
fn reroutes_nowhere(entry: &OutboundEntry, connector: &Outbound, all: &[Outbound], report: &mut Report<'_>) {
    let (OnFailure::Reroute(name), Some(written)) = (&connector.on_failure, &entry.on_failure) else {
        return;
    };
    let others = all.iter().filter(|other| other.name != connector.name);
    let why = match others.clone().find(|other| other.name == *name) {
        None if *name == connector.name => "is this connector itself; name another one".to_owned(),
        None => {
            let names: Vec<&str> = others.map(|other| &*other.name).collect();
            let known = if names.is_empty() { "there is no other".to_owned() } else { quoted(names) };
            format!("is not an outbound connector; write the name of one: {known}")
        }
        Some(other) if other.mode == Mode::Off => "has mode = \"off\"; switch it on".to_owned(),
        Some(other) if other.forced().is_none() => {
            "does not force TLS, and this mail must not leave without; write tls = \"forced\" there".to_owned()
        }
        Some(other) if other.mode == Mode::Audit => {
            "has mode = \"audit\", and this mail must not leave without TLS; write mode = \"enforce\" there".to_owned()
        }
        Some(other) if matches!(other.on_failure, OnFailure::Reroute(_)) => {
            "hands mail to another one itself, and mail is handed on once; write on_failure = \"defer\" or \"bounce\" there"
                .to_owned()
        }
        Some(other) if !other.from_connectors.is_empty() => {
            "has from_connectors, which would be ignored: this mail arrived by any connector; remove from_connectors there"
                .to_owned()
        }
        Some(_) => return,
    };
    report.fault(written.span(), format!("on_failure = \"reroute:{name}\" does nothing: {name} {why}"));
}

/// A source address of a family that none of the hosts has; names may have either.
fn sources_without_hosts(entry: &OutboundEntry, connector: &Outbound, report: &mut Report<'_>) {
    let (NextHop::SmartHosts(hosts), Some(written)) = (&connector.next_hop, &entry.source_address) else {
        return;
    };
    let takes = |source: &IpAddr| {
        hosts.iter().any(|host| match host.name {
            SmartHostName::Name(_) => true,
            SmartHostName::Ip(ip) => ip.is_ipv4() == source.is_ipv4(),
        })
    };
    for (source, item) in connector.source_addresses.iter().zip(OneOrMany::items(written)) {
        if !takes(source) {
            let family = if source.is_ipv4() { "IPv4" } else { "IPv6" };
            let words = format!("{source} would be ignored: next_hop has no {family} address; remove it");
            report.fault(item.span(), words);
        }
    }
}

/// A next hop that is one of our own listeners, to which no connection is made.
fn ourselves(entry: &OutboundEntry, connector: &Outbound, listen: &Settings, report: &mut Report<'_>) {
    let (NextHop::SmartHosts(hosts), Some(written)) = (&connector.next_hop, &entry.next_hop) else { return };
    for (host, item) in hosts.iter().zip(OneOrMany::items(written)) {
        let SmartHost { name, port } = host;
        let ours = |address: &SocketAddr| {
            let is_here = match name {
                SmartHostName::Ip(ip) => {
                    let everywhere = address.ip().is_unspecified()
                        && ip.is_loopback()
                        && address.is_ipv4() == ip.is_ipv4();
                    address.ip() == *ip || everywhere
                }
                SmartHostName::Name(name) => *name == listen.name,
            };
            address.port() == *port && is_here
        };
        let Some(listener) = listen.listeners.iter().find(|listener| listener.addresses.iter().any(ours))
        else {
            continue;
        };
        match name {
            SmartHostName::Ip(_) => {
                let words = format!(
                    "{host} is our own listener {}, and we send nothing to ourselves; write another host or port",
                    listener.name
                );
                report.fault(item.span(), words);
            }
            // Inside, the name may lead to another host.
            SmartHostName::Name(_) => {
                let words = format!(
                    "{host} is our own name, and {} listens on that port: if the name leads to this host here, mail is not \
                     sent; write another host or port, or its address",
                    listener.name
                );
                report.warn(item.span(), words);
            }
        }
    }
}

/// An address that a listener on all addresses has too: the system gives a port to one of them.
fn listeners_on_top(file: &schema::File, listeners: &[Listener], report: &mut Report<'_>) {
    let all = |address: &SocketAddr| {
        listeners.iter().flat_map(|other| &other.addresses).any(|other| {
            other.ip().is_unspecified()
                && other.is_ipv4() == address.is_ipv4()
                && other.port() == address.port()
        })
    };
    for (entry, listener) in file.listener.iter().zip(listeners) {
        let Some(written) = &entry.get_ref().address else { continue };
        for (address, item) in listener.addresses.iter().zip(OneOrMany::items(written)) {
            if address.port() != 0 && !address.ip().is_unspecified() && all(address) {
                let words = format!(
                    "{address} can't be listened on beside all addresses of port {}; remove one of the two",
                    address.port()
                );
                report.fault(item.span(), words);
            }
        }
    }
}
