//! What a fact means for alerts, under the connectors in effect: an incident, a recovery, or nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::alert::{AlertFact, AlertInput, AlertKind, AlertSettings, AlertWatcher, FailureFact, Incident};
use crate::connector::{DomainPattern, Mode, NextHop, Outbound, Partner, Table};
use crate::mail::{Domain, UnixMillis, rfc3339};

/// What it depends on.
pub(super) struct Incidents<'a> {
    pub(super) table: &'a Table,
    pub(super) settings: &'a AlertSettings,
    pub(super) watcher: &'a AlertWatcher,
}

impl Incidents<'_> {
    /// What follows from a fact.
    pub(super) fn of(&self, fact: AlertFact) -> Vec<AlertInput> {
        match fact {
            AlertFact::Failed(failure) => self.failed(failure).map(AlertInput::Failing).into_iter().collect(),
            AlertFact::OwnMail { failure, .. } => {
                failure.and_then(|one| self.own_failed(one)).map(AlertInput::Failing).into_iter().collect()
            }
            AlertFact::Delivered { connector, domain, sealed } => {
                let known = self.table.outbound.iter().find(|one| one.name == connector);
                let group = known.map_or_else(String::new, |one| group(one, domain.as_ref()));
                vec![AlertInput::Delivered { connector: connector.to_string(), group, sealed }]
            }
            AlertFact::Refused { failure, peer } => {
                let name = Arc::clone(&failure.connector);
                let known = self.table.inbound.iter().find(|one| one.name == name && one.is_enforced());
                let is_theirs = known
                    .is_some_and(|one| one.from_networks.restrict() || self.watcher.knows(&one.name, peer));
                if !is_theirs {
                    return Vec::new();
                }
                let words = format!("{} (client {peer})", failure.words);
                vec![AlertInput::Failing(Incident {
                    words,
                    ..about_connector(failure, name.to_string(), String::new())
                })]
            }
            AlertFact::Accepted { connector } => {
                vec![AlertInput::Accepted { connector: connector.to_string() }]
            }
            AlertFact::Alarm { kind, raised, what, connectors } => {
                vec![self.alarm(AlertKind::of_alarm(kind), raised, (what, &connectors))]
            }
            AlertFact::Happened(kind, what) => {
                // What comes after these words is often a queue ID or a domain, of which there are any number.
                let words = if kind == AlertKind::Expiry { 6 } else { 4 };
                let about = what.split_whitespace().take(words).collect::<Vec<_>>().join(" ");
                vec![AlertInput::Failing(Incident { once: true, ..plain(kind, about, what) })]
            }
            AlertFact::Worsened { connector, host, what } => {
                // Of a host with many addresses one is enough.
                let name = host.split_whitespace().next().unwrap_or(&host);
                let about = format!("{connector} {name}");
                let incident = plain(AlertKind::Watch, about, format!("host {host}: {what}"));
                vec![AlertInput::Failing(self.of_connector(connector, Incident { once: true, ..incident }))]
            }
            AlertFact::Reloaded { weaker } => {
                let outbound = self.table.outbound.iter().filter(|one| one.mode != Mode::Off);
                let inbound = self.table.inbound.iter().filter(|one| one.is_enforced());
                let names: BTreeSet<String> = outbound
                    .map(|one| one.name.to_string())
                    .chain(inbound.map(|one| one.name.to_string()))
                    .collect();
                let weaker = weaker.map(|what| {
                    let about = what.clone();
                    AlertInput::Failing(Incident { once: true, ..plain(AlertKind::Weaker, about, what) })
                });
                [AlertInput::Connectors(names)].into_iter().chain(weaker).collect()
            }
        }
    }

    /// The spool failed, and this process is another one.
    pub(super) fn restart(faults: u32) -> Incident {
        let times = if faults == 1 { String::new() } else { format!(", {faults} times in a row") };
        let what = format!("the spool failed, and the daemon has started again from what is on disk{times}");
        Incident { once: true, ..plain(AlertKind::Restart, "spool".to_owned(), what) }
    }

    /// Whether the queue is long; nothing, while it is between a limit and nine tenths of it.
    pub(super) fn queue_length(messages: u64, limit: u64) -> Option<AlertInput> {
        let (kind, about, group) = (AlertKind::Backlog, "messages".to_owned(), "messages".to_owned());
        if messages >= limit {
            let what =
                format!("{messages} messages are queued; {limit} or more are an alert (growing_queue)");
            return Some(AlertInput::Failing(Incident { group, ..plain(kind, about, what) }));
        }
        (messages < limit.saturating_sub(limit / 10).max(1)).then_some(AlertInput::Cleared {
            kind,
            about,
            group,
        })
    }

    /// Whether the oldest message is old.
    pub(super) fn queue_age(since: Option<UnixMillis>, limit: Duration, now: UnixMillis) -> AlertInput {
        let (kind, about, group) = (AlertKind::Backlog, "age".to_owned(), "age".to_owned());
        match since.filter(|since| now.since(*since) >= limit) {
            Some(since) => {
                let what = format!("the oldest message has been waiting since {}", rfc3339(since));
                AlertInput::Failing(Incident { group, ..plain(kind, about, what) })
            }
            None => AlertInput::Cleared { kind, about, group },
        }
    }

    fn failed(&self, failure: FailureFact) -> Option<Incident> {
        let connector = self.table.outbound.iter().find(|one| one.name == failure.connector)?;
        let is_enforced = connector.is_enforced();
        // Some domain in the world never answers.
        let takes_all = matches!(connector.next_hop, NextHop::Mx { .. })
            && connector.domains.contains(&DomainPattern::Any);
        let has_gone = failure.kind == AlertKind::Fallback;
        let is_one_domains = matches!(failure.kind, AlertKind::PartnerConnection | AlertKind::PartnerRefusal);
        if takes_all && !has_gone && (!is_enforced || is_one_domains) {
            return None;
        }
        let at_once = is_enforced || has_gone;
        let patience = if at_once { Duration::ZERO } else { self.settings.unforced_after };
        Some(Incident { patience, ..Self::outbound(connector, failure) })
    }

    /// Whatever keeps an alert from arriving is known at once, whatever the connector is for.
    fn own_failed(&self, failure: FailureFact) -> Option<Incident> {
        let connector = self.table.outbound.iter().find(|one| one.name == failure.connector)?;
        let words = format!("an alert can't be delivered: {}", failure.words);
        Some(Self::outbound(connector, FailureFact { words, message: None, ..failure }))
    }

    fn outbound(connector: &Outbound, failure: FailureFact) -> Incident {
        let (partner, contact) = named(connector.partner.as_deref());
        let group = group(connector, failure.domain.as_ref());
        let incident = about_connector(failure, connector.name.to_string(), group);
        Incident { partner: incident.partner.or(partner), contact: incident.contact.or(contact), ..incident }
    }

    fn alarm(&self, kind: AlertKind, raised: bool, (what, connectors): (String, &[String])) -> AlertInput {
        let about = subject_of(kind, &what, connectors);
        if !raised {
            return AlertInput::Cleared { kind, about, group: what };
        }
        let incident = Incident { group: what.clone(), ..plain(kind, about, what) };
        AlertInput::Failing(match connectors.first() {
            Some(connector) => self.of_connector(connector.clone(), incident),
            None => incident,
        })
    }

    /// An incident that concerns a connector, of either direction: whose it is, and whom to ask there.
    fn of_connector(&self, connector: String, incident: Incident) -> Incident {
        let outbound = self.table.outbound.iter().map(|one| (&one.name, &one.partner));
        let inbound = self.table.inbound.iter().map(|one| (&one.name, &one.partner));
        let known = outbound.chain(inbound).find(|(name, _)| ***name == *connector);
        let (partner, contact) = named(known.and_then(|(_, partner)| partner.as_deref()));
        Incident { connector: Some(connector), partner, contact, ..incident }
    }
}

/// The domains of a connector with smart hosts have the same hosts.
fn group(connector: &Outbound, domain: Option<&Domain>) -> String {
    match &connector.next_hop {
        NextHop::SmartHosts(_) => String::new(),
        NextHop::Mx { .. } => domain.map_or_else(String::new, ToString::to_string),
    }
}

fn named(partner: Option<&Partner>) -> (Option<String>, Option<String>) {
    let contact = partner.and_then(|partner| partner.contact.as_deref().map(str::to_owned));
    (partner.map(|partner| partner.name.to_string()), contact)
}

fn about_connector(failure: FailureFact, connector: String, group: String) -> Incident {
    Incident {
        kind: failure.kind,
        about: connector.clone(),
        connector: Some(connector),
        partner: failure.partner,
        contact: failure.contact,
        words: failure.words,
        hint: failure.hint,
        group,
        patience: Duration::ZERO,
        message: failure.message,
        once: false,
    }
}

/// An incident that concerns no connector.
fn plain(kind: AlertKind, about: String, words: String) -> Incident {
    Incident {
        kind,
        about,
        connector: None,
        partner: None,
        contact: None,
        words,
        hint: None,
        group: String::new(),
        patience: Duration::ZERO,
        message: None,
        once: false,
    }
}

/// What tells alarms of a kind apart, though their words change: `[certificate.gw]`, before `expires in less than 14 days`.
fn subject_of(kind: AlertKind, what: &str, connectors: &[String]) -> String {
    let before = |marks: &[&str]| {
        let end = marks.iter().filter_map(|mark| what.find(mark)).min().unwrap_or(what.len());
        what.get(..end).unwrap_or(what).to_owned()
    };
    match kind {
        AlertKind::Expiry => before(&[" expire", " ends ", " ended ", ": no pin", ": the review"]),
        AlertKind::Brake => before(&[": "]),
        // The URL, or the set: why it can't be fetched changes, and so does what there is instead.
        AlertKind::Lists => before(&[" can't be fetched", ": chains name"]),
        AlertKind::Override => connectors.first().cloned().unwrap_or_else(|| what.to_owned()),
        AlertKind::Reload | AlertKind::Disk | AlertKind::Queue | AlertKind::Log | AlertKind::Tracking => {
            kind.word().to_owned()
        }
        AlertKind::PartnerTls
        | AlertKind::OurTls
        | AlertKind::PartnerConnection
        | AlertKind::PartnerRefusal
        | AlertKind::OurSettings
        | AlertKind::InboundTls
        | AlertKind::Fallback
        | AlertKind::Weaker
        | AlertKind::Backlog
        | AlertKind::Restart
        | AlertKind::Watch
        | AlertKind::Other => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: AlertKind, what: &str, expected: &str) {
        assert_eq!(subject_of(kind, what, &[]), expected);
    }

    #[test]
    fn thresholds_of_one_thing_have_one_subject() {
        check(
            AlertKind::Expiry,
            "[certificate.gw] expires in less than 14 days, on 2027; renew it",
            "[certificate.gw]",
        );
        check(AlertKind::Expiry, "[certificate.gw] expired on 2027: partners", "[certificate.gw]");
        check(
            AlertKind::Expiry,
            "[trust.x]: the anchor CN=a ends in less than 7 days, on 2027; ask",
            "[trust.x]: the anchor CN=a",
        );
        check(AlertKind::Expiry, "connector a: no pin is valid from 2027 on", "connector a");
        check(AlertKind::Brake, "connector apps: 4 recipients within ten minutes", "connector apps");
        let list = |url: &str, why: &str| {
            format!("[trust.x]: the revocation list {url} can't be fetched: {why}; there is none yet")
        };
        let subject = "[trust.x]: the revocation list http://a.test/";
        check(AlertKind::Lists, &list("http://a.test/", "it was answered 404 Not Found"), subject);
        check(AlertKind::Lists, &list("http://a.test/", "no connection to 192.0.2.1:80: refused"), subject);
        check(
            AlertKind::Lists,
            &list("http://b.test/", "it was answered 404 Not Found"),
            "[trust.x]: the revocation list http://b.test/",
        );
        check(AlertKind::Lists, "[trust.x]: chains name more than 64 revocation lists, and", "[trust.x]");
        check(AlertKind::Reload, "not reloaded, generation 3 stays: x", "reload");
    }

    #[test]
    fn a_queue_is_long_from_its_limit_and_short_below_nine_tenths() {
        let shown = |messages| match Incidents::queue_length(messages, 100) {
            Some(AlertInput::Failing(_)) => "long",
            Some(AlertInput::Cleared { .. }) => "short",
            _ => "between",
        };
        assert_eq!([100, 99, 90, 89, 0].map(shown), ["long", "between", "between", "short", "short"]);
    }
}
