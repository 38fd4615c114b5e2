//! The HTTP routes of the control API. Each handler reads or changes the queue only through the
//! spool and the scheduler.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};

use super::actions::{BUSY, PausedShare, act, filter_of};
use super::alarms::{Alarm, AlarmKind};
use super::asker::Asker;
use super::control::{Control, HELD_BY_OPERATOR, Refusal, parse};
use super::operator::WaitingByConnector;
use super::view::{
    ActionResult, Connectors, ContentQuery, LaneStatus, ListQuery, LookReport, LookRequest, MessageView,
    OverrideReport, OverrideRequest, PausedConnectors, ProbeRequest, QueueList, QueueTop, ReleaseRequest,
    ReloadAnswer, RemovalResult, RetryRequest, Status, TopLane, TopQuery, Validation,
};
use crate::alert::{AlertTestReport, AlertsView};
use crate::connector::{Generation, Override};
use crate::mail::{BodyType, Clock, Content, QueueId};
use crate::scheduler::{BounceResult, LaneView};
use crate::spool::{HoldResult, LaneCount, LaneKey, QueuedMessage, Removal};
use crate::tracking::QueueHandling;

impl Control {
    /// All routes; the socket decides who may use them.
    pub fn router(self) -> Router {
        let all = Self::reading().merge(Self::operating());
        // For who is on this host: a token of another one must not say which sessions are tests.
        all.route("/assure/probes", post(announce_probe)).with_state(self)
    }

    /// What shows something, but for the content of messages.
    pub(super) fn reading() -> Router<Self> {
        Router::new()
            .route("/status", get(status))
            .route("/queue", get(list))
            .route("/queue/list", post(list_by))
            .route("/queue/top", get(top))
            .route("/queue/{id}", get(show))
            .route("/overrides", get(overrides))
            .route("/alerts", get(alerts))
            .route("/connectors", get(connectors))
    }

    /// What changes something, and what shows the content of messages.
    pub(super) fn operating() -> Router<Self> {
        Router::new()
            .route("/queue/retry", post(retry))
            .route("/queue/act", post(act))
            .route("/queue/{id}", delete(remove))
            .route("/queue/{id}/hold", post(hold))
            .route("/queue/{id}/release", post(release))
            .route("/queue/{id}/bounce", post(bounce))
            .route("/queue/{id}/content", get(content))
            .route("/connectors/{name}/pause", post(pause))
            .route("/connectors/{name}/resume", post(resume))
            .route("/connectors/{name}/release", post(release_connector))
            .route("/connectors/{name}/validated", post(keep_validation))
            .route("/connectors/{name}/override", post(begin_override).delete(end_override))
            .route("/alerts/test", post(test_alerts))
            .route("/reload", post(reload))
            .route("/watch/now", post(look_now))
    }

    /// Combines messages with their blocked lanes. The scheduler is asked once, and only for the
    /// lanes named: it hands out no mail while it answers.
    fn views(&self, messages: Vec<QueuedMessage>) -> Vec<MessageView> {
        let lanes: BTreeSet<_> =
            messages.iter().flat_map(|message| message.recipients.iter().map(|r| r.lane.clone())).collect();
        let lanes: Vec<_> = lanes.into_iter().collect();
        let blocked: BTreeMap<_, _> =
            self.scheduler.blocked(&lanes).into_iter().map(|lane| (lane.lane.clone(), lane)).collect();
        let alarms = self.alarms.list();
        let overridden = |lane: &str| {
            let name = lane.split_once('/').map_or(lane, |(name, _)| name);
            let of_it = |alarm: &&Alarm| {
                alarm.kind == AlarmKind::Override && alarm.connectors.iter().any(|one| one == name)
            };
            alarms.iter().find(of_it).map(|alarm| alarm.what.clone())
        };
        let mut views: Vec<MessageView> =
            messages.into_iter().map(|message| view(message, &blocked)).collect();
        for recipient in views.iter_mut().flat_map(|view| &mut view.recipients) {
            recipient.overridden = overridden(&recipient.lane);
        }
        views
    }
}

fn view(message: QueuedMessage, blocked: &BTreeMap<LaneKey, LaneView>) -> MessageView {
    let lanes: BTreeSet<_> = message.recipients.iter().map(|r| &r.lane).collect();
    let blocked = lanes.into_iter().filter_map(|lane| blocked.get(lane).cloned());
    let blocked = blocked.map(LaneStatus::from).collect();
    MessageView::new(message, blocked)
}

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

async fn reload(State(control): State<Control>, asker: Asker) -> Result<Json<ReloadAnswer>, Refusal> {
    tracing::info!(by = asker.words(), "an operator reloads the files");
    control.operator.reload().await.map(Json).map_err(|not| {
        let (Generation(number), faults) = (not.generation, not.faults.join("\n"));
        let text = format!("nothing has changed, generation {number} stays in effect\n{faults}");
        Refusal(StatusCode::UNPROCESSABLE_ENTITY, text)
    })
}

pub(super) async fn alerts(State(control): State<Control>) -> Json<AlertsView> {
    Json(control.alert_office.alerts())
}

async fn test_alerts(State(control): State<Control>) -> Json<AlertTestReport> {
    Json(Arc::clone(&control.alert_office).test().await)
}

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

async fn list(
    State(control): State<Control>,
    Query(query): Query<ListQuery>,
) -> Result<Json<QueueList>, Refusal> {
    listed(&control, query).await.map(Json)
}

/// As `list`, with the query as JSON: addresses need no escaping there.
async fn list_by(
    State(control): State<Control>,
    Json(query): Json<ListQuery>,
) -> Result<Json<QueueList>, Refusal> {
    listed(&control, query).await.map(Json)
}

pub(super) async fn listed(control: &Control, query: ListQuery) -> Result<QueueList, Refusal> {
    let mut after = query.after.as_deref().map(parse).transpose()?;
    let limit = query.limit.unwrap_or(LIST_DEFAULT).min(LIST_MAX);
    let total = control.spool.stats().await?;
    let filter = filter_of(&query);
    let mut messages = Vec::new();
    // Each query covers a part of the queue, and deliveries are served in between.
    loop {
        let left = limit.saturating_sub(messages.len());
        let part = control.spool.list(filter.clone(), after, left).await?;
        messages.extend(part.messages);
        after = part.next;
        if after.is_none() || messages.len() >= limit {
            break;
        }
    }
    Ok(QueueList { total: total.into(), messages: control.views(messages), next: after })
}

async fn top(
    State(control): State<Control>,
    Query(query): Query<TopQuery>,
) -> Result<Json<QueueTop>, Refusal> {
    let total = control.spool.stats().await?;
    let counts = control.spool.top(query.limit.unwrap_or(TOP_DEFAULT).min(LIST_MAX)).await?;
    let keys: Vec<LaneKey> = counts.iter().map(|count| count.lane.clone()).collect();
    let mut blocked: BTreeMap<_, _> =
        control.scheduler.blocked(&keys).into_iter().map(|lane| (lane.lane.clone(), lane)).collect();
    let lane = |count: LaneCount| TopLane::new(&count, blocked.remove(&count.lane));
    let database = control.spool.extent().await?.into();
    Ok(Json(QueueTop { total: total.into(), database, lanes: counts.into_iter().map(lane).collect() }))
}

pub(super) async fn show(
    State(control): State<Control>,
    Path(id): Path<String>,
) -> Result<Json<MessageView>, Refusal> {
    let id = parse(&id)?;
    let message = control.spool.show(id).await?.ok_or_else(|| unknown(id))?;
    let view = control.views(vec![message]).pop().ok_or_else(|| unknown(id))?;
    Ok(Json(view))
}

pub(super) async fn retry(
    State(control): State<Control>,
    asker: Asker,
    Json(request): Json<RetryRequest>,
) -> Result<Json<ActionResult>, Refusal> {
    let id = request.id.as_deref().map(parse).transpose()?;
    let recipients = control.scheduler.retry(id).await?;
    match (id, recipients) {
        (Some(id), 0) => Err(not_retried(&control, id).await?),
        _ => {
            control.tell(id.as_slice(), QueueHandling::Retried, &asker);
            made_due(&control, id, recipients).await
        }
    }
}

/// What was made due, and what of it is not tried: one message, or all.
async fn made_due(
    control: &Control,
    id: Option<QueueId>,
    recipients: usize,
) -> Result<Json<ActionResult>, Refusal> {
    let paused = control.scheduler.paused();
    let share = match id {
        _ if paused.is_empty() => PausedShare::default(),
        Some(id) => {
            let message = control.spool.show(id).await?;
            PausedShare::of_messages(&paused, message.as_slice())
        }
        None => {
            let lanes = control.spool.top(LIST_MAX).await?;
            let counted = lanes.iter().map(|count| (&count.lane, count.recipients));
            let sized = counted.map(|(lane, all)| (lane, usize::try_from(all).unwrap_or(usize::MAX)));
            PausedShare::of(&paused, sized)
        }
    };
    Ok(Json(ActionResult {
        id,
        recipients: Some(recipients),
        paused_recipients: share.recipients,
        paused: share.connectors.into_iter().collect(),
        ..ActionResult::default()
    }))
}

pub(super) async fn remove(
    State(control): State<Control>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<Json<ActionResult>, Refusal> {
    let id = parse(&id)?;
    let mut removal = control.spool.remove(id).await?;
    if removal == Removal::Leased {
        control.scheduler.let_go(&[id]).await;
        removal = control.spool.remove(id).await?;
    }
    match removal {
        Removal::Removed => {
            control.tell(&[id], QueueHandling::Removed, &asker);
            Ok(Json(ActionResult {
                id: Some(id),
                removal: Some(RemovalResult::Removed),
                ..ActionResult::default()
            }))
        }
        Removal::Unknown => Err(unknown(id)),
        Removal::Leased => Err(busy(id)),
    }
}

pub(super) async fn hold(
    State(control): State<Control>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<Json<ActionResult>, Refusal> {
    let id = parse(&id)?;
    let mut holding = control.spool.hold(id, HELD_BY_OPERATOR.to_owned()).await?;
    if holding == HoldResult::Leased {
        control.scheduler.let_go(&[id]).await;
        holding = control.spool.hold(id, HELD_BY_OPERATOR.to_owned()).await?;
    }
    match holding {
        HoldResult::Held => {
            control.tell(&[id], QueueHandling::Held, &asker);
            Ok(Json(ActionResult { id: Some(id), ..ActionResult::default() }))
        }
        HoldResult::Unknown => Err(unknown(id)),
        HoldResult::Leased => Err(busy(id)),
    }
}

pub(super) async fn release(
    State(control): State<Control>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<Json<ActionResult>, Refusal> {
    let id = parse(&id)?;
    if !control.spool.release(id, Clock::wall()).await? {
        return Err(Refusal(StatusCode::NOT_FOUND, format!("no held message {id} is queued")));
    }
    control.tell(&[id], QueueHandling::Released, &asker);
    // Tells the scheduler that the message is due.
    let recipients = control.scheduler.retry(Some(id)).await?;
    made_due(&control, Some(id), recipients).await
}

pub(super) async fn bounce(
    State(control): State<Control>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<Json<ActionResult>, Refusal> {
    let id = parse(&id)?;
    match control.scheduler.bounce(id).await? {
        BounceResult::Done(count) => {
            control.tell(&[id], QueueHandling::Bounced, &asker);
            Ok(Json(ActionResult { id: Some(id), recipients: Some(count), ..ActionResult::default() }))
        }
        BounceResult::Unknown => Err(unknown(id)),
        BounceResult::Busy => Err(busy(id)),
    }
}

/// A part of a message's content, without dot-stuffing. A header gives the offset of the next part.
async fn content(
    State(control): State<Control>,
    Path(id): Path<String>,
    Query(query): Query<ContentQuery>,
) -> Result<Response, Refusal> {
    let id = parse(&id)?;
    let message = control.spool.show(id).await?.ok_or_else(|| unknown(id))?;
    let content = control.spool.read(id).await?;
    let stuffed = message.body != BodyType::BinaryMime;
    let read = move || part(&content, query.offset, stuffed);
    let broken = |why: String| Refusal(StatusCode::SERVICE_UNAVAILABLE, format!("{id}: {why}"));
    let done = tokio::task::spawn_blocking(read).await.map_err(|e| broken(e.to_string()))?;
    let (octets, next) = done.map_err(|e| broken(e.to_string()))?;
    Ok(([(NEXT_OFFSET, next.to_string())], octets).into_response())
}

/// Octets from an offset on, and the offset after them; no octets at the end.
fn part(content: &Content, offset: u64, stuffed: bool) -> std::io::Result<(Vec<u8>, u64)> {
    // The octet before shows whether the part starts at the beginning of a line.
    let from = offset.saturating_sub(1);
    let mut block = vec![0; CONTENT_BYTES];
    let count = content.read_at(&mut block, from)?;
    let read = block.get(..count).unwrap_or_default();
    let (mut at_start, fresh) = match read.split_first() {
        Some((before, fresh)) if offset > 0 => (*before == b'\n', fresh),
        Some(_) | None => (true, read),
    };
    let mut out = Vec::with_capacity(fresh.len());
    for line in fresh.split_inclusive(|octet| *octet == b'\n') {
        let bare = if stuffed && at_start { line.strip_prefix(b".").unwrap_or(line) } else { line };
        out.extend_from_slice(bare);
        at_start = line.ends_with(b"\n");
    }
    Ok((out, offset.saturating_add(u64::try_from(fresh.len()).unwrap_or(u64::MAX))))
}

async fn pause(
    State(control): State<Control>,
    asker: Asker,
    Path(name): Path<String>,
) -> Result<Json<PausedConnectors>, Refusal> {
    set_pause(&control, &name, true, &asker).await
}

async fn resume(
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

pub(super) async fn release_connector(
    State(control): State<Control>,
    asker: Asker,
    Path(name): Path<String>,
    Json(request): Json<ReleaseRequest>,
) -> Result<Json<ReleaseRequest>, Refusal> {
    let released = Arc::clone(&control.operator).release(name, request.accept, asker.words()).await;
    released.map(|()| Json(request)).map_err(|why| Refusal(StatusCode::CONFLICT, why))
}

async fn begin_override(
    State(control): State<Control>,
    asker: Asker,
    Path(name): Path<String>,
    Json(request): Json<OverrideRequest>,
) -> Result<Json<OverrideReport>, Refusal> {
    let begun = Arc::clone(&control.operator).begin_override(name, request, asker.words()).await;
    begun.map(Json).map_err(|why| Refusal(StatusCode::CONFLICT, why))
}

pub(super) async fn end_override(
    State(control): State<Control>,
    asker: Asker,
    Path(name): Path<String>,
) -> Result<Json<Vec<Override>>, Refusal> {
    let ended = Arc::clone(&control.operator).end_override(name, asker.words()).await;
    ended.map(|()| Json(control.operator.overrides())).map_err(|why| Refusal(StatusCode::CONFLICT, why))
}

async fn overrides(State(control): State<Control>) -> Json<Vec<Override>> {
    Json(control.operator.overrides())
}

async fn keep_validation(
    State(control): State<Control>,
    Path(name): Path<String>,
    Json(found): Json<Validation>,
) -> Result<Json<Validation>, Refusal> {
    let kept = Arc::clone(&control.operator).keep_validation(name, found.clone()).await;
    kept.map(|()| Json(found)).map_err(|why| Refusal(StatusCode::CONFLICT, why))
}

/// A session that `assure` is about to make: whoever may use this socket holds the port.
async fn announce_probe(
    State(control): State<Control>,
    Json(probe): Json<ProbeRequest>,
) -> Result<Json<ProbeRequest>, Refusal> {
    if control.journal.probes().announce(probe.address, Clock::wall()) {
        return Ok(Json(probe));
    }
    Err(Refusal(StatusCode::CONFLICT, "too many sessions are announced".to_owned()))
}

async fn look_now(
    State(control): State<Control>,
    Json(request): Json<LookRequest>,
) -> Result<Json<LookReport>, Refusal> {
    let looked = Arc::clone(&control.watchman).look_now(request.connector).await;
    looked.map(|targets| Json(LookReport { targets })).map_err(|why| Refusal(StatusCode::CONFLICT, why))
}

fn busy(id: QueueId) -> Refusal {
    Refusal(StatusCode::CONFLICT, format!("{id}: {BUSY}"))
}

/// Why a message was not made due: it is gone or held.
async fn not_retried(control: &Control, id: QueueId) -> Result<Refusal, Refusal> {
    let held = control.spool.show(id).await?.and_then(|message| message.held);
    Ok(held.map_or_else(
        || unknown(id),
        |reason| Refusal(StatusCode::CONFLICT, format!("{id} is held and can't be sent: {reason}")),
    ))
}

fn unknown(id: QueueId) -> Refusal {
    Refusal(StatusCode::NOT_FOUND, format!("no message {id} is queued; it may have been delivered"))
}

const LIST_DEFAULT: usize = 100;
const TOP_DEFAULT: usize = 20;
const LIST_MAX: usize = 1_000;
/// Maximum number of octets of content in one answer.
const CONTENT_BYTES: usize = 256 * 1024;
/// The header with the offset of the next part.
pub const NEXT_OFFSET: &str = "x-next-offset";
