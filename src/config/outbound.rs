//! The outbound connectors, and what they take from `[queue]`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;

use super::connectors;
use super::demands::{self, ForcedKeys};
use super::fault::Report;
use super::known::Known;
use super::schema::{self, OneOrMany, Text};
use super::{sending, units};
use crate::connector::{
    DomainPattern, Forced, Handshake, Mode, NextHop, OnFailure, OnHandshakeFailure, Outbound, OutboundTls,
    Retry, Revision, SmartHost, SmartHostName, Sni,
};

/// Patterns with their places.
type Patterns = Vec<(DomainPattern, Range<usize>)>;

/// What `[queue]` says, for connectors that say nothing themselves.
pub(super) struct Defaults {
    opportunistic: Retry,
    forced: Retry,
}

/// One connector, and its patterns even if the rest is faulty.
pub(super) fn one(
    entry: &Spanned<schema::Outbound>,
    defaults: &Defaults,
    (known, base): (&mut Known<'_>, &Path),
    report: &mut Report<'_>,
) -> (Patterns, Option<Outbound>) {
    let (place, entry) = (entry.span(), entry.get_ref());
    known.begin();
    let name = report.required(&entry.name, "name", &place, "\"partner-out\"");
    let domains = report.required(&entry.domains, "domains", &place, "[\"partner.example\"]");
    let patterns = domains.map_or_else(Vec::new, |list| {
        report.not_empty(list, "domains", "write the recipient domains, or [\"*\"] for every one");
        report.patterns(list)
    });
    let next_hop = next_hop(entry, &place, report);
    let tls = tls(entry, &place, known, report);
    if let (Some((OutboundTls::Forced(forced), _)), Some(next_hop)) = (&tls, &next_hop) {
        addresses_need_names(entry, forced, next_hop, report);
    }
    if let Some(id) = &entry.client_certificate {
        known.use_certificate(id, report);
    }
    let is_forced = matches!(tls, Some((OutboundTls::Forced(_), _)));
    let retry = retry(entry, if is_forced { &defaults.forced } else { &defaults.opportunistic }, report);
    let cost = report.count(&entry.cost, "cost", COST_DEFAULT);
    let connections = report.count(&entry.connections, "connections", CONNECTIONS_DEFAULT);
    let on_failure = entry.on_failure.as_ref().and_then(|t| report.word(t, "on_failure", ON_FAILURE));
    let on_handshake_failure = (entry.on_handshake_failure.as_ref())
        .and_then(|t| report.word(t, "on_handshake_failure", ON_HANDSHAKE_FAILURE));
    let mode = mode(entry, is_forced, report);
    let sending = sending::sending(entry, (tls.as_ref().map(|(tls, _)| tls), mode), base, report);
    let (sni, source_addresses) = (sni(entry, report), source_addresses(entry, report));
    let ehlo_name = entry.ehlo_name.as_ref().and_then(|name| report.domain(name));
    let whole = name.zip(next_hop).zip(tls);
    let connector = whole.map(|((name, next_hop), (tls, handshake))| Outbound {
        name: Arc::from(name.get_ref().as_str()),
        domains: connectors::bare(patterns.clone()),
        cost,
        next_hop,
        tls,
        mode,
        handshake,
        sni,
        source_addresses,
        ehlo_name,
        remember_tls: entry.remember_tls.as_ref().is_some_and(|flag| *flag.get_ref()),
        client_certificate: entry.client_certificate.as_ref().map(|id| Arc::from(id.get_ref().as_str())),
        on_handshake_failure: on_handshake_failure.unwrap_or(OnHandshakeFailure::Clear),
        on_failure: on_failure.unwrap_or(OnFailure::Defer),
        retry,
        connections,
        sending,
        revision: Revision::default(),
    });
    let connector = connector.map(|mut connector| {
        connector.revision = known.revision(&connector, report);
        connector
    });
    (patterns, connector)
}

/// Two connectors of the same pattern and cost: which of them serves would be chance.
pub(super) fn tie(
    entry: &schema::Outbound,
    patterns: &Patterns,
    seen: &mut BTreeMap<(DomainPattern, i64), (Range<usize>, String)>,
    report: &mut Report<'_>,
) {
    let cost = entry.cost.as_ref().map_or(i64::from(COST_DEFAULT), |cost| *cost.get_ref());
    let name = entry.name.as_ref().map_or("", |name| name.get_ref().as_str());
    if entry.mode.as_ref().is_some_and(|mode| mode.get_ref() == "off") {
        return;
    }
    for (pattern, place) in patterns {
        if let Some((first, other)) = seen.get(&(pattern.clone(), cost)) {
            let line = report.line(first);
            let message = format!(
                "a tie: {pattern} is also served by \"{other}\" in line {line} at the same cost {cost}; give \
                 one of them a cost of its own, or remove {pattern} from one"
            );
            report.fault(place.clone(), message);
            continue;
        }
        seen.insert((pattern.clone(), cost), (place.clone(), name.to_owned()));
    }
}

/// Reads `[queue]`.
pub(super) fn defaults(queue: &schema::Queue, report: &mut Report<'_>) -> Defaults {
    let waits = report.waits(&queue.retry).unwrap_or_else(default_waits);
    let opportunistic = Retry {
        waits: waits.clone(),
        expire: report.duration(&queue.expire, HOUR * 48),
        delay_dsn: report.duration_or_never(&queue.delay_dsn).unwrap_or(Some(HOUR * 4)),
    };
    let forced = Retry {
        waits,
        expire: report.duration(&queue.forced_expire, HOUR * 24),
        delay_dsn: report.duration_or_never(&queue.forced_delay_dsn).unwrap_or(Some(HOUR)),
    };
    warn_odd(&opportunistic, &[place(&queue.expire), place(&queue.delay_dsn)], report);
    warn_odd(&forced, &[place(&queue.forced_expire), place(&queue.forced_delay_dsn)], report);
    Defaults { opportunistic, forced }
}

/// The connector's own keys beat what `[queue]` says.
fn retry(entry: &schema::Outbound, defaults: &Retry, report: &mut Report<'_>) -> Retry {
    let retry = Retry {
        waits: report.waits(&entry.retry).unwrap_or_else(|| defaults.waits.clone()),
        expire: report.duration(&entry.expire, defaults.expire),
        delay_dsn: report.duration_or_never(&entry.delay_dsn).unwrap_or(defaults.delay_dsn),
    };
    let list = entry.retry.as_ref().map(Spanned::span);
    warn_odd(&retry, &[place(&entry.expire), place(&entry.delay_dsn), list], report);
    retry
}

fn place(text: &Option<Text>) -> Option<Range<usize>> {
    text.as_ref().map(Spanned::span)
}

/// Schedules that contradict themselves, told where one of these keys is written.
fn warn_odd(retry: &Retry, written: &[Option<Range<usize>>], report: &mut Report<'_>) {
    let Some(place) = written.iter().flatten().next() else { return };
    if retry.waits.first().is_some_and(|first| retry.expire < *first) {
        report.warn(
            place.clone(),
            "mail expires before its first retry; write a longer expire or a shorter first wait",
        );
    }
    if retry.delay_dsn.is_some_and(|delay| delay >= retry.expire) {
        report.warn(
            place.clone(),
            "mail expires before its sender is told of a delay; write a longer expire, a shorter delay_dsn, \
             or delay_dsn = \"never\"",
        );
    }
}

fn next_hop(entry: &schema::Outbound, table: &Range<usize>, report: &mut Report<'_>) -> Option<NextHop> {
    let written = report.required(&entry.next_hop, "next_hop", table, "\"mx\", or hosts in order")?;
    if let OneOrMany::One(word) = written.get_ref()
        && word.eq_ignore_ascii_case("mx")
    {
        if word != "mx" {
            report.fault(written.span(), format!("next_hop can't be \"{word}\"; did you mean \"mx\"?"));
        }
        return Some(NextHop::Mx { port: report.count(&entry.port, "port", default_port(entry)) });
    }
    report.ignored(
        &entry.port,
        "port",
        "next_hop names smart hosts; write the port behind each, as \"smtp.partner.example:2525\"",
    );
    let items = OneOrMany::items(written);
    if items.is_empty() {
        report.fault_of_key(written.span(), "next_hop is empty; write \"mx\", or hosts in order");
        return None;
    }
    if let Some(mx) = items.iter().find(|item| item.get_ref().eq_ignore_ascii_case("mx")) {
        report.fault(mx.span(), "\"mx\" stands alone, outside a list: next_hop = \"mx\"");
        return None;
    }
    let port = default_port(entry);
    let hosts = connectors::bare(report.items(&items, |text| units::smart_host(text, port)));
    (hosts.len() == items.len()).then_some(NextHop::SmartHosts(hosts))
}

/// What is demanded of TLS, and where it begins; `None` only if a fault was reported.
fn tls(
    entry: &schema::Outbound,
    table: &Range<usize>,
    known: &mut Known<'_>,
    report: &mut Report<'_>,
) -> Option<(OutboundTls, Handshake)> {
    let written = report.required(&entry.tls, "tls", table, "\"opportunistic\"")?;
    let word = report.word(written, "tls", TLS)?;
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
        accept_purpose: &None,
    };
    let handshake = if word == TlsWord::Implicit { Handshake::Implicit } else { Handshake::StartTls };
    let why = format!("tls is \"{}\", which says it already; remove it", written.get_ref());
    match word {
        TlsWord::Forced | TlsWord::Implicit => {
            report.ignored(
                &entry.on_handshake_failure,
                "on_handshake_failure",
                "tls is \"forced\", which never sends in clear; remove it, or write on_failure",
            );
            report.ignored(&entry.remember_tls, "remember_tls", &why);
            let forced = demands::forced(&keys, known, report)?;
            return Some((OutboundTls::Forced(forced), handshake));
        }
        TlsWord::Off => {
            let why = "tls is \"off\"; remove it, or write tls = \"opportunistic\"";
            report.ignored(&entry.on_handshake_failure, "on_handshake_failure", why);
            report.ignored(&entry.remember_tls, "remember_tls", why);
            report.ignored(&entry.client_certificate, "client_certificate", why);
            report.ignored(&entry.sni, "sni", why);
            report.warn(written.span(), "tls = \"off\" sends in clear even where TLS is offered; write \"opportunistic\" unless the next hop can't do TLS");
        }
        TlsWord::Opportunistic => {}
    }
    demands::ignored_unless_forced(&keys, report);
    report.ignored(
        &entry.on_failure,
        "on_failure",
        &format!("tls is \"{}\"; remove it, or write tls = \"forced\"", written.get_ref()),
    );
    let tls = if word == TlsWord::Off { OutboundTls::Off } else { OutboundTls::Opportunistic };
    Some((tls, handshake))
}

fn mode(entry: &schema::Outbound, is_forced: bool, report: &mut Report<'_>) -> Mode {
    let Some(text) = &entry.mode else { return Mode::Enforce };
    let mode = report.word(text, "mode", connectors::MODES).unwrap_or_default();
    match (mode, is_forced) {
        (Mode::Audit, true) => report.warn(text.span(), connectors::AUDIT_IS_ON),
        (Mode::Audit, false) => report
            .fault(text.span(), "mode = \"audit\" has nothing to rehearse: tls is not \"forced\"; remove it"),
        (Mode::Enforce | Mode::Off, _) => {}
    }
    mode
}

fn sni(entry: &schema::Outbound, report: &mut Report<'_>) -> Sni {
    match &entry.sni {
        None => Sni::Host,
        Some(text) if text.get_ref() == "none" => Sni::Nothing,
        Some(text) => report.domain(text).map_or(Sni::Host, Sni::Name),
    }
}

/// At most one address of each family.
fn source_addresses(entry: &schema::Outbound, report: &mut Report<'_>) -> Vec<IpAddr> {
    let Some(written) = &entry.source_address else { return Vec::new() };
    let read = |text: &str| {
        text.parse::<IpAddr>().map_err(|_| {
            format!("\"{text}\" is no address; write one of this host's, as \"192.0.2.1\", without port")
        })
    };
    let mut found: Vec<IpAddr> = Vec::new();
    for (address, place) in report.items(&OneOrMany::items(written), read) {
        if found.iter().any(|other| other.is_ipv4() == address.is_ipv4()) {
            let message =
                "source_address has two addresses of one family; leave one IPv4 and one IPv6 at most";
            report.fault(place, message);
            continue;
        }
        found.push(address);
    }
    found
}

/// A certificate seldom presents an address: whoever asks for an identity must say which.
fn addresses_need_names(
    entry: &schema::Outbound,
    forced: &Forced,
    next_hop: &NextHop,
    report: &mut Report<'_>,
) {
    let NextHop::SmartHosts(hosts) = next_hop else { return };
    if !demands::nameless(forced) || entry.peer_names.is_some() {
        return;
    }
    let Some(items) = entry.next_hop.as_ref().map(OneOrMany::items) else { return };
    for (host, item) in hosts.iter().zip(items) {
        let SmartHost { name: SmartHostName::Ip(ip), .. } = host else { continue };
        report.fault(
            item.span(),
            format!(
                "{ip} is an address, and tls = \"forced\" needs a name to look for in its certificate; add \
                 peer_names = [\"mail.partner.example\"] (or [\"{ip}\"] if the certificate presents the \
                 address)"
            ),
        );
    }
}

/// TLS with the first octet has a port of its own (RFC 8314 §7.3).
fn default_port(entry: &schema::Outbound) -> u16 {
    let implicit = entry.tls.as_ref().is_some_and(|tls| tls.get_ref() == "implicit");
    if implicit { PORT_SUBMISSIONS } else { PORT_SMTP }
}

fn default_waits() -> Vec<Duration> {
    let mut waits = vec![MINUTE; 4];
    waits.extend([MINUTE * 5; 6]);
    waits.extend([MINUTE * 15, MINUTE * 30, HOUR]);
    waits
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TlsWord {
    Off,
    Opportunistic,
    Forced,
    Implicit,
}

const TLS: &[(&str, TlsWord)] = &[
    ("off", TlsWord::Off),
    ("opportunistic", TlsWord::Opportunistic),
    ("forced", TlsWord::Forced),
    ("implicit", TlsWord::Implicit),
];
const ON_FAILURE: &[(&str, OnFailure)] = &[("defer", OnFailure::Defer), ("bounce", OnFailure::Bounce)];
const ON_HANDSHAKE_FAILURE: &[(&str, OnHandshakeFailure)] = &[
    ("clear", OnHandshakeFailure::Clear),
    ("clear_later", OnHandshakeFailure::ClearLater),
    ("defer", OnHandshakeFailure::Defer),
];
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const COST_DEFAULT: u16 = 10;
const CONNECTIONS_DEFAULT: usize = 4;
const PORT_SMTP: u16 = 25;
const PORT_SUBMISSIONS: u16 = 465;
