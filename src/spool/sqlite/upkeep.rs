//! What the writer does between operations: long work in parts, checkpoints, freeing space. It answers no
//! other operation.

use std::time::{Duration, Instant};

use super::schema::BUSY_MILLIS;
use super::tidy::{USED_PAGES_MAX, shrink};
use super::trouble::DatabaseTrouble;
use super::writer::Writer;
use crate::spool::reserve;

impl Writer {
    /// Called when the writer has been idle for a while: frees space if that is quick.
    pub(super) fn tidy(&mut self) {
        self.tidy = true;
        // Without room, the next idle moment tries again.
        let _ = reserve::keep(&self.upkeep.data_dir);
        let shrunk = shrink(&self.connection, USED_PAGES_MAX, &self.upkeep)
            .map_err(|error| DatabaseTrouble::of(&error));
        // The changes are in the WAL; the file shrinks as the WAL is copied.
        let copied = shrunk.and_then(|shrunk| match shrunk {
            _ if self.upkeep.secure => self.empty_log(),
            true => self.checkpoint_as("PASSIVE").map(drop),
            false => Ok(()),
        });
        match copied {
            // A damaged page of contents can't be copied: the file stays as it is, which harms nobody.
            Ok(())
            | Err(DatabaseTrouble::Full(_) | DatabaseTrouble::Busy(_) | DatabaseTrouble::Damaged(_)) => {}
            Err(trouble) => {
                self.fault_of(trouble.at_commit());
            }
        }
    }

    /// Does one part of the work on the whole queue.
    pub(super) fn go_on(&mut self) {
        let Some(part) = self.long.pop_front() else { return };
        let since = Instant::now();
        let rows = self.measure.rows();
        let result =
            self.transact(|| part.work(&self.connection, rows).map_err(|error| DatabaseTrouble::of(&error)));
        self.measure.took(since);
        match result {
            Ok(found) => part.end(Ok(found)),
            Err(trouble) => match self.fault_of(trouble.at_commit()) {
                Some(fault) => part.end(Err(fault)),
                None => self.long.push_front(part),
            },
        }
    }

    /// Checkpoints the WAL, after those who waited were answered.
    pub(super) fn checkpoint(&self) -> Result<(), DatabaseTrouble> {
        // NOOP only reports the length of the WAL and how much of it was copied before.
        let (logged, copied) = self.checkpoint_as("NOOP")?;
        let waiting = logged.saturating_sub(copied);
        if waiting < CHECKPOINT_PAGES {
            return Ok(());
        }
        let mode = if logged < TRUNCATE_PAGES { "PASSIVE" } else { "TRUNCATE" };
        match self.checkpoint_as(mode) {
            // The WAL stays as it is; it is copied when there is room, or when the foreign program has
            // released its lock.
            Ok(_) | Err(DatabaseTrouble::Full(_) | DatabaseTrouble::Busy(_)) => Ok(()),
            Err(trouble) => Err(trouble.at_commit()),
        }
    }

    /// Copies the WAL into the database and truncates it. If a reader is in the way, the next idle moment
    /// tries again.
    fn empty_log(&mut self) -> Result<(), DatabaseTrouble> {
        let (logged, copied) = self.checkpoint_as("PASSIVE")?;
        // Waiting for a reader would make mail wait.
        let wait = |millis| self.connection.busy_timeout(Duration::from_millis(millis));
        wait(0).map_err(|error| DatabaseTrouble::of(&error))?;
        let emptied = if logged == copied { self.checkpoint_as("TRUNCATE") } else { Ok((logged, copied)) };
        wait(BUSY_MILLIS).map_err(|error| DatabaseTrouble::of(&error))?;
        self.tidy = matches!(emptied, Ok((0, _)));
        emptied.map(drop)
    }

    /// The number of pages in the WAL, and of those already copied.
    pub(super) fn checkpoint_as(&self, mode: &str) -> Result<(i64, i64), DatabaseTrouble> {
        let run = || {
            self.connection
                .prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?
                .query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
        };
        run().map_err(|error| DatabaseTrouble::of(&error))
    }
}

/// In pages, 4 MiB.
const CHECKPOINT_PAGES: i64 = 512;
/// In pages, 64 MiB: a WAL this long is truncated to free its space.
const TRUNCATE_PAGES: i64 = 8192;
