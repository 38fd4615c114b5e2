//! The way of a queued mail to one address: by which connectors it was tried, and whether it should be handed to another one. It
//! chooses no connector.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fact::AlertMailEnd;
use crate::mail::{QueueId, UnixMillis};

/// The way of a mail to one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertPassage {
    /// The address.
    pub to: String,
    /// The queue ID of the message.
    pub id: QueueId,
    /// The connector by which it goes.
    pub connector: String,
    /// Since when it goes by it.
    pub since: UnixMillis,
    /// The connectors by which it did not arrive.
    #[serde(default)]
    pub tried: BTreeSet<String>,
    /// What has become of it.
    pub state: PassageState,
}

/// What has become of a mail on its way to one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PassageState {
    /// Nothing is known yet.
    Waiting,
    /// Nothing has happened for too long.
    Hung,
    /// It was deferred.
    Deferred,
    /// It has failed, and is no longer queued.
    Failed,
    /// A next hop took it.
    Arrived,
    /// There is no other way to try.
    GivenUp,
}

impl AlertPassage {
    /// A message that was queued now.
    #[must_use]
    pub fn begin(to: &str, (id, connector): (QueueId, &str), now: UnixMillis) -> Self {
        Self {
            to: to.to_owned(),
            id,
            connector: connector.to_owned(),
            since: now,
            tried: BTreeSet::new(),
            state: PassageState::Waiting,
        }
    }

    /// The same mail by another connector, as another message.
    pub(super) fn go_by(&mut self, (id, connector): (QueueId, &str), now: UnixMillis) {
        self.tried.insert(std::mem::replace(&mut self.connector, connector.to_owned()));
        (self.id, self.since, self.state) = (id, now, PassageState::Waiting);
    }

    /// Takes in what happened to the message.
    pub(super) fn hear(&mut self, end: &AlertMailEnd, now: UnixMillis) {
        match end {
            AlertMailEnd::Delivered(_) => self.state = PassageState::Arrived,
            AlertMailEnd::Deferred(_) => self.fail(PassageState::Deferred),
            AlertMailEnd::Failed(_) => self.fail(PassageState::Failed),
            AlertMailEnd::HandedOn(to) => self.go_by((self.id, to), now),
        }
    }

    /// Notes that nothing has happened for too long, if so.
    pub(super) fn age(&mut self, now: UnixMillis) {
        if self.hangs_at().is_some_and(|at| at <= now) {
            self.fail(PassageState::Hung);
        }
    }

    /// When it hangs, if nothing happens before.
    pub(super) fn hangs_at(&self) -> Option<UnixMillis> {
        (self.state == PassageState::Waiting).then(|| self.since.plus(HANGS_AFTER))
    }

    /// Whether nothing more is to be done.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.state, PassageState::Arrived | PassageState::GivenUp)
    }

    /// Whether another connector is wanted, given those that fail.
    pub(super) fn is_restless(&self, stopped: &BTreeSet<String>) -> bool {
        match self.state {
            PassageState::Waiting => stopped.contains(&self.connector),
            PassageState::Hung | PassageState::Deferred | PassageState::Failed => true,
            PassageState::Arrived | PassageState::GivenUp => false,
        }
    }

    fn fail(&mut self, state: PassageState) {
        self.tried.insert(self.connector.clone());
        self.state = state;
    }
}

/// How long a message waits for anything to happen: half of the minute within which an alert should arrive.
const HANGS_AFTER: Duration = Duration::from_secs(30);
