//! Checks a spool after a fault, before anything in it is delivered. It repairs nothing.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};

use rusqlite::{Connection, Result, TransactionBehavior, params};

use super::apply::forget;
use super::fault::OpenFault;
use super::findings::{Concern, concern, is_damaged, is_unreadable, quick_check};
use super::lock::{lock, open_for_writing};
use super::schema::secure;
use super::trouble::DatabaseTrouble;
use crate::mail::QueueId;
use crate::spool::Settings;
use crate::spool::body::{Bodies, is_no_room, sync_folder};
use crate::spool::mark::Mark;

/// The outcome of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// The spool is in order, and the mark was removed.
    Passed,
    /// The spool can be read, but there is no room to write. Mail can be delivered; the mark stays until its
    /// contents are recorded.
    NoRoom,
}

/// Why nothing may be delivered yet.
#[derive(Debug, thiserror::Error)]
pub enum TrialFault {
    /// The spool can't be opened.
    #[error(transparent)]
    Open(OpenFault),
    /// The queue in the database is damaged.
    #[error(
        "the database is damaged ({0}); nothing is delivered until it is replaced: stop sealpost, see \
         `sealpost spool check`, and take over what can be read by `sealpost spool salvage --to FILE`"
    )]
    Damaged(String),
    /// The disk reports I/O errors for the database.
    #[error(
        "the database can't be read from the disk ({0}); nothing is delivered until it can: it is tried again. If \
         the disk stays like that, stop sealpost, and take over what can be read by `sealpost spool salvage --to \
         FILE` onto another one"
    )]
    Unreadable(String),
    /// The database can't be written or flushed.
    #[error(
        "the database can't be written and read back ({0}); check the disk of data_dir: it is tried again"
    )]
    Database(rusqlite::Error),
    /// A file can't be written or flushed.
    #[error("{0}; check the disk of data_dir: it is tried again")]
    Disk(String),
}

impl From<OpenFault> for TrialFault {
    fn from(fault: OpenFault) -> Self {
        match fault {
            OpenFault::Database(_, error) if is_damaged(&error) || is_unreadable(&error) => error.into(),
            fault @ (OpenFault::Locked(_)
            | OpenFault::Folder(..)
            | OpenFault::Database(..)
            | OpenFault::Newer { .. }
            | OpenFault::Thread(_)) => Self::Open(fault),
        }
    }
}

impl From<rusqlite::Error> for TrialFault {
    fn from(error: rusqlite::Error) -> Self {
        if is_damaged(&error) {
            return Self::Damaged(error.to_string());
        }
        if is_unreadable(&error) { Self::Unreadable(error.to_string()) } else { Self::Database(error) }
    }
}

/// See [`super::SqliteSpool::try_again`].
pub(super) fn run(settings: &Settings, mark: &Mark) -> Result<Trial, TrialFault> {
    let data_dir = &*settings.data_dir;
    let disk = |error: io::Error| TrialFault::Disk(format!("{}: {error}", data_dir.display()));
    let _lock = lock(&data_dir.join("lock"))?;
    let bodies = Bodies::below(data_dir).map_err(disk)?;
    let mut room = Room { bodies: &bodies, there_is: true };
    match flush_files(&bodies) {
        Err(error) if is_no_room(&error) => room.there_is = false,
        flushed => flushed.map_err(disk)?,
    }
    let (mut writer, _) = open_for_writing(data_dir, &bodies)?;
    if settings.secure_delete {
        secure(&writer)?;
    }
    let findings = quick_check(&writer, None, FINDINGS_MAX)?;
    match concern(&writer, &findings)? {
        // Unreadable content is held, message by message.
        Concern::Nothing | Concern::Contents => {}
        Concern::Queue => return Err(TrialFault::Damaged(findings.text())),
        Concern::Unreadable => return Err(TrialFault::Unreadable(findings.text())),
    }
    room.use_for(|| write_and_free(&writer))?;
    for (id, numbers) in &mark.done {
        room.use_for(|| write_down(&mut writer, *id, numbers))?;
    }
    room.use_for(|| copy_log(&writer))?;
    if !room.there_is {
        return Ok(Trial::NoRoom);
    }
    writer.close().map_err(|(_, error)| error)?;
    Mark::clear(data_dir).map_err(disk)?;
    Ok(Trial::Passed)
}

/// Whether there is room to write.
struct Room<'a> {
    bodies: &'a Bodies,
    there_is: bool,
}

impl Room<'_> {
    /// Runs work that needs room; skipped once there is none.
    fn use_for(&mut self, work: impl FnOnce() -> Result<()>) -> Result<(), TrialFault> {
        if !self.there_is {
            return Ok(());
        }
        match work() {
            Err(error) if self.lacks(&DatabaseTrouble::of(&error)) => {
                self.there_is = false;
                Ok(())
            }
            done => Ok(done?),
        }
    }

    fn lacks(&self, trouble: &DatabaseTrouble) -> bool {
        match trouble {
            DatabaseTrouble::Full(_) => true,
            DatabaseTrouble::Write(_) => self.bodies.is_full(),
            DatabaseTrouble::Single(_)
            | DatabaseTrouble::Busy(_)
            | DatabaseTrouble::Damaged(_)
            | DatabaseTrouble::Broken(_) => false,
        }
    }
}

/// Records recipients as done; content on a damaged page stays there.
fn write_down(writer: &mut Connection, id: QueueId, numbers: &BTreeSet<u32>) -> Result<()> {
    let mut last = Ok(());
    for leave_content in [false, true] {
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        last = forget(&transaction, id, numbers, leave_content).and_then(|()| transaction.commit());
        if !last.as_ref().is_err_and(is_damaged) {
            break;
        }
    }
    last
}

/// Writes a file as for a large message, but without a row.
fn flush_files(bodies: &Bodies) -> io::Result<()> {
    let (unfinished, finished) = (bodies.unfinished().join(PROBE), bodies.finished().join(PROBE));
    let mut file = File::create(&unfinished)?;
    file.write_all(&[0; PROBE_BYTES])?;
    file.sync_all()?;
    drop(file);
    fs::rename(&unfinished, &finished)?;
    sync_folder(bodies.finished())?;
    fs::remove_file(&finished)?;
    sync_folder(bodies.finished())
}

/// Allocates pages before the first content and after the last, copies them into the database, and frees
/// them.
fn write_and_free(writer: &Connection) -> Result<()> {
    let ends = [i64::MIN, i64::MAX];
    let remove =
        || ends.iter().try_for_each(|id| writer.execute("DELETE FROM body WHERE id = ?1", [id]).map(drop));
    // Left over from an interrupted trial.
    remove()?;
    for id in ends {
        let content: &[u8] = &[0; PROBE_BYTES];
        let inserted = writer.execute("INSERT INTO body (id, content) VALUES (?1, ?2)", params![id, content]);
        // If there is no room for both, none may stay.
        inserted.inspect_err(|_| drop(remove()))?;
    }
    copy_log(writer).inspect_err(|_| drop(remove()))?;
    for id in ends {
        let found: Vec<u8> =
            writer.query_row("SELECT content FROM body WHERE id = ?1", [id], |row| row.get(0))?;
        if found.len() != PROBE_BYTES {
            return Err(rusqlite::Error::QueryReturnedNoRows);
        }
    }
    remove()
}

/// Copies the WAL into the database, flushing both.
fn copy_log(writer: &Connection) -> Result<()> {
    writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// With more findings than this, they are not interpreted one by one.
const FINDINGS_MAX: usize = 100_000;
const PROBE: &str = "probe";
const PROBE_BYTES: usize = 128 * 1024;
