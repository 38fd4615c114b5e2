//! Warns where header fields are believed that the wrong people may write, or where the ones meant to be believed are lost
//! on the way, and of rules by which strangers can make mail wait. It reports no errors.

use std::ops::Range;

use super::check::CheckedFile;
use super::clouds::shared_cloud;
use super::fault::Report;
use super::keys::{Entry as _, InboundEntry, OutboundEntry, RaiseEntry};
use super::schema;
use crate::connector::{
    Arrival, DomainPattern, HeaderHandling, Inbound, Mode, Onward, Outbound, RaiseRule, Table, choose,
};

/// Checks all connectors and rules, and warns at the one to change.
pub(super) fn warn(file: &schema::File, (checked, table): (&CheckedFile, &Table), report: &mut Report<'_>) {
    for (entry, connector) in file.outbound.iter().zip(&checked.outbound) {
        lost_on_the_way(entry.get_ref(), connector, (table, checked), report);
    }
    for (entry, connector) in file.inbound.iter().zip(&checked.inbound) {
        if connector.mode != Mode::Off {
            believed_from_a_cloud(entry.get_ref(), connector, report);
            believed_from_anyone(entry.get_ref(), connector, checked, report);
        }
    }
    for entry in &file.raise {
        let (place, entry) = (entry.span(), entry.get_ref());
        let name = entry.name.as_ref().map(|name| name.get_ref().as_str()).unwrap_or_default();
        let having = |one: &&Inbound| one.mode != Mode::Off && rule_of(one, name).is_some();
        let by: Vec<&Inbound> = checked.inbound.iter().filter(having).collect();
        raised_by_anyone(entry, &place, &by, report);
        raised_in_vain(entry, &place, (&by, table), report);
    }
}

fn rule_of<'a>(connector: &'a Inbound, name: &str) -> Option<&'a RaiseRule> {
    connector.raise.iter().find(|rule| *rule.name == *name)
}

/// Warns of fields that every customer of a cloud may write: all of them present its certificate.
fn believed_from_a_cloud(entry: &InboundEntry, connector: &Inbound, report: &mut Report<'_>) {
    let (Some(cloud), Some(headers)) = (connector.forced().and_then(shared_cloud), &entry.headers) else {
        return;
    };
    let from_all = connector.originators.is_empty() || connector.originators.contains(&DomainPattern::Any);
    match connector.headers {
        HeaderHandling::Promote if from_all => {
            let place = entry.originators.as_ref().map_or_else(|| headers.span(), toml::Spanned::span);
            let words = format!(
                "every customer of {cloud} could mark mail as internal: they all present this certificate; write originators = \
                 [\"contoso.example\"], your own domains"
            );
            report.warn(place, words);
        }
        HeaderHandling::Preserve => {
            let words = format!(
                "every customer of {cloud} could mark mail as internal: they all present this certificate; write headers = \
                 \"promote\" with your own domains as originators, or remove this key, which means \"firewall\" here"
            );
            report.warn(headers.span(), words);
        }
        HeaderHandling::Promote | HeaderHandling::Firewall => {}
    }
}

/// Warns of header fields that anyone may write and that somebody behind us believes.
fn believed_from_anyone(
    entry: &InboundEntry,
    connector: &Inbound,
    checked: &CheckedFile,
    report: &mut Report<'_>,
) {
    // Whose kind makes it the default is known by more than that.
    let Some(headers) = &entry.headers else { return };
    if connector.headers != HeaderHandling::Preserve || connector.restricts_clients() {
        return;
    }
    let believes =
        |other: &&Outbound| other.sending.headers != HeaderHandling::Firewall && other.mode != Mode::Off;
    if let Some(other) = checked.outbound.iter().find(believes) {
        let words = format!(
            "{} passes header fields by which Exchange takes mail for internal, from anyone, and {} sends them on; write \
             headers = \"firewall\"",
            connector.name, other.name
        );
        report.warn(headers.span(), words);
    }
    let told = checked.inbound.iter().find(|other| other.arrival_header && other.mode != Mode::Off);
    if let (Some(other), false) = (told, connector.arrival_header) {
        let words = format!(
            "{} passes Authentication-Results fields in our name from anyone, and {} writes them for the next hop to believe; \
             write headers = \"firewall\", or arrival_header = true here too",
            connector.name, other.name
        );
        report.warn(headers.span(), words);
    }
}

/// Warns of a connector that removes, without a word in the file, what another one promotes for its domains.
fn lost_on_the_way(
    entry: &OutboundEntry,
    connector: &Outbound,
    (table, checked): (&Table, &CheckedFile),
    report: &mut Report<'_>,
) {
    let removes = connector.sending.headers == HeaderHandling::Firewall && connector.mode != Mode::Off;
    let (true, None, Some(domains)) = (removes, &entry.headers, &entry.domains) else { return };
    let promotes = |one: &&Inbound| one.headers == HeaderHandling::Promote && one.mode != Mode::Off;
    for from in checked.inbound.iter().filter(promotes) {
        let arrival = Arrival::By(&from.name);
        let serves = |pattern: &&DomainPattern| match pattern {
            DomainPattern::Exact(domain) => choose(table, Some(domain), arrival)
                .is_some_and(|choice| choice.connector.name == connector.name),
            DomainPattern::Below(_) => connector.takes(arrival) && connector.domains.contains(pattern),
            // It relays: most of that is for others, who must not get these fields.
            DomainPattern::Any => false,
        };
        if let Some(pattern) = from.to_domains.iter().find(serves) {
            let words = format!(
                "{} promotes header fields of mail to {pattern}, and {} removes them again, as it does by default; if that is your own \
                 Exchange, write headers = \"promote\" here where it knows the gateway by certificate (TlsDomainCapabilities), \
                 \"preserve\" where it believes the gateway all fields (ExternalAuthoritative), or else \"firewall\"",
                from.name, connector.name
            );
            report.warn(domains.span(), words);
            return;
        }
    }
}

/// Warns of a rule that strangers' mail can match: answers have the tag of what they answer, and wait.
fn raised_by_anyone(entry: &RaiseEntry, place: &Range<usize>, by: &[&Inbound], report: &mut Report<'_>) {
    let name = entry.name.as_ref().map(|name| name.get_ref().as_str()).unwrap_or_default();
    let open = by.iter().find(|one| !one.restricts_clients());
    let Some((open, rule)) = open.and_then(|one| Some((one, rule_of(one, name)?))) else { return };
    let place = entry.place("connectors").unwrap_or_else(|| place.clone());
    let taken = if rule.remove { ", and loses the marker" } else { "" };
    let what = match &entry.connectors {
        Some(_) => format!("leave {} out of connectors", open.name),
        None => "name the connectors of your own systems in connectors".to_owned(),
    };
    let words = format!(
        "anyone may send mail by {} that matches this rule, even an answer to yours, and it waits unless it can leave over forced TLS{taken}; \
         {what}",
        open.name
    );
    report.warn(place, words);
}

/// Warns of a rule that only makes mail wait: no outbound connector meets it, or none that serves a recipient domain.
fn raised_in_vain(
    entry: &RaiseEntry,
    place: &Range<usize>,
    (by, table): (&[&Inbound], &Table),
    report: &mut Report<'_>,
) {
    let name = entry.name.as_ref().map(|name| name.get_ref().as_str()).unwrap_or_default();
    let Some(rule) = by.first().and_then(|one| rule_of(one, name)) else { return };
    let place = entry.place("to").unwrap_or_else(|| place.clone());
    let meets = |other: &Outbound| rule.to.is_met_by(&other.requirement(None, None));
    let what = match rule.to {
        Onward::Identity => "forced TLS that proves by name or pin who the host is",
        Onward::Sealed | Onward::Any => "enforced, forced TLS",
    };
    let mut serving = table
        .outbound
        .iter()
        .filter(|other| other.mode != Mode::Off && by.iter().any(|one| other.takes(Arrival::By(&one.name))));
    if !table.outbound.is_empty() && !serving.any(|other| meets(other)) {
        let words = format!(
            "mail that matches this rule waits until it expires: no outbound connector sends over {what}; add one, or \
             remove the rule"
        );
        report.warn(place, words);
        return;
    }
    let mut told = Vec::new();
    for one in by {
        for pattern in &one.to_domains {
            let DomainPattern::Exact(domain) = pattern else { continue };
            if told.contains(&domain) {
                continue;
            }
            let choice = choose(table, Some(domain), Arrival::By(&one.name));
            if let Some(choice) = choice.filter(|choice| !meets(&choice.connector)) {
                let words = format!(
                    "mail to {domain} that matches this rule waits until it expires: {} does not send over {what}; give {domain} a \
                     connector that does, or leave {} out of connectors",
                    choice.connector.name, one.name
                );
                report.warn(place.clone(), words);
                told.push(domain);
            }
        }
    }
}
