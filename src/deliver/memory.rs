//! What is remembered of hosts: which had TLS before, whose handshakes fail, and which are
//! unreachable, so that not every message pays for it again. Memory is kept per connector.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::session::Key;
use crate::connector::{Revision, TlsMemory};
use crate::mail::Domain;
use crate::scheduler::Way;

/// Maximum number of entries; the oldest makes room.
const SEEN_MAX: usize = 65_536;

/// Next hops that have used TLS, kept in a file in `data_dir`. One line each: connector and
/// recipient domain or smart host.
#[derive(Debug, Default)]
pub struct TlsHistory {
    file: Option<PathBuf>,
    state: Mutex<SeenState>,
}

#[derive(Debug, Default)]
struct SeenState {
    order: VecDeque<String>,
    known: HashSet<String>,
    /// For each known next hop that now lacks TLS, since when.
    without: HashMap<String, Instant>,
}

impl TlsHistory {
    /// Loads the file from `data_dir`; rewrites it if it has superfluous lines.
    ///
    /// # Errors
    /// The file exists but can't be read or written.
    pub fn load(data_dir: &Path) -> io::Result<Self> {
        let file = data_dir.join("tls-seen");
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut state = SeenState::default();
        let mut lines = 0_usize;
        for line in text.lines() {
            lines = lines.saturating_add(1);
            state.insert(line);
        }
        if lines > state.order.len() {
            let kept: String = state.order.iter().map(|line| format!("{line}\n")).collect();
            let fresh = data_dir.join("tls-seen.new");
            fs::write(&fresh, kept)?;
            fs::rename(fresh, &file)?;
        }
        Ok(Self { file: Some(file), state: Mutex::new(state) })
    }

    /// Records that this next hop has TLS.
    ///
    /// # Errors
    /// It can't be saved for the next start; this process still remembers it.
    pub(super) fn sealed(&self, key: &str) -> io::Result<()> {
        let new = {
            let mut state = self.lock();
            state.without.remove(key);
            state.insert(key)
        };
        match &self.file {
            Some(file) if new => writeln!(OpenOptions::new().create(true).append(true).open(file)?, "{key}"),
            Some(_) | None => Ok(()),
        }
    }

    /// What is remembered of a next hop that has no TLS now. Records that it has none.
    pub(super) fn without(&self, key: &str, now: Instant) -> TlsMemory {
        let mut state = self.lock();
        if !state.known.contains(key) {
            return TlsMemory::Never;
        }
        match state.without.get(key) {
            None => {
                state.without.insert(key.to_owned(), now);
                TlsMemory::Sealed
            }
            Some(since) => TlsMemory::WithoutFor(now.saturating_duration_since(*since)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, SeenState> {
        // The sets are consistent even if a holder of the lock panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SeenState {
    fn insert(&mut self, key: &str) -> bool {
        if key.is_empty() || !self.known.insert(key.to_owned()) {
            return false;
        }
        self.order.push_back(key.to_owned());
        if self.order.len() > SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
            self.without.remove(&oldest);
        }
        true
    }
}

/// Maximum number of entries; the one that expires first makes room.
const NOTED_MAX: usize = 4_096;
/// How long TLS is skipped at a host whose handshakes failed and that then took mail in plaintext.
pub(super) const TLS_TRIED_AGAIN_AFTER: Duration = Duration::from_secs(10 * 60);
/// After that post-quantum key shares are sent again to a host whose handshakes failed on them. Not long: someone in the
/// middle who breaks a handshake should not have us do without them for a day.
pub(super) const POST_QUANTUM_TRIED_AGAIN_AFTER: Duration = Duration::from_secs(60 * 60);

/// For so long a host's other address family comes first after one did not answer.
pub(super) const SLOWER_FOR: Duration = Duration::from_secs(10 * 60);

/// A temporary memory of hosts.
#[derive(Debug)]
pub(super) struct HostMemory<T>(Mutex<HashMap<Key, (T, Instant)>>);

impl<T> Default for HostMemory<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> HostMemory<T> {
    /// Remembers a host for the time given. A known host keeps its entry, so that its time is not
    /// extended.
    pub(super) fn note(&self, key: Key, what: T, (now, keep): (Instant, Duration)) {
        let mut known = self.lock();
        if known.len() >= NOTED_MAX && !known.contains_key(&key) {
            known.retain(|_, (_, until)| *until > now);
            let first = known.iter().min_by_key(|(_, (_, until))| *until).map(|(key, _)| key.clone());
            if let Some(first) = first.filter(|_| known.len() >= NOTED_MAX) {
                known.remove(&first);
            }
        }
        let until = now.checked_add(keep).unwrap_or(now);
        known.entry(key).or_insert((what, until));
    }

    /// What was remembered, until it expires.
    pub(super) fn recall(&self, key: &Key, now: Instant) -> Option<T> {
        let mut known = self.lock();
        let (what, until) = known.get(key)?;
        if *until > now {
            return Some(what.clone());
        }
        known.remove(key);
        None
    }

    /// Removes an entry that no longer holds.
    pub(super) fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    /// Removes all entries.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, (T, Instant)>> {
        // Each entry is consistent even if a holder of the lock panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts the attempts of ways that have more addresses than one attempt tries, so that each address has its turn.
#[derive(Debug, Default)]
pub(super) struct TurnMemory(Mutex<HashMap<(Revision, Option<Domain>), usize>>);

impl TurnMemory {
    /// The number of this attempt.
    pub(super) fn next(&self, way: &Way) -> usize {
        let key = (way.connector.revision, way.domain.clone());
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() >= NOTED_MAX && !turns.contains_key(&key) {
            // They begin again somewhere else: nothing but the order of attempts depends on it.
            turns.clear();
        }
        let turn = turns.entry(key).or_insert_with(|| fastrand::usize(..));
        *turn = turn.wrapping_add(1);
        *turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_had_tls_is_remembered_over_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || TlsHistory::load(folder.path()).expect("a memory");
        let (start, hour) = (Instant::now(), Duration::from_secs(3600));
        let seen = open();
        assert_eq!(seen.without("c p.example", start), TlsMemory::Never);
        seen.sealed("c p.example").expect("kept");
        seen.sealed("c p.example").expect("kept");
        drop(seen);
        let seen = open();
        assert_eq!(seen.without("c p.example", start), TlsMemory::Sealed);
        assert_eq!(seen.without("c p.example", start + hour), TlsMemory::WithoutFor(hour));
        assert_eq!(seen.without("c other.example", start), TlsMemory::Never);
        // After TLS was seen again, the next time without it counts as the first.
        seen.sealed("c p.example").expect("kept");
        assert_eq!(seen.without("c p.example", start + hour), TlsMemory::Sealed);
        assert_eq!(fs::read_to_string(folder.path().join("tls-seen")).expect("text"), "c p.example\n");
    }

    fn key(port: u16) -> Key {
        Key { revision: Revision::default(), host: None, address: ([127, 0, 0, 1], port).into() }
    }

    #[test]
    fn a_host_is_remembered_for_a_time_that_is_not_drawn_out() {
        let (broken, start) = (HostMemory::default(), Instant::now());
        let keep = Duration::from_secs(600);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(broken.recall(&key(1), start), None);
        broken.note(key(1), "first", (start, keep));
        broken.note(key(1), "second", (at(500), keep));
        assert_eq!(broken.recall(&key(1), at(599)), Some("first"));
        assert_eq!(broken.recall(&key(2), at(599)), None);
        assert_eq!(broken.recall(&key(1), at(600)), None);
    }

    #[test]
    fn the_memory_is_bounded_and_the_oldest_goes() {
        let (broken, start) = (HostMemory::default(), Instant::now());
        for port in 0..=u16::try_from(NOTED_MAX).expect("small") {
            let now = start + Duration::from_millis(u64::from(port));
            broken.note(key(port), "x", (now, Duration::from_secs(600)));
        }
        assert_eq!(broken.lock().len(), NOTED_MAX);
        assert!(broken.recall(&key(0), start).is_none() && broken.recall(&key(1), start).is_some());
    }
}
