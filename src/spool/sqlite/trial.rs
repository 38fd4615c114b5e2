//! Tries a spool that broke, before anything of it is delivered.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use rusqlite::{Connection, ErrorCode, Result, TransactionBehavior, params};

use super::OpenFault;
use super::apply::forget;
use super::inspect::{content_alone, quick_check};
use super::schema::open_writer;
use super::start::lock;
use crate::mail::QueueId;
use crate::spool::body::{Bodies, sync_folder};
use crate::spool::mark::Mark;

/// Why nothing may be delivered yet.
#[derive(Debug, thiserror::Error)]
pub enum TrialFault {
    /// It can't be opened.
    #[error(transparent)]
    Open(#[from] OpenFault),
    /// The database is damaged.
    #[error(
        "the database is damaged ({0}); nothing is delivered until it is mended: stop sealpost, see \
         `sealpost spool check`, and take over what can be read by `sealpost spool salvage --to FILE`"
    )]
    Damaged(String),
    /// It can't be written or flushed.
    #[error(
        "the database can't be written and read back ({0}); see to the disk of data_dir: it is tried again"
    )]
    Database(#[from] rusqlite::Error),
    /// A file can't be written or flushed.
    #[error("{0}; see to the disk of data_dir: it is tried again")]
    Disk(String),
}

/// See [`super::SqliteSpool::try_again`].
pub(super) fn run(data_dir: &Path, mark: &Mark) -> Result<(), TrialFault> {
    let disk = |error: io::Error| TrialFault::Disk(format!("{}: {error}", data_dir.display()));
    let _lock = lock(&data_dir.join("lock"))?;
    let bodies = Bodies::below(data_dir).map_err(disk)?;
    flush_files(&bodies).map_err(disk)?;
    let (mut writer, _) = open_writer(&data_dir.join("spool.sqlite"))?;
    let findings = quick_check(&writer, "20")?;
    // Content that can't be read is held, message by message; all else decides what is delivered.
    if !findings.is_empty() && !content_alone(&writer, &findings)? {
        return Err(TrialFault::Damaged(findings.join("; ")));
    }
    write_and_free(&writer).map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => TrialFault::Damaged(error.to_string()),
        _ => error.into(),
    })?;
    for (id, numbers) in &mark.done {
        write_down(&mut writer, *id, numbers)?;
    }
    copy_log(&writer)?;
    writer.close().map_err(|(_, error)| error)?;
    Mark::clear(data_dir).map_err(disk)
}

/// Content on a damaged page stays there.
fn write_down(writer: &mut Connection, id: QueueId, numbers: &BTreeSet<u32>) -> Result<()> {
    let mut last = Ok(());
    for leave_content in [false, true] {
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        last = forget(&transaction, id, numbers, leave_content).and_then(|()| transaction.commit());
        let damaged = |error: &rusqlite::Error| error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt);
        if !last.as_ref().is_err_and(damaged) {
            break;
        }
    }
    last
}

/// A file goes the way of a large message, but for its row.
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

/// Takes pages, before the first content and behind the last, copies them into the database, and frees them.
fn write_and_free(writer: &Connection) -> Result<()> {
    let ends = [i64::MIN, i64::MAX];
    let remove =
        || ends.iter().try_for_each(|id| writer.execute("DELETE FROM body WHERE id = ?1", [id]).map(drop));
    // What an earlier trial left, if it was cut short.
    remove()?;
    for id in ends {
        let content: &[u8] = &[0; PROBE_BYTES];
        writer.execute("INSERT INTO body (id, content) VALUES (?1, ?2)", params![id, content])?;
    }
    copy_log(writer)?;
    for id in ends {
        let found: Vec<u8> =
            writer.query_row("SELECT content FROM body WHERE id = ?1", [id], |row| row.get(0))?;
        if found.len() != PROBE_BYTES {
            return Err(rusqlite::Error::QueryReturnedNoRows);
        }
    }
    remove()
}

/// Copies the log into the database, both flushed.
fn copy_log(writer: &Connection) -> Result<()> {
    writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

const PROBE: &str = "probe";
const PROBE_BYTES: usize = 128 * 1024;
