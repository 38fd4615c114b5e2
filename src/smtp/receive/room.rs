//! Tracks whether there is room for more mail. It measures nothing itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

use crate::mail::{Enhanced, Reply};

/// Whether there is room for more mail. It is measured from outside and checked at each MAIL and DATA,
/// so that service stops before the disk is full and resumes by itself. Between two measurements it
/// counts what is written and what was promised to content under way, so that parallel sessions can't
/// use up the reserve.
#[derive(Debug)]
pub struct Room {
    state: AtomicU8,
    /// Octets free on the disk above its reserve, when last measured; negative if the reserve is in
    /// use.
    disk: AtomicI64,
    /// Octets available to small messages in addition: free pages of the database.
    pages: AtomicI64,
    /// Octets of the disk that only small messages may use.
    kept: AtomicI64,
    /// Messages up to this size use database pages; larger ones need the disk.
    small_bytes_max: AtomicI64,
    /// Octets promised to content under way and not yet written.
    promised: AtomicI64,
    /// Octets written since the last measurement; negative if more was given back.
    spent: AtomicI64,
}

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fullness {
    /// There is enough room.
    Free,
    /// There is enough room, but the queue is long: clients are slowed down.
    Slow,
    /// The queue has reached its limit.
    QueueFull,
    /// Only the reserve is left on the disk.
    DiskFull,
}

/// Measured octets that may still arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// Octets on the disk above its reserve; negative if the reserve is in use.
    pub disk: i64,
    /// Octets in the database's free pages.
    pub pages: i64,
    /// Octets of the disk reserved for small messages.
    pub kept: i64,
    /// The largest small message, in octets.
    pub small_bytes_max: i64,
}

/// Room promised to content that goes to a file. On drop, the promise and whatever was written but not
/// kept are given back.
#[derive(Debug)]
pub struct Reservation {
    room: Arc<Room>,
    promised: i64,
    written: i64,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            state: AtomicU8::new(0),
            disk: AtomicI64::new(i64::MAX / 4),
            pages: AtomicI64::new(0),
            kept: AtomicI64::new(0),
            small_bytes_max: AtomicI64::new(0),
            promised: AtomicI64::new(0),
            spent: AtomicI64::new(0),
        }
    }
}

impl Room {
    /// Octets written up to now. Read it before measuring, and pass it to [`Self::set`] with the
    /// measurement.
    #[must_use]
    pub fn spent(&self) -> i64 {
        self.spent.load(Ordering::Relaxed)
    }

    /// Sets the state and how many octets may arrive. `seen` was written before the measurement, which
    /// therefore includes it.
    pub fn set(&self, fullness: Fullness, measure: Measure, seen: i64) {
        let number = match fullness {
            Fullness::Free => 0,
            Fullness::Slow => 1,
            Fullness::QueueFull => 2,
            Fullness::DiskFull => 3,
        };
        self.spent.fetch_sub(seen, Ordering::Relaxed);
        self.disk.store(measure.disk, Ordering::Relaxed);
        self.pages.store(measure.pages, Ordering::Relaxed);
        self.kept.store(measure.kept, Ordering::Relaxed);
        self.small_bytes_max.store(measure.small_bytes_max, Ordering::Relaxed);
        self.state.store(number, Ordering::Relaxed);
    }

    /// The state set last.
    #[must_use]
    pub fn fullness(&self) -> Fullness {
        match self.state.load(Ordering::Relaxed) {
            0 => Fullness::Free,
            1 => Fullness::Slow,
            2 => Fullness::QueueFull,
            _ => Fullness::DiskFull,
        }
    }

    /// Whether a message of this declared size may arrive.
    ///
    /// # Errors
    /// The reply to the client (RFC 5321 §4.2.3, RFC 1870 §6.1).
    pub(super) fn takes(&self, declared: u64) -> Result<(), Reply> {
        let octets = signed(declared);
        let large = octets > self.small_bytes_max.load(Ordering::Relaxed);
        let left = self.left(large, self.promised.load(Ordering::Relaxed));
        let text = match self.fullness() {
            Fullness::QueueFull => "too much mail is queued here; try again later",
            Fullness::DiskFull => "insufficient storage; try again later",
            Fullness::Free | Fullness::Slow if octets > left => {
                "insufficient storage for a message of this size; try again later"
            }
            Fullness::Free | Fullness::Slow => return Ok(()),
        };
        Err(Reply::new(452, Enhanced(4, 3, 1), text))
    }

    /// Counts a small message about to be written. `false`: there is no room, and nothing was counted.
    #[must_use]
    pub fn spend(&self, octets: u64) -> bool {
        let octets = signed(octets);
        let fits = octets <= self.left(false, self.promised.load(Ordering::Relaxed));
        if fits {
            self.spent.fetch_add(octets, Ordering::Relaxed);
        }
        fits
    }

    /// A message counted with [`Self::spend`] was not written.
    pub fn unspend(&self, octets: u64) {
        self.spent.fetch_sub(signed(octets), Ordering::Relaxed);
    }

    fn left(&self, large: bool, promised: i64) -> i64 {
        let beside = if large {
            self.kept.load(Ordering::Relaxed).saturating_neg()
        } else {
            self.pages.load(Ordering::Relaxed)
        };
        self.disk
            .load(Ordering::Relaxed)
            .saturating_add(beside)
            .saturating_sub(promised)
            .saturating_sub(self.spent.load(Ordering::Relaxed))
    }
}

impl Reservation {
    /// An empty reservation.
    #[must_use]
    pub fn new(room: Arc<Room>) -> Self {
        Self { room, promised: 0, written: 0 }
    }

    /// Makes sure that room for `octets` more is promised, in larger steps once writing has begun.
    /// `false`: there is no room, and nothing more was promised.
    #[must_use]
    pub fn reserve(&mut self, octets: u64) -> bool {
        let wanted = signed(octets).saturating_sub(self.promised);
        if wanted <= 0 {
            return true;
        }
        let wanted = wanted.max(if self.written > 0 { STEP_BYTES } else { 0 });
        let room = &self.room;
        let more =
            |promised: i64| (wanted <= room.left(true, promised)).then(|| promised.saturating_add(wanted));
        let promised = room.promised.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if promised {
            self.promised = self.promised.saturating_add(wanted);
        }
        promised
    }

    /// Records octets that were written.
    pub fn wrote(&mut self, octets: u64) {
        let octets = signed(octets);
        let kept = octets.min(self.promised);
        self.promised = self.promised.saturating_sub(kept);
        self.written = self.written.saturating_add(octets);
        self.room.spent.fetch_add(octets, Ordering::Relaxed);
        self.room.promised.fetch_sub(kept, Ordering::Relaxed);
    }

    /// What was written stays on the disk.
    pub fn keep(mut self) {
        self.written = 0;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.room.promised.fetch_sub(self.promised, Ordering::Relaxed);
        self.room.spent.fetch_sub(self.written, Ordering::Relaxed);
    }
}

fn signed(octets: u64) -> i64 {
    i64::try_from(octets).unwrap_or(i64::MAX / 2)
}

/// Step in which room is promised to content that exceeds its declared size.
const STEP_BYTES: i64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(disk: i64, pages: i64, kept: i64) -> Measure {
        Measure { disk, pages, kept, small_bytes_max: 10 }
    }

    #[test]
    fn mail_is_put_off_before_it_hurts() {
        let room = Room::default();
        let check = |fullness, left, declared, code: u16| {
            room.set(fullness, left, 0);
            assert_eq!(room.takes(declared).map_or_else(|reply| reply.code, |()| 250), code, "{left:?}");
            assert_eq!(room.fullness(), fullness);
        };
        check(Fullness::Free, measure(100, 0, 0), 100, 250);
        check(Fullness::Free, measure(100, 0, 0), 101, 452);
        check(Fullness::Slow, measure(100, 0, 0), 0, 250);
        check(Fullness::QueueFull, measure(100, 0, 0), 0, 452);
        check(Fullness::DiskFull, measure(0, 0, 0), 0, 452);
        // Only small messages use free pages, and the space kept for them.
        check(Fullness::Free, measure(-5, 20, 0), 10, 250);
        check(Fullness::Free, measure(-5, 20, 0), 11, 452);
        check(Fullness::Free, measure(100, 0, 90), 10, 250);
        check(Fullness::Free, measure(100, 0, 90), 11, 452);
    }

    #[test]
    fn what_is_promised_or_written_is_not_given_twice() {
        let room = Arc::new(Room::default());
        room.set(Fullness::Free, measure(1_000, 0, 100), 0);
        let mut first = Reservation::new(Arc::clone(&room));
        assert!(first.reserve(600));
        let mut second = Reservation::new(Arc::clone(&room));
        assert!(!second.reserve(301) && second.reserve(300));
        assert_eq!(room.takes(11).map_err(|reply| reply.code), Err(452));
        assert!(room.spend(100), "what is kept is for small ones");
        assert!(!room.spend(1));
        room.unspend(100);

        // Written, measured, and given back: no octet is counted twice or lost.
        first.wrote(600);
        let seen = room.spent();
        assert_eq!(seen, 600);
        room.set(Fullness::Free, measure(400, 0, 100), seen);
        assert_eq!(room.spent(), 0);
        assert!(!room.spend(101) && room.spend(100));
        drop(first);
        assert!(room.spend(600) && !room.spend(1));
        drop(second);
        assert!(room.spend(300) && !room.spend(1));
    }

    #[test]
    fn content_that_grows_takes_steps_and_what_is_kept_stays_counted() {
        let room = Arc::new(Room::default());
        room.set(Fullness::Free, measure(3 * STEP_BYTES, 0, 0), 0);
        let mut one = Reservation::new(Arc::clone(&room));
        assert!(one.reserve(1));
        one.wrote(1);
        assert!(one.reserve(1));
        assert_eq!(room.promised.load(Ordering::Relaxed), STEP_BYTES);
        one.wrote(1);
        one.keep();
        assert_eq!((room.promised.load(Ordering::Relaxed), room.spent()), (0, 2));
    }
}
