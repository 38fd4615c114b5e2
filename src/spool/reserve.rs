//! Reserves room for the mark and for opening the database while the disk is full: a file of zeroes, released
//! in parts. Mail never uses it.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Allocates the reserve, or what is missing of it. If the disk has no room now, it is tried again later.
///
/// # Errors
/// The I/O error of opening or writing the file; its size is then unchanged.
pub(super) fn keep(data_dir: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(data_dir.join(NAME))?;
    let before = file.metadata()?.len();
    let missing = usize::try_from(BYTES.saturating_sub(before)).unwrap_or_default();
    if missing == 0 {
        return Ok(());
    }
    file.write_all(&vec![0; missing]).inspect_err(|_| drop(file.set_len(before)))
}

/// Releases one part of the reserve. Returns whether there was one.
pub(super) fn release(data_dir: &Path) -> bool {
    let shorten = || {
        let file = OpenOptions::new().write(true).open(data_dir.join(NAME))?;
        let length = file.metadata()?.len();
        file.set_len(length.saturating_sub(PART_BYTES))?;
        Ok::<_, io::Error>(length > 0)
    };
    shorten().unwrap_or(false)
}

/// The file name in `data_dir`.
pub(super) const NAME: &str = "reserve";
const BYTES: u64 = 4 * PART_BYTES;
/// Room for a few thousand lines of the mark, or for the WAL index.
const PART_BYTES: u64 = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_given_in_parts_and_kept_again() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(!release(folder.path()));
        for _ in 0..2 {
            keep(folder.path()).expect("room");
            keep(folder.path()).expect("kept already");
            let length = || std::fs::metadata(folder.path().join(NAME)).expect("a file").len();
            for left in [3, 2, 1, 0] {
                assert!(release(folder.path()));
                assert_eq!(length(), left * PART_BYTES);
            }
            assert!(!release(folder.path()));
        }
        assert!(keep(&folder.path().join("missing")).is_err());
    }
}
