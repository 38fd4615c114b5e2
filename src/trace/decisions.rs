//! Decisions as they are stored: once each, however many events have them.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::terms;
use crate::connector::{Decision, DecisionRecord};
use crate::seal::Hash;

/// What is known of the decisions that were stored lately.
#[derive(Default)]
pub(super) struct StoredDecisions {
    /// By the address of the decision, which each entry keeps alive, so that it stays theirs.
    recent: HashMap<usize, StoredDecision>,
}

/// One decision in the store.
#[derive(Clone)]
pub(super) struct StoredDecision {
    decision: Arc<Decision>,
    pub(super) id: i64,
    day: i64,
    /// Its session is in the sums.
    is_counted: bool,
    /// What its events are found by.
    pub(super) terms: Arc<str>,
    /// Its SHA-256 hash, in hexadecimal digits.
    pub(super) digest: Arc<str>,
}

impl StoredDecisions {
    /// The decision's place, storing it if it is new.
    pub(super) fn place(
        &mut self,
        connection: &Connection,
        decision: &Arc<Decision>,
        day: i64,
    ) -> rusqlite::Result<StoredDecision> {
        let address = Arc::as_ptr(decision).addr();
        if let Some(known) = self.recent.get(&address).filter(|known| known.day == day) {
            return Ok(known.clone());
        }
        let is_counted = self.recent.get(&address).is_some_and(|known| known.is_counted);
        let data = data(decision);
        let digest = Hash::of(data.as_bytes());
        let stored = connection
            .prepare_cached("UPDATE decision SET day = MAX(day, ?2) WHERE digest = ?1 RETURNING decision")?
            .query_row(params![digest.0, day], |row| row.get(0))
            .optional()?;
        let id = match stored {
            Some(id) => id,
            None => {
                connection
                    .prepare_cached("INSERT INTO decision (digest, day, data) VALUES (?1, ?2, ?3)")?
                    .execute(params![digest.0, day, data])?;
                connection.last_insert_rowid()
            }
        };
        if self.recent.len() >= RECENT_MAX {
            // What nobody else holds belongs to a session that is over.
            self.recent.retain(|_, known| Arc::strong_count(&known.decision) > 1);
            if self.recent.len() >= RECENT_MAX {
                self.recent.clear();
            }
        }
        let terms = terms::of_decision(decision).into();
        let digest = digest.to_string().into();
        let known = StoredDecision { decision: Arc::clone(decision), id, day, is_counted, terms, digest };
        self.recent.insert(address, known.clone());
        Ok(known)
    }

    /// Whether the session of a decision that has a place is counted for the first time.
    pub(super) fn is_new_session(&mut self, decision: &Arc<Decision>) -> bool {
        let known = self.recent.get_mut(&Arc::as_ptr(decision).addr());
        known.is_some_and(|known| !std::mem::replace(&mut known.is_counted, true))
    }

    /// Forgets everything: a transaction was undone.
    pub(super) fn forget(&mut self) {
        self.recent.clear();
    }
}

/// As JSON, without the time of the handshake: two sessions that came to the same are the same decision.
fn data(decision: &Decision) -> String {
    let mut record = DecisionRecord::from(decision);
    if let Some(serde_json::Value::Object(tls)) = &mut record.tls {
        tls.remove("at");
    }
    serde_json::to_string(&record).unwrap_or_default()
}

/// Decisions that are kept in memory, a few KiB each.
const RECENT_MAX: usize = 1_024;
