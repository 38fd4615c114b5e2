//! The routes of the console.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::fields::TYPED_BYTES_MAX;
use super::site::Console;
use super::{
    bulk, certificates, connector, deeds, door, explain, message, overview, partners, queue, reports,
    settings, tracking, validate,
};

impl Console {
    /// The routes. All but the door and what dresses it need a session.
    pub fn router(self) -> Router {
        let guarded = Router::new()
            .route("/", get(overview::overview))
            .route("/partners", get(partners::partners))
            .route("/connectors/{name}", get(connector::show))
            .route("/connectors/{name}/validate", post(validate::validate))
            .route("/connectors/{name}/{deed}", post(deeds::act))
            .route("/queue", get(queue::queue))
            .route("/queue/confirm", post(bulk::confirm))
            .route("/queue/act", post(bulk::act))
            .route("/queue/{id}", get(message::queued))
            .route("/queue/{id}/{deed}", post(message::act))
            .route("/trace", get(tracking::search))
            .route("/trace/{id}", get(message::traced))
            .route("/certificates", get(certificates::certificates))
            .route("/reports", get(reports::report))
            .route(
                "/explain",
                get(explain::show).post(explain::ask).layer(DefaultBodyLimit::max(TYPED_BYTES_MAX)),
            )
            .route("/settings", get(settings::settings))
            .route("/logout", post(door::log_out))
            .route_layer(from_fn_with_state(self.clone(), door::admit));
        Router::new()
            .route("/login", get(door::show).post(door::log_in).layer(DefaultBodyLimit::max(TYPED_BYTES_MAX)))
            .route("/assets/console.css", get(|| asset("text/css; charset=utf-8", CONSOLE_STYLE)))
            .route("/assets/console.js", get(|| asset("text/javascript; charset=utf-8", SCRIPT)))
            .merge(guarded)
            .fallback(door::nowhere)
            .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
            .with_state(self)
    }
}

async fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")], text).into_response()
}

/// The style sheet of the pages.
pub const CONSOLE_STYLE: &str = include_str!("assets/console.css");
const SCRIPT: &str = include_str!("assets/console.js");
/// Octets of a form, unless a page says otherwise.
const FORM_BYTES_MAX: usize = 64 << 10;
