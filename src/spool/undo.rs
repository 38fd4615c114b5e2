//! Removes a file on drop, unless a message took it over.

use std::fs;
use std::path::PathBuf;

/// Removes a file on drop unless [`Self::keep`] is called.
#[derive(Debug)]
pub struct Undo(pub(super) Option<PathBuf>);

impl Undo {
    /// Keeps the file: a message took it over.
    pub fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // If it can't be removed now, it is an orphan, and the next start removes it.
            let _ = fs::remove_file(path);
        }
    }
}
