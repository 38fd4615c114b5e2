//! The requests about queued messages. Each reads or changes the queue only through the spool and the scheduler.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::actions::{BUSY, PausedShare, filter_of};
use super::alarms::{Alarm, AlarmKind};
use super::asker::Asker;
use super::control::{Control, HELD_BY_OPERATOR, Refusal, parse};
use super::view::{
    ActionResult, ContentQuery, LaneStatus, ListQuery, MatchCount, MessageView, QueueList, QueueTop,
    RemovalResult, RetryRequest, TopLane, TopQuery,
};
use crate::mail::{BodyType, Clock, Content, QueueId};
use crate::scheduler::{BounceResult, LaneView};
use crate::spool::{HoldResult, LaneCount, LaneKey, QueuedMessage, Removal};
use crate::tracking::QueueHandling;

/// Queued messages that match a filter, a page at a time.
#[utoipa::path(get, path = "/queue", tag = "queue", params(ListQuery), responses((status = 200, body = QueueList), (status = 503)))]
pub(super) async fn list(
    State(control): State<Control>,
    Query(query): Query<ListQuery>,
) -> Result<Json<QueueList>, Refusal> {
    listed(&control, query).await.map(Json)
}

/// The same, with the filter as JSON: addresses need no escaping there.
#[utoipa::path(post, path = "/queue/list", tag = "queue", request_body = ListQuery, responses((status = 200, body = QueueList), (status = 503)))]
pub(super) async fn list_by(
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

/// How many match after a message, as far as a bounded part of the queue says it.
pub(super) async fn counted(control: &Control, query: &ListQuery) -> Result<MatchCount, Refusal> {
    let mut after = query.after.as_deref().map(parse).transpose()?;
    let filter = filter_of(query);
    let mut count = MatchCount { messages: 0, is_all: true };
    for _ in 0..COUNTED_PARTS_MAX {
        let part = control.spool.count(filter.clone(), after).await?;
        count.messages = count.messages.saturating_add(u64::try_from(part.messages).unwrap_or(u64::MAX));
        after = part.next;
        if after.is_none() {
            return Ok(count);
        }
    }
    count.is_all = false;
    Ok(count)
}

/// The lanes with the most recipients.
#[utoipa::path(get, path = "/queue/top", tag = "queue", params(TopQuery), responses((status = 200, body = QueueTop), (status = 503)))]
pub(super) async fn top(
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

/// One message, its recipients, and why it waits.
#[utoipa::path(get, path = "/queue/{id}", tag = "queue", params(("id" = QueueId, Path, description = "The queue ID of the message.")), responses((status = 200, body = MessageView), (status = 404), (status = 503)))]
pub(super) async fn show(
    State(control): State<Control>,
    Path(id): Path<String>,
) -> Result<Json<MessageView>, Refusal> {
    let id = parse(&id)?;
    let message = control.spool.show(id).await?.ok_or_else(|| unknown(id))?;
    let view = control.views(vec![message]).pop().ok_or_else(|| unknown(id))?;
    Ok(Json(view))
}

/// Makes one message, or all, due now.
#[utoipa::path(post, path = "/queue/retry", tag = "queue", request_body = RetryRequest, responses((status = 200, body = ActionResult), (status = 404), (status = 409), (status = 503)))]
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

/// Removes a message. Nobody is notified.
#[utoipa::path(delete, path = "/queue/{id}", tag = "queue", params(("id" = QueueId, Path, description = "The queue ID of the message.")), responses((status = 200, body = ActionResult), (status = 404), (status = 409), (status = 503)))]
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

/// Holds a message until it is released.
#[utoipa::path(post, path = "/queue/{id}/hold", tag = "queue", params(("id" = QueueId, Path, description = "The queue ID of the message.")), responses((status = 200, body = ActionResult), (status = 404), (status = 409), (status = 503)))]
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

/// Releases a held message.
#[utoipa::path(post, path = "/queue/{id}/release", tag = "queue", params(("id" = QueueId, Path, description = "The queue ID of the message.")), responses((status = 200, body = ActionResult), (status = 404), (status = 503)))]
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

/// Gives up on a message, and notifies its reverse-path.
#[utoipa::path(post, path = "/queue/{id}/bounce", tag = "queue", params(("id" = QueueId, Path, description = "The queue ID of the message.")), responses((status = 200, body = ActionResult), (status = 404), (status = 409), (status = 503)))]
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

/// A part of the content of a message, without dot-stuffing.
#[utoipa::path(get, path = "/queue/{id}/content", tag = "queue", params(("id" = QueueId, Path, description = "The queue ID of the message."), ContentQuery), responses((status = 200, body = String, content_type = "application/octet-stream",
        headers(("x-next-offset" = u64, description = "The offset of the next part; at the end, none after the one asked for."))), (status = 404), (status = 503)))]
pub(super) async fn content(
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
    let offset = offset.min(content.len());
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

impl Control {
    /// Those of these messages that are queued. One that has left in between needs nothing any more.
    pub async fn queued(&self, ids: &[QueueId]) -> Vec<MessageView> {
        let mut found = Vec::new();
        for id in ids {
            if let Ok(Some(message)) = self.spool.show(*id).await {
                found.push(message);
            }
        }
        self.views(found)
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
pub(super) const LIST_MAX: usize = 1_000;
/// Parts of the queue that are counted for one answer, of 5,000 messages each.
const COUNTED_PARTS_MAX: usize = 100;
/// Maximum number of octets of content in one answer.
const CONTENT_BYTES: usize = 256 * 1024;
/// The header with the offset of the next part.
pub const NEXT_OFFSET: &str = "x-next-offset";
