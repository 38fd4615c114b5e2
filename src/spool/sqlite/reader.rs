//! The thread that leases what is due and answers queries, on a read-only connection. It changes nothing on
//! disk.

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use rusqlite::{Connection, ErrorCode, OptionalExtension, Result, params};

use super::apply::NEVER;
use super::ops::Op;
use super::rows;
use super::shared::SpoolState;
use crate::mail::{Content, QueueId, UnixMillis};
use crate::spool::{
    Claim, Due, DueWindow, LaneKey, Lease, Leased, Overdue, Part, Place, QueuedMessage, SpoolFault,
};

/// A query for the reader; it carries its answer channel.
pub(super) type Question = Box<dyn FnOnce(&Reader) + Send>;

pub(super) struct Reader {
    pub(super) connection: Connection,
    pub(super) shared: Arc<SpoolState>,
    /// Used to hold messages that can't be read.
    writer: Sender<Op>,
}

/// Which recipients of a lane to lease.
#[derive(Clone, Copy)]
pub(super) enum WantedRecipients {
    Due { now: UnixMillis, latest: UnixMillis },
    Overdue(Overdue),
}

impl WantedRecipients {
    fn takes(self, mark: &rows::Mark) -> bool {
        match self {
            Self::Due { now, latest } => {
                mark.next_at <= now || (latest < mark.next_at && mark.next_at < NEVER)
            }
            Self::Overdue(dates) => mark.next_at < NEVER && dates.past(mark.accepted_at, mark.told),
        }
    }
}

impl Overdue {
    /// Whether a recipient is past one of these dates; `told` is as stored in its row.
    fn past(self, accepted_at: UnixMillis, told: i64) -> bool {
        let past = |date: Option<UnixMillis>| date.is_some_and(|date| accepted_at < date);
        past(Some(self.expire))
            || (told == 0 && past(self.delay))
            || (told == rows::TOLD_NOBODY && past(self.null_expire))
    }
}

impl Reader {
    pub(super) fn new(connection: Connection, shared: Arc<SpoolState>, writer: Sender<Op>) -> Self {
        Self { connection, shared, writer }
    }

    /// Answers until all senders are gone.
    pub(super) fn run(self, questions: &Receiver<Question>) {
        for question in questions {
            question(&self);
        }
    }

    pub(super) fn due(&self, window: &DueWindow) -> Result<Due, SpoolFault> {
        self.shared.may_lease()?;
        let wanted = WantedRecipients::Due { now: window.now, latest: window.latest };
        let (leases, next_at) = self.lease_due(window).map_err(|error| self.failed(&error))?;
        let count = leases.len();
        let leased = self.confirm(&window.lane, leases, wanted)?;
        // What was leased but not confirmed has changed meanwhile; the lane must be queried again.
        let next_at = if leased.len() < count { Some(window.now) } else { next_at };
        Ok(Due { leased, next_at })
    }

    pub(super) fn overdue(
        &self,
        lane: &LaneKey,
        dates: Overdue,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Part<Vec<Leased>>, SpoolFault> {
        self.shared.may_lease()?;
        let wanted = WantedRecipients::Overdue(dates);
        let (leases, next) =
            self.lease_overdue(lane, dates, after, limit).map_err(|error| self.failed(&error))?;
        Ok(Part { found: self.confirm(lane, leases, wanted)?, next })
    }

    /// Leases overdue candidates among the next recipients of a lane; returns where to continue if there may
    /// be more.
    fn lease_overdue(
        &self,
        lane: &LaneKey,
        dates: Overdue,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<(Leases, Option<Place>)> {
        let (next_at, message, number) = Place::key(after);
        let mut statement = self.connection.prepare_cached(OVERDUE)?;
        let mut found =
            statement.query(params![&*lane.0, NEVER.0, next_at, message, number, LOOKED_AT_MAX])?;
        let mut picked = LeasedBatch::default();
        let (mut seen, mut last) = (0, None);
        while let Some(row) = found.next()? {
            let (id, number) = (QueueId::from_number(row.get(1)?), row.get(2)?);
            seen += 1;
            last = Some((UnixMillis(row.get(0)?), id, number));
            let told: i64 = row.get(4)?;
            let (accepted_at, wanted) = (UnixMillis(row.get(3)?), WantedRecipients::Overdue(dates));
            if dates.past(accepted_at, told) && picked.may_take(self, id, number) {
                self.pick(&mut picked, id, lane, wanted)?;
            }
            if picked.leases.len() >= limit {
                break;
            }
        }
        let more = seen >= LOOKED_AT_MAX || picked.leases.len() >= limit;
        let place = |(next_at, message, number)| Place { lane: lane.clone(), next_at, message, number };
        Ok((picked.leases, last.filter(|_| more).map(place)))
    }

    /// Leases candidates that look due, and finds when the next recipient that is not leased is due.
    fn lease_due(&self, window: &DueWindow) -> Result<(Leases, Option<UnixMillis>)> {
        let mut picked = LeasedBatch::default();
        let next_at = self.lease_until(&mut picked, window, UnixMillis(i64::MIN), window.now)?;
        match next_at {
            // Something lies ahead, possibly so far that a clock was wrong.
            Some(at) if at > window.now => {
                let far = self.lease_until(&mut picked, window, window.latest, NEVER)?;
                let next_at = far.map(|_| window.now).or((at <= window.latest).then_some(at));
                Ok((picked.leases, next_at))
            }
            next_at => Ok((picked.leases, next_at)),
        }
    }

    /// Leases what is due after `above` and by `until`, in order of time. Returns the due time of the first
    /// one not leased because it is later, or beyond the limit.
    fn lease_until(
        &self,
        picked: &mut LeasedBatch,
        window: &DueWindow,
        above: UnixMillis,
        until: UnixMillis,
    ) -> Result<Option<UnixMillis>> {
        let wanted = WantedRecipients::Due { now: window.now, latest: window.latest };
        let mut statement = self.connection.prepare_cached(DUE)?;
        let mut found = statement.query(params![&*window.lane.0, NEVER.0, above.0])?;
        while let Some(row) = found.next()? {
            let next_at = UnixMillis(row.get(0)?);
            let (id, number) = (QueueId::from_number(row.get(1)?), row.get(2)?);
            if !picked.may_take(self, id, number) {
                continue;
            }
            if next_at > until || picked.leases.len() >= window.limit {
                return Ok(Some(next_at));
            }
            self.pick(picked, id, &window.lane, wanted)?;
        }
        Ok(None)
    }

    /// Leases the wanted recipients of a message in a lane.
    fn pick(
        &self,
        picked: &mut LeasedBatch,
        id: QueueId,
        lane: &LaneKey,
        wanted: WantedRecipients,
    ) -> Result<()> {
        let marks = rows::marks(&self.connection, id, lane)?;
        let numbers: Vec<u32> = marks.iter().filter(|m| wanted.takes(m)).map(|m| m.number).collect();
        if let Some(lease) = self.shared.book.lease(id, &numbers) {
            picked.seen.insert(id);
            picked.leases.push((id, lease));
        }
        Ok(())
    }

    /// Reads what was leased, and ends the lease of what is no longer wanted.
    ///
    /// The rows that led to a lease came from a snapshot that may be older than a settlement. But a
    /// settlement ends its lease only after its commit: a snapshot begun **after** the lease was taken shows
    /// everything settled before. So only this second snapshot decides, and values are taken from it only.
    pub(super) fn confirm(
        &self,
        lane: &LaneKey,
        leases: Leases,
        wanted: WantedRecipients,
    ) -> Result<Vec<Leased>, SpoolFault> {
        if leases.is_empty() {
            return self.unless_broken(Vec::new());
        }
        let read = || {
            let view = self.connection.unchecked_transaction()?;
            let mut confirmed = Vec::with_capacity(leases.len());
            for (id, lease) in leases {
                confirmed.extend(self.confirm_one(lane, id, lease, wanted)?);
            }
            view.commit()?;
            Ok(confirmed)
        };
        let confirmed = read().map_err(|error: rusqlite::Error| self.failed(&error))?;
        self.unless_broken(confirmed)
    }

    fn confirm_one(
        &self,
        lane: &LaneKey,
        id: QueueId,
        lease: Lease,
        wanted: WantedRecipients,
    ) -> Result<Option<Leased>> {
        let mut lease = lease;
        let Some(row) = rows::message(&self.connection, id)? else {
            return Ok(None);
        };
        if row.held.is_some() {
            return Ok(None);
        }
        let marks = rows::marks(&self.connection, id, lane)?;
        let mut taken: Vec<_> = marks.into_iter().filter(|mark| wanted.takes(mark)).collect();
        lease.retain(|number| taken.iter().any(|mark| mark.number == number));
        taken.retain(|mark| lease.recipients().contains(&mark.number));
        let recipients: Result<Vec<_>, String> = taken.into_iter().map(rows::Mark::decode).collect();
        match (row.decode(), recipients) {
            (_, Ok(recipients)) if recipients.is_empty() => Ok(None),
            (Ok(message), Ok(recipients)) => Ok(Some(Leased {
                message: Arc::new(message),
                recipients,
                lane: lane.clone(),
                content: None,
                lease,
            })),
            (Err(reason), _) | (_, Err(reason)) => {
                // One unreadable row must not stop the others; it is held for an operator.
                let _ = self.writer.send(Op::Hold { id, reason, until_whole: false, lease: Some(lease) });
                Ok(None)
            }
        }
    }

    /// Once the engine has failed, leases end without a commit: nothing may be leased again until startup has
    /// seen what is on disk.
    fn unless_broken(&self, leased: Vec<Leased>) -> Result<Vec<Leased>, SpoolFault> {
        match self.shared.fault() {
            Some(fault) => Err(fault),
            None => Ok(leased),
        }
    }

    /// The fault that an error means for the caller. If the queue itself can't be read, nothing may be
    /// delivered from what is left of it.
    pub(super) fn failed(&self, error: &rusqlite::Error) -> SpoolFault {
        let fatal = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase, ErrorCode::SystemIoFailure];
        if error.sqlite_error_code().is_some_and(|code| fatal.contains(&code)) {
            let fault = SpoolFault::Broken(format!("the queue can't be read: {error}"));
            self.shared.set_broken(fault.clone());
            return fault;
        }
        failed(error)
    }

    /// Holds a message whose content is not whole.
    fn hold(&self, id: QueueId, reason: String) {
        // Without a writer the engine has failed, which is reported elsewhere.
        let _ = self.writer.send(Op::Hold { id, reason, until_whole: true, lease: None });
    }

    pub(super) fn read(&self, id: QueueId) -> Result<Content, SpoolFault> {
        let found = match rows::content(&self.connection, id) {
            // A damaged page holds the messages on it, and affects nobody else.
            Err(error) if is_damage(&error) => {
                let reason = format!("its content can't be read: {error}");
                self.hold(id, reason.clone());
                return Err(SpoolFault::Failed(format!("message {id}: {reason}")));
            }
            found => found.map_err(|error| self.failed(&error))?,
        };
        let Some((size, row)) = found else {
            return Err(SpoolFault::Failed(format!("message {id} is not in the queue")));
        };
        let (content, length) = match row {
            Some(bytes) => {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                (Content::Held(bytes), Some(length))
            }
            None => {
                let length = fs::metadata(self.shared.bodies.path(id)).map(|file| file.len()).ok();
                (self.shared.bodies.content(id, size), length)
            }
        };
        if length == Some(size) {
            return Ok(content);
        }
        let reason = format!("the content should have {size} octets, and is missing or of another size");
        self.hold(id, reason.clone());
        Err(SpoolFault::Failed(format!("message {id}: {reason}")))
    }

    /// As in [`Self::confirm`]: the first query decides which recipients to lease, the second, after leasing,
    /// which stay leased.
    pub(super) fn claim(&self, id: QueueId) -> Result<Claim, SpoolFault> {
        self.shared.may_lease()?;
        let found = rows::all_marks(&self.connection, id).map_err(|error| self.failed(&error))?;
        let numbers: Vec<u32> = found.iter().map(|(_, mark)| mark.number).collect();
        if numbers.is_empty() {
            return Ok(Claim::Unknown);
        }
        let Some(mut lease) = self.shared.book.lease_all(id, &numbers) else { return Ok(Claim::Busy) };
        let read = || {
            let view = self.connection.unchecked_transaction()?;
            let row = rows::message(&self.connection, id)?;
            let marks = rows::all_marks(&self.connection, id)?;
            view.commit()?;
            Ok((row, marks))
        };
        let (row, marks) = read().map_err(|error: rusqlite::Error| self.failed(&error))?;
        let (Some(row), Some(lane)) = (row, marks.first().map(|(lane, _)| lane.clone())) else {
            return Ok(Claim::Unknown);
        };
        lease.retain(|number| marks.iter().any(|(_, mark)| mark.number == number));
        let recipients: Result<Vec<_>, String> = marks.into_iter().map(|(_, mark)| mark.decode()).collect();
        let unreadable = |why: String| SpoolFault::Failed(format!("message {id}: {why}"));
        let message = Arc::new(row.decode().map_err(unreadable)?);
        let recipients = recipients.map_err(unreadable)?;
        self.unless_broken(Vec::new())?;
        Ok(Claim::Whole(Leased { message, recipients, lane, content: None, lease }))
    }

    pub(super) fn show(&self, id: QueueId) -> Result<Option<QueuedMessage>, SpoolFault> {
        let read = || {
            let view = self.connection.unchecked_transaction()?;
            let shown = rows::queued(&self.connection, id, &self.shared.book)?;
            view.commit()?;
            Ok(shown)
        };
        read().map_err(|error: rusqlite::Error| failed(&error))
    }
}

/// Leased messages, not yet confirmed.
type Leases = Vec<(QueueId, Lease)>;

/// The messages leased by one query.
#[derive(Default)]
struct LeasedBatch {
    leases: Leases,
    seen: HashSet<QueueId>,
}

impl LeasedBatch {
    fn may_take(&self, reader: &Reader, id: QueueId, number: u32) -> bool {
        !self.seen.contains(&id) && !reader.shared.book.holds(id, number)
    }
}

/// The largest ID in use; `None` if nothing is queued.
///
/// # Errors
/// The database error.
pub(super) fn last_id(connection: &Connection) -> Result<Option<QueueId>> {
    let largest: Option<Option<i64>> =
        connection.query_row("SELECT MAX(id) FROM message", [], |row| row.get(0)).optional()?;
    Ok(largest.flatten().map(QueueId::from_number))
}

fn is_damage(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
}

pub(super) fn failed(error: &rusqlite::Error) -> SpoolFault {
    SpoolFault::Failed(error.to_string())
}

pub(super) const DUE: &str = "
    SELECT next_at, message, number FROM recipient
    WHERE lane = ?1 AND next_at < ?2 AND next_at > ?3 ORDER BY next_at, message, number";

pub(super) const OVERDUE: &str = "
    SELECT next_at, message, number, accepted_at, delay_told FROM recipient
    WHERE lane = ?1 AND next_at < ?2 AND (next_at, message, number) > (?3, ?4, ?5)
    ORDER BY next_at, message, number LIMIT ?6";

/// Maximum recipients examined for one answer about overdue mail: some milliseconds.
const LOOKED_AT_MAX: i64 = 5_000;
