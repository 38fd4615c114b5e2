//! What of an event concerns alerts, copied from it. Whether it is an episode is decided elsewhere: it depends on the
//! connectors.

use std::net::IpAddr;
use std::sync::Arc;

use super::kind::AlertKind;
use crate::connector::{Decision, HandshakeCause, RequiredTls, Ruling, Shortfall, UnmetCondition};
use crate::mail::{Domain, Mailbox, QueueId};
use crate::outcome::{Cause, Scope, Stage, Trouble, hint_on_decision};
use crate::tracking::{AlarmTopic, Event, MessageFacts};

/// Something that an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlertFact {
    /// An attempt of an outbound connector failed.
    Failed(FailureFact),
    /// A message was delivered.
    Delivered {
        /// The outbound connector.
        connector: Arc<str>,
        /// The recipient domain; `None`: an address literal.
        domain: Option<Domain>,
        /// Whether it was over TLS.
        sealed: bool,
    },
    /// A forced inbound connector refused mail that claims to be its partner's.
    Refused {
        /// The inbound connector.
        failure: FailureFact,
        /// The client's address.
        peer: IpAddr,
    },
    /// A forced inbound connector accepted a message.
    Accepted {
        /// The inbound connector.
        connector: Arc<str>,
    },
    /// A lasting alarm began or ended.
    Alarm {
        /// The word of its kind.
        kind: &'static str,
        /// Whether it began.
        raised: bool,
        /// Its words.
        what: String,
        /// The connectors it concerns.
        connectors: Vec<String>,
    },
    /// Something happened once: an alarm of the log.
    Happened(AlertKind, String),
    /// The connectors may be others now.
    Reloaded {
        /// For whom less is required than before, if for anybody.
        weaker: Option<String>,
    },
    /// What happened to an alert of ours.
    OwnMail(QueueId, AlertMailEnd),
}

/// What happened to an alert of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlertMailEnd {
    /// A next hop took it, and this is what it said.
    Delivered(String),
    /// It waits, for this reason.
    Deferred(String),
    /// It has failed, for this reason.
    Failed(String),
}

/// A failed attempt, or a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureFact {
    /// What it is about.
    pub kind: AlertKind,
    /// The connector.
    pub connector: Arc<str>,
    /// The recipient domain; `None`: an address literal, or nothing is known of it.
    pub domain: Option<Domain>,
    /// The partner's name.
    pub partner: Option<String>,
    /// Whom to ask there.
    pub contact: Option<String>,
    /// What happened.
    pub words: String,
    /// What to do.
    pub hint: Option<String>,
}

/// What an event says that may concern alerts; `None`: nothing. Deliveries, accepted messages and refusals are left to the caller,
/// which knows whether anybody waits for them.
#[must_use]
pub fn fact_of(event: &Event<'_>) -> Option<AlertFact> {
    match event {
        Event::Deferred { message, forward_path, outbound, trouble, .. } => {
            own_or(message, AlertMailEnd::Deferred(trouble.reason.clone()), || {
                failure(forward_path, outbound, trouble).map(AlertFact::Failed)
            })
        }
        Event::Failed { message, forward_path, outbound, trouble, .. } => {
            own_or(message, AlertMailEnd::Failed(trouble.reason.clone()), || {
                failure(forward_path, outbound, trouble).map(AlertFact::Failed)
            })
        }
        Event::Rerouted { forward_path, outbound, trouble, .. } => {
            failure(forward_path, outbound, trouble).map(AlertFact::Failed)
        }
        Event::AlarmChanged { kind, raised, what, connectors } => Some(AlertFact::Alarm {
            kind,
            raised: *raised,
            what: (*what).to_owned(),
            connectors: connectors.to_vec(),
        }),
        Event::Alarm { topic, what } => match topic {
            AlarmTopic::Repeated => None,
            AlarmTopic::Certificate => Some(AlertFact::Happened(AlertKind::Expiry, (*what).to_owned())),
            AlarmTopic::Other => Some(AlertFact::Happened(AlertKind::Other, (*what).to_owned())),
        },
        Event::Reloaded { weaker, .. } => {
            let weaker = weaker.split_first().map(|(first, rest)| match rest.len() {
                0 => first.clone(),
                more => format!("{first}; and {more} more, which `sealpost reload` listed"),
            });
            Some(AlertFact::Reloaded { weaker })
        }
        Event::PartnerChanged { connector, host, change, .. } if change.is_worse() => {
            let what = format!("connector {connector}, host {host}: {change}");
            Some(AlertFact::Happened(AlertKind::Watch, what))
        }
        Event::PartnerChanged { .. }
        | Event::Delivered { .. }
        | Event::Accepted { .. }
        | Event::Refused { .. }
        | Event::RefusedAgain { .. }
        | Event::Omitted { .. }
        | Event::SessionEnded { .. }
        | Event::Reported { .. }
        | Event::Handshake { .. }
        | Event::ClearFallback { .. }
        | Event::KeySharesOmitted { .. }
        | Event::Waived { .. }
        | Event::Held { .. }
        | Event::Handled { .. }
        | Event::Override { .. }
        | Event::Validated { .. }
        | Event::LinesDropped { .. } => None,
    }
}

/// Failures of our own alerts are no alerts.
fn own_or(
    message: &MessageFacts<'_>,
    end: AlertMailEnd,
    other: impl FnOnce() -> Option<AlertFact>,
) -> Option<AlertFact> {
    if is_alert(message) { Some(AlertFact::OwnMail(message.id, end)) } else { other() }
}

/// Whether a message is an alert of ours.
#[must_use]
pub(super) fn is_alert(message: &MessageFacts<'_>) -> bool {
    message.came_by.is_none() && message.message_id.is_some_and(|id| id.starts_with(MESSAGE_ID_START))
}

fn failure(forward_path: &Mailbox, outbound: &str, trouble: &Trouble) -> Option<FailureFact> {
    let decision = trouble.decision.as_deref();
    Some(FailureFact {
        kind: leg_of(trouble)?,
        connector: decision.and_then(|one| one.connector.clone()).unwrap_or_else(|| outbound.into()),
        domain: forward_path.domain_name().cloned(),
        partner: decision.and_then(|decision| Some(decision.partner.as_ref()?.name.to_string())),
        contact: decision.and_then(Decision::contact).map(str::to_owned),
        words: trouble.reason.clone(),
        hint: trouble.hint().map(|hint| hint.advice.to_owned()),
    })
}

/// Whose turn it is, by what hindered a delivery; `None`: it says nothing about a partner.
fn leg_of(trouble: &Trouble) -> Option<AlertKind> {
    match trouble.cause {
        Cause::Requirement => trouble.decision.as_deref().and_then(leg_of_decision),
        Cause::Unreachable
        | Cause::NoSuchDomain
        | Cause::NullMx
        | Cause::NoAddress
        | Cause::DnsUnanswered
        | Cause::Refused(Stage::Greeting | Stage::Hello) => Some(AlertKind::PartnerConnection),
        // After RCPT it may be the message.
        Cause::Silent | Cause::Lost | Cause::Garbled => {
            (trouble.scope == Scope::Lane).then_some(AlertKind::PartnerConnection)
        }
        Cause::Login | Cause::Settings | Cause::Ourselves => Some(AlertKind::OurSettings),
        Cause::Refused(Stage::Mail | Stage::Rcpt | Stage::Data | Stage::End)
        | Cause::Displaced
        | Cause::Unsuitable
        | Cause::Unreadable
        | Cause::NotTried
        | Cause::Operator => None,
    }
}

fn leg_of_decision(decision: &Decision) -> Option<AlertKind> {
    match &decision.ruling {
        Ruling::Withheld(shortfall) => leg_of_shortfall(shortfall),
        Ruling::Remembered(_) => Some(AlertKind::Fallback),
        // What a message asks for says nothing about a partner.
        Ruling::Onward
        | Ruling::Met
        | Ruling::Sealed
        | Ruling::Plaintext(_)
        | Ruling::Waived(_)
        | Ruling::Attributed(_)
        | Ruling::WaivedClient(_)
        | Ruling::Refused(..)
        | Ruling::Excepted(_)
        | Ruling::NoConnector(_) => None,
    }
}

fn leg_of_shortfall(shortfall: &Shortfall) -> Option<AlertKind> {
    Some(match shortfall {
        Shortfall::Onward => return None,
        Shortfall::RevocationUnknown(_) | Shortfall::Pin { dated: true, .. } => AlertKind::OurTls,
        Shortfall::Handshake(fault) => match fault.cause {
            HandshakeCause::OursMissing
            | HandshakeCause::OursUnsuited
            | HandshakeCause::OursUnknown
            | HandshakeCause::OursExpired
            | HandshakeCause::OursRefused => AlertKind::OurTls,
            HandshakeCause::Other
            | HandshakeCause::NothingInCommon
            | HandshakeCause::OutsideProfile
            | HandshakeCause::NoMasterSecret
            | HandshakeCause::Version
            | HandshakeCause::Cut
            | HandshakeCause::NotTls
            | HandshakeCause::NameUnknown
            | HandshakeCause::Unproved => AlertKind::PartnerTls,
        },
        Shortfall::Chain { .. }
        | Shortfall::NotTried
        | Shortfall::NotOffered
        | Shortfall::Refused(_)
        | Shortfall::SessionLost(_)
        | Shortfall::Version(_)
        | Shortfall::NoCertificate
        | Shortfall::Unreadable(_)
        | Shortfall::Unproved
        | Shortfall::Name { .. }
        | Shortfall::KeyExchange(_)
        | Shortfall::Profile(..)
        | Shortfall::Pin { dated: false, .. }
        | Shortfall::Subject { .. }
        | Shortfall::Revoked
        | Shortfall::NotForClients => AlertKind::PartnerTls,
    })
}

/// A refusal by a forced inbound connector, of a client in whose network, if it names any, the partner is.
pub(super) fn refusal(decision: &Decision) -> Option<FailureFact> {
    let (RequiredTls::Client { tls: Some(_), .. }, Ruling::Refused(_, unmet)) =
        (&decision.required, &decision.ruling)
    else {
        return None;
    };
    match unmet {
        UnmetCondition::NoTls | UnmetCondition::Tls(_) => {}
        UnmetCondition::Off | UnmetCondition::Listener | UnmetCondition::Network | UnmetCondition::User => {
            return None;
        }
    }
    Some(FailureFact {
        kind: AlertKind::InboundTls,
        connector: decision.connector.clone()?,
        domain: None,
        partner: decision.partner.as_ref().map(|partner| partner.name.to_string()),
        contact: decision.contact().map(str::to_owned),
        words: decision.reason(),
        hint: hint_on_decision(decision).map(|hint| hint.advice.to_owned()),
    })
}

/// How the Message-ID of an alert begins.
pub(super) const MESSAGE_ID_START: &str = "alert.";
