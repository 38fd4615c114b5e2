//! A folder for contents that a salvage does not put into the new database. It never overwrites a file.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::mail::QueueId;

/// A folder beside the new database; created with its first file.
pub(super) struct Aside(PathBuf);

impl Aside {
    pub(super) fn beside(database: &Path) -> Self {
        let mut name = database.as_os_str().to_owned();
        name.push(".lost");
        Self(name.into())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// Copies a content file and returns the copy's path. `binary`: the content is not dot-stuffed; `None`:
    /// unknown.
    pub(super) fn file(&self, id: QueueId, from: &Path, binary: Option<bool>) -> Option<PathBuf> {
        self.put(id, File::open(from).ok()?, binary).ok()
    }

    /// The same for content in memory.
    pub(super) fn octets(&self, id: QueueId, octets: &[u8], binary: Option<bool>) -> Option<PathBuf> {
        self.put(id, octets, binary).ok()
    }

    fn put(&self, id: QueueId, from: impl Read, binary: Option<bool>) -> io::Result<PathBuf> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        // If it is unknown whether the content is dot-stuffed, the dots are left as they are.
        let ending = if binary.is_some() { "eml" } else { "smtp" };
        let path = self.0.join(format!("{id}.{ending}"));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let written = copy(BufReader::new(from), BufWriter::new(file), binary == Some(false));
        written.inspect_err(|_| drop(fs::remove_file(&path)))?;
        Ok(path)
    }
}

fn copy(mut from: BufReader<impl Read>, mut to: BufWriter<File>, stuffed: bool) -> io::Result<()> {
    let mut line = Vec::new();
    let mut at_start = true;
    loop {
        line.clear();
        // A line without an end for long is read in parts.
        if from.by_ref().take(PART_BYTES).read_until(b'\n', &mut line)? == 0 {
            return to.flush();
        }
        let bare = if stuffed && at_start { line.strip_prefix(b".").unwrap_or(&line) } else { &line };
        to.write_all(bare)?;
        at_start = line.ends_with(b"\n");
    }
}

const PART_BYTES: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_of_transparency_go_where_there_are_some() {
        let folder = tempfile::tempdir().expect("a folder");
        let aside = Aside::beside(&folder.path().join("new"));
        let text = [&b"..a\r\n.b\r\n"[..], &[b'.'; 70_000], b"\r\n"].concat();
        for (number, binary, expected) in [
            (1, Some(false), &[b".a\r\nb\r\n", &text[10..70_009], b"\r\n"].concat()),
            (2, Some(true), &text),
            (3, None, &text),
        ] {
            let path = aside.octets(QueueId::from_number(number), &text, binary).expect("room");
            assert!(path.starts_with(folder.path().join("new.lost")));
            assert!(fs::read(&path).expect("a file") == *expected, "{binary:?}");
        }
        assert_eq!(aside.file(QueueId::from_number(4), &folder.path().join("none"), None), None);
    }
}
