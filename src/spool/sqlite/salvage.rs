//! Takes over what can be read of a damaged database into a new one, message by message. The old one is not
//! changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Result, params_from_iter};
use serde::Serialize;

use super::OpenFault;
use super::inspect::open_quietly;
use super::schema::open_writer;
use super::start::lock;
use crate::mail::QueueId;
use crate::spool::mark::Mark;

/// What was taken over, and what was not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Salvaged {
    /// Messages in the new database.
    pub messages: u64,
    /// Recipients in it.
    pub recipients: u64,
    /// Recipients that were delivered though the old database does not say so.
    pub done: u64,
    /// Messages that could not be taken over.
    pub lost: Vec<Loss>,
    /// Tables and indexes that can't be read to their end: there may be messages that nothing names.
    pub broken_off: Vec<String>,
}

/// A message that could not be taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// Its name.
    pub id: QueueId,
    /// Why.
    pub reason: String,
    /// Its reverse-path, where it can be read.
    pub reverse_path: Option<String>,
    /// Its recipients, as far as they can be read.
    pub recipients: Vec<String>,
    /// The file its content lies in. The next start removes it where no row names it.
    pub file: Option<PathBuf>,
}

/// Why nothing could be taken over.
#[derive(Debug, thiserror::Error)]
pub enum SalvageFault {
    /// The old database is in use, or can't be opened.
    #[error(transparent)]
    Open(#[from] OpenFault),
    /// There is something at the new place.
    #[error("{0} exists already; name a new file")]
    Exists(PathBuf),
    /// The new database can't be written.
    #[error("{0}: {1}; is there room?")]
    Write(PathBuf, #[source] rusqlite::Error),
    /// The old one has no schema that can be read.
    #[error("{0}: {1}: not even its schema can be read; the `.recover` of the sqlite3 shell may find more")]
    Schema(PathBuf, #[source] rusqlite::Error),
}

/// Takes over what can be read.
///
/// # Errors
/// [`SalvageFault`]; what was begun at the new place stays there.
pub(super) fn salvage(data_dir: &Path, to: &Path) -> std::result::Result<Salvaged, SalvageFault> {
    let path = data_dir.join("spool.sqlite");
    fs::metadata(&path).map_err(|error| OpenFault::Folder(path.clone(), error))?;
    let _lock = lock(&data_dir.join("lock"))?;
    if to.exists() {
        return Err(SalvageFault::Exists(to.to_owned()));
    }
    let old = open_quietly(&path)?;
    // The trees are read as they stand in the file: not even an index must agree with its table.
    let columns = Columns::of(&old).map_err(|error| SalvageFault::Schema(path.clone(), error))?;
    let (new, _) = open_writer(to)?;
    let write = |error| SalvageFault::Write(to.to_owned(), error);
    let mark = Mark::read(data_dir, "").ok().flatten().unwrap_or_default();
    let mut salvaged = Salvaged::default();
    let ids = names(&old, &mut salvaged.broken_off);
    new.execute_batch("BEGIN IMMEDIATE").map_err(write)?;
    for id in ids {
        match message(&old, &columns, id) {
            Ok(None) => {}
            Ok(Some(found)) => take_over(&new, &columns, found, &mark, &mut salvaged).map_err(write)?,
            Err(reason) => salvaged.lost.push(loss(&old, data_dir, id, reason)),
        }
    }
    new.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").map_err(write)?;
    new.close().map_err(|(_, error)| write(error))?;
    Ok(salvaged)
}

/// The columns of the three tables.
struct Columns(BTreeMap<&'static str, Vec<String>>);

impl Columns {
    fn of(old: &Connection) -> Result<Self> {
        let mut columns = BTreeMap::new();
        for table in TABLES {
            let names: Vec<String> = old
                .prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))?
                .query_map([], |row| row.get(0))?
                .collect::<Result<_>>()?;
            if names.is_empty() {
                return Err(rusqlite::Error::InvalidQuery);
            }
            columns.insert(table, names);
        }
        Ok(Self(columns))
    }

    fn list(&self, table: &str) -> &[String] {
        self.0.get(table).map(Vec::as_slice).unwrap_or_default()
    }

    fn at(&self, table: &str, name: &str) -> usize {
        self.list(table).iter().position(|column| column == name).unwrap_or(usize::MAX)
    }
}

/// One message's rows, as values.
struct Found {
    id: QueueId,
    message: Vec<Value>,
    recipients: Vec<Vec<Value>>,
    body: Option<Vec<Value>>,
}

/// Every name that any tree has, from both ends of each: a damaged page hides what lies on it, and no more
/// than that.
fn names(old: &Connection, broken_off: &mut Vec<String>) -> BTreeSet<QueueId> {
    let mut ids = BTreeSet::new();
    for (what, sql) in NAMES {
        let mut whole = true;
        for order in ["ASC", "DESC"] {
            let read = |ids: &mut BTreeSet<QueueId>| {
                let mut statement = old.prepare(&sql.replace("{}", order))?;
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    if let Ok(id) = row.get(0) {
                        ids.insert(QueueId::from_number(id));
                    }
                }
                Ok::<_, rusqlite::Error>(())
            };
            if let Err(error) = read(&mut ids) {
                if whole {
                    broken_off.push(format!("{what}: {error}"));
                }
                whole = false;
            }
            if whole {
                break;
            }
        }
    }
    ids
}

/// All of one message, or why it can't be had. `None`: it is none, or done.
fn message(old: &Connection, columns: &Columns, id: QueueId) -> std::result::Result<Option<Found>, String> {
    let rows = |table: &str, key: &str| {
        let list = columns.list(table).join(", ");
        let count = columns.list(table).len();
        old.prepare_cached(&format!("SELECT {list} FROM {table} WHERE {key} = ?1"))?
            .query_map([id.to_number()], |row| {
                (0..count).map(|at| row.get(at)).collect::<Result<Vec<Value>>>()
            })?
            .collect::<Result<Vec<_>>>()
    };
    let recipients = rows("recipient", "message").map_err(|error| format!("its recipients: {error}"));
    let message = rows("message", "id").map_err(|error| format!("its row: {error}"));
    let (message, recipients) = match (message, recipients) {
        (Ok(message), Ok(recipients)) if recipients.is_empty() || message.is_empty() => {
            if recipients.is_empty() && message.is_empty() {
                return Ok(None);
            }
            let missing =
                if message.is_empty() { "its row is missing" } else { "its recipients are missing" };
            return Err(missing.to_owned());
        }
        (Ok(message), Ok(recipients)) => (message, recipients),
        (Err(reason), _) | (_, Err(reason)) => return Err(reason),
    };
    let message = message.into_iter().next().unwrap_or_default();
    let value = |name| message.get(columns.at("message", name));
    if value("in_file") == Some(&Value::Integer(1)) {
        return Ok(Some(Found { id, message, recipients, body: None }));
    }
    let body = rows("body", "id").map_err(|error| format!("its content: {error}"))?.into_iter().next();
    let length =
        body.as_ref().and_then(|row| row.get(columns.at("body", "content"))).map(|content| match content {
            Value::Blob(octets) => i64::try_from(octets.len()).unwrap_or(i64::MAX),
            Value::Null | Value::Integer(_) | Value::Real(_) | Value::Text(_) => -1,
        });
    if length.map(Value::Integer).as_ref() != value("size") {
        return Err("its content is missing or of another size".to_owned());
    }
    Ok(Some(Found { id, message, recipients, body }))
}

fn take_over(
    new: &Connection,
    columns: &Columns,
    found: Found,
    mark: &Mark,
    salvaged: &mut Salvaged,
) -> Result<()> {
    let done = mark.done.get(&found.id);
    let number = columns.at("recipient", "number");
    let is_done = |row: &[Value]| match (done, row.get(number)) {
        (Some(done), Some(Value::Integer(number))) => {
            u32::try_from(*number).is_ok_and(|number| done.contains(&number))
        }
        _ => false,
    };
    let (gone, waiting): (Vec<_>, Vec<_>) = found.recipients.into_iter().partition(|row| is_done(row));
    let count = |rows: &[Vec<Value>]| u64::try_from(rows.len()).unwrap_or(u64::MAX);
    salvaged.done = salvaged.done.saturating_add(count(&gone));
    if waiting.is_empty() {
        return Ok(());
    }
    salvaged.recipients = salvaged.recipients.saturating_add(count(&waiting));
    salvaged.messages = salvaged.messages.saturating_add(1);
    let rows = [
        ("message", vec![found.message]),
        ("body", found.body.into_iter().collect()),
        ("recipient", waiting),
    ];
    for (table, rows) in rows {
        let list = columns.list(table);
        let marks = vec!["?"; list.len()].join(", ");
        let sql = format!("INSERT INTO {table} ({}) VALUES ({marks})", list.join(", "));
        for row in rows {
            new.prepare_cached(&sql)?.execute(params_from_iter(row))?;
        }
    }
    Ok(())
}

/// What can still be said of a message that is lost.
fn loss(old: &Connection, data_dir: &Path, id: QueueId, reason: String) -> Loss {
    let reverse_path = old
        .query_row("SELECT reverse_path FROM message WHERE id = ?1", [id.to_number()], |row| row.get(0))
        .optional()
        .ok()
        .flatten();
    let mut recipients = Vec::new();
    let mut read = || {
        let mut statement =
            old.prepare_cached("SELECT forward_path FROM recipient WHERE message = ?1 ORDER BY number")?;
        let mut rows = statement.query([id.to_number()])?;
        while let Some(row) = rows.next()? {
            recipients.push(row.get(0)?);
        }
        Ok::<_, rusqlite::Error>(())
    };
    // As far as it goes.
    let _ = read();
    let file = Some(data_dir.join("body").join(id.to_string())).filter(|path| path.exists());
    Loss { id, reason, reverse_path, recipients, file }
}

const TABLES: [&str; 3] = ["message", "recipient", "body"];

/// Where names of messages stand.
const NAMES: &[(&str, &str)] = &[
    ("the table message", "SELECT id FROM message ORDER BY id {}"),
    ("the table recipient", "SELECT message FROM recipient ORDER BY message {}, number {}"),
    (
        "the index recipient_due",
        "SELECT message FROM recipient INDEXED BY recipient_due ORDER BY lane {}, next_at {}",
    ),
];
