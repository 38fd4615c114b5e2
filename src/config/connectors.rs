//! Checks what both kinds of connector share, and the inbound connectors. The outbound ones are in
//! `outbound`.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;
use toml::Spanned;

use super::fault::Report;
use super::keys::{Entry as _, InboundEntry, InboundValues, List, QueueValues, TlsIn, shown};
use super::known::DefinedIds;
use super::named::Revisions;
use super::outbound::{AUDIT_IS_ON, NOTHING_TO_REHEARSE};
use super::raise::RaiseRules;
use super::{demands, outbound, schema, view};
use crate::connector::{
    BareLf, BrakeMode, ClientKind, ClientNetworks, DomainPattern, Forced, HeaderHandling, Inbound,
    InboundTls, KeyExchange, Mode, Outbound,
};
use crate::listen::settings::{Listener, ListenerTls};
use crate::mail::Mailbox;

/// The connectors, as far as they could be parsed.
pub(super) struct Connectors {
    pub(super) inbound: Vec<Inbound>,
    pub(super) outbound: Vec<Outbound>,
    /// The connectors as `check --json` shows them, inbound and outbound.
    pub(super) shown: (Vec<Value>, Vec<Value>),
    /// The `[[raise]]` rules as `check --json` shows them.
    pub(super) rules: Vec<Value>,
    /// Every pattern by which an outbound connector serves mail however it arrives, including faulty ones.
    pub(super) served: Vec<DomainPattern>,
    /// No outbound connector serves any mail.
    pub(super) serves_nothing: bool,
}

pub(super) fn check(
    file: &schema::File,
    queue: &QueueValues,
    (known, listeners): (&mut DefinedIds<'_>, &[Listener]),
    revisions: &Revisions,
    report: &mut Report<'_>,
) -> Connectors {
    let rules = RaiseRules::of(file, report);
    let mut names = BTreeMap::new();
    let mut inbound = (Vec::new(), Vec::new());
    for entry in &file.inbound {
        if let Some(name) = &entry.get_ref().name {
            report.unique(name, "connector", &mut names);
        }
        inbound.extend(one_inbound(entry, (&mut *known, listeners, &rules), revisions, report));
    }
    let mut served = Vec::new();
    let mut ties = outbound::Claimants::new();
    let mut serves_nothing = true;
    let mut outbound = (Vec::new(), Vec::new());
    for entry in &file.outbound {
        if let Some(name) = &entry.get_ref().name {
            report.unique(name, "connector", &mut names);
        }
        let ((cost, patterns), connector) =
            outbound::one(entry, queue, (&mut *known, &revisions.base), report);
        outbound::tie(entry.get_ref(), (cost, &patterns), &mut ties, report);
        let is_off = connector.as_ref().is_some_and(|(connector, _)| connector.mode == Mode::Off);
        if !is_off {
            outbound::warn_idle(entry, file, report);
        }
        serves_nothing &= is_off || patterns.is_empty();
        if !is_off && entry.get_ref().from_connectors.is_none() {
            served.extend(patterns.into_iter().map(|(pattern, _)| pattern));
        }
        outbound.extend(connector);
    }
    outbound::arrivals_exist(file, report);
    warn_none(file, report);
    let shown = (inbound.1, outbound.1);
    let rules = rules.shown;
    Connectors { inbound: inbound.0, outbound: outbound.0, shown, rules, served, serves_nothing }
}

fn one_inbound(
    entry: &Spanned<InboundEntry>,
    (known, listeners, rules): (&mut DefinedIds<'_>, &[Listener], &RaiseRules),
    revisions: &Revisions,
    report: &mut Report<'_>,
) -> Option<(Inbound, Value)> {
    let (place, entry) = (entry.span(), entry.get_ref());
    known.begin();
    let mut values = entry.read(&place, report);
    if let Some(list) = &entry.from_domains {
        report.not_empty(list, "from_domains", "write the reverse-path domains, or [\"*\"] for every one");
    }
    let (partner, domains) = values.partner.as_ref().and_then(|name| known.use_partner(name, report)).unzip();
    values.from_domains = domains.or(values.from_domains);
    covered(entry, &values, report);
    listeners_exist(&values, listeners, report);
    from_networks(entry, &mut values, revisions, report);
    let tls = inbound_tls(entry, &mut values, known, report);
    if entry.to_domains.is_none() {
        report.warn(
            place,
            "without to_domains this connector relays for nobody; write to_domains = \
             [\"contoso.example\"], or [] if that is meant",
        );
    }
    contradictions(entry, &values, report);
    covered_twice(values.to_domains.as_deref().unwrap_or_default(), report);
    let mut connector = values.connector(tls?, &revisions.lists)?;
    connector.partner = partner;
    if let (ClientKind::Own, false, Some(text)) = (connector.kind, connector.restricts_clients(), &entry.kind)
    {
        report.fault_of_key(
            text.span(),
            "kind = \"own\" needs to know that the client is one of our systems: add from_networks, users_file, or tls = \
             \"forced\" with peer_names or pins",
        );
    }
    if let (BrakeMode::On, false, Some(text)) = (connector.brake, connector.restricts_clients(), &entry.brake)
    {
        let words = format!(
            "brake = \"on\" would let a stranger stop everybody's mail by this connector: {}, or users_file, or tls = \
             \"forced\" with peer_names, or write brake = \"alarm\"",
            restricting(&connector.from_networks)
        );
        report.fault_of_key(text.span(), words);
    }
    warn_open(&connector, entry.to_domains.as_ref(), report);
    if let Some(list) = &entry.originators {
        report.not_empty(list, "originators", "write your own domains, or remove the key to mean any");
        if connector.headers != HeaderHandling::Promote {
            let words =
                "originators would be ignored: it is for headers = \"promote\"; write that, or remove it";
            report.fault_of_key(list.span(), words);
        }
    }
    let identified = connector.is_enforced() && connector.forced().is_some_and(Forced::identifies);
    outbound::promotes(connector.headers, (connector.mode, identified), entry.headers.as_ref(), report);
    connector.raise = rules.for_connector(&connector.name);
    connector.revision = known.revision(&connector, report);
    let shown = view::inbound(shown(entry, &values), &connector);
    Some((connector, shown))
}

/// Reports an exception that is empty, or leaves nothing of what is covered.
fn covered(entry: &InboundEntry, values: &InboundValues, report: &mut Report<'_>) {
    let Some(list) = &entry.except_domains else { return };
    report.not_empty(list, "except_domains", "write reverse-path domains, or remove the key");
    let (Some(from), Some(except)) = (&values.from_domains, &values.except_domains) else { return };
    let excepted = |pattern: &DomainPattern| except.iter().any(|(other, _)| other.includes(pattern));
    if !from.is_empty() && from.iter().all(|(pattern, _)| excepted(pattern)) {
        report.fault(list.span(), "except_domains leaves nothing of from_domains; remove one of the two");
    }
}

fn listeners_exist(values: &InboundValues, listeners: &[Listener], report: &mut Report<'_>) {
    for name in values.listeners.iter().flatten() {
        if listeners.iter().any(|listener| listener.name == *name.get_ref()) {
            continue;
        }
        let known: Vec<String> = listeners.iter().map(|listener| format!("\"{}\"", listener.name)).collect();
        let message = match known.as_slice() {
            [] => "there is no [[listener]] yet".to_owned(),
            known => {
                format!("no [[listener]] is named \"{}\"; there is {}", name.get_ref(), known.join(", "))
            }
        };
        report.fault(name.span(), message);
    }
}

/// The networks written here, with those from the networks file.
fn from_networks(
    entry: &InboundEntry,
    values: &mut InboundValues,
    revisions: &Revisions,
    report: &mut Report<'_>,
) {
    let file = values.from_networks_file.as_ref();
    if let Some(of_file) = file.and_then(|file| revisions.lists.networks.get(file.get_ref())) {
        values.from_networks.get_or_insert_default().extend(of_file);
    }
    if let Some(networks) = &mut values.from_networks {
        networks.sort();
        networks.dedup();
    }
    let known = values.networks();
    let written = entry.from_networks.as_ref().map(Spanned::span);
    let written = written.or_else(|| entry.from_networks_file.as_ref().map(Spanned::span));
    if let Some((family, place)) = known.whole_family().zip(written) {
        let words = format!(
            "from_networks covers every {family} address, so it restricts nobody: write the clients' own networks, or \
             remove it to mean anywhere"
        );
        report.fault_of_key(place, words);
    }
    if let (BareLf::Normalize, false, Some(text)) = (values.bare_lf, known.restrict(), &entry.bare_lf) {
        let words = "bare_lf = \"normalize\" is for devices that are known";
        report.fault(text.span(), format!("{words}: {}, or remove it", restricting(&known)));
    }
    let open = !known.restrict() && values.users_file.is_none();
    if let (true, true, Some(written)) = (values.lenient, open, &entry.lenient) {
        let words = format!(
            "lenient = true is for devices that are known: {} or add users_file, or remove it",
            restricting(&known)
        );
        report.fault_of_key(written.span(), words);
    }
}

/// What to do so that networks restrict who a client can be.
fn restricting(networks: &ClientNetworks) -> &'static str {
    if networks.is_anywhere() {
        "add from_networks"
    } else {
        "from_networks covers a large part of the internet; write the clients' own networks"
    }
}

fn inbound_tls(
    entry: &InboundEntry,
    values: &mut InboundValues,
    known: &mut DefinedIds<'_>,
    report: &mut Report<'_>,
) -> Option<InboundTls> {
    match values.tls? {
        TlsIn::Off => Some(InboundTls::Off),
        TlsIn::Opportunistic => Some(InboundTls::Opportunistic),
        TlsIn::Forced => {
            let forced = demands::forced(entry, values.demands(), known, report)?;
            if let (KeyExchange::Classic, Some(text)) = (forced.key_exchange, &entry.key_exchange) {
                report.fault(
                    text.span(),
                    "key_exchange = \"classic\" is for outbound connectors: a listener takes what its clients \
                     offer; remove it, or demand \"post-quantum\"",
                );
            }
            if demands::nameless(&forced) && entry.peer_names.is_none() {
                report.fault_of_key(
                    entry.place("tls").unwrap_or_default(),
                    "tls = \"forced\" needs to know who the client is: add peer_names = [\"mail.partner.example\"], the \
                     names its client certificate presents, or write require = \"chain\" or \"encryption\"",
                );
                return None;
            }
            Some(InboundTls::Forced(forced))
        }
    }
}

/// Reports keys that contradict each other. Audit would let in anyone who claims the domain, so it needs a
/// network, which stays enforced.
fn contradictions(entry: &InboundEntry, values: &InboundValues, report: &mut Report<'_>) {
    if let Some(written) = &entry.verify_recipients
        && values.verify_recipients
        && entry.recipients_file.is_some()
    {
        report.fault_of_key(
            written.span(),
            "recipients_file says who exists, and verify_recipients asks the next hop; write one of them",
        );
    }
    let Some(text) = entry.mode.as_ref().filter(|_| values.mode == Mode::Audit) else { return };
    match values.tls {
        Some(TlsIn::Off | TlsIn::Opportunistic) => report.fault(text.span(), NOTHING_TO_REHEARSE),
        Some(TlsIn::Forced) if !values.networks().restrict() => report.fault(
            text.span(),
            format!(
                "mode = \"audit\" would let anyone claim these domains; {}, which stay enforced, or write mode = \
                 \"enforce\"",
                restricting(&values.networks())
            ),
        ),
        Some(TlsIn::Forced) => report.warn(text.span(), AUDIT_IS_ON),
        None => {}
    }
}

/// Reports patterns of `to_domains` that a wider one makes superfluous: any of them is enough. Elsewhere the closest counts.
fn covered_twice(patterns: &[(DomainPattern, Range<usize>)], report: &mut Report<'_>) {
    for (pattern, place) in patterns {
        let wider = patterns.iter().find(|(other, _)| other != pattern && other.includes(pattern));
        if let Some((wider, _)) = wider {
            report.fault(place.clone(), format!("{pattern} is covered by {wider} already; remove one"));
        }
    }
}

/// RFC 5321 §4.5.1: `postmaster` must be accepted everywhere, so its mailbox needs an outbound connector.
pub(super) fn postmaster_has_a_way(
    postmaster: &Mailbox,
    place: &Range<usize>,
    connectors: &Connectors,
    report: &mut Report<'_>,
) {
    let covered = connectors.served.iter().any(|p| p.covers(postmaster.domain_name()).is_some());
    // Without any outbound connector there is already a warning that no mail is accepted for anyone.
    if covered || connectors.serves_nothing {
        return;
    }
    let is_for_some = connectors.outbound.iter().any(|one| !one.from_connectors.is_empty());
    let which = if is_for_some { " without from_connectors" } else { "" };
    report.fault(
        place.clone(),
        format!(
            "the postmaster {postmaster} has no outbound connector; add {} to the domains of one{which}",
            postmaster.domain()
        ),
    );
}

fn warn_none(file: &schema::File, report: &mut Report<'_>) {
    if file.listener.is_empty() {
        report.warn_of_file("there is no [[listener]], so nobody can hand us mail");
    }
    if file.inbound.is_empty() {
        report.warn_of_file("there is no [[inbound]] connector, so no mail is accepted from anyone");
    }
    if file.outbound.is_empty() {
        report.warn_of_file("there is no [[outbound]] connector, so no mail is accepted for anyone");
    }
}

/// Warns of an open relay: anyone may send anywhere.
fn warn_open(connector: &Inbound, to: Option<&List>, report: &mut Report<'_>) {
    let anywhere = connector.mode != Mode::Off && connector.to_domains.contains(&DomainPattern::Any);
    if let (false, true, Some(to)) = (connector.restricts_clients(), anywhere, to) {
        let words = format!(
            "an open relay: anyone may send to anywhere through this connector; {}, or tls = \"forced\" with peer_names, \
             or name the to_domains",
            restricting(&connector.from_networks)
        );
        report.warn(to.span(), words);
    }
}

/// Warns of inbound connectors that no client can satisfy, because no listener offers TLS.
pub(super) fn warn_unfulfillable(file: &schema::File, listeners: &[Listener], report: &mut Report<'_>) {
    if listeners.iter().any(|listener| listener.tls != ListenerTls::Off) {
        return;
    }
    for users in file.inbound.iter().filter_map(|entry| entry.get_ref().users_file.as_ref()) {
        report.warn(
            users.span(),
            "no listener offers TLS, so nobody can log in; write tls = \"starttls\" for one",
        );
    }
    for tls in file.inbound.iter().filter_map(|entry| entry.get_ref().tls.as_ref()) {
        if tls.get_ref() == "forced" {
            report.warn(
                tls.span(),
                "no listener offers TLS, so nobody can fulfil this; write tls = \"starttls\" for one",
            );
        }
    }
}
