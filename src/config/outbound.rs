//! Checks the outbound connectors, and what they inherit from `[queue]`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde_json::Value;
use toml::Spanned;

use super::fault::Report;
use super::keys::{
    Entry as _, OneOrMany, OutboundEntry, OutboundTlsKey, OutboundValues, QueueEntry, QueueValues, Text,
    shown,
};
use super::known::{DefinedIds, Patterns};
use super::values::quoted;
use super::{demands, login, schema, units, view};
use crate::connector::{
    DomainPattern, Forced, Handshake, HeaderHandling, Mode, MxAddresses, NextHop, Outbound, OutboundTls,
    Retry, SmartHost, SmartHostName, Sni,
};

/// Checks one connector. Returns it with its `check --json` form, and its cost and patterns even if the rest
/// is faulty.
pub(super) fn one(
    entry: &Spanned<OutboundEntry>,
    queue: &QueueValues,
    (known, base): (&mut DefinedIds<'_>, &Path),
    report: &mut Report<'_>,
) -> ((u16, Patterns), Option<(Outbound, Value)>) {
    let (place, entry) = (entry.span(), entry.get_ref());
    known.begin();
    let mut values = entry.read(&place, report);
    let (partner, domains) = values.partner.as_ref().and_then(|name| known.use_partner(name, report)).unzip();
    values.domains = domains.or(values.domains);
    let patterns = values.domains.clone().unwrap_or_default();
    ports(entry, &mut values);
    let tls = tls(entry, &mut values, known, report);
    if let (Some((OutboundTls::Forced(forced), _)), Some(next_hop)) = (&tls, &values.next_hop) {
        addresses_need_names(entry, forced, next_hop, report);
    }
    if let Some(id) = &values.client_certificate {
        known.use_certificate(id, report);
    }
    let is_forced = matches!(tls, Some((OutboundTls::Forced(_), _)));
    let retry = retry(entry, &mut values, queue, is_forced, report);
    mode(entry, &values, is_forced, report);
    spread(entry, &values, report);
    let auth = login::credentials(entry, &mut values, tls.as_ref().map(|(tls, _)| tls), base, report);
    values.sni.get_or_insert(Sni::Host);
    let connector = tls.and_then(|tls| values.connector(tls, retry, auth)).map(|mut connector| {
        let is_enforced = connector.mode == Mode::Enforce;
        let identified = is_enforced && connector.forced().is_some_and(Forced::identifies);
        promotes(connector.sending.headers, (connector.mode, identified), entry.headers.as_ref(), report);
        connector.partner = partner;
        connector.revision = known.revision(&connector, report);
        let shown = view::outbound(shown(entry, &values), &connector);
        (connector, shown)
    });
    ((values.cost, patterns), connector)
}

/// Reports header fields that would be promoted though no certificate says whose they are, or who gets them.
pub(super) fn promotes(
    headers: HeaderHandling,
    (mode, identified): (Mode, bool),
    written: Option<&Text>,
    report: &mut Report<'_>,
) {
    if let (HeaderHandling::Promote, false, false, Some(text)) =
        (headers, mode == Mode::Off, identified, written)
    {
        report.fault(
            text.span(),
            "headers = \"promote\" needs a certificate that says who the other side is: write tls = \"forced\" with \
             peer_names or pins and mode = \"enforce\", or headers = \"firewall\"",
        );
    }
}

/// A connector that serves a pattern at some cost.
pub(super) struct Claimant {
    name: String,
    from_connectors: Vec<String>,
    place: Range<usize>,
}

/// Those seen so far, by pattern and cost.
pub(super) type Claimants = BTreeMap<(DomainPattern, u16), Vec<Claimant>>;

/// Reports two connectors with the same pattern and cost for mail of the same arrival: which one serves would be
/// arbitrary.
pub(super) fn tie(
    entry: &OutboundEntry,
    (cost, patterns): (u16, &Patterns),
    seen: &mut Claimants,
    report: &mut Report<'_>,
) {
    let name = entry.name.as_ref().map_or("", |name| name.get_ref().as_str());
    if entry.mode.as_ref().is_some_and(|mode| mode.get_ref() == "off") {
        return;
    }
    let written = entry.from_connectors.as_ref().map(Spanned::get_ref).into_iter().flatten();
    let from_connectors: Vec<String> = written.map(|text| text.get_ref().clone()).collect();
    for (pattern, place) in patterns {
        let claimants = seen.entry((pattern.clone(), cost)).or_default();
        let shared = |other: &Claimant| {
            let both = from_connectors.iter().find(|by| other.from_connectors.contains(by));
            let all = from_connectors.is_empty() && other.from_connectors.is_empty();
            (all || both.is_some()).then(|| both.cloned())
        };
        if let Some((other, shared)) = claimants.iter().find_map(|other| Some((other, shared(other)?))) {
            let line = report.line(&other.place);
            let arriving = shared.map(|by| format!(" for mail that arrives by {by}")).unwrap_or_default();
            let message = format!(
                "a tie: {pattern} is also served by \"{}\" in line {line} at the same cost {cost}{arriving}; give one of them a \
                 cost of its own, or remove {pattern} from one",
                other.name
            );
            report.fault(place.clone(), message);
            if entry.partner.is_some() {
                // All of its domains have this one position.
                return;
            }
            continue;
        }
        let from_connectors = from_connectors.clone();
        claimants.push(Claimant { name: name.to_owned(), from_connectors, place: place.clone() });
    }
}

/// Warns of a connector without domains to which no other one hands mail either. It does no harm, and is left behind where
/// the other one's `on_failure` is taken back.
pub(super) fn warn_idle(entry: &Spanned<OutboundEntry>, file: &schema::File, report: &mut Report<'_>) {
    let entry = entry.get_ref();
    let Some((list, name)) = entry.domains.as_ref().zip(entry.name.as_ref()) else { return };
    let name = name.get_ref().as_str();
    let is_off = |other: &OutboundEntry| other.mode.as_ref().is_some_and(|mode| mode.get_ref() == "off");
    let mut others = file.outbound.iter().map(Spanned::get_ref).filter(|other| !is_off(other));
    let is_target = others.any(|other| {
        let rule = other.on_failure.as_ref().and_then(|rule| rule.get_ref().strip_prefix("reroute:"));
        rule == Some(name)
    });
    if list.get_ref().is_empty() && !is_target {
        let words = format!(
            "nothing hands mail to {name}: its domains are empty, and no connector in use has on_failure = \
             \"reroute:{name}\"; write its domains, or mode = \"off\", or remove it"
        );
        report.warn(list.span(), words);
    }
}

/// Reports names that are not those of inbound connectors.
pub(super) fn arrivals_exist(file: &schema::File, report: &mut Report<'_>) {
    let name = |name: &Option<Text>| name.as_ref().map(|name| name.get_ref().clone());
    let inbound: Vec<String> = file.inbound.iter().filter_map(|one| name(&one.get_ref().name)).collect();
    let outbound: Vec<String> = file.outbound.iter().filter_map(|one| name(&one.get_ref().name)).collect();
    let known = || match inbound.as_slice() {
        [] => "there is no [[inbound]] yet".to_owned(),
        names => format!("there is {}", quoted(names.iter().map(String::as_str))),
    };
    let routed = file.outbound.iter().filter_map(|one| one.get_ref().from_connectors.as_ref());
    let raised = file.raise.iter().filter_map(|one| one.get_ref().connectors.as_ref());
    for text in routed.chain(raised).flat_map(Spanned::get_ref) {
        let text_name = text.get_ref();
        if inbound.contains(text_name) {
            continue;
        }
        let what = if outbound.contains(text_name) {
            format!("\"{text_name}\" is an outbound connector, and no mail arrives by it")
        } else {
            format!("no [[inbound]] connector is named \"{text_name}\"")
        };
        report.fault(text.span(), format!("{what}; {}", known()));
    }
}

/// Warns of contradictory schedules in `[queue]`.
pub(super) fn warn_odd_queue(entry: &QueueEntry, queue: &QueueValues, report: &mut Report<'_>) {
    let plain = [entry.place("expire"), entry.place("delay_dsn")];
    warn_odd(&inherited(queue, false), &plain, report);
    let forced = [entry.place("forced_expire"), entry.place("forced_delay_dsn")];
    warn_odd(&inherited(queue, true), &forced, report);
}

/// The schedule of `[queue]`, for connectors without their own.
fn inherited(queue: &QueueValues, is_forced: bool) -> Retry {
    let (expire, delay_dsn) = if is_forced {
        (queue.forced_expire, queue.forced_delay_dsn)
    } else {
        (queue.expire, queue.delay_dsn)
    };
    Retry { waits: queue.retry.clone(), expire, delay_dsn }
}

/// The connector's own keys take precedence over `[queue]`.
fn retry(
    entry: &OutboundEntry,
    values: &mut OutboundValues,
    queue: &QueueValues,
    is_forced: bool,
    report: &mut Report<'_>,
) -> Retry {
    let inherited = inherited(queue, is_forced);
    let retry = Retry {
        waits: values.retry.get_or_insert(inherited.waits).clone(),
        expire: *values.expire.get_or_insert(inherited.expire),
        delay_dsn: *values.delay_dsn.get_or_insert(inherited.delay_dsn),
    };
    warn_odd(&retry, &["expire", "delay_dsn", "retry"].map(|key| entry.place(key)), report);
    retry
}

/// Warns of schedules that contradict themselves, at the position of one of their keys.
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
            "mail expires before its sender is notified of a delay; write a longer expire, a shorter delay_dsn, \
             or delay_dsn = \"never\"",
        );
    }
}

/// Fills in the default ports: implicit TLS has its own (RFC 8314 §7.3).
fn ports(entry: &OutboundEntry, values: &mut OutboundValues) {
    let usual = if values.tls == Some(OutboundTlsKey::Implicit) { PORT_SUBMISSIONS } else { PORT_SMTP };
    match (&mut values.next_hop, &entry.next_hop) {
        (Some(NextHop::Mx { port }), _) => {
            *port = *values.port.get_or_insert(usual);
            values.mx_addresses.get_or_insert(MxAddresses::on_port(*port));
        }
        (Some(NextHop::SmartHosts(hosts)), Some(written)) if usual != PORT_SMTP => {
            // Parsed again with the other default; an explicit port is kept. The first pass reported any
            // fault.
            let again = OneOrMany::items(written);
            let again = again.iter().filter_map(|text| units::smart_host(text.get_ref(), usual).ok());
            *hosts = again.collect();
        }
        (Some(NextHop::SmartHosts(_)) | None, _) => {}
    }
}

/// The TLS requirement and where TLS begins; `None` only if a fault was reported.
fn tls(
    entry: &OutboundEntry,
    values: &mut OutboundValues,
    known: &mut DefinedIds<'_>,
    report: &mut Report<'_>,
) -> Option<(OutboundTls, Handshake)> {
    match values.tls? {
        OutboundTlsKey::Off => {
            report.warn(
                entry.place("tls")?,
                "tls = \"off\" sends in plaintext even where TLS is offered; write \"opportunistic\" unless the \
                 next hop can't do TLS",
            );
            Some((OutboundTls::Off, Handshake::StartTls))
        }
        OutboundTlsKey::Opportunistic => {
            Some((OutboundTls::Opportunistic(values.profile), Handshake::StartTls))
        }
        OutboundTlsKey::Forced => {
            let forced = demands::forced(entry, values.demands(), known, report)?;
            Some((OutboundTls::Forced(forced), Handshake::StartTls))
        }
        OutboundTlsKey::Implicit => {
            let forced = demands::forced(entry, values.demands(), known, report)?;
            Some((OutboundTls::Forced(forced), Handshake::Implicit))
        }
    }
}

fn mode(entry: &OutboundEntry, values: &OutboundValues, is_forced: bool, report: &mut Report<'_>) {
    let Some(text) = entry.mode.as_ref().filter(|_| values.mode == Mode::Audit) else { return };
    if is_forced {
        report.warn(text.span(), AUDIT_IS_ON);
    } else {
        report.fault(text.span(), NOTHING_TO_REHEARSE);
    }
}

fn spread(entry: &OutboundEntry, values: &OutboundValues, report: &mut Report<'_>) {
    let hosts = entry.next_hop.as_ref().map_or(0, |hop| OneOrMany::items(hop).len());
    if let Some(place) = entry.place("spread").filter(|_| values.spread && hosts < 2) {
        report.fault_of_key(place, "spread = true needs several smart hosts; name them in next_hop");
    }
}

/// Certificates seldom present an address, so an identity check needs `peer_names`.
fn addresses_need_names(entry: &OutboundEntry, forced: &Forced, next_hop: &NextHop, report: &mut Report<'_>) {
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

const PORT_SMTP: u16 = 25;
const PORT_SUBMISSIONS: u16 = 465;

/// The error if a connector is in audit mode but nothing is judged.
pub(super) const NOTHING_TO_REHEARSE: &str =
    "mode = \"audit\" has nothing to audit: tls is not \"forced\"; remove it";

/// The warning for each connector in audit mode.
pub(super) const AUDIT_IS_ON: &str = "mode = \"audit\" enforces nothing: mail that the requirement would \
     refuse passes, in plaintext too; when the rehearsal is over, write mode = \"enforce\"";
