//! The shared state of the control API, and its error answers.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::alarms::Alarms;
use super::asker::Asker;
use super::operator::{AlertOffice, Operator, ReportOffice, Watchman};
use super::tracked::TrackedStore;
use super::view::ErrorAnswer;
use crate::mail::QueueId;
use crate::scheduler::Scheduler;
use crate::spool::{Spool, SpoolFault};
use crate::tracking::{Event, Journal, QueueHandling};

/// The shared state of the control API.
#[derive(Clone)]
pub struct Control {
    /// The messages on disk.
    pub spool: Arc<dyn Spool>,
    /// The scheduler, which owns the lanes.
    pub scheduler: Arc<Scheduler>,
    /// Name and address of each listener.
    pub listening: Arc<[(String, SocketAddr)]>,
    /// The alarms to show.
    pub alarms: Arc<Alarms>,
    /// Where what an operator does is told.
    pub journal: Arc<Journal>,
    /// The alerts to show and to test.
    pub alert_office: Arc<dyn AlertOffice>,
    /// The daemon's reload, pause and connector views.
    pub operator: Arc<dyn Operator>,
    /// Who mails reports.
    pub report_office: Arc<dyn ReportOffice>,
    /// Who looks at partners.
    pub watchman: Arc<dyn Watchman>,
    /// What happened to messages.
    pub tracked: TrackedStore,
}

impl Control {
    /// Tells what an operator did with messages.
    pub(super) fn tell(&self, ids: &[QueueId], handling: QueueHandling, asker: &Asker) {
        let by = asker.words();
        for id in ids {
            self.journal.record(&Event::Handled { id: *id, handling, by: &by });
        }
    }
}

impl FromRequestParts<Control> for Asker {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Control) -> Result<Self, Refusal> {
        let nobody = || Refusal(StatusCode::FORBIDDEN, "nobody is known to ask".to_owned());
        if let Some(ConnectInfo(asker)) = parts.extensions.get::<ConnectInfo<Self>>() {
            return Ok(asker.clone());
        }
        parts.extensions.get::<Self>().cloned().ok_or_else(nobody)
    }
}

/// An error answer: a status and one sentence, or one line for each error.
#[derive(Debug)]
pub struct Refusal(
    /// The status of the answer.
    pub StatusCode,
    /// Why.
    pub String,
);

pub(super) fn parse(text: &str) -> Result<QueueId, Refusal> {
    text.parse().map_err(|fault| Refusal(StatusCode::BAD_REQUEST, format!("{text:?}: {fault}")))
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(ErrorAnswer { error: self.1 })).into_response()
    }
}

pub(super) const HELD_BY_OPERATOR: &str = "by the operator";

impl From<SpoolFault> for Refusal {
    fn from(fault: SpoolFault) -> Self {
        Self(axum::http::StatusCode::SERVICE_UNAVAILABLE, fault.to_string())
    }
}
