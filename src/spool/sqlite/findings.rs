//! Interprets the findings of `PRAGMA quick_check`. It uses an allow list: any finding not known to be
//! harmless counts as damage to the queue.

use rusqlite::{Connection, Error, ErrorCode, Result, ffi};

/// The lines reported by the check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Findings {
    /// Empty if there is no damage.
    pub(super) lines: Vec<String>,
    /// The list was cut at its limit; there may be more.
    cut: bool,
    /// At least one page could not be read at all.
    unreadable: bool,
}

/// What is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Concern {
    Nothing,
    /// Contents of messages only.
    Contents,
    /// Possibly the queue itself: who receives what.
    Queue,
    /// The disk can't read some page; what is there is unknown.
    Unreadable,
}

/// Checks every page, or those of one table. At most `lines_max` findings are listed.
///
/// # Errors
/// The error of preparing the query.
pub(super) fn quick_check(
    connection: &Connection,
    table: Option<&str>,
    lines_max: usize,
) -> Result<Findings> {
    let argument = table.map_or_else(|| lines_max.to_string(), str::to_owned);
    let mut statement = connection.prepare(&format!("PRAGMA quick_check({argument})"))?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut findings = Findings::default();
    for row in rows {
        match row {
            Ok(text) => findings.take(&text),
            // For example, the schema page.
            Err(error) => {
                findings.unreadable |= is_unreadable(&error);
                findings.lines.push(error.to_string());
                break;
            }
        }
    }
    findings.cut = findings.lines.len() >= lines_max;
    Ok(findings)
}

/// What findings about a whole database affect.
///
/// # Errors
/// The database error.
pub(super) fn concern(connection: &Connection, findings: &Findings) -> Result<Concern> {
    if findings.unreadable {
        return Ok(Concern::Unreadable);
    }
    if findings.lines.is_empty() {
        return Ok(Concern::Nothing);
    }
    let tree = connection.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'body'", [], |row| {
        row.get::<_, i64>(0)
    })?;
    if !findings.of_contents(tree) {
        return Ok(Concern::Queue);
    }
    for table in ["message", "recipient"] {
        let of_table = quick_check(connection, Some(table), usize::MAX)?;
        if of_table.unreadable {
            return Ok(Concern::Unreadable);
        }
        if !of_table.lines.is_empty() {
            return Ok(Concern::Queue);
        }
    }
    Ok(Concern::Contents)
}

impl Findings {
    fn take(&mut self, text: &str) {
        for line in text.lines().filter(|line| *line != "ok" && !line.starts_with("***")) {
            self.unreadable |= could_not_be_read(line);
            self.lines.push(line.to_owned());
        }
    }

    /// Whether every line is about the B-tree of contents only.
    fn of_contents(&self, tree: i64) -> bool {
        let ours = format!("Tree {tree} page ");
        let harmless = |line: &String| {
            // A page shared by two trees may belong to the queue.
            (line.starts_with(&ours) && !line.contains("reference to page"))
                // Nothing can reach pages behind a damaged one.
                || (line.starts_with("Page ") && line.ends_with(": never used"))
                // A row on a damaged page. The tables of the queue are checked separately.
                || *line == MALFORMED
        };
        !self.cut && self.lines.iter().any(|line| line.starts_with(&ours)) && self.lines.iter().all(harmless)
    }

    /// The first lines, and the number of further ones.
    pub(super) fn text(&self) -> String {
        let mut text = self.lines.iter().take(LINES_SHOWN).cloned().collect::<Vec<_>>().join("; ");
        if let Some(more) = self.lines.len().checked_sub(LINES_SHOWN).filter(|more| *more > 0) {
            text.push_str(&format!("; and {more} more"));
        }
        text
    }
}

/// Whether a page could not be read: the line has SQLite's error code or, within an overflow chain, none.
fn could_not_be_read(line: &str) -> bool {
    let code = line.split_once("unable to get the page. error code=").map(|(_, code)| code.trim());
    let code = code.and_then(|code| code.parse::<i32>().ok());
    code.is_some_and(|code| code & PRIMARY == ffi::SQLITE_IOERR) || line.contains("failed to get page")
}

/// Whether the read itself failed, whatever the page contains.
pub(super) fn is_unreadable(error: &Error) -> bool {
    let Error::SqliteFailure(failure, _) = error else { return false };
    let reads = [
        ffi::SQLITE_IOERR_READ,
        ffi::SQLITE_IOERR_SHORT_READ,
        ffi::SQLITE_IOERR_CORRUPTFS,
        ffi::SQLITE_IOERR_DATA,
        ffi::SQLITE_IOERR_FSTAT,
        ffi::SQLITE_IOERR_SHMMAP,
    ];
    reads.contains(&failure.extended_code)
}

/// Whether a page's content is corrupt.
pub(super) fn is_damaged(error: &Error) -> bool {
    [Some(ErrorCode::DatabaseCorrupt), Some(ErrorCode::NotADatabase)].contains(&error.sqlite_error_code())
}

/// The low byte of an extended error code is the primary one.
const PRIMARY: i32 = 0xff;
const MALFORMED: &str = "database disk image is malformed";
const LINES_SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &[&str], of_contents: bool, unreadable: bool) {
        let mut findings = Findings::default();
        findings.take(&lines.join("\n"));
        assert_eq!((findings.of_contents(5), findings.unreadable), (of_contents, unreadable), "{lines:?}");
        findings.cut = true;
        assert!(!findings.of_contents(5), "there may be more");
    }

    #[test]
    fn only_what_is_known_to_be_of_contents_is() {
        let damaged = "Tree 5 page 9: btreeInitPage() returns error code 11";
        check(&["*** in database main ***", damaged], true, false);
        check(&[damaged, "Page 12: never used", MALFORMED], true, false);
        check(&["Tree 5 page 9 cell 3: invalid page number 99999"], true, false);
        check(&[damaged, "Tree 5 page 9 cell 3: 2nd reference to page 4"], false, false);
        check(&[damaged, "Tree 2 page 7: btreeInitPage() returns error code 11"], false, false);
        check(&[damaged, "Freelist: size is 3 but should be 4"], false, false);
        check(&[damaged, "row 3 missing from index recipient_due"], false, false);
        check(&[damaged, "Tree 55 page 7: free space corruption"], false, false);
        check(&["Page 12: never used"], false, false);
        check(&[MALFORMED], false, false);
        check(&[damaged, "something new"], false, false);
    }

    #[test]
    fn a_page_that_can_not_be_read_is_no_damage() {
        check(&["Tree 5 page 9: unable to get the page. error code=266"], true, true);
        check(&["Tree 5 page 9: unable to get the page. error code=11"], true, false);
        check(&["Tree 5 page 9 cell 1: failed to get page 10"], true, true);
        let error = |code| Error::SqliteFailure(ffi::Error::new(code), None);
        assert!(is_unreadable(&error(ffi::SQLITE_IOERR_READ)) && !is_damaged(&error(ffi::SQLITE_IOERR_READ)));
        assert!(is_damaged(&error(ffi::SQLITE_CORRUPT)) && !is_unreadable(&error(ffi::SQLITE_IOERR_FSYNC)));
    }
}
