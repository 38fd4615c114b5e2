use serde::{Deserialize, Serialize};

use super::alarms::Alarm;
use crate::mail::QueueId;
use crate::scheduler::LaneView;
use crate::spool::{QueuedMessage, Removal, Stats};

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
}

/// The answer of `GET /queue`.
#[derive(Debug, Serialize)]
pub struct QueueList {
    /// How much is queued in all.
    pub total: Stats,
    /// The messages asked for.
    pub messages: Vec<QueueView>,
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
