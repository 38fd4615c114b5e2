//! One episode: what is wrong, since when, and whether it was mailed. It decides nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::kind::AlertKind;
use super::passage::AlertPassage;
use crate::mail::{QueueId, UnixMillis};

/// Something that goes wrong now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// What it is about.
    pub kind: AlertKind,
    /// With the kind, what tells episodes apart: a connector, or what an alarm is about.
    pub about: String,
    /// The connector, if it is about one.
    pub connector: Option<String>,
    /// The partner that the connector belongs to.
    pub partner: Option<String>,
    /// Whom to ask there.
    pub contact: Option<String>,
    /// What happened, in one sentence.
    pub words: String,
    /// What to do, if that is known better than the kind says.
    pub hint: Option<String>,
    /// The domain, or empty: the hosts of the connector.
    pub group: String,
    /// How long it must last before it is an alert; if that is no time at all, one failure is enough.
    pub patience: Duration,
    /// The message, if that may be the reason: then another one must fail too.
    pub message: Option<QueueId>,
    /// It happened, and nothing is reported later.
    pub once: bool,
}

/// An episode, from the first failure to the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    /// Its number; it never comes again.
    pub number: u64,
    /// What it is about.
    pub kind: AlertKind,
    /// With the kind, what tells episodes apart.
    pub about: String,
    /// The connector, if it is about one.
    pub connector: Option<String>,
    /// The partner that the connector belongs to.
    pub partner: Option<String>,
    /// Whom to ask there.
    pub contact: Option<String>,
    /// What happened, in one sentence.
    pub words: String,
    /// What to do, if that is known better than the kind says.
    pub hint: Option<String>,
    /// When it began.
    pub since: UnixMillis,
    /// When it was seen last.
    pub last: UnixMillis,
    /// How often it was seen.
    pub failures: u64,
    /// The domains that failed and have not succeeded since; with an empty one, the hosts of the connector.
    pub groups: BTreeSet<String>,
    /// Deliveries, or accepted messages, since it began.
    pub successes: u64,
    /// When it becomes an alert.
    pub due: UnixMillis,
    /// When it became an alert.
    pub told: Option<UnixMillis>,
    /// When somebody heard of it first: a next hop took the mail, or the webhook the notice.
    #[serde(default)]
    pub reported: Option<UnixMillis>,
    /// When it became an alert, or was one again, last.
    pub reminded: UnixMillis,
    /// One failure alone is no alert.
    #[serde(default)]
    pub patient: bool,
    /// The message that failed last, if that may be the reason.
    #[serde(default)]
    pub message: Option<QueueId>,
    /// It happened, and nothing is reported later.
    pub once: bool,
    /// It is known from before the start, and was not seen since; it ends then.
    pub doubtful: Option<UnixMillis>,
    /// When and how it ended.
    pub ended: Option<(UnixMillis, Mending)>,
}

/// How an episode ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mending {
    /// It works again.
    Recovered,
    /// For a day nothing was tried.
    Quiet,
    /// The connector is gone, or requires nothing any more.
    Gone,
    /// It was not seen since the daemon started again.
    Unseen,
    /// It happened, and that was all.
    Once,
}

/// Why an episode is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertOccasion {
    /// It has begun.
    Began,
    /// It goes on.
    Ongoing,
    /// It is over.
    Ended,
    /// Nothing is wrong: somebody tests the way.
    Test,
}

/// An episode as a mail or a notice has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailedEpisode {
    /// Why it is reported.
    pub occasion: AlertOccasion,
    /// The episode at that time.
    pub episode: Episode,
}

/// A mail that is to be sent: about one episode, or a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertMail {
    /// Its number.
    pub number: u64,
    /// What it is about.
    pub items: Vec<MailedEpisode>,
    /// How many more were left out.
    pub more: u64,
    /// Its ways, for the addresses for which it is queued already.
    #[serde(default)]
    pub passages: Vec<AlertPassage>,
}

impl AlertMail {
    /// A mail that only tests the way.
    #[must_use]
    pub fn test(now: UnixMillis) -> Self {
        Self { number: 0, items: vec![MailedEpisode::test(now)], more: 0, passages: Vec::new() }
    }

    /// Whether it is queued for an address.
    #[must_use]
    pub fn is_queued_for(&self, address: &str) -> bool {
        self.passages.iter().any(|passage| passage.to == address)
    }

    /// The connectors by which it must not go, as it is about them.
    #[must_use]
    pub fn about(&self) -> BTreeSet<&str> {
        let goes_on = |one: &&MailedEpisode| {
            one.episode.kind.stops_outbound()
                && matches!(one.occasion, AlertOccasion::Began | AlertOccasion::Ongoing)
        };
        self.items.iter().filter(goes_on).filter_map(|one| one.episode.connector.as_deref()).collect()
    }

    /// Whether nothing more is to be done for those for whom it is queued.
    pub(super) fn is_over(&self) -> bool {
        self.passages.iter().all(AlertPassage::is_over)
    }
}

impl MailedEpisode {
    /// What a test tells of.
    #[must_use]
    pub fn test(now: UnixMillis) -> Self {
        let episode = Episode {
            number: 0,
            kind: AlertKind::Other,
            about: String::new(),
            connector: None,
            partner: None,
            contact: None,
            words: "this is a test; nothing is wrong".to_owned(),
            hint: None,
            since: now,
            last: now,
            failures: 0,
            groups: BTreeSet::new(),
            successes: 0,
            due: now,
            told: Some(now),
            reported: None,
            reminded: now,
            patient: false,
            message: None,
            once: true,
            doubtful: None,
            ended: None,
        };
        Self { occasion: AlertOccasion::Test, episode }
    }
}

impl AlertOccasion {
    /// The word for headers and machines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Began => "began",
            Self::Ongoing => "ongoing",
            Self::Ended => "ended",
            Self::Test => "test",
        }
    }
}

impl Episode {
    /// How long it has lasted, or lasted.
    #[must_use]
    pub fn lasted(&self, now: UnixMillis) -> Duration {
        self.ended.map_or(now, |(at, _)| at).since(self.since)
    }

    /// What it is about, in a few words: the partner or connector, or what the alarm names.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.partner.as_deref().or(self.connector.as_deref()).unwrap_or(self.kind.word())
    }
}
