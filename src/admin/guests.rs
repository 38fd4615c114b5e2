//! Who has a connection to the admin listener, and who gives way when all places are taken. It closes nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The connections that are open, each with what ends it.
#[derive(Debug)]
pub(super) struct GuestBook<T> {
    next: u64,
    guests: BTreeMap<u64, BookedGuest<T>>,
}

/// A connection: how far it has come, since when, and what ends it.
#[derive(Debug)]
struct BookedGuest<T> {
    stage: GuestStage,
    since: Instant,
    end: T,
}

/// How far a request has come; whoever is further gives way later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum GuestStage {
    /// Its header section is not here yet.
    Silent,
    /// Its body is not.
    Sending,
    /// It is carried out: nobody takes its place.
    Heard,
    /// Its answer is there; the client gives way if it has not read it in time.
    Answered,
}

impl<T> GuestBook<T> {
    pub(super) const fn new() -> Self {
        Self { next: 0, guests: BTreeMap::new() }
    }

    /// Writes down a new connection, by the number that is returned.
    pub(super) fn enter(&mut self, now: Instant, end: T) -> u64 {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        self.guests.insert(number, BookedGuest { stage: GuestStage::Silent, since: now, end });
        number
    }

    /// Its request has come so far, at least.
    pub(super) fn reach(&mut self, number: u64, now: Instant, stage: GuestStage) {
        if let Some(guest) = self.guests.get_mut(&number).filter(|guest| guest.stage < stage) {
            (guest.stage, guest.since) = (stage, now);
        }
    }

    pub(super) fn leave(&mut self, number: u64) {
        self.guests.remove(&number);
    }

    /// Crosses out who gives way: of those whose request has come the least far, the one that has had the longest time; and if all
    /// have been heard, of those that do not read their answer.
    pub(super) fn displace(&mut self, now: Instant) -> Option<T> {
        let gives_way = |guest: &BookedGuest<T>| match guest.stage {
            GuestStage::Silent | GuestStage::Sending => true,
            GuestStage::Heard => false,
            GuestStage::Answered => now.saturating_duration_since(guest.since) >= READING_TIME,
        };
        let waiting = self.guests.iter().filter(|(_, guest)| gives_way(guest));
        let (number, _) = waiting.min_by_key(|(number, guest)| (guest.stage, **number))?;
        let number = *number;
        self.guests.remove(&number).map(|guest| guest.end)
    }
}

/// How long a client may read an answer while others wait for its place.
const READING_TIME: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_said_the_least_for_longest_gives_way_and_nobody_who_is_answered() {
        let (mut book, now) = (GuestBook::new(), Instant::now());
        let [heard, sending, old, new] = ["heard", "sending", "old", "new"].map(|name| book.enter(now, name));
        book.reach(heard, now, GuestStage::Heard);
        book.reach(sending, now, GuestStage::Sending);
        // What ends later does not lead back.
        book.reach(heard, now, GuestStage::Sending);
        assert_eq!(book.displace(now), Some("old"));
        book.reach(old, now, GuestStage::Heard);
        let later = now + READING_TIME * 10;
        assert_eq!([(); 3].map(|()| book.displace(later)), [Some("new"), Some("sending"), None]);
        book.reach(heard, later, GuestStage::Answered);
        assert_eq!(book.displace(later), None, "it has time to read");
        assert_eq!(book.displace(later + READING_TIME), Some("heard"));
        book.leave(new);
        assert!(book.guests.is_empty());
    }
}
