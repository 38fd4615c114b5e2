//! Gives room back to the disk: a database that is nearly all free pages is written again, which takes as
//! long as what is left in it is large. (Pages given back one by one would need a map of all pages, which
//! costs every message some 5 to 13 % more work.)

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Result};

use super::schema::PAGE_BYTES;

/// Writes the database again if that is soon done and gives room back. Says whether it did.
///
/// # Errors
/// What the database gave, for instance that there is no room for it now; nothing has changed then.
pub(super) fn shrink(writer: &Connection, used_pages_max: i64, upkeep: &Upkeep) -> Result<bool> {
    let pages = |pragma| writer.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (all, free) = (pages("page_count")?, pages("freelist_count")?);
    let used = all.saturating_sub(free);
    if !pays(used, free, used_pages_max) || !fits(used, left(&upkeep.data_dir), upkeep.free_disk) {
        return Ok(false);
    }
    writer.execute_batch("VACUUM")?;
    Ok(true)
}

/// Whether it is worth it: few pages to write, many to give back.
fn pays(used: i64, free: i64, used_pages_max: i64) -> bool {
    free >= FREE_PAGES_MIN && free >= used && used <= used_pages_max
}

/// Whether what is left of the disk takes the log of it: every page in use is written there before the file gets
/// shorter. Few pages may take some of the reserve, which they give back: the file may be what fills the disk.
fn fits(used: i64, left: u64, free_disk: u64) -> bool {
    let octets = used.saturating_mul(PAGE_BYTES.saturating_add(LOG_HEAD_BYTES));
    let octets = u64::try_from(octets).unwrap_or(u64::MAX);
    octets <= left.saturating_sub(free_disk) || (used <= USED_PAGES_MAX && octets <= left / 4)
}

/// What is left of the disk; nothing, where it does not say.
fn left(data_dir: &Path) -> u64 {
    rustix::fs::statvfs(data_dir).map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize))
}

/// Octets that the log has beside each page.
const LOG_HEAD_BYTES: i64 = 24;
/// 8 MiB.
const FREE_PAGES_MIN: i64 = 1_024;
/// 4 MiB: some 50 ms and a flush, while mail may come at any moment.
pub(super) const USED_PAGES_MAX: i64 = 512;
/// 128 MiB: about a second, at the start.
pub(super) const USED_PAGES_AT_START_MAX: i64 = 16_384;

/// What upkeep must know.
pub(super) struct Upkeep {
    pub(super) data_dir: PathBuf,
    /// Octets of the disk that work which could be left undone leaves alone.
    pub(super) free_disk: u64,
    /// What was deleted goes from the log too.
    pub(super) secure: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_pays_where_little_is_left() {
        let check = |used, free, expected| assert_eq!(pays(used, free, 512), expected, "{used}, {free}");
        check(10, 1_023, false);
        check(10, 1_024, true);
        check(512, 100_000, true);
        check(513, 100_000, false);
        assert!(!pays(16_000, 14_000, 16_384), "most of it is in use");
    }

    #[test]
    fn the_floor_of_the_disk_is_left_alone() {
        let check = |used, left, expected| assert_eq!(fits(used, left, 10 << 20), expected, "{used}, {left}");
        check(1_000, (10 << 20) + 1_000 * 8_216, true);
        check(1_000, (10 << 20) + 1_000 * 8_216 - 1, false);
        // Few pages, and most of the reserve stays.
        check(200, 4 * 200 * 8_216, true);
        check(200, 4 * 200 * 8_216 - 1, false);
        check(512, (10 << 20) + 100, false);
        check(i64::MAX, 10 << 20, false);
        check(10, 0, false);
    }
}
