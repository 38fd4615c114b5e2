//! The connectors that an operator paused: a file of names in `data_dir`, so that they stay paused
//! after a restart.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::state_file;

#[derive(Debug)]
pub(super) struct PauseFile {
    file: PathBuf,
    names: Mutex<BTreeSet<String>>,
}

impl PauseFile {
    /// Loads the file; without one, no connector is paused.
    ///
    /// # Errors
    /// The file exists but can't be read.
    pub(super) fn load(data_dir: &Path) -> io::Result<Self> {
        let file = data_dir.join("paused");
        let text = state_file::read(&file)?.unwrap_or_default();
        let names = text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        Ok(Self { file, names: Mutex::new(names) })
    }

    /// The names of the paused connectors.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds or removes a name; durable when this returns.
    ///
    /// # Errors
    /// The file can't be written; nothing has changed.
    pub(super) fn set(&self, name: &str, paused: bool) -> io::Result<BTreeSet<String>> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = names.clone();
        if paused {
            next.insert(name.to_owned());
        } else {
            next.remove(name);
        }
        let text: String = next.iter().map(|name| format!("{name}\n")).collect();
        state_file::replace(&self.file, text)?;
        names.clone_from(&next);
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_still_is_known_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let paused = PauseFile::load(folder.path()).expect("nothing yet");
        paused.set("b", true).expect("written");
        paused.set("a", true).expect("written");
        let names = |paused: &PauseFile| paused.names().into_iter().collect::<Vec<_>>();
        assert_eq!(names(&PauseFile::load(folder.path()).expect("read")), ["a", "b"]);
        paused.set("b", false).expect("written");
        assert_eq!(names(&PauseFile::load(folder.path()).expect("read")), ["a"]);
    }
}
