//! What an operator does with a connector: pauses and resumes it, releases it from its brake, ends its override.

use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::door::SealForm;
use super::notice::ActionNotice;
use super::page::{failed, number, refused, seal};
use super::sessions::Visitor;
use super::site::Console;
use crate::admin::{ConnectorView, Direction, override_ended};
use crate::mail::rfc3339;
use crate::trace::clean;

/// How a connector is not as the files say, a sentence each.
pub(super) fn unusual(connector: &ConnectorView) -> Vec<String> {
    let mut all = Vec::new();
    if connector.paused {
        let waiting = connector.waiting.unwrap_or_default();
        let wait = if waiting == 1 { "recipient waits" } else { "recipients wait" };
        all.push(format!("Paused: {} {wait}.", number(waiting)));
    }
    all.extend(connector.overridden.as_ref().map(|one| {
        let (level, until) = (one.level.word(), rfc3339(one.until));
        let (by, reason) = (clean(&one.by), clean(&one.reason));
        format!("Overridden: only \"{level}\" is required until {until}, by {by}: {reason}")
    }));
    all.extend(connector.braked.as_ref().map(|brake| {
        let what = if brake.refuses { "new mail is refused" } else { "new mail is still taken" };
        format!("Braked since {}, {what}: {}", brake.since, clean(&brake.why))
    }));
    all
}

/// The forms of an operator; the page that they lead back to.
pub(super) fn forms(visitor: &Visitor, connector: &ConnectorView, back: &str) -> Markup {
    if !visitor.is_operator() {
        return html! {};
    }
    let name = &connector.name;
    let form = |deed: &str, label: &str, question: Option<String>| {
        html! {
            form method="post" action=(format!("/connectors/{name}/{deed}")) {
                (seal(visitor))
                input type="hidden" name="back" value=(back);
                button.plain aria-label=(format!("{label}: {name}")) data-confirm=[question] { (label) }
            }
        }
    };
    html! {
        div.deeds {
            @if connector.direction == Direction::Outbound {
                @if connector.paused { (form("resume", "Resume deliveries", None)) }
                @else { (form("pause", "Pause deliveries", Some(format!("Pause deliveries by {name}? Its mail waits until somebody resumes it.")))) }
            }
            @if connector.braked.is_some() {
                (form("release", "Release from the brake", None))
                (form("accept", "Release, and expect as much from now on", Some(format!("Take as much mail by {name} for usual from now on?"))))
            }
            @if connector.overridden.is_some() {
                (form("end-override", "End the override", Some(format!("End the override of {name}? Mail that does not meet its own requirement waits then."))))
            }
        }
    }
}

/// Does one of these.
pub(super) async fn act(
    State(console): State<Console>,
    visitor: Visitor,
    Path((name, deed)): Path<(String, String)>,
    Form(form): Form<SealForm>,
) -> Response {
    let asker = match visitor.operator(&form) {
        Ok(asker) => asker,
        Err(fault) => return refused(&visitor, &fault),
    };
    let (control, page) = (&console.control, form.page("/partners"));
    let undo = |deed: &str| ("Undo".to_owned(), format!("/connectors/{name}/{deed}"));
    let done = match deed.as_str() {
        "pause" => control.set_paused(&name, true, &asker).await.map(|all| (all.to_string(), Some("resume"))),
        "resume" => {
            control.set_paused(&name, false, &asker).await.map(|all| (all.to_string(), Some("pause")))
        }
        "release" | "accept" => {
            let released = control.release(name.clone(), deed == "accept", asker).await;
            released.map(|done| (done.done(&name), None))
        }
        "end-override" => {
            let ended = control.end_override(name.clone(), asker).await;
            ended.map(|()| (override_ended(&name), None))
        }
        _ => return failed(&visitor, StatusCode::NOT_FOUND, "Unknown action."),
    };
    match done {
        Ok((words, undone_by)) => {
            let notice = ActionNotice::new(&words);
            let notice = match undone_by.map(undo) {
                Some((label, action)) => notice.followed_by(label, action, page),
                None => notice,
            };
            console.done(&visitor, page, notice)
        }
        Err(fault) => refused(&visitor, &fault),
    }
}
