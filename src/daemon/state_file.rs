//! Small files of state in `data_dir`, replaced as a whole. It knows nothing of what they hold.

use std::fs;
use std::io;
use std::path::Path;

/// What the file holds; `None` if there is none.
///
/// # Errors
/// It exists and can't be read.
pub(super) fn read(file: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces the file: after a crash it holds what it held before, or all of this.
///
/// # Errors
/// What the system said; the file holds what it held before.
pub(super) fn replace(file: &Path, octets: impl AsRef<[u8]>) -> io::Result<()> {
    let part = file.with_extension("part");
    fs::write(&part, octets)?;
    fs::File::open(&part)?.sync_all()?;
    fs::rename(&part, file)
}
