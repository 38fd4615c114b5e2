//! The door of the console: who is let in, and what a form must have.

use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::extract::{Query, Request, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;

use super::page::{bare, escaped, refused};
use super::sessions::Visitor;
use super::site::Console;
use crate::admin::{Asker, Refusal, Role};

/// Where to go after the login.
#[derive(Debug, Default, Deserialize)]
pub(super) struct LoginQuery {
    next: Option<String>,
}

/// The form of the door.
#[derive(Deserialize)]
pub(super) struct LoginForm {
    token: String,
    next: Option<String>,
}

/// What every other form has.
#[derive(Deserialize)]
pub(super) struct SealForm {
    seal: String,
}

/// Lets a request pass that has a session.
pub(super) async fn admit(State(console): State<Console>, mut request: Request, next: Next) -> Response {
    let tokens = console.tokens.load();
    let visitor = cookie(request.headers())
        .and_then(|cookie| console.sessions.visit(cookie, |token| tokens.has(token)));
    if let Some(visitor) = visitor {
        request.extensions_mut().insert(visitor);
        return next.run(request).await;
    }
    let asked = request.uri().path_and_query().map_or("/", |asked| asked.as_str());
    // What was sent by a form is not sent again after the login.
    let back = if request.method() == Method::GET { asked } else { "/" };
    Redirect::to(&format!("/login?next={}", escaped(back))).into_response()
}

/// The page that asks for a token.
pub(super) async fn show(Query(query): Query<LoginQuery>) -> Response {
    page(query.next.as_deref(), None)
}

fn page(next: Option<&str>, why: Option<&str>) -> Response {
    bare(
        "Log in",
        &html! {
            main.door {
                h1 { "Sealpost" }
                @if let Some(why) = why {
                    p.bad role="alert" { (why) }
                }
                form method="post" action="/login" {
                    label for="token" { "Token" }
                    input #token name="token" type="password" autocomplete="current-password" required autofocus;
                    @if let Some(next) = next.filter(|next| is_ours(next)) {
                        input type="hidden" name="next" value=(next);
                    }
                    button { "Log in" }
                }
                p.hint {
                    "One of the lines of " code { "token_file" } " in " code { "[admin]" } ": "
                    code { "reader NAME TOKEN" } " sees everything, " code { "operator NAME TOKEN" } " acts as well."
                }
            }
        },
    )
}

/// Begins a session. Whoever has no token waits, so that guessing takes long.
pub(super) async fn log_in(
    State(console): State<Console>,
    headers: HeaderMap,
    Form(form): Form<LoginForm>,
) -> Response {
    let next = form.next.as_deref().filter(|next| is_ours(next));
    if is_of_another_site(&headers) {
        return (StatusCode::FORBIDDEN, page(next, Some("The form was sent by another site.")))
            .into_response();
    }
    let token = console.tokens.load().holder(form.token.trim());
    let Some(token) = token else {
        console.outlook.refused();
        tokio::time::sleep(REFUSAL_DELAY).await;
        let why = "This is not one of the tokens of token_file.";
        return (StatusCode::UNAUTHORIZED, page(next, Some(why))).into_response();
    };
    let Some(cookie) = console.sessions.begin(token) else {
        let why = "This machine has no randomness for a session.";
        return (StatusCode::SERVICE_UNAVAILABLE, page(next, Some(why))).into_response();
    };
    let set = format!("{COOKIE_NAME}={cookie}; Path=/; HttpOnly; SameSite=Strict");
    ([(SET_COOKIE, set)], Redirect::to(next.unwrap_or("/"))).into_response()
}

/// Ends the session.
pub(super) async fn log_out(
    State(console): State<Console>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<SealForm>,
) -> Response {
    if let Err(fault) = visitor.sealed(&form) {
        return refused(&visitor, &fault);
    }
    if let Some(cookie) = cookie(&headers) {
        console.sessions.end(cookie);
    }
    let gone = format!("{COOKIE_NAME}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    ([(SET_COOKIE, gone)], Redirect::to("/login")).into_response()
}

impl Visitor {
    /// Checks that a form is of this session.
    pub(super) fn sealed(&self, form: &SealForm) -> Result<(), Refusal> {
        if form.seal == self.seal {
            return Ok(());
        }
        let why = "This form is of an earlier session, or of another site. Go back, load the page, and send it from there.";
        Err(Refusal(StatusCode::FORBIDDEN, why.to_owned()))
    }

    /// Who asks, if he may change something and the form is his.
    pub(super) fn operator(&self, form: &SealForm) -> Result<Asker, Refusal> {
        self.sealed(form)?;
        if self.token.role < Role::Operator {
            let why = format!("{} may only read: this needs a token of an operator.", self.token.name);
            return Err(Refusal(StatusCode::FORBIDDEN, why));
        }
        Ok(Asker::Bearer(Arc::clone(&self.token.name)))
    }

    /// Whether he is shown what an operator may do.
    pub(super) fn is_operator(&self) -> bool {
        self.token.role >= Role::Operator
    }
}

impl<S: Sync> axum::extract::FromRequestParts<S> for Visitor {
    type Rejection = Redirect;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &S) -> Result<Self, Redirect> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Redirect::to("/login"))
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value)
}

/// Whether a browser says that the page was of another site. Others than browsers say nothing.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    site.is_some_and(|site| site != "same-origin" && site != "none")
}

/// A place below ours, not another host.
fn is_ours(next: &str) -> bool {
    next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n'])
}

const COOKIE_NAME: &str = "sealpost-console";
/// As for a wrong token of the API.
const REFUSAL_DELAY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_of_ours_are_gone_to() {
        for (next, ours) in [
            ("/queue?x=1", true),
            ("//evil.test/", false),
            ("https://evil.test", false),
            ("/\\evil.test", false),
            ("", false),
        ] {
            assert_eq!(is_ours(next), ours, "{next}");
        }
        assert_eq!(escaped("/trace?q=a b&c"), "/trace%3Fq%3Da%20b%26c");
    }
}
