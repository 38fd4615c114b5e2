//! What both kinds of connector share, and the inbound ones.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use ipnet::IpNet;
use toml::Spanned;

use super::demands::{self, ForcedKeys};
use super::fault::Report;
use super::known::{Known, Revisions};
use super::outbound;
use super::schema::{self, List, Number, Text};
use super::units;
use crate::connector::{
    BareLf, DomainPattern, Forced, Inbound, InboundLimits, InboundTls, KeyExchange, Mode, Onward, Outbound,
    Require, Reveal, Revision, TrustId,
};
use crate::listen::settings::{Listener, ListenerTls};
use crate::mail::Mailbox;

/// The connectors, as far as they could be read.
pub(super) struct Connectors {
    pub(super) inbound: Vec<Inbound>,
    pub(super) outbound: Vec<Outbound>,
    /// Every pattern of an outbound connector, of faulty ones too.
    pub(super) served: Vec<DomainPattern>,
}

pub(super) fn check(
    file: &schema::File,
    known: &mut Known<'_>,
    revisions: &Revisions,
    report: &mut Report<'_>,
) -> Connectors {
    let mut names = BTreeMap::new();
    let mut inbound = Vec::new();
    for entry in &file.inbound {
        if let Some(name) = &entry.get_ref().name {
            unique(name, "connector", &mut names, report);
        }
        inbound.extend(one_inbound(entry, known, revisions, report));
    }
    let defaults = outbound::defaults(&file.queue, report);
    let mut served = Vec::new();
    let mut ties = BTreeMap::new();
    let mut outbound = Vec::new();
    for entry in &file.outbound {
        if let Some(name) = &entry.get_ref().name {
            unique(name, "connector", &mut names, report);
        }
        let (patterns, connector) = outbound::one(entry, &defaults, (&mut *known, &revisions.base), report);
        outbound::tie(entry.get_ref(), &patterns, &mut ties, report);
        if connector.as_ref().is_none_or(|connector| connector.mode != Mode::Off) {
            served.extend(patterns.into_iter().map(|(pattern, _)| pattern));
        }
        outbound.extend(connector);
    }
    warn_none(file, report);
    Connectors { inbound, outbound, served }
}

fn one_inbound(
    entry: &Spanned<schema::Inbound>,
    ids: &mut Known<'_>,
    revisions: &Revisions,
    report: &mut Report<'_>,
) -> Option<Inbound> {
    let (place, entry) = (entry.span(), entry.get_ref());
    ids.begin();
    let name = report.required(&entry.name, "name", &place, "\"partner-in\"");
    let from = report.required(&entry.from_domains, "from_domains", &place, "[\"partner.example\"]");
    let from_domains = from.map(|list| {
        report.not_empty(list, "from_domains", "write the reverse-path domains, or [\"*\"] for every one");
        bare(report.patterns(list))
    });
    let from_networks = from_networks(entry, revisions, report);
    let tls = inbound_tls(entry, &place, ids, report);
    if entry.to_domains.is_none() {
        report.warn(
            place.clone(),
            "without to_domains this connector lets nobody relay; write to_domains = \
             [\"contoso.example\"], or [] if that is meant",
        );
    }
    let to_domains = entry.to_domains.as_ref().map_or_else(Vec::new, |list| bare(report.patterns(list)));
    let mode = inbound_mode(entry, tls.as_ref(), !from_networks.is_empty(), report);
    let bare_lf = demands::word(&entry.bare_lf, "bare_lf", BARE_LF, report).unwrap_or_default();
    if let (BareLf::Normalize, true, Some(text)) = (bare_lf, from_networks.is_empty(), &entry.bare_lf) {
        report.fault(
            text.span(),
            "bare_lf = \"normalize\" is for devices that are known: add from_networks, or remove it",
        );
    }
    let limits = inbound_limits(entry, report);
    let users = entry.users_file.as_ref().and_then(|file| revisions.lists.users.get(file.get_ref()).cloned());
    let known = entry.recipients_file.as_ref();
    let recipients = known.and_then(|file| revisions.lists.recipients.get(file.get_ref()).cloned());
    let verify = entry.verify_recipients.as_ref();
    if let Some(written) = verify.filter(|written| *written.get_ref() && known.is_some()) {
        let words =
            "recipients_file says who exists, and verify_recipients asks the next hop; write one of them";
        report.fault_of_key(written.span(), words);
    }
    let mut connector = Inbound {
        name: Arc::from(name?.get_ref().as_str()),
        from_domains: from_domains?,
        from_networks,
        users,
        tls: tls?,
        mode,
        onward: demands::word(&entry.onward, "onward", ONWARD, report).unwrap_or_default(),
        reveal: demands::word(&entry.reveal, "reveal", REVEAL, report).unwrap_or_default(),
        bare_lf,
        limits,
        to_domains,
        recipients,
        verify_recipients: verify.is_some_and(|written| *written.get_ref()),
        revision: Revision::default(),
    };
    warn_open(&connector, entry.to_domains.as_ref(), report);
    connector.revision = ids.revision(&connector, report);
    Some(connector)
}

/// The networks written here, and those of the file.
fn from_networks(entry: &schema::Inbound, revisions: &Revisions, report: &mut Report<'_>) -> Vec<IpNet> {
    let mut networks = entry.from_networks.as_ref().map_or_else(Vec::new, |list| {
        report.not_empty(list, "from_networks", "write a network, or remove the key to mean anywhere");
        bare(report.items(list.get_ref(), units::network))
    });
    let of_file =
        entry.from_networks_file.as_ref().and_then(|file| revisions.lists.networks.get(file.get_ref()));
    networks.extend(of_file.into_iter().flatten());
    networks.sort();
    networks.dedup();
    networks
}

fn inbound_tls(
    entry: &schema::Inbound,
    place: &Range<usize>,
    known: &mut Known<'_>,
    report: &mut Report<'_>,
) -> Option<InboundTls> {
    let written = report.required(&entry.tls, "tls", place, "\"opportunistic\"")?;
    let is_forced = report.word(written, "tls", INBOUND_TLS)?;
    let keys = ForcedKeys {
        tls: written,
        require: &entry.require,
        peer_names: &entry.peer_names,
        trust: &entry.trust,
        min_version: &entry.min_version,
        key_exchange: &entry.key_exchange,
        pins: &entry.pins,
        organisation: &entry.organisation,
        common_name: &entry.common_name,
        issuer: &entry.issuer,
        allow_cn: &entry.allow_cn,
        revocation: &entry.revocation,
        accept_purpose: &entry.accept_purpose,
    };
    match is_forced {
        None => {
            demands::ignored_unless_forced(&keys, report);
            Some(InboundTls::Off)
        }
        Some(false) => {
            demands::ignored_unless_forced(&keys, report);
            Some(InboundTls::Opportunistic)
        }
        Some(true) => {
            let forced = demands::forced(&keys, known, report)?;
            if let (KeyExchange::Classic, Some(text)) = (forced.key_exchange, &entry.key_exchange) {
                report.fault(
                    text.span(),
                    "key_exchange = \"classic\" is for outbound connectors: a listener takes what its clients \
                     offer; remove it, or demand \"post-quantum\"",
                );
            }
            if demands::nameless(&forced) && entry.peer_names.is_none() {
                report.fault_of_key(
                    written.span(),
                    "tls = \"forced\" needs to know whom: add peer_names = [\"mail.partner.example\"], the \
                     names its client certificate presents, or say require = \"chain\" or \"encryption\"",
                );
                return None;
            }
            Some(InboundTls::Forced(forced))
        }
    }
}

/// Whether the demands are enforced. Waiving a certificate for whoever names the domain would let
/// anyone in, so a rehearsal needs a network that is enforced.
fn inbound_mode(
    entry: &schema::Inbound,
    tls: Option<&InboundTls>,
    by_network: bool,
    report: &mut Report<'_>,
) -> Mode {
    let Some(text) = &entry.mode else { return Mode::Enforce };
    let mode = report.word(text, "mode", MODES).unwrap_or_default();
    if mode != Mode::Audit {
        return mode;
    }
    match tls {
        Some(InboundTls::Off | InboundTls::Opportunistic) => report
            .fault(text.span(), "mode = \"audit\" has nothing to rehearse: tls is not \"forced\"; remove it"),
        Some(InboundTls::Forced(_)) if !by_network => report.fault(
            text.span(),
            "mode = \"audit\" would let anyone claim these domains; add from_networks, which stay enforced, \
             or write mode = \"enforce\"",
        ),
        Some(InboundTls::Forced(_)) => report.warn(text.span(), AUDIT_IS_ON),
        None => {}
    }
    mode
}

fn inbound_limits(entry: &schema::Inbound, report: &mut Report<'_>) -> InboundLimits {
    let size = entry.message_size.is_some().then(|| report.size(&entry.message_size, 0));
    let count = |number: &Option<Number>, key: &str, report: &mut Report<'_>| {
        number.is_some().then(|| report.count(number, key, 1_usize))
    };
    let recipients_max = count(&entry.recipients, "recipients", report);
    let connections_max = count(&entry.connections, "connections", report);
    let rate = entry.messages_per_minute.is_some();
    let rate = rate.then(|| report.count(&entry.messages_per_minute, "messages_per_minute", 1_u32));
    InboundLimits { message_bytes_max: size, recipients_max, messages_per_minute_max: rate, connections_max }
}

/// A name that no other listener, or no other connector, may have.
pub(super) fn unique(
    name: &Text,
    what: &str,
    names: &mut BTreeMap<String, Range<usize>>,
    report: &mut Report<'_>,
) {
    report.name(name);
    if let Some(first) = names.get(name.get_ref()) {
        let line = report.line(first);
        let message = format!(
            "the name \"{}\" is taken by the {what} in line {line}; give each its own",
            name.get_ref()
        );
        report.fault(name.span(), message);
        return;
    }
    names.insert(name.get_ref().clone(), name.span());
}

/// `postmaster` must be accepted everywhere (RFC 5321 §4.5.1), so its mailbox must lead somewhere.
pub(super) fn postmaster_has_a_way(
    postmaster: &Mailbox,
    place: &Range<usize>,
    connectors: &Connectors,
    report: &mut Report<'_>,
) {
    let covered = connectors.served.iter().any(|p| p.covers(postmaster.domain_name()).is_some());
    // Without any outbound connector there is a warning already that nothing goes anywhere.
    if covered || connectors.served.is_empty() {
        return;
    }
    report.fault(
        place.clone(),
        format!(
            "the postmaster {postmaster} has no outbound connector; add {} to the domains of one",
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

/// Anybody, to anywhere: the one thing a relay must not be.
fn warn_open(connector: &Inbound, to: Option<&List>, report: &mut Report<'_>) {
    let bound = connector.users.is_some()
        || match &connector.tls {
            InboundTls::Off | InboundTls::Opportunistic => false,
            InboundTls::Forced(Forced { require: Require::Encryption, pins, .. }) => !pins.is_empty(),
            InboundTls::Forced(Forced { require: Require::Chain { trust }, .. }) => {
                !trust.contains(&TrustId::system())
            }
            InboundTls::Forced(Forced { require: Require::Identity { .. }, .. }) => true,
        };
    let anywhere = connector.to_domains.contains(&DomainPattern::Any);
    if let (true, false, true, Some(to)) = (connector.from_networks.is_empty(), bound, anywhere, to) {
        report.warn(
            to.span(),
            "an open relay: anyone may send to anywhere through this connector; add from_networks, or tls = \
             \"forced\" with peer_names, or name the to_domains",
        );
    }
}

/// Forced connectors that nobody can fulfil.
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

pub(super) fn bare<T>(items: Vec<(T, Range<usize>)>) -> Vec<T> {
    items.into_iter().map(|(item, _)| item).collect()
}

/// `None`: off; then whether it is forced.
const INBOUND_TLS: &[(&str, Option<bool>)] =
    &[("off", None), ("opportunistic", Some(false)), ("forced", Some(true))];
const ONWARD: &[(&str, Onward)] = &[("any", Onward::Any), ("sealed", Onward::Sealed)];
const BARE_LF: &[(&str, BareLf)] = &[("refuse", BareLf::Refuse), ("normalize", BareLf::Normalize)];
const REVEAL: &[(&str, Reveal)] = &[("full", Reveal::Full), ("code", Reveal::Code)];
/// Whether a connector's demands are enforced.
pub(super) const MODES: &[(&str, Mode)] =
    &[("enforce", Mode::Enforce), ("audit", Mode::Audit), ("off", Mode::Off)];
/// Told of each connector in audit.
pub(super) const AUDIT_IS_ON: &str = "mode = \"audit\" enforces nothing: mail that the requirement would \
     refuse passes, in clear too; when the rehearsal is over, write mode = \"enforce\"";
