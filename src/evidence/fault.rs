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
    /// These days are not what was written.
    #[error("the record of these days was changed: {0}; `sealpost evidence verify` names every place")]
    Broken(Box<RecordBreak>),
    /// Nothing was sealed in these days.
    #[error("no event of these days is sealed; the relay seals what it has every hour and when it stops")]
    Nothing,
    /// The key that signs the package can't be read.
    #[error("the key that signs the package can't be read: {0}; run this as the user of the relay")]
    Key(io::Error),
    /// The key that signs the package is not there.
    #[error(
        "the key that the last statement announces is not in `data_dir`/evidence: either the relay has just replaced it, so try \
         again; or it was removed, and the relay states that it begins with another one when it starts"
    )]
    AnotherKey,
}
