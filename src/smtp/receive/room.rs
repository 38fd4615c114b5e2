use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::mail::{Enhanced, Reply};

/// Whether there is room for more mail: told from outside, asked at each MAIL FROM, so that service ends
/// before the disk is full, and resumes by itself.
#[derive(Debug)]
pub struct Room {
    state: AtomicU8,
    /// Octets that may come before the reserve is touched.
    octets: AtomicU64,
}

/// What there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fullness {
    /// Enough.
    Free,
    /// Enough, but the queue is long: senders are slowed down.
    Slow,
    /// The queue is as long as it may be.
    QueueFull,
    /// The disk has its reserve left and no more.
    DiskFull,
}

impl Default for Room {
    fn default() -> Self {
        Self { state: AtomicU8::new(0), octets: AtomicU64::new(u64::MAX) }
    }
}

impl Room {
    /// Says what there is, and how many octets may come.
    pub fn set(&self, fullness: Fullness, octets: u64) {
        let number = match fullness {
            Fullness::Free => 0,
            Fullness::Slow => 1,
            Fullness::QueueFull => 2,
            Fullness::DiskFull => 3,
        };
        self.octets.store(octets, Ordering::Relaxed);
        self.state.store(number, Ordering::Relaxed);
    }

    /// What there is.
    #[must_use]
    pub fn fullness(&self) -> Fullness {
        match self.state.load(Ordering::Relaxed) {
            0 => Fullness::Free,
            1 => Fullness::Slow,
            2 => Fullness::QueueFull,
            _ => Fullness::DiskFull,
        }
    }

    /// Whether a message of this declared size may come.
    ///
    /// # Errors
    /// What the client is told (RFC 5321 §4.2.3, RFC 1870 §6.1).
    pub(super) fn takes(&self, declared: u64) -> Result<(), Reply> {
        let text = match self.fullness() {
            Fullness::QueueFull => "too much mail is queued here; try again later",
            Fullness::DiskFull => "insufficient storage; try again later",
            Fullness::Free | Fullness::Slow if declared > self.octets.load(Ordering::Relaxed) => {
                "insufficient storage for a message of this size; try again later"
            }
            Fullness::Free | Fullness::Slow => return Ok(()),
        };
        Err(Reply::new(452, Enhanced(4, 3, 1), text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_is_put_off_before_it_hurts() {
        let room = Room::default();
        let check = |fullness, octets, declared, code: u16| {
            room.set(fullness, octets);
            assert_eq!(room.takes(declared).map_or_else(|reply| reply.code, |()| 250), code);
            assert_eq!(room.fullness(), fullness);
        };
        check(Fullness::Free, 100, 100, 250);
        check(Fullness::Free, 100, 101, 452);
        check(Fullness::Slow, 100, 0, 250);
        check(Fullness::QueueFull, 100, 0, 452);
        check(Fullness::DiskFull, 0, 0, 452);
    }
}
