//! Gives room back to the disk: a database that is nearly all free pages is written anew, which takes as
//! long as what is left in it is large. (Pages given back one by one would need a map of all pages, which
//! costs every message some 5 to 13 % more work.)

use rusqlite::{Connection, Result};

/// Writes the database anew if that is soon done and gives room back. Says whether it did.
///
/// # Errors
/// What the database gave, for instance that there is no room for it now; nothing has changed then.
pub(super) fn shrink(writer: &Connection, used_pages_max: i64) -> Result<bool> {
    let pages = |pragma| writer.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (all, free) = (pages("page_count")?, pages("freelist_count")?);
    if !pays(all, free, used_pages_max) {
        return Ok(false);
    }
    writer.execute_batch("VACUUM")?;
    Ok(true)
}

/// Whether it is worth it: few pages to write, many to give back.
fn pays(all: i64, free: i64, used_pages_max: i64) -> bool {
    let used = all.saturating_sub(free);
    free >= FREE_PAGES_MIN && free >= used && used <= used_pages_max
}

/// 8 MiB.
const FREE_PAGES_MIN: i64 = 1_024;
/// 4 MiB: some 50 ms and a flush, while mail may come at any moment.
pub(super) const USED_PAGES_MAX: i64 = 512;
/// 128 MiB: about a second, at the start.
pub(super) const USED_PAGES_AT_START_MAX: i64 = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_pays_where_little_is_left() {
        let check =
            |used, free, expected| assert_eq!(pays(used + free, free, 512), expected, "{used}, {free}");
        check(10, 1_023, false);
        check(10, 1_024, true);
        check(512, 100_000, true);
        check(513, 100_000, false);
        assert!(!pays(30_000, 14_000, 16_384), "most of it is in use");
    }
}
