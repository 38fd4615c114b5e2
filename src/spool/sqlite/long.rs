//! Work on the whole queue, a piece at a time, each in a commit of its own: who wants to hand in or
//! settle a message is served between two pieces.

use std::collections::BTreeSet;

use rusqlite::{Connection, Result, params};

use super::apply::NEVER;
use super::ops::Answer;
use crate::mail::UnixMillis;
use crate::spool::{LaneKey, SpoolFault};

/// Makes everything due that is not held.
pub(super) struct HastenAll {
    now: UnixMillis,
    answer: Answer<(Vec<LaneKey>, usize)>,
    /// The last recipient that was looked at: message and number.
    after: (i64, i64),
    lanes: BTreeSet<LaneKey>,
    count: usize,
}

impl HastenAll {
    pub(super) fn new(now: UnixMillis, answer: Answer<(Vec<LaneKey>, usize)>) -> Self {
        Self { now, answer, after: (i64::MIN, 0), lanes: BTreeSet::new(), count: 0 }
    }

    /// Works on the next piece, inside a transaction. Says whether there is more.
    ///
    /// # Errors
    /// What the database gave; the transaction is to be rolled back.
    pub(super) fn piece(&mut self, writer: &Connection) -> Result<bool> {
        let before = self.after;
        let mut look = writer.prepare_cached(PIECE)?;
        let mut found = look.query(params![before.0, before.1, ROWS_MAX])?;
        let mut seen: i64 = 0;
        while let Some(row) = found.next()? {
            seen = seen.saturating_add(1);
            self.after = (row.get(0)?, row.get(1)?);
            // What is due already counts too: its lane may be blocked, and is to be tried as well.
            if UnixMillis(row.get(2)?) < NEVER {
                self.count = self.count.saturating_add(1);
                let lane = row.get_ref(3)?.as_str()?;
                if !self.lanes.contains(lane) {
                    self.lanes.insert(LaneKey(lane.into()));
                }
            }
        }
        drop(found);
        let last = self.after;
        writer
            .prepare_cached(HASTEN_PIECE)?
            .execute(params![before.0, before.1, last.0, last.1, NEVER.0, self.now.0])?;
        Ok(seen >= ROWS_MAX)
    }

    /// Tells who asked.
    pub(super) fn end(self, result: std::result::Result<(), SpoolFault>) {
        // Nobody may be waiting any more.
        let _ = self.answer.send(result.map(|()| (self.lanes.into_iter().collect(), self.count)));
    }
}

/// Recipients in one piece: a few milliseconds.
const ROWS_MAX: i64 = 500;

const PIECE: &str = "
    SELECT message, number, next_at, lane FROM recipient
    WHERE (message, number) > (?1, ?2) ORDER BY message, number LIMIT ?3";

const HASTEN_PIECE: &str = "
    UPDATE recipient SET next_at = ?6
    WHERE (message, number) > (?1, ?2) AND (message, number) <= (?3, ?4) AND next_at < ?5 AND next_at > ?6";
