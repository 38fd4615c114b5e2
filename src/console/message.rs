//! One message: its whole way, what the queue says of it, and what an operator can do with it.

use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::door::SealForm;
use super::notice::ActionNotice;
use super::page::{date, escaped, failed, page, refused, seal, table};
use super::queue::{action_named, next_attempt};
use super::sessions::Visitor;
use super::site::Console;
use crate::admin::{ActionResult, LaneStatus, MessageView, QueueAction};
use crate::mail::{Clock, QueueId, UnixMillis};
use crate::trace::{TracedEvent, clean, details, said};

/// A message of the queue.
pub(super) async fn queued(
    State(console): State<Console>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    show(&console, &visitor, "/queue", id).await
}

/// A message that was traced.
pub(super) async fn traced(
    State(console): State<Console>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    show(&console, &visitor, "/trace", id).await
}

async fn show(console: &Console, visitor: &Visitor, place: &str, id: String) -> Response {
    let Ok(number) = id.parse::<QueueId>() else {
        return failed(visitor, StatusCode::NOT_FOUND, "This is not a valid queue ID.");
    };
    let now = Clock::wall();
    let found = console.tracked(move |reader| {
        let mut events = reader.latest(number, EVENTS_MAX)?;
        let is_cut = events.len() == EVENTS_MAX;
        // However much has happened since, it begins with how it came.
        if is_cut
            && let Some(first) = reader.outline(number)?.into_first()
            && events.first().is_none_or(|one| one.seq > first.seq)
        {
            events.insert(0, first);
        }
        Ok((events, is_cut, reader.reported_by(number)?))
    });
    let (events, is_cut, about) = found.await.unwrap_or_default();
    let queued = console.control.message(id).await.ok();
    if events.is_empty() && queued.is_none() {
        let why = "No message of this ID is queued, and none was tracked.";
        return failed(visitor, StatusCode::NOT_FOUND, why);
    }
    let body = html! {
        (head(&events, queued.as_ref()))
        @if let Some(about) = about { p { "It reports on " a.mono href=(format!("/trace/{about}")) { (about) } "." } }
        @if let Some(message) = &queued { (waiting(visitor, message, now)) }
        section aria-labelledby="way" {
            h2 #way { "History" }
            @if events.is_empty() { p.empty { "Nothing of it was tracked." } }
            @if is_cut { p.hint { "Only how it came and the newest " (EVENTS_MAX) " events are shown; " code { "sealpost trace " (number) } " shows all." } }
            ol.way { @for event in &events { (step(event)) } }
            @if queued.is_none() { p.hint { "It is not queued any more." } }
        }
    };
    page(visitor, place, &format!("Message {number}"), &body)
}

fn head(events: &[TracedEvent], queued: Option<&MessageView>) -> Markup {
    let facts = events.first().map(|event| &event.facts);
    let from = facts
        .and_then(|facts| facts.reverse_path.clone())
        .or_else(|| queued.map(|one| one.reverse_path.clone()));
    html! {
        dl.facts {
            @if let Some(from) = from { dt { "From" } dd { "<" (clean(&from)) ">" } }
            @if let Some(facts) = facts {
                @if !facts.recipients.is_empty() {
                    @let shown: Vec<&str> = facts.recipients.iter().take(RECIPIENTS_MAX).map(String::as_str).collect();
                    @let more = facts.recipient_count.unwrap_or_default().saturating_sub(shown.len());
                    dt { "To" } dd { (clean(&shown.join(", "))) @if more > 0 { ", and " (more) " more" } }
                }
                @if let Some(subject) = &facts.subject { dt { "Subject" } dd { (clean(subject)) } }
                @if let Some(id) = &facts.message_id { dt { "Message-ID" } dd.mono { "<" (clean(id)) ">" } }
                @if let Some(size) = facts.size { dt { "Size" } dd { (super::page::number(size)) " octets" } }
            }
        }
    }
}

/// One event of the way: what happened, and what is known of it.
fn step(event: &TracedEvent) -> Markup {
    let tone = match event.event.as_str() {
        "delivered" => "good",
        "failed" | "refused" | "plaintext" => "bad",
        "deferred" | "held" | "waived" | "rerouted" => "warn",
        _ => "",
    };
    html! {
        li class=(tone) {
            time datetime=(event.at) { (event.at) }
            p { (said(event)) }
            @let lines = details(event);
            @if !lines.is_empty() { ul { @for line in lines { li { (clean(&line)) } } } }
            @if let Some(report) = &event.facts.report { p { a.mono href=(format!("/trace/{report}")) { "The report" } } }
        }
    }
}

/// What the queue says, and what can be done.
fn waiting(visitor: &Visitor, message: &MessageView, now: UnixMillis) -> Markup {
    html! {
        section aria-labelledby="queued" {
            h2 #queued { "In the queue" }
            @if let Some(why) = &message.held { p.warn { "Held: " (clean(why)) } }
            (table("Recipients still queued", &["Recipient", "#Attempts", "Next attempt", "Last reason"], &html! {
                @for recipient in message.recipients.iter().take(RECIPIENTS_MAX) {
                    tr {
                        th scope="row" { (clean(&recipient.forward_path)) }
                        td.n { (recipient.attempts) }
                        td { (next_attempt(message, recipient, now)) }
                        td.why { @if let Some(last) = &recipient.last { (last.status) " " (clean(&last.reason))
                            @if let Some(hint) = &last.hint { p.hint { (hint.advice) } } }
                            @if let Some(words) = &recipient.overridden { p.hint { (clean(words)) } } }
                    }
                }
            }))
            @if let Some(first) = message.recipients.first() {
                @let arrived = message.origin.connector.as_ref().map(|by| format!("&arrives_by={by}")).unwrap_or_default();
                p.more { a href=(format!("/explain?to={}{arrived}", escaped(&first.forward_path))) { "Why by this connector?" } }
            }
            @let more = message.recipients.len().saturating_sub(RECIPIENTS_MAX);
            @if more > 0 { p.hint { "And " (more) " more recipients." } }
            @for lane in message.blocked.iter().take(RECIPIENTS_MAX) { (blocked(lane, now)) }
            @if visitor.is_operator() { div.deeds {
                @if message.held.is_some() { (deed(visitor, message.id, "release", "Release", None)) }
                @else {
                    (deed(visitor, message.id, "retry", "Try now", None))
                    (deed(visitor, message.id, "hold", "Hold", None))
                }
                (deed(visitor, message.id, "bounce", "Give up and report", Some("Give it up? The sender gets a report, and the message is gone.")))
                (deed(visitor, message.id, "remove", "Remove", Some("Remove it? Nobody is notified, and the message is gone.")))
            } }
        }
    }
}

/// Why a destination is not tried for any message at the moment.
fn blocked(lane: &LaneStatus, now: UnixMillis) -> Markup {
    let place = lane.domain.as_deref().unwrap_or_else(|| lane.lane.trim_end_matches('/'));
    html! {
        p.warn {
            @if lane.paused { "Its connector is paused: no mail is delivered to " (place) "." }
            @else {
                "Mail to " (place) " waits"
                @if let Some(until) = lane.blocked_until { " for the next attempt " (date(until, now)) }
                @if let Some(reason) = &lane.reason { ": " (clean(reason)) }
            }
        }
        @if let Some(hint) = &lane.hint { p.hint { (hint.advice) } }
    }
}

fn deed(visitor: &Visitor, id: QueueId, deed: &str, label: &str, confirm: Option<&str>) -> Markup {
    html! {
        form method="post" action=(format!("/queue/{id}/{deed}")) {
            (seal(visitor))
            button class=[confirm.map(|_| "danger")] data-confirm=[confirm] { (label) }
        }
    }
}

/// Does something with a message, and shows it again.
pub(super) async fn act(
    State(console): State<Console>,
    visitor: Visitor,
    Path((id, deed)): Path<(String, String)>,
    Form(form): Form<SealForm>,
) -> Response {
    let asker = match visitor.operator(&form) {
        Ok(asker) => asker,
        Err(fault) => return refused(&visitor, &fault),
    };
    let Some((action, ..)) = action_named(&deed) else {
        return failed(&visitor, StatusCode::NOT_FOUND, "Unknown action.");
    };
    // Whoever takes this hold back must not take back another one.
    let held = action == QueueAction::Hold
        && console.control.message(id.clone()).await.is_ok_and(|message| message.held.is_some());
    let result = match console.control.act_on(id, action, asker).await {
        Ok(result) => result,
        Err(fault) => return refused(&visitor, &fault),
    };
    let page = match (action, result.id) {
        (QueueAction::Bounce | QueueAction::Remove, _) | (_, None) => "/queue".to_owned(),
        (QueueAction::Retry | QueueAction::Hold | QueueAction::Release, Some(id)) => format!("/queue/{id}"),
    };
    let notice = if held { ActionNotice::new("it is held already") } else { notice(action, &result, &page) };
    console.done(&visitor, &page, notice)
}

/// What was done, and what takes it back or what it lacks.
fn notice(action: QueueAction, result: &ActionResult, page: &str) -> ActionNotice {
    let Some(id) = result.id else { return ActionNotice::new(&result.retried()) };
    let notice = ActionNotice::new(&action.done(id, result));
    match (action, result.paused.first()) {
        (QueueAction::Hold, _) => notice.followed_by("Undo".to_owned(), format!("/queue/{id}/release"), page),
        (QueueAction::Retry | QueueAction::Release, Some(paused)) => {
            notice.followed_by(format!("Resume {paused}"), format!("/connectors/{paused}/resume"), page)
        }
        (
            QueueAction::Retry | QueueAction::Release | QueueAction::Bounce | QueueAction::Remove,
            Some(_) | None,
        ) => notice,
    }
}

/// Events of one message on its page, the newest.
const EVENTS_MAX: usize = 200;
const RECIPIENTS_MAX: usize = 50;
