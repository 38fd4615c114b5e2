//! The thread that writes events: in batches, one commit each. It never makes anyone wait, and what it can't write is
//! counted.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::aside::{is_damage, set_aside};
use super::code::StoredWord;
use super::decisions::StoredDecisions;
use super::record::NewEvent;
use super::recorder::{EventBatch, EventRecorder};
use super::schema::{self, ADD_HOST, ADD_TO_SUM, FIND_SUM, NEW_SUM, STORE_FILE, TraceFault};
use super::sums::{self, BatchSums, DoorSums, Sum, SumKey};
use super::terms;
use crate::mail::{Clock, UnixMillis};
use crate::tracking::TrackingSettings;

/// The store of events, with the thread that writes it.
pub struct TraceStore {
    recorder: EventRecorder,
    thread: Option<JoinHandle<()>>,
}

impl TraceStore {
    /// Opens the store in `data_dir` and starts its thread. A store that is damaged is set aside, and a new one begun.
    /// `free_bytes` must stay free on the disk, or only what happens to accepted mail is written.
    ///
    /// # Errors
    /// The thread can't be started.
    pub fn start(data_dir: &Path, settings: TrackingSettings, free_bytes: u64) -> io::Result<Self> {
        let recorder = EventRecorder::default();
        let mut writer = TraceWriter {
            path: data_dir.join(STORE_FILE),
            settings,
            free_bytes,
            recorder: recorder.clone(),
            store: None,
            kept: Vec::new(),
            door: DoorSums::default(),
            pruned: None,
            is_behind: false,
        };
        let thread = thread::Builder::new().name("tracking".to_owned()).spawn(move || writer.run())?;
        Ok(Self { recorder, thread: Some(thread) })
    }

    /// Where events are handed in.
    #[must_use]
    pub fn recorder(&self) -> EventRecorder {
        self.recorder.clone()
    }

    /// Writes what waits, and ends. Waits at most `patience`.
    pub fn stop(mut self, patience: Duration) {
        self.recorder.end();
        let until = Instant::now().checked_add(patience);
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() {
            if until.is_none_or(|until| Instant::now() >= until) {
                tracing::warn!("the tracking store did not end in time; its last second may be missing");
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        if thread.join().is_err() {
            tracing::warn!("the tracking store has ended before the relay did");
        }
    }
}

struct TraceWriter {
    path: PathBuf,
    settings: TrackingSettings,
    free_bytes: u64,
    recorder: EventRecorder,
    store: Option<Store>,
    /// What happened to accepted mail and could not be written yet.
    kept: Vec<NewEvent>,
    /// Refusals that are only counted, and could not be written yet.
    door: DoorSums,
    pruned: Option<Instant>,
    /// There is more to prune.
    is_behind: bool,
}

/// Marks the store as failing, however the thread ends.
struct EndGuard(EventRecorder);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.set_failing(true);
    }
}

impl TraceWriter {
    fn run(&mut self) {
        let _end = EndGuard(self.recorder.clone());
        self.open();
        loop {
            let idle = match (self.kept.is_empty() && self.door.is_empty(), self.is_behind) {
                (false, _) => RETRY,
                (true, true) => PAUSE,
                (true, false) => IDLE,
            };
            let Some(batch) = self.recorder.take(idle) else { break };
            let is_idle = batch.is_empty() && self.kept.is_empty() && self.door.is_empty();
            if !is_idle {
                self.write(batch);
            }
            self.look_after(is_idle);
        }
        if !self.kept.is_empty() || !self.door.is_empty() {
            self.write(EventBatch::default());
            self.recorder.drop_events(&self.kept);
        }
    }

    /// Opens the store. One that can't be used is set aside: the events of today are worth more than those that can't be
    /// read any more.
    fn open(&mut self) {
        if self.store.is_some() {
            return;
        }
        let opened = Store::open(&self.path).or_else(|fault| {
            if is_lasting(&fault) {
                self.set_aside(&fault);
                return Store::open(&self.path);
            }
            Err(fault)
        });
        match opened {
            Ok(store) => self.store = Some(store),
            Err(fault) if !self.recorder.is_failing() => {
                tracing::error!(%fault, "the tracking store can't be opened; events are kept in memory meanwhile");
            }
            Err(_) => {}
        }
    }

    fn set_aside(&self, fault: &TraceFault) {
        match set_aside(&self.path) {
            Ok(aside) => {
                tracing::error!(%fault, aside = %aside.display(), "the tracking store can't be used: it is set aside, and a new one is begun");
            }
            Err(why) => {
                tracing::error!(%fault, %why, "the tracking store can't be used, and not be set aside")
            }
        }
    }

    fn write(&mut self, batch: EventBatch) {
        self.notice_loss();
        self.open();
        let mut events = std::mem::take(&mut self.kept);
        events.extend(batch.events);
        self.door.add(batch.door);
        let free = room(&self.path);
        if free < self.free_bytes {
            let (facts, others): (Vec<_>, Vec<_>) =
                events.into_iter().partition(|event| event.kind.is_fact());
            self.recorder.drop_events(&others);
            events = facts;
        }
        let mut sums = BatchSums::default();
        sums.add_door(&self.door);
        let Some(store) = &mut self.store else { return self.keep(events) };
        match store.write(&events, sums) {
            Ok(()) => {
                self.door = DoorSums::default();
                self.recorder.set_failing(false);
            }
            Err(error) => {
                store.forget();
                if !self.recorder.is_failing() {
                    tracing::error!(fault = %error, "events can't be written to the tracking store; they are kept in memory meanwhile");
                }
                if is_damage(&error) {
                    self.store = None;
                    self.set_aside(&TraceFault::Database(self.path.clone(), error));
                }
                self.keep(events);
            }
        }
    }

    /// Whether the file that is open is still the one at its place. One that was removed or replaced would take what is
    /// written with it.
    fn notice_loss(&mut self) {
        let Some(store) = &self.store else { return };
        if schema::identity(&self.path) != store.identity {
            tracing::error!(path = %self.path.display(), "the tracking store was removed or replaced while it was written: a new one is begun, or the other one is used");
            self.store = None;
        }
    }

    /// Keeps what can't be written now, up to a number.
    fn keep(&mut self, events: Vec<NewEvent>) {
        self.recorder.set_failing(true);
        let (mut facts, others): (Vec<_>, Vec<_>) =
            events.into_iter().partition(|event| event.kind.is_fact());
        self.recorder.drop_events(&others);
        if facts.len() > KEPT_MAX {
            self.recorder.drop_events(facts.get(KEPT_MAX..).unwrap_or_default());
            facts.truncate(KEPT_MAX);
        }
        self.kept = facts;
    }

    /// Removes what is too old or too much, one part at a time, and gives its space back.
    fn look_after(&mut self, idle: bool) {
        let pause = if idle { PRUNE_IDLE } else { PRUNE_BUSY };
        if self.pruned.is_some_and(|at| at.elapsed() < pause) {
            return;
        }
        let Some(store) = &mut self.store else { return };
        let done = store.prune(self.settings, Clock::wall());
        match done {
            Ok(more) => {
                self.is_behind = more;
                self.pruned = if more { None } else { Some(Instant::now()) };
            }
            Err(error) => {
                (self.is_behind, self.pruned) = (false, Some(Instant::now()));
                tracing::warn!(fault = %error, "the tracking store can't be pruned");
            }
        }
    }
}

/// The database, and what of it is known in memory.
struct Store {
    connection: Connection,
    /// Which file it is.
    identity: Option<(u64, u64)>,
    decisions: StoredDecisions,
    part: Option<Part>,
    next_seq: i64,
    next_part: i64,
    /// The number of sums of a day and direction, so that domains that nobody knows can't fill them.
    counted: BTreeMap<(i64, bool), u64>,
    /// Where sums are, so that adding to one finds it at once.
    sum_rows: HashMap<SumKey, i64>,
}

/// The part that is written.
#[derive(Debug, Clone, Copy)]
struct Part {
    number: i64,
    day: i64,
    first_seq: i64,
}

impl Store {
    fn open(path: &Path) -> Result<Self, TraceFault> {
        let connection = schema::open_writer(path)?;
        let faulty = |error| TraceFault::Database(path.to_owned(), error);
        let last = last_part(&connection).map_err(faulty)?;
        let next_seq = last.map_or(1, |(_, last_seq)| last_seq.saturating_add(1));
        let next_part = last.map_or(1, |(part, _)| part.number.saturating_add(1));
        let part = last.map(|(part, _)| part);
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
        })
    }

    /// Writes a batch in one commit, or nothing.
    fn write(&mut self, events: &[NewEvent], sums: BatchSums) -> rusqlite::Result<()> {
        let before = (self.part, self.next_seq, self.next_part);
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let done = self.put(events, sums).and_then(|()| self.connection.execute_batch("COMMIT"));
        if done.is_err() {
            (self.part, self.next_seq, self.next_part) = before;
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
            "INSERT INTO event_{number} (seq, at, kind, id, decision, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
        ))?;
        let mut term_row = self
            .connection
            .prepare_cached(&format!("INSERT INTO term_{number} (rowid, terms) VALUES (?1, ?2)"))?;
        let (mut terms, mut dates) = (String::new(), (i64::MAX, i64::MIN));
        for event in events {
            let seq = self.next_seq;
            terms.clear();
            terms::of_event(event.kind, &event.facts, &mut terms);
            let (mut decision, mut fresh) = (None, false);
            if let Some(made) = &event.decision {
                let stored = self.decisions.place(&self.connection, made, event.at.day())?;
                terms.push_str(&stored.terms);
                decision = Some(stored.id);
                fresh = sums::direction(event.kind).is_some() && self.decisions.is_new_session(made);
            }
            let data = serde_json::to_string(&event.facts).unwrap_or_default();
            let id = event.id.map(crate::mail::QueueId::to_number);
            event_row.execute(params![seq, event.at.0, event.kind.number(), id, decision, data])?;
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
        let part = Part { number: self.next_part, day, first_seq: self.next_seq };
        schema::make_part(&self.connection, part.number)?;
        self.connection.execute(
            "INSERT INTO part (part, day, first_seq, last_seq, first_at, last_at) VALUES (?1, ?2, ?3, ?3 - 1, ?4, ?5)",
            params![part.number, day, part.first_seq, i64::MAX, i64::MIN],
        )?;
        self.next_part = part.number.saturating_add(1);
        self.part = Some(part);
        Ok(part)
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
        let count = u64::try_from(count).unwrap_or_default();
        self.counted.retain(|(known, _), _| known.saturating_add(1) >= day);
        self.counted.insert((day, inbound), count);
        Ok(count)
    }

    /// Removes a part that is too old, or, if the store is too large, the oldest one, and then the oldest sums; or gives
    /// some free pages back. Returns whether there is more to do.
    fn prune(&mut self, settings: TrackingSettings, now: UnixMillis) -> rusqlite::Result<bool> {
        // The day of a part is that of its beginning, whatever dates a clock gave its events later.
        let cutoff = now.before(settings.keep).day();
        let written = self.part.map_or(0, |part| part.number);
        let parts: Vec<(i64, i64)> = self
            .connection
            .prepare_cached("SELECT part, day FROM part WHERE part <> ?1 ORDER BY part")?
            .query_map([written], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        if let Some((part, _)) = parts.iter().find(|(_, day)| *day < cutoff) {
            self.forget_part(*part, (settings, now))?;
            return Ok(true);
        }
        let (pages, free) =
            (pragma(&self.connection, "page_count")?, pragma(&self.connection, "freelist_count")?);
        let page = pragma(&self.connection, "page_size")?;
        let used = pages.saturating_sub(free).saturating_mul(page);
        if u64::try_from(used).unwrap_or_default() > settings.bytes_max {
            if let Some((part, _)) = parts.first() {
                self.forget_part(*part, (settings, now))?;
                tracing::warn!(
                    part,
                    "the tracking store has reached its max_size: its oldest events were removed"
                );
                return Ok(true);
            }
            let removed = self.forget_oldest_sums(now.day())?;
            if removed > 0 {
                tracing::warn!(
                    removed,
                    "the tracking store has reached its max_size: its oldest sums were removed"
                );
                return Ok(true);
            }
            // A part that has just been begun is all there is: it is ended, and goes when the next one is there.
            self.part = self.part.filter(|part| self.next_seq.saturating_sub(part.first_seq) < ROLL_EVENTS);
            return Ok(false);
        }
        if free.saturating_mul(page) < SPARE_BYTES {
            return Ok(false);
        }
        self.connection.execute_batch(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
        Ok(true)
    }

    /// Removes the sums of the first day, but never those of today.
    fn forget_oldest_sums(&mut self, today: i64) -> rusqlite::Result<usize> {
        let removed = self
            .connection
            .execute("DELETE FROM sum WHERE day = (SELECT MIN(day) FROM sum WHERE day < ?1)", [today])?;
        self.forget();
        Ok(removed)
    }

    fn forget_part(
        &mut self,
        part: i64,
        (settings, now): (TrackingSettings, UnixMillis),
    ) -> rusqlite::Result<()> {
        // The statements of a table that is dropped must not be kept.
        self.connection.flush_prepared_statement_cache();
        let transaction = self.connection.transaction()?;
        schema::drop_part(&transaction, part)?;
        let first: Option<i64> =
            transaction.query_row("SELECT MIN(day) FROM part", [], |row| row.get(0)).optional()?.flatten();
        let kept_since = first.unwrap_or(i64::MAX);
        transaction.execute("DELETE FROM decision WHERE day < ?1", [kept_since.min(now.day())])?;
        let sums_since = now.before(settings.keep.max(SUMS_KEPT)).day();
        transaction.execute("DELETE FROM sum WHERE day < ?1", [sums_since])?;
        transaction.commit()?;
        self.forget();
        Ok(())
    }

    /// Forgets what is known of rows: some may be gone.
    fn forget(&mut self) {
        self.decisions.forget();
        self.counted.clear();
        self.sum_rows.clear();
    }
}

/// The last part and event.
fn last_part(connection: &Connection) -> rusqlite::Result<Option<(Part, i64)>> {
    connection
        .query_row("SELECT part, day, first_seq, last_seq FROM part ORDER BY part DESC LIMIT 1", [], |row| {
            Ok((Part { number: row.get(0)?, day: row.get(1)?, first_seq: row.get(2)? }, row.get(3)?))
        })
        .optional()
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

/// Octets left on the disk; without an answer there is room.
fn room(path: &Path) -> u64 {
    let folder = path.parent().unwrap_or(path);
    rustix::fs::statvfs(folder).map_or(u64::MAX, |found| found.f_bavail.saturating_mul(found.f_frsize))
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn is_lasting(fault: &TraceFault) -> bool {
    matches!(fault, TraceFault::Newer(..))
        || matches!(fault, TraceFault::Database(_, error) if is_damage(error))
}

/// Events of one part: dropping it takes a fraction of a second, and so does a search in it.
const PART_EVENTS: i64 = 500_000;
/// Facts that are kept in memory while the store can't be written.
const KEPT_MAX: usize = 65_536;
/// Sums by domain of one day and direction; further domains are counted together.
const SUMS_A_DAY: u64 = 5_000;
/// A part with so many events is ended when the store is too large and has no other.
const ROLL_EVENTS: i64 = 10_000;
/// Rows of sums that are known in memory.
const SUM_ROWS_KNOWN: usize = 50_000;
/// How long sums are kept, at least.
const SUMS_KEPT: Duration = Duration::from_secs(400 * 24 * 3_600);
/// How often the size and the age are looked at while nothing, or something, is written.
const PRUNE_IDLE: Duration = Duration::from_secs(60);
const PRUNE_BUSY: Duration = Duration::from_secs(120);
/// How long nothing may come before the store is looked after.
const IDLE: Duration = Duration::from_secs(60);
/// How long until what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long nothing may come before the next step of pruning.
const PAUSE: Duration = Duration::from_millis(50);
/// Free pages that are kept for the next events.
const SPARE_BYTES: i64 = 16 << 20;
/// Pages that are given back at once.
const VACUUM_PAGES: i64 = 1_000;
