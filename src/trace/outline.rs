//! What a row about a message says: the same few facts, whether it had one recipient or a thousand.

use super::record::{EventKind, TracedEvent};
use super::way::{clean, connector, recipients};
use crate::mail::QueueId;

/// A message in outline.
#[derive(Debug, Clone)]
pub struct MessageOutline {
    /// Its queue ID.
    pub id: QueueId,
    /// How it was accepted, or else the first that is known of it.
    pub(super) first: Option<TracedEvent>,
    /// The last event that says how it stands.
    pub(super) last: Option<TracedEvent>,
    /// Recipients whose mail a next hop took.
    pub(super) delivered: usize,
    /// Recipients that have failed.
    pub(super) failed: usize,
    /// Whether an operator has removed it.
    pub(super) is_removed: bool,
}

impl MessageOutline {
    pub(super) fn new(id: QueueId) -> Self {
        Self { id, first: None, last: None, delivered: 0, failed: 0, is_removed: false }
    }

    /// How it was accepted, or else the first that is known of it.
    #[must_use]
    pub fn into_first(self) -> Option<TracedEvent> {
        self.first
    }

    /// In one row: ID, date, sender, recipients, state, connector, subject.
    #[must_use]
    pub fn row(&self) -> Vec<String> {
        let facts = self.first.as_ref().map(|first| first.facts.clone()).unwrap_or_default();
        let at = self.first.as_ref().map(|first| first.at.clone()).unwrap_or_default();
        let (from, to) = (facts.reverse_path.clone().unwrap_or_default(), recipients(&facts));
        let by = self.last.as_ref().or(self.first.as_ref()).and_then(connector).unwrap_or_default();
        let subject: String = facts.subject.unwrap_or_default().chars().take(SUBJECT_MAX).collect();
        let cells = [self.id.to_string(), at, format!("<{from}>"), to, self.state(), by, subject];
        cells.iter().map(|cell| clean(cell)).collect()
    }

    /// How its recipients have ended, or the last that happened.
    fn state(&self) -> String {
        if self.is_removed {
            return "removed".to_owned();
        }
        let all = self.first.as_ref().and_then(|first| first.facts.recipient_count).unwrap_or(1);
        let is_open = self.delivered.saturating_add(self.failed) < all;
        match (is_open, self.delivered > 0, self.failed > 0) {
            (false, true, true) => "part failed".to_owned(),
            (true, true, _) | (true, _, true) => "under way".to_owned(),
            (true | false, ..) => {
                self.last.as_ref().map_or_else(|| "accepted".to_owned(), |last| last.event.clone())
            }
        }
    }
}

/// Events that say how it stands with a message.
pub(super) const STATES: [EventKind; 5] =
    [EventKind::Delivered, EventKind::Deferred, EventKind::Rerouted, EventKind::Failed, EventKind::Held];
const SUBJECT_MAX: usize = 40;
