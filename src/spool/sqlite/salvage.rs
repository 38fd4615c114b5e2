//! Copies what can be read of a damaged database into a new one, message by message. It does not change the
//! old one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Result, params_from_iter};
use serde::Serialize;

use super::aside::Aside;
use super::fault::OpenFault;
use super::findings::quick_check;
use super::inspect::open_quietly;
use super::lock::lock;
use super::schema::open_writer;
use crate::mail::QueueId;
use crate::spool::mark::Mark;

/// What was copied, and what was not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SalvageReport {
    /// Messages in the new database.
    pub messages: u64,
    /// Recipients in it.
    pub recipients: u64,
    /// Recipients that were delivered to, although the old database does not say so.
    pub done: u64,
    /// Messages that were not copied, or not in full; and contents without a message.
    pub lost: Vec<Loss>,
    /// Tables and indexes that can't be read to the end: there may be messages that nothing names.
    pub broken_off: Vec<String>,
    /// Why the mark of a fault can't be read: recipients that it lists as delivered are copied too.
    pub mark_unread: Option<String>,
}

/// A message that was lost, in whole or in part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// The queue ID.
    pub id: QueueId,
    /// Why it could not be copied in full.
    pub reason: String,
    /// The reverse-path, if it can be read.
    pub reverse_path: Option<String>,
    /// The lost recipients, as far as they can be read.
    pub recipients: Vec<String>,
    /// Where its content was put, if it can be read and is not in the new database.
    pub file: Option<PathBuf>,
}

/// Why nothing could be copied.
#[derive(Debug, thiserror::Error)]
pub enum SalvageFault {
    /// The old database is in use, or can't be opened.
    #[error(transparent)]
    Open(#[from] OpenFault),
    /// The new path, or the folder for contents put aside, exists already.
    #[error("{0} exists already; name a new file")]
    Exists(PathBuf),
    /// The new database can't be written.
    #[error("{0}: {1}; is there room?")]
    Write(PathBuf, #[source] rusqlite::Error),
    /// The new database does not pass its check.
    #[error("{0}: {1}; the new database is not sound: try another disk")]
    Unsound(PathBuf, String),
    /// The old database has no readable schema.
    #[error("{0}: {1}: not even its schema can be read; the `.recover` of the sqlite3 shell may find more")]
    Schema(PathBuf, #[source] rusqlite::Error),
}

/// Copies what can be read.
///
/// # Errors
/// [`SalvageFault`]; an unfinished new database is left in place.
pub(super) fn salvage(data_dir: &Path, to: &Path) -> std::result::Result<SalvageReport, SalvageFault> {
    let path = data_dir.join("spool.sqlite");
    fs::metadata(&path).map_err(|error| OpenFault::Folder(path.clone(), error))?;
    let _lock = lock(&data_dir.join("lock"))?;
    let aside = Aside::beside(to);
    // A file put aside by an earlier salvage would be in the way.
    if let Some(there) = [to, aside.folder()].into_iter().find(|path| path.exists()) {
        return Err(SalvageFault::Exists(there.to_owned()));
    }
    let old = open_quietly(&path)?;
    // The B-trees are read directly: an index need not agree with its table.
    let columns = Columns::of(&old).map_err(|error| SalvageFault::Schema(path.clone(), error))?;
    let (new, _) = open_writer(to)?;
    let write = |error| SalvageFault::Write(to.to_owned(), error);
    let mut salvaged = SalvageReport::default();
    let mark = Mark::read(data_dir, "").unwrap_or_else(|error| {
        salvaged.mark_unread = Some(error.to_string());
        None
    });
    let mark = mark.unwrap_or_default();
    let names = names(&old, &mut salvaged.broken_off);
    let wreck = Wreck { old: &old, columns: &columns, data_dir, aside };
    let mut known = BTreeSet::new();
    new.execute_batch("BEGIN IMMEDIATE").map_err(write)?;
    for (id, numbers) in &names {
        known.insert(*id);
        match wreck.message(*id, numbers, mark.done.get(id)) {
            Ok(None) => salvaged.lost.extend(wreck.content_alone(*id)),
            Ok(Some(found)) => {
                salvaged.lost.extend(found.missing.clone().map(|reason| wreck.loss(*id, reason, false)));
                take_over(&new, &columns, found, &mark, &mut salvaged).map_err(write)?;
            }
            Err(reason) => salvaged.lost.push(wreck.loss(*id, reason, true)),
        }
    }
    salvaged.lost.extend(wreck.files_alone(&known));
    new.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").map_err(write)?;
    let findings = quick_check(&new, None, FINDINGS_MAX).map_err(write)?;
    if !findings.lines.is_empty() {
        return Err(SalvageFault::Unsound(to.to_owned(), findings.text()));
    }
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
struct MessageRows {
    id: QueueId,
    message: Vec<Value>,
    recipients: Vec<Vec<Value>>,
    body: Option<Vec<Value>>,
    /// Which recipients can't be read.
    missing: Option<String>,
}

/// Every ID in any B-tree, read from both ends of each, with the recipients it names: so a damaged page hides
/// only what is on it.
fn names(old: &Connection, broken_off: &mut Vec<String>) -> BTreeMap<QueueId, BTreeSet<u32>> {
    let mut names: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (what, sql) in NAMES {
        let mut whole = true;
        for order in ["ASC", "DESC"] {
            let read = |names: &mut BTreeMap<QueueId, BTreeSet<u32>>| {
                let mut statement = old.prepare(&sql.replace("{}", order))?;
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    // The first and last ID belong to a trial that was interrupted.
                    let Ok(id) = row.get(0) else { continue };
                    if ![i64::MIN, i64::MAX].contains(&id) {
                        let number = row.get::<_, Option<u32>>(1).ok().flatten();
                        names.entry(QueueId::from_number(id)).or_default().extend(number);
                    }
                }
                Ok::<_, rusqlite::Error>(())
            };
            if let Err(error) = read(&mut names) {
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
    names
}

/// The old spool, and where content that is not copied is put.
struct Wreck<'a> {
    old: &'a Connection,
    columns: &'a Columns,
    data_dir: &'a Path,
    aside: Aside,
}

impl Wreck<'_> {
    /// The rows of one message in a table, as far as they can be read in this order.
    fn rows(&self, (table, key): (&str, &str), id: QueueId, order: &str) -> (Vec<Vec<Value>>, Result<()>) {
        let (list, count) = (self.columns.list(table).join(", "), self.columns.list(table).len());
        let mut rows = Vec::new();
        let mut read = || {
            let sql = format!("SELECT {list} FROM {table} WHERE {key} = ?1 {order}");
            let mut statement = self.old.prepare_cached(&sql)?;
            let mut found = statement.query([id.to_number()])?;
            while let Some(row) = found.next()? {
                rows.push((0..count).map(|at| row.get(at)).collect::<Result<Vec<Value>>>()?);
            }
            Ok(())
        };
        let result = read();
        (rows, result)
    }

    /// A message's readable recipients, the numbers of the others, and the read's result.
    fn recipients(&self, id: QueueId, named: &BTreeSet<u32>) -> (Vec<Vec<Value>>, BTreeSet<u32>, Result<()>) {
        let table = ("recipient", "message");
        let (mut rows, result) = self.rows(table, id, "ORDER BY number ASC");
        if result.is_err() {
            rows.extend(self.rows(table, id, "ORDER BY number DESC").0);
        }
        let at = self.columns.at("recipient", "number");
        let number = |row: &Vec<Value>| match row.get(at) {
            Some(Value::Integer(number)) => u32::try_from(*number).ok(),
            Some(Value::Null | Value::Real(_) | Value::Text(_) | Value::Blob(_)) | None => None,
        };
        let mut seen = BTreeSet::new();
        rows.retain(|row| number(row).is_some_and(|number| seen.insert(number)));
        (rows, named.difference(&seen).copied().collect(), result)
    }

    /// The readable rows of one message, or why there are none. `None`: no such message, or it is done.
    fn message(
        &self,
        id: QueueId,
        named: &BTreeSet<u32>,
        done: Option<&BTreeSet<u32>>,
    ) -> std::result::Result<Option<MessageRows>, String> {
        let (recipients, mut missing, result) = self.recipients(id, named);
        missing.retain(|number| !done.is_some_and(|done| done.contains(number)));
        let (message, row) = self.rows(("message", "id"), id, "");
        row.map_err(|error| format!("its row: {error}"))?;
        let Some(message) = message.into_iter().next() else {
            if recipients.is_empty() && missing.is_empty() && result.is_ok() {
                return Ok(None);
            }
            return Err("its row is missing".to_owned());
        };
        if recipients.is_empty() {
            let error = result.err().map_or_else(|| "they are missing".to_owned(), |error| error.to_string());
            return Err(format!("its recipients: {error}"));
        }
        let missing = (!missing.is_empty() || result.is_err()).then(|| {
            let numbers: Vec<String> = missing.iter().map(u32::to_string).collect();
            let which = if numbers.is_empty() { "some".to_owned() } else { numbers.join(", ") };
            let taken = recipients.len();
            format!("{taken} of its recipients are taken over; the rows of others can't be read: {which}")
        });
        let value = |name| message.get(self.columns.at("message", name));
        if value("in_file") == Some(&Value::Integer(1)) {
            return Ok(Some(MessageRows { id, message, recipients, body: None, missing }));
        }
        let (body, read) = self.rows(("body", "id"), id, "");
        read.map_err(|error| format!("its content: {error}"))?;
        let body = body.into_iter().next();
        let length = body.as_ref().and_then(|row| self.octets(row)).map(<[u8]>::len);
        let length = length.and_then(|length| i64::try_from(length).ok());
        if length.map(Value::Integer).as_ref() != value("size") {
            return Err("its content is missing or of another size".to_owned());
        }
        Ok(Some(MessageRows { id, message, recipients, body, missing }))
    }

    fn octets<'a>(&self, body: &'a [Value]) -> Option<&'a [u8]> {
        match body.get(self.columns.at("body", "content")) {
            Some(Value::Blob(octets)) => Some(octets),
            Some(Value::Null | Value::Integer(_) | Value::Real(_) | Value::Text(_)) | None => None,
        }
    }

    /// What is still known about a message that lost something. With `export`, its content is put aside: the
    /// new database does not have it.
    fn loss(&self, id: QueueId, reason: String, export: bool) -> Loss {
        let known = self.old.query_row(
            "SELECT reverse_path, body FROM message WHERE id = ?1",
            [id.to_number()],
            |row| Ok((row.get(0)?, row.get::<_, i64>(1)? == BINARY)),
        );
        let (reverse_path, binary) = known.optional().ok().flatten().unzip();
        let mut recipients = Vec::new();
        let mut read = || {
            let sql = "SELECT forward_path FROM recipient WHERE message = ?1 ORDER BY number";
            let mut statement = self.old.prepare_cached(sql)?;
            let mut rows = statement.query([id.to_number()])?;
            while let Some(row) = rows.next()? {
                recipients.push(row.get(0)?);
            }
            Ok::<_, rusqlite::Error>(())
        };
        // As far as possible. Recipients that are copied are not lost.
        let _ = if export { read() } else { Ok(()) };
        let file = if export { self.put_aside(id, binary) } else { None };
        Loss { id, reason, reverse_path, recipients, file }
    }

    fn put_aside(&self, id: QueueId, binary: Option<bool>) -> Option<PathBuf> {
        let path = self.data_dir.join("body").join(id.to_string());
        if path.exists() {
            return self.aside.file(id, &path, binary);
        }
        let body = self.rows(("body", "id"), id, "").0.into_iter().next()?;
        self.aside.octets(id, self.octets(&body)?, binary)
    }

    /// Content in the database without a message.
    fn content_alone(&self, id: QueueId) -> Option<Loss> {
        let (body, read) = self.rows(("body", "id"), id, "");
        let reason = "its content is without a message: it was delivered, or its rows are lost".to_owned();
        (!body.is_empty() || read.is_err()).then(|| self.loss(id, reason, true))
    }

    /// Files in `body/` without a row. The next start would remove them.
    fn files_alone(&self, known: &BTreeSet<QueueId>) -> Vec<Loss> {
        let Ok(entries) = fs::read_dir(self.data_dir.join("body")) else { return Vec::new() };
        let id = |entry: fs::DirEntry| entry.file_name().to_str().and_then(|name| name.parse().ok());
        let ids: BTreeSet<QueueId> = entries.flatten().filter_map(id).collect();
        let reason = "its file in body/ is without a message: it was never acknowledged, or its row is lost";
        ids.difference(known).map(|id| self.loss(*id, reason.to_owned(), true)).collect()
    }
}

fn take_over(
    new: &Connection,
    columns: &Columns,
    found: MessageRows,
    mark: &Mark,
    salvaged: &mut SalvageReport,
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

const TABLES: [&str; 3] = ["message", "recipient", "body"];

/// The stored number of BODY=BINARYMIME.
const BINARY: i64 = 2;
const FINDINGS_MAX: usize = 100;

/// Where queue IDs and recipient numbers are stored.
const NAMES: &[(&str, &str)] = &[
    ("the table message", "SELECT id, NULL FROM message ORDER BY id {}"),
    ("the table recipient", "SELECT message, number FROM recipient ORDER BY message {}, number {}"),
    (
        "the index recipient_due",
        "SELECT message, number FROM recipient INDEXED BY recipient_due ORDER BY lane {}, next_at {}",
    ),
    ("the table body", "SELECT id, NULL FROM body ORDER BY id {}"),
];
