//! Removes what is too old or too much from the store, and gives its space back.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};

use super::code::unsigned;
use super::ledger::last_seal;
use super::schema;
use super::store::Store;
use super::tls_report::date_of_day;
use crate::mail::UnixMillis;
use crate::seal::{PartSeal, RemovalCause, StatementBody};
use crate::tracking::TrackingSettings;

impl Store {
    /// Removes a part that is too old, or, if the store is too large, the oldest one, and then the oldest sums; or gives
    /// some free pages back. Returns whether there is more to do.
    pub(super) fn prune(&mut self, settings: TrackingSettings, now: UnixMillis) -> rusqlite::Result<bool> {
        // The day of a part is that of its beginning, whatever dates a clock gave its events later.
        let cutoff = now.before(settings.keep).day();
        let written = self.part.map_or(0, |part| part.number);
        let parts: Vec<(i64, i64)> = self
            .connection
            .prepare_cached("SELECT part, day FROM part WHERE part <> ?1 ORDER BY part")?
            .query_map([written], |row| Ok((row.get(0)?, row.get(1).unwrap_or_default())))?
            .collect::<rusqlite::Result<_>>()?;
        if let Some(part) = self.oldest_over(&parts, cutoff)? {
            self.forget_part(part, (settings, now), RemovalCause::Age)?;
            return Ok(true);
        }
        let (pages, free) =
            (pragma(&self.connection, "page_count")?, pragma(&self.connection, "freelist_count")?);
        let page = pragma(&self.connection, "page_size")?;
        let used = pages.saturating_sub(free).saturating_mul(page);
        if unsigned(used) > settings.bytes_max {
            if let Some((part, _)) = parts.first() {
                self.forget_part(*part, (settings, now), RemovalCause::Size)?;
                tracing::warn!(
                    part,
                    "the tracking store has reached its max_size: its oldest events were removed"
                );
                return Ok(true);
            }
            let removed = self.forget_oldest_sums(now.day())?;
            if removed > 0 {
                tracing::warn!(
                    removed,
                    "the tracking store has reached its max_size: its oldest sums were removed"
                );
                return Ok(true);
            }
            // A part that has just been begun is all there is: it is ended, and goes when the next one is there.
            if self.part.is_some_and(|part| self.next_seq.saturating_sub(part.first_seq) >= ROLL_EVENTS) {
                self.end_part();
            }
            return Ok(false);
        }
        if free.saturating_mul(page) < SPARE_BYTES {
            return Ok(false);
        }
        self.connection.execute_batch(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
        Ok(true)
    }

    /// The part that goes first, if it is from before a day. What was stated of it counts, not what its row says, which may have
    /// been altered to have it removed. While nothing can be stated, it waits; what is not sealed is in nobody's way.
    fn oldest_over(&self, parts: &[(i64, i64)], cutoff: i64) -> rusqlite::Result<Option<i64>> {
        for (part, day) in parts {
            let stated = last_seal(&self.connection, *part)?;
            let is_over = *day < cutoff
                && stated.as_ref().is_none_or(|(seal, is_closed)| {
                    !self.is_sealing
                        || (*is_closed && self.ledger.is_some() && seal.day < date_of_day(cutoff))
                });
            if is_over || stated.is_some() {
                return Ok(is_over.then_some(*part));
            }
        }
        Ok(None)
    }

    /// Removes the sums of the first day, but never those of today.
    fn forget_oldest_sums(&mut self, today: i64) -> rusqlite::Result<usize> {
        let removed = self
            .connection
            .execute("DELETE FROM sum WHERE day = (SELECT MIN(day) FROM sum WHERE day < ?1)", [today])?;
        self.forget();
        Ok(removed)
    }

    fn forget_part(
        &mut self,
        part: i64,
        (settings, now): (TrackingSettings, UnixMillis),
        why: RemovalCause,
    ) -> rusqlite::Result<()> {
        // The statements of a table that is dropped must not be kept.
        self.connection.flush_prepared_statement_cache();
        let transaction = self.connection.unchecked_transaction()?;
        let draft = match (sealed_as(&transaction, part)?, &self.ledger) {
            (Some(seal), Some(ledger)) => {
                let about = StatementBody::Removed {
                    part: seal.part,
                    first_seq: seal.first_seq,
                    last_seq: seal.last_seq,
                    why,
                    keep: settings.keep.as_secs(),
                };
                Some(ledger.draft(about, now))
            }
            (Some(_), None) | (None, _) => None,
        };
        if let Some(draft) = &draft {
            draft.put(&transaction)?;
        }
        schema::drop_part(&transaction, part)?;
        let first: Option<i64> = transaction
            .query_row("SELECT MIN(day) FROM part", [], |row| Ok(row.get(0).unwrap_or_default()))
            .optional()?
            .flatten();
        let kept_since = first.unwrap_or(i64::MAX);
        transaction.execute("DELETE FROM decision WHERE day < ?1", [kept_since.min(now.day())])?;
        let sums_since = now.before(settings.keep.max(SUMS_KEPT)).day();
        transaction.execute("DELETE FROM sum WHERE day < ?1", [sums_since])?;
        transaction.commit()?;
        if let (Some(draft), Some(ledger)) = (draft, &mut self.ledger) {
            ledger.accept(draft);
        }
        self.forget();
        Ok(())
    }
}

/// What was stated of a part when it was closed, if it is sealed.
fn sealed_as(connection: &Connection, part: i64) -> rusqlite::Result<Option<PartSeal>> {
    Ok(last_seal(connection, part)?.filter(|(_, is_closed)| *is_closed).map(|(seal, _)| seal))
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

/// A part with so many events is ended when the store is too large and has no other.
const ROLL_EVENTS: i64 = 10_000;
/// How long sums are kept, at least.
const SUMS_KEPT: Duration = Duration::from_secs(400 * 24 * 3_600);
/// Free pages that are kept for the next events.
const SPARE_BYTES: i64 = 16 << 20;
/// Pages that are given back at once.
const VACUUM_PAGES: i64 = 1_000;
