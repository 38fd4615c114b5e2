//! The answers about connectors: those in effect, and what a reload changed.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::alarms::Alarm;
use crate::connector::{Generation, Mode};

/// What a reload came to: the answer of `POST /reload`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReloadAnswer {
    /// The generation in effect from now on.
    pub generation: Generation,
    /// The connectors that are not as they were.
    pub changes: Vec<Change>,
    /// Our certificates that are not as they were, each in a sentence.
    pub certificates: Vec<String>,
    /// The domains that another connector, or none, serves now, their queued mail included.
    pub served: Vec<String>,
    /// Those for which TLS was enforced and is not any more; each is an alarm.
    pub loosened: Vec<String>,
    /// What changed in the files but not here.
    pub needs_restart: Vec<String>,
    /// What works but is hardly meant.
    pub warnings: Vec<String>,
}

/// One connector that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Whether mail comes in or goes out by it.
    pub direction: Direction,
    /// Its name.
    pub connector: Arc<str>,
    /// What became of it.
    pub change: ChangeKind,
}

/// What became of a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// Its settings, or the content of a file it names, are others.
    Changed,
    /// It is gone.
    Removed,
}

/// Whether mail comes in or goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// It comes in.
    Inbound,
    /// It goes out.
    Outbound,
}

impl ChangeKind {
    /// The word of the answer.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

impl Direction {
    /// The word of the answer.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// The answer of `GET /connectors`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Connectors {
    /// The generation in effect; none without a daemon.
    pub generation: Option<Generation>,
    /// The connectors, inbound first, in the order of the file.
    pub connectors: Vec<ConnectorView>,
    /// What an operator must see to.
    pub alarms: Vec<Alarm>,
}

/// One connector.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectorView {
    /// Whether mail comes in or goes out by it.
    pub direction: Direction,
    /// Its name.
    pub name: Arc<str>,
    /// The domains it is about.
    pub domains: Vec<String>,
    /// Whether its demands are enforced.
    pub mode: Mode,
    /// The word of the configuration.
    pub tls: Cow<'static, str>,
    /// What it demands, in words.
    pub requirement: String,
    /// The digest of its settings and of the files it names.
    pub revision: String,
    /// An operator has paused it.
    pub paused: bool,
    /// What its lanes are at; outbound alone, and only from a daemon.
    pub lanes: Option<LanesView>,
    /// How it was last validated.
    pub validated: Option<Validation>,
    /// What an operator must see to about it.
    pub alarms: Vec<String>,
}

/// The lanes of one connector, as far as they are in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LanesView {
    /// How many there are.
    pub lanes: usize,
    /// How many of them wait after a failure.
    pub blocked: usize,
    /// Messages that wait in memory or are under way.
    pub messages: usize,
}

/// How a connector was last validated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// When, as RFC 3339 writes it.
    pub at: String,
    /// The revision of the connector that was validated; it says nothing of another one.
    #[serde(default)]
    pub revision: String,
    /// One sentence.
    pub verdict: String,
    /// Whether it does.
    pub ok: bool,
}
