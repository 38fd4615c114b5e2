//! The database of events: batches go in, each in one commit.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::code::{StoredWord, signed, unsigned};
use super::decisions::StoredDecisions;
use super::leaf::StoredEvent;
use super::ledger::{self, StatementLedger};
use super::rebuilt::{PartSpan, RebuiltPart, rebuild};
use super::record::NewEvent;
use super::schema::{self, ADD_HOST, ADD_TO_SUM, FIND_SUM, NEW_SUM, TraceFault};
use super::sums::{self, BatchSums, Sum, SumKey};
use super::terms;
use crate::seal::{GrowingTree, Hash};

/// The database, and what of it is known in memory.
pub(super) struct Store {
    pub(super) connection: Connection,
    /// Which file it is.
    pub(super) identity: Option<(u64, u64)>,
    decisions: StoredDecisions,
    pub(super) part: Option<Part>,
    pub(super) next_seq: i64,
    next_part: i64,
    /// The number of sums of a day and direction, so that domains that nobody knows can't fill them.
    counted: BTreeMap<(i64, bool), u64>,
    /// Where sums are, so that adding to one finds it at once.
    sum_rows: HashMap<SumKey, i64>,
    /// Whether new parts are sealed.
    pub(super) is_sealing: bool,
    /// The tree of the part that is written, if it is sealed.
    pub(super) tree: Option<GrowingTree>,
    /// Parts may be there that an earlier run of the program has left so.
    pub(super) has_old_parts: bool,
    /// Parts that were written since the start and get no more, with their last events and trees.
    pub(super) ended: Vec<EndedPart>,
    /// The key is old, and another one is to take its place.
    pub(super) is_key_due: bool,
    pub(super) ledger: Option<StatementLedger>,
}

/// A part that gets no more events.
#[derive(Debug, Clone)]
pub(super) struct EndedPart {
    pub(super) part: Part,
    pub(super) last_seq: i64,
    pub(super) tree: GrowingTree,
}

/// The part that is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) number: i64,
    pub(super) day: i64,
    pub(super) first_seq: i64,
}

impl Part {
    pub(super) fn span(self, last_seq: i64) -> PartSpan {
        PartSpan { number: self.number, day: self.day, first_seq: self.first_seq, last_seq }
    }
}

impl Store {
    /// Opens the store. `is_sealing`: new parts are sealed.
    pub(super) fn open(path: &Path, is_sealing: bool) -> Result<Self, TraceFault> {
        let connection = schema::open_writer(path)?;
        let faulty = |error| TraceFault::Database(path.to_owned(), error);
        let last = last_part(&connection).map_err(faulty)?;
        // What was stated of events that are gone is not stated of others.
        let (stated_part, stated_seq) = ledger::sealed_up_to(&connection).map_err(faulty)?;
        let last_seq = last.as_ref().map_or(0, |last| last.last_seq).max(stated_seq);
        let next_seq = last_seq.saturating_add(1);
        let next_part = last.as_ref().map_or(0, |last| last.part.number).max(stated_part).saturating_add(1);
        let (part, tree) = match last.filter(|last| last.last_seq == last_seq && last.is_open_for(is_sealing))
        {
            Some(last) if is_sealing => {
                match rebuild(&connection, last.part.span(last.last_seq)).map_err(faulty)? {
                    RebuiltPart::Whole(tree) => (Some(last.part), Some(tree)),
                    RebuiltPart::Closed | RebuiltPart::Altered => (None, None),
                }
            }
            Some(last) => (Some(last.part), None),
            None => (None, None),
        };
        let identity = schema::identity(path);
        Ok(Self {
            connection,
            identity,
            decisions: StoredDecisions::default(),
            part,
            next_seq,
            next_part,
            counted: BTreeMap::new(),
            sum_rows: HashMap::new(),
            is_sealing,
            tree,
            has_old_parts: true,
            ended: Vec::new(),
            is_key_due: false,
            ledger: None,
        })
    }

    /// Writes a batch in one commit, or nothing.
    pub(super) fn write(&mut self, events: &[NewEvent], sums: BatchSums) -> rusqlite::Result<()> {
        let before = (self.part, self.next_seq, self.next_part, self.tree.clone());
        let ended = self.ended.len();
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let done = self.put(events, sums).and_then(|()| self.connection.execute_batch("COMMIT"));
        if done.is_err() {
            (self.part, self.next_seq, self.next_part, self.tree) = before;
            self.ended.truncate(ended);
            // It fails if SQLite has rolled back already.
            let _over = self.connection.execute_batch("ROLLBACK");
        }
        done
    }

    fn put(&mut self, events: &[NewEvent], mut sums: BatchSums) -> rusqlite::Result<()> {
        let mut rest = events;
        while let Some(first) = rest.first() {
            let part = self.part_for(first.at.day())?;
            let used = self.next_seq.saturating_sub(part.first_seq);
            let room = usize::try_from(PART_EVENTS.saturating_sub(used)).unwrap_or(0).max(1);
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.put_in(part, now, &mut sums)?;
            rest = later;
        }
        self.add(sums.into_sums())
    }

    fn put_in(&mut self, part: Part, events: &[NewEvent], sums: &mut BatchSums) -> rusqlite::Result<()> {
        let number = part.number;
        let mut event_row = self.connection.prepare_cached(&format!(
            "INSERT INTO event_{number} (seq, at, kind, id, decision, data, leaf) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
        ))?;
        let mut term_row = self
            .connection
            .prepare_cached(&format!("INSERT INTO term_{number} (rowid, terms) VALUES (?1, ?2)"))?;
        let (mut terms, mut line, mut dates) = (String::new(), String::new(), (i64::MAX, i64::MIN));
        for event in events {
            let seq = self.next_seq;
            terms.clear();
            terms::of_event(event.kind, &event.facts, &mut terms);
            let (mut decision, mut digest, mut fresh) = (None, None, false);
            if let Some(made) = &event.decision {
                let stored = self.decisions.place(&self.connection, made, event.at.day())?;
                terms.push_str(&stored.terms);
                (decision, digest) = (Some(stored.id), Some(stored.digest));
                fresh = sums::direction(event.kind).is_some() && self.decisions.is_new_session(made);
            }
            let data = serde_json::to_string(&event.facts).unwrap_or_default();
            let id = event.id.map(crate::mail::QueueId::to_number);
            let kind = event.kind.number();
            let leaf = self.tree.as_mut().map(|tree| {
                line.clear();
                let (at, decision) = (event.at.0, digest.as_deref());
                StoredEvent { seq, at, kind, id, decision, data: &data }.write_line(&mut line);
                let leaf = Hash::of_leaf(line.as_bytes());
                tree.push(leaf);
                leaf.0
            });
            event_row.execute(params![seq, event.at.0, kind, id, decision, data, leaf])?;
            term_row.execute(params![seq, terms])?;
            sums.count(event, fresh);
            dates = (dates.0.min(event.at.0), dates.1.max(event.at.0));
            self.next_seq = seq.saturating_add(1);
        }
        let last = self.next_seq.saturating_sub(1);
        self.connection
            .prepare_cached(
                "UPDATE part SET last_seq = ?2, first_at = MIN(first_at, ?3), last_at = MAX(last_at, ?4) WHERE part = ?1",
            )?
            .execute(params![number, last, dates.0, dates.1])
            .map(drop)
    }

    /// The part for events of a day; a new one if the last is of another day, or full.
    fn part_for(&mut self, day: i64) -> rusqlite::Result<Part> {
        let fits =
            |part: &Part| part.day == day && self.next_seq.saturating_sub(part.first_seq) < PART_EVENTS;
        if let Some(part) = self.part.filter(fits) {
            return Ok(part);
        }
        self.end_part();
        let part = Part { number: self.next_part, day, first_seq: self.next_seq };
        schema::make_part(&self.connection, part.number)?;
        self.connection.execute(
            "INSERT INTO part (part, day, first_seq, last_seq, first_at, last_at, sealed)
            VALUES (?1, ?2, ?3, ?3 - 1, ?4, ?5, ?6)",
            params![part.number, day, part.first_seq, i64::MAX, i64::MIN, self.is_sealing],
        )?;
        self.next_part = part.number.saturating_add(1);
        self.part = Some(part);
        self.tree = self.is_sealing.then(GrowingTree::default);
        Ok(part)
    }

    /// Writes no more events to the part that was written so far.
    pub(super) fn end_part(&mut self) {
        let Some(part) = self.part.take() else { return };
        if let Some(tree) = self.tree.take() {
            self.ended.push(EndedPart { part, last_seq: self.next_seq.saturating_sub(1), tree });
        }
    }

    fn add(&mut self, sums: Vec<(SumKey, Sum)>) -> rusqlite::Result<()> {
        for (mut key, sum) in sums {
            let mut row = self.sum_row(&key)?;
            if row.is_none() && !key.domain.is_empty() && self.count_of(key.day, key.inbound)? >= SUMS_A_DAY {
                key.domain = String::new();
                row = self.sum_row(&key)?;
            }
            let row = match row {
                Some(row) => row,
                None => self.new_sum(key)?,
            };
            self.connection.prepare_cached(ADD_TO_SUM)?.execute(params![
                row,
                signed(sum.messages),
                signed(sum.sessions),
                signed(sum.octets),
            ])?;
            // The star that stands for more comes last.
            for host in sum.hosts.iter().rev() {
                self.connection.prepare_cached(ADD_HOST)?.execute(params![row, host])?;
            }
        }
        Ok(())
    }

    /// The row of a sum, if it has one.
    fn sum_row(&mut self, key: &SumKey) -> rusqlite::Result<Option<i64>> {
        if let Some(row) = self.sum_rows.get(key) {
            return Ok(Some(*row));
        }
        let row: Option<i64> = self
            .connection
            .prepare_cached(FIND_SUM)?
            .query_row(
                params![
                    key.day,
                    key.inbound,
                    key.connector,
                    key.partner,
                    key.domain,
                    key.kind.number(),
                    key.reason,
                    key.requirement.number(),
                    key.version,
                    key.quality.number(),
                ],
                |row| row.get(0),
            )
            .optional()?;
        if let Some(row) = row {
            self.know_sum(key.clone(), row);
        }
        Ok(row)
    }

    fn new_sum(&mut self, key: SumKey) -> rusqlite::Result<i64> {
        self.connection.prepare_cached(NEW_SUM)?.execute(params![
            key.day,
            key.inbound,
            key.connector,
            key.partner,
            key.domain,
            key.kind.number(),
            key.reason,
            key.requirement.number(),
            key.version,
            key.quality.number(),
        ])?;
        let row = self.connection.last_insert_rowid();
        let count = self.counted.entry((key.day, key.inbound)).or_default();
        *count = count.saturating_add(1);
        self.know_sum(key, row);
        Ok(row)
    }

    fn know_sum(&mut self, key: SumKey, row: i64) {
        if self.sum_rows.len() >= SUM_ROWS_KNOWN {
            self.sum_rows.clear();
        }
        self.sum_rows.insert(key, row);
    }

    fn count_of(&mut self, day: i64, inbound: bool) -> rusqlite::Result<u64> {
        if let Some(count) = self.counted.get(&(day, inbound)) {
            return Ok(*count);
        }
        let count: i64 = self
            .connection
            .prepare_cached("SELECT COUNT(*) FROM sum WHERE day = ?1 AND inbound = ?2")?
            .query_row(params![day, inbound], |row| row.get(0))?;
        let count = unsigned(count);
        self.counted.retain(|(known, _), _| known.saturating_add(1) >= day);
        self.counted.insert((day, inbound), count);
        Ok(count)
    }

    /// Forgets what is known of rows: some may be gone.
    pub(super) fn forget(&mut self) {
        self.decisions.forget();
        self.counted.clear();
        self.sum_rows.clear();
    }
}

/// The last part, as it is stored.
struct LastPart {
    part: Part,
    last_seq: i64,
    is_sealed: bool,
    is_closed: bool,
    has_leaves: bool,
}

impl LastPart {
    /// Whether more events may be written to it.
    fn is_open_for(&self, is_sealing: bool) -> bool {
        !self.is_closed && self.has_leaves && self.is_sealed == is_sealing
    }
}

fn last_part(connection: &Connection) -> rusqlite::Result<Option<LastPart>> {
    let last = connection
        .query_row(
            "SELECT part, day, first_seq, last_seq, sealed, closed FROM part ORDER BY part DESC LIMIT 1",
            [],
            |row| {
                let part = Part { number: row.get(0)?, day: row.get(1)?, first_seq: row.get(2)? };
                let (last_seq, is_sealed, is_closed) = (row.get(3)?, row.get(4)?, row.get(5)?);
                Ok(LastPart { part, last_seq, is_sealed, is_closed, has_leaves: false })
            },
        )
        .optional()?;
    last.map(|last| Ok(LastPart { has_leaves: schema::has_leaves(connection, last.part.number)?, ..last }))
        .transpose()
}

/// Events of one part: dropping it takes a fraction of a second, and so does a search in it.
const PART_EVENTS: i64 = 500_000;
/// Sums by domain of one day and direction; further domains are counted together.
const SUMS_A_DAY: u64 = 5_000;
/// Rows of sums that are known in memory.
const SUM_ROWS_KNOWN: usize = 50_000;
