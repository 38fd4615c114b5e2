//! Who was seen with TLS: a connector with `remember_tls` does not serve them in clear at once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::connector::TlsMemory;

/// Remembered at the same time; the oldest makes room.
const ENTRIES_MAX: usize = 65_536;

/// What was seen with TLS, in a file of `data_dir`, one line each: connector and recipient domain or
/// smart host.
#[derive(Debug, Default)]
pub struct TlsSeen {
    file: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    order: VecDeque<String>,
    known: HashSet<String>,
    /// Since when those known go without TLS.
    without: HashMap<String, Instant>,
}

impl TlsSeen {
    /// What the file of a folder has; writes it anew where it has lines too many.
    ///
    /// # Errors
    /// The file is there, and can't be read or written.
    pub fn load(data_dir: &Path) -> io::Result<Self> {
        let file = data_dir.join("tls-seen");
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut state = State::default();
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

    /// Notes one that has TLS.
    ///
    /// # Errors
    /// It can't be kept for the next start; this process remembers it all the same.
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

    /// What is remembered of one that has no TLS now, and that it has none.
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

    fn lock(&self) -> MutexGuard<'_, State> {
        // The sets stay whole whatever a panicking holder did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, key: &str) -> bool {
        if key.is_empty() || !self.known.insert(key.to_owned()) {
            return false;
        }
        self.order.push_back(key.to_owned());
        if self.order.len() > ENTRIES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
            self.without.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_had_tls_is_remembered_over_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || TlsSeen::load(folder.path()).expect("a memory");
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
        // With TLS again, the next time without it is a first time again.
        seen.sealed("c p.example").expect("kept");
        assert_eq!(seen.without("c p.example", start + hour), TlsMemory::Sealed);
        assert_eq!(fs::read_to_string(folder.path().join("tls-seen")).expect("text"), "c p.example\n");
    }
}
