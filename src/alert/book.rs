//! The state machine of alerts: which episodes there are, and what is to be mailed and posted about them. Time is an argument.
//! It sends nothing.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::episode::{AlertMail, AlertOccasion, Episode, Incident, MailedEpisode, Mending};
use super::fact::AlertMailEnd;
use super::kind::AlertKind;
use super::outbox::AlertOutbox;
use super::passage::AlertPassage;
use crate::mail::{QueueId, UnixMillis};

/// What has been seen.
#[derive(Debug, Clone)]
pub enum AlertInput {
    /// Something is wrong now.
    Failing(Incident),
    /// A part of what lasts is over.
    Cleared {
        /// The kind of the alarm.
        kind: AlertKind,
        /// What tells it from others of its kind.
        about: String,
        /// Which part of it.
        group: String,
    },
    /// Mail was delivered by an outbound connector.
    Delivered {
        /// The connector.
        connector: String,
        /// The domain, or empty: the hosts of the connector.
        group: String,
        /// Whether it was over TLS.
        sealed: bool,
    },
    /// Mail was accepted by an inbound connector.
    Accepted {
        /// The connector.
        connector: String,
    },
    /// These connectors are there, and may fail.
    Connectors(BTreeSet<String>),
}

/// All episodes, and what is waiting to be sent of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EpisodeBook {
    next: u64,
    open: Vec<Episode>,
    ended: VecDeque<Episode>,
    /// When each thing became an alert, so that it is not again within the hour.
    told: Vec<(AlertKind, String, UnixMillis)>,
    outbox: AlertOutbox,
    /// When mails about one episode were made.
    singles: VecDeque<UnixMillis>,
    /// What the next digest has.
    gathered: Vec<MailedEpisode>,
    /// What did not fit into it.
    gathered_more: u64,
    digest_at: Option<UnixMillis>,
    last_digest: Option<UnixMillis>,
    /// Episodes and mails that there was no room for.
    pub dropped: u64,
    /// What is to be posted; it does not outlive the process.
    #[serde(skip)]
    posts: VecDeque<MailedEpisode>,
    #[serde(skip)]
    without: BTreeSet<AlertKind>,
    #[serde(skip)]
    digest: Duration,
    #[serde(skip)]
    changed: bool,
}

impl EpisodeBook {
    /// Sets which kinds nobody hears of, and the time between digests.
    pub fn rule(&mut self, without: BTreeSet<AlertKind>, digest: Duration) {
        self.without = without;
        self.digest = digest;
    }

    /// After a start: what was reported as an alarm is in doubt until it is seen again.
    pub fn resume(&mut self, now: UnixMillis) {
        let lasting = |one: &&mut Episode| !one.once && !fails_by_attempt(one);
        self.open.iter_mut().filter(lasting).for_each(|one| one.doubtful = Some(now));
    }

    /// Takes in what has been seen.
    pub fn take(&mut self, input: AlertInput, now: UnixMillis) {
        self.set_back(now);
        match input {
            AlertInput::Failing(incident) => self.fail(incident, now),
            AlertInput::Cleared { kind, about, group } => {
                let is_it = |one: &Episode| one.kind == kind && one.about == about;
                let known = self.open.iter_mut().find(|one| is_it(one));
                self.changed |= known.is_some_and(|one| one.groups.remove(&group));
                self.end_where(|one| is_it(one) && one.groups.is_empty(), Mending::Recovered, now);
            }
            AlertInput::Delivered { connector, group, sealed } => {
                let is_it = |one: &Episode| {
                    one.kind.stops_outbound()
                        && one.about == connector
                        && (sealed || one.kind != AlertKind::Fallback)
                };
                for one in self.open.iter_mut().filter(|one| is_it(one)) {
                    one.successes = one.successes.saturating_add(1);
                    one.groups.remove(&group);
                }
                self.end_where(|one| is_it(one) && one.groups.is_empty(), Mending::Recovered, now);
            }
            AlertInput::Accepted { connector } => {
                let is_it = |one: &Episode| one.kind == AlertKind::InboundTls && one.about == connector;
                self.end_where(is_it, Mending::Recovered, now);
            }
            AlertInput::Connectors(known) => {
                let is_gone = |one: &Episode| {
                    let fails = one.kind.stops_outbound() || one.kind == AlertKind::InboundTls;
                    fails && !known.contains(&one.about)
                };
                self.end_where(is_gone, Mending::Gone, now);
            }
        }
        self.tick(now);
    }

    /// Does what is due by now.
    pub fn tick(&mut self, now: UnixMillis) {
        self.set_back(now);
        self.told.retain(|(_, _, at)| now.since(*at) < HOUR);
        let is_over = |one: &Episode| one.doubtful.is_some_and(|since| now.since(since) >= DOUBT);
        self.end_where(is_over, Mending::Unseen, now);
        // Nothing was tried since the last report, so nobody knows.
        let is_quiet =
            |one: &Episode| one.is_to_remind(now) && one.last <= one.reminded && fails_by_attempt(one);
        self.end_where(is_quiet, Mending::Quiet, now);
        // One failure, and no other for a day: no retry comes later than that.
        let is_forgotten =
            |one: &Episode| one.told.is_none() && one.is_single() && now.since(one.last) >= DAY;
        self.end_where(is_forgotten, Mending::Quiet, now);
        self.changed |= self.outbox.age(now);
        let mut due = Vec::new();
        for one in &mut self.open {
            if one.told.is_none() && one.due <= now && !one.is_single() {
                (one.told, one.reminded) = (Some(now), now);
                due.push(MailedEpisode { occasion: AlertOccasion::Began, episode: one.clone() });
            } else if one.is_to_remind(now) {
                one.reminded = now;
                due.push(MailedEpisode { occasion: AlertOccasion::Ongoing, episode: one.clone() });
            }
        }
        for item in due {
            if item.occasion == AlertOccasion::Began && self.told.len() < OPEN_MAX {
                self.told.push((item.episode.kind, item.episode.about.clone(), now));
            }
            self.tell(item, now);
        }
        if self.digest_at.is_some_and(|at| at <= now) {
            self.make_digest(now);
        }
        let is_once = |one: &Episode| one.once && one.told.is_some();
        self.end_where(is_once, Mending::Once, now);
    }

    /// When [`Self::tick`] has something to do next; `None`: not before something is seen.
    #[must_use]
    pub fn due_at(&self) -> Option<UnixMillis> {
        let of = |one: &Episode| {
            let next = match one.told {
                None if one.is_single() => one.last.plus(DAY),
                None => one.due,
                Some(_) => one.reminded.plus(DAY),
            };
            one.doubtful.map_or(next, |since| next.min(since.plus(DOUBT)))
        };
        self.open.iter().map(of).chain(self.digest_at).chain(self.outbox.due_at()).min()
    }

    /// The connectors of which deliveries, or accepted messages, end something.
    #[must_use]
    pub fn failing(&self) -> BTreeSet<String> {
        self.open.iter().filter(|one| fails_by_attempt(one)).map(|one| one.about.clone()).collect()
    }

    /// The outbound connectors by which no mail leaves, whether that is an alert yet or not.
    #[must_use]
    pub fn stopped(&self) -> BTreeSet<String> {
        self.open.iter().filter(|one| one.kind.stops_outbound()).map(|one| one.about.clone()).collect()
    }

    /// The episodes that go on.
    pub fn open(&self) -> impl Iterator<Item = &Episode> {
        self.open.iter()
    }

    /// The episodes that have ended, the latest first.
    pub fn ended(&self) -> impl Iterator<Item = &Episode> {
        self.ended.iter().rev()
    }

    /// The oldest mail that is to be queued.
    #[must_use]
    pub fn next_mail(&self) -> Option<&AlertMail> {
        self.outbox.next()
    }

    /// A mail that somebody has not got yet.
    #[must_use]
    pub fn mail_of(&self, number: u64) -> Option<&AlertMail> {
        self.outbox.mail(number)
    }

    /// The mail of this number is queued for an address.
    pub fn queued(&mut self, number: u64, passage: AlertPassage) {
        self.outbox.begin(number, passage);
        self.changed = true;
    }

    /// How many mails are to be queued.
    #[must_use]
    pub fn mails(&self) -> usize {
        self.outbox.len()
    }

    /// The mail of this number is queued for all who can get it.
    pub fn mailed(&mut self, number: u64) {
        self.outbox.mailed(number);
        self.changed = true;
    }

    /// Takes in what happened to a message. Returns whether it is one of these mails.
    pub fn hear(&mut self, id: QueueId, end: &AlertMailEnd, now: UnixMillis) -> bool {
        let Some(episodes) = self.outbox.hear(id, end, now) else { return false };
        self.changed = true;
        episodes.into_iter().for_each(|number| self.reported(number, now));
        true
    }

    /// Somebody has heard of an episode.
    pub fn reported(&mut self, number: u64, now: UnixMillis) {
        let is_it = |one: &&mut Episode| one.number == number && one.reported.is_none();
        for one in self.open.iter_mut().chain(&mut self.ended).filter(is_it) {
            one.reported = Some(now);
            self.changed = true;
        }
    }

    /// The messages for which another way is wanted, each with the number of its mail.
    #[must_use]
    pub fn restless(&self) -> Vec<(u64, AlertPassage)> {
        self.outbox.restless(&self.stopped())
    }

    /// A mail goes by another connector, as another message.
    pub fn handed_on(&mut self, old: QueueId, new: (QueueId, &str), now: UnixMillis) {
        self.outbox.hand_on(old, new, now);
        self.changed = true;
    }

    /// There is no other way for a message that has failed.
    pub fn given_up(&mut self, id: QueueId) {
        self.outbox.give_up(id);
        self.changed = true;
    }

    /// Takes what is to be posted.
    pub fn posts(&mut self) -> Vec<MailedEpisode> {
        self.posts.drain(..).collect()
    }

    /// Whether there is something to write down since the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// If the clock was set back, nothing has happened in the future, and nothing waits longer than it would have.
    fn set_back(&mut self, now: UnixMillis) {
        for one in &mut self.open {
            one.due = one.due.min(now.plus(one.due.since(one.since)));
            for time in [&mut one.since, &mut one.last, &mut one.reminded] {
                *time = now.min(*time);
            }
            one.told = one.told.map(|at| at.min(now));
            one.reported = one.reported.map(|at| at.min(now));
            one.doubtful = one.doubtful.map(|at| at.min(now));
        }
        self.told.iter_mut().for_each(|(_, _, at)| *at = now.min(*at));
        self.singles.iter_mut().for_each(|at| *at = now.min(*at));
        self.last_digest = self.last_digest.map(|at| at.min(now));
        let has_news = self.gathered.iter().any(|item| item.occasion == AlertOccasion::Began);
        let latest = now.plus(self.digest_wait(has_news).max(GATHERING));
        self.digest_at = self.digest_at.map(|at| at.min(latest));
    }

    fn fail(&mut self, incident: Incident, now: UnixMillis) {
        let again = self.may_tell_at(&incident, now);
        let known = self.open.iter_mut().find(|one| one.kind == incident.kind && one.about == incident.about);
        let Some(known) = known else { return self.begin(incident, again, now) };
        if known.told.is_none() && known.patient && !incident.is_patient() {
            // An alert failed where other mail may fail for a while.
            (known.patient, known.due) = (false, known.due.min(again));
            self.changed = true;
        }
        known.last = now;
        // A message may have many recipients, and one message may be refused for its own sake.
        let is_same = incident.message.is_some() && known.message == incident.message;
        known.failures = known.failures.saturating_add(u64::from(!is_same));
        known.message = incident.message;
        if known.doubtful.take().is_some() {
            // What else was wrong before the start is seen again, or over.
            known.groups.clear();
            self.changed = true;
        }
        if known.groups.len() < GROUPS_MAX {
            self.changed |= known.groups.insert(incident.group);
        }
        let escalates = known.kind == AlertKind::Expiry && known.words != incident.words;
        if !fails_by_attempt(known) {
            known.words = incident.words;
        }
        if let (true, Some(told)) = (escalates, known.told) {
            (known.told, known.due) = (None, told.plus(HOUR).max(now));
            self.changed = true;
        }
    }

    /// When something may be an alert again.
    fn may_tell_at(&self, incident: &Incident, now: UnixMillis) -> UnixMillis {
        let is_it = |(kind, about, _): &&(AlertKind, String, UnixMillis)| {
            *kind == incident.kind && *about == incident.about
        };
        self.told.iter().find(is_it).map_or(now, |(_, _, at)| at.plus(HOUR))
    }

    fn begin(&mut self, incident: Incident, again: UnixMillis, now: UnixMillis) {
        if self.open.len() >= OPEN_MAX {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.next = self.next.saturating_add(1);
        self.changed = true;
        let patient = incident.is_patient();
        self.open.push(Episode {
            number: self.next,
            kind: incident.kind,
            about: incident.about,
            connector: incident.connector,
            partner: incident.partner,
            contact: incident.contact,
            words: incident.words,
            hint: incident.hint,
            since: now,
            last: now,
            failures: 1,
            groups: BTreeSet::from([incident.group]),
            successes: 0,
            due: now.plus(incident.patience).max(again),
            told: None,
            reported: None,
            reminded: now,
            patient,
            message: incident.message,
            once: incident.once,
            doubtful: None,
            ended: None,
        });
    }

    fn end_where(&mut self, is_it: impl Fn(&Episode) -> bool, mending: Mending, now: UnixMillis) {
        let (over, open) = std::mem::take(&mut self.open).into_iter().partition(|one| is_it(one));
        self.open = open;
        let over: Vec<Episode> = over;
        for mut episode in over {
            self.changed = true;
            episode.ended = Some((now, mending));
            // Nobody heard of it, so nobody waits for its end.
            if episode.told.is_none() {
                continue;
            }
            if mending != Mending::Once {
                self.tell(MailedEpisode { occasion: AlertOccasion::Ended, episode: episode.clone() }, now);
            }
            if self.ended.len() >= ENDED_MAX {
                self.ended.pop_front();
            }
            self.ended.push_back(episode);
        }
    }

    fn tell(&mut self, item: MailedEpisode, now: UnixMillis) {
        self.changed = true;
        if self.without.contains(&item.episode.kind) {
            return;
        }
        if self.posts.len() < POSTS_MAX {
            self.posts.push_back(item.clone());
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
        let window = self.digest;
        self.singles.retain(|at| now.since(*at) < window);
        if self.digest_at.is_none() && self.singles.len() < SINGLES_MAX {
            self.singles.push_back(now);
            return self.mail(vec![item], 0);
        }
        let wait = self.digest_wait(item.occasion == AlertOccasion::Began);
        if self.gathered.len() < DIGEST_ITEMS_MAX {
            self.gathered.push(item);
        } else {
            self.gathered_more = self.gathered_more.saturating_add(1);
        }
        let earliest = self.last_digest.map_or(now, |last| last.plus(wait));
        let at = now.plus(GATHERING).max(earliest);
        self.digest_at = Some(self.digest_at.map_or(at, |known| known.min(at)));
    }

    /// The least time between two digests. What has begun waits for no more than a minute, whatever else was reported.
    fn digest_wait(&self, has_news: bool) -> Duration {
        if has_news { self.digest.min(NEWS_WAIT_MAX) } else { self.digest }
    }

    fn make_digest(&mut self, now: UnixMillis) {
        (self.digest_at, self.last_digest) = (None, Some(now));
        let items = std::mem::take(&mut self.gathered);
        let more = std::mem::take(&mut self.gathered_more);
        self.mail(items, more);
    }

    fn mail(&mut self, items: Vec<MailedEpisode>, more: u64) {
        self.changed = true;
        self.next = self.next.saturating_add(1);
        let lost = self.outbox.add(AlertMail { number: self.next, items, more, passages: Vec::new() });
        self.dropped = self.dropped.saturating_add(u64::from(lost));
    }
}

impl Incident {
    /// Whether one failure alone is no alert.
    fn is_patient(&self) -> bool {
        !self.patience.is_zero() || self.message.is_some()
    }
}

/// Whether only an attempt can tell that it goes on.
fn fails_by_attempt(episode: &Episode) -> bool {
    episode.kind.stops_outbound() || episode.kind == AlertKind::InboundTls
}

impl Episode {
    /// Whether it failed once where that is no alert.
    fn is_single(&self) -> bool {
        self.patient && self.failures < 2
    }

    fn is_to_remind(&self, now: UnixMillis) -> bool {
        self.told.is_some() && now.since(self.reminded) >= DAY
    }
}

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long after a start an alarm may take to be raised again.
const DOUBT: Duration = Duration::from_secs(10 * 60);
/// How long a digest gathers what happens together.
const GATHERING: Duration = Duration::from_secs(5);
/// How long a digest with something new may wait after the one before.
const NEWS_WAIT_MAX: Duration = Duration::from_secs(60);
/// Mails about one episode each, within the time of `digest`; the rest comes in a digest.
const SINGLES_MAX: usize = 5;
/// Episodes at the same time.
const OPEN_MAX: usize = 1_000;
/// Ended episodes that are kept.
const ENDED_MAX: usize = 100;
/// Domains of one episode that are told apart.
const GROUPS_MAX: usize = 50;
/// Episodes of one digest.
const DIGEST_ITEMS_MAX: usize = 200;
/// Notices that wait to be taken.
const POSTS_MAX: usize = 2_000;

#[cfg(test)]
mod tests;
