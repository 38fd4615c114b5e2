//! Whether the echo mailbox can be reached and can answer: errors where it never could.

use super::check::CheckedFile;
use super::fault::Report;
use super::keys::Entry as _;
use super::schema;
use crate::connector::{Arrival, DomainPattern, EchoMailbox, Generation, Inbound, Mode, Table, choose};
use crate::mail::Domain;

/// Reports what makes the mailbox useless, at the key to change.
pub(super) fn find(file: &schema::File, checked: &CheckedFile, report: &mut Report<'_>) {
    let Some(mailbox) = &checked.echo else { return without_mailbox(file, report) };
    let Some(place) = file.echo.place("address") else { return };
    if let Some(words) = unusable(mailbox, checked) {
        return report.fault(place, words);
    }
    let users: Vec<&Inbound> =
        checked.inbound.iter().filter(|one| one.mode != Mode::Off && one.uses_echo()).collect();
    if users.is_empty() {
        let words = "address would be ignored: no inbound connector may use the echo mailbox; write echo = true for one \
                     that tells its clients apart";
        return report.fault(place, words);
    }
    let table = Table::new(Generation::default(), Vec::new(), checked.outbound.clone());
    if !users.iter().any(|connector| can_be_answered(connector, &table)) {
        let names: Vec<&str> = users.iter().map(|connector| &*connector.name).collect();
        let words = format!(
            "no answer could be sent: no outbound connector serves a domain of {}; add one",
            names.join(", ")
        );
        report.fault(place, words);
    }
}

/// Keys that mean nothing without a mailbox.
fn without_mailbox(file: &schema::File, report: &mut Report<'_>) {
    for key in ["per_hour", "per_day"] {
        if let Some(place) = file.echo.place(key) {
            report.fault_of_key(place, format!("{key} would be ignored: [echo] has no address; add it"));
        }
    }
    for entry in &file.inbound {
        let entry = entry.get_ref();
        if let Some(place) =
            entry.place("echo").filter(|_| entry.echo.as_ref().is_some_and(|echo| *echo.get_ref()))
        {
            report
                .fault_of_key(place, "echo would be ignored: [echo] has no address; add it, or remove this");
        }
    }
}

/// Why this address can't be the mailbox's.
fn unusable(mailbox: &EchoMailbox, checked: &CheckedFile) -> Option<String> {
    let address = &mailbox.address;
    if !address.is_ascii() {
        return Some(
            "the echo mailbox needs an address in ASCII, which every partner can write to".to_owned(),
        );
    }
    if address.is_postmaster() || mailbox.is(&checked.listen.postmaster) {
        return Some(format!("{address} is the postmaster's, who reads his mail; write another address"));
    }
    let Some(domain) = address.domain_name() else {
        return Some("the echo mailbox needs a domain; write the name of the [server]".to_owned());
    };
    let named = |pattern: &DomainPattern| *pattern == DomainPattern::Exact(domain.clone());
    let route = checked.outbound.iter().find(|one| one.mode != Mode::Off && one.domains.iter().any(named));
    route.map(|route| {
        format!(
            "mail for {domain} goes by connector {}, and {address} may exist there; give the echo mailbox another domain, \
             as {}",
            route.name, checked.listen.name
        )
    })
}

/// Whether a connector leads to a domain from which mail may come.
fn can_be_answered(connector: &Inbound, table: &Table) -> bool {
    let is_served = |domain: Option<&Domain>| choose(table, domain, Arrival::Ours).is_some();
    // Our own systems, and everybody: any domain that is served.
    if connector.from_domains.is_empty() || connector.from_domains.contains(&DomainPattern::Any) {
        return !table.outbound.is_empty();
    }
    connector.from_domains.iter().any(|pattern| match pattern {
        DomainPattern::Exact(domain) => is_served(Some(domain)),
        DomainPattern::Below(domain) => is_served(Domain::parse(&format!("x.{domain}")).ok().as_ref()),
        DomainPattern::Any => true,
    })
}
