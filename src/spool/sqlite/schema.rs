//! Opens the database connections and migrates the schema. It reads and writes no messages.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::fault::OpenFault;

/// Opens the database, creates it if missing, and brings its schema up to date. Returns whether it was empty
/// before.
///
/// # Errors
/// [`OpenFault::Folder`], [`OpenFault::Database`] or [`OpenFault::Newer`].
pub(super) fn open_writer(path: &Path) -> Result<(Connection, bool), OpenFault> {
    // SQLite gives its other files the mode of this one.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(OpenFault::Folder(path.to_owned(), error)),
    }
    let faulty = |error| OpenFault::Database(path.to_owned(), error);
    let mut writer = connect(path).map_err(faulty)?;
    tune_writer(&writer).map_err(faulty)?;
    let version = version(&writer).map_err(faulty)?;
    let known = MIGRATIONS.len();
    let pending = usize::try_from(version)
        .ok()
        .and_then(|version| MIGRATIONS.get(version..))
        .ok_or_else(|| OpenFault::Newer { path: path.to_owned(), version, known })?;
    migrate(&mut writer, pending, known).map_err(faulty)?;
    Ok((writer, version == 0))
}

/// Opens a read-only connection.
///
/// # Errors
/// [`OpenFault::Database`].
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenFault> {
    let open = || {
        let reader = connect(path)?;
        reader.pragma_update(None, "query_only", true)?;
        Ok(reader)
    };
    open().map_err(|error| OpenFault::Database(path.to_owned(), error))
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // Only a foreign program can hold a lock for long; a manual query must not end service.
    connection.busy_timeout(Duration::from_millis(BUSY_MILLIS))?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn tune_writer(writer: &Connection) -> rusqlite::Result<()> {
    // The page size takes effect only before the first page is written, so it comes first.
    writer.pragma_update(None, "page_size", PAGE_BYTES)?;
    writer.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    // A commit is on stable storage when it returns.
    writer.pragma_update(None, "synchronous", "FULL")?;
    // The writer checkpoints by itself, after answering.
    writer.pragma_update_and_check(None, "wal_autocheckpoint", 0, |row| row.get::<_, i64>(0))?;
    Ok(())
}

/// Turns on overwriting of deleted content with zeroes.
///
/// # Errors
/// The database error.
pub(super) fn secure(writer: &Connection) -> rusqlite::Result<()> {
    writer.pragma_update_and_check(None, "secure_delete", true, |row| row.get::<_, i64>(0)).map(drop)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn migrate(writer: &mut Connection, pending: &[&str], known: usize) -> rusqlite::Result<()> {
    if pending.is_empty() {
        return Ok(());
    }
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in pending {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", i64::try_from(known).unwrap_or(i64::MAX))?;
    transaction.commit()
}

/// How long to wait for a lock held by a foreign program.
pub(super) const BUSY_MILLIS: u64 = 5_000;
/// The page size in octets: small enough that a group of small messages shares pages, large enough that a
/// body of a few KiB needs no overflow chain.
pub(super) const PAGE_BYTES: i64 = 8192;

/// The steps from an empty database to the current schema. A released step is never changed; new ones are
/// added at the end.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE message (
        id INTEGER PRIMARY KEY,
        accepted_at INTEGER NOT NULL,
        reverse_path TEXT NOT NULL,
        body INTEGER NOT NULL,          -- 0: 7BIT, 1: 8BITMIME
        size INTEGER NOT NULL,
        in_file INTEGER NOT NULL,       -- 1: the content lies in body/
        connector TEXT,
        sealed INTEGER NOT NULL,
        message_id TEXT,
        held TEXT                       -- why it is kept back
    );
    -- Start-up looks at these alone, so it costs nothing for a queue of small messages.
    CREATE INDEX message_in_file ON message (id) WHERE in_file = 1;
    CREATE INDEX message_held ON message (id) WHERE held IS NOT NULL;
    -- Apart from the message, so that lists and counts do not read content.
    CREATE TABLE body (
        id INTEGER PRIMARY KEY,
        content BLOB NOT NULL
    );
    CREATE TABLE recipient (
        message INTEGER NOT NULL,
        number INTEGER NOT NULL,
        forward_path TEXT NOT NULL,
        lane TEXT NOT NULL,
        accepted_at INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        next_at INTEGER NOT NULL,       -- the largest number: never, the message is held
        delay_told INTEGER NOT NULL,
        last TEXT,                      -- what hindered the last attempt, JSON
        PRIMARY KEY (message, number)
    ) WITHOUT ROWID;
    -- Covers what a lane is asked for: what is due, and what is past a date.
    CREATE INDEX recipient_due ON recipient (lane, next_at, message, number, accepted_at, delay_told);
",
    "
    -- It must leave sealed, and so must the reports about it.
    ALTER TABLE message ADD COLUMN onward_sealed INTEGER NOT NULL DEFAULT 0;
",
    "
    -- What extensions say of a message and its recipients (RFC 6531, RFC 3461). body may be 2: BINARYMIME.
    ALTER TABLE message ADD COLUMN utf8 INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE message ADD COLUMN ret TEXT;
    ALTER TABLE message ADD COLUMN envid TEXT;
    ALTER TABLE recipient ADD COLUMN notify INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE recipient ADD COLUMN orcpt TEXT;
    -- delay_told is 2 where nobody is told of anything: the reverse-path is null.
    UPDATE recipient SET delay_told = 2
    WHERE message IN (SELECT id FROM message WHERE reverse_path = '');
",
    "
    -- 1: held only until its file is whole. Until now the reason was all that told this from a hold by an operator.
    ALTER TABLE message ADD COLUMN held_until_whole INTEGER NOT NULL DEFAULT 0;
    UPDATE message SET held_until_whole = 1 WHERE in_file = 1 AND (held LIKE 'its content is missing: %'
        OR held LIKE 'its content has % octets instead of %' OR held LIKE 'the content should have % octets, %');
",
    "
    -- 1: a recipient may have got it under forced TLS, so no report returns its content. What is old may have been.
    ALTER TABLE message ADD COLUMN left_sealed INTEGER NOT NULL DEFAULT 1;
",
    "
    -- The rules that raised onward_sealed, which may be 2 now: the host must prove who it is. And the organisation that
    -- XOORG tells the next hop.
    ALTER TABLE message ADD COLUMN raised_by TEXT;
    ALTER TABLE message ADD COLUMN originator TEXT;
",
    "
    -- How the recipient was handed to another connector, JSON.
    ALTER TABLE recipient ADD COLUMN rerouted TEXT;
",
    "
    -- How much of onward_sealed the inbound connector itself requires. NULL, in what is old: all of it.
    ALTER TABLE message ADD COLUMN onward_own INTEGER;
",
    "
    -- The Subject, for what is told of the message; NULL where it is not to be kept.
    ALTER TABLE message ADD COLUMN subject TEXT;
",
];
