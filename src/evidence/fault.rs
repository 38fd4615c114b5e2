//! Why a package can't be made.

use std::io;
use std::path::PathBuf;

use super::verify::RecordBreak;

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportFault {
    /// The store can't be read.
    #[error("the tracking store can't be read: {0}")]
    Store(#[from] rusqlite::Error),
    /// A file can't be written.
    #[error("{path}: {1}", path = .0.display())]
    File(PathBuf, io::Error),
    /// The record is not what was written.
    #[error("the record was changed: {0}; `sealpost evidence verify` names every place")]
    Broken(Box<RecordBreak>),
    /// Nothing was sealed in these days.
    #[error("no event of these days is sealed")]
    Nothing,
}
