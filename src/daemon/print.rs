//! What the named files look like from outside, so that a change is seen.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// What the files look like from outside: length, inode and time of the last change of each; none
/// where there is no file.
pub(super) type Print = BTreeMap<PathBuf, Option<(u64, u64, i64, i64)>>;

pub(super) fn print(files: &[PathBuf]) -> Print {
    let look = |file: &PathBuf| {
        let data = fs::metadata(file).ok()?;
        Some((data.len(), data.ino(), data.mtime(), data.mtime_nsec()))
    };
    files.iter().map(|file| (file.clone(), look(file))).collect()
}
