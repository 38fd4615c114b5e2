//! The overview: whether mail travels sealed, what fails now, and what ends soon.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::chart::{DayOfMail, bars};
use super::deeds;
use super::page::{date, number, page, refused, table, table_below};
use super::sessions::Visitor;
use super::site::Console;
use crate::admin::{Alarm, ConnectorView, LaneStatus, Status};
use crate::alert::{AlertsView, EpisodeView};
use crate::mail::{Clock, UnixMillis, span_in_words};
use crate::trace::{TlsReport, clean};

/// The first page.
pub(super) async fn overview(State(console): State<Console>, visitor: Visitor) -> Response {
    let now = Clock::wall();
    let status = match console.control.status().await {
        Ok(status) => status,
        Err(fault) => return refused(&visitor, &fault),
    };
    let alerts = console.control.alerts().await;
    let oldest = console.control.oldest().await;
    let (from, to) = (now.day().saturating_sub(DAYS), now.day());
    let tracked = console.tracked(move |reader| reader.sums(from, to)).await;
    let connectors = console.control.connectors().await.connectors;
    let ending = console.ending().await;
    let body = html! {
        div #live data-refresh="30" {
            (figures(&status, oldest, tracked.as_deref().ok().map(|sums| TlsReport::of(sums, (from, to))), now))
            (failing(&alerts, &status.lanes))
            (unusual(&visitor, &connectors))
            (alarms(&status.alarms))
            section aria-labelledby="mail" {
                h2 #mail { "The last 30 days" }
                @match tracked {
                    Ok(sums) if !sums.is_empty() => (bars(&DayOfMail::all(&sums, (from, to)))),
                    Ok(_) => p.empty { "No mail yet. A message counts here when it comes in, and again when it goes out." },
                    Err(why) => p.empty { (why) },
                }
            }
            (ends(&ending, now))
        }
    };
    page(&visitor, "/", "Overview", &body)
}

fn figures(
    status: &Status,
    oldest: Option<UnixMillis>,
    report: Option<TlsReport>,
    now: UnixMillis,
) -> Markup {
    let share =
        |percent: Option<u64>| percent.map_or_else(|| "–".to_owned(), |percent| format!("{percent} %"));
    let (inbound, outbound) =
        report.map_or((None, None), |report| (report.inbound.percent(), report.outbound.percent()));
    html! {
        dl.figures {
            div { dt { "In over TLS, 30 days" } dd { (share(inbound)) } }
            div { dt { "Out over TLS, 30 days" } dd { (share(outbound)) } }
            div { dt { "Queued messages" } dd { a href="/queue" { (number(status.queue.messages)) } } }
            div { dt { "Held" } dd { a href="/queue?held=true" { (number(status.queue.held)) } } }
            div { dt { "Oldest in the queue" } dd { (oldest.map_or_else(|| "–".to_owned(), |at| span_in_words(now.since(at)))) } }
        }
    }
}

/// Connectors that are not as the files say: paused, overridden, or braked.
fn unusual(visitor: &Visitor, connectors: &[ConnectorView]) -> Markup {
    let all: Vec<_> = connectors.iter().map(|one| (one, deeds::unusual(one))).collect();
    let all: Vec<_> = all.into_iter().filter(|(_, words)| !words.is_empty()).collect();
    html! {
        @if !all.is_empty() {
            section aria-labelledby="unusual" {
                h2 #unusual { "Not as configured" }
                @for (connector, words) in all.iter().take(UNUSUAL_MAX) {
                    article.episode.mild {
                        h3 { a href=(format!("/connectors/{}", connector.name)) { (connector.name) } }
                        @for one in words { p { (one) } }
                        (deeds::forms(visitor, connector, "/"))
                    }
                }
                @if all.len() > UNUSUAL_MAX { p { "And " (all.len() - UNUSUAL_MAX) " more: see " a href="/partners" { "Partners" } "." } }
            }
        }
    }
}

/// What fails now: alerts that last, and lanes that wait after a failure.
fn failing(alerts: &AlertsView, lanes: &[LaneStatus]) -> Markup {
    let blocked: Vec<&LaneStatus> = lanes.iter().filter(|lane| lane.blocked_until.is_some()).collect();
    html! {
        section aria-labelledby="failing" {
            h2 #failing { "Failing now" }
            @if alerts.open.is_empty() && blocked.is_empty() {
                p.good { "No alert is open, and no destination waits after a failure." }
            }
            @for episode in &alerts.open { (one(episode)) }
            @if !blocked.is_empty() {
                (table("Destinations that wait after a failure", &["Destination", "Connector", "#Failures", "Why"], &html! {
                    @for lane in blocked.iter().take(LANES_MAX) {
                        tr {
                            th scope="row" { (lane.domain.as_deref().unwrap_or_else(|| lane.lane.trim_end_matches('/'))) }
                            td { (lane.connector.as_deref().unwrap_or("–")) }
                            td.n { (lane.failures) }
                            td.why { (clean(lane.reason.as_deref().unwrap_or_default()))
                                @if let Some(hint) = &lane.hint { p.hint { (hint.advice) } } }
                        }
                    }
                }))
                @if blocked.len() > LANES_MAX { p { "And " (blocked.len() - LANES_MAX) " more." } }
            }
        }
    }
}

fn one(episode: &EpisodeView) -> Markup {
    html! {
        article.episode {
            h3 {
                @if let Some(partner) = episode.partner.as_ref().or(episode.connector.as_ref()) { (partner) " " }
                span.tag.bad { (episode.kind) } }
            p { (clean(&episode.what)) }
            p.hint { "Since " (episode.since) ", seen " @if episode.failures == 1 { "once." } @else { (number(episode.failures)) " times." }
                @if let Some(contact) = &episode.contact { " Ask " (clean(contact)) "." } }
        }
    }
}

fn alarms(alarms: &[Alarm]) -> Markup {
    html! {
        @if !alarms.is_empty() {
            section aria-labelledby="alarms" {
                h2 #alarms { "Alarms" }
                ul.alarms { @for alarm in alarms { li { (clean(&alarm.what)) " " span.hint { "Since " (alarm.since) } } } }
            }
        }
    }
}

fn ends(ending: &[(UnixMillis, String)], now: UnixMillis) -> Markup {
    html! {
        section aria-labelledby="ends" {
            h2 #ends { "Ends within 60 days" }
            @if ending.is_empty() { p.empty { "Nothing." } } @else {
                (table_below("What ends within 60 days, the soonest first", &["What", "When"], &html! {
                    @for (at, what) in ending.iter().take(ENDS_MAX) {
                        tr class=[(*at <= now).then_some("over")] { th scope="row" { (clean(what)) } td { (date(*at, now)) } }
                    }
                }))
            }
        }
    }
}

const DAYS: i64 = 29;
const LANES_MAX: usize = 20;
const UNUSUAL_MAX: usize = 20;
const ENDS_MAX: usize = 50;
