//! What an operator sees of alerts.

use serde::{Deserialize, Serialize};

use super::episode::Episode;
use crate::mail::rfc3339;

/// The episodes, and how alerts are sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AlertsView {
    /// Episodes that go on.
    pub open: Vec<EpisodeView>,
    /// Those that have ended lately, the latest first.
    pub ended: Vec<EpisodeView>,
    /// Who gets alerts by mail.
    pub to: Vec<String>,
    /// Mails that could not be queued yet.
    pub mails_waiting: usize,
    /// Episodes and mails that there was no room for.
    pub dropped: u64,
    /// Where notices are posted.
    pub webhook: Option<WebhookView>,
}

/// The webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebhookView {
    /// Its URL.
    pub url: String,
    /// Notices that wait.
    pub waiting: usize,
    /// Notices that were dropped since the start.
    pub dropped: u64,
    /// Why the last one could not be posted; `None`: it could.
    pub trouble: Option<String>,
}

/// One episode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EpisodeView {
    /// Its number.
    pub episode: u64,
    /// Its kind.
    pub kind: String,
    /// The connector.
    pub connector: Option<String>,
    /// The partner.
    pub partner: Option<String>,
    /// Whom to ask there.
    pub contact: Option<String>,
    /// What happened.
    pub what: String,
    /// When it began.
    pub since: String,
    /// When it ended.
    pub ended: Option<String>,
    /// How often it was seen.
    pub failures: u64,
    /// When somebody heard of it first: a next hop took the mail, or the webhook the notice; `None`: nobody yet.
    pub reported: Option<String>,
}

/// What became of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AlertTestReport {
    /// One for each address, and one for the webhook.
    pub ways: Vec<AlertTestResult>,
}

/// What became of a test on one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AlertTestResult {
    /// The address or URL.
    pub to: String,
    /// The connector by which the mail went.
    pub connector: Option<String>,
    /// The queue ID of the mail.
    pub id: Option<String>,
    /// Whether it arrived.
    pub ok: bool,
    /// What happened, in one sentence.
    pub words: String,
}

impl EpisodeView {
    /// What to show of an episode.
    #[must_use]
    pub fn of(episode: &Episode) -> Self {
        Self {
            episode: episode.number,
            kind: episode.kind.word().to_owned(),
            connector: episode.connector.clone(),
            partner: episode.partner.clone(),
            contact: episode.contact.clone(),
            what: episode.words.clone(),
            since: rfc3339(episode.since),
            ended: episode.ended.map(|(at, _)| rfc3339(at)),
            failures: episode.failures,
            reported: episode.reported.map(rfc3339),
        }
    }
}
