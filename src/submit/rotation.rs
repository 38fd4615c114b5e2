//! Which files of the drop directory are due. Owners take turns, and a file that can't be submitted for now waits ever
//! longer, so nobody's files delay another's. Pure: the time is an argument, and it reads no directory.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// A complete file in the drop directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DropFile {
    /// When it was left, in seconds.
    pub left_at: i64,
    /// Its name.
    pub name: String,
    /// The user who left it.
    pub uid: u32,
}

/// Files that wait for another attempt, by name.
#[derive(Debug, Default)]
pub struct Rotation {
    waits: HashMap<String, FileWait>,
    /// Owners whose files have an alarm.
    alarmed: Vec<u32>,
    /// Whose turn it was last: a round may end before everybody had one.
    last: Option<u32>,
}

#[derive(Debug)]
struct FileWait {
    uid: u32,
    failures: u32,
    since: Instant,
    due: Instant,
    why: String,
    /// It must not be submitted again; this is what failed.
    end: Option<FileEnd>,
    /// In the round that is being collected.
    is_there: bool,
}

/// How a file leaves the ones that are picked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileEnd {
    /// It is removed.
    Removal,
    /// It is set aside.
    Aside,
}

/// The files of one look at the directory.
#[derive(Debug)]
pub struct DueFiles<'a> {
    rotation: &'a mut Rotation,
    now: Instant,
    /// How many files of an owner wait.
    waiting: HashMap<u32, usize>,
    owners: BTreeMap<u32, OwnerFiles>,
    is_cut: bool,
}

#[derive(Debug, Default)]
struct OwnerFiles {
    fresh: BTreeMap<DropFile, ()>,
    again: BTreeMap<(Instant, String), DropFile>,
}

impl Rotation {
    /// Begins a look at the directory.
    pub fn look(&mut self, now: Instant) -> DueFiles<'_> {
        let mut waiting: HashMap<u32, usize> = HashMap::new();
        for wait in self.waits.values_mut() {
            wait.is_there = false;
            let count = waiting.entry(wait.uid).or_default();
            *count = count.saturating_add(1);
        }
        DueFiles { rotation: self, now, waiting, owners: BTreeMap::new(), is_cut: false }
    }

    /// It is the turn of a file.
    pub fn begin(&mut self, file: &DropFile) {
        self.last = Some(file.uid);
    }

    /// A file must not be tried again for now.
    pub fn defer(&mut self, file: &DropFile, why: String, now: Instant) {
        let fresh = FileWait {
            uid: file.uid,
            failures: 0,
            since: now,
            due: now,
            why: String::new(),
            end: None,
            is_there: true,
        };
        let wait = self.waits.entry(file.name.clone()).or_insert(fresh);
        let factor = 2_u32.saturating_pow(wait.failures);
        wait.failures = wait.failures.saturating_add(1);
        wait.due = now.checked_add(WAIT.saturating_mul(factor).min(WAIT_MAX)).unwrap_or(now);
        wait.why = why;
    }

    /// A file is done with and can't be removed or set aside: it must not be submitted again.
    pub fn defer_end(&mut self, file: &DropFile, end: FileEnd, why: String, now: Instant) {
        self.defer(file, why, now);
        if let Some(wait) = self.waits.get_mut(&file.name) {
            wait.end = Some(end);
        }
    }

    /// How often a file has failed.
    #[must_use]
    pub fn failures(&self, name: &str) -> u32 {
        self.waits.get(name).map_or(0, |wait| wait.failures)
    }

    /// How a file that is done with must end.
    #[must_use]
    pub fn end(&self, name: &str) -> Option<FileEnd> {
        self.waits.get(name).and_then(|wait| wait.end)
    }

    /// A file is no longer waiting.
    pub fn forget(&mut self, name: &str) {
        self.waits.remove(name);
    }

    /// Owners whose files have failed for minutes: how many there are, and why the oldest fails. Each is reported once,
    /// until none of that owner's files is late.
    pub fn late(&mut self, now: Instant) -> Vec<(u32, usize, String)> {
        let mut late: BTreeMap<u32, (usize, &FileWait)> = BTreeMap::new();
        for wait in self.waits.values().filter(|wait| now.duration_since(wait.since) >= LATE) {
            let (count, oldest) = late.entry(wait.uid).or_insert((0, wait));
            *count = count.saturating_add(1);
            if wait.since < oldest.since {
                *oldest = wait;
            }
        }
        let found: Vec<(u32, usize, String)> =
            late.into_iter().map(|(uid, (count, oldest))| (uid, count, oldest.why.clone())).collect();
        let before = std::mem::replace(&mut self.alarmed, found.iter().map(|(uid, ..)| *uid).collect());
        found.into_iter().filter(|(uid, ..)| !before.contains(uid)).collect()
    }
}

impl DueFiles<'_> {
    /// Whether the file of this name is not due yet.
    #[must_use]
    pub fn waits(&mut self, name: &str) -> bool {
        let now = self.now;
        self.rotation.waits.get_mut(name).is_some_and(|wait| {
            wait.is_there = true;
            wait.due > now
        })
    }

    /// A file that is in the directory and does not wait.
    pub fn add(&mut self, file: DropFile) {
        let of_owner = self.owners.entry(file.uid).or_default();
        if let Some(wait) = self.rotation.waits.get(&file.name) {
            of_owner.again.insert((wait.due, file.name.clone()), file);
            self.is_cut |= of_owner.again.len() > FILES_OF_OWNER_MAX && of_owner.again.pop_last().is_some();
        } else if self.waiting.get(&file.uid).is_none_or(|count| *count < WAITS_OF_OWNER_MAX) {
            of_owner.fresh.insert(file, ());
            self.is_cut |= of_owner.fresh.len() > FILES_OF_OWNER_MAX && of_owner.fresh.pop_last().is_some();
        }
    }

    /// What is due, one of each owner in turn, and whether more is. Files that are no longer there are forgotten.
    #[must_use]
    pub fn in_turn(mut self) -> (Vec<DropFile>, bool) {
        self.rotation.waits.retain(|_, wait| wait.is_there);
        let next = self.rotation.last.map_or(0, |last| last.saturating_add(1));
        let first = self.owners.split_off(&next);
        let mut owners: Vec<_> = first
            .into_values()
            .chain(self.owners.into_values())
            .map(|of_owner| of_owner.fresh.into_keys().chain(of_owner.again.into_values()))
            .collect();
        let mut files = Vec::new();
        while !owners.is_empty() {
            owners.retain_mut(|of_owner| of_owner.next().map(|file| files.push(file)).is_some());
        }
        (files, self.is_cut)
    }
}

/// Whether the sender of a file that has failed must be given a report. A single failure says nothing: the file may have
/// waited for a start of the daemon.
#[must_use]
pub fn is_expired(file: &DropFile, failures: u32, now_seconds: i64) -> bool {
    failures > 0 && now_seconds.saturating_sub(file.left_at) >= EXPIRE_SECONDS
}

/// After the first failure; then twice as long each time.
const WAIT: Duration = Duration::from_secs(10);
const WAIT_MAX: Duration = Duration::from_secs(600);
/// Failing for so long needs an operator.
const LATE: Duration = Duration::from_secs(300);
/// Files of an owner in one look, of those that were tried before and of those that were not.
const FILES_OF_OWNER_MAX: usize = 100;
/// Further files of the owner are left untried.
const WAITS_OF_OWNER_MAX: usize = 10_000;
/// RFC 5321 §4.5.4.1: at least 4 to 5 days.
const EXPIRE_SECONDS: i64 = 5 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn file(uid: u32, name: &str) -> DropFile {
        DropFile { left_at: 0, name: name.to_owned(), uid }
    }

    fn due(rotation: &mut Rotation, files: &[DropFile], now: Instant) -> (Vec<String>, bool) {
        let mut look = rotation.look(now);
        for file in files {
            if !look.waits(&file.name) {
                look.add(file.clone());
            }
        }
        let (files, more) = look.in_turn();
        (files.into_iter().map(|file| file.name).collect(), more)
    }

    #[test]
    fn owners_take_turns_and_none_fills_a_round() {
        let mut rotation = Rotation::default();
        let now = Instant::now();
        let mut files: Vec<DropFile> =
            (0..1000).map(|number| file(7, &format!("mail-a{number:04}"))).collect();
        files.extend([file(8, "mail-b"), file(9, "mail-c")]);
        let (names, more) = due(&mut rotation, &files, now);
        assert_eq!(names[..4], ["mail-a0000", "mail-b", "mail-c", "mail-a0001"]);
        assert_eq!((names.len(), more), (FILES_OF_OWNER_MAX + 2, true));
        rotation.begin(&files[1000]);
        assert_eq!(due(&mut rotation, &files, now).0[..3], ["mail-c", "mail-a0000", "mail-b"]);
        for file in &files[..FILES_OF_OWNER_MAX] {
            rotation.defer(file, "451".to_owned(), now);
        }
        let (names, _) = due(&mut rotation, &files, now);
        assert_eq!(names[..2], ["mail-c", "mail-a0100"], "those that failed wait");
    }

    #[test]
    fn a_file_that_fails_waits_ever_longer_and_alarms_once() {
        let mut rotation = Rotation::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let files = [file(7, "mail-a")];
        for (seconds, next) in [(0, 10), (10, 30), (30, 70), (70, 150), (150, 310), (310, 630), (630, 1230)] {
            assert_eq!(due(&mut rotation, &files, at(seconds)).0, ["mail-a"]);
            rotation.defer(&files[0], "451".to_owned(), at(seconds));
            assert!(due(&mut rotation, &files, at(next - 1)).0.is_empty());
            let told = rotation.late(at(seconds));
            assert_eq!(told.len(), usize::from(seconds == 310), "{seconds} {told:?}");
        }
        assert!(due(&mut rotation, &[], at(700)).0.is_empty());
        assert_eq!((rotation.failures("mail-a"), rotation.late(at(700)).len()), (0, 0), "it is gone");
    }

    #[test]
    fn what_was_submitted_is_not_submitted_again() {
        let mut rotation = Rotation::default();
        let now = Instant::now();
        rotation.defer_end(&file(7, "mail-a"), FileEnd::Removal, "EROFS".to_owned(), now);
        assert_eq!((rotation.end("mail-a"), rotation.end("mail-b")), (Some(FileEnd::Removal), None));
        rotation.forget("mail-a");
        assert_eq!(rotation.end("mail-a"), None);
    }

    #[test]
    fn a_file_expires_after_five_days_of_failing() {
        let left = file(7, "mail-a");
        assert!(!is_expired(&left, 0, EXPIRE_SECONDS));
        assert!(!is_expired(&left, 9, EXPIRE_SECONDS - 1));
        assert!(is_expired(&left, 1, EXPIRE_SECONDS));
    }
}
