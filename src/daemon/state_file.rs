//! Small files of state in `data_dir`, replaced as a whole, some of them JSON.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

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

/// What the file holds as JSON; the default if there is none.
///
/// # Errors
/// It exists and can't be read, or holds something else.
pub(super) fn read_json<T: DeserializeOwned + Default>(file: &Path) -> io::Result<T> {
    match read(file)? {
        Some(text) => serde_json::from_str(&text).map_err(io::Error::other),
        None => Ok(T::default()),
    }
}

/// Replaces the file by this as JSON.
///
/// # Errors
/// As [`replace`].
pub(super) fn replace_json(file: &Path, value: &impl Serialize) -> io::Result<()> {
    replace(file, serde_json::to_vec(value).map_err(io::Error::other)?)
}
