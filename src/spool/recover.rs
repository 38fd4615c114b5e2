//! Compares rows and files at startup, and removes, holds or releases accordingly. It does not read content.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use super::Stats;
use super::body::Bodies;
use crate::mail::QueueId;

/// What startup found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// What is queued.
    pub stats: Stats,
    /// Number of files removed: unfinished, or of messages that were never acknowledged.
    pub removed: usize,
    /// The folder of files without a message, if the database was just created and knows of none: it may have
    /// been lost or moved. The files are left alone.
    pub left: Option<PathBuf>,
    /// Messages that are now held, and why.
    pub held: Vec<(QueueId, String)>,
    /// Held messages that are whole again.
    pub released: Vec<QueueId>,
}

/// A message whose content should be in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Expected octets of the file.
    pub size: u64,
    /// Whether it is held, and until when.
    pub held: HoldState,
}

/// Whether a message is held, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldState {
    /// Not held.
    Not,
    /// Held until its file is whole.
    UntilWhole,
    /// Held until an operator releases it.
    UntilReleased,
}

/// What is on disk for one queue ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Neither message nor file.
    Absent,
    /// A file without a message.
    Orphan,
    /// A message and its content.
    Whole,
    /// A message without its content.
    Missing,
    /// A message, and a file of the wrong size.
    Damaged,
}

/// Judges one queue ID by the size its row gives and the size of its file.
#[must_use]
pub fn judge(row: Option<u64>, file: Option<u64>) -> Body {
    match (row, file) {
        (None, None) => Body::Absent,
        // Never acknowledged, since the row is committed last; or done, since the row is deleted first.
        (None, Some(_)) => Body::Orphan,
        // File renamed and its directory flushed, row committed, then 250.
        (Some(size), Some(found)) if size == found => Body::Whole,
        (Some(_), Some(_)) => Body::Damaged,
        // Held and reported, never guessed.
        (Some(_), None) => Body::Missing,
    }
}

/// Removes unfinished files and files without a message; returns which messages to hold or release. With
/// `new_database`, files without a message are left.
///
/// # Errors
/// The I/O error of reading the folders.
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
        // A file whose name is not a queue ID is not ours to judge.
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
            // Only the operator who held it releases it.
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
