//! Sets a database that can't be used aside, so that a new one can be begun, and says which ones lie aside.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::mail::{Clock, UnixMillis};

/// A database that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AsideFile {
    /// The file.
    pub path: PathBuf,
    /// When.
    pub at: UnixMillis,
}

/// Whether the file itself is the trouble, or what somebody has written into it: no waiting makes it better.
#[must_use]
pub fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    let words = error.to_string();
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || matches!(error, InvalidColumnType(..) | IntegralValueOutOfRange(..) | FromSqlConversionFailure(..))
        || ["no such table", "no such column"].iter().any(|lack| words.contains(lack))
}

/// Renames a database that is not open, with what SQLite has written beside it; returns its new name.
///
/// # Errors
/// It can't be renamed, and is where it was.
pub fn set_aside(database: &Path) -> io::Result<PathBuf> {
    let mut name = database.as_os_str().to_owned();
    name.push(format!("{ASIDE}{}", Clock::wall().0));
    let aside = PathBuf::from(name);
    fs::rename(database, &aside)?;
    // What was committed lately, or has to be taken back, is only in these; beside a new database they would be its own.
    for end in ["-wal", "-journal"] {
        let _none = fs::rename(beside(database, end), beside(&aside, end));
    }
    let _none = fs::remove_file(beside(database, "-shm"));
    Ok(aside)
}

/// The databases in `data_dir` that were set aside, the oldest first.
#[must_use]
pub fn set_aside_in(data_dir: &Path) -> Vec<AsideFile> {
    let Ok(entries) = fs::read_dir(data_dir) else { return Vec::new() };
    let one = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let (database, at) = name.to_str()?.split_once(ASIDE)?;
        let at = UnixMillis(at.parse().ok()?);
        database.ends_with(".sqlite").then(|| AsideFile { path: entry.path(), at })
    };
    let mut found: Vec<AsideFile> = entries.filter_map(Result::ok).filter_map(one).collect();
    found.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.path.cmp(&b.path)));
    found
}

fn beside(database: &Path, end: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Between the name of the database and the time.
const ASIDE: &str = ".bad-";

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn what_no_waiting_makes_better_is_damage() {
        let database = Connection::open_in_memory().expect("a database");
        database
            .execute_batch("CREATE TABLE one (number); INSERT INTO one VALUES ('x'), (-1)")
            .expect("a table");
        let number = |sql: &str| database.query_row(sql, [], |row| row.get::<_, u8>(0)).map(drop);
        for sql in [
            "SELECT number FROM two",
            "SELECT other FROM one",
            "SELECT number FROM one LIMIT 1",
            "SELECT number FROM one LIMIT 1 OFFSET 1",
        ] {
            let error = number(sql).expect_err(sql);
            assert!(is_damage(&error), "{sql}: {error}");
        }
        let error = number("SELECT number FROM one LIMIT 0").expect_err("no row");
        assert!(!is_damage(&error), "{error}");
    }

    #[test]
    fn a_database_takes_with_it_what_lies_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| folder.path().join(name);
        for name in ["one.sqlite", "one.sqlite-wal", "one.sqlite-journal", "one.sqlite-shm", "two.bad-1"] {
            fs::write(place(name), name).expect("written");
        }
        let aside = set_aside(&place("one.sqlite")).expect("set aside");
        let names: Vec<String> = fs::read_dir(folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        assert!(names.iter().all(|name| name.contains(".bad-")), "{names:?}");
        assert_eq!(names.len(), 4, "{names:?}");
        let found = set_aside_in(folder.path());
        assert_eq!(found.iter().map(|one| &one.path).collect::<Vec<_>>(), [&aside], "{names:?}");
        assert!(set_aside(&place("one.sqlite")).is_err(), "there is none");
    }
}
