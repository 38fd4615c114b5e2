//! The requests and answers of the control API, as JSON. It only converts; it queries nothing.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::alarms::Alarm;
use crate::connector::{DecisionRecord, Onward, Rerouting};
use crate::mail::{BodyType, QueueId, UnixMillis};
use crate::outcome::{Hint, hint_named};
use crate::scheduler::LaneView;
use crate::spool::{Extent, LaneCount, LastTrouble, Origin, QueuedMessage, QueuedRow, Stats};

mod connectors;
mod explained;
mod partners;
mod settings;
mod words;

pub use connectors::{
    BrakeView, Change, ChangeKind, ConnectorView, Direction, DrainReport, LanesView, LookReport, LookRequest,
    Loosening, LooseningTerms, MailedReport, MailedReports, OverrideReport, OverrideRequest, ProbeRequest,
    ReleaseRequest, ReloadAnswer, SeenView, Validation,
};
pub use explained::{
    ExplainLine, ExplainPassage, ExplainQuestion, ExplainedAnswer, StartTlsTrouble, SupposedSession,
};
pub use partners::{Connectors, PartnerView, PartnerWay, refusals_in_words};
pub use settings::{SettingSource, SettingView, SettingsList, SettingsQuery};
pub use words::override_ended;

/// The answer of `GET /status`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Status {
    /// The program's version.
    #[schema(value_type = String)]
    pub version: Cow<'static, str>,
    /// Name and address of each listener.
    #[schema(value_type = Vec<(String, String)>)]
    pub listening: Vec<(String, SocketAddr)>,
    /// Totals of the queue.
    pub queue: QueueTotal,
    /// The lanes that hold something or are blocked.
    pub lanes: Vec<LaneStatus>,
    /// What an operator must see to, for as long as it lasts.
    pub alarms: Vec<Alarm>,
}

/// The query of `GET /queue`, and the body of `POST /queue/list`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Continue after this message.
    #[schema(value_type = Option<QueueId>)]
    #[param(value_type = Option<QueueId>)]
    pub after: Option<String>,
    /// Maximum number of messages, capped at 1,000.
    pub limit: Option<usize>,
    /// Only messages in a lane of this outbound connector.
    pub connector: Option<String>,
    /// Only messages to this domain.
    pub domain: Option<String>,
    /// Only messages from this address or `@domain`; empty: from the null reverse-path.
    pub sender: Option<String>,
    /// Only messages to this address or `@domain`.
    pub recipient: Option<String>,
    /// Only messages whose last trouble contains this text.
    pub reason: Option<String>,
    /// Only messages accepted at least this many seconds ago.
    // Without a format: a duration has no largest value.
    #[schema(value_type = Option<usize>)]
    #[param(value_type = Option<usize>)]
    pub older_than: Option<u64>,
    /// Only held messages.
    #[serde(default)]
    pub held: bool,
}

impl ListQuery {
    /// A part that is given and says nothing: a variable that a script forgot to set must not mean every message. A sender
    /// may be empty: the null reverse-path.
    #[must_use]
    pub(super) fn empty_part(&self) -> Option<&'static str> {
        let parts = [
            ("connector", &self.connector),
            ("domain", &self.domain),
            ("recipient", &self.recipient),
            ("reason", &self.reason),
        ];
        parts.iter().find(|(_, part)| part.as_deref() == Some("")).map(|(name, _)| *name)
    }
}

/// How many queued messages match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatchCount {
    /// How many were counted.
    pub messages: u64,
    /// Whether these are all of them.
    pub is_all: bool,
}

/// The query of `GET /queue/top`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TopQuery {
    /// Maximum number of lanes, capped at 1,000.
    pub limit: Option<usize>,
}

/// The answer of `GET /queue/top`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QueueTop {
    /// Totals of the whole queue.
    pub total: QueueTotal,
    /// Size of the database file, and its free part.
    pub database: DatabaseSize,
    /// The lanes with the most recipients.
    pub lanes: Vec<TopLane>,
}

/// Totals of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QueueTotal {
    /// Queued messages.
    pub messages: u64,
    /// Recipients that are not done.
    pub recipients: u64,
    /// Held messages.
    pub held: u64,
}

/// How large the database is, in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DatabaseSize {
    /// Size of the file.
    pub file: u64,
    /// Its free part.
    pub free: u64,
}

/// A lane on disk, and why it is blocked.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TopLane {
    /// The lane's display name.
    pub lane: String,
    /// Recipients on disk.
    pub recipients: u64,
    /// When the oldest of them was accepted.
    pub oldest_at: UnixMillis,
    /// The lane's state, if it is blocked.
    pub blocked: Option<LaneStatus>,
}

/// A lane as far as it is in memory.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LaneStatus {
    /// The lane's display name.
    pub lane: String,
    /// The connector that served it last.
    pub connector: Option<Arc<str>>,
    /// The recipient domain; `None` for smart hosts and address literals.
    pub domain: Option<String>,
    /// Messages waiting in memory.
    pub waiting: usize,
    /// Messages being delivered.
    pub in_flight: usize,
    /// Carriers that take its messages.
    pub carriers: usize,
    /// When the first message that is only on disk is due.
    pub on_disk: Option<UnixMillis>,
    /// Whether an operator has paused its connector.
    pub paused: bool,
    /// No attempt is made before this time.
    pub blocked_until: Option<UnixMillis>,
    /// Consecutive failures.
    pub failures: u32,
    /// The enhanced status code of the last trouble.
    pub status: Option<String>,
    /// The last trouble, in one sentence.
    pub reason: Option<String>,
    /// What to do about it, if that is known.
    #[serde(default)]
    pub hint: Option<HintView>,
}

/// The answer of `GET /queue` and `POST /queue/list`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QueueList {
    /// Totals of the whole queue.
    pub total: QueueTotal,
    /// The messages asked for.
    pub messages: Vec<MessageView>,
    /// The message to continue after; `None` at the end.
    pub next: Option<QueueId>,
}

/// A queued message and the state of its lanes: the answer of `GET /queue/{id}`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MessageView {
    /// The queue ID.
    pub id: QueueId,
    /// The reverse-path; empty for the null reverse-path.
    pub reverse_path: String,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
    /// Size in octets, in wire form.
    pub size: u64,
    /// How it was accepted.
    pub origin: OriginView,
    /// The BODY value that the client declared.
    pub body: BodyType,
    /// Why it is held, if it is.
    pub held: Option<String>,
    /// The recipients that are not done.
    pub recipients: Vec<RecipientView>,
    /// The blocked lanes of its recipients, with the reason: their mail waits untouched.
    pub blocked: Vec<LaneStatus>,
}

/// How a message was accepted.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OriginView {
    /// The inbound connector; `None` for our own reports.
    pub connector: Option<Arc<str>>,
    /// Whether it was accepted under forced TLS.
    pub sealed: bool,
    /// How it must leave, at least.
    pub onward: Onward,
    /// The rules that raised that, separated by commas.
    pub raised_by: Option<Arc<str>>,
    /// The Message-ID of its header.
    pub message_id: Option<String>,
}

/// One recipient of a queued message.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RecipientView {
    /// The forward-path.
    pub forward_path: String,
    /// The lane that the recipient is in.
    pub lane: String,
    /// Number of attempts so far.
    pub attempts: u32,
    /// When the next attempt is due.
    pub next_at: UnixMillis,
    /// Whether it is leased: waiting in memory or being attempted now.
    pub leased: bool,
    /// Why the last attempt did not succeed.
    pub last: Option<TroubleView>,
    /// How it was handed to another connector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerouted: Option<Rerouting>,
    /// How the requirement of its connector is overridden, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<String>,
}

/// Why an attempt did not succeed.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TroubleView {
    /// The enhanced status code.
    pub status: String,
    /// The reason, in one sentence.
    pub reason: String,
    /// The connector's decision, if there was one.
    pub decision: Option<DecisionRecord>,
    /// What to do about it, if that is known.
    #[serde(default)]
    pub hint: Option<HintView>,
}

/// What to do about a host's reply, or about a handshake that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HintView {
    /// A stable word.
    pub token: String,
    /// Who can fix it, in a word or two.
    pub who: String,
    /// One sentence.
    pub advice: String,
}

impl From<&Hint> for HintView {
    fn from(hint: &Hint) -> Self {
        let Hint { token, actor, advice } = *hint;
        Self { token: token.to_owned(), who: actor.word().to_owned(), advice: advice.to_owned() }
    }
}

impl std::fmt::Display for HintView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}]", self.advice, self.token)
    }
}

/// The body of `POST /queue/retry`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryRequest {
    /// Only this message; without it, all.
    #[schema(value_type = Option<QueueId>)]
    pub id: Option<String>,
}

/// The body of `POST /queue/act`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActRequest {
    /// The action on each message.
    pub action: QueueAction,
    /// Includes messages that also have recipients outside the filter.
    #[serde(default)]
    pub whole: bool,
    /// The filter that selects the messages; its `limit` is not used. `{}`: all.
    pub of: ListQuery,
}

/// An action on queued messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum QueueAction {
    /// Retry now.
    Retry,
    /// Hold until released.
    Hold,
    /// Release held messages.
    Release,
    /// Give up and notify the reverse-path.
    Bounce,
    /// Remove without notifying anyone.
    Remove,
}

/// The answer of `POST /queue/act`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ActionTally {
    /// Number of messages that were changed.
    pub messages: u64,
    /// Number of messages that were left as they are.
    pub left: u64,
    /// The first reasons for messages that were left.
    pub reasons: Vec<String>,
    /// Recipients that are due, and not tried because their connectors are paused.
    #[serde(default)]
    pub paused_recipients: usize,
    /// These connectors.
    #[serde(default)]
    pub paused: Vec<Arc<str>>,
    /// The message to continue after; `None` at the end.
    pub next: Option<QueueId>,
}

/// The query of `GET /queue/{id}/content`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ContentQuery {
    /// Octets of the stored content before the requested part.
    #[serde(default)]
    #[param(value_type = usize, required = false)]
    pub offset: u64,
}

/// The answer of `POST /connectors/{name}/pause` and `/resume`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PausedConnectors {
    /// The connectors that are paused now.
    pub connectors: Vec<Arc<str>>,
}

/// The result of an action on one message, or of a retry of all.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ActionResult {
    /// The message, if the action was about one.
    pub id: Option<QueueId>,
    /// Recipients made due at once, or given up.
    pub recipients: Option<usize>,
    /// Those of them that are not tried, because their connector is paused.
    #[serde(default)]
    pub paused_recipients: usize,
    /// The connectors that are.
    #[serde(default)]
    pub paused: Vec<Arc<str>>,
    /// The result of a removal.
    pub removal: Option<RemovalResult>,
}

/// The result of a removal; any other result is an error answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RemovalResult {
    /// The message is gone.
    Removed,
}

/// The answer with any status other than success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorAnswer {
    /// One sentence, or one line for each error.
    pub error: String,
}

impl From<Stats> for QueueTotal {
    fn from(Stats { messages, recipients, held }: Stats) -> Self {
        Self { messages, recipients, held }
    }
}

impl From<Extent> for DatabaseSize {
    fn from(Extent { file, free }: Extent) -> Self {
        Self { file, free }
    }
}

impl From<LaneView> for LaneStatus {
    fn from(lane: LaneView) -> Self {
        Self {
            lane: lane.lane.to_string(),
            connector: lane.connector,
            domain: lane.domain.map(|domain| domain.to_string()),
            waiting: lane.waiting,
            in_flight: lane.in_flight,
            carriers: lane.carriers,
            on_disk: lane.on_disk,
            paused: lane.paused,
            blocked_until: lane.blocked_until,
            failures: lane.failures,
            status: lane.status.map(|status| status.to_string()),
            reason: lane.reason,
            hint: lane.trouble.and_then(|trouble| trouble.hint()).map(HintView::from),
        }
    }
}

impl TopLane {
    /// Combines a lane on disk with its state in memory.
    pub(super) fn new(count: &LaneCount, blocked: Option<LaneView>) -> Self {
        Self {
            lane: count.lane.to_string(),
            recipients: count.recipients,
            oldest_at: count.oldest_at,
            blocked: blocked.map(LaneStatus::from),
        }
    }
}

impl MessageView {
    /// Combines a message with the blocked lanes of its recipients.
    pub(super) fn new(message: QueuedMessage, blocked: Vec<LaneStatus>) -> Self {
        Self {
            id: message.id,
            reverse_path: message.reverse_path.to_string(),
            accepted_at: message.accepted_at,
            size: message.size,
            origin: message.origin.into(),
            body: message.body,
            held: message.held,
            recipients: message.recipients.into_iter().map(RecipientView::from).collect(),
            blocked,
        }
    }
}

impl From<Origin> for OriginView {
    fn from(origin: Origin) -> Self {
        let Origin { connector, sealed, onward, originator: _, message_id, subject: _ } = origin;
        let (onward, raised_by) = (onward.level, onward.raised_by);
        Self { connector, sealed, onward, raised_by, message_id }
    }
}

impl From<QueuedRow> for RecipientView {
    fn from(row: QueuedRow) -> Self {
        Self {
            forward_path: row.forward_path.to_string(),
            lane: row.lane.to_string(),
            attempts: row.attempts,
            next_at: row.next_at,
            leased: row.leased,
            last: row.last.map(TroubleView::from),
            rerouted: row.rerouted,
            overridden: None,
        }
    }
}

impl From<LastTrouble> for TroubleView {
    fn from(last: LastTrouble) -> Self {
        Self {
            status: last.status,
            reason: last.reason,
            decision: last.decision.map(|decision| *decision),
            hint: last.hint.as_deref().and_then(hint_named).map(HintView::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Mailbox, ReversePath};
    use crate::spool::LaneKey;

    fn message() -> MessageView {
        let last = LastTrouble {
            status: "4.7.5".to_owned(),
            reason: "why".to_owned(),
            decision: None,
            hint: Some("greylisted".to_owned()),
        };
        let row = QueuedRow {
            forward_path: Mailbox::parse("bob@b.test").expect("a mailbox"),
            lane: LaneKey("out/b.test".into()),
            attempts: 1,
            next_at: UnixMillis(2),
            leased: false,
            last: Some(last),
            rerouted: None,
        };
        let queued = QueuedMessage {
            id: QueueId::first_of(1),
            reverse_path: ReversePath::NULL,
            accepted_at: UnixMillis(1),
            size: 3,
            origin: Origin::default(),
            body: BodyType::SevenBit,
            held: None,
            left_sealed: false,
            recipients: vec![row],
        };
        MessageView::new(queued, Vec::new())
    }

    #[test]
    fn an_answer_reads_back_as_it_was_written() {
        let text = serde_json::to_string(&message()).expect("JSON");
        assert_eq!(
            text,
            "{\"id\":\"0000000001000\",\"reverse_path\":\"\",\"accepted_at\":1,\"size\":3,\"origin\":{\"connector\":null,\
             \"sealed\":false,\"onward\":\"any\",\"raised_by\":null,\"message_id\":null},\"body\":\"sevenbit\",\"held\":null,\
             \"recipients\":[{\"forward_path\":\"bob@b.test\",\"lane\":\"out/b.test\",\"attempts\":1,\"next_at\":2,\
             \"leased\":false,\"last\":{\"status\":\"4.7.5\",\"reason\":\"why\",\"decision\":null,\"hint\":{\"token\":\"greylisted\",\
             \"who\":\"nobody\",\"advice\":\"Nobody needs to act: the host lets a sender that it does not know try again after some \
             minutes.\"}}}],\"blocked\":[]}"
        );
        let read: MessageView = serde_json::from_str(&text).expect("the same");
        assert_eq!(serde_json::to_string(&read).expect("JSON"), text);
    }
}
