//! The search for messages, also of those that have left.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::page::{page, table};
use super::sessions::Visitor;
use super::site::Console;
use crate::mail::{QueueId, UnixMillis, rfc3339};
use crate::trace::{self, EventKind, StoredWord as _, TraceFilter, TracedEvent, TracedMessages, clean};

/// What is looked for; an empty field asks for nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct TraceQuery {
    q: String,
    subject: String,
    partner: String,
    connector: String,
    event: String,
    reason: String,
    tls: String,
    /// A date, as a browser's field of dates has it.
    since: String,
    until: String,
}

impl TraceQuery {
    fn filter(&self) -> TraceFilter {
        let asked = |value: &str| (!value.trim().is_empty()).then(|| value.trim().to_owned());
        let mut filter = TraceFilter {
            subject: self.subject.split_whitespace().map(str::to_owned).collect(),
            partner: asked(&self.partner),
            connector: asked(&self.connector),
            kinds: EventKind::named(self.event.trim()).into_iter().collect(),
            reason: asked(&self.reason),
            tls: asked(&self.tls),
            since: day(&self.since, DAY_BEGINS),
            until: day(&self.until, DAY_ENDS),
            ..TraceFilter::default()
        };
        if let Some(what) = asked(&self.q) {
            filter.name(&what);
        }
        filter
    }

    /// What the query has that means nothing; without it, more would be found than was asked for.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let event = self.event.trim();
        if !event.is_empty() && EventKind::named(event).is_none() {
            faults.push(format!("There is no event \"{}\".", clean(event)));
        }
        for (value, time) in [(&self.since, DAY_BEGINS), (&self.until, DAY_ENDS)] {
            if !value.trim().is_empty() && day(value, time).is_none() {
                faults.push(format!("\"{}\" is not a date: write it as 2026-01-31.", clean(value)));
            }
        }
        faults
    }
}

/// When a day begins or ends.
fn day(value: &str, time: &str) -> Option<UnixMillis> {
    let at: jiff::Timestamp = format!("{}T{time}Z", value.trim()).parse().ok()?;
    Some(UnixMillis(at.as_millisecond()))
}

/// What was found: rows of messages, other events in words, and since when anything is kept.
struct TraceFindings {
    rows: Vec<(QueueId, Vec<String>)>,
    others: Vec<TracedEvent>,
    is_cut: bool,
    since: Option<UnixMillis>,
}

/// The search and what it finds.
pub(super) async fn search(
    State(console): State<Console>,
    visitor: Visitor,
    Query(query): Query<TraceQuery>,
) -> Response {
    let faults = query.faults();
    if !faults.is_empty() {
        let body = html! { (form(&query)) @for fault in &faults { p.bad role="alert" { (fault) } } };
        return (StatusCode::BAD_REQUEST, page(&visitor, "/trace", "Trace", &body)).into_response();
    }
    let filter = query.filter();
    let found = console.tracked(move |reader| {
        let found = TracedMessages::search(reader, &filter, MESSAGES_MAX)?;
        let mut rows = Vec::new();
        for id in &found.messages {
            rows.push((*id, reader.outline(*id)?.row()));
        }
        Ok(TraceFindings { rows, others: found.others, is_cut: found.is_cut, since: reader.since()? })
    });
    let body = html! {
        (form(&query))
        @match found.await {
            Err(why) => p.bad { (why) },
            Ok(found) => (findings(&found)),
        }
    };
    page(&visitor, "/trace", "Trace", &body)
}

fn findings(found: &TraceFindings) -> Markup {
    html! {
        @if found.rows.is_empty() && found.others.is_empty() {
            p.empty { "Nothing matches. "
                @match found.since {
                    Some(since) => { "Tracking begins " (rfc3339(since)) "." },
                    None => "Nothing has been tracked yet.",
                } }
        }
        @if found.is_cut { p.hint { "Only the newest " (MESSAGES_MAX) " are shown; narrow the search." } }
        @if !found.rows.is_empty() {
            (table("Messages, the newest first", &["Message", "Accepted", "From", "To", "State", "By", "Subject"], &html! {
                @for (id, cells) in &found.rows {
                    tr {
                        th scope="row" { a.mono href=(format!("/trace/{id}")) { (id) } }
                        @for cell in cells.iter().skip(1) { td { (cell) } }
                    }
                }
            }))
        }
        @if !found.others.is_empty() {
            section aria-labelledby="others" {
                h2 #others { "Events that are about no message" }
                ul.lines { @for event in &found.others { li.mono { (trace::line(event)) } } }
            }
        }
    }
}

fn form(query: &TraceQuery) -> Markup {
    html! {
        form.filter method="get" action="/trace" role="search" {
            label.main { "Address, domain, queue ID or <Message-ID>"
                input type="search" name="q" value=(query.q) placeholder="bob@partner.example"; }
            label { "Words of the Subject" input name="subject" value=(query.subject); }
            label { "Partner" input name="partner" value=(query.partner); }
            label { "Connector" input name="connector" value=(query.connector); }
            label { "Event"
                select name="event" {
                    option value="" { "any" }
                    @for (_, word, _) in EventKind::ALL { option value=(word) selected[*word == query.event] { (word) } }
                } }
            label { "Reason" input name="reason" value=(query.reason) placeholder="starttls-not-offered"; }
            label { "TLS" input name="tls" value=(query.tls) placeholder="TLSv1.3, plaintext"; }
            label { "From the day (UTC)" input type="date" name="since" value=(query.since); }
            label { "To the day (UTC)" input type="date" name="until" value=(query.until); }
            button { "Search" }
        }
    }
}

const MESSAGES_MAX: usize = 100;
const DAY_BEGINS: &str = "00:00:00";
const DAY_ENDS: &str = "23:59:59.999";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_said() {
        let faults = |event: &str, since: &str, until: &str| {
            let query = TraceQuery {
                event: event.to_owned(),
                since: since.to_owned(),
                until: until.to_owned(),
                ..TraceQuery::default()
            };
            query.faults().join(" ")
        };
        assert_eq!(faults("", "", " "), "");
        assert_eq!(faults("deferred", "2026-01-31", "2026-02-28"), "");
        assert_eq!(faults("bogus", "", ""), "There is no event \"bogus\".");
        assert_eq!(faults("", "2026-02-30", ""), "\"2026-02-30\" is not a date: write it as 2026-01-31.");
        assert_eq!(faults("", "", "soon"), "\"soon\" is not a date: write it as 2026-01-31.");
    }
}
