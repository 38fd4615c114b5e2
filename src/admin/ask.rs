//! What the console asks of the daemon: what the API answers, as values.

use axum::Json;
use axum::extract::{Path, State};

use super::asker::Asker;
use super::control::{Control, Refusal};
use super::view::{
    ActionResult, ActionTally, Connectors, ListQuery, MatchCount, MessageView, PausedConnectors, QueueAction,
    QueueList, ReleaseRequest, RetryRequest, Status,
};
use super::{actions, messages, relay};
use crate::alert::AlertsView;
use crate::mail::{QueueId, UnixMillis};

impl Control {
    /// As `GET /status`.
    ///
    /// # Errors
    /// The spool can't be read.
    pub async fn status(&self) -> Result<Status, Refusal> {
        relay::status(State(self.clone())).await.map(|Json(status)| status)
    }

    /// As `GET /queue`.
    ///
    /// # Errors
    /// The spool can't be read, or the message to continue after is none.
    pub async fn list(&self, query: ListQuery) -> Result<QueueList, Refusal> {
        messages::listed(self, query).await
    }

    /// How many queued messages match after the one that the query continues after. A long queue is not counted to its end.
    ///
    /// # Errors
    /// The spool can't be read, or the message to continue after is none.
    pub async fn count(&self, query: &ListQuery) -> Result<MatchCount, Refusal> {
        messages::counted(self, query).await
    }

    /// As `GET /queue/{id}`.
    ///
    /// # Errors
    /// It is not queued, or the spool can't be read.
    pub async fn message(&self, id: String) -> Result<MessageView, Refusal> {
        messages::show(State(self.clone()), Path(id)).await.map(|Json(message)| message)
    }

    /// As `GET /connectors`.
    pub async fn connectors(&self) -> Connectors {
        let Json(connectors) = relay::connectors(State(self.clone())).await;
        connectors
    }

    /// As `GET /alerts`.
    pub async fn alerts(&self) -> AlertsView {
        let Json(alerts) = relay::alerts(State(self.clone())).await;
        alerts
    }

    /// When the message that is queued longest was accepted.
    pub async fn oldest(&self) -> Option<UnixMillis> {
        self.spool.oldest().await.ok().flatten()
    }

    /// Does something with one message.
    ///
    /// # Errors
    /// It is not queued, or it can't be done now.
    pub async fn act_on(
        &self,
        id: String,
        action: QueueAction,
        asker: Asker,
    ) -> Result<ActionResult, Refusal> {
        let (state, path) = (State(self.clone()), Path(id.clone()));
        match action {
            QueueAction::Retry => messages::retry(state, asker, Json(RetryRequest { id: Some(id) })).await,
            QueueAction::Hold => messages::hold(state, asker, path).await,
            QueueAction::Release => messages::release(state, asker, path).await,
            QueueAction::Bounce => messages::bounce(state, asker, path).await,
            QueueAction::Remove => messages::remove(state, asker, path).await,
        }
        .map(|Json(result)| result)
    }

    /// Does something with several messages.
    ///
    /// # Errors
    /// The spool can't be asked.
    pub async fn act_on_each(
        &self,
        ids: &[QueueId],
        action: QueueAction,
        asker: &Asker,
    ) -> Result<(ActionTally, Vec<QueueId>), Refusal> {
        actions::act_on_each(self, ids, action, asker).await
    }

    /// Pauses or resumes an outbound connector.
    ///
    /// # Errors
    /// There is no such connector, or its state can't be kept.
    pub async fn set_paused(
        &self,
        name: &str,
        paused: bool,
        asker: &Asker,
    ) -> Result<PausedConnectors, Refusal> {
        relay::set_pause(self, name, paused, asker).await.map(|Json(paused)| paused)
    }

    /// Releases an inbound connector from its brake; with `accept`, what came is usual from now on.
    ///
    /// # Errors
    /// There is no such connector, it is not braked, or that can't be kept.
    pub async fn release(&self, name: String, accept: bool, asker: Asker) -> Result<ReleaseRequest, Refusal> {
        let request = Json(ReleaseRequest { accept });
        relay::release_connector(State(self.clone()), asker, Path(name), request).await.map(|Json(done)| done)
    }

    /// Ends the override of a connector before its time.
    ///
    /// # Errors
    /// There is none, or its end can't be kept.
    pub async fn end_override(&self, name: String, asker: Asker) -> Result<(), Refusal> {
        relay::end_override(State(self.clone()), asker, Path(name)).await.map(drop)
    }
}
