//! The whole file as written. Values stay text here, so that one pass finds every error; the sections' keys
//! are declared in `keys`.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::fault::place;
use super::keys::{
    AdminEntry, AlertsEntry, BrakeEntry, CertificateEntry, CrlEntry, DnsEntry, EchoEntry, EvidenceEntry,
    InboundEntry, LimitsEntry, List, ListenerEntry, LogEntry, OutboundEntry, PartnerEntry, QueueEntry,
    RaiseEntry, ReportsEntry, ServerEntry, Text, TimeoutsEntry, TrackingEntry, TrustEntry, WatchEntry,
};
use super::lenient;
use super::values::choices;

/// The tables `[certificate.ID]` or `[trust.ID]`.
pub(super) type ById<T> = BTreeMap<Text, Spanned<T>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) server: Option<Spanned<ServerEntry>>,
    pub(super) certificate: ById<CertificateEntry>,
    pub(super) trust: ById<TrustEntry>,
    pub(super) listener: Vec<Spanned<ListenerEntry>>,
    pub(super) partner: Vec<Spanned<PartnerEntry>>,
    pub(super) inbound: Vec<Spanned<InboundEntry>>,
    pub(super) outbound: Vec<Spanned<OutboundEntry>>,
    pub(super) raise: Vec<Spanned<RaiseEntry>>,
    pub(super) dns: DnsEntry,
    pub(super) crl: CrlEntry,
    pub(super) queue: QueueEntry,
    pub(super) limits: LimitsEntry,
    pub(super) brake: BrakeEntry,
    pub(super) echo: EchoEntry,
    pub(super) watch: WatchEntry,
    pub(super) timeouts: TimeoutsEntry,
    pub(super) tracking: TrackingEntry,
    pub(super) evidence: EvidenceEntry,
    pub(super) admin: AdminEntry,
    pub(super) alerts: AlertsEntry,
    pub(super) reports: ReportsEntry,
    pub(super) log: LogEntry,
}

/// Parses the text.
///
/// # Errors
/// The first error of syntax, type or key, with its position if it has one.
pub(super) fn parse(text: &str) -> Result<File, (Option<Range<usize>>, String)> {
    toml::from_str(text).map_err(|fault: toml::de::Error| {
        let place = fault.span();
        let twice = place.as_ref().filter(|_| fault.message() == "duplicate key");
        let twice = twice.and_then(|second| written_twice(text, second));
        let value = place.clone().and_then(|place| text.get(place)).unwrap_or_default();
        (place, twice.unwrap_or_else(|| unquoted(value).unwrap_or_else(|| in_words(fault.message()))))
    })
}

/// A key or table that is written twice, with the line of the first.
fn written_twice(text: &str, second: &Range<usize>) -> Option<String> {
    let first = lenient::first_place(text, second)?;
    let name = text.get(second.clone())?.trim_matches(['"', '\'']);
    let (line, _) = place(text, first.start);
    Some(format!("\"{name}\" is written twice: it is also in line {line}; remove one of the two"))
}

/// What to write instead of a date without quotes: serde takes it for a table.
fn unquoted(value: &str) -> Option<String> {
    let date = value.trim();
    date.parse::<toml::value::Datetime>().ok()?;
    Some(format!("a date is written in quotes here: \"{date}\""))
}

/// Serde's message, reworded for a configuration file.
fn in_words(message: &str) -> String {
    let message = message.trim().replace('\n', "; ");
    let Some(rest) = message.strip_prefix("unknown field `") else {
        // Serde names its own types, which mean nothing to the reader.
        return message
            .replace('`', "\"")
            .replace(" as i128", "")
            .replace("expected i64", "expected a whole number of at most 64 bits")
            .replace("invalid type: map", "invalid type: a table")
            .replace("expected a sequence", "expected a list: [\"...\"] for values, [[...]] for tables");
    };
    let mut names = rest.split('`').step_by(2);
    let unknown = names.next().unwrap_or_default();
    format!("unknown key \"{unknown}\"{}", choices(unknown, names, "keys"))
}

/// The position of the first connector that uses the operating system's trust anchors.
pub(super) fn system_trust_place(file: &File) -> Option<Range<usize>> {
    let names_system = |tls: &Option<Text>, require: &Option<Text>, trust: &Option<List>| {
        let is = |word: &Option<Text>, is: &str| word.as_ref().is_some_and(|word| word.get_ref() == is);
        let system =
            trust.as_ref().is_none_or(|list| list.get_ref().iter().any(|id| id.get_ref() == "system"));
        let judged = (is(tls, "forced") || is(tls, "implicit")) && !is(require, "encryption") && system;
        tls.as_ref().map(Spanned::span).filter(|_| judged)
    };
    let inbound = file.inbound.iter().map(Spanned::get_ref);
    let outbound = file.outbound.iter().map(Spanned::get_ref);
    inbound
        .filter_map(|entry| names_system(&entry.tls, &entry.require, &entry.trust))
        .chain(outbound.filter_map(|entry| names_system(&entry.tls, &entry.require, &entry.trust)))
        .min_by_key(|place| place.start)
}
