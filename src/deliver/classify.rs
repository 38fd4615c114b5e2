//! What a transaction, or an early end of it, means for each recipient. Pure.

use std::io;

use super::declare::SevenBitForm;
use super::session::OpenSession;
use crate::connector::RecipientCheck;
use crate::mail::{Enhanced, Reply};
use crate::outcome::{
    At, Cause, ContentRecord, DeliveryRecord, LinkFault, Outcome, Remote, Scope, Stage, Trouble,
    classify_fault, classify_reply, may_be_of_session,
};
use crate::smtp::{NotBegun, TransactionResult};

/// How a session ended before its transactions did.
pub(super) enum Ending {
    /// The peer replied 421.
    Closing(Reply),
    /// The connection failed.
    Fault(LinkFault),
}

impl Ending {
    /// Whether earlier transactions of the session may be the cause: a limit, or a connection that was closed while
    /// idle. Not if the peer may have the whole message, unless it says itself that it does not accept it.
    pub(super) fn may_be_of_session(&self, after_dot: bool) -> bool {
        match self {
            Self::Closing(_) => true,
            Self::Fault(LinkFault::Displaced | LinkFault::Content(_)) => false,
            Self::Fault(
                LinkFault::Unreachable(_)
                | LinkFault::NotOurAddress(_)
                | LinkFault::Silent
                | LinkFault::Lost(_)
                | LinkFault::Garbled(_),
            ) => !after_dot,
        }
    }
}

fn at(session: &OpenSession) -> At<'_> {
    At { host: &session.host, decision: Some(&session.decision) }
}

/// What the end of a session means for recipients without a reply of their own.
pub(super) fn ended(finished: &TransactionResult, session: &OpenSession, ending: &Ending) -> Outcome {
    // The session counts content as sent once it is handed over; the connection knows whether its
    // end was written.
    let stage = match (finished.sent && session.connection.is_after_dot(), finished.begun || finished.sent) {
        (true, _) => Stage::End,
        (false, true) => Stage::Data,
        (false, false) => Stage::Mail,
    };
    match ending {
        Ending::Closing(reply) => classify_reply(stage, reply, false, &at(session)),
        Ending::Fault(fault) => classify_fault(Some(stage), fault, &at(session)),
    }
}

/// The outcome of a transaction for one recipient; `open` is for recipients without a reply.
pub(super) fn outcome_of(
    finished: &TransactionResult,
    number: usize,
    session: &OpenSession,
    open: Option<&Outcome>,
) -> Outcome {
    match (answer_of(finished, number), open) {
        (Some((Stage::End, reply)), _) if reply.is_positive() => Outcome::Delivered(DeliveryRecord {
            host: session.host.clone(),
            reply: reply.clone(),
            decision: session.decision.clone(),
            reports_on: session.smtp.offers().dsn,
            content: ContentRecord::default(),
        }),
        (Some((stage, reply)), _) => classify_reply(stage, reply, finished.has_taker(), &at(session)),
        (None, Some(open)) => open.clone(),
        (None, None) => {
            let fault = LinkFault::Garbled("it did not answer every command".to_owned());
            classify_fault(Some(Stage::Data), &fault, &at(session))
        }
    }
}

/// What a host's answer to RCPT says of a recipient. Only a refusal of the address itself says that it is unknown: a
/// full mailbox, a policy or a refusal of us or of the null reverse-path does not.
pub(super) fn recipient_check(finished: &TransactionResult) -> RecipientCheck {
    match (&finished.mail, finished.recipients.first()) {
        (None, Some(None)) => RecipientCheck::Exists,
        (None, Some(Some(reply))) if is_unknown(reply) => RecipientCheck::Unknown(reply.clone()),
        (Some(_), _) | (None, Some(Some(_)) | None) => RecipientCheck::Unsure,
    }
}

/// RFC 3463 §3.2: X.1.z is about the address; X.2.1 is a mailbox that is disabled. Exchange Online says 550 5.4.1
/// for a recipient that its directory does not have. Without an enhanced status code, RFC 5321 §4.2.3 has three codes
/// for it.
fn is_unknown(reply: &Reply) -> bool {
    match (reply.code, reply.enhanced.map(|status| (status.0, status.1, status.2))) {
        (550 | 551 | 553, None) => true,
        (500.., Some((5, 1, 0..=3 | 6 | 10) | (5, 2, 1))) | (550, Some((5, 4, 1))) => true,
        (_, Some(_) | None) => false,
    }
}

/// Whether the refusal of a recipient may be about the session, if that was used before.
pub(super) fn is_in_doubt(finished: &TransactionResult, number: usize) -> bool {
    answer_of(finished, number)
        .is_some_and(|(stage, reply)| may_be_of_session(stage, reply, finished.has_taker()))
}

/// The reply that decides about one recipient of a transaction, and its stage.
fn answer_of(finished: &TransactionResult, number: usize) -> Option<(Stage, &Reply)> {
    let refused = finished.mail.as_ref().map(|reply| (Stage::Mail, reply));
    refused
        .or_else(|| finished.recipients.get(number)?.as_ref().map(|reply| (Stage::Rcpt, reply)))
        .or_else(|| finished.data.as_ref().map(|reply| (Stage::Data, reply)))
        .or_else(|| finished.end.as_ref().map(|reply| (Stage::End, reply)))
}

/// The daemon stops, and the rest of the job waits for the next start.
pub(super) fn stopping() -> Outcome {
    not_tried(Enhanced(4, 3, 2), "the daemon stops")
}

/// Others waited for the place, and the host was not even dialled: it is not at fault.
pub(super) fn crowded_out() -> Outcome {
    not_tried(Enhanced(4, 4, 5), "no connection was free in time, and other mail was waiting")
}

fn not_tried(status: Enhanced, reason: &str) -> Outcome {
    let (cause, remote, decision, scope) = (Cause::NotTried, None, None, Scope::Session);
    Outcome::Deferred(Trouble {
        status,
        cause,
        reason: reason.to_owned(),
        remote,
        decision,
        scope,
        expired: false,
    })
}

/// The connector table changed during the job: the connector is chosen again at once.
pub(super) fn elsewhere() -> Outcome {
    not_tried(Enhanced(4, 3, 0), "the connector table has changed; the connector is chosen again")
}

/// What a reply before the first transaction means.
pub(super) fn refused_early(stage: Stage, reply: &Reply, at: &At<'_>) -> Outcome {
    classify_reply(stage, reply, false, at)
}

/// What a session that failed before its first transaction means. `replies`: number of replies
/// received.
pub(super) fn broken_early(fault: &LinkFault, replies: u64, at: &At<'_>) -> Outcome {
    let stage = if replies == 0 { Stage::Greeting } else { Stage::Hello };
    classify_fault(Some(stage), fault, at)
}

/// Whether a host gave no connection or no greeting, so that the next message need not wait for it.
pub(super) fn is_out_of_reach(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Deferred(trouble) => {
            let unheard =
                matches!(trouble.cause, Cause::Unreachable | Cause::Silent | Cause::Lost | Cause::Displaced);
            trouble.scope == Scope::Lane && unheard
        }
        Outcome::Delivered(_) | Outcome::Failed(_) => false,
    }
}

/// What a deferral or failure blocks: a recipient, the session or the lane. None for a delivery.
pub(super) fn scope(outcome: &Outcome) -> Option<Scope> {
    match outcome {
        Outcome::Delivered(_) => None,
        Outcome::Deferred(trouble) | Outcome::Failed(trouble) => Some(trouble.scope),
    }
}

/// Content that can't be read before any of it was sent. As with a failure while sending, the
/// message waits and other messages go on.
pub(super) fn unreadable(error: &io::Error, session: &OpenSession) -> Outcome {
    classify_fault(Some(Stage::Data), &LinkFault::Content(error.to_string()), &at(session))
}

/// A message that the next hop's own offers rule out before any of it is sent.
pub(super) fn undeliverable(fault: &NotBegun, session: &OpenSession) -> Outcome {
    unsuitable(fault, &fault.to_string(), session)
}

/// The same, if the content was looked at for this host: why it was not converted.
pub(super) fn unconverted(fault: &NotBegun, form: Option<&SevenBitForm>, session: &OpenSession) -> Outcome {
    match (fault, form) {
        (NotBegun::EightBit, Some(SevenBitForm::Refused(why))) => {
            unsuitable(fault, &format!("{fault}; {why}"), session)
        }
        (_, Some(_) | None) => undeliverable(fault, session),
    }
}

fn unsuitable(fault: &NotBegun, reason: &str, session: &OpenSession) -> Outcome {
    let status = match fault {
        NotBegun::TooLarge { .. } => Enhanced(5, 3, 4),
        NotBegun::Utf8 => Enhanced(5, 6, 7),
        NotBegun::EightBit
        | NotBegun::Binary
        | NotBegun::Unauthorised
        | NotBegun::Busy
        | NotBegun::NotCovered(_) => Enhanced(5, 6, 3),
    };
    Outcome::Failed(Trouble {
        status,
        cause: Cause::Unsuitable,
        reason: format!("{}: {reason}", session.host),
        remote: Some(Remote { host: session.host.clone(), reply: None }),
        decision: Some(session.decision.clone()),
        scope: Scope::Recipient,
        expired: false,
    })
}
