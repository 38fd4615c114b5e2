//! What is posted to a webhook: a documented, versioned schema.

use serde::{Deserialize, Serialize};

use super::episode::{Episode, MailedEpisode};
use crate::mail::{UnixMillis, rfc3339};

/// One notice. Fields are only added within a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertNotice {
    /// The version of this schema.
    pub version: u32,
    /// Our host name.
    pub server: String,
    /// When it was made, in RFC 3339 format.
    pub at: String,
    /// `began`, `ongoing`, `ended` or `test`.
    pub event: String,
    /// The kind of the alert.
    pub kind: String,
    /// The number of the episode, the same from its beginning to its end.
    pub episode: u64,
    /// The kind, in words.
    pub title: String,
    /// What happened, in one sentence.
    pub what: String,
    /// What to do.
    pub advice: String,
    /// The connector.
    pub connector: Option<String>,
    /// The partner.
    pub partner: Option<String>,
    /// Whom to ask there.
    pub contact: Option<String>,
    /// When it began.
    pub since: String,
    /// When it ended.
    pub ended: Option<String>,
    /// How often it was seen.
    pub failures: u64,
    /// Notices that were dropped before this one, because the endpoint did not answer.
    pub dropped: u64,
}

impl AlertNotice {
    /// The version of the schema.
    pub const VERSION: u32 = 1;

    /// The notice of an episode.
    #[must_use]
    pub fn of(item: &MailedEpisode, server: &str, now: UnixMillis) -> Self {
        let Episode { number, kind, connector, partner, contact, words, hint, since, failures, .. } =
            &item.episode;
        Self {
            version: Self::VERSION,
            server: server.to_owned(),
            at: rfc3339(now),
            event: item.occasion.word().to_owned(),
            kind: kind.word().to_owned(),
            episode: *number,
            title: kind.title().to_owned(),
            what: words.clone(),
            advice: hint.clone().unwrap_or_else(|| kind.advice().to_owned()),
            connector: connector.clone(),
            partner: partner.clone(),
            contact: contact.clone(),
            since: rfc3339(*since),
            ended: item.episode.ended.map(|(at, _)| rfc3339(at)),
            failures: *failures,
            dropped: 0,
        }
    }
}
