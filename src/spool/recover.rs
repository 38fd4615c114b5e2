//! What start-up finds on disk and does about it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use super::Stats;
use super::body::Bodies;
use crate::mail::QueueId;

/// What start-up found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// What is queued.
    pub stats: Stats,
    /// Files of messages that were never acknowledged, unfinished ones too; removed.
    pub removed: usize,
    /// Files without a message beside a database that was just created, which knows of none: it
    /// was perhaps lost or moved. They are left alone, in this folder.
    pub left: Option<PathBuf>,
    /// Messages now kept back, and why.
    pub held: Vec<(QueueId, String)>,
    /// Messages that were kept back and are whole again.
    pub released: Vec<QueueId>,
}

/// A message whose content should lie in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Octets it should have.
    pub size: u64,
    /// Whether it is kept back, and until when.
    pub held: HoldState,
}

/// Whether a message is kept back, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldState {
    /// It is not.
    Not,
    /// Until its file is whole.
    UntilWhole,
    /// Until somebody releases it.
    UntilReleased,
}

/// What lies on disk for one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    Absent,
    /// A file without a message.
    Orphan,
    /// A message and its content.
    Whole,
    /// A message without its content.
    Missing,
    /// A message, and a file of another size.
    Damaged,
}

/// Judges one name by the size its row gives and the size of its file.
#[must_use]
pub fn judge(row: Option<u64>, file: Option<u64>) -> Body {
    match (row, file) {
        (None, None) => Body::Absent,
        // Never acknowledged: the row is committed last. Or done: the row goes first.
        (None, Some(_)) => Body::Orphan,
        // File renamed and its directory flushed, row committed, then 250.
        (Some(size), Some(found)) if size == found => Body::Whole,
        (Some(_), Some(_)) => Body::Damaged,
        // Held and told; never guessed.
        (Some(_), None) => Body::Missing,
    }
}

/// Removes what is unfinished and what has no message, and says which messages are to be kept
/// back or released. With `new_database`, files without a message are left.
///
/// # Errors
/// What reading the folders gave.
pub fn sweep(
    bodies: &Bodies,
    rows: &BTreeMap<QueueId, Row>,
    new_database: bool,
) -> io::Result<RecoveryReport> {
    let mut recovered = RecoveryReport::default();
    for entry in fs::read_dir(bodies.unfinished())? {
        recovered.removed += usize::from(fs::remove_file(entry?.path()).is_ok());
    }
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(bodies.finished())? {
        let entry = entry?;
        // A name that is no queue id is not ours to judge.
        if let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<QueueId>().ok()) {
            files.insert(id, entry.metadata()?.len());
        }
    }
    for id in files.keys().filter(|id| !rows.contains_key(id)) {
        if new_database {
            recovered.left = Some(bodies.finished().to_owned());
        } else {
            recovered.removed += usize::from(fs::remove_file(bodies.path(*id)).is_ok());
        }
    }
    for (id, row) in rows {
        let file = files.get(id).copied();
        match (judge(Some(row.size), file), row.held) {
            (Body::Whole, HoldState::UntilWhole) => recovered.released.push(*id),
            (Body::Missing, HoldState::Not) => {
                recovered.held.push((*id, format!("its content is missing: {}", bodies.path(*id).display())));
            }
            (Body::Damaged, HoldState::Not) => recovered.held.push((
                *id,
                format!(
                    "its content has {} octets instead of {}: {}",
                    file.unwrap_or_default(),
                    row.size,
                    bodies.path(*id).display()
                ),
            )),
            // Whoever had it held has not released it.
            (Body::Whole, HoldState::UntilReleased)
            | (Body::Whole, HoldState::Not)
            | (Body::Missing | Body::Damaged, HoldState::UntilWhole | HoldState::UntilReleased)
            | (Body::Absent | Body::Orphan, _) => {}
        }
    }
    Ok(recovered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_row_and_file_is_judged() {
        let check = |row, file, expected| assert_eq!(judge(row, file), expected, "{row:?} and {file:?}");
        check(None, None, Body::Absent);
        check(None, Some(3), Body::Orphan);
        check(Some(3), Some(3), Body::Whole);
        check(Some(3), Some(2), Body::Damaged);
        check(Some(3), None, Body::Missing);
    }

    #[test]
    fn only_files_that_no_message_names_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let bodies = Bodies::below(folder.path()).expect("folders");
        let [whole, orphan] = [1, 2].map(QueueId::from_number);
        fs::write(bodies.unfinished().join("x"), "part").expect("a file");
        fs::write(bodies.finished().join("notes.txt"), "not ours").expect("a file");
        for id in [whole, orphan] {
            fs::write(bodies.path(id), "abc").expect("a file");
        }
        let rows = BTreeMap::from([(whole, Row { size: 3, held: HoldState::UntilWhole })]);

        let new = sweep(&bodies, &rows, true).expect("readable");
        assert_eq!((new.removed, new.left.is_some(), bodies.path(orphan).exists()), (1, true, true));

        let known = sweep(&bodies, &rows, false).expect("readable");
        assert_eq!((known.removed, known.left, bodies.path(orphan).exists()), (1, None, false));
        assert_eq!(known.released, [whole]);
        assert!(bodies.path(whole).exists() && bodies.finished().join("notes.txt").exists());

        for held in [HoldState::Not, HoldState::UntilReleased] {
            let rows = BTreeMap::from([(whole, Row { size: 3, held })]);
            let found = sweep(&bodies, &rows, false).expect("readable");
            assert_eq!((found.held, found.released), (Vec::new(), Vec::new()), "{held:?}");
        }
    }
}
