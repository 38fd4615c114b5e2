//! The answers about connectors: those in effect, and what a reload changed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::connector::{Generation, Mode, Override, OverrideLevel};
use crate::mail::UnixMillis;

/// The result of a reload: the answer of `POST /reload`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReloadAnswer {
    /// The generation in effect from now on.
    pub generation: Generation,
    /// The connectors that were added, changed or removed.
    pub changes: Vec<Change>,
    /// Our certificates that changed, one sentence each.
    pub certificates: Vec<String>,
    /// The domains, with their queued mail, that another connector or none serves now.
    pub served: Vec<String>,
    /// The domains for which less is required than before; each of the first ten is an alarm.
    pub loosened: Vec<Loosening>,
    /// Number of further ones.
    pub loosened_more: usize,
    /// The listeners whose handshakes are limited less than before, one sentence each; each is an alarm.
    #[serde(default)]
    pub loosened_listeners: Vec<String>,
    /// What became of the transactions in progress that the connectors no longer allow; none: there were none.
    pub drained: Option<DrainReport>,
    /// Changes in the files that need a restart.
    pub needs_restart: Vec<String>,
    /// Valid but probably unintended settings.
    pub warnings: Vec<String>,
}

/// Domains with the same answer, for which less is required than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Loosening {
    /// Whether it is about mail to these domains or from them.
    pub direction: Direction,
    /// The first of the domains, as the configuration writes them, and those with queued mail.
    pub domains: Vec<String>,
    /// Only mail that arrives by this inbound connector; `None`: mail in general.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrives_by: Option<Arc<str>>,
    /// Number of further domains.
    pub more: usize,
    /// What was required before.
    pub was: LooseningTerms,
    /// What is required now.
    pub now: LooseningTerms,
    /// The parts of the requirement that are weaker.
    pub weaker: Vec<String>,
    /// All of it in one sentence.
    pub what: String,
}

/// What a connector requires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LooseningTerms {
    /// Name of the connector.
    pub connector: Arc<str>,
    /// Its requirement, in words.
    pub required: String,
}

/// What became of transactions in progress that a reload no longer allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DrainReport {
    /// Number of transactions.
    pub transactions: usize,
    /// Those that ended by themselves in time.
    pub ended: usize,
    /// Those whose sessions were ended.
    pub cut: usize,
    /// Those whose message had left completely, and whose final reply is still awaited.
    pub answering: usize,
    /// How long they were waited for at most.
    pub limit_ms: u64,
    /// The connectors that do not allow them.
    pub connectors: Vec<Arc<str>>,
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transactions, ended, cut, answering, limit_ms, connectors } = self;
        let noun = if *transactions == 1 { "transaction" } else { "transactions" };
        let names = connectors.join(", ");
        write!(f, "{transactions} {noun} in progress no longer allowed by {names}: {ended} ended in time")?;
        if *cut > 0 {
            let limit = humantime::format_duration(Duration::from_millis(*limit_ms));
            write!(f, ", {cut} cut after {limit}")?;
        }
        if *answering > 0 {
            write!(f, ", {answering} already sent and waiting for the final reply")?;
        }
        Ok(())
    }
}

/// One connector that was added, changed or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Change {
    /// Whether the connector is inbound or outbound.
    pub direction: Direction,
    /// Name of the connector.
    pub connector: Arc<str>,
    /// Whether it was added, changed or removed.
    pub change: ChangeKind,
}

/// How a connector changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// Only the new table has it.
    Added,
    /// Its settings, or the content of a file it names, changed.
    Changed,
    /// Only the old table had it.
    Removed,
}

/// Whether a connector is for inbound or outbound mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// For mail that we accept.
    Inbound,
    /// For mail that we deliver.
    Outbound,
}

impl ChangeKind {
    /// The word used in answers.
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
    /// The word used in answers.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// One connector as an operator sees it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ConnectorView {
    /// Whether the connector is inbound or outbound.
    pub direction: Direction,
    /// Name of the connector.
    pub name: Arc<str>,
    /// The partner it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<Arc<str>>,
    /// The domain patterns of the connector.
    pub domains: Vec<String>,
    /// Whether its requirement is enforced.
    pub mode: Mode,
    /// The `tls` value of the configuration.
    #[schema(value_type = String)]
    pub tls: Cow<'static, str>,
    /// What it requires, in words.
    pub requirement: String,
    /// The digest of its settings and of the files it names.
    pub revision: String,
    /// Whether an operator has paused it.
    pub paused: bool,
    /// The flood for which it is braked; only for inbound connectors of a running daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub braked: Option<BrakeView>,
    /// How its requirement is overridden.
    #[serde(default)]
    pub overridden: Option<Override>,
    /// The state of its lanes; only for outbound connectors of a running daemon.
    pub lanes: Option<LanesView>,
    /// How it was last validated without asking for a recipient; if it never was, how it was last validated.
    pub validated: Option<Validation>,
    /// The same for each recipient asked for, the newest first.
    #[serde(default)]
    pub validated_to: Vec<Validation>,
    /// The newest certificate that each host showed and that met the requirement.
    #[serde(default)]
    pub seen: Vec<SeenView>,
    /// Recipients that wait in the queue, in its largest lanes; only for outbound connectors of a running daemon.
    #[serde(default)]
    pub waiting: Option<u64>,
    /// Refusals since the start by reason; only for inbound connectors of a running daemon.
    #[serde(default)]
    pub refused: BTreeMap<String, u64>,
    /// What an operator must see to about it.
    pub alarms: Vec<String>,
}

impl ConnectorView {
    /// Its name, if mail goes out by it.
    #[must_use]
    pub fn outbound_name(&self) -> Option<&str> {
        (self.direction == Direction::Outbound).then_some(&*self.name)
    }
}

/// A certificate that a partner's host showed, and that met the requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SeenView {
    /// The host, or the first name of a client's certificate.
    pub host: String,
    /// Its issuer.
    pub issuer: String,
    /// The trust anchor that its chain ended in, if it is known.
    pub root: Option<String>,
    /// When it expires, in RFC 3339 format.
    pub not_after: String,
    /// When it was seen for the first time, in RFC 3339 format.
    pub since: String,
    /// Its SHA-256 fingerprint.
    pub sha256: String,
}

/// A flood that came by an inbound connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BrakeView {
    /// Since when, in RFC 3339 format.
    pub since: String,
    /// What came, and what usually comes.
    pub why: String,
    /// Who sent the last of it.
    pub last: String,
    /// Whether new mail is refused; otherwise it is only an alarm.
    pub refuses: bool,
}

/// The body of `POST /connectors/{name}/release`, and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    /// Whether what came is usual from now on.
    pub accept: bool,
}

/// The body of `POST /assure/probes`, and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeRequest {
    /// Where the session comes from.
    #[schema(value_type = String)]
    pub address: std::net::SocketAddr,
}

/// The answer to `POST /reports/mail`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MailedReports {
    /// One for each address, whether it could be queued or not.
    pub reports: Vec<MailedReport>,
}

/// A report that was mailed, or could not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MailedReport {
    /// The address.
    pub to: String,
    /// The partner that it is about; none: it is about all mail.
    pub partner: Option<String>,
    /// The queue ID; none: it is not queued.
    pub id: Option<String>,
    /// The connector by which it goes.
    pub connector: Option<String>,
    /// Why it is not queued.
    pub why: Option<String>,
}

/// The body of `POST /watch/now`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LookRequest {
    /// The outbound connector; `None`: all that are watched.
    pub connector: Option<String>,
}

/// Its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LookReport {
    /// How many targets were looked at.
    pub targets: usize,
}

/// The lanes of one connector, as far as they are in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LanesView {
    /// Number of lanes.
    pub lanes: usize,
    /// Number of lanes that wait after a failure.
    pub blocked: usize,
    /// Messages that wait in memory or are being delivered.
    pub messages: usize,
}

/// The result of the last validation of a connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Validation {
    /// When, in RFC 3339 format.
    pub at: String,
    /// The recipient that was asked for, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The revision that was validated; the result does not apply to another.
    #[serde(default)]
    pub revision: String,
    /// The result, in one sentence.
    pub verdict: String,
    /// Whether the connector passed.
    pub ok: bool,
}

/// The body of `POST /connectors/{name}/override`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OverrideRequest {
    /// What is left of the requirement; `None`: as little as the floor allows.
    pub level: Option<OverrideLevel>,
    /// When it ends.
    pub until: UnixMillis,
    /// Why.
    pub reason: String,
}

/// The answer: what is in effect, and for which domains less is required now.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OverrideReport {
    /// The override.
    pub overridden: Override,
    /// The generation in effect from now on.
    pub generation: Generation,
    /// The domains for which less is required than before.
    pub loosened: Vec<Loosening>,
}
