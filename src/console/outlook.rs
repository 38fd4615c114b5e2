//! What the console asks of the daemon that no route of the API answers.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use crate::admin::{Direction, ExplainQuestion, ExplainedAnswer, SettingsList, SettingsQuery, Validation};
use crate::lookout::{KeptChange, KeptTarget};
use crate::mail::UnixMillis;

/// What the console asks of the daemon that no verb asks.
pub trait Outlook: Send + Sync {
    /// What ends within 60 days, the soonest first. It reads files.
    fn ending(&self) -> Vec<(UnixMillis, String)>;

    /// The names of the connectors in effect of one direction.
    fn connector_names(&self, direction: Direction) -> Vec<String>;

    /// Our own certificates.
    fn certificates(&self) -> Vec<SiteCertificate>;

    /// Answers a question by the configuration in effect, or by a draft, of which nothing takes effect and no file is read.
    /// It may take a while.
    ///
    /// # Errors
    /// Why there is no answer; the errors of a draft, a line each.
    fn explain(&self, question: &ExplainQuestion, draft: Option<&str>) -> Result<ExplainedAnswer, String>;

    /// The settings in effect. It may take a while.
    fn settings(&self, query: &SettingsQuery) -> SettingsList;

    /// What `[watch]` has seen of a connector, and what has changed since a time. It reads a database.
    ///
    /// # Errors
    /// Why there is nothing to show, in a sentence.
    fn watched(&self, connector: &str, since: UnixMillis) -> Result<WatchHistory, String>;

    /// What is known of a refusal, in words.
    fn explain_refusal(&self, text: &str) -> String;

    /// Tries every host of an outbound connector, as `sealpost validate` does, and keeps the result.
    fn validate(&self, order: ValidationOrder) -> ValidationAnswer;

    /// A login had no valid token.
    fn refused(&self);

    /// A request came earlier than its token may ask.
    fn limited(&self);
}

/// A certificate of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteCertificate {
    /// The ID of its section.
    pub id: String,
    /// The names that it presents.
    pub names: Vec<String>,
    /// Its issuer.
    pub issuer: String,
    /// When it begins to be valid.
    pub not_before: UnixMillis,
    /// When it expires.
    pub not_after: UnixMillis,
    /// Its SHA-256 fingerprint.
    pub sha256: String,
    /// The SHA-256 of its public key (RFC 7469), in Base64: what a partner pins.
    pub pin: String,
}

/// What was seen of the hosts of a connector, and what has changed, the newest first.
pub type WatchHistory = (Vec<KeptTarget>, Vec<KeptChange>);

/// What is to be validated, and for whom.
pub struct ValidationOrder {
    /// The outbound connector.
    pub name: String,
    /// A recipient to ask the hosts about; no content is sent.
    pub to: Option<String>,
    /// Our own listeners, which are never tried.
    pub ourselves: Vec<SocketAddr>,
    /// Hears what has begun; with a result, what has ended.
    pub listener: ValidationListener,
}

/// Hears what has begun; with a result, what has ended.
pub type ValidationListener = Arc<dyn Fn(&str, Option<&str>) + Send + Sync>;

/// What a validation found, or why it could not be made.
pub type ValidationAnswer = Pin<Box<dyn Future<Output = Result<ValidationReport, String>> + Send>>;

/// What a validation found.
#[derive(Debug, Clone)]
pub struct ValidationReport {
    /// The result.
    pub verdict: Validation,
    /// Each address.
    pub hosts: Vec<ValidatedHost>,
    /// Why the result is not kept, if it is not.
    pub not_kept: Option<String>,
}

/// One address.
#[derive(Debug, Clone)]
pub struct ValidatedHost {
    /// Name, address and port.
    pub host: String,
    /// Whether mail may be sent there.
    pub ok: bool,
    /// What it presented, each under a heading.
    pub lines: Vec<(&'static str, String)>,
}
