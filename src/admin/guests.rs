//! Who has a connection to the admin listener, and who gives way when all places are taken. It closes nothing.

use std::collections::BTreeMap;

/// The connections that are open, each with what ends it.
#[derive(Debug)]
pub(super) struct GuestBook<T> {
    next: u64,
    guests: BTreeMap<u64, (GuestStage, T)>,
}

/// How far a request has come; whoever is further gives way later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum GuestStage {
    /// Its header section is not here yet.
    Silent,
    /// Its body is not.
    Sending,
    /// It is whole, or answered already: nobody takes its place.
    Heard,
}

impl<T> GuestBook<T> {
    pub(super) const fn new() -> Self {
        Self { next: 0, guests: BTreeMap::new() }
    }

    /// Writes down a new connection, by the number that is returned.
    pub(super) fn enter(&mut self, end: T) -> u64 {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        self.guests.insert(number, (GuestStage::Silent, end));
        number
    }

    /// Its request has come so far, at least.
    pub(super) fn reach(&mut self, number: u64, stage: GuestStage) {
        if let Some((reached, _)) = self.guests.get_mut(&number) {
            *reached = stage.max(*reached);
        }
    }

    pub(super) fn leave(&mut self, number: u64) {
        self.guests.remove(&number);
    }

    /// Crosses out who gives way: of those whose request has come the least far, the one that has had the longest time.
    pub(super) fn displace(&mut self) -> Option<T> {
        let waiting = self.guests.iter().filter(|(_, (stage, _))| *stage < GuestStage::Heard);
        let (number, _) = waiting.min_by_key(|(number, (stage, _))| (*stage, **number))?;
        let number = *number;
        self.guests.remove(&number).map(|(_, end)| end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_said_the_least_for_longest_gives_way_and_nobody_who_is_answered() {
        let mut book = GuestBook::new();
        let [heard, sending, old, new] = ["heard", "sending", "old", "new"].map(|name| book.enter(name));
        book.reach(heard, GuestStage::Heard);
        book.reach(sending, GuestStage::Sending);
        // What ends later does not lead back.
        book.reach(heard, GuestStage::Sending);
        assert_eq!(book.displace(), Some("old"));
        book.reach(old, GuestStage::Heard);
        assert_eq!([book.displace(), book.displace(), book.displace()], [Some("new"), Some("sending"), None]);
        book.leave(new);
        book.leave(heard);
        assert!(book.guests.is_empty());
    }
}
