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
    /// Watching has found something worse than before.
    Worsened {
        /// The outbound connector whose host it is.
        connector: String,
        /// The host: name and address.
        host: String,
        /// What is worse.
        what: String,
    },
    /// The connectors may be others now.
    Reloaded {
        /// For whom less is required than before, if for anybody.
        weaker: Option<String>,
    },
    /// What happened to an alert of ours.
    OwnMail {
        /// Its queue ID.
        id: QueueId,
        /// What happened.
        end: AlertMailEnd,
        /// What it says of the connector by which it went.
        failure: Option<FailureFact>,
    },
}

/// What happened to an alert of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlertMailEnd {
    /// A next hop took it, and this is what it said.
    Delivered(String),
    /// It waits, for this reason.
    Deferred(String),
    /// Its connector has handed it to this one.
    HandedOn(String),
    /// It has failed, for this reason.
    Failed(String),
}

impl AlertFact {
    /// The connector that may have begun to fail.
    pub(super) fn suspect(&self) -> Option<&Arc<str>> {
        match self {
            Self::Failed(failure)
            | Self::Refused { failure, .. }
            | Self::OwnMail { failure: Some(failure), .. } => Some(&failure.connector),
            Self::OwnMail { failure: None, .. }
            | Self::Delivered { .. }
            | Self::Accepted { .. }
            | Self::Alarm { .. }
            | Self::Happened(..)
            | Self::Worsened { .. }
            | Self::Reloaded { .. } => None,
        }
    }
}

/// A failed attempt, or a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureFact {
    /// What it is about.
    pub kind: AlertKind,
    /// The connector.
    pub connector: Arc<str>,
    /// The message, if it may be the reason.
    pub message: Option<QueueId>,
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
            let end = || AlertMailEnd::Deferred(trouble.reason.clone());
            failed_or_own((message, end), failure((message, forward_path), outbound, trouble))
        }
        Event::Failed { message, forward_path, outbound, trouble, .. } => {
            let end = || AlertMailEnd::Failed(trouble.reason.clone());
            failed_or_own((message, end), failure((message, forward_path), outbound, trouble))
        }
        Event::Rerouted { message, forward_path, outbound, trouble, to } => {
            let end = || AlertMailEnd::HandedOn((*to).to_owned());
            failed_or_own((message, end), failure((message, forward_path), outbound, trouble))
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
            let (connector, host) = ((*connector).to_owned(), (*host).to_owned());
            Some(AlertFact::Worsened { connector, host, what: change.to_string() })
        }
        Event::PartnerChanged { .. }
        | Event::Delivered { .. }
        | Event::Accepted { .. }
        | Event::Refused { .. }
        | Event::RefusalCounted { .. }
        | Event::RefusedAgain { .. }
        | Event::Omitted { .. }
        | Event::SessionEnded { .. }
        | Event::Reported { .. }
        | Event::Handshake { .. }
        | Event::ClearFallback { .. }
        | Event::KeySharesOmitted { .. }
        | Event::Waived { .. }
        | Event::Held { .. }
        | Event::Started { .. }
        | Event::Stopped
        | Event::Handled { .. }
        | Event::Override { .. }
        | Event::Validated { .. }
        | Event::LinesDropped { .. } => None,
    }
}

/// What hinders an alert of ours decides about its way too.
fn failed_or_own(
    (message, end): (&MessageFacts<'_>, impl FnOnce() -> AlertMailEnd),
    failure: Option<FailureFact>,
) -> Option<AlertFact> {
    if is_alert(message) {
        return Some(AlertFact::OwnMail { id: message.id, end: end(), failure });
    }
    failure.map(AlertFact::Failed)
}

/// Whether a message is an alert of ours.
#[must_use]
pub(super) fn is_alert(message: &MessageFacts<'_>) -> bool {
    message.came_by.is_none() && message.message_id.is_some_and(|id| id.starts_with(MESSAGE_ID_START))
}

fn failure(
    (message, forward_path): (&MessageFacts<'_>, &Mailbox),
    outbound: &str,
    trouble: &Trouble,
) -> Option<FailureFact> {
    let (decision, kind) = (trouble.decision.as_deref(), leg_of(trouble)?);
    Some(FailureFact {
        kind,
        message: (kind == AlertKind::PartnerRefusal).then_some(message.id),
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
        // RFC 3463 §3.8: by policy. Of one message it may be the sender, of one after the other it is us.
        Cause::Refused(Stage::Mail) if trouble.status.1 == SUBJECT_OF_POLICY => {
            Some(AlertKind::PartnerRefusal)
        }
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
        message: None,
        domain: None,
        partner: decision.partner.as_ref().map(|partner| partner.name.to_string()),
        contact: decision.contact().map(str::to_owned),
        words: decision.reason(),
        hint: hint_on_decision(decision).map(|hint| hint.advice.to_owned()),
    })
}

/// How the Message-ID of an alert begins.
pub(super) const MESSAGE_ID_START: &str = "alert.";
/// The subject of an enhanced status code that is about security or policy.
const SUBJECT_OF_POLICY: u16 = 7;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Enhanced, ReversePath, UnixMillis};

    fn refused(stage: Stage, status: Enhanced) -> Trouble {
        Trouble {
            status,
            cause: Cause::Refused(stage),
            reason: "no".to_owned(),
            remote: None,
            decision: None,
            scope: Scope::Recipient,
            expired: false,
        }
    }

    #[test]
    fn a_refusal_of_mail_by_policy_may_be_a_partners() {
        let check = |stage, status, expected| assert_eq!(leg_of(&refused(stage, status)), expected);
        check(Stage::Mail, Enhanced(5, 7, 1), Some(AlertKind::PartnerRefusal));
        check(Stage::Mail, Enhanced(4, 7, 0), Some(AlertKind::PartnerRefusal));
        // The sender, the size, the recipient, the content: the message.
        check(Stage::Mail, Enhanced(5, 1, 8), None);
        check(Stage::Mail, Enhanced(5, 3, 4), None);
        check(Stage::Rcpt, Enhanced(5, 7, 1), None);
        check(Stage::End, Enhanced(5, 7, 1), None);
    }

    #[test]
    fn what_happens_to_an_alert_says_something_of_its_connector() {
        let reverse_path = ReversePath::NULL;
        let forward_path = Mailbox::parse("ops@a.test").expect("a mailbox");
        let trouble = Trouble { cause: Cause::Unreachable, ..refused(Stage::Mail, Enhanced(4, 4, 1)) };
        let told = |message_id, to: Option<&str>| {
            let message = MessageFacts {
                id: QueueId::from_number(7),
                reverse_path: &reverse_path,
                message_id: Some(message_id),
                subject: None,
                size: 1,
                came_by: None,
            };
            let (forward_path, outbound, trouble) = (&forward_path, "via", &trouble);
            let event = match to {
                Some(to) => Event::Rerouted { message, forward_path, outbound, trouble, to },
                None => {
                    let (next_at, rerouted_from) = (UnixMillis(0), None);
                    Event::Deferred { message, forward_path, outbound, trouble, next_at, rerouted_from }
                }
            };
            match fact_of(&event) {
                Some(AlertFact::Failed(failure)) => format!("{:?} {}", failure.kind, failure.connector),
                Some(AlertFact::OwnMail { end, failure, .. }) => {
                    format!(
                        "{end:?} by {}",
                        failure.map_or_else(String::new, |one| one.connector.to_string())
                    )
                }
                other => format!("{other:?}"),
            }
        };
        assert_eq!(told("x@a.test", None), "PartnerConnection via");
        assert_eq!(told("alert.x@a.test", None), "Deferred(\"no\") by via");
        assert_eq!(told("alert.x@a.test", Some("portal")), "HandedOn(\"portal\") by via");
    }
}
