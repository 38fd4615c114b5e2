use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::alarms::Alarm;
use crate::connector::DecisionRecord;
use crate::mail::{BodyType, QueueId, UnixMillis};
use crate::scheduler::LaneView;
use crate::spool::{Extent, LaneCount, LastTrouble, Origin, QueuedMessage, QueuedRow, Stats};

mod connectors;

pub use connectors::{
    Change, ChangeKind, ConnectorView, Connectors, Direction, LanesView, ReloadAnswer, Validation,
};

/// The answer of `GET /status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: Cow<'static, str>,
    /// Name and address of each listener.
    pub listening: Vec<(String, SocketAddr)>,
    /// How much is queued.
    pub queue: QueueTotal,
    /// The lanes that hold something or are blocked.
    pub lanes: Vec<LaneStatus>,
    /// What an operator must see to, for as long as it lasts.
    pub alarms: Vec<Alarm>,
}

/// The query of `GET /queue`, and the body of `POST /queue/list`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ListQuery {
    /// Continue after this message.
    pub after: Option<String>,
    /// Maximum number of messages; 1,000 at the most.
    pub limit: Option<usize>,
    /// Those of an outbound connector.
    pub connector: Option<String>,
    /// Those to a domain.
    pub domain: Option<String>,
    /// Those from an address, from `@domain`, or with an empty text from the null reverse-path.
    pub sender: Option<String>,
    /// Those to an address, or to `@domain`.
    pub recipient: Option<String>,
    /// Those whose last trouble has this text.
    pub reason: Option<String>,
    /// Those accepted this many seconds ago, or earlier.
    pub older_than: Option<u64>,
    /// Those that are held.
    #[serde(default)]
    pub held: bool,
}

/// The query of `GET /queue/top`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TopQuery {
    /// Maximum number of lanes; 1,000 at the most.
    pub limit: Option<usize>,
}

/// The answer of `GET /queue/top`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueueTop {
    /// How much is queued in all.
    pub total: QueueTotal,
    /// The file of the database, and what of it is free.
    pub database: DatabaseSize,
    /// The lanes with the most recipients.
    pub lanes: Vec<TopLane>,
}

/// How much is queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueTotal {
    /// Messages.
    pub messages: u64,
    /// Recipients that are not done.
    pub recipients: u64,
    /// Messages that are held.
    pub held: u64,
}

/// How large the database is, in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSize {
    /// The whole file.
    pub file: u64,
    /// What of it holds nothing.
    pub free: u64,
}

/// A lane and what it waits for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TopLane {
    /// Its name.
    pub lane: String,
    /// Its recipients on disk.
    pub recipients: u64,
    /// When the oldest of them was accepted.
    pub oldest_at: UnixMillis,
    /// The lane's state, if it is blocked.
    pub blocked: Option<LaneStatus>,
}

/// A lane as far as it is in memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LaneStatus {
    /// Its name.
    pub lane: String,
    /// The connector that served it last.
    pub connector: Option<Arc<str>>,
    /// Its recipient domain; `None` for smart hosts and address literals.
    pub domain: Option<String>,
    /// Messages that wait in memory.
    pub waiting: usize,
    /// Messages under way.
    pub in_flight: usize,
    /// Carriers that take its messages.
    pub carriers: usize,
    /// When the first message that is only on disk is due.
    pub on_disk: Option<UnixMillis>,
    /// Whether an operator has paused its connector.
    pub paused: bool,
    /// Until when nothing is tried.
    pub blocked_until: Option<UnixMillis>,
    /// Failures in a row.
    pub failures: u32,
    /// The status of the last trouble.
    pub status: Option<String>,
    /// The last trouble, in a sentence.
    pub reason: Option<String>,
}

/// The answer of `GET /queue` and `POST /queue/list`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueueList {
    /// How much is queued in all.
    pub total: QueueTotal,
    /// The messages asked for.
    pub messages: Vec<MessageView>,
    /// After which one to continue; none: there is nothing behind.
    pub next: Option<QueueId>,
}

/// A queued message beside the state of its lanes: the answer of `GET /queue/{id}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MessageView {
    /// Its name.
    pub id: QueueId,
    /// Who gets reports; empty for nobody.
    pub reverse_path: String,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
    /// Octets in wire form.
    pub size: u64,
    /// How it came.
    pub origin: OriginView,
    /// What the client declared of the content.
    pub body: BodyType,
    /// Why it is held, if it is.
    pub held: Option<String>,
    /// The recipients that are not done.
    pub recipients: Vec<RecipientView>,
    /// The lanes of its recipients that are blocked, and why: their mail waits untouched.
    pub blocked: Vec<LaneStatus>,
}

/// How a message came to be here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OriginView {
    /// The inbound connector; `None` for our own reports.
    pub connector: Option<Arc<str>>,
    /// It came under forced TLS.
    pub sealed: bool,
    /// It may leave only under forced TLS.
    pub onward_sealed: bool,
    /// Its Message-ID.
    pub message_id: Option<String>,
}

/// One recipient of a queued message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecipientView {
    /// The forward-path.
    pub forward_path: String,
    /// The lane it is looked for in.
    pub lane: String,
    /// Attempts so far.
    pub attempts: u32,
    /// When it is due.
    pub next_at: UnixMillis,
    /// Whether it is being attempted or waits in memory right now.
    pub leased: bool,
    /// What hindered the last attempt.
    pub last: Option<TroubleView>,
}

/// What hindered an attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TroubleView {
    /// The enhanced status code.
    pub status: String,
    /// One sentence.
    pub reason: String,
    /// The decision behind it, if a connector made one.
    pub decision: Option<DecisionRecord>,
}

/// The body of `POST /queue/retry`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RetryRequest {
    /// This message; without it, all.
    pub id: Option<String>,
}

/// The body of `POST /queue/act`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ActRequest {
    /// What is done.
    pub action: QueueAction,
    /// With a message that has recipients beside those that the filter names, too.
    #[serde(default)]
    pub whole: bool,
    /// With which messages.
    #[serde(flatten)]
    pub of: ListQuery,
}

/// What is done with messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueAction {
    /// They are tried again now.
    Retry,
    /// They are kept back.
    Hold,
    /// They go on.
    Release,
    /// They fail, and their senders are told.
    Bounce,
    /// They go, and nobody is told.
    Remove,
}

/// The answer of `POST /queue/act`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionTally {
    /// Messages with which it was done.
    pub messages: u64,
    /// Messages with which it was not.
    pub left: u64,
    /// The first reasons why not.
    pub reasons: Vec<String>,
    /// After which message to go on; none: there is nothing behind.
    pub next: Option<QueueId>,
}

/// The query of `GET /queue/{id}/content`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct ContentQuery {
    /// Octets of the stored content before the part asked for.
    #[serde(default)]
    pub offset: u64,
}

/// The answer of `POST /connectors/{name}/pause` and `/resume`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PausedConnectors {
    /// The connectors that are paused now.
    pub connectors: Vec<Arc<str>>,
}

/// The result of an action on one message, or of a retry of all.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ActionResult {
    /// The message it was about, if it was about one.
    pub id: Option<QueueId>,
    /// Recipients made due at once, or given up.
    pub recipients: Option<usize>,
    /// What happened to a message that was to be removed.
    pub removal: Option<RemovalResult>,
}

/// What happened to a message that was to be removed; anything else is a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovalResult {
    /// It is gone.
    Removed,
}

/// The answer with any status but success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
        }
    }
}

impl TopLane {
    /// A lane on disk beside its state in memory.
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
    /// A message beside the lanes of its recipients that are blocked.
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
    fn from(Origin { connector, sealed, onward_sealed, message_id }: Origin) -> Self {
        Self { connector, sealed, onward_sealed, message_id }
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
        }
    }
}

impl From<LastTrouble> for TroubleView {
    fn from(last: LastTrouble) -> Self {
        Self { status: last.status, reason: last.reason, decision: last.decision.map(|decision| *decision) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Mailbox, ReversePath};
    use crate::spool::LaneKey;

    fn message() -> MessageView {
        let last = LastTrouble { status: "4.7.5".to_owned(), reason: "why".to_owned(), decision: None };
        let row = QueuedRow {
            forward_path: Mailbox::parse("bob@b.test").expect("a mailbox"),
            lane: LaneKey("out/b.test".into()),
            attempts: 1,
            next_at: UnixMillis(2),
            leased: false,
            last: Some(last),
        };
        let queued = QueuedMessage {
            id: QueueId::first_of(1),
            reverse_path: ReversePath::NULL,
            accepted_at: UnixMillis(1),
            size: 3,
            origin: Origin::default(),
            body: BodyType::SevenBit,
            held: None,
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
             \"sealed\":false,\"onward_sealed\":false,\"message_id\":null},\"body\":\"sevenbit\",\"held\":null,\
             \"recipients\":[{\"forward_path\":\"bob@b.test\",\"lane\":\"out/b.test\",\"attempts\":1,\"next_at\":2,\
             \"leased\":false,\"last\":{\"status\":\"4.7.5\",\"reason\":\"why\",\"decision\":null}}],\"blocked\":[]}"
        );
        let read: MessageView = serde_json::from_str(&text).expect("the same");
        assert_eq!(serde_json::to_string(&read).expect("JSON"), text);
    }
}
