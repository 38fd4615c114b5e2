//! Opens the spool: lock, database, recovery after a crash, threads. It delivers nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, mpsc};
use std::thread;

use rusqlite::{Connection, ErrorCode, Result, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::SqliteSpool;
use super::apply::NEVER;
use super::fault::OpenFault;
use super::lock::{lock, open_for_writing};
use super::ops::{Op, Settle};
use super::reader::{Reader, last_id};
use super::schema::{open_reader, secure};
use super::shared::{Alarm, SpoolState};
use super::tidy::Upkeep;
use super::tidy::{USED_PAGES_AT_START_MAX, shrink};
use super::writer::Writer;
use crate::mail::QueueId;
use crate::spool::body::{Bodies, sync_folder};
use crate::spool::mark::{Mark, Marker};
use crate::spool::recover::{HoldState, RecoveryReport, Row, sweep};
use crate::spool::reserve;
use crate::spool::{LeaseBook, RecipientResult, Settings, Stats};

impl SqliteSpool {
    /// Opens the spool below `settings.data_dir`, creates it if missing, and recovers from a crash. Blocks
    /// until finished.
    ///
    /// # Errors
    /// An [`OpenFault`].
    pub fn open(settings: Settings) -> Result<(Arc<Self>, RecoveryReport), OpenFault> {
        open(&settings)
    }
}

fn open(settings: &Settings) -> Result<(Arc<SqliteSpool>, RecoveryReport), OpenFault> {
    let data_dir = &*settings.data_dir;
    let folder = |error| OpenFault::Folder(data_dir.to_owned(), error);
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(folder)?;
    let lock = lock(&data_dir.join("lock"))?;
    let bodies = Bodies::below(data_dir).map_err(folder)?;
    let path = data_dir.join("spool.sqlite");
    let mark = Mark::read(data_dir, "").map_err(folder)?;
    let (mut writer, new_database) = open_for_writing(data_dir, &bodies)?;
    if settings.secure_delete {
        secure(&writer).map_err(|error| OpenFault::Database(path.clone(), error))?;
    }
    sync_folder(data_dir).map_err(folder)?;
    // If there is no room to shrink the file, or a foreign program holds it, it stays as it is.
    let upkeep = Upkeep {
        data_dir: data_dir.to_owned(),
        free_disk: settings.free_disk,
        secure: settings.secure_delete,
    };
    let _ = shrink(&writer, USED_PAGES_AT_START_MAX, &upkeep);

    let faulty = |error| OpenFault::Database(path.clone(), error);
    let rows = rows_in_files(&writer).map_err(faulty)?;
    let mut recovered = sweep(&bodies, &rows, new_database).map_err(folder)?;
    match write_down(&mut writer, &recovered) {
        // Without room, the next start does it; missing content is held when it is read.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
            (recovered.held, recovered.released) = (Vec::new(), Vec::new());
        }
        written => written.map_err(faulty)?,
    }
    recovered.stats = count(&writer).map_err(faulty)?;
    let last = last_id(&writer).map_err(faulty)?;
    let (reader, desk) = (open_reader(&path)?, open_reader(&path)?);

    let shared = Arc::new(SpoolState::new(bodies, recovered.stats, (Marker::new(data_dir), settings.faults)));
    let (ops, ops_in) = mpsc::channel();
    let (questions, questions_in) = mpsc::channel();
    let (desk_questions, desk_questions_in) = mpsc::channel();
    let mut spool = SqliteSpool {
        shared: Arc::clone(&shared),
        last_id: AtomicI64::new(last.map_or(0, QueueId::to_number)),
        ops: Some(ops.clone()),
        questions: Some(questions),
        desk_questions: Some(desk_questions),
        writer: None,
        reader: None,
        desk: None,
        _lock: lock,
    };
    let found = mark.map(|mark| settled(&shared.book, &mark));
    // If the disk is full, there is no reserve for now.
    let _ = reserve::keep(data_dir);
    let writer = Writer::new(writer, Arc::clone(&shared), ops_in, (found, upkeep));
    spool.writer = Some(spawn("spool-writer", &shared, || writer.run())?);
    let reader = Reader::new(reader, Arc::clone(&shared), ops.clone());
    spool.reader = Some(spawn("spool-reader", &shared, move || reader.run(&questions_in))?);
    let desk = Reader::new(desk, Arc::clone(&shared), ops);
    spool.desk = Some(spawn("spool-desk", &shared, move || desk.run(&desk_questions_in))?);
    Ok((Arc::new(spool), recovered))
}

/// The recipients that a mark lists as done, to be recorded once there is room. Until then the leases keep
/// them from being attempted again.
fn settled(book: &Arc<LeaseBook>, mark: &Mark) -> Vec<Op> {
    let settle = |(id, numbers): (&QueueId, &BTreeSet<u32>)| {
        let recipients: Vec<_> = numbers.iter().map(|number| (*number, RecipientResult::Done)).collect();
        let lease = book.lease(*id, &numbers.iter().copied().collect::<Vec<_>>())?;
        // Nobody waits for the answer.
        let (answer, _) = oneshot::channel();
        // How they got it is not known.
        let (message, reports, left_sealed) = (*id, Vec::new(), true);
        Some(Op::Settle(Settle { message, lease, recipients, reports, left_sealed, answer }))
    };
    mark.done.iter().filter_map(settle).collect()
}

fn spawn(
    name: &'static str,
    shared: &Arc<SpoolState>,
    work: impl FnOnce() + Send + 'static,
) -> Result<thread::JoinHandle<()>, OpenFault> {
    let shared = Arc::clone(shared);
    let guarded = move || {
        let _alarm = Alarm(shared, name);
        work();
    };
    let spawned: io::Result<_> = thread::Builder::new().name(name.to_owned()).spawn(guarded);
    spawned.map_err(OpenFault::Thread)
}

fn rows_in_files(connection: &Connection) -> Result<BTreeMap<QueueId, Row>> {
    connection
        .prepare("SELECT id, size, held IS NOT NULL, held_until_whole FROM message WHERE in_file = 1")?
        .query_map([], |row| {
            let size: i64 = row.get(1)?;
            let size = u64::try_from(size).unwrap_or_default();
            let held = match (row.get(2)?, row.get(3)?) {
                (false, _) => HoldState::Not,
                (true, true) => HoldState::UntilWhole,
                (true, false) => HoldState::UntilReleased,
            };
            Ok((QueueId::from_number(row.get(0)?), Row { size, held }))
        })?
        .collect()
}

/// Holds and releases messages in one commit.
fn write_down(writer: &mut Connection, recovered: &RecoveryReport) -> Result<()> {
    if recovered.held.is_empty() && recovered.released.is_empty() {
        return Ok(());
    }
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (id, reason) in &recovered.held {
        let id = id.to_number();
        let hold = "UPDATE message SET held = ?2, held_until_whole = 1 WHERE id = ?1";
        transaction.execute(hold, params![id, reason])?;
        transaction.execute("UPDATE recipient SET next_at = ?2 WHERE message = ?1", params![id, NEVER.0])?;
    }
    for id in &recovered.released {
        let id = id.to_number();
        let release = "UPDATE message SET held = NULL, held_until_whole = 0 WHERE id = ?1";
        transaction.execute(release, [id])?;
        transaction.execute("UPDATE recipient SET next_at = accepted_at WHERE message = ?1", [id])?;
    }
    transaction.commit()
}

/// Each count scans the smallest index, not the messages.
fn count(connection: &Connection) -> Result<Stats> {
    let count = |sql| {
        let count: i64 = connection.query_row(sql, [], |row| row.get(0))?;
        Ok::<_, rusqlite::Error>(u64::try_from(count).unwrap_or_default())
    };
    Ok(Stats {
        messages: count("SELECT COUNT(*) FROM message")?,
        recipients: count("SELECT COUNT(*) FROM recipient")?,
        held: count("SELECT COUNT(*) FROM message WHERE held IS NOT NULL")?,
    })
}
