//! One connector: what it requires, what was seen of the partner's hosts and when, and what went by it.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use super::chart::{DayOfMail, bars};
use super::deeds;
use super::door::naming_its_origin;
use super::page::{author, counted, date, escaped, failed, page, seal, table, table_below};
use super::sessions::Visitor;
use super::site::Console;
use crate::admin::{ConnectorView, Direction, SeenView, Validation, refusals_in_words};
use crate::connector::Mode;
use crate::lookout::{KeptChange, KeptTarget, SessionSight, Sight};
use crate::mail::{Clock, UnixMillis, rfc3339};
use crate::trace::clean;

/// What is known of a connector.
pub(super) async fn show(
    State(console): State<Console>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Response {
    let again = visitor.kept.is_some().then_some(LOST);
    shown(&console, &visitor, &name, (StatusCode::OK, again)).await
}

/// The same, with what is said first: that a form was not acted on, and is to be sent again.
pub(super) async fn shown(
    console: &Console,
    visitor: &Visitor,
    name: &str,
    (status, again): (StatusCode, Option<&str>),
) -> Response {
    let connectors = console.control.connectors().await.connectors;
    let Some(connector) = connectors.iter().find(|one| *one.name == *name) else {
        return failed(visitor, StatusCode::NOT_FOUND, "No connector of this name is in effect.");
    };
    let now = Clock::wall();
    let (from, to) = (now.day().saturating_sub(DAYS), now.day());
    let of_it = name.to_owned();
    let tracked = console.tracked(move |reader| {
        let mut sums = reader.sums(from, to)?;
        sums.retain(|(key, _)| key.connector == of_it);
        Ok(DayOfMail::all(&sums, (from, to)))
    });
    let tracked = tracked.await;
    let is_outbound = connector.direction == Direction::Outbound;
    let watched = if is_outbound { Some(console.watched(name, now.before(WATCHED_FOR)).await) } else { None };
    let body = html! {
        @if let Some(again) = again { p.bad role="alert" { (again) } }
        div.card { (head(connector)) (deeds::forms(visitor, connector, &format!("/connectors/{name}"))) }
        @if is_outbound { (validation(visitor, connector)) }
        (certificates(&connector.seen, now))
        @match &watched {
            None => {},
            Some(Err(why)) => section aria-labelledby="watch" { h2 #watch { "Watched" } p.empty { (why) } },
            Some(Ok((targets, changes))) => { (hosts(targets, now)) (history(targets, changes, now)) }
        }
        section aria-labelledby="traffic" {
            h2 #traffic { "Its mail of the last 30 days" }
            @match tracked {
                Err(why) => p.empty { (why) },
                Ok(days) if days.iter().all(|day| (day.sealed, day.plaintext, day.refused) == (0, 0, 0)) => p.empty { "None." },
                Ok(days) => (bars(&days)),
            }
        }
    };
    let page = page(visitor, "/partners", &format!("Connector {name}"), &body);
    (status, naming_its_origin(page)).into_response()
}

fn head(connector: &ConnectorView) -> Markup {
    let ConnectorView { name, direction, mode, .. } = connector;
    let domain = connector.domains.iter().find(|domain| !domain.contains('*'));
    html! {
        p { span.tag { (direction.word()) }
            @if *mode != Mode::Enforce { " " span.tag.warn { (mode.word()) } }
            @if let Some(partner) = &connector.partner { " of partner " strong { (partner) } } }
        p.requirement { (connector.requirement) }
        @for one in deeds::unusual(connector) { p.warn { (one) } }
        @for alarm in &connector.alarms { p.bad { (clean(alarm)) } }
        dl.facts {
            dt { "Domains" } dd { (shortened(&connector.domains)) }
            dt { "TLS" } dd { (connector.tls) ", mode " (mode.word()) }
            @if let Some(waiting) = connector.waiting {
                dt { "Waiting" } dd { @if waiting == 0 { "nobody" } @else { a href=(format!("/queue?connector={name}")) { (counted(waiting, "recipient")) } } }
            }
            @if !connector.refused.is_empty() { dt { "Refused since the start" } dd { (refusals_in_words(&connector.refused)) } }
            dt { "Revision" } dd.mono { (connector.revision) }
        }
        p.more {
            a href=(format!("/trace?connector={name}")) { "Its messages" }
            @if let Some(domain) = domain.filter(|_| *direction == Direction::Outbound) { " · " a href=(format!("/explain?to=postmaster%40{}", escaped(domain))) { "Explain mail to " (domain) } }
            " · " a href=(format!("/settings?q={name}")) { "Its settings" }
        }
    }
}

/// How it was validated, and the form that does it again.
fn validation(visitor: &Visitor, connector: &ConnectorView) -> Markup {
    let name = &connector.name;
    let all: Vec<&Validation> = connector.validated.iter().chain(&connector.validated_to).collect();
    html! {
        section aria-labelledby="validated" {
            h2 #validated { "Validated" }
            @if all.is_empty() { p.empty { "Never in its present form." } }
            @for last in &all {
                p class=(if last.ok { "good" } else { "bad" }) {
                    (last.at) @if let Some(to) = &last.to { ", asked about " (clean(to)) } ": " (clean(&last.verdict))
                }
            }
            @if visitor.is_operator() {
                form.filter method="post" action=(format!("/connectors/{name}/validate")) {
                    (seal(visitor)) (author(visitor))
                    label { "A recipient to ask about (not needed)" input name="to" value=[visitor.kept.as_ref().map(|kept| kept.text("to"))] placeholder="postmaster@partner.example" spellcheck="false" autocapitalize="none"; }
                    button { "Validate" }
                }
                p.hint { "Each host is tried as a delivery would try it, up to the judgement. No message is sent." }
            }
        }
    }
}

fn certificates(seen: &[SeenView], now: UnixMillis) -> Markup {
    html! {
        section aria-labelledby="shown" {
            h2 #shown { "Certificates" }
            @if seen.is_empty() { p.empty { "None was shown yet that met a requirement." } } @else {
                (table_below("Certificates shown that met the requirement", &["Host", "Issuer", "Ends", "Seen first", "SHA-256"], &html! {
                    @for one in seen {
                        tr { th scope="row" { (clean(&one.host)) } td { (clean(&one.issuer)) }
                            td { @match time_of(&one.not_after) { Some(end) => (date(end, now)), None => (one.not_after) } }
                            td { (day_of(&one.since)) } td.mono { (one.sha256) } }
                    }
                }))
            }
        }
    }
}

/// The last look at each host.
fn hosts(targets: &[KeptTarget], now: UnixMillis) -> Markup {
    html! {
        section aria-labelledby="watch" {
            h2 #watch { "Watched" }
            @if targets.is_empty() { p.empty { "Nothing was watched yet: see " code { "[watch]" } " in the settings." } } @else {
                @for target in targets.iter().filter(|target| target.record.lost.is_some()) {
                    p.bad { "No host of " (target.domain.as_deref().unwrap_or("it")) " was found: " (clean(target.record.lost.as_deref().unwrap_or_default())) }
                }
                (table("The last look at each host", &["Host", "Answer", "TLS", "Certificate ends", "Looked at"], &html! {
                    @for (target, key, host) in targets.iter().flat_map(|target| target.record.present().map(move |(key, host)| (target, key, host))).take(HOSTS_MAX) {
                        tr {
                            th scope="row" { (clean(&key.to_string())) @if let Some(domain) = &target.domain { p.hint { "for " (domain) } } }
                            td.why { (answer(&host.last)) }
                            td { (session(&host.last)) }
                            td { @if let Some(shown) = host.last.certificate() { (date(shown.not_after, now)) p.hint { (clean(&shown.issuer)) } } @else { "–" } }
                            td { (date(host.last.at, now)) }
                        }
                    }
                }))
            }
        }
    }
}

fn answer(sight: &Sight) -> Markup {
    let refused = sight.recipient.as_ref().filter(|one| !one.taken).and_then(|one| one.reply.as_ref());
    html! {
        @match refused {
            Some(reply) => { span.tag.bad { "no" } " the check recipient is refused: " (clean(reply)) },
            None if sight.ok => { span.tag.good { "ok" } " " (clean(&sight.reason)) },
            None => { span.tag.bad { "no" } " " (clean(&sight.reason)) },
        }
    }
}

fn session(sight: &Sight) -> Markup {
    html! {
        @match &sight.session {
            SessionSight::None => "–",
            SessionSight::Plaintext => "plaintext",
            SessionSight::Tls(tls) => { (tls.version) p.hint { (tls.suite) ", " (tls.group) } },
        }
    }
}

/// What has changed at its hosts.
fn history(targets: &[KeptTarget], changes: &[KeptChange], now: UnixMillis) -> Markup {
    html! {
        @if !targets.is_empty() || !changes.is_empty() {
            section aria-labelledby="history" {
                h2 #history { "What has changed in 90 days" }
                @if changes.is_empty() { p.empty { "Nothing." } }
                ol.way { @for one in changes {
                    li class=(if one.what.change.is_worse() { "bad" } else { "" }) {
                        (date(one.at, now)) " " time.mono datetime=(rfc3339(one.at)) { (rfc3339(one.at)) }
                        p { (clean(&one.what.host.to_string())) ": " (clean(&one.what.change.to_string())) }
                    }
                } }
            }
        }
    }
}

fn shortened(domains: &[String]) -> String {
    let shown = domains.iter().take(DOMAINS_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match domains.len().saturating_sub(DOMAINS_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn time_of(text: &str) -> Option<UnixMillis> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(UnixMillis(at.as_millisecond()))
}

fn day_of(text: &str) -> &str {
    text.split('T').next().unwrap_or(text)
}

/// What is said of a form that was sent after the end of its session.
const LOST: &str = "Your session had ended before this was sent, and nothing was validated. Send it again.";
const DAYS: i64 = 29;
const WATCHED_FOR: Duration = Duration::from_secs(90 * 24 * 3_600);
const HOSTS_MAX: usize = 50;
const DOMAINS_MAX: usize = 50;
