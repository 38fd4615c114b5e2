//! What the admin listener serves over HTTP, and to whom. It opens no socket.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::tokens::Tokens;
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
}

impl AdminSite {
    /// The routes. All but `/health` need a token.
    pub fn router(self) -> Router {
        let guarded = Router::new().route("/metrics", get(metrics));
        let guarded = guarded.route_layer(from_fn_with_state(self.clone(), authorise));
        Router::new().route("/health", get(health)).merge(guarded).with_state(self)
    }
}

/// Lets a request pass that has a token. Whoever has none waits, so that guessing takes long.
async fn authorise(State(site): State<AdminSite>, request: Request, next: Next) -> Response {
    let presented = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if site.tokens.load().accept(presented) {
        return next.run(request).await;
    }
    site.monitored.refused();
    tokio::time::sleep(REFUSAL_DELAY).await;
    let challenge = [(WWW_AUTHENTICATE, "Bearer realm=\"sealpost\"")];
    (StatusCode::UNAUTHORIZED, challenge, "a token of token_file is needed: Authorization: Bearer TOKEN\n")
        .into_response()
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

/// With the few connections there are, some dozens of guesses a second.
const REFUSAL_DELAY: Duration = Duration::from_secs(1);
