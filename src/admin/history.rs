//! The requests about what happened to messages, from the tracking store.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::control::{Control, Refusal, parse};
use crate::mail::{Clock, QueueId, UnixMillis, rfc3339};
use crate::trace::{
    EventKind, StoredWord as _, TlsReport, TraceFilter, TraceReader, TracedEvent, TracedMessages,
};

/// The query of `GET /trace`; each parameter that is given must hold.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TraceRequest {
    /// A queue ID, a Message-ID, an address, or a domain.
    what: Option<String>,
    /// The sender's address, or `@domain`.
    from: Option<String>,
    /// A recipient's address, or `@domain`.
    to: Option<String>,
    /// The domain of the sender or a recipient.
    domain: Option<String>,
    /// The Message-ID.
    message_id: Option<String>,
    /// Words of the Subject; `invoi*` finds words that begin so.
    subject: Option<String>,
    /// The partner.
    partner: Option<String>,
    /// The connector by which it came or went.
    connector: Option<String>,
    /// What happened: `accepted`, `delivered`, `deferred`, `failed`, `refused`, …; several are separated by commas.
    event: Option<String>,
    /// Why: a token such as `starttls-not-offered`, or a status code such as `4.7.5`.
    reason: Option<String>,
    /// The TLS version, such as `TLSv1.3`, or `plaintext`.
    tls: Option<String>,
    /// The name or address of a host, or the address of a client.
    host: Option<String>,
    /// Not before this time.
    since: Option<UnixMillis>,
    /// Not after this time.
    until: Option<UnixMillis>,
    /// At most this many messages, the newest; capped at 100.
    limit: Option<usize>,
}

/// The query of `GET /report/tls`.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TlsReportQuery {
    /// The last days, with today; 30 without it, 3,650 at most.
    days: Option<usize>,
    /// Only this partner, or this connector of none.
    partner: Option<String>,
}

/// The answer of `GET /trace` and `GET /trace/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub(super) struct TraceAnswer {
    /// The messages, the newest first.
    messages: Vec<TracedMessage>,
    /// Events that match and are about no message.
    others: Vec<TracedEvent>,
    /// Whether there is more than this.
    cut: bool,
    /// Since when events are kept, in RFC 3339 format.
    since: Option<String>,
}

/// A message and its whole way.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub(super) struct TracedMessage {
    /// The queue ID.
    id: QueueId,
    /// What happened to it, in its order.
    events: Vec<TracedEvent>,
}

/// Messages and their whole way, also of those that have left.
#[utoipa::path(get, path = "/trace", tag = "trace", params(TraceRequest), responses((status = 200, body = TraceAnswer), (status = 503)))]
pub(super) async fn trace(
    State(control): State<Control>,
    Query(query): Query<TraceRequest>,
) -> Result<Json<TraceAnswer>, Refusal> {
    let limit = query.limit.unwrap_or(MESSAGES_DEFAULT).min(MESSAGES_MAX);
    let filter = query.filter().map_err(|why| Refusal(StatusCode::BAD_REQUEST, why))?;
    let found = control.tracked.read(move |reader| {
        let found = TracedMessages::search(reader, &filter, limit)?;
        ways(reader, found)
    });
    found.await.map(Json).map_err(unread)
}

/// One message and its whole way.
#[utoipa::path(get, path = "/trace/{id}", tag = "trace",
    params(("id" = QueueId, Path, description = "The queue ID of the message.")),
    responses((status = 200, body = TracedMessage), (status = 404), (status = 503)))]
pub(super) async fn trace_one(
    State(control): State<Control>,
    Path(id): Path<String>,
) -> Result<Json<TracedMessage>, Refusal> {
    let id = parse(&id)?;
    let events = control.tracked.read(move |reader| reader.timeline(id)).await.map_err(unread)?;
    if events.is_empty() {
        return Err(Refusal(StatusCode::NOT_FOUND, format!("nothing of a message {id} was tracked")));
    }
    Ok(Json(TracedMessage { id, events }))
}

/// How much mail went over TLS, who fails and why.
#[utoipa::path(get, path = "/report/tls", tag = "trace", params(TlsReportQuery),
    responses((status = 200, body = TlsReport), (status = 503)))]
pub(super) async fn tls_report(
    State(control): State<Control>,
    Query(query): Query<TlsReportQuery>,
) -> Result<Json<TlsReport>, Refusal> {
    let days = i64::try_from(query.days.unwrap_or(DAYS_DEFAULT).clamp(1, DAYS_MAX)).unwrap_or(1);
    let today = Clock::wall().day();
    let range = (today.saturating_add(1).saturating_sub(days), today);
    let report = control.tracked.read(move |reader| {
        let mut sums = reader.sums(range.0, range.1)?;
        if let Some(name) = &query.partner {
            sums.retain(|(key, _)| key.is_of(name));
        }
        Ok(TlsReport::of(&sums, range))
    });
    report.await.map(Json).map_err(unread)
}

/// The ways of the messages found, up to a number of events.
fn ways(reader: &mut TraceReader, found: TracedMessages) -> rusqlite::Result<TraceAnswer> {
    let since = reader.since()?.map(rfc3339);
    let (mut messages, mut total, mut cut) = (Vec::new(), 0_usize, found.is_cut);
    for id in found.messages {
        if total > EVENTS_MAX {
            cut = true;
            break;
        }
        let events = reader.timeline(id)?;
        total = total.saturating_add(events.len());
        messages.push(TracedMessage { id, events });
    }
    Ok(TraceAnswer { messages, others: found.others, cut, since })
}

impl TraceRequest {
    /// What is asked for.
    ///
    /// # Errors
    /// There is no such event.
    fn filter(self) -> Result<TraceFilter, String> {
        let words = self.event.as_deref().unwrap_or_default().split(',').map(str::trim);
        let kinds = words
            .filter(|word| !word.is_empty())
            .map(|word| EventKind::named(word).ok_or_else(|| format!("there is no event {word:?}")));
        let kinds = kinds.collect::<Result<_, _>>()?;
        let subject = self.subject.as_deref().unwrap_or_default();
        let mut filter = TraceFilter {
            message_id: self.message_id,
            from: self.from,
            to: self.to,
            domain: self.domain,
            subject: subject.split_whitespace().map(str::to_owned).collect(),
            partner: self.partner,
            connector: self.connector,
            kinds,
            reason: self.reason,
            tls: self.tls,
            host: self.host,
            since: self.since,
            until: self.until,
            ..TraceFilter::default()
        };
        if let Some(what) = self.what.as_deref().filter(|what| !what.trim().is_empty()) {
            filter.name(what.trim());
        }
        Ok(filter)
    }
}

fn unread(why: &'static str) -> Refusal {
    Refusal(StatusCode::SERVICE_UNAVAILABLE, why.to_owned())
}

const MESSAGES_DEFAULT: usize = 20;
const MESSAGES_MAX: usize = 100;
/// With this many events there are no further messages: an answer stays within some MiB.
const EVENTS_MAX: usize = 5_000;
const DAYS_DEFAULT: usize = 30;
const DAYS_MAX: usize = 3_650;
