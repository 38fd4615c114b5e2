//! Which messages events are about, the newest first.

use std::collections::HashSet;

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
    /// Whether there may be more than these.
    pub is_cut: bool,
}

impl TracedMessages {
    /// Looks for events until there are `limit` messages, and no more than `limit` events that are about none: what
    /// strangers cause takes no place from mail.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn search(reader: &mut TraceReader, filter: &TraceFilter, limit: usize) -> rusqlite::Result<Self> {
        let (mut messages, mut seen, mut others) = (Vec::new(), HashSet::new(), Vec::new());
        let (mut looked_at, mut is_cut) = (0_usize, false);
        reader.look(filter, |seq, id| {
            looked_at = looked_at.saturating_add(1);
            match id {
                Some(id) if seen.contains(&id) => {}
                Some(id) if messages.len() < limit => {
                    seen.insert(id);
                    messages.push(id);
                }
                None if others.len() < limit => others.push(seq),
                Some(_) | None => is_cut = true,
            }
            is_cut |= looked_at >= EVENTS_MAX;
            looked_at < EVENTS_MAX && (messages.len() < limit || !is_cut)
        })?;
        Ok(Self { messages, others: reader.events_at(&others)?, is_cut })
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
const EVENTS_MAX: usize = 200_000;
