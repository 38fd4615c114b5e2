//! The files of the protocol log: one for each direction and day, and another once it is large. The oldest are removed
//! to keep all of them small. What can't be written is dropped and counted: nobody waits for it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::row::HEADER;
use crate::mail::{Clock, rfc3339};
use crate::tracking::{Event, Journal};

/// Where the protocol log is, and how large it may be.
#[derive(Debug, Clone)]
pub struct ProtocolFiles {
    /// The folder of its files; it is created when the first one is.
    pub folder: PathBuf,
    /// Maximum octets of all files together.
    pub octets_max: u64,
    /// Nothing is written while the disk has fewer octets of room.
    pub free_min: u64,
}

/// Orders files by age. The direction is the mark of its rows.
type FileKey = (String, u32, char);

/// Takes rows, each after the mark of its direction; never fails.
#[derive(Debug)]
pub(super) struct RowFiles {
    settings: ProtocolFiles,
    /// The files there are, with their sizes.
    existing: BTreeMap<FileKey, u64>,
    octets: u64,
    open: BTreeMap<char, (FileKey, File)>,
    /// Rows that could not be written since that was last reported, and whether it is going on.
    lost: u64,
    failing: bool,
}

impl RowFiles {
    pub(super) fn new(settings: ProtocolFiles) -> Self {
        let existing = found(&settings.folder);
        let octets = existing.values().sum();
        Self { settings, existing, octets, open: BTreeMap::new(), lost: 0, failing: false }
    }

    fn append(&mut self, mark: char, rows: &str) {
        let day = rfc3339(Clock::wall()).get(..10).unwrap_or_default().to_owned();
        match self.try_append((mark, day), rows) {
            Ok(()) if self.failing => {
                self.failing = false;
                report(std::mem::take(&mut self.lost), "protocol log: it is written again");
            }
            Ok(()) => {}
            Err(fault) => {
                // What was written last may be half a row.
                self.open.remove(&mark);
                let rows = rows.bytes().filter(|octet| *octet == b'\n').count();
                self.lost = self.lost.saturating_add(u64::try_from(rows).unwrap_or(u64::MAX));
                if !std::mem::replace(&mut self.failing, true) {
                    report(std::mem::take(&mut self.lost), &format!("protocol log: {fault}"));
                }
            }
        }
    }

    fn try_append(&mut self, (mark, day): (char, String), rows: &str) -> io::Result<()> {
        let ProtocolFiles { octets_max, free_min, .. } = self.settings;
        let octets = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let header = u64::try_from(HEADER.len()).unwrap_or(u64::MAX);
        let fits = |(key, _): &(FileKey, File)| {
            let size = self.existing.get(key).copied().unwrap_or_default();
            key.0 == day && size.saturating_add(octets) <= octets_max / FILES_MIN
        };
        if !self.open.get(&mark).is_some_and(fits) {
            self.open.remove(&mark);
        }
        self.notice_loss();
        self.make_room(octets.saturating_add(header));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.settings.folder)?;
        if free_octets(&self.settings.folder)? < free_min {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the disk has too little room"));
        }
        if !self.open.contains_key(&mark) {
            let opened = self.begin((mark, day))?;
            self.open.insert(mark, opened);
        }
        let Some((key, file)) = self.open.get_mut(&mark) else { return Ok(()) };
        file.write_all(rows.as_bytes())?;
        self.octets = self.octets.saturating_add(octets);
        *self.existing.entry(key.clone()).or_default() += octets;
        Ok(())
    }

    /// A file that was removed or renamed while it was written would take what is written with it: another one is begun, and
    /// what there is now is counted anew.
    fn notice_loss(&mut self) {
        let folder = &self.settings.folder;
        let before = self.open.len();
        self.open.retain(|_, (key, file)| {
            let (written, there) = (file.metadata(), fs::metadata(folder.join(name(key))));
            let same = |one: &fs::Metadata, other: &fs::Metadata| {
                (one.dev(), one.ino()) == (other.dev(), other.ino())
            };
            written.is_ok_and(|written| there.is_ok_and(|there| same(&written, &there)))
        });
        if self.open.len() < before {
            self.existing = found(folder);
            self.octets = self.existing.values().sum();
        }
    }

    /// Removes the oldest files until there is room for so many octets.
    fn make_room(&mut self, octets: u64) {
        while self.octets.saturating_add(octets) > self.settings.octets_max {
            let Some((key, size)) = self.existing.pop_first() else { return };
            self.octets = self.octets.saturating_sub(size);
            self.open.retain(|_, (open, _)| *open != key);
            if let Err(fault) = fs::remove_file(self.settings.folder.join(name(&key)))
                && fault.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%fault, file = name(&key), "an old file of the protocol log can't be removed");
            }
        }
    }

    fn begin(&mut self, (mark, day): (char, String)) -> io::Result<(FileKey, File)> {
        let of_day = self.existing.range((day.clone(), 0, char::MIN)..=(day.clone(), u32::MAX, char::MAX));
        let last = of_day.filter(|(key, _)| key.2 == mark).map(|(key, _)| key.1).next_back();
        let key = (day, last.unwrap_or_default().saturating_add(1), mark);
        let path = self.settings.folder.join(name(&key));
        let mut file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(path)?;
        file.write_all(HEADER.as_bytes())?;
        let octets = u64::try_from(HEADER.len()).unwrap_or(u64::MAX);
        self.octets = self.octets.saturating_add(octets);
        self.existing.insert(key.clone(), octets);
        Ok((key, file))
    }
}

impl Write for RowFiles {
    /// Takes whole rows.
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(octets);
        for mark in [SENT, RECEIVED] {
            let rows: String = text.split_inclusive('\n').filter_map(|row| row.strip_prefix(mark)).collect();
            if !rows.is_empty() {
                self.append(mark, &rows);
            }
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn report(count: u64, what: &str) {
    Journal::default().record(&Event::LinesDropped { count, facts: 0, kinds: what });
}

fn free_octets(folder: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// The files of earlier runs. Without their folder there are none.
fn found(folder: &PathBuf) -> BTreeMap<FileKey, u64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sized = entries.filter_map(|entry| {
        let key = key(entry.file_name().to_str()?)?;
        Some((key, entry.metadata().ok()?.len()))
    });
    sized.collect()
}

fn name((day, number, mark): &FileKey) -> String {
    let direction = if *mark == SENT { "send" } else { "receive" };
    format!("{direction}-{day}-{number}.csv")
}

/// The file of this name, if it is one of ours.
fn key(name_found: &str) -> Option<FileKey> {
    let (direction, rest) = name_found.strip_suffix(".csv")?.split_once('-')?;
    let mark = match direction {
        "send" => SENT,
        "receive" => RECEIVED,
        _ => return None,
    };
    let (day, number) = rest.rsplit_once('-')?;
    let key = (day.to_owned(), number.parse().ok()?, mark);
    (name(&key) == name_found && day.len() == 10).then_some(key)
}

/// The mark of rows of outbound sessions.
pub(super) const SENT: char = 's';
/// The mark of rows of inbound sessions.
pub(super) const RECEIVED: char = 'r';
/// A file has at most this part of the octets that all may have, so that removing one leaves most of them.
const FILES_MIN: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(folder: &Path, octets_max: u64) -> RowFiles {
        RowFiles::new(ProtocolFiles { folder: folder.to_owned(), octets_max, free_min: 0 })
    }

    fn sizes(folder: &Path) -> Vec<(String, u64)> {
        let mut sizes: Vec<_> =
            found(&folder.to_owned()).iter().map(|(key, size)| (name(key), *size)).collect();
        sizes.sort();
        sizes
    }

    #[test]
    fn files_stay_below_their_bound_and_the_oldest_go_first() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("protocol");
        fs::create_dir(&folder).expect("a folder");
        let old = folder.join("receive-2020-01-01-1.csv");
        fs::write(&old, "x".repeat(3_000)).expect("a file");
        fs::write(folder.join("notes.txt"), "x".repeat(90_000)).expect("a file");
        let mut files = writer(&folder, 16_000);
        let row = |mark: char, number: u32| format!("{mark}{number},{}\n", "y".repeat(90));
        for number in 0..1_000 {
            let rows = format!("{}{}", row('s', number), row('r', number));
            files.write_all(rows.as_bytes()).expect("never fails");
            let total: u64 = sizes(&folder).iter().map(|(_, size)| size).sum();
            assert!(total <= 16_000 && total == files.octets, "{total}");
        }
        assert!(!old.exists() && folder.join("notes.txt").exists());
        let names = sizes(&folder);
        assert!(names.iter().any(|(name, _)| name.starts_with("send-")));
        assert!(names.iter().all(|(_, size)| *size <= 2_000), "{names:?}");
        let last = files.open.get(&SENT).map(|(key, _)| name(key)).expect("a file");
        let text = fs::read_to_string(folder.join(last)).expect("a file");
        assert!(text.starts_with(HEADER) && text.contains("\n999,y") && !text.contains("\ns"));
        // Another run begins other files: the last row of the one before may be torn.
        let before = names.len();
        let mut next = writer(&folder, 16_000);
        next.write_all(row('s', 0).as_bytes()).expect("never fails");
        assert!(next.octets <= 16_000 && sizes(&folder).len() >= before.min(8));
        assert_eq!(key("send-2026-11-23-01.csv"), None);
        assert_eq!(key("other-2026-11-23-1.csv"), None);
    }

    #[test]
    fn a_file_that_is_taken_away_is_begun_anew() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("protocol");
        let mut files = writer(&folder, 16_000);
        let rows = |folder: &Path| {
            let text = sizes(folder)
                .into_iter()
                .map(|(name, _)| fs::read_to_string(folder.join(name)).expect("text"));
            text.collect::<String>().replace(HEADER, "")
        };
        files.write_all(b"sone\nrone\n").expect("never fails");
        fs::remove_dir_all(&folder).expect("removed");
        files.write_all(b"stwo\n").expect("never fails");
        assert_eq!((rows(&folder).as_str(), files.failing), ("two\n", false));
        let first = folder.join(&sizes(&folder)[0].0);
        fs::rename(&first, home.path().join("taken.csv")).expect("renamed");
        files.write_all(b"sthree\nrthree\n").expect("never fails");
        assert_eq!(rows(&folder), "three\nthree\n");
        assert_eq!(sizes(&folder).iter().map(|(_, size)| size).sum::<u64>(), files.octets);
    }

    #[test]
    fn what_cant_be_written_is_counted_and_nobody_waits() {
        let home = tempfile::tempdir().expect("a folder");
        let blocked = home.path().join("protocol");
        fs::write(&blocked, "not a folder").expect("a file");
        let mut files = writer(&blocked, 16_000);
        files.write_all(b"sone\nstwo\n").expect("never fails");
        files.write_all(b"rthree\n").expect("never fails");
        assert!(files.failing);
        assert_eq!(files.lost, 1, "the first two were reported at once");
        fs::remove_file(&blocked).expect("removed");
        files.write_all(b"sfour\n").expect("never fails");
        assert_eq!((files.failing, files.lost), (false, 0));
        let mut full = writer(&blocked, 16_000);
        full.settings.free_min = u64::MAX;
        full.write_all(b"sfive\n").expect("never fails");
        assert!(full.failing);
    }
}
