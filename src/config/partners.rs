//! Checks the partners, and says what each of them lacks.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Value, json};
use toml::Spanned;

use super::fault::Report;
use super::keys::{Entry, InboundEntry, OutboundEntry, PartnerEntry, Text, shown};
use super::named::{DefinedPartners, Lists};
use super::schema;
use crate::connector::{Bypass, DomainPattern, Partner, PartnerLack, Table};
use crate::mail::{Mailbox, UnixMillis};

/// An address for reports about a partner, and where it is written.
pub(super) type PartnerAddress = (Arc<str>, Mailbox, Range<usize>);

/// Checks the partners. Returns them with their `check --json` form.
pub(super) fn check(
    file: &schema::File,
    lists: &Lists,
    report: &mut Report<'_>,
) -> (DefinedPartners, Vec<Value>, Vec<PartnerAddress>) {
    let (mut partners, mut all_shown, mut addresses) = (DefinedPartners::new(), Vec::new(), Vec::new());
    let (mut names, mut owners) = (BTreeMap::new(), BTreeMap::new());
    for entry in &file.partner {
        if let Some(name) = &entry.get_ref().name {
            report.unique(name, "partner", &mut names);
        }
        let Some((name, partner, shown)) = one(entry, (lists, &mut addresses), &mut owners, report) else {
            continue;
        };
        partners.insert(name, partner.map(Arc::new));
        all_shown.push(shown);
    }
    (partners, all_shown, addresses)
}

/// Whose a domain is, and where that is written.
type Owners = BTreeMap<DomainPattern, (Range<usize>, String)>;

fn one(
    entry: &Spanned<PartnerEntry>,
    (lists, addresses): (&Lists, &mut Vec<PartnerAddress>),
    owners: &mut Owners,
    report: &mut Report<'_>,
) -> Option<(String, Option<Partner>, Value)> {
    let (place, entry) = (entry.span(), entry.get_ref());
    let values = entry.read(&place, report);
    if let Some(list) = &entry.domains {
        report.not_empty(list, "domains", "write the partner's domains, or remove the key");
    }
    if entry.domains.is_none() && entry.domains_file.is_none() {
        report.fault(place, "domains is missing; write domains = [\"fabrikam.example\"], or domains_file");
    }
    let mut domains = values.domains.clone().unwrap_or_default();
    if let Some((file, of_file)) =
        values.domains_file.as_ref().and_then(|file| Some((file, lists.domains.get(file.get_ref())?)))
    {
        let fresh: Vec<_> =
            of_file.iter().filter(|pattern| !domains.iter().any(|(known, _)| known == *pattern)).collect();
        domains.extend(fresh.into_iter().map(|pattern| (pattern.clone(), file.span())));
    }
    let name = values.name.as_ref()?.get_ref().clone();
    let to = values.report_to.iter();
    addresses.extend(to.map(|(to, place)| (name.as_str().into(), to.clone(), place.clone())));
    let mut sound = true;
    for (pattern, place) in &domains {
        sound &= belongs(&name, (pattern, place), owners, report);
    }
    let patterns: Vec<DomainPattern> = domains.into_iter().map(|(pattern, _)| pattern).collect();
    let mut keys = shown(entry, &values);
    keys.insert("domains".to_owned(), patterns.iter().map(|one| json!(one.to_string())).collect());
    let partner = values.partner(patterns).filter(|partner| sound && !partner.domains.is_empty());
    Some((name, partner, Value::Object(keys)))
}

/// Whether a domain can be this partner's; reports why not.
fn belongs(
    name: &str,
    (pattern, place): (&DomainPattern, &Range<usize>),
    owners: &mut Owners,
    report: &mut Report<'_>,
) -> bool {
    if *pattern == DomainPattern::Any {
        report
            .fault(place.clone(), "\"*\" is everybody, and a partner is one organisation; write its domains");
        return false;
    }
    if let Some((first, other)) = owners.get(pattern) {
        let line = report.line(first);
        let words =
            format!("{pattern} is also a domain of the partner {other} in line {line}; remove it from one");
        report.fault(place.clone(), words);
        return false;
    }
    owners.insert(pattern.clone(), (place.clone(), name.to_owned()));
    true
}

/// Warns of what the partners lack, at the key to change.
pub(super) fn warn(file: &schema::File, table: &Table, now: UnixMillis, report: &mut Report<'_>) {
    for partner in table.partners() {
        let named = |entry: &&Spanned<PartnerEntry>| is(&entry.get_ref().name, &partner.name);
        let Some(entry) = file.partner.iter().find(named) else { continue };
        for lack in partner.lacks(table, now) {
            if let Some(place) = place(file, entry.get_ref(), &lack) {
                report.warn(place, lack.words(partner));
            }
        }
    }
}

/// The key to change; `None` where `demands` warns already, as it does for connectors of nobody.
fn place(file: &schema::File, entry: &PartnerEntry, lack: &PartnerLack) -> Option<Range<usize>> {
    match lack {
        PartnerLack::NoInbound | PartnerLack::NoOutbound => entry.place("name"),
        PartnerLack::ServedLooser(bypass) if bypass.connector.partner.is_none() => entry.place("name"),
        PartnerLack::ServedLooser(Bypass { connector, .. }) | PartnerLack::OutboundNotForced(connector) => {
            outbound(file, &connector.name).and_then(looser_key)
        }
        PartnerLack::AdmittedLooser(bypass) if bypass.connector.partner.is_none() => entry.place("name"),
        PartnerLack::AdmittedLooser(Bypass { connector, .. }) | PartnerLack::InboundNotForced(connector) => {
            inbound(file, &connector.name).and_then(looser_key)
        }
        PartnerLack::NoApex(_) | PartnerLack::Registry(_) => {
            entry.place("domains").or_else(|| entry.place("domains_file"))
        }
        PartnerLack::NoNextPin(_) => None,
        PartnerLack::ReviewSoon(_) | PartnerLack::ReviewOverdue(_) => entry.place("review"),
    }
}

/// The key that makes a connector looser; its name, where nothing is written.
fn looser_key(entry: &impl Entry) -> Option<Range<usize>> {
    ["mode", "tls", "name"].into_iter().find_map(|key| entry.place(key))
}

fn inbound<'f>(file: &'f schema::File, name: &str) -> Option<&'f InboundEntry> {
    file.inbound.iter().map(Spanned::get_ref).find(|entry| is(&entry.name, name))
}

fn outbound<'f>(file: &'f schema::File, name: &str) -> Option<&'f OutboundEntry> {
    file.outbound.iter().map(Spanned::get_ref).find(|entry| is(&entry.name, name))
}

fn is(written: &Option<Text>, name: &str) -> bool {
    written.as_ref().is_some_and(|written| written.get_ref() == name)
}
