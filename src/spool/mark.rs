//! The mark of a spool fault: written when the spool fails, read before the next start delivers anything. It
//! names recipients that are done but could not be recorded, so that they are not delivered to again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::body::{is_no_room, sync_folder};
use super::reserve;
use crate::mail::QueueId;

/// The contents of a mark.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mark {
    /// Number of consecutive faults.
    pub count: u32,
    /// The faults, latest last.
    pub faults: Vec<String>,
    /// Recipients that are done, although the database does not say so.
    pub done: BTreeMap<QueueId, BTreeSet<u32>>,
    /// Number of further done recipients that could not be noted anywhere: they may be delivered to twice.
    pub lost: u64,
}

/// Writes the mark of one data folder.
#[derive(Debug)]
pub struct Marker {
    path: PathBuf,
    noted: Mutex<MarkState>,
}

/// What this process has noted so far.
#[derive(Debug, Default)]
struct MarkState {
    /// Something was noted: the mark must stay for the next process.
    any: bool,
    /// Lines that could not be written; the next process gets them by other means.
    unwritten: String,
    /// Number of recipients for which there was no room even there.
    lost: u64,
}

impl Mark {
    /// Reads the mark in a data folder, and `unwritten`, the lines that could not be written to it. `None`:
    /// there was no fault.
    ///
    /// # Errors
    /// The I/O error of reading the file.
    pub fn read(data_dir: &Path, unwritten: &str) -> io::Result<Option<Self>> {
        let found = match fs::read(data_dir.join(NAME)) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mark = Self::parse(found.lines().chain(unwritten.lines()));
        Ok((mark != Self::default()).then_some(mark))
    }

    fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut mark = Self::default();
        lines.for_each(|line| mark.take(line));
        mark
    }

    /// Adds what a line says. The line may start with a truncated one, which is ignored.
    fn take(&mut self, line: &str) {
        let mut rest = line;
        while let Some((before, (id, numbers))) = last_done(rest) {
            self.done.entry(id).or_default().extend(numbers);
            rest = before;
        }
        let behind = |word: &'static str| {
            rest.match_indices(word)
                .filter_map(move |(at, _)| rest.split_at_checked(at)?.1.strip_prefix(word))
        };
        let faults = self.faults.len();
        for (count, text) in behind("fault ").filter_map(|fault| fault.split_once(' ')) {
            if let Ok(count) = count.parse() {
                self.count = self.count.max(count);
                self.faults.push(text.to_owned());
            }
        }
        if self.faults.len() == faults && behind("fault ").next().is_some() {
            self.count = self.count.max(1);
            self.faults.push("?".to_owned());
        }
        let lost = behind("lost ").filter_map(|count| count.parse().ok());
        self.lost = lost.fold(self.lost, u64::saturating_add);
    }

    /// Appends what an earlier process could not write, once the disk may accept it, unless it is there
    /// already. If it can't all be written, nothing is.
    ///
    /// # Errors
    /// The I/O error of opening, writing or flushing the file.
    pub fn append(data_dir: &Path, unwritten: &str) -> io::Result<()> {
        let there = fs::read(data_dir.join(NAME)).unwrap_or_default();
        if memchr::memmem::find(&there, unwritten.as_bytes()).is_some() {
            return Ok(());
        }
        let durably = |mut file: &File, text: &[u8]| file.write_all(text).and_then(|()| file.sync_all());
        append(&data_dir.join(NAME), unwritten, durably)?;
        sync_folder(data_dir)
    }

    /// Removes the mark: what it says has been dealt with.
    ///
    /// # Errors
    /// The I/O error of removing it.
    pub fn clear(data_dir: &Path) -> io::Result<()> {
        match fs::remove_file(data_dir.join(NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| sync_folder(data_dir)),
        }
    }
}

impl Marker {
    /// A marker for this folder; nothing is written yet.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join(NAME), noted: Mutex::default() }
    }

    /// Notes a spool fault, the `count`th of consecutive ones.
    pub fn fault(&self, count: u32, text: &str) {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.write(&format!("fault {count} {text}\n"), 0);
        self.sync();
    }

    /// Notes recipients that are done but could not be recorded.
    pub fn done(&self, id: QueueId, numbers: &[u32]) {
        if !numbers.is_empty() {
            let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
            // The dot tells a whole line from a truncated one.
            self.write(&format!("done {id} {} .\n", numbers.join(",")), numbers.len());
        }
    }

    /// The lines that could not be written.
    #[must_use]
    pub fn unwritten(&self) -> String {
        let noted = self.noted();
        let lost = if noted.lost > 0 { format!("lost {}\n", noted.lost) } else { String::new() };
        format!("{}{lost}", noted.unwritten)
    }

    /// Removes what earlier processes noted, unless this one has noted something too.
    ///
    /// # Errors
    /// The I/O error of removing it.
    pub fn clear(&self) -> io::Result<()> {
        let noted = self.noted();
        match self.path.parent() {
            Some(data_dir) if !noted.any => Mark::clear(data_dir),
            _ => Ok(()),
        }
    }

    fn noted(&self) -> MutexGuard<'_, MarkState> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the mark durable, as far as the disk cooperates.
    pub fn sync(&self) {
        // The disk may be what failed: then the mark is still in the page cache for the next process.
        let _ = File::open(&self.path).and_then(|file| file.sync_all());
        let _ = self.path.parent().map(sync_folder);
    }

    fn write(&self, line: &str, recipients: usize) {
        let mut noted = self.noted();
        noted.any = true;
        let try_it = || append(&self.path, line, |mut file, text| file.write_all(text));
        let appended = try_it().or_else(|error| match self.path.parent() {
            Some(data_dir) if is_no_room(&error) && reserve::release(data_dir) => try_it(),
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

/// The last complete line about done recipients, and the text before it.
fn last_done(line: &str) -> Option<(&str, (QueueId, Vec<u32>))> {
    line.rmatch_indices("done ").find_map(|(at, word)| {
        let (before, text) = line.split_at_checked(at)?;
        let (id, numbers) = text.strip_prefix(word)?.strip_suffix(" .")?.split_once(' ')?;
        let numbers = numbers.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
        Some((before, (id.parse().ok()?, numbers)))
    })
}

/// Appends lines, all or none, starting a new line if the last one is truncated.
fn append(path: &Path, lines: &str, write: impl FnOnce(&File, &[u8]) -> io::Result<()>) -> io::Result<()> {
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let before = file.metadata()?.len();
    let mut last = [0];
    // If it can't be read, assume truncation: an empty line does no harm.
    let ended = match before.checked_sub(1) {
        Some(at) => file.read_exact_at(&mut last, at).is_ok() && last == *b"\n",
        None => true,
    };
    let text = if ended { lines.to_owned() } else { format!("\n{lines}") };
    // If truncating fails too, the next line starts after the fragment.
    write(&file, text.as_bytes()).inspect_err(|_| drop(file.set_len(before)))
}

/// The file name in `data_dir`.
pub const NAME: &str = "spool-fault";
/// Linux limits an environment variable to 128 KiB.
const UNWRITTEN_BYTES_MAX: usize = 96 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        for _ in 0..2 {
            Mark::append(folder.path(), &unwritten).expect("writable");
            assert_eq!(Mark::read(folder.path(), "").expect("readable").as_ref(), Some(&mark));
        }
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

    #[test]
    fn a_line_without_room_leaves_no_part_and_costs_no_later_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(NAME);
        let marker = Marker::new(folder.path());
        let [one, two, three] = [7, 8, 9].map(QueueId::from_number);
        marker.done(one, &[0]);
        let before = fs::read(&path).expect("a file");
        let part = |mut file: &File, text: &[u8]| {
            file.write_all(&text[..text.len() / 2])?;
            Err(io::ErrorKind::StorageFull.into())
        };
        assert!(append(&path, &format!("done {two} 0 .\n"), part).is_err());
        assert_eq!(fs::read(&path).expect("a file"), before);

        // A fragment, as left by a kill.
        fs::write(&path, [&before, &b"done 0"[..]].concat()).expect("room");
        marker.done(two, &[0]);
        assert_eq!(marker.unwritten(), "");
        fs::write(&path, [&fs::read(&path).expect("a file"), &b"fau"[..]].concat()).expect("room");
        Mark::append(folder.path(), &format!("done {three} 0 .\n")).expect("room");
        let mark = Mark::read(folder.path(), "").expect("readable").expect("a mark");
        assert_eq!(mark.done.into_keys().collect::<Vec<_>>(), [one, two, three]);
    }

    #[test]
    fn a_cut_fault_hides_no_later_one() {
        for cut in ["f", "fault ", "fault 1", "fault 1 dis", "done 0", "lost 1"] {
            let mark = Mark::parse(format!("{cut}fault 3 disk\nlost 4").lines());
            let last = mark.faults.last().map(String::as_str);
            assert_eq!((mark.count, last, mark.lost), (3, Some("disk"), 4), "{cut}");
        }
    }

    /// Lines of a mark, as (id, recipients): no recipients means a fault line.
    fn lines() -> impl Strategy<Value = Vec<(i64, BTreeSet<u32>)>> {
        let numbers = proptest::collection::btree_set(any::<u32>(), 0..4);
        proptest::collection::vec((0..i64::MAX, numbers), 1..6)
    }

    fn written((id, numbers): &(i64, BTreeSet<u32>)) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let marker = Marker::new(folder.path());
        if numbers.is_empty() {
            marker.fault(3, "the disk");
        }
        marker.done(QueueId::from_number(*id), &numbers.iter().copied().collect::<Vec<_>>());
        fs::read_to_string(folder.path().join(NAME)).expect("a file")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn wherever_a_line_is_cut_all_others_are_read(
            lines in lines(),
            cut in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
            ended in any::<bool>(),
        ) {
            let cut = cut.index(lines.len());
            let mut text = String::new();
            let (mut least, mut most) = (BTreeSet::new(), BTreeSet::new());
            for (index, line) in lines.iter().enumerate() {
                let whole = written(line);
                let done = line.1.iter().map(|number| (QueueId::from_number(line.0), *number));
                most.extend(done.clone());
                if index == cut {
                    text.push_str(whole.get(..at.index(whole.len())).expect("ASCII"));
                    text.push_str(if ended { "\n" } else { "" });
                } else {
                    least.extend(done);
                    text.push_str(&whole);
                }
            }
            let mark = Mark::parse(text.lines());
            let found: BTreeSet<_> =
                mark.done.iter().flat_map(|(id, numbers)| numbers.iter().map(|n| (*id, *n))).collect();
            prop_assert!(found.is_superset(&least) && found.is_subset(&most), "{found:?} of {text}");
            let faults = lines.iter().enumerate().any(|(index, line)| index != cut && line.1.is_empty());
            prop_assert!(!faults || mark.count == 3, "{mark:?} of {text}");
        }
    }
}
