//! The errors of opening the spool. It opens nothing.

use std::io;
use std::path::PathBuf;

/// Why the spool can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// Another process has locked it.
    #[error(
        "{0} is locked: another sealpost uses this data_dir; stop it, or give this one a data_dir of its own"
    )]
    Locked(PathBuf),
    /// A folder or file can't be created or read.
    #[error("{0}: {1}; the data_dir must be readable and writable for the user sealpost runs as")]
    Folder(PathBuf, #[source] io::Error),
    /// The database reported an error.
    #[error(
        "{0}: {1}; `sealpost spool check` says what is damaged, and `sealpost spool salvage` takes over what can be read"
    )]
    Database(PathBuf, #[source] rusqlite::Error),
    /// The database was written by a newer sealpost.
    #[error(
        "{path} has schema version {version}, and this sealpost knows versions up to {known}: run the newer sealpost that wrote it, or one newer still"
    )]
    Newer {
        /// The path of the database.
        path: PathBuf,
        /// Its schema version.
        version: i64,
        /// The latest schema version this program knows.
        known: usize,
    },
    /// The system can't start a thread.
    #[error("no thread for the spool: {0}; raise the limit of processes")]
    Thread(#[source] io::Error),
}
