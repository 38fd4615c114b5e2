//! What looks are compared with: the database of `[watch]`, as the daemon uses it. One that is damaged is set aside; while
//! none can be used, what was seen is in memory, so that changes are reported all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::lookout::{
    HostChange, LookResult, LookRules, LookTarget, TargetRecord, WatchFault, WatchStore, watch_file,
};
use crate::mail::{Clock, UnixMillis};
use crate::trace::{is_damage, set_aside};

/// The memory of all looks. Its methods wait for the disk.
pub(super) struct LookMemory {
    data_dir: PathBuf,
    state: Mutex<MemoryState>,
}

#[derive(Default)]
struct MemoryState {
    store: Option<WatchStore>,
    /// What is known of targets and could not be kept.
    unkept: BTreeMap<LookTarget, TargetRecord>,
    /// Whether the last attempt to use the database failed: the first of several faults in a row is reported.
    is_broken: bool,
}

impl LookMemory {
    pub(super) fn new(data_dir: PathBuf) -> Self {
        Self { data_dir, state: Mutex::default() }
    }

    /// When each target was looked at last. Without the database everything is new.
    pub(super) fn last_looks(&self) -> BTreeMap<LookTarget, UnixMillis> {
        let mut state = self.lock();
        let mut looks = self.with(&mut state, |store| store.last_looks()).unwrap_or_default();
        looks.extend(state.unkept.iter().map(|(target, record)| (target.clone(), record.at)));
        looks
    }

    /// Keeps what a look saw: what has changed since the one before, and whether it may be over in a moment.
    pub(super) fn keep(
        &self,
        (target, partner): (&LookTarget, Option<&str>),
        result: LookResult,
        rules: LookRules,
    ) -> (Vec<HostChange>, bool) {
        let mut state = self.lock();
        let unkept = state.unkept.remove(target);
        let before = match unkept {
            Some(record) => Some(record),
            None => self.with(&mut state, |store| store.record(target)).flatten(),
        };
        let (record, changes) = TargetRecord::after(before, result, Clock::wall(), rules);
        let kept = self.with(&mut state, |store| store.keep(target, partner, &record, &changes));
        let unsure = record.is_unsure();
        if kept.is_none() && state.unkept.len() < UNKEPT_MAX {
            state.unkept.insert(target.clone(), record);
        }
        (changes, unsure)
    }

    /// Removes what is from before this time, and of targets that are not watched any more.
    pub(super) fn prune(&self, before: UnixMillis, watched: &BTreeSet<LookTarget>) {
        let mut state = self.lock();
        state.unkept.retain(|target, _| watched.contains(target));
        let _pruned = self.with(&mut state, |store| store.prune(before, |target| watched.contains(target)));
    }

    /// Does one thing with the database, which is opened if it isn't open. `None`: it can't be used, and that was reported.
    fn with<T>(
        &self,
        state: &mut MemoryState,
        work: impl Fn(&mut WatchStore) -> Result<T, WatchFault>,
    ) -> Option<T> {
        let done = self.attempt(state, &work).or_else(|fault| {
            if !is_lasting(&fault) {
                return Err(fault);
            }
            state.store = None;
            match set_aside(&watch_file(&self.data_dir)) {
                Ok(aside) => {
                    tracing::error!(%fault, aside = %aside.display(), "the database of [watch] can't be used: it is set aside, and a new one is begun");
                    self.attempt(state, &work)
                }
                Err(_) => Err(fault),
            }
        });
        match done {
            Ok(value) => {
                state.is_broken = false;
                Some(value)
            }
            Err(fault) => {
                if !std::mem::replace(&mut state.is_broken, true) {
                    tracing::error!(%fault, "what was seen of partners can't be kept or read; it is in memory meanwhile");
                }
                None
            }
        }
    }

    fn attempt<T>(
        &self,
        state: &mut MemoryState,
        work: impl Fn(&mut WatchStore) -> Result<T, WatchFault>,
    ) -> Result<T, WatchFault> {
        // One that was removed or replaced would take what is written with it.
        let mut store = match state.store.take().filter(WatchStore::is_in_place) {
            Some(store) => store,
            None => WatchStore::open(&self.data_dir)?,
        };
        let done = work(&mut store);
        state.store = Some(store);
        done
    }

    fn lock(&self) -> MutexGuard<'_, MemoryState> {
        // A transaction that a panic interrupted was rolled back.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether no waiting makes it better.
fn is_lasting(fault: &WatchFault) -> bool {
    match fault {
        WatchFault::Newer { .. } => true,
        WatchFault::Database(_, error) => is_damage(error),
        WatchFault::File(..) => false,
    }
}

/// Targets that are remembered while the database can't be used.
const UNKEPT_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::lookout::{LookHost, PartnerChange, Sight};
    use crate::trace::set_aside_in;

    const RULES: LookRules =
        LookRules { turns: Duration::from_secs(86_400), addresses: Duration::from_secs(86_400) };

    fn target() -> LookTarget {
        LookTarget { connector: "bank".into(), domain: None }
    }

    /// Looks at hosts of these names, none of which answers; the hosts that are new.
    fn look(memory: &LookMemory, hosts: &[&str]) -> Vec<String> {
        let host = |name: &&str| LookHost { name: (*name).to_owned(), address: "192.0.2.1:25".to_owned() };
        let seen = hosts.iter().map(|name| (host(name), Sight::failed(Clock::wall(), "refused"))).collect();
        let (changes, _) = memory.keep((&target(), None), LookResult::Hosts(seen, 0), RULES);
        let added = changes.into_iter().filter(|one| matches!(one.change, PartnerChange::HostAdded { .. }));
        added.map(|one| one.host.name).collect()
    }

    #[test]
    fn a_database_that_is_damaged_while_it_is_used_is_set_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        let memory = LookMemory::new(folder.path().to_owned());
        look(&memory, &["a"]);
        assert_eq!(look(&memory, &["a", "b"]), ["b"]);
        let file = watch_file(folder.path());
        let size = usize::try_from(fs::metadata(&file).expect("a file").len()).expect("small");
        // In place, so that it is the same file.
        let octets = vec![7; size];
        let mut open = fs::OpenOptions::new().write(true).open(&file).expect("opened");
        std::io::Write::write_all(&mut open, &octets).expect("written");
        // What cannot be read is not known: the next look is the first one.
        assert_eq!(look(&memory, &["a", "b", "c"]), Vec::<String>::new());
        assert_eq!(set_aside_in(folder.path()).len(), 1);
        assert_eq!(look(&memory, &["a", "b", "c", "d"]), ["d"]);
        fs::remove_file(&file).expect("removed");
        assert_eq!(look(&memory, &["a"]), Vec::<String>::new(), "another one is begun");
        assert!(file.exists() && set_aside_in(folder.path()).len() == 1);
    }

    #[test]
    fn without_a_database_changes_are_reported_all_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = watch_file(folder.path());
        fs::create_dir(&file).expect("a folder in its place");
        let memory = LookMemory::new(folder.path().to_owned());
        assert_eq!(look(&memory, &["a"]), Vec::<String>::new());
        assert_eq!(look(&memory, &["a", "b"]), ["b"]);
        assert_eq!(look(&memory, &["a", "b"]), Vec::<String>::new(), "once");
        assert_eq!(memory.last_looks().len(), 1);
        fs::remove_dir(&file).expect("removed");
        assert_eq!(look(&memory, &["a", "b", "c"]), ["c"], "what was in memory is kept now");
        assert_eq!(LookMemory::new(folder.path().to_owned()).last_looks().len(), 1);
    }
}
