//! What the admin listener serves over HTTP, and to whom. It opens no socket.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::asker::Asker;
use super::control::{Control, Refusal};
use super::tokens::{Role, Tokens};
use crate::metrics::PageFormat;

/// What the admin listener asks of the daemon.
pub trait MonitoringSource: Send + Sync {
    /// The page of all metrics.
    fn page(self: Arc<Self>, format: PageFormat) -> Pin<Box<dyn Future<Output = String> + Send>>;

    /// Whether mail can be accepted and delivered; if not, why, in a few words.
    fn health(self: Arc<Self>) -> Pin<Box<dyn Future<Output = Result<(), &'static str>> + Send>>;

    /// A request had no valid token.
    fn refused(&self);
}

/// What the handlers share.
#[derive(Clone)]
pub struct AdminSite {
    /// The tokens in effect.
    pub tokens: Arc<ArcSwap<Tokens>>,
    /// The daemon.
    pub monitored: Arc<dyn MonitoringSource>,
    /// What an operator sees and does.
    pub control: Control,
}

/// Where a request needs a token, and whose.
#[derive(Clone)]
struct TokenGuard {
    site: AdminSite,
    role: Role,
}

impl AdminSite {
    /// The routes, with those of the console. All others but `/health` need a token: a reader's if nothing changes, an
    /// operator's for the rest.
    pub fn router(self, console: Router) -> Router {
        let guard = |role| from_fn_with_state(TokenGuard { site: self.clone(), role }, authorise);
        let reading = Control::reading().with_state(self.control.clone()).route_layer(guard(Role::Reader));
        let operating =
            Control::operating().with_state(self.control.clone()).route_layer(guard(Role::Operator));
        let metrics = Router::new().route("/metrics", get(metrics)).route_layer(guard(Role::Reader));
        let open = Router::new().route("/health", get(health)).merge(metrics).with_state(self.clone());
        let api = reading.merge(operating).fallback(nothing).method_not_allowed_fallback(other_method);
        open.nest(API, api).merge(console).layer(from_fn(harden))
    }
}

/// Lets a request pass that has a token for it. Whoever has none waits, so that guessing takes long.
async fn authorise(
    State(TokenGuard { site, role }): State<TokenGuard>,
    mut request: Request,
    next: Next,
) -> Response {
    let presented = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = site.tokens.load().bearer(presented);
    if let Some(token) = bearer {
        if token.role < role {
            let words = format!("{} may only read: this needs a token of an operator", token.name);
            return Refusal(StatusCode::FORBIDDEN, words).into_response();
        }
        request.extensions_mut().insert(Asker::Bearer(Arc::clone(&token.name)));
        return next.run(request).await;
    }
    site.monitored.refused();
    tokio::time::sleep(REFUSAL_DELAY).await;
    let challenge = [(WWW_AUTHENTICATE, "Bearer realm=\"sealpost\"")];
    let words = "a token of token_file is needed: Authorization: Bearer TOKEN".to_owned();
    (challenge, Refusal(StatusCode::UNAUTHORIZED, words)).into_response()
}

async fn metrics(State(site): State<AdminSite>, request: Request) -> Response {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = PageFormat::of_accept(accept);
    let page = site.monitored.page(format).await;
    ([(CONTENT_TYPE, format.content_type()), (CACHE_CONTROL, "no-store")], page).into_response()
}

async fn health(State(site): State<AdminSite>) -> Response {
    match site.monitored.health().await {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn nothing() -> Refusal {
    Refusal(StatusCode::NOT_FOUND, "there is nothing of this name".to_owned())
}

async fn other_method() -> Refusal {
    Refusal(StatusCode::METHOD_NOT_ALLOWED, "this can't be asked by this method".to_owned())
}

/// What holds for every answer: no browser keeps it, guesses what it is, frames it or lets another site read it.
async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().entry(*name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Where the API is. What is below it is as over the control socket.
const API: &str = "/api/v1";
const HEADERS: &[(&str, &str)] = &[
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];
/// With the few connections there are, some dozens of guesses a second.
const REFUSAL_DELAY: Duration = Duration::from_secs(1);
