//! The requests about the relay as a whole: its state, its connectors, its alerts, its files.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::asker::Asker;
use super::control::{Control, Refusal};
use super::messages::LIST_MAX;
use super::operator::WaitingByConnector;
use super::view::{
    Connectors, LaneStatus, LookReport, LookRequest, MailedReports, OverrideReport, OverrideRequest,
    PausedConnectors, ProbeRequest, ReleaseRequest, ReloadAnswer, Status, Validation,
};
use crate::alert::{AlertTestReport, AlertsView};
use crate::connector::{Generation, Override};
use crate::mail::Clock;
use crate::spool::LaneKey;

/// The version, the listeners, the totals of the queue, the lanes and the alarms.
#[utoipa::path(get, path = "/status", tag = "relay", responses((status = 200, body = Status), (status = 503)))]
pub(super) async fn status(State(control): State<Control>) -> Result<Json<Status>, Refusal> {
    let queue = control.spool.stats().await?;
    let lanes = control.scheduler.snapshot().await.lanes;
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION").into(),
        listening: control.listening.to_vec(),
        queue: queue.into(),
        lanes: lanes.into_iter().map(LaneStatus::from).collect(),
        alarms: control.alarms.list(),
    }))
}

/// Reloads the configuration and the files that it names. Either all changes take effect, or none do.
#[utoipa::path(post, path = "/reload", tag = "relay", responses((status = 200, body = ReloadAnswer), (status = 422)))]
pub(super) async fn reload(
    State(control): State<Control>,
    asker: Asker,
) -> Result<Json<ReloadAnswer>, Refusal> {
    tracing::info!(by = asker.words(), "an operator reloads the files");
    control.operator.reload().await.map(Json).map_err(|not| {
        let (Generation(number), faults) = (not.generation, not.faults.join("\n"));
        let text = format!("nothing has changed, generation {number} stays in effect\n{faults}");
        Refusal(StatusCode::UNPROCESSABLE_ENTITY, text)
    })
}

/// The alerts that last, and those that ended lately.
#[utoipa::path(get, path = "/alerts", tag = "alerts", responses((status = 200, body = AlertsView)))]
pub(super) async fn alerts(State(control): State<Control>) -> Json<AlertsView> {
    Json(control.alert_office.alerts())
}

/// Sends a test to every address and to the webhook, and says what happened to it.
#[utoipa::path(post, path = "/alerts/test", tag = "alerts", responses((status = 200, body = AlertTestReport)))]
pub(super) async fn test_alerts(State(control): State<Control>) -> Json<AlertTestReport> {
    Json(Arc::clone(&control.alert_office).test().await)
}

/// The connectors and the partners in effect.
#[utoipa::path(get, path = "/connectors", tag = "connectors", responses((status = 200, body = Connectors)))]
pub(super) async fn connectors(State(control): State<Control>) -> Json<Connectors> {
    // Without the spool the rest is shown all the same.
    let lanes = control.spool.top(LIST_MAX).await.unwrap_or_default();
    let mut waiting = WaitingByConnector::new();
    for count in lanes {
        let LaneKey(lane) = &count.lane;
        let connector = lane.split_once('/').map_or(&**lane, |(connector, _)| connector);
        let recipients = waiting.entry(connector.to_owned()).or_default();
        *recipients = recipients.saturating_add(count.recipients);
    }
    Json(Arc::clone(&control.operator).connectors(waiting).await)
}

/// Pauses an outbound connector. Its mail stays queued.
#[utoipa::path(post, path = "/connectors/{name}/pause", tag = "connectors", params(("name" = String, Path, description = "The name of the connector.")), responses((status = 200, body = PausedConnectors), (status = 404)))]
pub(super) async fn pause(
    State(control): State<Control>,
    asker: Asker,
    Path(name): Path<String>,
) -> Result<Json<PausedConnectors>, Refusal> {
    set_pause(&control, &name, true, &asker).await
}

/// Resumes a paused connector.
#[utoipa::path(post, path = "/connectors/{name}/resume", tag = "connectors", params(("name" = String, Path, description = "The name of the connector.")), responses((status = 200, body = PausedConnectors), (status = 404)))]
pub(super) async fn resume(
    State(control): State<Control>,
    asker: Asker,
    Path(name): Path<String>,
) -> Result<Json<PausedConnectors>, Refusal> {
    set_pause(&control, &name, false, &asker).await
}

pub(super) async fn set_pause(
    control: &Control,
    name: &str,
    paused: bool,
    asker: &Asker,
) -> Result<Json<PausedConnectors>, Refusal> {
    let connectors = Arc::clone(&control.operator).pause(name.to_owned(), paused, asker.words()).await;
    connectors
        .map(|connectors| Json(PausedConnectors { connectors }))
        .map_err(|why| Refusal(StatusCode::NOT_FOUND, why))
}

/// Releases an inbound connector from its brake.
#[utoipa::path(post, path = "/connectors/{name}/release", tag = "connectors", params(("name" = String, Path, description = "The name of the connector.")),
    request_body = ReleaseRequest, responses((status = 200, body = ReleaseRequest), (status = 409)))]
pub(super) async fn release_connector(
    State(control): State<Control>,
    asker: Asker,
    Path(name): Path<String>,
    Json(request): Json<ReleaseRequest>,
) -> Result<Json<ReleaseRequest>, Refusal> {
    let released = Arc::clone(&control.operator).release(name, request.accept, asker.words()).await;
    released.map(|()| Json(request)).map_err(|why| Refusal(StatusCode::CONFLICT, why))
}

/// Lowers a connector's requirement for a time, no further than its `override_floor` allows.
#[utoipa::path(post, path = "/connectors/{name}/override", tag = "connectors", params(("name" = String, Path, description = "The name of the connector.")),
    request_body = OverrideRequest, responses((status = 200, body = OverrideReport), (status = 409)))]
pub(super) async fn begin_override(
    State(control): State<Control>,
    asker: Asker,
    Path(name): Path<String>,
    Json(request): Json<OverrideRequest>,
) -> Result<Json<OverrideReport>, Refusal> {
    let begun = Arc::clone(&control.operator).begin_override(name, request, asker.words()).await;
    begun.map(Json).map_err(|why| Refusal(StatusCode::CONFLICT, why))
}

/// Ends an override before its time. The answer has those that remain.
#[utoipa::path(delete, path = "/connectors/{name}/override", tag = "connectors", params(("name" = String, Path, description = "The name of the connector.")), responses((status = 200, body = Vec<Override>), (status = 409)))]
pub(super) async fn end_override(
    State(control): State<Control>,
    asker: Asker,
    Path(name): Path<String>,
) -> Result<Json<Vec<Override>>, Refusal> {
    let ended = Arc::clone(&control.operator).end_override(name, asker.words()).await;
    ended.map(|()| Json(control.operator.overrides())).map_err(|why| Refusal(StatusCode::CONFLICT, why))
}

/// The overrides in effect.
#[utoipa::path(get, path = "/overrides", tag = "connectors", responses((status = 200, body = Vec<Override>)))]
pub(super) async fn overrides(State(control): State<Control>) -> Json<Vec<Override>> {
    Json(control.operator.overrides())
}

/// Keeps what `sealpost validate` found of a connector.
#[utoipa::path(post, path = "/connectors/{name}/validated", tag = "connectors", params(("name" = String, Path, description = "The name of the connector.")),
    request_body = Validation, responses((status = 200, body = Validation), (status = 409)))]
pub(super) async fn keep_validation(
    State(control): State<Control>,
    Path(name): Path<String>,
    Json(found): Json<Validation>,
) -> Result<Json<Validation>, Refusal> {
    let kept = Arc::clone(&control.operator).keep_validation(name, found.clone()).await;
    kept.map(|()| Json(found)).map_err(|why| Refusal(StatusCode::CONFLICT, why))
}

/// Announces a session that `sealpost assure` is about to make: whoever may use this socket holds the port.
#[utoipa::path(post, path = "/assure/probes", tag = "relay", request_body = ProbeRequest, responses((status = 200, body = ProbeRequest), (status = 409)))]
pub(super) async fn announce_probe(
    State(control): State<Control>,
    Json(probe): Json<ProbeRequest>,
) -> Result<Json<ProbeRequest>, Refusal> {
    if control.journal.probes().announce(probe.address, Clock::wall()) {
        return Ok(Json(probe));
    }
    Err(Refusal(StatusCode::CONFLICT, "too many sessions are announced".to_owned()))
}

/// Looks at partners' hosts now, and answers once that is done.
#[utoipa::path(post, path = "/watch/now", tag = "watch", request_body = LookRequest, responses((status = 200, body = LookReport), (status = 409)))]
pub(super) async fn look_now(
    State(control): State<Control>,
    Json(request): Json<LookRequest>,
) -> Result<Json<LookReport>, Refusal> {
    let looked = Arc::clone(&control.watchman).look_now(request.connector).await;
    looked.map(|targets| Json(LookReport { targets })).map_err(|why| Refusal(StatusCode::CONFLICT, why))
}

/// Mails the report of the last whole period to everybody who gets one, whatever is due.
#[utoipa::path(post, path = "/reports/mail", tag = "reports", responses((status = 200, body = MailedReports), (status = 409)))]
pub(super) async fn mail_reports(
    State(control): State<Control>,
    asker: Asker,
) -> Result<Json<MailedReports>, Refusal> {
    tracing::info!(by = asker.words(), "an operator has reports mailed");
    let mailed = Arc::clone(&control.report_office).mail_now().await;
    mailed.map(|reports| Json(MailedReports { reports })).map_err(|why| Refusal(StatusCode::CONFLICT, why))
}
