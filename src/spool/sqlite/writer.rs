//! The thread that owns the writing connection: it takes all waiting operations, commits them together, and
//! only then answers. It does not decide what is written.

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
    /// Settlements that found no room; they are retried until written. Each holds a lease, so there are never
    /// more of them than recipients being attempted.
    kept: Vec<Op>,
    pub(super) retry_at: Instant,
    /// Work on the whole queue: one part after each group.
    pub(super) long: VecDeque<HastenPart>,
    pub(super) measure: Measure,
    /// Whether space was already freed since the last group.
    pub(super) tidy: bool,
    /// The mark found at startup still exists.
    marked: bool,
    pub(super) upkeep: Upkeep,
}

impl Writer {
    /// `found`: the recipients a mark lists as done that there was no room to record; `None` without a mark.
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

    /// Works until all senders are gone.
    pub(super) fn run(mut self) {
        while let Some(first) = self.first() {
            // A flush failed elsewhere.
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
            // A checkpoint after a failed flush could copy into the database what never reached the WAL.
            if self.shared.fault().is_none()
                && let Err(trouble) = self.checkpoint()
            {
                self.fault_of(trouble);
            }
            if self.shared.fault().is_some() {
                return self.refuse_all();
            }
        }
        // The last chance for kept settlements.
        while !self.kept.is_empty() && self.shared.fault().is_none() {
            let before = self.kept.len();
            self.retry();
            if self.kept.len() == before {
                break;
            }
        }
        self.note_kept();
    }

    /// Notes in the mark what still finds no room; otherwise those attempts would be repeated.
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
        // Checked first: a receive returns waiting operations before it looks at the time, so under steady
        // load kept settlements would never be retried.
        if left.is_zero() {
            return Some(Wake::Retry);
        }
        match self.ops.recv_timeout(left) {
            Ok(op) => Some(Wake::Op(op)),
            Err(RecvTimeoutError::Timeout) => Some(Wake::Retry),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Takes all waiting operations. A group of only settlements waits briefly for more: nobody is held up by
    /// them, and each commit costs a flush.
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
            // Rare, so savepoints are paid for only now.
            outcome = self.attempt(&group, true);
        }
        let written = self.conclude(group, outcome);
        self.clear_mark(written);
    }

    /// Writes one operation of a group that met a damaged page; returns whether it could. A message that is
    /// done must be deleted even if its content is on such a page, or it would be delivered again after each
    /// start.
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

    /// Answers according to the outcome; returns whether the group was written.
    fn conclude(&mut self, group: Vec<Op>, outcome: Result<Vec<GroupOutcome>, DatabaseTrouble>) -> bool {
        let written = outcome.is_ok();
        match outcome {
            Ok(done) => self.acknowledge(group, done),
            Err(trouble) => self.refuse(group, trouble),
        }
        self.shared.set_kept(self.kept.len());
        written
    }

    /// Removes the mark found at startup once something was written and no settlement is kept: all it names
    /// is then in the database. This can't be decided within a group, since its operations are not in `kept`
    /// then.
    fn clear_mark(&mut self, written: bool) {
        if self.marked && written && self.kept.is_empty() {
            // If it can't be removed now, the next start reads it and records it again.
            self.marked = self.shared.marker.clear().is_err();
        }
    }

    /// Moves work on the whole queue to its own line.
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

    /// Retries one group of kept settlements. `retry_at` stays in the past until a group is refused, so the
    /// next group follows after a checkpoint. Refused ones go to the end of the line.
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

    /// Runs one operation in a savepoint, so that its failure undoes nothing else.
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

    /// Answers a group that is on stable storage.
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
            // If it can't be removed now, it is an orphan, and the next start removes it.
            let _ = fs::remove_file(self.shared.bodies.path(id));
        }
    }

    /// Refuses a group of which nothing was written.
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
        // Settlements make room, and may fit without the rest of the group.
        let wait = if mixed { Duration::ZERO } else { RETRY_WAIT };
        self.retry_at = Instant::now().checked_add(wait).unwrap_or_else(Instant::now);
    }

    /// The fault reported to those who wait; `None` if the engine has failed.
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

    /// Refuses every operation until the process ends; the handle is not used again.
    fn refuse_all(mut self) {
        let fault = self.shared.fault().unwrap_or_else(|| SpoolFault::Broken(String::new()));
        for part in self.long.drain(..) {
            part.end(Err(fault.clone()));
        }
        // Deliveries under way may still finish: their results are noted in the mark.
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
        // Closing would checkpoint, which a failed handle must not do; startup reads the WAL.
        if self.shared.fault().is_some() || std::thread::panicking() {
            // This only sets a flag in memory, and can't fail on an open handle.
            let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
    }
}

/// The outcome of one operation in a committed group.
type GroupOutcome = Result<OperationEffects, String>;

pub(super) enum Wake {
    Op(Op),
    Retry,
    /// No operation waits, but there is a part of the work on the whole queue.
    Long,
    /// No operation has come for a while.
    Idle,
}

const GROUP_OPS_MAX: usize = 1024;
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long settlements wait for others to share their commit.
const SETTLE_WAIT: Duration = Duration::from_millis(20);
/// How often settlements that found no room are retried.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// After this long without operations, space is freed.
const IDLE: Duration = Duration::from_secs(2);
