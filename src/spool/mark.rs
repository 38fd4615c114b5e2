//! The mark that a spool broke: written where it broke, read before the next start delivers anything.
//! It names what was delivered and could not be written, so that it is not delivered again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::body::{is_no_room, sync_folder};
use super::reserve;
use crate::mail::QueueId;

/// What a mark says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mark {
    /// How many faults came one soon after the other.
    pub count: u32,
    /// What broke, the last fault last.
    pub faults: Vec<String>,
    /// Recipients that are done, though the database does not say so.
    pub done: BTreeMap<QueueId, BTreeSet<u32>>,
    /// How many more are done and could be noted nowhere: they may be delivered twice.
    pub lost: u64,
}

/// Writes the mark of one data folder.
#[derive(Debug)]
pub struct Marker {
    path: PathBuf,
    noted: Mutex<Noted>,
}

/// What one process has noted so far.
#[derive(Debug, Default)]
struct Noted {
    /// Something was: the mark must stay for the next process.
    any: bool,
    /// Lines that could not be written; the next process gets them in another way.
    unwritten: String,
    /// Recipients for which there was no room even there.
    lost: u64,
}

impl Mark {
    /// Reads the mark in a data folder, and what could not be written to it. `None`: nothing broke.
    ///
    /// # Errors
    /// What reading the file gave.
    pub fn read(data_dir: &Path, unwritten: &str) -> io::Result<Option<Self>> {
        let found = match fs::read(data_dir.join(NAME)) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mark = Self::parse(found.lines().chain(unwritten.lines()));
        Ok((mark != Self::default()).then_some(mark))
    }

    /// A line that can't be read is passed over: the last one may be cut.
    fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut mark = Self::default();
        for line in lines {
            let mut words = line.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("fault"), Some(count), text) => {
                    mark.count = mark.count.max(count.parse().unwrap_or(1));
                    mark.faults.push(text.unwrap_or("?").to_owned());
                }
                (Some("done"), Some(id), Some(numbers)) => {
                    if let Some((Ok(id), numbers)) = numbers.strip_suffix(" .").map(|n| (id.parse(), n)) {
                        let numbers = numbers.split(',').filter_map(|number| number.parse::<u32>().ok());
                        mark.done.entry(id).or_default().extend(numbers);
                    }
                }
                (Some("lost"), Some(count), _) => {
                    mark.lost = mark.lost.saturating_add(count.parse().unwrap_or(1));
                }
                _ => {}
            }
        }
        mark
    }

    /// Appends what an earlier process could not write, now that the disk may take it. Nothing is appended where
    /// it does not take all of it.
    ///
    /// # Errors
    /// What opening, writing or flushing the file gave.
    pub fn append(data_dir: &Path, unwritten: &str) -> io::Result<()> {
        if unwritten.is_empty() {
            return Ok(());
        }
        let mut file = open(&data_dir.join(NAME))?;
        let before = file.metadata()?.len();
        if let Err(error) = file.write_all(unwritten.as_bytes()).and_then(|()| file.sync_all()) {
            // Lines that are there twice say the same, but each trial would add some.
            let _ = file.set_len(before);
            return Err(error);
        }
        sync_folder(data_dir)
    }

    /// Takes the mark away: what it says is seen to.
    ///
    /// # Errors
    /// What removing it gave.
    pub fn clear(data_dir: &Path) -> io::Result<()> {
        match fs::remove_file(data_dir.join(NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| sync_folder(data_dir)),
        }
    }
}

impl Marker {
    /// For this folder; nothing is written yet.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join(NAME), noted: Mutex::default() }
    }

    /// The spool broke, as the `count`th of faults that came one soon after the other.
    pub fn fault(&self, count: u32, text: &str) {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.write(&format!("fault {count} {text}\n"), 0);
        self.sync();
    }

    /// These recipients are done, and it could not be written.
    pub fn done(&self, id: QueueId, numbers: &[u32]) {
        if !numbers.is_empty() {
            let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
            // The dot tells a whole line from one that was cut.
            self.write(&format!("done {id} {} .\n", numbers.join(",")), numbers.len());
        }
    }

    /// What could not be written.
    #[must_use]
    pub fn unwritten(&self) -> String {
        let noted = self.noted();
        let lost = if noted.lost > 0 { format!("lost {}\n", noted.lost) } else { String::new() };
        format!("{}{lost}", noted.unwritten)
    }

    /// Removes what earlier processes noted, unless this one has noted something too.
    ///
    /// # Errors
    /// What removing it gave.
    pub fn clear(&self) -> io::Result<()> {
        let noted = self.noted();
        match self.path.parent() {
            Some(data_dir) if !noted.any => Mark::clear(data_dir),
            _ => Ok(()),
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the mark durable as far as the disk goes along with it.
    pub fn sync(&self) {
        // The disk may be what broke: then the mark still lies in the page cache for the next process.
        let _ = File::open(&self.path).and_then(|file| file.sync_all());
        let _ = self.path.parent().map(sync_folder);
    }

    fn write(&self, line: &str, recipients: usize) {
        let mut noted = self.noted();
        noted.any = true;
        let append = || open(&self.path)?.write_all(line.as_bytes());
        let appended = append().or_else(|error| match self.path.parent() {
            Some(data_dir) if is_no_room(&error) && reserve::release(data_dir) => append(),
            _ => Err(error),
        });
        if appended.is_ok() {
            return;
        }
        if noted.unwritten.len().saturating_add(line.len()) <= UNWRITTEN_BYTES_MAX {
            noted.unwritten.push_str(line);
        } else {
            let recipients = u64::try_from(recipients).unwrap_or(u64::MAX);
            noted.lost = noted.lost.saturating_add(recipients);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// The file in `data_dir`.
pub const NAME: &str = "spool-fault";
/// An environment takes 128 KiB for each variable.
const UNWRITTEN_BYTES_MAX: usize = 96 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_a_cut_line_is_passed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Mark::read(folder.path(), "").expect("readable"), None);
        let marker = Marker::new(folder.path());
        let [one, two] = [7, 8].map(QueueId::from_number);
        marker.fault(2, "disk I/O\nerror");
        marker.done(one, &[0, 3]);
        marker.done(one, &[1]);
        marker.done(two, &[]);
        assert_eq!(marker.unwritten(), "");
        fs::OpenOptions::new()
            .append(true)
            .open(folder.path().join(NAME))
            .and_then(|mut file| write!(file, "done {two} 1"))
            .expect("writable");
        let mark = Mark::read(folder.path(), "fault 1 more\n").expect("readable").expect("a mark");
        assert_eq!(mark.count, 2);
        assert_eq!(mark.faults, ["disk I/O error", "more"]);
        assert_eq!(mark.done, BTreeMap::from([(one, BTreeSet::from([0, 1, 3]))]));
        Mark::clear(folder.path()).expect("removable");
        Mark::clear(folder.path()).expect("gone already");
        assert_eq!(Mark::read(folder.path(), "").expect("readable"), None);
    }

    #[test]
    fn what_can_not_be_written_is_kept_for_the_next_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let marker = Marker::new(&folder.path().join("missing"));
        marker.fault(1, "no disk");
        marker.done(QueueId::from_number(7), &[2]);
        let mark = Mark::read(folder.path(), &marker.unwritten()).expect("readable").expect("a mark");
        assert_eq!((mark.faults.len(), mark.done.len()), (1, 1));
        let unwritten = marker.unwritten();
        assert!(Mark::append(&folder.path().join("missing"), &unwritten).is_err());
        Mark::append(folder.path(), &unwritten).expect("writable");
        assert_eq!(Mark::read(folder.path(), "").expect("readable"), Some(mark));
    }

    #[test]
    fn what_is_noted_nowhere_is_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let marker = Marker::new(&folder.path().join("missing"));
        let mut noted = 0;
        while !marker.unwritten().contains("lost") {
            marker.done(QueueId::from_number(noted), &[1, 2]);
            noted += 1;
            assert!(noted < 10_000, "it takes everything");
        }
        marker.done(QueueId::from_number(noted), &[1, 2, 3]);
        let unwritten = marker.unwritten();
        assert!(unwritten.len() < 128 * 1024);
        let mark = Mark::read(folder.path(), &unwritten).expect("readable").expect("a mark");
        assert_eq!((mark.done.len(), mark.lost), (usize::try_from(noted).expect("few") - 1, 5));
    }

    #[test]
    fn a_mark_of_this_process_is_not_cleared_by_it() {
        let folder = tempfile::tempdir().expect("a folder");
        Marker::new(folder.path()).done(QueueId::from_number(7), &[2]);
        let marker = Marker::new(folder.path());
        marker.clear().expect("removable");
        assert!(!folder.path().join(NAME).exists());
        marker.fault(1, "flush");
        marker.clear().expect("nothing to do");
        assert!(folder.path().join(NAME).exists());
    }
}
