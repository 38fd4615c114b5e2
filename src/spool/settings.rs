//! Checked settings of the spool. It parses no configuration.

use std::path::PathBuf;

/// Checked settings of the spool.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The folder of the spool; created if missing.
    pub data_dir: PathBuf,
    /// Number of consecutive spool faults before this start.
    pub faults: u32,
    /// Whether deleted content is overwritten at once.
    pub secure_delete: bool,
    /// Octets of disk space that optional work leaves free.
    pub free_disk: u64,
}
