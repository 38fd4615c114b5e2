//! Mails from the moment they are made until everybody has got them: which are to be queued, and which are on their way. It
//! queues nothing.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::episode::AlertMail;
use super::fact::AlertMailEnd;
use super::passage::{AlertPassage, PassageState};
use crate::mail::{QueueId, UnixMillis};

/// The mails that are not done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct AlertOutbox {
    /// To be queued for somebody, the oldest first.
    fresh: VecDeque<AlertMail>,
    /// Queued for everybody; somebody has not got it yet.
    sent: VecDeque<AlertMail>,
}

impl AlertOutbox {
    /// Adds a mail. Returns whether the oldest had to go.
    pub(super) fn add(&mut self, mail: AlertMail) -> bool {
        let is_full = self.fresh.len() >= MAILS_MAX;
        if is_full {
            self.fresh.pop_front();
        }
        self.fresh.push_back(mail);
        is_full
    }

    /// The oldest mail that is to be queued.
    pub(super) fn next(&self) -> Option<&AlertMail> {
        self.fresh.front()
    }

    /// How many mails are to be queued.
    pub(super) fn len(&self) -> usize {
        self.fresh.len()
    }

    /// A mail that is not done.
    pub(super) fn mail(&self, number: u64) -> Option<&AlertMail> {
        self.fresh.iter().chain(&self.sent).find(|mail| mail.number == number)
    }

    /// The mail is queued for an address.
    pub(super) fn begin(&mut self, number: u64, passage: AlertPassage) {
        if let Some(mail) = self.fresh.iter_mut().find(|mail| mail.number == number) {
            mail.passages.push(passage);
        }
    }

    /// The mail is queued for all who can get it.
    pub(super) fn mailed(&mut self, number: u64) {
        let Some(place) = self.fresh.iter().position(|mail| mail.number == number) else { return };
        let mail = self.fresh.remove(place).filter(|mail| !mail.is_over());
        if self.sent.len() >= MAILS_MAX {
            // It is still queued; only nobody looks after its way.
            self.sent.pop_front();
        }
        self.sent.extend(mail);
    }

    /// Takes in what happened to a message. Returns the mail it is of; if somebody has got it just now, with the numbers of its
    /// episodes.
    pub(super) fn hear(&mut self, id: QueueId, end: &AlertMailEnd, now: UnixMillis) -> Option<Vec<u64>> {
        let mails = self.fresh.iter_mut().chain(&mut self.sent);
        let mut found =
            mails.filter_map(|mail| Some((mail.passages.iter().position(|one| one.id == id)?, mail)));
        let (place, mail) = found.next()?;
        let passage = mail.passages.get_mut(place)?;
        passage.hear(end, now);
        let has_arrived = passage.state == PassageState::Arrived;
        let episodes = mail.items.iter().filter(|_| has_arrived).map(|item| item.episode.number).collect();
        self.tidy();
        Some(episodes)
    }

    /// Marks messages to which nothing happens.
    pub(super) fn age(&mut self, now: UnixMillis) -> bool {
        let mut changed = false;
        for passage in self.passages_mut() {
            // If the clock was set back, nothing has happened in the future.
            passage.since = passage.since.min(now);
            let before = passage.state;
            passage.age(now);
            changed |= passage.state != before;
        }
        changed
    }

    /// When a message has hung for too long, at the earliest.
    pub(super) fn due_at(&self) -> Option<UnixMillis> {
        self.passages().filter_map(|(_, passage)| passage.hangs_at()).min()
    }

    /// The messages for which another way is wanted, each with the number of its mail, given the connectors that fail.
    pub(super) fn restless(&self, stopped: &BTreeSet<String>) -> Vec<(u64, AlertPassage)> {
        let restless = self.passages().filter(|(_, passage)| passage.is_restless(stopped));
        restless.map(|(number, passage)| (number, passage.clone())).collect()
    }

    /// The mail goes by another connector, as another message.
    pub(super) fn hand_on(&mut self, old: QueueId, new: (QueueId, &str), now: UnixMillis) {
        self.passages_mut().filter(|one| one.id == old).for_each(|one| one.go_by(new, now));
    }

    /// There is no other way for a message that has failed.
    pub(super) fn give_up(&mut self, id: QueueId) {
        let failed = |one: &&mut AlertPassage| one.id == id && one.state == PassageState::Failed;
        self.passages_mut().filter(failed).for_each(|one| one.state = PassageState::GivenUp);
        self.tidy();
    }

    fn tidy(&mut self) {
        self.sent.retain(|mail| !mail.is_over());
    }

    fn passages(&self) -> impl Iterator<Item = (u64, &AlertPassage)> {
        let mails = self.fresh.iter().chain(&self.sent);
        mails.flat_map(|mail| mail.passages.iter().map(|passage| (mail.number, passage)))
    }

    fn passages_mut(&mut self) -> impl Iterator<Item = &mut AlertPassage> {
        self.fresh.iter_mut().chain(&mut self.sent).flat_map(|mail| &mut mail.passages)
    }
}

/// Mails that wait to be queued, as while the disk is full, and mails that are looked after on their way.
const MAILS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    fn at(seconds: u64) -> UnixMillis {
        NOW.plus(std::time::Duration::from_secs(seconds))
    }

    fn id(number: i64) -> QueueId {
        QueueId::from_number(number)
    }

    /// An outbox with a mail that goes to two addresses.
    fn outbox() -> AlertOutbox {
        let mut outbox = AlertOutbox::default();
        outbox.add(AlertMail { number: 7, ..AlertMail::test(NOW) });
        outbox.begin(7, AlertPassage::begin("a@a.test", (id(1), "via"), NOW));
        outbox.begin(7, AlertPassage::begin("b@b.test", (id(2), "rest"), NOW));
        outbox.mailed(7);
        outbox
    }

    #[track_caller]
    fn restless(outbox: &AlertOutbox, stopped: &[&str], expected: &[&str]) {
        let stopped = stopped.iter().map(|name| (*name).to_owned()).collect();
        let found = outbox.restless(&stopped);
        let shown: Vec<_> = found
            .iter()
            .map(|(number, one)| {
                let tried: Vec<&str> = one.tried.iter().map(String::as_str).collect();
                format!("{number} {} by {} after {}", one.to, one.connector, tried.join("+"))
            })
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn whatever_does_not_arrive_wants_another_way() {
        let mut outbox = outbox();
        restless(&outbox, &[], &[]);
        restless(&outbox, &["via"], &["7 a@a.test by via after "]);
        let why = || "no".to_owned();
        assert_eq!(outbox.hear(id(1), &AlertMailEnd::Deferred(why()), at(1)), Some(Vec::new()));
        restless(&outbox, &[], &["7 a@a.test by via after via"]);
        outbox.hand_on(id(1), (id(3), "rest"), at(2));
        restless(&outbox, &[], &[]);
        assert_eq!(outbox.hear(id(1), &AlertMailEnd::Deferred(why()), at(3)), None, "it is withdrawn");
        // Nothing happens to either.
        assert_eq!(outbox.due_at(), Some(at(30)));
        assert!(!outbox.age(at(29)) && outbox.age(at(30)));
        restless(&outbox, &[], &["7 b@b.test by rest after rest"]);
        assert!(outbox.age(at(32)) && !outbox.age(at(33)));
        restless(&outbox, &[], &["7 a@a.test by rest after rest+via", "7 b@b.test by rest after rest"]);
        assert_eq!(outbox.due_at(), None);
        // One fails for good, the other arrives after all.
        assert!(outbox.hear(id(3), &AlertMailEnd::Failed(why()), at(40)).is_some());
        outbox.give_up(id(3));
        assert!(outbox.mail(7).is_some());
        assert_eq!(outbox.hear(id(2), &AlertMailEnd::Delivered(why()), at(41)), Some(vec![0]));
        assert_eq!(outbox, AlertOutbox::default());
    }

    #[test]
    fn a_connector_that_hands_mail_on_has_done_so() {
        let mut outbox = outbox();
        outbox.hear(id(2), &AlertMailEnd::HandedOn("portal".to_owned()), at(5));
        restless(&outbox, &["portal"], &["7 b@b.test by portal after rest"]);
    }
}
