//! The thread that owns the writing connection: it takes the first operation that waits and all
//! that wait with it, commits them together, and only then answers.

use std::collections::VecDeque;
use std::fs;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::answers::{acknowledge, fail, keep_files};
use super::apply::{OperationEffects, apply};
use super::long::Measure;
use super::ops::HastenPart;
use super::ops::Op;
use super::shared::SpoolState;
use super::tidy::Upkeep;
use super::trouble::DatabaseTrouble;
use crate::spool::SpoolFault;

pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) shared: Arc<SpoolState>,
    ops: Receiver<Op>,
    /// Settlements that found no room; they are tried again until they are written. Each holds a
    /// lease, so there are never more than recipients being attempted.
    kept: Vec<Op>,
    pub(super) retry_at: Instant,
    /// Work on the whole queue: one piece after each group.
    pub(super) long: VecDeque<HastenPart>,
    pub(super) measure: Measure,
    /// Since the last group, the file was looked at for room to give back.
    pub(super) tidy: bool,
    /// The mark that was found at the start is still there.
    marked: bool,
    pub(super) upkeep: Upkeep,
}

impl Writer {
    /// `found`: what a mark says is done and there was no room to write down; `None` without a mark.
    pub(super) fn new(
        connection: Connection,
        shared: Arc<SpoolState>,
        ops: Receiver<Op>,
        (found, upkeep): (Option<Vec<Op>>, Upkeep),
    ) -> Self {
        Self {
            connection,
            shared,
            ops,
            marked: found.is_some(),
            kept: found.unwrap_or_default(),
            retry_at: Instant::now(),
            long: VecDeque::new(),
            measure: Measure::default(),
            tidy: false,
            upkeep,
        }
    }

    /// Works until nobody can ask for anything any more.
    pub(super) fn run(mut self) {
        while let Some(first) = self.first() {
            // Broken by a flush elsewhere.
            if self.shared.fault().is_some() {
                if let Wake::Op(op) = first {
                    self.kept.push(op);
                }
                return self.refuse_all();
            }
            match first {
                Wake::Retry => self.retry(),
                Wake::Long => {}
                Wake::Idle => self.tidy(),
                Wake::Op(op) => {
                    let group = self.gather(op);
                    self.commit(group);
                }
            }
            if self.shared.fault().is_none() {
                self.go_on();
            }
            // A checkpoint after a failed flush could copy into the database what never reached
            // the log.
            if self.shared.fault().is_none()
                && let Err(trouble) = self.checkpoint()
            {
                self.fault_of(trouble);
            }
            if self.shared.fault().is_some() {
                return self.refuse_all();
            }
        }
        // The last chance of what is kept.
        while !self.kept.is_empty() && self.shared.fault().is_none() {
            let before = self.kept.len();
            self.retry();
            if self.kept.len() == before {
                break;
            }
        }
        self.note_kept();
    }

    /// What still finds no room is noted in the mark, or those attempts would be made once more.
    fn note_kept(&mut self) {
        if self.kept.is_empty() {
            return;
        }
        for op in self.kept.drain(..) {
            if let Op::Settle(settle) = &op {
                self.shared.marker.done(settle.message, &settle.done());
            }
        }
        self.shared.marker.sync();
        if !self.shared.marker.unwritten().is_empty() {
            tracing::error!(
                "there was no room to note what was delivered; some of it may be delivered again"
            );
        }
    }

    pub(super) fn first(&self) -> Option<Wake> {
        if !self.long.is_empty() {
            return match self.ops.try_recv() {
                Ok(op) => Some(Wake::Op(op)),
                Err(TryRecvError::Empty) => Some(Wake::Long),
                Err(TryRecvError::Disconnected) => None,
            };
        }
        if self.kept.is_empty() && self.tidy {
            return self.ops.recv().ok().map(Wake::Op);
        }
        if self.kept.is_empty() {
            return match self.ops.recv_timeout(IDLE) {
                Ok(op) => Some(Wake::Op(op)),
                Err(RecvTimeoutError::Timeout) => Some(Wake::Idle),
                Err(RecvTimeoutError::Disconnected) => None,
            };
        }
        let left = self.retry_at.saturating_duration_since(Instant::now());
        // Asked for first: a receive gives what waits before it looks at the time, so under steady
        // load what is kept would never have its turn.
        if left.is_zero() {
            return Some(Wake::Retry);
        }
        match self.ops.recv_timeout(left) {
            Ok(op) => Some(Wake::Op(op)),
            Err(RecvTimeoutError::Timeout) => Some(Wake::Retry),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// All that wait now. Settlements alone wait a little for company: nobody is kept from
    /// anything by them, and each commit costs a flush.
    pub(super) fn gather(&self, first: Op) -> Vec<Op> {
        let mut bytes = first.bytes();
        let mut can_wait = first.can_wait();
        let mut group = vec![first];
        let until = Instant::now().checked_add(SETTLE_WAIT);
        while group.len() < GROUP_OPS_MAX && bytes < GROUP_BYTES_MAX {
            let next = match self.ops.try_recv() {
                Ok(op) => op,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) if !can_wait => break,
                Err(TryRecvError::Empty) => {
                    let left = until.map_or(Duration::ZERO, |t| t.saturating_duration_since(Instant::now()));
                    match self.ops.recv_timeout(left) {
                        Ok(op) => op,
                        Err(_) => break,
                    }
                }
            };
            bytes = bytes.saturating_add(next.bytes());
            can_wait = can_wait && next.can_wait();
            group.push(next);
        }
        group
    }

    pub(super) fn commit(&mut self, group: Vec<Op>) {
        self.tidy = false;
        let group = self.without_long(group);
        if group.is_empty() {
            return;
        }
        let mut outcome = self.attempt(&group, false);
        if let Err(DatabaseTrouble::Damaged(_)) = outcome {
            let mut written = false;
            for op in group {
                written |= self.commit_by_itself(op);
            }
            return self.clear_mark(written);
        }
        if let Err(DatabaseTrouble::Single(_)) = outcome {
            // Rare, so a savepoint for each is paid for only now.
            outcome = self.attempt(&group, true);
        }
        let written = self.conclude(group, outcome);
        self.clear_mark(written);
    }

    /// Writes one operation of a group that met a damaged page, and says whether it could. A message that is done
    /// must go even where its content lies on such a page, or it would be delivered again after each start.
    fn commit_by_itself(&mut self, op: Op) -> bool {
        if self.shared.fault().is_some() {
            self.kept.push(op);
            return false;
        }
        let group = [op];
        let mut outcome = self.attempt(&group, false);
        if let (Err(DatabaseTrouble::Damaged(text)), true) = (&outcome, group.iter().all(Op::ends_messages)) {
            tracing::error!(fault = %text, "content on a damaged page stays there; see `sealpost spool check`");
            outcome = self.transact(|| {
                group.iter().map(|op| self.apply_one(op, true).map(Ok)).collect::<Result<Vec<_>, _>>()
            });
        }
        self.conclude(group.into(), outcome)
    }

    /// Answers as it came to be, and says whether the group was written.
    fn conclude(&mut self, group: Vec<Op>, outcome: Result<Vec<GroupOutcome>, DatabaseTrouble>) -> bool {
        let written = outcome.is_ok();
        match outcome {
            Ok(done) => self.acknowledge(group, done),
            Err(trouble) => self.refuse(group, trouble),
        }
        self.shared.set_kept(self.kept.len());
        written
    }

    /// Removes the mark that the start found once something was written and nothing waits any more: all that it
    /// names is in the database. Within a group this can't be told, since its operations are not in `kept` then.
    fn clear_mark(&mut self, written: bool) {
        if self.marked && written && self.kept.is_empty() {
            // What can't be removed now is read, and written down again, at the next start.
            self.marked = self.shared.marker.clear().is_err();
        }
    }

    /// Puts work on the whole queue in its own line.
    fn without_long(&mut self, group: Vec<Op>) -> Vec<Op> {
        if !group.iter().any(|op| matches!(op, Op::HastenPart(_))) {
            return group;
        }
        let (whole, rest): (Vec<Op>, Vec<Op>) =
            group.into_iter().partition(|op| matches!(op, Op::HastenPart(_)));
        for op in whole {
            if let Op::HastenPart(part) = op {
                self.long.push_back(part);
            }
        }
        rest
    }

    /// Tries one group of what is kept. The time to retry stays past until a group is refused, so
    /// the next one follows, after a checkpoint. What is refused goes to the end of the line.
    pub(super) fn retry(&mut self) {
        let mut bytes: usize = 0;
        let fits = |op: &&Op| {
            let first = bytes == 0;
            bytes = bytes.saturating_add(op.bytes());
            first || bytes <= GROUP_BYTES_MAX
        };
        let count = self.kept.iter().take(GROUP_OPS_MAX).take_while(fits).count();
        let group = self.kept.drain(..count).collect();
        self.commit(group);
    }

    fn attempt(&self, group: &[Op], guarded: bool) -> Result<Vec<GroupOutcome>, DatabaseTrouble> {
        self.transact(|| self.apply_all(group, guarded))
    }

    pub(super) fn transact<T>(
        &self,
        work: impl FnOnce() -> Result<T, DatabaseTrouble>,
    ) -> Result<T, DatabaseTrouble> {
        self.execute("BEGIN IMMEDIATE")?;
        let result = work().and_then(|done| {
            self.execute("COMMIT").map_err(DatabaseTrouble::at_commit)?;
            Ok(done)
        });
        if result.is_err() && !self.connection.is_autocommit() {
            self.execute("ROLLBACK").map_err(DatabaseTrouble::at_commit)?;
        }
        result
    }

    fn apply_all(&self, group: &[Op], guarded: bool) -> Result<Vec<GroupOutcome>, DatabaseTrouble> {
        let mut done = Vec::with_capacity(group.len());
        for op in group {
            done.push(if guarded { self.apply_guarded(op)? } else { Ok(self.apply_one(op, false)?) });
        }
        Ok(done)
    }

    fn apply_one(&self, op: &Op, leave_content: bool) -> Result<OperationEffects, DatabaseTrouble> {
        apply(&self.connection, &self.shared.book, op, leave_content)
            .map_err(|error| DatabaseTrouble::of(&error))
    }

    /// Runs one operation such that its own failure undoes nothing else.
    fn apply_guarded(&self, op: &Op) -> Result<GroupOutcome, DatabaseTrouble> {
        self.execute("SAVEPOINT op")?;
        let outcome = match self.apply_one(op, false) {
            Ok(applied) => Ok(applied),
            Err(DatabaseTrouble::Single(text)) => {
                self.execute("ROLLBACK TO op")?;
                Err(text)
            }
            Err(trouble) => return Err(trouble),
        };
        self.execute("RELEASE op")?;
        Ok(outcome)
    }

    fn execute(&self, sql: &str) -> Result<(), DatabaseTrouble> {
        let run = || self.connection.prepare_cached(sql)?.execute([]).map(drop);
        run().map_err(|error| DatabaseTrouble::of(&error))
    }

    /// The group is on stable storage.
    fn acknowledge(&mut self, group: Vec<Op>, done: Vec<GroupOutcome>) {
        let mut files = Vec::new();
        for (op, outcome) in group.into_iter().zip(done) {
            match outcome {
                Ok(mut applied) => {
                    self.shared.count(&applied);
                    files.append(&mut applied.files);
                    acknowledge(op, applied.told);
                }
                Err(text) => fail(op, &SpoolFault::Failed(text)),
            }
        }
        for id in files {
            // What can't be removed now is an orphan, and goes at the next start.
            let _ = fs::remove_file(self.shared.bodies.path(id));
        }
    }

    /// Nothing of the group was written.
    fn refuse(&mut self, group: Vec<Op>, trouble: DatabaseTrouble) {
        let Some(fault) = self.fault_of(trouble) else {
            return self.break_all(group);
        };
        let mut mixed = false;
        for op in group {
            match op {
                // What was delivered must not be forgotten just because the disk is full.
                Op::Settle(_) => self.kept.push(op),
                Op::Put { .. }
                | Op::Hasten { .. }
                | Op::HastenPart(_)
                | Op::Remove { .. }
                | Op::HoldBack { .. }
                | Op::Release { .. }
                | Op::Hold { .. } => {
                    mixed = true;
                    fail(op, &fault);
                }
            }
        }
        // Settlements make room, and may fit without their company.
        let wait = if mixed { Duration::ZERO } else { RETRY_WAIT };
        self.retry_at = Instant::now().checked_add(wait).unwrap_or_else(Instant::now);
    }

    /// What is said to those who wait; `None` if the engine is broken.
    pub(super) fn fault_of(&self, trouble: DatabaseTrouble) -> Option<SpoolFault> {
        let broken = |text| {
            self.shared.set_broken(SpoolFault::Broken(text));
            None
        };
        match trouble {
            DatabaseTrouble::Full(text) => Some(SpoolFault::Full(text)),
            DatabaseTrouble::Write(text) if self.shared.bodies.is_full() => Some(SpoolFault::Full(text)),
            DatabaseTrouble::Busy(text) | DatabaseTrouble::Single(text) => Some(SpoolFault::Failed(text)),
            DatabaseTrouble::Write(text) | DatabaseTrouble::Damaged(text) | DatabaseTrouble::Broken(text) => {
                broken(text)
            }
        }
    }

    fn break_all(&mut self, group: Vec<Op>) {
        self.kept.extend(group);
    }

    /// The handle is not used again: every operation is refused until the process ends.
    fn refuse_all(mut self) {
        let fault = self.shared.fault().unwrap_or_else(|| SpoolFault::Broken(String::new()));
        for part in self.long.drain(..) {
            part.end(Err(fault.clone()));
        }
        // Deliveries under way may still end: what they come to is noted in the mark.
        for op in self.kept.drain(..).chain(self.ops.iter()) {
            if let Op::Settle(settle) = &op {
                self.shared.marker.done(settle.message, &settle.done());
            }
            keep_files(op, &fault);
        }
        self.shared.marker.sync();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // To close is to checkpoint, which a broken handle must not do; start-up reads the log.
        if self.shared.fault().is_some() || std::thread::panicking() {
            // It sets a flag in memory, and can't fail on an open handle.
            let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
    }
}

/// What one operation of a committed group came to.
type GroupOutcome = Result<OperationEffects, String>;

pub(super) enum Wake {
    Op(Op),
    Retry,
    /// Nobody waits, and there is a piece of work on the whole queue.
    Long,
    /// Nobody has wanted anything for a while.
    Idle,
}

const GROUP_OPS_MAX: usize = 1024;
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Settlements wait so long for others to share their commit.
const SETTLE_WAIT: Duration = Duration::from_millis(20);
/// Settlements that found no room are tried again so often.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// Without anything to do for so long, room is given back.
const IDLE: Duration = Duration::from_secs(2);
