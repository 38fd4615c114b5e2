use serde::{Deserialize, Serialize};

use super::alarms::Alarm;
use crate::mail::QueueId;
use crate::scheduler::LaneView;
use crate::spool::{Extent, LaneCount, QueuedMessage, Removal, Stats};

/// The answer of `GET /status`.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The program's version.
    pub version: &'static str,
    /// Name and address of each listener.
    pub listening: Vec<(String, std::net::SocketAddr)>,
    /// How much is queued.
    pub queue: Stats,
    /// The lanes that hold something or are blocked.
    pub lanes: Vec<LaneView>,
    /// What an operator must see to, for as long as it lasts.
    pub alarms: Vec<Alarm>,
}

/// The query of `GET /queue`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ListQuery {
    /// Go on after this message.
    pub after: Option<String>,
    /// At most so many; 1,000 at the most.
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
    /// Those accepted so many seconds ago, or earlier.
    pub older_than: Option<u64>,
    /// Those that are held.
    #[serde(default)]
    pub held: bool,
}

/// The query of `GET /queue/top`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TopQuery {
    /// At most so many lanes; 1,000 at the most.
    pub limit: Option<usize>,
}

/// The answer of `GET /queue/top`.
#[derive(Debug, Serialize)]
pub struct QueueTop {
    /// How much is queued in all.
    pub total: Stats,
    /// The file of the database, and what of it is free.
    pub database: Extent,
    /// The lanes with the most recipients.
    pub lanes: Vec<TopLane>,
}

/// A lane and what it waits for.
#[derive(Debug, Serialize)]
pub struct TopLane {
    /// What of it is on disk.
    #[serde(flatten)]
    pub count: LaneCount,
    /// How it stands, if it is blocked.
    pub blocked: Option<LaneView>,
}

/// The answer of `GET /queue`.
#[derive(Debug, Serialize)]
pub struct QueueList {
    /// How much is queued in all.
    pub total: Stats,
    /// The messages asked for.
    pub messages: Vec<QueueView>,
    /// After which one to go on; none: there is nothing behind.
    pub next: Option<QueueId>,
}

/// A queued message beside the state of its lanes.
#[derive(Debug, Serialize)]
pub struct QueueView {
    /// The message as the spool has it.
    #[serde(flatten)]
    pub message: QueuedMessage,
    /// The lanes of its recipients that are blocked, and why: their mail waits untouched.
    pub blocked: Vec<LaneView>,
}

/// The body of `POST /queue/retry`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RetryRequest {
    /// This message; without it, all.
    pub id: Option<String>,
}

/// The query of `GET /queue/{id}/content`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct ContentQuery {
    /// Octets of the stored content before the part asked for.
    #[serde(default)]
    pub offset: u64,
}

/// The answer of `POST /connectors/{name}/pause` and `/resume`.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Paused {
    /// The connectors that stand still now.
    pub connectors: Vec<std::sync::Arc<str>>,
}

/// What an action came to.
#[derive(Debug, Clone, Serialize)]
pub struct Acted {
    /// The message it was about, if it was about one.
    pub id: Option<QueueId>,
    /// Recipients made due at once.
    pub recipients: Option<usize>,
    /// What became of a removal.
    pub removal: Option<Removal>,
}
