//! Checks a spool that is not in use for damaged pages, and for rows and files without each other. It changes
//! nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Result};
use serde::Serialize;

use super::fault::OpenFault;
use super::findings::quick_check;
use super::lock::lock;
use super::schema::open_reader;
use crate::mail::QueueId;
use crate::spool::Extent;
use crate::spool::mark::{Mark, NAME};

/// The result of an inspection.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Inspection {
    /// Messages that can be read.
    pub messages: u64,
    /// Recipients that are not done.
    pub recipients: u64,
    /// Messages that are held.
    pub held: u64,
    /// Octets of the database file.
    pub file: u64,
    /// Octets of it that are free.
    pub free: u64,
    /// The problems found; empty if there are none.
    pub findings: Vec<String>,
}

/// The size of a database from its first page, even while it is in use: the file format has the page size at
/// octet 16 and the number of free pages at 36. Pages only in the WAL are not counted.
#[must_use]
pub fn extent_of(path: &Path) -> Option<Extent> {
    let mut head = [0; 100];
    let mut file = fs::File::open(path).ok()?;
    file.read_exact(&mut head).ok()?;
    let page = head.get(16..18)?.try_into().map(u16::from_be_bytes).ok()?;
    // 1 means 65,536.
    let page = if page == 1 { 65_536 } else { u64::from(page) };
    let free = head.get(36..40)?.try_into().map(u32::from_be_bytes).ok()?;
    Some(Extent { file: file.metadata().ok()?.len(), free: u64::from(free).saturating_mul(page) })
}

/// Inspects a spool without changing it.
///
/// # Errors
/// [`OpenFault`] if it is in use or can't be opened at all.
pub(super) fn inspect(data_dir: &Path) -> std::result::Result<Inspection, OpenFault> {
    let path = data_dir.join("spool.sqlite");
    // Opening would create it.
    fs::metadata(&path).map_err(|error| OpenFault::Folder(path.clone(), error))?;
    let _lock = lock(&data_dir.join("lock"))?;
    let reader = open_quietly(&path)?;
    let mut inspection = Inspection::default();
    let looked = |what: &str, result: Result<()>, findings: &mut Vec<String>| {
        if let Err(error) = result {
            findings.push(format!("{what}: {error}"));
        }
    };
    let mut findings = Vec::new();
    match quick_check(&reader, None, FINDINGS_MAX) {
        Ok(found) => findings.extend(found.lines),
        Err(error) => findings.push(format!("quick_check: {error}")),
    }
    looked("counting", count(&reader, &mut inspection), &mut findings);
    for (what, sql) in ORPHANS {
        looked(what, orphans(&reader, what, sql, &mut findings), &mut findings);
    }
    match in_files(&reader) {
        Ok(rows) => files(data_dir, &rows, &mut findings),
        Err(error) => findings.push(format!("messages in files: {error}")),
    }
    match Mark::read(data_dir, "") {
        Ok(None) => {}
        Ok(Some(mark)) => findings.push(format!(
            "{NAME}: {}; {} messages are delivered though the database does not say so, which the next start sees to",
            mark.faults.last().map_or("a mark", String::as_str),
            mark.done.len(),
        )),
        Err(error) => findings.push(format!("{NAME} can't be read: {error}; the next start waits until it can")),
    }
    inspection.findings = findings;
    Ok(inspection)
}

/// Opens a database so that closing it changes nothing.
pub(super) fn open_quietly(path: &Path) -> std::result::Result<Connection, OpenFault> {
    let reader = open_reader(path)?;
    let quiet = reader.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    quiet.map_err(|error| OpenFault::Database(path.to_owned(), error))?;
    Ok(reader)
}

fn count(reader: &Connection, inspection: &mut Inspection) -> Result<()> {
    let ask = |sql: &str| {
        let count: i64 = reader.query_row(sql, [], |row| row.get(0))?;
        Ok::<_, rusqlite::Error>(u64::try_from(count).unwrap_or_default())
    };
    let page = ask("PRAGMA page_size")?;
    inspection.file = ask("PRAGMA page_count")?.saturating_mul(page);
    inspection.free = ask("PRAGMA freelist_count")?.saturating_mul(page);
    inspection.messages = ask("SELECT COUNT(*) FROM message")?;
    inspection.recipients = ask("SELECT COUNT(*) FROM recipient")?;
    inspection.held = ask("SELECT COUNT(*) FROM message WHERE held IS NOT NULL")?;
    Ok(())
}

fn orphans(reader: &Connection, what: &str, sql: &str, findings: &mut Vec<String>) -> Result<()> {
    let mut statement = reader.prepare(sql)?;
    let mut found = statement.query([])?;
    let mut count: usize = 0;
    while let Some(row) = found.next()? {
        count = count.saturating_add(1);
        if count <= FINDINGS_MAX {
            findings.push(format!("message {}: {what}", QueueId::from_number(row.get(0)?)));
        }
    }
    if count > FINDINGS_MAX {
        findings.push(format!("{what}: {count} messages in all"));
    }
    Ok(())
}

fn in_files(reader: &Connection) -> Result<BTreeMap<QueueId, u64>> {
    reader
        .prepare("SELECT id, size FROM message WHERE in_file = 1")?
        .query_map([], |row| {
            let size: i64 = row.get(1)?;
            Ok((QueueId::from_number(row.get(0)?), u64::try_from(size).unwrap_or_default()))
        })?
        .collect()
}

fn files(data_dir: &Path, rows: &BTreeMap<QueueId, u64>, findings: &mut Vec<String>) {
    let folder = data_dir.join("body");
    for (id, size) in rows {
        match fs::metadata(folder.join(id.to_string())) {
            Ok(file) if file.len() == *size => {}
            Ok(file) => {
                findings.push(format!("message {id}: its file has {} octets instead of {size}", file.len()));
            }
            Err(error) => findings.push(format!("message {id}: its file: {error}")),
        }
    }
    let Ok(entries) = fs::read_dir(&folder) else { return };
    for entry in entries.flatten() {
        let id = entry.file_name().to_str().and_then(|name| name.parse::<QueueId>().ok());
        if let Some(id) = id.filter(|id| !rows.contains_key(id)) {
            findings.push(format!(
                "message {id}: a file in body/ without a row: it was never acknowledged, or its row is damaged; \
                 the next start removes it"
            ));
        }
    }
}

const FINDINGS_MAX: usize = 100;

/// Queries for rows without their counterparts.
const ORPHANS: &[(&str, &str)] = &[
    (
        "it has recipients and no row of its own",
        "SELECT DISTINCT message FROM recipient WHERE message NOT IN (SELECT id FROM message)",
    ),
    ("it has no recipients", "SELECT id FROM message WHERE id NOT IN (SELECT message FROM recipient)"),
    (
        "its content is missing or of another size",
        "SELECT message.id FROM message LEFT JOIN body ON body.id = message.id
         WHERE in_file = 0 AND length(content) IS NOT size",
    ),
    (
        "content without a message",
        // The first and last ID belong to a trial that was interrupted.
        "SELECT id FROM body WHERE id NOT IN (SELECT id FROM message)
         AND id NOT IN (-9223372036854775808, 9223372036854775807)",
    ),
];
