//! The metadata of the watched files, so that a change is noticed. It reads no content.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// Length, inode and modification time (seconds and nanoseconds) of each file; `None` if it does
/// not exist.
pub(super) type Print = BTreeMap<PathBuf, Option<(u64, u64, i64, i64)>>;

pub(super) fn print(files: &[PathBuf]) -> Print {
    let look = |file: &PathBuf| {
        let data = fs::metadata(file).ok()?;
        Some((data.len(), data.ino(), data.mtime(), data.mtime_nsec()))
    };
    files.iter().map(|file| (file.clone(), look(file))).collect()
}
