//! The queue: what waits, by what is asked for.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::fields::value;
use super::page::{counted, date, escaped, number, page, refused, seal, table};
use super::sessions::Visitor;
use super::site::Console;
use crate::admin::{Direction, ListQuery, MessageView, QueueAction, RecipientView};
use crate::mail::{Clock, UnixMillis};
use crate::trace::clean;

/// What of the queue is asked for; an empty field asks for nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct QueueQuery {
    sender: String,
    recipient: String,
    connector: String,
    domain: String,
    reason: String,
    /// Accepted at least so many hours ago.
    older: String,
    held: bool,
    after: String,
}

impl QueueQuery {
    pub(super) fn list(&self) -> ListQuery {
        let asked = |value: &str| (!value.trim().is_empty()).then(|| value.trim().to_owned());
        ListQuery {
            after: asked(&self.after),
            limit: Some(PAGE_MESSAGES),
            connector: asked(&self.connector),
            domain: asked(&self.domain),
            sender: asked(&self.sender),
            recipient: asked(&self.recipient),
            reason: asked(&self.reason),
            older_than: match self.hours() {
                Ok(hours) => hours.map(|hours| hours.saturating_mul(3_600)),
                // Nothing is that old: what can't be read never means all.
                Err(_) => Some(u64::MAX),
            },
            held: self.held,
        }
    }

    /// For how many hours at least messages are queued, if that is asked for.
    fn hours(&self) -> Result<Option<u64>, String> {
        let text = self.older.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let odd = |_| format!("\"{}\" is not a whole number of hours.", clean(text));
        text.parse().map(Some).map_err(odd)
    }

    /// The fields that are not empty, with their names.
    fn fields(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("sender", self.sender.as_str()),
            ("recipient", &self.recipient),
            ("connector", &self.connector),
            ("domain", &self.domain),
            ("reason", &self.reason),
            ("older", &self.older),
            ("held", if self.held { "true" } else { "" }),
            ("after", &self.after),
        ];
        all.into_iter().filter(|(_, value)| !value.trim().is_empty()).collect()
    }

    /// The query of a form.
    pub(super) fn of_fields(fields: &[(String, String)]) -> Self {
        let value = |name: &str| value(fields, name).to_owned();
        Self {
            sender: value("sender"),
            recipient: value("recipient"),
            connector: value("connector"),
            domain: value("domain"),
            reason: value("reason"),
            older: value("older"),
            held: value("held") == "true",
            after: value("after"),
        }
    }

    /// The page that answers it.
    pub(super) fn address(&self) -> String {
        let fields = self.fields();
        let fields: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        if fields.is_empty() { "/queue".to_owned() } else { format!("/queue?{}", fields.join("&")) }
    }

    /// Whether it asks for what comes after a page.
    pub(super) fn is_continued(&self) -> bool {
        !self.after.trim().is_empty()
    }

    /// Whether it asks for some and not for all.
    pub(super) fn is_filtered(&self) -> bool {
        self.fields().iter().any(|(name, _)| *name != "after")
    }

    /// The same query from a message on.
    pub(super) fn next(&self, after: &str) -> String {
        Self { after: after.to_owned(), ..self.clone() }.address()
    }
}

/// A page of the queue.
pub(super) async fn queue(
    State(console): State<Console>,
    visitor: Visitor,
    Query(query): Query<QueueQuery>,
) -> Response {
    let now = Clock::wall();
    if let Err(why) = query.hours() {
        return unreadable(&console, &visitor, (&query, &why)).await;
    }
    let listed = match console.control.list(query.list()).await {
        Ok(listed) => listed,
        Err(fault) => return refused(&visitor, &fault),
    };
    let connectors = console.outlook.connector_names(Direction::Outbound);
    let body = html! {
        (filter(&query, &connectors))
        @if listed.messages.is_empty() {
            @if listed.total.messages == 0 { p.good { "The queue is empty." } }
            @else { p.empty { "No queued message matches, of " (number(listed.total.messages)) "." } }
        } @else {
            p { "The queue has " (counted(listed.total.messages, "message")) " for " (counted(listed.total.recipients, "recipient")) ", "
                (number(listed.total.held)) " of them held." }
            @if visitor.is_operator() {
                form.chosen method="post" action="/queue/confirm" {
                    (seal(&visitor))
                    @for (name, value) in query.fields() { input type="hidden" name=(name) value=(value); }
                    (rows(&listed.messages, now, true))
                    (buttons(&query))
                }
            } @else { (rows(&listed.messages, now, false)) }
            @if let Some(next) = listed.next { p { a href=(query.next(&next.to_string())) rel="next" { "Next page" } } }
        }
    };
    page(&visitor, "/queue", "Queue", &body)
}

/// The page for a query that can't be read, so that it can be corrected.
async fn unreadable(console: &Console, visitor: &Visitor, (query, why): (&QueueQuery, &str)) -> Response {
    let connectors = console.outlook.connector_names(Direction::Outbound);
    let body = html! {
        (filter(query, &connectors))
        p.bad role="alert" { (why) }
    };
    (StatusCode::BAD_REQUEST, page(visitor, "/queue", "Queue", &body)).into_response()
}

fn rows(messages: &[MessageView], now: UnixMillis, choose: bool) -> Markup {
    let heads = ["Select", "Message", "Accepted", "From", "To", "State"];
    let heads = if choose { heads.as_slice() } else { heads.get(1..).unwrap_or_default() };
    table("Queued messages", heads, &html! { @for message in messages { (row(message, now, choose)) } })
}

/// The buttons below the list.
fn buttons(query: &QueueQuery) -> Markup {
    html! {
        fieldset {
            legend { "Do something with several" }
            label.check { input type="radio" name="which" value="chosen" checked; "the selected messages" }
            label.check { input type="radio" name="which" value="matching"; "all that match" @if query.is_continued() { " from this page on" } ", at most " (CHOSEN_MAX) }
            div.deeds {
                @for (action, name, label, _) in ACTIONS {
                    button class=(if is_final(*action) { "danger" } else { "plain" }) name="action" value=(name) { (label) "…" }
                }
            }
        }
    }
}

/// The action that has this name in a form.
pub(super) fn action_named(name: &str) -> Option<ChosenAction> {
    ACTIONS.iter().copied().find(|(_, known, ..)| *known == name)
}

fn filter(query: &QueueQuery, connectors: &[String]) -> Markup {
    let field = |name: &str, label: &str, value: &str, example: &str| {
        html! { label { (label) input name=(name) value=(value) placeholder=(example); } }
    };
    html! {
        form.filter method="get" action="/queue" role="search" {
            (field("sender", "From", &query.sender, "ada@a.example"))
            (field("recipient", "To", &query.recipient, "@partner.example"))
            label { "Connector" select name="connector" {
                option value="" { "any" }
                // One that is not in effect any more may still have mail.
                @if !query.connector.is_empty() && !connectors.contains(&query.connector) { option value=(query.connector) selected { (query.connector) } }
                @for name in connectors { option value=(name) selected[*name == query.connector] { (name) } }
            } }
            (field("domain", "Domain", &query.domain, "partner.example"))
            (field("reason", "Reason contains", &query.reason, "certificate"))
            label { "Queued for at least (hours)" input type="number" min="0" name="older" value=(query.older); }
            label.check { input type="checkbox" name="held" value="true" checked[query.held]; "Held only" }
            button { "Show" }
        }
    }
}

pub(super) fn row(message: &MessageView, now: UnixMillis, choose: bool) -> Markup {
    let first = message.recipients.first();
    let more = message.recipients.len().saturating_sub(1);
    html! {
        tr {
            @if choose { td { input type="checkbox" name="id" value=(message.id) aria-label=(format!("Select {}", message.id)); } }
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

/// An action: its name in a form, its button, and what follows.
pub(super) type ChosenAction = (QueueAction, &'static str, &'static str, &'static str);

/// What can be done with several messages.
const ACTIONS: &[ChosenAction] = &[
    (QueueAction::Retry, "retry", "Try now", "They are tried at once, whatever their schedule says."),
    (QueueAction::Hold, "hold", "Hold", "They wait until somebody releases them."),
    (
        QueueAction::Release,
        "release",
        "Release",
        "They are tried at once. Those that are not held stay as they are.",
    ),
    (
        QueueAction::Bounce,
        "bounce",
        "Give up and report",
        "Each sender gets a report about all recipients that are left, and the messages are gone. This can't be undone.",
    ),
    (
        QueueAction::Remove,
        "remove",
        "Remove",
        "Nobody is notified, and the messages are gone. This can't be undone.",
    ),
];

/// Whether a message is gone after it.
pub(super) fn is_final(action: QueueAction) -> bool {
    match action {
        QueueAction::Bounce | QueueAction::Remove => true,
        QueueAction::Retry | QueueAction::Hold | QueueAction::Release => false,
    }
}

/// Messages for which something is done at once.
pub(super) const CHOSEN_MAX: usize = 500;
const PAGE_MESSAGES: usize = 50;
