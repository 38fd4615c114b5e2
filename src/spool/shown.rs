//! Messages as an operator sees them.

use serde::Serialize;

use super::{LaneKey, Origin};
use crate::connector::DecisionRecord;
use crate::mail::{BodyType, Mailbox, QueueId, ReversePath, UnixMillis};

/// What hindered the last attempt, as it is kept and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct LastTrouble {
    /// The enhanced status code.
    pub status: String,
    /// One sentence.
    pub reason: String,
    /// The decision behind it.
    pub decision: Option<Box<DecisionRecord>>,
}

impl LastTrouble {
    /// What a filter by reason looks at, in lower case.
    #[must_use]
    pub fn searched(&self) -> String {
        let token = self.decision.as_ref().map_or("", |decision| decision.token.as_str());
        format!("{} {} {token}", self.status, self.reason).to_ascii_lowercase()
    }
}

/// A message of the queue, with its recipients.
#[derive(Debug, Clone)]
pub struct QueuedMessage {
    /// Its name.
    pub id: QueueId,
    /// Who is told.
    pub reverse_path: ReversePath,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
    /// Octets in wire form.
    pub size: u64,
    /// How it came.
    pub origin: Origin,
    /// What the client declared of the content.
    pub body: BodyType,
    /// It is kept back since it can't be read whole; the reason.
    pub held: Option<String>,
    /// The recipients that are not done.
    pub recipients: Vec<QueuedRow>,
}

/// One recipient of it.
#[derive(Debug, Clone)]
pub struct QueuedRow {
    /// The forward-path.
    pub forward_path: Mailbox,
    /// The lane it is looked for in.
    pub lane: LaneKey,
    /// Attempts so far.
    pub attempts: u32,
    /// When it is due.
    pub next_at: UnixMillis,
    /// Whether it is being attempted or waits in memory right now.
    pub leased: bool,
    /// What hindered the last attempt.
    pub last: Option<LastTrouble>,
}
