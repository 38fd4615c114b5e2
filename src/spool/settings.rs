//! What the spool is told to do; every value is checked.

use std::path::PathBuf;

/// What the spool is told to do.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where everything of the spool lies; created if it does not exist.
    pub data_dir: PathBuf,
    /// How many faults the spool had in a row before this start.
    pub faults: u32,
    /// Deleted content is overwritten at once.
    pub secure_delete: bool,
    /// Octets of the disk that are left alone by work that could be left undone.
    pub free_disk: u64,
}
