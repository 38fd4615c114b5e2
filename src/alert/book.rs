//! The state machine of alerts: which episodes there are, and what is to be mailed and posted about them. Time is an argument.
//! It sends nothing.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::episode::{AlertMail, AlertOccasion, Episode, Incident, MailedEpisode, Mending};
use super::kind::AlertKind;
use crate::mail::UnixMillis;

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
    /// When each thing was reported first, so that it is not again within the hour.
    told: Vec<(AlertKind, String, UnixMillis)>,
    /// Mails that are to be sent, the oldest first.
    mails: VecDeque<AlertMail>,
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
        // One failure, and no other for all that time.
        let is_single =
            |one: &Episode| one.patient && one.told.is_none() && one.due <= now && one.failures < 2;
        self.end_where(is_single, Mending::Quiet, now);
        let mut due = Vec::new();
        for one in &mut self.open {
            if one.told.is_none() && one.due <= now {
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
            let next = if one.told.is_none() { one.due } else { one.reminded.plus(DAY) };
            one.doubtful.map_or(next, |since| next.min(since.plus(DOUBT)))
        };
        self.open.iter().map(of).chain(self.digest_at).min()
    }

    /// The connectors of which deliveries, or accepted messages, end something.
    #[must_use]
    pub fn failing(&self) -> BTreeSet<String> {
        self.open.iter().filter(|one| fails_by_attempt(one)).map(|one| one.about.clone()).collect()
    }

    /// The episodes that go on.
    pub fn open(&self) -> impl Iterator<Item = &Episode> {
        self.open.iter()
    }

    /// The episodes that have ended, the latest first.
    pub fn ended(&self) -> impl Iterator<Item = &Episode> {
        self.ended.iter().rev()
    }

    /// The oldest mail that is to be sent.
    #[must_use]
    pub fn next_mail(&self) -> Option<&AlertMail> {
        self.mails.front()
    }

    /// The mail of this number is queued for an address.
    pub fn queued(&mut self, number: u64, address: &str) {
        if let Some(mail) = self.mails.iter_mut().find(|mail| mail.number == number) {
            mail.queued.insert(address.to_owned());
            self.changed = true;
        }
    }

    /// How many mails are to be sent.
    #[must_use]
    pub fn mails(&self) -> usize {
        self.mails.len()
    }

    /// The mail of this number was sent, or nobody can get it.
    pub fn mailed(&mut self, number: u64) {
        self.mails.retain(|mail| mail.number != number);
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
            one.doubtful = one.doubtful.map(|at| at.min(now));
        }
        self.told.iter_mut().for_each(|(_, _, at)| *at = now.min(*at));
        self.singles.iter_mut().for_each(|at| *at = now.min(*at));
        self.last_digest = self.last_digest.map(|at| at.min(now));
        let latest = now.plus(self.digest.max(GATHERING));
        self.digest_at = self.digest_at.map(|at| at.min(latest));
    }

    fn fail(&mut self, incident: Incident, now: UnixMillis) {
        let known = self.open.iter_mut().find(|one| one.kind == incident.kind && one.about == incident.about);
        let Some(known) = known else { return self.begin(incident, now) };
        known.last = now;
        known.failures = known.failures.saturating_add(1);
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

    fn begin(&mut self, incident: Incident, now: UnixMillis) {
        if self.open.len() >= OPEN_MAX {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        let last =
            self.told.iter().find(|(kind, about, _)| *kind == incident.kind && *about == incident.about);
        let again = last.map_or(now, |(_, _, at)| at.plus(HOUR));
        self.next = self.next.saturating_add(1);
        self.changed = true;
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
            reminded: now,
            patient: !incident.patience.is_zero(),
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
        if self.gathered.len() < DIGEST_ITEMS_MAX {
            self.gathered.push(item);
        } else {
            self.gathered_more = self.gathered_more.saturating_add(1);
        }
        let earliest = self.last_digest.map_or(now, |last| last.plus(window));
        self.digest_at.get_or_insert(now.plus(GATHERING).max(earliest));
    }

    fn make_digest(&mut self, now: UnixMillis) {
        (self.digest_at, self.last_digest) = (None, Some(now));
        let items = std::mem::take(&mut self.gathered);
        let more = std::mem::take(&mut self.gathered_more);
        self.mail(items, more);
    }

    fn mail(&mut self, items: Vec<MailedEpisode>, more: u64) {
        self.changed = true;
        if self.mails.len() >= MAILS_MAX {
            self.mails.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
        self.next = self.next.saturating_add(1);
        self.mails.push_back(AlertMail { number: self.next, items, more, queued: BTreeSet::new() });
    }
}

/// Whether only an attempt can tell that it goes on.
fn fails_by_attempt(episode: &Episode) -> bool {
    episode.kind.stops_outbound() || episode.kind == AlertKind::InboundTls
}

impl Episode {
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
/// Mails that wait to be sent, as while the disk is full.
const MAILS_MAX: usize = 100;
/// Notices that wait to be taken.
const POSTS_MAX: usize = 2_000;

#[cfg(test)]
mod tests;
