//! The TLS report as a page, laid out for paper as well.

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::chart::{DayOfMail, bars};
use super::page::{number, page, table, table_below};
use super::sessions::Visitor;
use super::site::Console;
use crate::mail::{Clock, rfc3339};
use crate::seal::{Hash, Statement};
use crate::trace::{TlsReport, TlsShare, TroubleCount, clean};

/// Over how many days.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct ReportQuery {
    days: Option<i64>,
}

/// The report of so many days.
pub(super) async fn report(
    State(console): State<Console>,
    visitor: Visitor,
    Query(query): Query<ReportQuery>,
) -> Response {
    let days = query.days.unwrap_or(30).clamp(1, DAYS_MAX);
    let today = Clock::wall().day();
    let range = (today.saturating_sub(days.saturating_sub(1)), today);
    let made = console.tracked(move |reader| {
        let sums = reader.sums(range.0, range.1)?;
        let sealed = reader.outer_statements()?;
        Ok((TlsReport::of(&sums, range), DayOfMail::all(&sums, range), sealed))
    });
    let body = html! {
        form.filter.noprint method="get" action="/reports" {
            label { "Days" select name="days" {
                @for choice in [7, 30, 90, 365] { option value=(choice) selected[choice == days] { (choice) } } } }
            button { "Show" }
        }
        @match made.await {
            Err(why) => p.bad { (why) },
            Ok((report, by_day, sealed)) => {
                (whole(&report, &by_day, &ReportPlace::Console))
                (evidence(sealed.as_ref()))
            },
        }
    };
    page(&visitor, "/reports", "TLS report", &body)
}

/// What the record of events is held to.
fn evidence(sealed: Option<&(Statement, Statement, Hash)>) -> Markup {
    html! {
        section.noprint aria-labelledby="evidence" {
            h2 #evidence { "Evidence" }
            @match sealed {
                None => p.empty { "The record of events is not sealed." },
                Some((first, last, hash)) => {
                    p { "The record of events is sealed while it is written. Keep these elsewhere, so that nobody can write it again:" }
                    dl.facts {
                        dt { "First key" } dd { code { (first.key) } }
                        dt { "Last statement" } dd { "number " (last.number) " of " (rfc3339(last.at)) ", with the hash " code { (hash) } }
                    }
                    p { code { "sealpost evidence verify" } " says whether anything was altered, and " code { "sealpost evidence export" } " writes what an auditor is given." }
                }
            }
        }
    }
}

/// Where a report stands.
pub(super) enum ReportPlace {
    /// On a page, with links to others.
    Console,
    /// In a document of its own.
    Paper {
        /// What its identifiers begin with: the document may have several reports.
        prefix: String,
        /// Whether it is about one partner.
        of_one: bool,
    },
}

impl ReportPlace {
    fn id(&self, id: &str) -> String {
        match self {
            Self::Console => id.to_owned(),
            Self::Paper { prefix, .. } => format!("{prefix}{id}"),
        }
    }

    fn is_paper(&self) -> bool {
        matches!(self, Self::Paper { .. })
    }

    fn is_of_one(&self) -> bool {
        matches!(self, Self::Paper { of_one: true, .. })
    }
}

/// The report itself.
pub(super) fn whole(report: &TlsReport, by_day: &[DayOfMail], place: &ReportPlace) -> Markup {
    html! {
        p { "From " (report.from) " to " (report.to) ". Messages and connections are counted apart." }
        (bars(by_day))
        section aria-labelledby=(place.id("shares")) {
            h2 id=(place.id("shares")) { "How much goes over TLS" }
            (table("Shares", &["Direction", "#Messages", "#Over TLS", "#Connections", "#Over TLS", "Versions"], &html! {
                (share("In", &report.inbound)) (share("Out", &report.outbound))
            }))
            (table("Security of deliveries", &["Security", "#Deliveries"], &html! {
                @for one in &report.by_security { tr { th scope="row" { (one.security) } td.n { (number(one.messages)) } } }
            }))
        }
        @if !place.is_of_one() { (by_partner(report, place)) }
        @if place.is_of_one() && is_spotless(report) {
            p { "Nobody failed a requirement, no client was refused, and nothing was sent in plaintext." }
        } @else {
            (troubles((place, "failing"), "Who fails", &report.failing, "Nobody has failed a requirement."))
            (troubles((place, "certs"), "Problems of certificates", &report.certificates, "There were none."))
            (troubles((place, "policy"), "Refused by a connector", &report.refused, "No client was refused."))
            (troubles((place, "plain"), "Sent in plaintext for lack of TLS", &report.without_tls, "Nothing was."))
        }
        @if !place.is_of_one() { (could_be_forced(report, place)) }
    }
}

fn is_spotless(report: &TlsReport) -> bool {
    [&report.failing, &report.certificates, &report.refused, &report.without_tls]
        .iter()
        .all(|list| list.is_empty())
}

fn by_partner(report: &TlsReport, place: &ReportPlace) -> Markup {
    html! {
        section aria-labelledby=(place.id("partners")) {
            h2 id=(place.id("partners")) { "By partner" }
            @if report.partners.is_empty() { p.empty { "No mail of a connector in these days." } } @else {
                (table_below("Partners", &["Partner", "#In", "#Over TLS", "#Out", "#Over TLS", "#Failed or refused"], &html! {
                    @for one in report.partners.iter().take(ROWS_MAX) {
                        tr { th scope="row" { (one.name) } td.n { (number(one.inbound.messages)) } td.n { (percent(&one.inbound)) }
                            td.n { (number(one.outbound.messages)) } td.n { (percent(&one.outbound)) } td.n { (number(one.failed)) } }
                    }
                }))
                (rest(report.partners.len()))
            }
        }
    }
}

fn could_be_forced(report: &TlsReport, place: &ReportPlace) -> Markup {
    html! {
        section aria-labelledby=(place.id("could")) {
            h2 id=(place.id("could")) { "Always over TLS, and not forced" }
            @if report.could_be_forced.is_empty() { p.empty { "No domain without a forced connector has shown TLS throughout." } }
            @for one in report.could_be_forced.iter().take(FORCIBLE_MAX) {
                details open[place.is_paper()] { summary { (one.domain) ": " (number(one.messages)) " deliveries, " (one.quality) } p { (one.hosts.join(", ")) } }
            }
            @if !report.could_be_forced.is_empty() {
                p { code { "sealpost report adoption" } " goes by the configuration: it says which of them could be forced today, and prints the connectors." }
            }
            (rest_of(report.could_be_forced.len(), FORCIBLE_MAX))
        }
    }
}

fn share(direction: &str, share: &TlsShare) -> Markup {
    let versions = share.by_version.iter().map(|(version, count)| format!("{version} {}", number(*count)));
    html! {
        tr { th scope="row" { (direction) } td.n { (number(share.messages)) } td.n { (percent(share)) }
            td.n { (number(share.connections)) } td.n { (number(share.connections_over_tls)) }
            td { (versions.collect::<Vec<_>>().join(", ")) } }
    }
}

fn percent(share: &TlsShare) -> String {
    share.percent().map_or_else(|| "–".to_owned(), |percent| format!("{percent} %"))
}

fn troubles((place, id): (&ReportPlace, &str), title: &str, counts: &[TroubleCount], none: &str) -> Markup {
    html! {
        section aria-labelledby=(place.id(id)) {
            h2 id=(place.id(id)) { (title) }
            @if counts.is_empty() { p.empty { (none) } } @else {
                (table_below(title, &["Domain", "Connector", "Reason", "#How often"], &html! {
                    @for one in counts.iter().take(ROWS_MAX) {
                        tr { th scope="row" { (or_dash(&one.domain)) } td { (or_dash(&one.connector)) }
                            td { @if place.is_paper() { (one.reason) } @else { a href=(format!("/trace?reason={}", one.reason)) { (one.reason) } } } td.n { (number(one.count)) } }
                    }
                }))
                (rest(counts.len()))
            }
        }
    }
}

/// What is not counted by domain, or has no connector, has a dash there.
fn or_dash(name: &str) -> String {
    if name.is_empty() { "–".to_owned() } else { clean(name) }
}

fn rest(count: usize) -> Markup {
    rest_of(count, ROWS_MAX)
}

fn rest_of(count: usize, shown: usize) -> Markup {
    html! { @if count > shown { p.hint { "And " (count - shown) " more: see " code { "sealpost report tls" } "." } } }
}

const DAYS_MAX: i64 = 730;
const ROWS_MAX: usize = 100;
const FORCIBLE_MAX: usize = 50;
