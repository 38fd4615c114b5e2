//! Reads the record as it is sealed: statements, parts, and the events of a part with the octets that were hashed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{OptionalExtension as _, params};

use super::leaf::StoredEvent;
use super::reader::TraceReader;
use super::schema;
use crate::seal::{Hash, SignedStatement};

/// A part of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPart {
    /// Its number.
    pub part: u64,
    /// The day on which it was begun, since 1970.
    pub day: i64,
    /// The number of its first event.
    pub first_seq: u64,
    /// The number of its last event.
    pub last_seq: u64,
    /// Whether its events were hashed when they were written.
    pub is_sealed: bool,
}

/// An event, as its hash is made.
#[derive(Debug)]
pub struct RecordedLine<'a> {
    /// Its number.
    pub seq: u64,
    /// When it happened, in milliseconds since 1970.
    pub at: i64,
    /// The octets that are hashed, a line of JSON.
    pub line: &'a str,
    /// The hash that was made of them when it was written.
    pub leaf: Option<Hash>,
    /// Its decision: the hash of its text, and the text.
    pub decision: Option<(&'a str, &'a str)>,
}

impl TraceReader {
    /// Statements and parts, as they are at one moment.
    ///
    /// # Errors
    /// The database error.
    pub fn record(&self) -> rusqlite::Result<(Vec<SignedStatement>, Vec<RecordPart>)> {
        let _frozen = self.connection().unchecked_transaction()?;
        Ok((self.statements()?, self.record_parts()?))
    }

    /// Every statement that was kept, in the order of their numbers.
    fn statements(&self) -> rusqlite::Result<Vec<SignedStatement>> {
        if !schema::has_seals(self.connection())? {
            return Ok(Vec::new());
        }
        let mut statement = self
            .connection()
            .prepare_cached("SELECT number, text, signature, stamp FROM statement ORDER BY number")?;
        let rows = statement.query_map([], |row| {
            let number: i64 = row.get(0)?;
            Ok(SignedStatement {
                number: u64::try_from(number).unwrap_or_default(),
                // Whoever altered it may have left no text there.
                text: row.get(1).unwrap_or_default(),
                signature: row.get(2).unwrap_or_default(),
                stamp: row.get(3)?,
            })
        })?;
        rows.collect()
    }

    /// The parts that are there, in order.
    fn record_parts(&self) -> rusqlite::Result<Vec<RecordPart>> {
        let sealed = if schema::has_seals(self.connection())? { "tree IS NOT NULL" } else { "0" };
        let sql = format!("SELECT part, day, first_seq, last_seq, {sealed} FROM part ORDER BY part");
        let mut statement = self.connection().prepare_cached(&sql)?;
        let unsigned = |number: i64| u64::try_from(number).unwrap_or_default();
        let rows = statement.query_map([], |row| {
            Ok(RecordPart {
                part: unsigned(row.get(0)?),
                day: row.get(1)?,
                first_seq: unsigned(row.get(2)?),
                last_seq: unsigned(row.get(3)?),
                is_sealed: row.get(4)?,
            })
        })?;
        rows.collect()
    }

    /// Every event that a part has, in order, whatever its row says about how many there are.
    ///
    /// # Errors
    /// The database error, or what `see` answers.
    pub fn record_lines<E: From<rusqlite::Error>>(
        &self,
        part: &RecordPart,
        mut see: impl FnMut(RecordedLine<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let number = part.part;
        // Parts that an earlier version made have no hashes.
        let has_hashes: bool = self.connection().query_row(
            "SELECT COUNT(*) > 0 FROM pragma_table_info(?1) WHERE name = 'leaf'",
            [format!("event_{number}")],
            |row| row.get(0),
        )?;
        let leaf = if has_hashes { "leaf" } else { "NULL" };
        let sql =
            format!("SELECT seq, at, kind, id, decision, data, {leaf} FROM event_{number} ORDER BY seq");
        // One moment of the store, so that no decision is given to another event meanwhile.
        let _frozen = self.connection().unchecked_transaction()?;
        let mut statement = self.connection().prepare(&sql)?;
        let mut rows = statement.query([])?;
        let (mut decisions, mut line) = (HashMap::<i64, Option<(String, String)>>::new(), String::new());
        while let Some(row) = rows.next()? {
            let decision: Option<i64> = row.get(4).unwrap_or_default();
            let decision = match decision {
                Some(decision) => {
                    if decisions.len() >= DECISIONS_MAX {
                        decisions.clear();
                    }
                    match decisions.entry(decision) {
                        Entry::Occupied(known) => known.into_mut().as_ref(),
                        Entry::Vacant(place) => place.insert(self.decision_text(decision)?).as_ref(),
                    }
                }
                None => None,
            };
            let decision = decision.map(|(hash, text)| (hash.as_str(), text.as_str()));
            // Whoever altered a row may have left something else there: its hash tells.
            let data: String = row.get(5).unwrap_or_default();
            let stored = StoredEvent {
                seq: row.get(0)?,
                at: row.get(1).unwrap_or_default(),
                kind: row.get(2).unwrap_or_default(),
                id: row.get(3).unwrap_or_default(),
                decision: decision.map(|(hash, _)| hash),
                data: &data,
            };
            line.clear();
            stored.write_line(&mut line);
            let leaf: Option<Vec<u8>> = row.get(6).unwrap_or_default();
            see(RecordedLine {
                seq: u64::try_from(stored.seq).unwrap_or_default(),
                at: stored.at,
                line: &line,
                leaf: leaf.and_then(|octets| Hash::from_octets(&octets)),
                decision,
            })?;
        }
        Ok(())
    }

    /// The text of a decision, and the hash of it, in hexadecimal digits.
    fn decision_text(&self, number: i64) -> rusqlite::Result<Option<(String, String)>> {
        let text: Option<String> = self
            .connection()
            .prepare_cached("SELECT data FROM decision WHERE decision = ?1")?
            .query_row(params![number], |row| row.get(0))
            .optional()?;
        Ok(text.map(|text| (Hash::of(text.as_bytes()).to_string(), text)))
    }
}

/// Decisions that are kept in memory while a part is read, a few KiB each.
const DECISIONS_MAX: usize = 4_096;
