//! Which messages events are about, the newest first.

use std::collections::BTreeSet;

use super::filter::TraceFilter;
use super::reader::TraceReader;
use super::record::TracedEvent;
use crate::mail::QueueId;

/// What was found, the newest first.
pub struct TracedMessages {
    /// Messages.
    pub messages: Vec<QueueId>,
    /// Events that are about no message.
    pub others: Vec<TracedEvent>,
}

impl TracedMessages {
    /// Looks for events until enough messages have some.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn search(reader: &mut TraceReader, filter: &TraceFilter, limit: usize) -> rusqlite::Result<Self> {
        let mut wanted = limit.saturating_mul(4).max(200);
        loop {
            let events = reader.search(filter, wanted)?;
            let is_all = events.len() < wanted;
            let (mut seen, mut found) = (BTreeSet::new(), Self { messages: Vec::new(), others: Vec::new() });
            for event in events {
                let full = found.messages.len().saturating_add(found.others.len()) >= limit;
                match event.id.as_deref().and_then(|id| id.parse::<QueueId>().ok()) {
                    Some(id) if !full && seen.insert(id) => found.messages.push(id),
                    None if !full => found.others.push(event),
                    Some(_) | None => {}
                }
            }
            let count = found.messages.len().saturating_add(found.others.len());
            if is_all || count >= limit || wanted >= EVENTS_MAX {
                return Ok(found);
            }
            wanted = wanted.saturating_mul(8).min(EVENTS_MAX);
        }
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.others.is_empty()
    }

    /// Every event of the messages found, oldest message first.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn events(self, reader: &mut TraceReader, narrow: bool) -> rusqlite::Result<Vec<TracedEvent>> {
        let mut events = Vec::new();
        for id in self.messages.iter().rev() {
            events.extend(reader.timeline(*id)?);
        }
        events.extend(self.others);
        if !narrow {
            events.sort_by_key(|event| event.seq);
        }
        Ok(events)
    }
}

/// Events that are looked through for messages.
const EVENTS_MAX: usize = 100_000;
