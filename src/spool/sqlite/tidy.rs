//! Returns space to the disk by rewriting a database that is mostly free pages, which takes time in
//! proportion to what is left in it. It does not free pages one by one: that needs a map of all pages, which
//! costs every message some 5 to 13 % more work.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Result};

use super::schema::PAGE_BYTES;

/// Rewrites the database if that is quick and frees space. Returns whether it did.
///
/// # Errors
/// The database error, for instance that there is no room for it now; nothing has changed then.
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

/// Whether it is worthwhile: few pages to write, many to free.
fn pays(used: i64, free: i64, used_pages_max: i64) -> bool {
    free >= FREE_PAGES_MIN && free >= used && used <= used_pages_max
}

/// Whether the disk has room for the WAL of it: every page in use is written there before the file shrinks.
/// Few pages may use some of the free-space reserve, which they give back: the file itself may be what fills
/// the disk.
fn fits(used: i64, left: u64, free_disk: u64) -> bool {
    let octets = used.saturating_mul(PAGE_BYTES.saturating_add(LOG_HEAD_BYTES));
    let octets = u64::try_from(octets).unwrap_or(u64::MAX);
    octets <= left.saturating_sub(free_disk) || (used <= USED_PAGES_MAX && octets <= left / 4)
}

/// Octets free on the disk; 0 if unknown.
fn left(data_dir: &Path) -> u64 {
    rustix::fs::statvfs(data_dir).map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize))
}

/// Octets of WAL frame header for each page.
const LOG_HEAD_BYTES: i64 = 24;
/// In pages, 8 MiB.
const FREE_PAGES_MIN: i64 = 1_024;
/// In pages, 4 MiB: some 50 ms and a flush, while mail may arrive at any moment.
pub(super) const USED_PAGES_MAX: i64 = 512;
/// In pages, 128 MiB: about a second, at startup.
pub(super) const USED_PAGES_AT_START_MAX: i64 = 16_384;

/// Settings for upkeep.
pub(super) struct Upkeep {
    pub(super) data_dir: PathBuf,
    /// Octets of disk space that optional work leaves free.
    pub(super) free_disk: u64,
    /// Whether deleted data is removed from the WAL too.
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
        // Few pages; most of the free space stays.
        check(200, 4 * 200 * 8_216, true);
        check(200, 4 * 200 * 8_216 - 1, false);
        check(512, (10 << 20) + 100, false);
        check(i64::MAX, 10 << 20, false);
        check(10, 0, false);
    }
}
