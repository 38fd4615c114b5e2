//! What the admin listener serves over HTTP, and to whom. It opens no socket.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::api::in_json;
use super::asker::Asker;
use super::control::{Control, Refusal};
use super::description::API;
use super::pace::{AdminPace, REFUSAL_DELAY, retry_after};
use super::tokens::{BearerToken, Role, Tokens};
use crate::metrics::PageFormat;

/// What the admin listener asks of the daemon.
pub trait MonitoringSource: Send + Sync {
    /// The page of all metrics.
    fn page(self: Arc<Self>, format: PageFormat) -> Pin<Box<dyn Future<Output = String> + Send>>;

    /// Whether mail can be accepted and delivered; if not, why, in a few words.
    fn health(self: Arc<Self>) -> Pin<Box<dyn Future<Output = Result<(), &'static str>> + Send>>;

    /// A request had no valid token.
    fn refused(&self);

    /// A request was refused, because its bearer asks too much.
    fn limited(&self);

    /// A connection was closed, because others need its place.
    fn crowded(&self);
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
    /// How much may be asked.
    pub pace: Arc<AdminPace>,
}

impl AdminSite {
    /// The routes, with those of the console. All others but `/health` need a token: a reader's if nothing changes, an
    /// operator's for the rest.
    pub fn router(self, console: Router) -> Router {
        let guard = || from_fn_with_state(self.clone(), authorise);
        let operating = Control::operating().route_layer(from_fn(operators));
        let (api, _) = Control::reading().merge(operating).split_for_parts();
        // As one service: what there is, and by which methods, is told to nobody without a token.
        let api = Router::new().fallback_service(api.with_state(self.control.clone()));
        let api = api.layer(from_fn(in_json)).layer(guard());
        let metrics = Router::new().route("/metrics", get(metrics)).route_layer(guard());
        let open = Router::new().route("/health", get(health)).merge(metrics).with_state(self.clone());
        open.nest_service(API, api).merge(console).layer(from_fn(harden))
    }
}

/// Lets a request pass that has a token. Whoever has none waits, so that guessing takes long.
async fn authorise(State(site): State<AdminSite>, mut request: Request, next: Next) -> Response {
    let presented = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = site.tokens.load().bearer(presented);
    if let Some(token) = bearer {
        let place = match site.pace.enter(&token.name, Instant::now()) {
            Ok(place) => place,
            Err(pause) => {
                site.monitored.limited();
                return slow_down(pause, &format!("{} asks too much", token.name));
            }
        };
        request.extensions_mut().insert(Asker::Bearer(Arc::clone(&token.name)));
        request.extensions_mut().insert(token);
        let answer = next.run(request).await;
        drop(place);
        return answer;
    }
    site.monitored.refused();
    let Some(_place) = site.pace.stranger() else {
        return slow_down(REFUSAL_DELAY, "too many requests have a wrong token");
    };
    tokio::time::sleep(REFUSAL_DELAY).await;
    let challenge = [(WWW_AUTHENTICATE, "Bearer realm=\"sealpost\"")];
    let words = "a token of token_file is needed: Authorization: Bearer TOKEN".to_owned();
    (challenge, Refusal(StatusCode::UNAUTHORIZED, words)).into_response()
}

/// Refuses a request that comes too early.
fn slow_down(pause: Duration, why: &str) -> Response {
    let seconds = retry_after(pause);
    let words = format!("{why}; ask again in {seconds} s");
    ([(RETRY_AFTER, seconds)], Refusal(StatusCode::TOO_MANY_REQUESTS, words)).into_response()
}

/// Lets a request pass whose token is an operator's.
async fn operators(request: Request, next: Next) -> Response {
    let token = request.extensions().get::<Arc<BearerToken>>();
    if token.is_some_and(|token| token.role == Role::Operator) {
        return next.run(request).await;
    }
    let name = token.map_or("whoever has no token", |token| &*token.name);
    let words = format!("{name} may only read: this needs a token of an operator");
    Refusal(StatusCode::FORBIDDEN, words).into_response()
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

/// What holds for every answer: no browser keeps it, guesses what it is, frames it or lets another site read it.
async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().entry(*name).or_insert(HeaderValue::from_static(value));
    }
    response
}

const HEADERS: &[(&str, &str)] = &[
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];
