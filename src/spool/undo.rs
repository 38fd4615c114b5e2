//! Removes a file on drop, unless a message took it over.

use std::fs;
use std::path::PathBuf;

/// Removes a file unless it is told to leave it.
#[derive(Debug)]
pub struct Undo(pub(super) Option<PathBuf>);

impl Undo {
    /// The file stays: a message took it over.
    pub fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // What can't be removed now is an orphan, and goes at the next start.
            let _ = fs::remove_file(path);
        }
    }
}
