//! Which requests there are, over the control socket and by which token over the admin listener. One declaration makes a
//! route and its description.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router, body::to_bytes};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::control::{Control, Refusal};
use super::description::{described, guarded};
use super::tokens::Role;
use super::{actions, history, messages, relay};

impl Control {
    /// The requests over the control socket, which decides who may use them.
    pub fn router(self) -> Router {
        // For who is on this host: a token of another one must not say which sessions are tests.
        let own = OpenApiRouter::new().routes(routes!(relay::announce_probe));
        let (router, _) = Self::reading().merge(Self::operating()).merge(own).split_for_parts();
        router.layer(from_fn(in_json)).with_state(self)
    }

    /// What shows something, but for the content of messages.
    pub(super) fn reading() -> OpenApiRouter<Self> {
        OpenApiRouter::default()
            .routes(routes!(description))
            .routes(routes!(relay::status))
            .routes(routes!(messages::list))
            .routes(routes!(messages::list_by))
            .routes(routes!(messages::top))
            .routes(routes!(messages::show))
            .routes(routes!(relay::overrides))
            .routes(routes!(relay::alerts))
            .routes(routes!(relay::connectors))
            .routes(routes!(history::trace))
            .routes(routes!(history::trace_one))
            .routes(routes!(history::tls_report))
    }

    /// What changes something, and what shows the content of messages.
    pub(super) fn operating() -> OpenApiRouter<Self> {
        OpenApiRouter::default()
            .routes(routes!(messages::retry))
            .routes(routes!(actions::act))
            .routes(routes!(messages::remove))
            .routes(routes!(messages::hold))
            .routes(routes!(messages::release))
            .routes(routes!(messages::bounce))
            .routes(routes!(messages::content))
            .routes(routes!(relay::pause))
            .routes(routes!(relay::resume))
            .routes(routes!(relay::release_connector))
            .routes(routes!(relay::keep_validation))
            .routes(routes!(relay::begin_override, relay::end_override))
            .routes(routes!(relay::test_alerts))
            .routes(routes!(relay::reload))
            .routes(routes!(relay::look_now))
            .routes(routes!(relay::mail_reports))
    }
}

/// The description of the API of the admin listener, from the declarations of its routes.
#[must_use]
pub fn api_description() -> OpenApi {
    let reading = guarded(Control::reading().into_openapi(), Role::Reader);
    let operating = guarded(Control::operating().into_openapi(), Role::Operator);
    described(reading, operating)
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "relay", responses((status = 200, body = serde_json::Value)))]
async fn description(State(_): State<Control>) -> Json<OpenApi> {
    Json(api_description())
}

/// A refusal that came as plain text, from whatever reads requests, as one of ours.
pub(super) async fn in_json(request: Request, next: Next) -> Response {
    let answer = next.run(request).await;
    let status = answer.status();
    let is_json = answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == JSON);
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    let said = to_bytes(body, REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    let words = match status {
        StatusCode::NOT_FOUND => format!("{UNREADABLE}: there is nothing of this name"),
        StatusCode::METHOD_NOT_ALLOWED => format!("{UNREADABLE}: this can't be asked by this method"),
        _ => format!("{UNREADABLE}: {said}"),
    };
    // What can't be read is one thing to programs, however the library tells it apart; 422 is the answer to files with errors.
    let status = if status == StatusCode::UNPROCESSABLE_ENTITY { StatusCode::BAD_REQUEST } else { status };
    let (ours, body) = Refusal(status, words).into_response().into_parts();
    head.status = status;
    head.headers.extend(ours.headers);
    head.headers.remove(axum::http::header::CONTENT_LENGTH);
    Response::from_parts(head, body)
}

const JSON: &str = "application/json";
/// How the answer to a request begins that is none of ours, or has not its form.
pub const UNREADABLE: &str = "the request can't be read";
/// Octets of a refusal that are shown.
const REFUSAL_BYTES_MAX: usize = 4 << 10;
