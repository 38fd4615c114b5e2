//! Opens the store and brings its schema up to date. Events are in parts, one for each day or half a million events, each
//! with its own index, so that old ones go by dropping tables.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// The name of the store in `data_dir`.
pub const STORE_FILE: &str = "tracking.sqlite";

/// Why the store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum TraceFault {
    /// There is none: the daemon has not run yet, or `[tracking] enabled` is false.
    #[error("{path}: there is no tracking store; the daemon makes it, unless `[tracking] enabled` is false", path = .0.display())]
    Missing(PathBuf),
    /// The file can't be made.
    #[error("{path}: {1}", path = .0.display())]
    File(PathBuf, io::Error),
    /// The database can't be read.
    #[error("{path}: {1}", path = .0.display())]
    Database(PathBuf, rusqlite::Error),
    /// A newer version of this program wrote it.
    #[error("{path}: it is of a newer version of Sealpost ({1}; this one knows {2})", path = .0.display())]
    Newer(PathBuf, i64, i64),
}

/// Opens the store for its only writer, and makes it if there is none.
pub(super) fn open_writer(path: &Path) -> Result<Connection, TraceFault> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(TraceFault::File(path.to_owned(), error)),
    }
    let faulty = |error| TraceFault::Database(path.to_owned(), error);
    let connection = connect(path).map_err(faulty)?;
    tune(&connection).map_err(faulty)?;
    let version = version(&connection).map_err(faulty)?;
    if version > VERSION {
        return Err(TraceFault::Newer(path.to_owned(), version, VERSION));
    }
    match version {
        0 => connection
            .execute_batch(&format!("BEGIN IMMEDIATE; {SCHEMA} {SEAL_SCHEMA} COMMIT;"))
            .map_err(faulty)?,
        1 => connection.execute_batch(&format!("BEGIN IMMEDIATE; {SEAL_SCHEMA} COMMIT;")).map_err(faulty)?,
        _ => {}
    }
    Ok(connection)
}

/// Opens the store for questions.
pub(super) fn open_reader(path: &Path) -> Result<Connection, TraceFault> {
    match std::fs::metadata(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(TraceFault::Missing(path.to_owned()));
        }
        Err(error) => return Err(TraceFault::File(path.to_owned(), error)),
    }
    let faulty = |error| TraceFault::Database(path.to_owned(), error);
    let connection = connect(path).map_err(faulty)?;
    connection.pragma_update(None, "query_only", true).map_err(faulty)?;
    let version = version(&connection).map_err(faulty)?;
    if !READABLE.contains(&version) {
        return Err(TraceFault::Newer(path.to_owned(), version, VERSION));
    }
    Ok(connection)
}

/// Which file is at a path: its device and inode; `None` if there is none.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", CACHE_KIB.saturating_neg())?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn tune(connection: &Connection) -> rusqlite::Result<()> {
    // These two take effect only before the first page is written.
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    // One commit in a second, and it is on stable storage when it returns.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection
        .pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT_PAGES, |row| row.get::<_, i64>(0))?;
    connection
        .pragma_update_and_check(None, "journal_size_limit", WAL_BYTES_MAX, |row| row.get::<_, i64>(0))
        .map(drop)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Makes the tables of a part.
pub(super) fn make_part(connection: &Connection, part: i64) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "CREATE TABLE event_{part} (
            seq INTEGER PRIMARY KEY,
            at INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            id INTEGER,
            decision INTEGER,
            data TEXT NOT NULL,
            leaf BLOB                       -- its hash in the tree of the part, if that is sealed
        );
        CREATE INDEX event_{part}_at ON event_{part} (at);
        CREATE INDEX event_{part}_id ON event_{part} (id) WHERE id IS NOT NULL;
        CREATE VIRTUAL TABLE term_{part} USING fts5(terms, content='', columnsize=0, detail=none, tokenize='ascii');
        INSERT INTO term_{part} (term_{part}, rank) VALUES ('hashsize', 8388608);
        INSERT INTO term_{part} (term_{part}, rank) VALUES ('pgsz', 16000);"
    ))
}

/// Whether the events of a part have a hash: those of an earlier version have none.
pub(super) fn has_leaves(connection: &Connection, part: i64) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT COUNT(*) > 0 FROM pragma_table_info(?1) WHERE name = 'leaf'",
        [format!("event_{part}")],
        |row| row.get(0),
    )
}

/// Whether there is such a part.
pub(super) fn has_part(connection: &Connection, part: i64) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM part WHERE part = ?1)", [part], |row| row.get(0))
}

/// Drops the tables of a part.
pub(super) fn drop_part(connection: &Connection, part: i64) -> rusqlite::Result<()> {
    connection
        .execute_batch(&format!("DROP TABLE IF EXISTS term_{part}; DROP TABLE IF EXISTS event_{part};"))?;
    connection.execute("DELETE FROM part WHERE part = ?1", [part]).map(drop)
}

/// Whether a store has what sealing needs: the daemon of an earlier version may still write it.
pub(super) fn has_seals(connection: &Connection) -> rusqlite::Result<bool> {
    version(connection).map(|version| version >= 2)
}

const VERSION: i64 = 2;
/// Versions whose events can be read; the daemon brings them to the last one.
const READABLE: std::ops::RangeInclusive<i64> = 1..=VERSION;

const SCHEMA: &str = "
    CREATE TABLE part (
        part INTEGER PRIMARY KEY,
        day INTEGER NOT NULL,           -- days since 1970, when it was begun
        first_seq INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        first_at INTEGER NOT NULL,      -- the earliest date in it
        last_at INTEGER NOT NULL        -- the latest
    );
    -- Many events have the same decision.
    CREATE TABLE decision (
        decision INTEGER PRIMARY KEY,
        digest BLOB NOT NULL UNIQUE,
        day INTEGER NOT NULL,           -- the last day on which it was used
        data TEXT NOT NULL
    );
    CREATE TABLE sum (
        sum INTEGER PRIMARY KEY,
        day INTEGER NOT NULL,
        inbound INTEGER NOT NULL,
        connector TEXT NOT NULL,
        partner TEXT NOT NULL,
        domain TEXT NOT NULL,
        kind INTEGER NOT NULL,
        reason TEXT NOT NULL,
        requirement INTEGER NOT NULL,
        version TEXT NOT NULL,
        quality INTEGER NOT NULL,
        messages INTEGER NOT NULL,
        sessions INTEGER NOT NULL,
        octets INTEGER NOT NULL,
        host TEXT NOT NULL,             -- several, with spaces between them
        UNIQUE (day, inbound, connector, partner, domain, kind, reason, requirement, version, quality)
    );
";

/// What came with version 2.
const SEAL_SCHEMA: &str = "
    -- Its events are hashed, and stated.
    ALTER TABLE part ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0;
    -- It gets no more events, and that was stated, or can't be.
    ALTER TABLE part ADD COLUMN closed INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE statement (
        number INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        what INTEGER NOT NULL,
        part INTEGER,
        text TEXT NOT NULL,
        signature BLOB NOT NULL,
        stamp BLOB                      -- TimeStampResp (RFC 3161)
    );
    PRAGMA user_version = 2;
";

/// How long to wait for a lock: readers take none that would last.
const BUSY: Duration = Duration::from_secs(5);
const CACHE_KIB: i64 = 16_384;
/// Large: most of what writing costs is one call for each page.
const PAGE_BYTES: i64 = 16_384;
/// In pages, 32 MiB.
const CHECKPOINT_PAGES: i64 = 2_048;
const WAL_BYTES_MAX: i64 = 64 << 20;

pub(super) const ADD_TO_SUM: &str = "
    UPDATE sum SET messages = messages + ?2, sessions = sessions + ?3, octets = octets + ?4 WHERE sum = ?1";
/// Adds a host to those of a sum. If there is no more room, a star stands for all others.
pub(super) const ADD_HOST: &str = "
    UPDATE sum SET host = CASE WHEN host = '' THEN ?2 WHEN length(host) < 400 THEN host || ' ' || ?2 ELSE host || ' *' END
    WHERE sum = ?1 AND instr(' ' || host || ' ', ' ' || ?2 || ' ') = 0 AND instr(' ' || host || ' ', ' * ') = 0";
pub(super) const FIND_SUM: &str = "
    SELECT sum FROM sum WHERE day = ?1 AND inbound = ?2 AND connector = ?3 AND partner = ?4 AND domain = ?5 AND kind = ?6
        AND reason = ?7 AND requirement = ?8 AND version = ?9 AND quality = ?10";
pub(super) const NEW_SUM: &str = "
    INSERT INTO sum (day, inbound, connector, partner, domain, kind, reason, requirement, version, quality, messages,
        sessions, octets, host)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, 0, 0, '')";
