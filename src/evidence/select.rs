//! Which events an auditor is shown: those of one partner, and nothing that names others. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::event::RecordedEvent;
use crate::connector::DecisionRecord;
use crate::seal::Hash;
use crate::trace::RecordedLine;

/// What is looked for, and what was found in a first pass over the events.
#[derive(Debug)]
pub(super) struct Selection {
    partner: String,
    connectors: BTreeSet<String>,
    /// Messages of the partner, each with its recipients there.
    messages: HashMap<String, HashSet<String>>,
    decisions: BTreeMap<Hash, KnownDecision>,
    /// Arrivals that are left out, since they name recipients elsewhere.
    pub(super) left_out: u64,
}

/// A decision that was read before.
#[derive(Debug)]
struct KnownDecision {
    record: Option<DecisionRecord>,
    is_of_partner: bool,
}

impl Selection {
    pub(super) fn new(partner: &str, connectors: impl IntoIterator<Item = String>) -> Self {
        Self {
            partner: partner.to_owned(),
            connectors: connectors.into_iter().collect(),
            messages: HashMap::new(),
            decisions: BTreeMap::new(),
            left_out: 0,
        }
    }

    /// Looks at an event for the first time.
    pub(super) fn learn(&mut self, line: &RecordedLine<'_>) {
        let Some(event) = read(line) else { return };
        if !self.concerns(&event, line) {
            return;
        }
        if let Some(id) = event.id {
            let recipients = self.messages.entry(id).or_default();
            recipients.extend(event.facts.forward_path.map(|path| path.to_lowercase()));
        }
    }

    /// The event with its decision, if it is shown. Every event was looked at before.
    pub(super) fn pick(
        &mut self,
        line: &RecordedLine<'_>,
    ) -> Option<(RecordedEvent, Option<DecisionRecord>)> {
        let event = read(line)?;
        let is_shown = self.concerns(&event, line) || self.goes_along(&event);
        is_shown.then(|| (event, self.known(line).and_then(|known| known.record.clone())))
    }

    /// How many messages there are.
    pub(super) fn messages(&self) -> usize {
        self.messages.len()
    }

    fn concerns(&mut self, event: &RecordedEvent, line: &RecordedLine<'_>) -> bool {
        let facts = &event.facts;
        let named = [&facts.connector, &facts.came_by, &facts.rerouted_from, &facts.rerouted_to];
        named.into_iter().flatten().any(|name| self.connectors.contains(name))
            || self.known(line).is_some_and(|known| known.is_of_partner)
    }

    /// Whether an event of a message of the partner says nothing of others.
    fn goes_along(&mut self, event: &RecordedEvent) -> bool {
        let Some(here) = event.id.as_ref().and_then(|id| self.messages.get(id)) else { return false };
        match event.event.as_str() {
            "accepted" => {
                let facts = &event.facts;
                let all = facts.recipient_count.unwrap_or(usize::MAX);
                let is_ours = facts.recipients.len() == all
                    && facts.recipients.iter().all(|path| here.contains(&path.to_lowercase()));
                if !is_ours {
                    self.left_out = self.left_out.saturating_add(1);
                }
                is_ours
            }
            "held" | "handled" => true,
            _ => false,
        }
    }

    fn known(&mut self, line: &RecordedLine<'_>) -> Option<&KnownDecision> {
        let (hash, text) = line.decision?;
        let hash = Hash::from_hex(hash)?;
        if self.decisions.len() >= DECISIONS_MAX && !self.decisions.contains_key(&hash) {
            self.decisions.clear();
        }
        let (partner, connectors) = (self.partner.as_str(), &self.connectors);
        Some(self.decisions.entry(hash).or_insert_with(|| KnownDecision::of(text, partner, connectors)))
    }
}

impl KnownDecision {
    fn of(text: &str, partner: &str, connectors: &BTreeSet<String>) -> Self {
        let record: Option<DecisionRecord> = serde_json::from_str(text).ok();
        let is_of_partner = record.as_ref().is_some_and(|record| {
            record.partner.as_deref() == Some(partner)
                || record.connector.as_ref().is_some_and(|name| connectors.contains(name))
        });
        Self { record, is_of_partner }
    }
}

fn read(line: &RecordedLine<'_>) -> Option<RecordedEvent> {
    serde_json::from_str(line.line).ok()
}

/// Decisions that are kept in memory, a few KiB each.
const DECISIONS_MAX: usize = 4_096;
