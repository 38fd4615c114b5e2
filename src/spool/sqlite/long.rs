//! Work on the whole queue, in parts with a commit each: callers that submit or settle a message are served
//! between parts.

use std::time::{Duration, Instant};

use rusqlite::{Connection, Result, params};

use super::apply::NEVER;
use super::ops::HastenPart;
use crate::mail::{QueueId, UnixMillis};
use crate::spool::{HastenedLanes, LaneKey, Part, Place, SpoolFault};

impl HastenPart {
    /// Runs this part, inside a transaction.
    ///
    /// # Errors
    /// The database error; the transaction must be rolled back.
    pub(super) fn work(&self, writer: &Connection, rows_max: i64) -> Result<Part<HastenedLanes>> {
        let rows = rows(writer, self.after.as_ref(), rows_max)?;
        let (mut lanes, mut count) = (Vec::new(), 0_usize);
        let mut hasten = writer.prepare_cached(HASTEN)?;
        for place in rows.iter().filter(|place| place.next_at < NEVER) {
            // What is already due counts too: its lane may be blocked and should be retried as well.
            count = count.saturating_add(1);
            if lanes.last() != Some(&place.lane) {
                lanes.push(place.lane.clone());
            }
            if place.next_at > self.now {
                hasten.execute(params![place.message.to_number(), place.number, self.now.0])?;
            }
        }
        let whole = i64::try_from(rows.len()).is_ok_and(|rows| rows < rows_max);
        let next = rows.into_iter().next_back().filter(|_| !whole);
        Ok(Part { found: (lanes, count), next })
    }

    /// Answers the caller.
    pub(super) fn end(self, result: std::result::Result<Part<HastenedLanes>, SpoolFault>) {
        // The caller may have gone.
        let _ = self.answer.send(result);
    }
}

fn rows(writer: &Connection, after: Option<&Place>, rows_max: i64) -> Result<Vec<Place>> {
    let lane = after.map_or("", |place| &*place.lane.0);
    let (next_at, message, number) = Place::key(after);
    let mut look = writer.prepare_cached(ROWS)?;
    let mut found = look.query(params![lane, next_at, message, number, rows_max])?;
    let mut rows: Vec<Place> = Vec::new();
    while let Some(row) = found.next()? {
        let lane = row.get_ref(0)?.as_str()?;
        let lane = match rows.last().filter(|last| &*last.lane.0 == lane) {
            Some(last) => last.lane.clone(),
            None => LaneKey(lane.into()),
        };
        let (next_at, message) = (UnixMillis(row.get(1)?), QueueId::from_number(row.get(2)?));
        rows.push(Place { lane, next_at, message, number: row.get(3)? });
    }
    Ok(rows)
}

/// Number of recipients in one part: as many as a commit writes quickly on this disk.
pub(super) struct Measure(i64);

impl Measure {
    pub(super) fn rows(&self) -> i64 {
        self.0
    }

    /// Adapts to how long the part since `since` took.
    pub(super) fn took(&mut self, since: Instant) {
        let took = since.elapsed();
        if took > PART_TIME_MAX {
            self.0 = (self.0 / 2).max(ROWS_MIN);
        } else if took < PART_TIME_MAX / 3 {
            self.0 = self.0.saturating_mul(2).min(ROWS_MAX);
        }
    }
}

impl Default for Measure {
    fn default() -> Self {
        Self(ROWS_AT_FIRST)
    }
}

/// A submission waits for one part, a checkpoint and its own commit: together well under 50 ms.
const PART_TIME_MAX: Duration = Duration::from_millis(12);
const ROWS_AT_FIRST: i64 = 100;
const ROWS_MIN: i64 = 25;
const ROWS_MAX: i64 = 500;

pub(super) const ROWS: &str = "
    SELECT lane, next_at, message, number FROM recipient
    WHERE (lane, next_at, message, number) > (?1, ?2, ?3, ?4) ORDER BY lane, next_at, message, number LIMIT ?5";

const HASTEN: &str = "UPDATE recipient SET next_at = ?3 WHERE message = ?1 AND number = ?2";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_disk_has_smaller_parts() {
        let ago =
            |millis| Instant::now().checked_sub(Duration::from_millis(millis)).expect("up for a moment");
        let mut measure = Measure::default();
        measure.took(ago(13));
        assert_eq!(measure.rows(), 50);
        (0..9).for_each(|_| measure.took(ago(100)));
        assert_eq!(measure.rows(), ROWS_MIN);
        (0..9).for_each(|_| measure.took(ago(0)));
        assert_eq!(measure.rows(), ROWS_MAX);
        measure.took(ago(8));
        assert_eq!(measure.rows(), ROWS_MAX);
    }
}
