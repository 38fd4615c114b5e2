//! One event of the record, read back from the octets that were hashed. Pure.

use serde::Deserialize;

use crate::connector::DecisionRecord;
use crate::mail::{UnixMillis, rfc3339_millis};
use crate::seal::Hash;
use crate::trace::{EventFacts, TracedEvent};

/// An event as its line says.
#[derive(Debug, Deserialize)]
pub(super) struct RecordedEvent {
    pub(super) seq: u64,
    pub(super) at: UnixMillis,
    pub(super) event: String,
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) decision: Option<Hash>,
    /// What this version can't read of it is left out.
    #[serde(default)]
    pub(super) facts: EventFacts,
}

impl RecordedEvent {
    /// The event with its decision, as it is shown.
    pub(super) fn shown(self, decision: Option<DecisionRecord>) -> TracedEvent {
        TracedEvent {
            seq: i64::try_from(self.seq).unwrap_or(i64::MAX),
            at: rfc3339_millis(self.at),
            event: self.event,
            id: self.id,
            facts: self.facts,
            decision,
        }
    }
}
