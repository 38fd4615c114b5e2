//! Takes the lock that keeps the spool to one process, and opens the database for writing. It does not start
//! threads.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::Connection;

use super::fault::OpenFault;
use super::schema::open_writer;
use crate::spool::body::Bodies;
use crate::spool::reserve;

/// Opens the database, using the reserve if the disk is full: the WAL index needs some room.
pub(super) fn open_for_writing(data_dir: &Path, bodies: &Bodies) -> Result<(Connection, bool), OpenFault> {
    let path = data_dir.join("spool.sqlite");
    open_writer(&path).or_else(|fault| match fault {
        OpenFault::Database(..) if bodies.is_full() && reserve::release(data_dir) => open_writer(&path),
        fault @ (OpenFault::Locked(_)
        | OpenFault::Folder(..)
        | OpenFault::Database(..)
        | OpenFault::Newer { .. }
        | OpenFault::Thread(_)) => Err(fault),
    })
}

pub(super) fn lock(path: &Path) -> Result<File, OpenFault> {
    let folder = |error| OpenFault::Folder(path.to_owned(), error);
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(folder)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenFault::Locked(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(folder(error)),
    }
}
