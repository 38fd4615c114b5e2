//! Classifies database errors by what they mean for the operations that wait. It handles none of them.

use rusqlite::{Error, ErrorCode, ffi};

/// The meaning of a database error for those who wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DatabaseTrouble {
    /// Only this operation failed; the rest of its group may succeed.
    Single(String),
    /// The disk is full. Nothing was written; service resumes when there is room.
    Full(String),
    /// A write failed, possibly for lack of room: an exceeded quota looks like this.
    Write(String),
    /// A foreign program holds the database; a retry may succeed.
    Busy(String),
    /// A page is damaged. Other operations may not need it.
    Damaged(String),
    /// The state on disk is uncertain. The handle must not be used again.
    Broken(String),
}

impl DatabaseTrouble {
    /// Classifies an error that occurred while operations ran or a group was committed.
    pub(super) fn of(error: &Error) -> Self {
        let text = error.to_string();
        let Error::SqliteFailure(failure, _) = error else {
            return Self::Single(text);
        };
        let code = failure.code;
        if code == ErrorCode::DiskFull {
            return Self::Full(text);
        }
        // Room in the WAL is claimed by writing to it, room in its index by growing it.
        if [ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_SHMSIZE].contains(&failure.extended_code) {
            return Self::Write(text);
        }
        if code == ErrorCode::DatabaseBusy || code == ErrorCode::DatabaseLocked {
            return Self::Busy(text);
        }
        if code == ErrorCode::DatabaseCorrupt {
            return Self::Damaged(text);
        }
        let single = [
            ErrorCode::ConstraintViolation,
            ErrorCode::TypeMismatch,
            ErrorCode::TooBig,
            ErrorCode::ParameterOutOfRange,
        ];
        if single.contains(&code) { Self::Single(text) } else { Self::Broken(text) }
    }

    /// Classifies the same error at commit, where no single operation can be at fault.
    pub(super) fn at_commit(self) -> Self {
        match self {
            Self::Single(text) | Self::Damaged(text) => Self::Broken(text),
            Self::Full(_) | Self::Write(_) | Self::Busy(_) | Self::Broken(_) => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: i32, expected: &str) {
        let trouble = DatabaseTrouble::of(&Error::SqliteFailure(ffi::Error::new(code), None));
        let describe = |trouble: &DatabaseTrouble| match trouble {
            DatabaseTrouble::Single(_) => "single",
            DatabaseTrouble::Full(_) => "full",
            DatabaseTrouble::Write(_) => "write",
            DatabaseTrouble::Busy(_) => "busy",
            DatabaseTrouble::Damaged(_) => "damaged",
            DatabaseTrouble::Broken(_) => "broken",
        };
        assert_eq!(format!("{}, {}", describe(&trouble), describe(&trouble.clone().at_commit())), expected);
    }

    #[test]
    fn a_failed_flush_breaks_and_want_of_room_does_not() {
        check(ffi::SQLITE_FULL, "full, full");
        check(ffi::SQLITE_IOERR_WRITE, "write, write");
        check(ffi::SQLITE_IOERR_SHMSIZE, "write, write");
        check(ffi::SQLITE_IOERR_FSYNC, "broken, broken");
        check(ffi::SQLITE_IOERR_DIR_FSYNC, "broken, broken");
        check(ffi::SQLITE_IOERR_READ, "broken, broken");
        check(ffi::SQLITE_CORRUPT, "damaged, broken");
        check(ffi::SQLITE_READONLY, "broken, broken");
        check(ffi::SQLITE_CANTOPEN, "broken, broken");
        check(ffi::SQLITE_BUSY, "busy, busy");
        check(ffi::SQLITE_CONSTRAINT_PRIMARYKEY, "single, broken");
        check(ffi::SQLITE_TOOBIG, "single, broken");
    }
}
