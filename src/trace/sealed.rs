//! Reads the record as it is sealed: statements, parts, and the events of a part with the octets that were hashed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::aside::is_damage;
use super::code::{signed, unsigned};
use super::leaf::StoredEvent;
use super::reader::TraceReader;
use super::schema;
use crate::seal::{Hash, SignedStatement, Statement};

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
                number: unsigned(number),
                // Whoever altered it may have left no text there.
                text: row.get(1).unwrap_or_default(),
                signature: row.get(2).unwrap_or_default(),
                stamp: row.get_ref(3)?.as_blob_or_null().unwrap_or(Some(&[])).map(<[u8]>::to_vec),
            })
        })?;
        rows.collect()
    }

    /// The first and the last statement, without verifying either.
    ///
    /// # Errors
    /// The database error.
    pub fn outer_statements(&self) -> rusqlite::Result<Option<(Statement, Statement, Hash)>> {
        if !schema::has_seals(self.connection())? {
            return Ok(None);
        }
        let one = |order: &str| -> rusqlite::Result<Option<String>> {
            let sql = format!("SELECT text FROM statement ORDER BY number {order} LIMIT 1");
            self.connection()
                .prepare_cached(&sql)?
                .query_row([], |row| Ok(row.get(0).unwrap_or_default()))
                .optional()
        };
        let (Some(first), Some(last)) = (one("ASC")?, one("DESC")?) else { return Ok(None) };
        let hash = Hash::of(last.as_bytes());
        let read = |text: &str| serde_json::from_str::<Statement>(text).ok();
        Ok(read(&first).zip(read(&last)).map(|(first, last)| (first, last, hash)))
    }

    /// The parts that are there, in order.
    fn record_parts(&self) -> rusqlite::Result<Vec<RecordPart>> {
        let sealed = if schema::has_seals(self.connection())? { "sealed" } else { "0" };
        let sql = format!(
            "SELECT part, day, first_seq, last_seq, {sealed} FROM part WHERE part >= 0 ORDER BY part"
        );
        let mut statement = self.connection().prepare_cached(&sql)?;
        let rows = statement.query_map([], |row| {
            // Whoever altered it may have left no number there; statements say what it was.
            Ok(RecordPart {
                part: unsigned(row.get(0)?),
                day: row.get(1).unwrap_or_default(),
                first_seq: unsigned(row.get(2).unwrap_or_default()),
                last_seq: unsigned(row.get(3).unwrap_or_default()),
                is_sealed: row.get(4).unwrap_or(true),
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
        see: impl FnMut(RecordedLine<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // One moment of the store, so that no decision is given to another event meanwhile.
        let _frozen = self.connection().unchecked_transaction()?;
        part_lines(self.connection(), signed(part.part), see)
    }
}

/// Every event of a part, in order: none, where the part has lost its table, or a column of it. What is not of the type that was stored has an
/// empty line, which has no event's hash.
pub(super) fn part_lines<E: From<rusqlite::Error>>(
    connection: &Connection,
    number: i64,
    mut see: impl FnMut(RecordedLine<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let leaf = if schema::has_leaves(connection, number)? { "leaf" } else { "NULL" };
    let sql = format!("SELECT seq, at, kind, id, decision, data, {leaf} FROM event_{number} ORDER BY seq");
    let mut statement = match connection.prepare(&sql) {
        // Upkeep removes a part and its table together: this was somebody else.
        Err(fault) if is_damage(&fault) && schema::has_part(connection, number)? => return Ok(()),
        prepared => prepared?,
    };
    let mut rows = statement.query([])?;
    let (mut decisions, mut line) = (DecisionTexts::new(), String::new());
    while let Some(row) = rows.next()? {
        line.clear();
        let seq: i64 = row.get(0)?;
        let mut at = 0;
        let mut decision = None;
        if let Ok(stored) = EventColumns::of(row) {
            at = stored.at;
            let known = match stored.decision {
                Some(number) => text_of(connection, &mut decisions, number)?.map(Some),
                None => Some(None),
            };
            // A decision that is not there is not the one that it was.
            if let Some(known) = known {
                decision = known;
                let event = StoredEvent {
                    seq,
                    at,
                    kind: stored.kind,
                    id: stored.id,
                    decision: decision.map(|(hash, _)| hash),
                    data: &stored.data,
                };
                event.write_line(&mut line);
            }
        }
        let leaf: Option<Vec<u8>> = row.get(6).unwrap_or_default();
        see(RecordedLine {
            seq: unsigned(seq),
            at,
            line: &line,
            leaf: leaf.and_then(|octets| Hash::from_octets(&octets)),
            decision,
        })?;
    }
    Ok(())
}

/// The columns of a row, each of its own type.
struct EventColumns {
    at: i64,
    kind: u8,
    id: Option<i64>,
    decision: Option<i64>,
    data: String,
}

impl EventColumns {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            at: row.get(1)?,
            kind: row.get(2)?,
            id: row.get(3)?,
            decision: row.get(4)?,
            data: row.get(5)?,
        })
    }
}

/// Decisions that were read, by their numbers: the hash of the text, in hexadecimal digits, and the text.
type DecisionTexts = HashMap<i64, Option<(String, String)>>;

fn text_of<'a>(
    connection: &Connection,
    known: &'a mut DecisionTexts,
    number: i64,
) -> rusqlite::Result<Option<(&'a str, &'a str)>> {
    if known.len() >= DECISIONS_MAX && !known.contains_key(&number) {
        known.clear();
    }
    let found = match known.entry(number) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(place) => {
            let mut statement =
                match connection.prepare_cached("SELECT data FROM decision WHERE decision = ?1") {
                    Err(fault) if is_damage(&fault) => return Ok(None),
                    prepared => prepared?,
                };
            let text: Option<String> = statement
                .query_row(params![number], |row| Ok(row.get(0).unwrap_or_default()))
                .optional()?
                .flatten();
            place.insert(text.map(|text| (Hash::of(text.as_bytes()).to_string(), text)))
        }
    };
    Ok(found.as_ref().map(|(hash, text)| (hash.as_str(), text.as_str())))
}

/// Decisions that are kept in memory while a part is read, a few KiB each.
const DECISIONS_MAX: usize = 4_096;
