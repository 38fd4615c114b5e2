//! One event as it is kept and shown: versioned, with its texts rendered. Pure.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::code::StoredWord;
use crate::connector::{Decision, DecisionRecord};
use crate::mail::{QueueId, UnixMillis, rfc3339, rfc3339_millis};
use crate::outcome::Trouble;
use crate::tracking::{Event, MessageFacts};

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// We took a message over.
    Accepted,
    /// We refused a command or a message.
    Refused,
    /// An inbound session ended early.
    SessionEnded,
    /// A next hop took a message for a recipient.
    Delivered,
    /// A recipient stays in the queue.
    Deferred,
    /// A recipient was handed to another connector.
    Rerouted,
    /// A recipient has failed for good.
    Failed,
    /// A report was made.
    Reported,
    /// A session continued in plaintext.
    Plaintext,
    /// A connector in audit let a session pass.
    Waived,
    /// A message can't be read whole.
    Held,
    /// An operator changed a queued message.
    Handled,
    /// A reload took effect.
    Reloaded,
    /// A requirement was lowered, or no longer.
    Override,
    /// A connector was validated.
    Validated,
    /// An alarm.
    Alarm,
    /// An alarm that lasted is over.
    AlarmCleared,
    /// A partner's host is not as it was.
    PartnerChanged,
    /// The relay was started.
    Started,
    /// The relay was stopped in order.
    Stopped,
}

impl StoredWord for EventKind {
    const ALL: &'static [(Self, &'static str, u8)] = &[
        (Self::Accepted, "accepted", 1),
        (Self::Refused, "refused", 2),
        (Self::SessionEnded, "session-ended", 3),
        (Self::Delivered, "delivered", 4),
        (Self::Deferred, "deferred", 5),
        (Self::Rerouted, "rerouted", 6),
        (Self::Failed, "failed", 7),
        (Self::Reported, "reported", 8),
        (Self::Plaintext, "plaintext", 9),
        (Self::Waived, "waived", 10),
        (Self::Held, "held", 11),
        (Self::Handled, "handled", 12),
        (Self::Reloaded, "reloaded", 13),
        (Self::Override, "override", 14),
        (Self::Validated, "validated", 15),
        (Self::Alarm, "alarm", 16),
        (Self::AlarmCleared, "alarm-cleared", 17),
        (Self::PartnerChanged, "partner-changed", 18),
        (Self::Started, "started", 19),
        (Self::Stopped, "stopped", 20),
    ];
}

impl EventKind {
    /// Whether it is kept while others are dropped: what happened to accepted mail.
    pub(super) fn is_fact(self) -> bool {
        match self {
            Self::Refused | Self::SessionEnded => false,
            Self::Plaintext
            | Self::Waived
            | Self::Accepted
            | Self::Delivered
            | Self::Deferred
            | Self::Rerouted
            | Self::Failed
            | Self::Reported
            | Self::Held
            | Self::Handled
            | Self::Reloaded
            | Self::Override
            | Self::Validated
            | Self::Alarm
            | Self::AlarmCleared
            | Self::PartnerChanged
            | Self::Started
            | Self::Stopped => true,
        }
    }
}

/// What an event says besides its date, kind, message and decision. Another version may have stored it, so any field may
/// be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct EventFacts {
    /// The version of this record.
    #[serde(rename = "v")]
    pub version: u32,
    /// The address failure reports go to; empty for reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverse_path: Option<String>,
    /// All recipients of a message that was accepted, up to a number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// Number of all recipients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient_count: Option<usize>,
    /// The recipient it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_path: Option<String>,
    /// The Message-ID, without brackets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The Subject, decoded and shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Size in octets, in wire form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The inbound connector of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub came_by: Option<String>,
    /// The client's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The next hop: name, address and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The reply of the next hop, or ours to a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// The verb or stage that was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The enhanced status code (RFC 3463).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Why, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do about it: the token of a known reply or handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Milliseconds from acceptance to this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Milliseconds from the start of the content to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_ms: Option<u64>,
    /// Milliseconds until the message was on stable storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored_ms: Option<u64>,
    /// When the next attempt is due, in RFC 3339 format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<String>,
    /// The queue ID of the report that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// The kind of report, or of alarm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The connector that handed the recipient to this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerouted_from: Option<String>,
    /// The connector that it was handed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerouted_to: Option<String>,
    /// The connector, where there is no decision that names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector: Option<String>,
    /// What an operator did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handling: Option<String>,
    /// The operator: a user of the machine, or the bearer of a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Whether a validation found that every host meets the requirement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds: Option<bool>,
    /// The level to which a requirement is lowered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// The generation of the connector table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The text of an alarm, an override or a validation, or what is weaker since a reload.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
}

/// The version of [`EventFacts`] that this program writes.
pub(super) const VERSION: u32 = 1;

/// One event as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TracedEvent {
    /// Its place among all events; later events have larger ones.
    pub seq: i64,
    /// When it happened, in RFC 3339 format, with milliseconds.
    pub at: String,
    /// The word of its kind.
    pub event: String,
    /// The queue ID of the message, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What else it says.
    #[serde(flatten)]
    pub facts: EventFacts,
    /// The decision of a connector, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionRecord>,
}

impl TracedEvent {
    pub(super) fn new(
        (seq, at, kind): (i64, UnixMillis, u8),
        id: Option<QueueId>,
        facts: EventFacts,
        decision: Option<DecisionRecord>,
    ) -> Self {
        let event =
            EventKind::numbered(kind).map_or_else(|| format!("event-{kind}"), |one| one.word().to_owned());
        Self { seq, at: rfc3339_millis(at), event, id: id.map(|id| id.to_string()), facts, decision }
    }
}

/// An event on its way to the store.
#[derive(Debug)]
pub(super) struct NewEvent {
    pub(super) at: UnixMillis,
    pub(super) kind: EventKind,
    pub(super) id: Option<QueueId>,
    pub(super) facts: EventFacts,
    pub(super) decision: Option<Arc<Decision>>,
}

impl NewEvent {
    /// What is kept of an event; `None` if nothing is.
    pub(super) fn of(event: &Event<'_>, at: UnixMillis) -> Option<Self> {
        let mut new =
            Self { at, kind: EventKind::Alarm, id: None, facts: EventFacts::default(), decision: None };
        new.facts.version = VERSION;
        match event {
            Event::Accepted { .. } | Event::Refused { .. } | Event::SessionEnded { .. } => new.arrival(event),
            Event::Delivered { .. }
            | Event::Deferred { .. }
            | Event::Rerouted { .. }
            | Event::Failed { .. } => {
                new.attempt(event);
            }
            Event::ClearFallback { host, decision } => new.session(EventKind::Plaintext, host, decision),
            Event::Waived { host, decision } => new.session(EventKind::Waived, host, decision),
            Event::Reported { id, kind, report } => {
                (new.kind, new.id) = (EventKind::Reported, Some(*id));
                new.facts.kind = Some((*kind).to_owned());
                new.facts.report = report.map(|report| report.to_string());
            }
            Event::Held { id, reason } => {
                (new.kind, new.id) = (EventKind::Held, Some(*id));
                new.facts.reason = Some((*reason).to_owned());
            }
            Event::Handled { id, handling, by } => {
                (new.kind, new.id) = (EventKind::Handled, Some(*id));
                (new.facts.handling, new.facts.by) =
                    (Some(handling.word().to_owned()), Some((*by).to_owned()));
            }
            Event::Stopped => new.kind = EventKind::Stopped,
            Event::Started { .. }
            | Event::Reloaded { .. }
            | Event::Override { .. }
            | Event::Validated { .. }
            | Event::AlarmChanged { .. }
            | Event::PartnerChanged { .. }
            | Event::Alarm { .. } => new.operation(event),
            Event::RefusalCounted { .. }
            | Event::RefusedAgain { .. }
            | Event::Omitted { .. }
            | Event::KeySharesOmitted { .. }
            | Event::Handshake { .. }
            | Event::LinesDropped { .. } => return None,
        }
        Some(new)
    }

    fn message(&mut self, message: &MessageFacts<'_>) {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        self.id = Some(message.id);
        self.facts.reverse_path = Some(message.reverse_path.as_str().to_owned());
        self.facts.message_id = owned(message.message_id);
        self.facts.subject = owned(message.subject);
        self.facts.size = Some(message.size);
        self.facts.came_by = owned(message.came_by);
    }

    fn arrival(&mut self, event: &Event<'_>) {
        if let Event::Accepted { message, peer, recipients, times, findings: _, decision } = event {
            self.kind = EventKind::Accepted;
            self.message(message);
            self.facts.peer = Some(peer.to_string());
            self.facts.recipients =
                recipients.iter().take(RECIPIENTS_MAX).map(|one| one.as_str().to_owned()).collect();
            self.facts.recipient_count = Some(recipients.len());
            (self.facts.content_ms, self.facts.stored_ms) = (Some(ms(times.content)), Some(ms(times.stored)));
            self.decision = Some(Arc::clone(decision));
        }
        if let Event::Refused { peer, stage, reverse_path, forward_path, reply, decision } = event {
            self.kind = EventKind::Refused;
            self.facts.peer = Some(peer.ip().to_string());
            self.facts.stage = Some((*stage).to_owned());
            self.facts.reverse_path = reverse_path.map(|path| path.as_str().to_owned());
            self.facts.forward_path = forward_path.map(str::to_owned);
            self.facts.reply = Some(reply.to_string());
            self.decision = decision.map(Arc::clone);
        }
        if let Event::SessionEnded { peer, reason } = event {
            self.kind = EventKind::SessionEnded;
            self.facts.peer = Some(peer.ip().to_string());
            self.facts.reason = Some((*reason).to_owned());
        }
    }

    fn attempt(&mut self, event: &Event<'_>) {
        if let Event::Delivered { message, forward_path, delivered, delay, rerouted_from } = event {
            self.kind = EventKind::Delivered;
            self.message(message);
            self.facts.forward_path = Some(forward_path.as_str().to_owned());
            self.facts.host = Some(delivered.host.clone());
            self.facts.reply = Some(delivered.reply.to_string());
            self.facts.delay_ms = Some(ms(*delay));
            self.facts.rerouted_from = rerouted_from.map(str::to_owned);
            self.decision = Some(Arc::clone(&delivered.decision));
        }
        if let Event::Deferred { message, forward_path, outbound, trouble, next_at, rerouted_from } = event {
            self.kind = EventKind::Deferred;
            self.trouble(message, outbound, trouble);
            self.facts.forward_path = Some(forward_path.as_str().to_owned());
            self.facts.next_at = Some(rfc3339(*next_at));
            self.facts.rerouted_from = rerouted_from.map(str::to_owned);
        }
        if let Event::Rerouted { message, forward_path, outbound, trouble, to } = event {
            self.kind = EventKind::Rerouted;
            self.trouble(message, outbound, trouble);
            self.facts.forward_path = Some(forward_path.as_str().to_owned());
            self.facts.rerouted_to = Some((*to).to_owned());
        }
        if let Event::Failed { message, forward_path, outbound, trouble, rerouted_from } = event {
            self.kind = EventKind::Failed;
            self.trouble(message, outbound, trouble);
            self.facts.forward_path = Some(forward_path.as_str().to_owned());
            self.facts.rerouted_from = rerouted_from.map(str::to_owned);
        }
    }

    fn trouble(&mut self, message: &MessageFacts<'_>, outbound: &str, trouble: &Trouble) {
        self.message(message);
        self.facts.connector = Some(outbound.to_owned());
        self.facts.status = Some(trouble.status.to_string());
        self.facts.reason = Some(trouble.reason.clone());
        self.facts.hint = trouble.hint().map(|hint| hint.token.to_owned());
        if let Some(remote) = &trouble.remote {
            self.facts.host = Some(remote.host.clone());
            self.facts.reply = remote.reply.as_ref().map(ToString::to_string);
        }
        self.decision = trouble.decision.clone();
    }

    fn session(&mut self, kind: EventKind, host: &str, decision: &Arc<Decision>) {
        self.kind = kind;
        self.facts.host = Some(host.to_owned());
        self.decision = Some(Arc::clone(decision));
    }

    fn operation(&mut self, event: &Event<'_>) {
        if let Event::Started { version } = event {
            self.kind = EventKind::Started;
            self.facts.words = vec![format!("Sealpost {version}")];
        }
        if let Event::Reloaded { generation, weaker } = event {
            self.kind = EventKind::Reloaded;
            self.facts.generation = Some(*generation);
            self.facts.words = weaker.iter().take(WORDS_MAX).cloned().collect();
        }
        if let Event::Override { connector, level, words } = event {
            self.kind = EventKind::Override;
            self.facts.connector = Some((*connector).to_owned());
            self.facts.level = level.map(str::to_owned);
            self.facts.words = vec![(*words).to_owned()];
        }
        if let Event::Validated { connector, partner: _, holds, words } = event {
            self.kind = EventKind::Validated;
            self.facts.connector = Some((*connector).to_owned());
            self.facts.holds = Some(*holds);
            self.facts.words = vec![(*words).to_owned()];
        }
        if let Event::AlarmChanged { kind, raised, what, connectors } = event {
            self.kind = if *raised { EventKind::Alarm } else { EventKind::AlarmCleared };
            self.facts.kind = Some((*kind).to_owned());
            self.facts.connector = connectors.first().cloned();
            self.facts.words = vec![(*what).to_owned()];
        }
        if let Event::PartnerChanged { connector, partner: _, domain: _, host, change } = event {
            self.kind = EventKind::PartnerChanged;
            self.facts.connector = Some((*connector).to_owned());
            self.facts.host = Some((*host).to_owned());
            self.facts.kind = Some(change.word().to_owned());
            self.facts.words = vec![change.to_string()];
        }
        if let Event::Alarm { what, .. } = event {
            self.kind = EventKind::Alarm;
            self.facts.words = vec![(*what).to_owned()];
        }
    }
}

fn ms(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Recipients that are kept by name of one message.
const RECIPIENTS_MAX: usize = 100;
/// Sentences that are kept of one event.
const WORDS_MAX: usize = 100;
