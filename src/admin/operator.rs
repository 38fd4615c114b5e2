//! What the control API asks of the daemon, as a trait that `daemon` implements.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use super::view::{Connectors, MailedReport, OverrideReport, OverrideRequest, ReloadAnswer, Validation};
use crate::alert::{AlertTestReport, AlertsView};
use crate::connector::{Generation, Override};

/// All paused connectors, or an error in one sentence.
pub type PauseAnswer = Pin<Box<dyn Future<Output = Result<Vec<Arc<str>>, String>> + Send>>;

/// Whether something was kept, or why not, in a sentence.
pub type KeepAnswer = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// What an override comes to, or why there is none, in a sentence.
pub type OverrideAnswer = Pin<Box<dyn Future<Output = Result<OverrideReport, String>> + Send>>;

/// The recipients that wait in the queue, by the outbound connector of their lane.
pub type WaitingByConnector = BTreeMap<String, u64>;

/// Whether a connector was released, or why not, in a sentence.
pub type ReleaseAnswer = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// What became of a test of alerts.
pub type AlertTestAnswer = Pin<Box<dyn Future<Output = AlertTestReport> + Send>>;

/// Alerts, as far as an operator sees them.
pub trait AlertOffice: Send + Sync {
    /// The episodes, and how alerts are sent.
    fn alerts(&self) -> AlertsView;

    /// Sends a test on every way, and waits a while for what becomes of it.
    fn test(self: Arc<Self>) -> AlertTestAnswer;
}

/// What the daemon does and shows for an operator.
pub trait Operator: Send + Sync {
    /// Reloads the files; the reload completes even if the caller stops waiting.
    fn reload(self: Arc<Self>) -> Pin<Box<dyn Future<Output = Result<ReloadAnswer, ReloadFailure>> + Send>>;

    /// The connectors in effect, with the recipients that wait by outbound connector.
    fn connectors(
        self: Arc<Self>,
        waiting: WaitingByConnector,
    ) -> Pin<Box<dyn Future<Output = Connectors> + Send>>;

    /// Pauses or resumes the lanes of an outbound connector; the state survives a restart. Returns
    /// all paused connectors.
    ///
    /// # Errors
    /// There is no such connector, or the state can't be saved; in one sentence.
    fn pause(self: Arc<Self>, name: String, paused: bool, by: String) -> PauseAnswer;

    /// Releases an inbound connector from its brake; with `accept`, what came is usual from now on.
    ///
    /// # Errors
    /// There is no such connector, or it is not braked, or that can't be saved; in a sentence.
    fn release(self: Arc<Self>, name: String, accept: bool, by: String) -> ReleaseAnswer;

    /// Lowers a connector's requirement for a time, asked for by this person.
    ///
    /// # Errors
    /// Why nothing has changed, in a sentence.
    fn begin_override(self: Arc<Self>, name: String, request: OverrideRequest, by: String) -> OverrideAnswer;

    /// Ends an override before its time.
    ///
    /// # Errors
    /// There is none, or its end can't be written down; in a sentence.
    fn end_override(self: Arc<Self>, name: String, by: String) -> KeepAnswer;

    /// The overrides in effect.
    fn overrides(&self) -> Vec<Override>;

    /// Keeps what `validate` found of an outbound connector, so that the file is the daemon's own.
    ///
    /// # Errors
    /// There is no such connector of that revision, or it can't be kept; in a sentence.
    fn keep_validation(self: Arc<Self>, name: String, found: Validation) -> KeepAnswer;
}

/// How many targets were looked at, or why none, in a sentence.
pub type LookAnswer = Pin<Box<dyn Future<Output = Result<usize, String>> + Send>>;

/// Looks at partners for an operator.
pub trait Watchman: Send + Sync {
    /// Looks at the hosts of an outbound connector, or of all, now; resolves once that is done.
    ///
    /// # Errors
    /// Nothing is watched, or not this; in a sentence.
    fn look_now(self: Arc<Self>, connector: Option<String>) -> LookAnswer;
}

/// Which reports were mailed, or why none, in a sentence.
pub type ReportAnswer = Pin<Box<dyn Future<Output = Result<Vec<MailedReport>, String>> + Send>>;

/// Mails reports for an operator.
pub trait ReportOffice: Send + Sync {
    /// Mails the report of the last whole period to everybody who gets one; resolves once they are queued.
    ///
    /// # Errors
    /// Nobody gets reports, or they can't be made; in a sentence.
    fn mail_now(self: Arc<Self>) -> ReportAnswer;
}

/// Why a reload changed nothing.
#[derive(Debug, Clone)]
pub struct ReloadFailure {
    /// The generation that stays in effect.
    pub generation: Generation,
    /// The errors, each with file, line and column if it has a position.
    pub faults: Vec<String>,
}
