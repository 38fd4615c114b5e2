//! Validates a connector and writes each step into the page as it is made. It ends when nobody reads the page any more.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;
use maud::{Markup, html};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::connector;
use super::kept::{AUTHOR, KeptForm};
use super::outlook::{ValidatedHost, ValidationAnswer, ValidationOrder, ValidationReport};
use super::page::{POLICY, failed, frame, refused};
use super::sessions::Visitor;
use super::site::{Console, TrialPlace};
use crate::trace::clean;

/// What is asked for.
#[derive(Deserialize)]
pub(super) struct ValidateForm {
    seal: String,
    #[serde(default)]
    bearer: String,
    #[serde(default)]
    to: String,
}

/// Validates a connector.
pub(super) async fn validate(
    State(console): State<Console>,
    mut visitor: Visitor,
    Path(name): Path<String>,
    headers: HeaderMap,
    Form(form): Form<ValidateForm>,
) -> Response {
    if let Err(fault) = visitor.may_act(&form.seal) {
        if !visitor.is_operator() || !visitor.has_typed(&form.bearer, &headers) {
            return refused(&visitor, &fault);
        }
        // He has logged in again meanwhile: what he typed is not lost.
        let typed = vec![(AUTHOR.to_owned(), form.bearer), ("to".to_owned(), form.to)];
        visitor.kept = KeptForm::of_form(typed).map(Arc::new);
        return connector::shown(&console, &visitor, &name, (StatusCode::FORBIDDEN, Some(EARLIER))).await;
    }
    let Some(place) = console.begin_trial(visitor.key) else {
        let why = "A validation of yours is under way, or there are too many at the moment. Try again when it is over.";
        return failed(&visitor, StatusCode::SERVICE_UNAVAILABLE, why);
    };
    let (told, steps) = mpsc::channel(STEPS_WAITING_MAX);
    // A step that finds no room is one that nobody could read in time.
    let listener = Arc::new(move |what: &str, result: Option<&str>| {
        drop(told.try_send(step(what, result).into_string()));
    });
    let to = Some(form.to.trim()).filter(|to| !to.is_empty()).map(str::to_owned);
    let ourselves = console.control.listening.iter().map(|(_, address)| *address).collect();
    let answer = console.outlook.validate(ValidationOrder { name: name.clone(), to, ourselves, listener });
    let (before, after) = frame(&visitor, "/partners", &format!("Validation of {name}"), &opening(&name));
    let page = GrowingPage {
        begin: Some(before),
        steps,
        answer,
        until: Instant::now() + TIME_MAX,
        end: Some(format!("{}{after}", back(&name))),
        _place: place,
    };
    let head = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY)];
    (head, Body::from_stream(unfold(page, next))).into_response()
}

/// A page that is being written: its beginning, each step, the result, its end.
struct GrowingPage {
    begin: Option<String>,
    steps: mpsc::Receiver<String>,
    answer: ValidationAnswer,
    /// When it ends, whatever has come of it.
    until: Instant,
    /// None once it has been written.
    end: Option<String>,
    _place: TrialPlace,
}

/// The next piece. Whatever is under way ends with the page.
async fn next(mut page: GrowingPage) -> Option<(Result<String, Infallible>, GrowingPage)> {
    if let Some(begin) = page.begin.take() {
        return Some((Ok(begin), page));
    }
    let end = page.end.take()?;
    let answer = Pin::new(&mut page.answer);
    let piece = tokio::select! {
        biased;
        Some(step) = page.steps.recv(), if Instant::now() < page.until => {
            page.end = Some(end);
            return Some((Ok(step), page));
        }
        answer = timeout_at(page.until, answer) => answer,
    };
    let mut text = String::new();
    while let Ok(step) = page.steps.try_recv() {
        text.push_str(&step);
    }
    text.push_str("</ol>");
    text.push_str(&match piece {
        Ok(Ok(report)) => result(&report).into_string(),
        Ok(Err(why)) => html! { p.bad role="alert" { "Not validated: " (clean(&why)) } }.into_string(),
        Err(_) => html! { p.bad role="alert" { "It takes too long for a page: use " code { "sealpost validate" } "." } }.into_string(),
    });
    text.push_str(&end);
    Some((Ok(text), page))
}

/// What is before the first step; the list stays open.
fn opening(name: &str) -> Markup {
    html! {
        p { "Each host of " (name) " is tried as a delivery would try it. No message is sent. The page ends with the result." }
        (maud::PreEscaped("<ol class=\"way\" aria-live=\"polite\">"))
    }
}

fn step(what: &str, result: Option<&str>) -> Markup {
    html! {
        @match result {
            None => li { span.hint { (clean(what)) " …" } },
            Some(result) => li class=(if result.starts_with("NO: ") { "bad" } else { "good" }) { p { (clean(what)) } (clean(result)) },
        }
    }
}

fn result(report: &ValidationReport) -> Markup {
    html! {
        section aria-labelledby="result" {
            h2 #result { "Result" }
            p class=(if report.verdict.ok { "good" } else { "bad" }) role="status" { (clean(&report.verdict.verdict)) }
            @if let Some(why) = &report.not_kept { p.hint { "The result is not kept: " (clean(why)) } }
            @for one in &report.hosts {
                // What is about no host is a note about the rest of them.
                @if one.host == "-" { @for (_, text) in &one.lines { p.hint { (clean(text)) "." } } } @else { (host(one)) }
            }
        }
    }
}

fn host(host: &ValidatedHost) -> Markup {
    html! {
        article.card {
            h3 { (clean(&host.host)) " " span class=(if host.ok { "tag good" } else { "tag bad" }) { @if host.ok { "ok" } @else { "no" } } }
            ul.explained { @for (heading, text) in &host.lines { li { span.key-word { (heading) } span { (clean(text)) } } } }
        }
    }
}

fn back(name: &str) -> String {
    html! { p { a href=(format!("/connectors/{name}")) { "To connector " (name) } } }.into_string()
}

/// What is said of a form of another session of the same bearer.
const EARLIER: &str = "This form was of an earlier session, and nothing was validated. Send it again.";
/// Steps that wait for whoever reads the page.
const STEPS_WAITING_MAX: usize = 256;
/// For the whole page: the listener cuts it off after 30 seconds.
const TIME_MAX: Duration = Duration::from_secs(26);
