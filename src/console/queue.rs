//! The queue: what waits, by what is asked for.

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::page::{date, escaped, number, page, refused, table};
use super::sessions::Visitor;
use super::site::Console;
use crate::admin::{ListQuery, MessageView, RecipientView};
use crate::mail::{Clock, UnixMillis};
use crate::trace::clean;

/// What of the queue is asked for; an empty field asks for nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct QueueQuery {
    sender: String,
    recipient: String,
    connector: String,
    reason: String,
    held: bool,
    after: String,
}

impl QueueQuery {
    fn list(&self) -> ListQuery {
        let asked = |value: &str| (!value.trim().is_empty()).then(|| value.trim().to_owned());
        ListQuery {
            after: asked(&self.after),
            limit: Some(PAGE_MESSAGES),
            connector: asked(&self.connector),
            domain: None,
            sender: asked(&self.sender),
            recipient: asked(&self.recipient),
            reason: asked(&self.reason),
            older_than: None,
            held: self.held,
        }
    }

    /// The same query from a message on.
    fn next(&self, after: &str) -> String {
        let fields = [
            ("sender", &self.sender),
            ("recipient", &self.recipient),
            ("connector", &self.connector),
            ("reason", &self.reason),
        ];
        let mut next = format!("/queue?after={after}&held={}", self.held);
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            next.push_str(&format!("&{name}={}", escaped(value)));
        }
        next
    }
}

/// A page of the queue.
pub(super) async fn queue(
    State(console): State<Console>,
    visitor: Visitor,
    Query(query): Query<QueueQuery>,
) -> Response {
    let now = Clock::wall();
    let listed = match console.control.list(query.list()).await {
        Ok(listed) => listed,
        Err(fault) => return refused(&visitor, &fault),
    };
    let body = html! {
        (filter(&query))
        @if listed.messages.is_empty() {
            @if listed.total.messages == 0 { p.good { "The queue is empty." } }
            @else { p.empty { "No queued message matches; " (number(listed.total.messages)) " are queued." } }
        } @else {
            p { (number(listed.total.messages)) " messages for " (number(listed.total.recipients)) " recipients are queued, "
                (number(listed.total.held)) " of them held." }
            (table("Queued messages", &["Message", "Accepted", "From", "To", "State"], &html! {
                @for message in &listed.messages { (row(message, now)) }
            }))
            @if let Some(next) = listed.next { p { a href=(query.next(&next.to_string())) rel="next" { "Next page" } } }
        }
    };
    page(&visitor, "/queue", "Queue", &body)
}

fn filter(query: &QueueQuery) -> Markup {
    let field = |name: &str, label: &str, value: &str, example: &str| {
        html! { label { (label) input name=(name) value=(value) placeholder=(example); } }
    };
    html! {
        form.filter method="get" action="/queue" role="search" {
            (field("sender", "From", &query.sender, "ada@a.example"))
            (field("recipient", "To", &query.recipient, "@partner.example"))
            (field("connector", "Connector", &query.connector, ""))
            (field("reason", "Reason contains", &query.reason, "certificate"))
            label.check { input type="checkbox" name="held" value="true" checked[query.held]; "Held only" }
            button { "Show" }
        }
    }
}

fn row(message: &MessageView, now: UnixMillis) -> Markup {
    let first = message.recipients.first();
    let more = message.recipients.len().saturating_sub(1);
    html! {
        tr {
            th scope="row" { a.mono href=(format!("/queue/{}", message.id)) { (message.id) } }
            td { (date(message.accepted_at, now)) }
            td { "<" (clean(&message.reverse_path)) ">" }
            td { @if let Some(first) = first { "<" (clean(&first.forward_path)) ">" } @if more > 0 { " +" (more) } }
            td.why { (state(message, now)) }
        }
    }
}

/// How it stands with a message, in a cell.
fn state(message: &MessageView, now: UnixMillis) -> Markup {
    let trouble = message.recipients.iter().find_map(|recipient| Some((recipient, recipient.last.as_ref()?)));
    html! {
        @if let Some(why) = &message.held { span.tag.warn { "held" } " " (clean(why)) }
        @else if message.blocked.iter().any(|lane| lane.paused) { span.tag.warn { "paused" } " its connector is paused" }
        @else if let Some((recipient, last)) = trouble { (clean(&last.reason))
            p.hint { "Next attempt: " (next_attempt(message, recipient, now)) } }
        @else if let Some(lane) = message.blocked.first() {
            "waits for its destination"
            @if let Some(reason) = &lane.reason { p.hint { (clean(reason)) } }
        }
        @else { "under way" }
    }
}

/// When a recipient is tried next.
pub(super) fn next_attempt(message: &MessageView, recipient: &RecipientView, now: UnixMillis) -> Markup {
    let lane = message.blocked.iter().find(|lane| lane.lane == recipient.lane);
    let at = lane
        .and_then(|lane| lane.blocked_until)
        .map_or(recipient.next_at, |until| until.max(recipient.next_at));
    html! {
        @if message.held.is_some() { "when it is released" }
        @else if lane.is_some_and(|lane| lane.paused) { "when its connector is resumed" }
        @else if at > now { (date(at, now)) }
        @else if recipient.leased { "under way" }
        @else { "soon" }
    }
}

const PAGE_MESSAGES: usize = 50;
