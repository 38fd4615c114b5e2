//! What the control API works on, and how it refuses.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::alarms::Alarms;
use super::operator::Operator;
use super::view::ErrorAnswer;
use crate::mail::QueueId;
use crate::scheduler::Scheduler;
use crate::spool::{Spool, SpoolFault};

/// What the control API works on.
#[derive(Clone)]
pub struct Control {
    /// The messages on disk.
    pub spool: Arc<dyn Spool>,
    /// The lanes.
    pub scheduler: Arc<Scheduler>,
    /// Where mail comes in.
    pub listening: Arc<[(String, SocketAddr)]>,
    /// What an operator must see to.
    pub alarms: Arc<Alarms>,
    /// The daemon itself.
    pub operator: Arc<dyn Operator>,
}

/// A refusal: a status and one sentence, or one for each mistake.
pub(super) struct Refusal(pub(super) StatusCode, pub(super) String);

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
