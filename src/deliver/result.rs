//! From how far a transaction came to what it means for each recipient. Pure.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use super::link::Link;
use crate::connector::{Decision, Outbound, Shortfall};
use crate::mail::{Enhanced, Reply};
use crate::outcome::{
    At, Delivered, LinkFault, Outcome, Remote, Scope, Stage, Trouble, classify_fault, classify_reply,
};
use crate::smtp::{Finished, NotBegun};

/// How a session came to its end before its transactions did.
pub(super) enum Ending {
    /// The peer said 421.
    Closing(Reply),
    /// The connection failed.
    Fault(LinkFault),
}

fn at(link: &Link) -> At<'_> {
    At { host: &link.host, decision: Some(&link.decision) }
}

/// What a session's end means for the recipients that had no answer of their own.
pub(super) fn ended(finished: &Finished, link: &Link, ending: &Ending) -> Outcome {
    // The session counts content as sent once it has been handed over; the connection knows whether its end went out.
    let stage = match (finished.sent && link.line.is_after_dot(), finished.begun || finished.sent) {
        (true, _) => Stage::End,
        (false, true) => Stage::Data,
        (false, false) => Stage::Mail,
    };
    match ending {
        Ending::Closing(reply) => classify_reply(stage, reply, false, &at(link)),
        Ending::Fault(fault) => classify_fault(Some(stage), fault, &at(link)),
    }
}

/// What a transaction came to for one of its recipients; `open` is for those without an answer.
pub(super) fn outcome_of(finished: &Finished, number: usize, link: &Link, open: Option<&Outcome>) -> Outcome {
    let refused = |stage, reply| classify_reply(stage, reply, finished.has_taker(), &at(link));
    if let Some(reply) = &finished.mail {
        return refused(Stage::Mail, reply);
    }
    if let Some(Some(reply)) = finished.recipients.get(number) {
        return refused(Stage::Rcpt, reply);
    }
    if let Some(reply) = &finished.data {
        return refused(Stage::Data, reply);
    }
    match (&finished.end, open) {
        (Some(reply), _) if reply.is_positive() => Outcome::Delivered(Delivered {
            host: link.host.clone(),
            reply: reply.clone(),
            decision: link.decision.clone(),
            reports_on: link.line.session.offers().dsn,
        }),
        (Some(reply), _) => refused(Stage::End, reply),
        (None, Some(open)) => open.clone(),
        (None, None) => {
            let fault = LinkFault::Garbled("it did not answer every command".to_owned());
            classify_fault(Some(Stage::Data), &fault, &at(link))
        }
    }
}

/// The daemon stops, and what is left of a job waits for the next start.
pub(super) fn stopping() -> Outcome {
    not_tried(Enhanced(4, 3, 2), "the daemon stops")
}

/// Others waited for the place, and the host was not even called: it is no fault of its.
pub(super) fn crowded_out() -> Outcome {
    not_tried(Enhanced(4, 4, 5), "no connection was free in time, and other mail was waiting")
}

fn not_tried(status: Enhanced, reason: &str) -> Outcome {
    let (remote, decision, scope) = (None, None, Scope::Session);
    Outcome::Deferred(Trouble { status, reason: reason.to_owned(), remote, decision, scope })
}

/// Content that could not be read before anything of it was sent: as where it fails while sending,
/// the message waits, and the others go on.
pub(super) fn unreadable(error: &io::Error, link: &Link) -> Outcome {
    classify_fault(Some(Stage::Data), &LinkFault::Content(error.to_string()), &at(link))
}

/// A message that the next hop's own word rules out, before anything of it is sent.
pub(super) fn undeliverable(fault: &NotBegun, link: &Link) -> Outcome {
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
        reason: format!("{}: {fault}", link.host),
        remote: Some(Remote { host: link.host.clone(), reply: None }),
        decision: Some(link.decision.clone()),
        scope: Scope::Recipient,
    })
}

/// A message that came sealed and must go on sealed, at a connector that does not force TLS.
pub(super) fn not_onward(connector: &Outbound) -> Outcome {
    let shortfall = Shortfall::Onward;
    let decision = Decision {
        connector: Some(Arc::clone(&connector.name)),
        host: None,
        wanted: "a session under enforced, forced TLS".to_owned(),
        got: format!("tls = \"{}\", mode = \"{}\"", connector.tls_word(), connector.mode.word()),
        reason: shortfall.to_string(),
        token: Cow::Borrowed(shortfall.token()),
        tls: None,
    };
    Outcome::Deferred(Trouble {
        status: shortfall.enhanced(),
        reason: decision.reason.clone(),
        remote: None,
        decision: Some(Arc::new(decision)),
        scope: Scope::Recipient,
    })
}
