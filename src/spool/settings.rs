//! What the spool is told to do; every value is checked.

use std::path::PathBuf;

/// What the spool is told to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where everything of the spool lies; created if it does not exist.
    pub data_dir: PathBuf,
}
