//! The database of `[watch]`, `watch.sqlite` in `data_dir`: what is known of each target, and what has changed. It is no
//! part of the spool: without it mail goes on, and it may be removed while the daemon is down.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Row, params};
use serde::Serialize;

use super::plan::LookTarget;
use super::record::{HostChange, TargetRecord};
use crate::mail::{Domain, UnixMillis};

/// Why the database can't be used.
#[derive(Debug, thiserror::Error)]
pub enum WatchFault {
    /// The file can't be created.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    /// SQLite's words.
    #[error("{0}: {1}")]
    Database(PathBuf, rusqlite::Error),
    /// A newer version wrote it.
    #[error(
        "{path} was written by a newer version of sealpost (schema {version}); remove it, and watching begins again"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        version: i64,
    },
}

/// The database, open for writing.
#[derive(Debug)]
pub struct WatchStore {
    file: PathBuf,
    /// Which file it is.
    identity: Option<(u64, u64)>,
    connection: Connection,
}

/// What is known of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptTarget {
    /// The outbound connector.
    pub connector: String,
    /// The recipient domain, if it matters.
    pub domain: Option<String>,
    /// The partner, if the connector belongs to one.
    pub partner: Option<String>,
    /// What is known.
    pub record: TargetRecord,
}

/// A change, as it was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptChange {
    /// When it was seen.
    pub at: UnixMillis,
    /// The outbound connector.
    pub connector: String,
    /// The recipient domain, if it matters.
    pub domain: Option<String>,
    /// The partner, if the connector belonged to one.
    pub partner: Option<String>,
    /// Where, and what.
    pub what: HostChange,
}

impl WatchStore {
    /// Opens the database in `data_dir`, or creates it.
    ///
    /// # Errors
    /// Why it can't be used.
    pub fn open(data_dir: &Path) -> Result<Self, WatchFault> {
        let file = watch_file(data_dir);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(WatchFault::File(file, error)),
        }
        let faulty = |error| WatchFault::Database(file.clone(), error);
        let connection = connect(&file, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(faulty)?;
        match version(&connection).map_err(faulty)? {
            0 => connection.execute_batch(SCHEMA).map_err(faulty)?,
            SCHEMA_VERSION => {}
            version => return Err(WatchFault::Newer { path: file, version }),
        }
        // What a crash of the host loses is seen again at the next look.
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(faulty)?;
        let identity = identity(&file);
        Ok(Self { file, identity, connection })
    }

    /// Whether the file that is open is still the one at its place.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.identity.is_some() && self.identity == identity(&self.file)
    }

    /// When each target was looked at last.
    ///
    /// # Errors
    /// SQLite's words.
    pub fn last_looks(&self) -> Result<BTreeMap<LookTarget, UnixMillis>, WatchFault> {
        let read = || {
            let mut statement = self.connection.prepare_cached("SELECT connector, domain, at FROM target")?;
            let rows = statement.query_map([], |row| {
                let (connector, domain): (String, String) = (row.get(0)?, row.get(1)?);
                Ok((target(&connector, &domain), UnixMillis(row.get(2)?)))
            })?;
            rows.collect::<rusqlite::Result<BTreeMap<_, _>>>()
        };
        read().map_err(|error| self.faulty(error))
    }

    /// What is known of a target. What can't be read any more is not known.
    ///
    /// # Errors
    /// SQLite's words.
    pub fn record(&self, target: &LookTarget) -> Result<Option<TargetRecord>, WatchFault> {
        let read = || {
            let sql = "SELECT record FROM target WHERE connector = ?1 AND domain = ?2";
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query(params![&*target.connector, domain_of(target)])?;
            rows.next()?.map(|row| row.get::<_, String>(0)).transpose()
        };
        let text = read().map_err(|error| self.faulty(error))?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Keeps what is known after a look, and what it changed; durable together.
    ///
    /// # Errors
    /// SQLite's words; nothing is kept.
    pub fn keep(
        &mut self,
        target: &LookTarget,
        partner: Option<&str>,
        record: &TargetRecord,
        changes: &[HostChange],
    ) -> Result<(), WatchFault> {
        let file = self.file.clone();
        let mut write = || {
            let transaction = self.connection.transaction()?;
            let (connector, domain, at) = (&*target.connector, domain_of(target), record.at.0);
            transaction.execute(
                "INSERT OR REPLACE INTO target (connector, domain, partner, at, record) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![connector, domain, partner, at, text(record)?],
            )?;
            for change in changes {
                transaction.execute(
                    "INSERT INTO change (at, connector, domain, partner, what) VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![at, connector, domain, partner, text(change)?],
                )?;
            }
            transaction.commit()
        };
        write().map_err(|error| WatchFault::Database(file, error))
    }

    /// Removes changes from before this time, the oldest if there are too many, and targets of which nothing was seen since
    /// then and that are not watched any more.
    ///
    /// # Errors
    /// SQLite's words.
    pub fn prune(
        &mut self,
        before: UnixMillis,
        watched: impl Fn(&LookTarget) -> bool,
    ) -> Result<(), WatchFault> {
        let looks = self.last_looks()?;
        let file = self.file.clone();
        let mut write = || {
            let transaction = self.connection.transaction()?;
            transaction.execute("DELETE FROM change WHERE at < ?1", params![before.0])?;
            transaction.execute(
                "DELETE FROM change WHERE id <= (SELECT max(id) FROM change) - ?1",
                params![CHANGES_MAX],
            )?;
            let old = looks.iter().filter(|(target, at)| **at < before && !watched(target));
            for (target, _) in old {
                transaction.execute(
                    "DELETE FROM target WHERE connector = ?1 AND domain = ?2",
                    params![&*target.connector, domain_of(target)],
                )?;
            }
            transaction.commit()
        };
        write().map_err(|error| WatchFault::Database(file, error))
    }

    fn faulty(&self, error: rusqlite::Error) -> WatchFault {
        WatchFault::Database(self.file.clone(), error)
    }
}

/// Where the database is.
#[must_use]
pub fn watch_file(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE_NAME)
}

/// Which file is at a path: its device and inode; `None` if there is none.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// What is known of every target, by connector; nothing if nothing was ever watched. The daemon may run or not.
///
/// # Errors
/// Why it can't be read.
pub fn latest(data_dir: &Path) -> Result<Vec<KeptTarget>, WatchFault> {
    read(data_dir, |connection| {
        let sql = "SELECT connector, domain, partner, record FROM target ORDER BY connector, domain";
        let mut statement = connection.prepare(sql)?;
        statement.query_map([], kept_target)?.filter_map(Result::transpose).collect()
    })
}

/// What has changed since a time, the oldest first.
///
/// # Errors
/// Why it can't be read.
pub fn changes(data_dir: &Path, since: UnixMillis) -> Result<Vec<KeptChange>, WatchFault> {
    read(data_dir, |connection| {
        let sql = "SELECT at, connector, domain, partner, what FROM change WHERE at >= ?1 ORDER BY id";
        let mut statement = connection.prepare(sql)?;
        statement.query_map(params![since.0], kept_change)?.filter_map(Result::transpose).collect()
    })
}

/// What is known of a connector's targets, a few of them, and what has changed there since a time, the newest first.
///
/// # Errors
/// Why it can't be read.
pub fn seen_of(
    data_dir: &Path,
    connector: &str,
    since: UnixMillis,
    changes_max: usize,
) -> Result<(Vec<KeptTarget>, Vec<KeptChange>), WatchFault> {
    read(data_dir, |connection| {
        let sql = "SELECT connector, domain, partner, record FROM target WHERE connector = ?1 ORDER BY domain LIMIT ?2";
        let mut statement = connection.prepare(sql)?;
        let targets = statement.query_map(params![connector, TARGETS_SHOWN_MAX], kept_target)?;
        let targets = targets.filter_map(Result::transpose).collect::<rusqlite::Result<Vec<_>>>()?;
        let sql = "SELECT at, connector, domain, partner, what FROM change WHERE connector = ?1 AND at >= ?2
            ORDER BY id DESC LIMIT ?3";
        let mut statement = connection.prepare(sql)?;
        let limit = i64::try_from(changes_max).unwrap_or(i64::MAX);
        let changes = statement.query_map(params![connector, since.0, limit], kept_change)?;
        Ok((targets, changes.filter_map(Result::transpose).collect::<rusqlite::Result<Vec<_>>>()?))
    })
}

fn kept_target(row: &Row<'_>) -> rusqlite::Result<Option<KeptTarget>> {
    let (connector, domain, partner) = (row.get(0)?, optional(row.get(1)?), row.get(2)?);
    let record = serde_json::from_str(&row.get::<_, String>(3)?).ok();
    Ok(record.map(|record| KeptTarget { connector, domain, partner, record }))
}

fn kept_change(row: &Row<'_>) -> rusqlite::Result<Option<KeptChange>> {
    let (at, connector) = (UnixMillis(row.get(0)?), row.get(1)?);
    let (domain, partner) = (optional(row.get(2)?), row.get(3)?);
    let what = serde_json::from_str(&row.get::<_, String>(4)?).ok();
    Ok(what.map(|what| KeptChange { at, connector, domain, partner, what }))
}

fn read<T: Default>(
    data_dir: &Path,
    query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T, WatchFault> {
    let file = watch_file(data_dir);
    if !file.exists() {
        return Ok(T::default());
    }
    let faulty = |error| WatchFault::Database(file.clone(), error);
    let connection = connect(&file, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(faulty)?;
    match version(&connection).map_err(faulty)? {
        0 => Ok(T::default()),
        SCHEMA_VERSION => query(&connection).map_err(faulty),
        version => Err(WatchFault::Newer { path: file, version }),
    }
}

fn connect(file: &Path, how: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(file, how | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_millis(BUSY_MILLIS))?;
    Ok(connection)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn text(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|fault| rusqlite::Error::ToSqlConversionFailure(fault.into()))
}

fn domain_of(target: &LookTarget) -> &str {
    target.domain.as_ref().map_or("", Domain::as_str)
}

fn target(connector: &str, domain: &str) -> LookTarget {
    LookTarget { connector: connector.into(), domain: Domain::parse(domain).ok() }
}

fn optional(domain: String) -> Option<String> {
    Some(domain).filter(|domain| !domain.is_empty())
}

/// In `data_dir`.
const FILE_NAME: &str = "watch.sqlite";
/// How long to wait for a lock: a report is read in a moment.
const BUSY_MILLIS: u64 = 5_000;
/// Changes that are kept, however young they are.
const CHANGES_MAX: i64 = 100_000;
/// Targets of one connector that are shown.
const TARGETS_SHOWN_MAX: i64 = 50;
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
    BEGIN;
    CREATE TABLE target (
        connector TEXT NOT NULL,
        domain TEXT NOT NULL,           -- empty: it does not matter
        partner TEXT,
        at INTEGER NOT NULL,            -- the last look, in milliseconds since 1970
        record TEXT NOT NULL,           -- JSON
        PRIMARY KEY (connector, domain)
    ) WITHOUT ROWID;
    CREATE TABLE change (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        connector TEXT NOT NULL,
        domain TEXT NOT NULL,
        partner TEXT,
        what TEXT NOT NULL              -- JSON
    );
    CREATE INDEX change_at ON change (at);
    PRAGMA user_version = 1;
    COMMIT;
";
