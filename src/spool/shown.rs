//! Queued messages as an operator sees them. It formats nothing.

use serde::Serialize;

use super::{LaneKey, Origin};
use crate::connector::{DecisionRecord, Rerouting};
use crate::mail::{BodyType, Mailbox, QueueId, ReversePath, UnixMillis};

/// The trouble of the last attempt, as stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct LastTrouble {
    /// The enhanced status code.
    pub status: String,
    /// The reason in one sentence.
    pub reason: String,
    /// The connector's decision behind it, if any.
    pub decision: Option<Box<DecisionRecord>>,
    /// The token of the hint about it, if there is one. Other versions may have other hints, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl LastTrouble {
    /// The text that a filter by reason searches, in lower case.
    #[must_use]
    pub fn searched(&self) -> String {
        let token = self.decision.as_ref().map_or("", |decision| decision.token.as_str());
        format!("{} {} {token}", self.status, self.reason).to_ascii_lowercase()
    }
}

/// A queued message with its recipients.
#[derive(Debug, Clone)]
pub struct QueuedMessage {
    /// The queue ID.
    pub id: QueueId,
    /// The address failure reports go to.
    pub reverse_path: ReversePath,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
    /// Size in octets, in wire form.
    pub size: u64,
    /// How it was received.
    pub origin: Origin,
    /// The BODY parameter of MAIL FROM.
    pub body: BodyType,
    /// Why the message is held; `None` if it is not.
    pub held: Option<String>,
    /// A recipient that is done may have got it under forced TLS.
    pub left_sealed: bool,
    /// The recipients that are not done.
    pub recipients: Vec<QueuedRow>,
}

/// One recipient of a queued message.
#[derive(Debug, Clone)]
pub struct QueuedRow {
    /// The address of RCPT TO.
    pub forward_path: Mailbox,
    /// The lane it is queued in.
    pub lane: LaneKey,
    /// Number of attempts so far.
    pub attempts: u32,
    /// When the next attempt is due.
    pub next_at: UnixMillis,
    /// Whether it is being attempted or waits in memory right now.
    pub leased: bool,
    /// The trouble of the last attempt.
    pub last: Option<LastTrouble>,
    /// How it was handed to another connector.
    pub rerouted: Option<Rerouting>,
}
