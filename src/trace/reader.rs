//! Answers questions about events: newest first, one message's whole way, and what has come since. It only reads.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::code::StoredWord;
use super::filter::TraceFilter;
use super::outline::{MessageOutline, STATES};
use super::record::{EventFacts, EventKind, TracedEvent};
use super::schema::{self, STORE_FILE, TraceFault};
use super::sums::{RequiredQuality, Sum, SumKey, TlsQuality};
use crate::connector::DecisionRecord;
use crate::mail::{QueueId, UnixMillis};

/// The store, open for questions. The daemon need not run.
pub struct TraceReader {
    connection: Connection,
    path: PathBuf,
    /// Which file it is.
    identity: Option<(u64, u64)>,
    decisions: HashMap<i64, Option<DecisionRecord>>,
}

/// One part of the store.
#[derive(Debug, Clone, Copy)]
struct PartRow {
    part: i64,
    first_seq: i64,
    last_seq: i64,
    first_at: i64,
    last_at: i64,
}

impl TraceReader {
    /// Opens the store of a `data_dir`.
    ///
    /// # Errors
    /// [`TraceFault`].
    pub fn open(data_dir: &Path) -> Result<Self, TraceFault> {
        Self::open_file(data_dir.join(STORE_FILE))
    }

    /// Opens a store that lies elsewhere, or was set aside.
    ///
    /// # Errors
    /// [`TraceFault`].
    pub fn open_file(path: PathBuf) -> Result<Self, TraceFault> {
        let connection = schema::open_reader(&path)?;
        let identity = schema::identity(&path);
        Ok(Self { connection, path, identity, decisions: HashMap::new() })
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether another store has taken its place.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        schema::identity(&self.path) != self.identity
    }

    /// The newest events that match, the newest first; at most `limit`.
    ///
    /// # Errors
    /// The database error.
    pub fn search(&mut self, filter: &TraceFilter, limit: usize) -> rusqlite::Result<Vec<TracedEvent>> {
        self.frozen(|me| {
            let mut found = Vec::new();
            for part in me.parts_for(filter)?.into_iter().rev() {
                let left = limit.saturating_sub(found.len());
                if left == 0 {
                    break;
                }
                found.extend(me.search_part(part, filter, left)?);
            }
            Ok(found)
        })
    }

    /// Which messages the events that match are about, the newest event first; `None`: about none. It goes on until `see`
    /// says that it has seen enough, and reads no more of an event than that.
    ///
    /// # Errors
    /// The database error.
    pub(super) fn look(
        &mut self,
        filter: &TraceFilter,
        mut see: impl FnMut(i64, Option<QueueId>) -> bool,
    ) -> rusqlite::Result<()> {
        self.frozen(|me| {
            for part in me.parts_for(filter)?.into_iter().rev() {
                let asked = PartQuery::new(part, filter, me.places(part, filter.span())?);
                let mut statement = me.connection.prepare_cached(&asked.sql("e.seq, e.id", "DESC"))?;
                let mut rows = statement.query(asked.values(i64::MAX))?;
                while let Some(row) = rows.next()? {
                    let id: Option<i64> = row.get(1)?;
                    if !see(row.get(0)?, id.map(QueueId::from_number)) {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }

    /// The events at these places, in this order.
    pub(super) fn events_at(&mut self, places: &[i64]) -> rusqlite::Result<Vec<TracedEvent>> {
        self.frozen(|me| {
            let (parts, mut found) =
                (me.parts_for(&TraceFilter::default())?, Vec::with_capacity(places.len()));
            for seq in places {
                let part = parts.iter().find(|part| (part.first_seq..=part.last_seq).contains(seq));
                let Some(part) = part.map(|part| part.part) else { continue };
                let sql = format!("SELECT {ROW} FROM event_{part} e WHERE e.seq = ?1");
                let row = me.connection.prepare_cached(&sql)?.query_row([seq], stored_row).optional()?;
                found.extend(row.map(|row| me.shown(row)).transpose()?);
            }
            Ok(found)
        })
    }

    /// What a row about a message says of it, however much has happened to it.
    ///
    /// # Errors
    /// The database error.
    pub fn outline(&mut self, id: QueueId) -> rusqlite::Result<MessageOutline> {
        self.frozen(|me| {
            let (mut outline, number) = (MessageOutline::new(id), id.to_number());
            let filter = TraceFilter { id: Some(id), ..TraceFilter::default() };
            for part in me.parts_for(&filter)? {
                let part = part.part;
                for (kind, count) in me.counts(part, number)? {
                    match EventKind::numbered(kind) {
                        Some(EventKind::Delivered) => {
                            outline.delivered = outline.delivered.saturating_add(count)
                        }
                        Some(EventKind::Failed) => outline.failed = outline.failed.saturating_add(count),
                        Some(_) | None => {}
                    }
                }
                let accepted = EventKind::Accepted.number();
                let first = format!("ORDER BY e.kind = {accepted} DESC, e.seq LIMIT 1");
                if outline.first.is_none() {
                    outline.first = me.one(part, number, &first)?;
                }
                let states: Vec<String> = STATES.iter().map(|kind| kind.number().to_string()).collect();
                let last = format!("AND e.kind IN ({}) ORDER BY e.seq DESC LIMIT 1", states.join(", "));
                outline.last = me.one(part, number, &last)?.or(outline.last);
                let handled = EventKind::Handled.number();
                let handled = format!("AND e.kind = {handled} ORDER BY e.seq DESC LIMIT 1");
                let handled = me.one(part, number, &handled)?;
                outline.is_removed |=
                    handled.is_some_and(|one| one.facts.handling.as_deref() == Some("removed"));
            }
            Ok(outline)
        })
    }

    /// How many events of each kind a message has in a part.
    fn counts(&self, part: i64, id: i64) -> rusqlite::Result<Vec<(u8, usize)>> {
        let sql = format!("SELECT kind, COUNT(*) FROM event_{part} WHERE id = ?1 GROUP BY kind");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([id], |row| {
            let count: i64 = row.get(1)?;
            Ok((row.get(0)?, usize::try_from(count).unwrap_or_default()))
        })?;
        rows.collect()
    }

    /// One event of a message in a part.
    fn one(&mut self, part: i64, id: i64, which: &str) -> rusqlite::Result<Option<TracedEvent>> {
        let sql = format!("SELECT {ROW} FROM event_{part} e WHERE e.id = ?1 {which}");
        let row = self.connection.prepare_cached(&sql)?.query_row([id], stored_row).optional()?;
        row.map(|row| self.shown(row)).transpose()
    }

    /// The newest events of a message, the oldest of them first; at most `limit`.
    ///
    /// # Errors
    /// The database error.
    pub fn latest(&mut self, id: QueueId, limit: usize) -> rusqlite::Result<Vec<TracedEvent>> {
        let filter = TraceFilter { id: Some(id), ..TraceFilter::default() };
        self.search(&filter, limit).map(|mut events| {
            events.reverse();
            events
        })
    }

    /// Ends what is read, from another thread.
    #[must_use]
    pub fn interrupter(&self) -> rusqlite::InterruptHandle {
        self.connection.get_interrupt_handle()
    }

    /// The events after a place that match, the oldest first; at most `limit`.
    ///
    /// # Errors
    /// The database error.
    pub fn after(
        &mut self,
        seq: i64,
        filter: &TraceFilter,
        limit: usize,
    ) -> rusqlite::Result<Vec<TracedEvent>> {
        self.frozen(|me| {
            let mut found = Vec::new();
            for part in me.parts_for(filter)?.into_iter().filter(|part| part.last_seq > seq) {
                let left = limit.saturating_sub(found.len());
                if left == 0 {
                    break;
                }
                found.extend(me.search_part_from(part, (seq.saturating_add(1), "ASC"), filter, left)?);
            }
            Ok(found)
        })
    }

    /// The place of the newest event; 0 if there is none.
    ///
    /// # Errors
    /// The database error.
    pub fn last_seq(&self) -> rusqlite::Result<i64> {
        let last =
            self.connection.query_row("SELECT MAX(last_seq) FROM part", [], |row| row.get(0)).optional()?;
        Ok(last.flatten().unwrap_or(0))
    }

    /// The earliest date of an event.
    ///
    /// # Errors
    /// The database error.
    pub fn since(&self) -> rusqlite::Result<Option<UnixMillis>> {
        let first: Option<Option<i64>> =
            self.connection.query_row("SELECT MIN(first_at) FROM part", [], |row| row.get(0)).optional()?;
        Ok(first.flatten().map(UnixMillis))
    }

    /// Everything that happened to a message, the oldest first.
    ///
    /// # Errors
    /// The database error.
    pub fn timeline(&mut self, id: QueueId) -> rusqlite::Result<Vec<TracedEvent>> {
        self.latest(id, TIMELINE_MAX)
    }

    /// The message that a report of ours is about.
    ///
    /// # Errors
    /// The database error.
    pub fn reported_by(&mut self, report: QueueId) -> rusqlite::Result<Option<QueueId>> {
        let filter = TraceFilter {
            kinds: vec![EventKind::Reported],
            // A report is made when its message is dealt with.
            since: Some(UnixMillis(millis_of(report).saturating_sub(REPORT_SLACK))),
            until: Some(UnixMillis(millis_of(report).saturating_add(REPORT_SLACK))),
            ..TraceFilter::default()
        };
        let text = report.to_string();
        let found = self.search(&filter, REPORTS_MAX)?;
        let about = found.into_iter().find(|event| event.facts.report.as_deref() == Some(&text));
        Ok(about.and_then(|event| event.id).and_then(|id| id.parse().ok()))
    }

    /// The sums of some days, both included, in order.
    ///
    /// # Errors
    /// The database error.
    pub fn sums(&self, from: i64, to: i64) -> rusqlite::Result<Vec<(SumKey, Sum)>> {
        let mut statement = self.connection.prepare(
            "SELECT day, inbound, connector, partner, domain, kind, reason, requirement, version, quality, messages,
                sessions, octets, host
            FROM sum WHERE day BETWEEN ?1 AND ?2",
        )?;
        let rows = statement.query_map(params![from, to], sum_row)?;
        let known = rows.filter_map(Result::transpose);
        known.collect()
    }

    /// Runs a question on the store as it is at one moment, whatever is pruned meanwhile.
    fn frozen<T>(&mut self, ask: impl FnOnce(&mut Self) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        self.connection.execute_batch("BEGIN")?;
        // A decision's number may have been given to another one since the last question.
        self.decisions.clear();
        let answer = ask(self);
        let ended = self.connection.execute_batch("COMMIT");
        let answer = answer?;
        ended.map(|()| answer)
    }

    /// The parts that may hold what is asked for, in order.
    fn parts_for(&self, filter: &TraceFilter) -> rusqlite::Result<Vec<PartRow>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT part, first_seq, last_seq, first_at, last_at FROM part ORDER BY part")?;
        let rows = statement.query_map([], |row| {
            Ok(PartRow {
                part: row.get(0)?,
                first_seq: row.get(1)?,
                last_seq: row.get(2)?,
                first_at: row.get(3)?,
                last_at: row.get(4)?,
            })
        })?;
        let earliest = filter.since.map_or(i64::MIN, |since| since.0);
        // Nothing happens to a message before it has its ID, but the clock may have stepped.
        let born = filter.id.map_or(i64::MIN, |id| millis_of(id).saturating_sub(CLOCK_SLACK));
        let latest = filter.until.map_or(i64::MAX, |until| until.0);
        let may_hold = |part: &PartRow| part.last_at >= earliest.max(born) && part.first_at <= latest;
        let parts: rusqlite::Result<Vec<PartRow>> = rows.collect();
        Ok(parts?.into_iter().filter(may_hold).collect())
    }

    fn search_part(
        &mut self,
        part: PartRow,
        filter: &TraceFilter,
        limit: usize,
    ) -> rusqlite::Result<Vec<TracedEvent>> {
        self.search_part_from(part, (part.first_seq, "DESC"), filter, limit)
    }

    /// The events of a part from a place on, in this order.
    fn search_part_from(
        &mut self,
        part: PartRow,
        (from, order): (i64, &str),
        filter: &TraceFilter,
        limit: usize,
    ) -> rusqlite::Result<Vec<TracedEvent>> {
        let (low, high) = self.places(part, filter.span())?;
        let asked = PartQuery::new(part, filter, (low.max(from), high));
        let rows: Vec<EventRow> = {
            let mut statement = self.connection.prepare_cached(&asked.sql(ROW, order))?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(asked.values(limit), stored_row)?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        rows.into_iter().map(|row| self.shown(row)).collect()
    }

    /// The places between which the events of these dates lie: all of the part, unless it is cut.
    fn places(&self, part: PartRow, (since, until): (i64, i64)) -> rusqlite::Result<(i64, i64)> {
        if part.first_at >= since && part.last_at <= until {
            return Ok((part.first_seq, part.last_seq));
        }
        let number = part.part;
        let ends: (Option<i64>, Option<i64>) = self
            .connection
            .prepare_cached(&format!(
                "SELECT MIN(seq), MAX(seq) FROM event_{number} WHERE at BETWEEN ?1 AND ?2"
            ))?
            .query_row([since, until], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok((ends.0.unwrap_or(i64::MAX), ends.1.unwrap_or(i64::MIN)))
    }

    fn shown(&mut self, row: EventRow) -> rusqlite::Result<TracedEvent> {
        let decision = row.decision.map(|decision| self.decision(decision)).transpose()?.flatten();
        // Another version may have written it: what can't be read is left out.
        let facts: EventFacts = serde_json::from_str(&row.data).unwrap_or_default();
        let id = row.id.map(QueueId::from_number);
        Ok(TracedEvent::new((row.seq, UnixMillis(row.at), row.kind), id, facts, decision))
    }

    fn decision(&mut self, number: i64) -> rusqlite::Result<Option<DecisionRecord>> {
        if let Some(known) = self.decisions.get(&number) {
            return Ok(known.clone());
        }
        let data: Option<String> = self
            .connection
            .prepare_cached("SELECT data FROM decision WHERE decision = ?1")?
            .query_row([number], |row| row.get(0))
            .optional()?;
        let decision: Option<DecisionRecord> = data.and_then(|data| serde_json::from_str(&data).ok());
        self.decisions.insert(number, decision.clone());
        Ok(decision)
    }
}

/// What is asked of one part.
struct PartQuery {
    part: i64,
    query: Option<String>,
    id: Option<i64>,
    places: (i64, i64),
    dates: (i64, i64),
}

impl PartQuery {
    fn new(part: PartRow, filter: &TraceFilter, places: (i64, i64)) -> Self {
        let id = filter.id.map(QueueId::to_number);
        Self { part: part.part, query: filter.query(), id, places, dates: filter.span() }
    }

    /// The index is asked in its own order, so that only the rows that are shown are read.
    fn sql(&self, columns: &str, order: &str) -> String {
        let number = self.part;
        let (tables, place, matching) = if self.query.is_some() {
            let tables = format!("term_{number} t CROSS JOIN event_{number} e ON e.seq = t.rowid");
            (tables, "t.rowid", format!("t.term_{number} MATCH ?1 AND"))
        } else {
            (format!("event_{number} e"), "e.seq", String::new())
        };
        let of_message = if self.id.is_some() { "AND e.id = ?6" } else { "" };
        format!(
            "SELECT {columns} FROM {tables}
            WHERE {matching} {place} BETWEEN ?2 AND ?3 AND e.at BETWEEN ?4 AND ?5 {of_message}
            ORDER BY {place} {order} LIMIT ?7"
        )
    }

    fn values(&self, limit: i64) -> impl rusqlite::Params + '_ {
        let ((low, high), (since, until)) = (self.places, self.dates);
        (&self.query, low, high, since, until, self.id, limit)
    }
}

struct EventRow {
    seq: i64,
    at: i64,
    kind: u8,
    id: Option<i64>,
    decision: Option<i64>,
    data: String,
}

fn stored_row(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    Ok(EventRow {
        seq: row.get(0)?,
        at: row.get(1)?,
        kind: row.get(2)?,
        id: row.get(3)?,
        decision: row.get(4)?,
        data: row.get(5)?,
    })
}

/// The columns of an event.
const ROW: &str = "e.seq, e.at, e.kind, e.id, e.decision, e.data";

/// `None`: a later version wrote it, of a kind, requirement or quality that this one does not know.
fn sum_row(row: &Row<'_>) -> rusqlite::Result<Option<(SumKey, Sum)>> {
    let count = |column: usize| row.get(column).map(|count: i64| u64::try_from(count).unwrap_or_default());
    let (Some(kind), Some(requirement), Some(quality)) = (
        EventKind::numbered(row.get(5)?),
        RequiredQuality::numbered(row.get(7)?),
        TlsQuality::numbered(row.get(9)?),
    ) else {
        return Ok(None);
    };
    let key = SumKey {
        day: row.get(0)?,
        inbound: row.get(1)?,
        connector: row.get(2)?,
        partner: row.get(3)?,
        domain: row.get(4)?,
        kind,
        reason: row.get(6)?,
        requirement,
        version: row.get(8)?,
        quality,
    };
    let hosts: String = row.get(13)?;
    let hosts = hosts.split_whitespace().map(str::to_owned).collect();
    let sum = Sum { messages: count(10)?, sessions: count(11)?, octets: count(12)?, hosts };
    Ok(Some((key, sum)))
}

/// The milliseconds since 1970 in a queue ID.
fn millis_of(id: QueueId) -> i64 {
    id.to_number() >> 15
}

/// Events of one message that are shown.
const TIMELINE_MAX: usize = 20_000;
/// How far a clock may have been set back, in milliseconds.
const CLOCK_SLACK: i64 = 24 * 3_600 * 1_000;
/// Between a report and its event, in milliseconds.
const REPORT_SLACK: i64 = 60_000;
/// Reports within that time that are looked through.
const REPORTS_MAX: usize = 10_000;
