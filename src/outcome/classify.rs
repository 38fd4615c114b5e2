//! Turns a reply, a shortfall or an I/O fault into delivered, deferred or failed. It does no I/O.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Cause, Outcome, Remote, Scope, Trouble};
use crate::connector::{Decision, OnFailure, Shortfall};
use crate::mail::{Enhanced, Reply};

/// Characters of a reply's text that are kept in a trouble.
const TEXT_CHARS_KEPT: usize = 2000;

/// The command or step that a reply answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The greeting after connecting.
    Greeting,
    /// EHLO or HELO.
    Hello,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA.
    Data,
    /// The content, after its final dot.
    End,
}

impl Stage {
    /// The word for a refusal here, for machines.
    #[must_use]
    pub const fn refusal_word(self) -> &'static str {
        match self {
            Self::Greeting => "refused-greeting",
            Self::Hello => "refused-ehlo",
            Self::Mail => "refused-mail",
            Self::Rcpt => "refused-rcpt",
            Self::Data => "refused-data",
            Self::End => "refused-content",
        }
    }
}

/// Why a connection could not be used, or ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkFault {
    /// No connection could be made; the reason.
    Unreachable(String),
    /// The configured source address is not an address of this host; the reason.
    NotOurAddress(String),
    /// The peer did not answer in time.
    Silent,
    /// The connection was lost; the reason.
    Lost(String),
    /// There was no progress for a while, and other mail was waiting for the connection.
    Displaced,
    /// The peer violated the protocol; how.
    Garbled(String),
    /// Our own copy of the content could not be read in full; the reason.
    Content(String),
}

/// Why a name resolves to no usable host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameFault {
    /// The recipient domain does not exist, or has no mail exchanger and no address.
    NoDomain,
    /// The domain has a null MX: it accepts no mail (RFC 7505).
    NullMx,
    /// The domain has mail exchangers, but none has an address.
    NoAddress,
    /// The domain's preferred mail exchanger is this host.
    Ourselves,
    /// All its addresses are of a kind that is not connected to; one of them.
    NotDialled(IpAddr),
    /// DNS gave no answer or an invalid one; the reason.
    Unanswered(String),
}

/// Where a trouble occurred.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    /// The host: name, address and port.
    pub host: &'a str,
    /// The connector's decision on the session, once it was judged.
    pub decision: Option<&'a Arc<Decision>>,
}

impl At<'_> {
    fn trouble(
        &self,
        (status, cause): (Enhanced, Cause),
        reason: String,
        reply: Option<Reply>,
        scope: Scope,
    ) -> Trouble {
        let remote = Some(Remote { host: self.host.to_owned(), reply });
        Trouble { status, cause, reason, remote, decision: self.decision.cloned(), scope, expired: false }
    }
}

/// Classifies a reply that is not a success. `others_taken` says, for RCPT, whether another recipient was
/// accepted in the same transaction.
#[must_use]
pub fn classify_reply(stage: Stage, reply: &Reply, others_taken: bool, at: &At<'_>) -> Outcome {
    let reply = &shortened(reply);
    let reason = format!("{} {} {reply}", at.host, said(stage));
    let class = class_of(stage, reply);
    let status = status_of(stage, reply, class);
    let scope = scope_of(stage, reply, others_taken);
    let (what, remote) = ((status, Cause::Refused(stage)), Some(reply.clone()));
    if class == 5 {
        // A failure of one message says nothing about the next: the lane continues.
        return Outcome::Failed(at.trouble(what, reason, remote, Scope::Recipient));
    }
    Outcome::Deferred(at.trouble(what, reason, remote, scope))
}

fn said(stage: Stage) -> &'static str {
    match stage {
        Stage::Greeting => "greeted with",
        Stage::Hello => "answered EHLO with",
        Stage::Mail => "answered MAIL with",
        Stage::Rcpt => "answered RCPT with",
        Stage::Data => "answered DATA with",
        Stage::End => "answered the content with",
    }
}

fn class_of(stage: Stage, reply: &Reply) -> u8 {
    match (stage, reply.code) {
        // RFC 7504: 521 is a host that never accepts mail; 554 in the greeting means the same (RFC 5321
        // §3.1). Any other refusal before MAIL may concern us, and be temporary.
        (Stage::Greeting, 521 | 554) => 5,
        (Stage::Greeting | Stage::Hello, _) => 4,
        _ if is_out_of_order(reply) => 4,
        (Stage::Rcpt, _) if is_too_many(reply) => 4,
        (Stage::Mail | Stage::Rcpt | Stage::Data | Stage::End, 500..600) => 5,
        (Stage::Mail | Stage::Rcpt | Stage::Data | Stage::End, _) => 4,
    }
}

fn status_of(stage: Stage, reply: &Reply, class: u8) -> Enhanced {
    if let Some(enhanced) = reply.enhanced.filter(|e| e.0 == 4 || e.0 == 5) {
        return enhanced.in_class(class);
    }
    let (subject, detail) = match (stage, reply.code) {
        (_, 421) => (3, 2),
        (Stage::Rcpt, _) if is_too_many(reply) => (5, 3),
        (_, 452) => (3, 1),
        (_, 552) => (3, 4),
        (Stage::Greeting, 521 | 554) | (Stage::Rcpt, 551) => (3, 2),
        (Stage::Rcpt, 550 | 553) => (1, 1),
        (Stage::Rcpt, 450) => (2, 0),
        (_, 500..505) => (5, 1),
        // An unexpected success or an undefined code: a protocol violation.
        (_, 200..400) => (5, 0),
        (_, _) => (0, 0),
    };
    Enhanced(class, subject, detail)
}

fn scope_of(stage: Stage, reply: &Reply, others_taken: bool) -> Scope {
    match (stage, reply.code) {
        (_, 421) | (Stage::Greeting | Stage::Hello, _) => Scope::Lane,
        // The next message would get the same reply.
        (Stage::Mail, _) if is_out_of_order(reply) => Scope::Lane,
        // Exchange Online uses 4.7.500 and the like for rate limits, at any command.
        _ if matches!(reply.enhanced, Some(Enhanced(4, 7, 500..=599))) => Scope::Lane,
        // The limit on recipients per transaction: the rest goes in the next one.
        (Stage::Rcpt, _) if others_taken && is_too_many(reply) => Scope::Session,
        (Stage::Mail | Stage::Rcpt | Stage::Data | Stage::End, _) => Scope::Recipient,
    }
}

/// Whether earlier transactions of the session may be the cause of a refusal: a limit on messages or errors, a state out
/// of step. On a session that was used before, the question is then asked again on a new one, and only that answer counts.
#[must_use]
pub fn may_be_of_session(stage: Stage, reply: &Reply, others_taken: bool) -> bool {
    if reply.is_positive() || stage == Stage::Rcpt && others_taken && is_too_many(reply) {
        return false;
    }
    // RFC 3463 §3: addresses, mailboxes, content and the size of a message are what they are on every session.
    let of_message = matches!(reply.enhanced, Some(Enhanced(_, 1 | 2 | 6, _) | Enhanced(_, 3, 4)));
    is_out_of_order(reply) || !of_message
}

/// RFC 5321 §4.5.3.1.10: treat 552 for "too many recipients" as 452. Both also have other meanings, which an enhanced code
/// gives; X.5.3 (RFC 3463 §3.6) always means this one.
fn is_too_many(reply: &Reply) -> bool {
    match reply.enhanced {
        Some(Enhanced(_, subject, detail)) => (subject, detail) == (5, 3),
        None => matches!(reply.code, 452 | 552),
    }
}

/// Bad sequence of commands: on a new session the same commands are right, so it is never about the message.
fn is_out_of_order(reply: &Reply) -> bool {
    reply.code == 503
}

fn shortened(reply: &Reply) -> Reply {
    if reply.text.len() <= TEXT_CHARS_KEPT {
        return reply.clone();
    }
    let text: String = reply.text.chars().take(TEXT_CHARS_KEPT).collect();
    Reply { code: reply.code, enhanced: reply.enhanced, text: text.into() }
}

/// Classifies a failed connection. `stage` is the reply awaited; `None` before there was a session. Always a
/// deferral: a lost connection says nothing about the message.
#[must_use]
pub fn classify_fault(stage: Option<Stage>, fault: &LinkFault, at: &At<'_>) -> Outcome {
    let host = at.host;
    let (cause, status, reason) = match fault {
        LinkFault::Unreachable(why) => {
            (Cause::Unreachable, Enhanced(4, 4, 1), format!("no connection to {host}: {why}"))
        }
        LinkFault::NotOurAddress(why) => {
            // Needs fixing on our side, whichever host was dialled: no remote.
            let what = (Enhanced(4, 3, 5), Cause::Settings);
            let trouble = at.trouble(what, why.clone(), None, Scope::Lane);
            return Outcome::Deferred(Trouble { remote: None, ..trouble });
        }
        LinkFault::Silent => {
            let reason = format!("{host} did not answer in time{}", when(stage));
            (Cause::Silent, Enhanced(4, 4, 2), reason)
        }
        LinkFault::Lost(why) => {
            let reason = format!("the connection to {host} was lost{}: {why}", when(stage));
            (Cause::Lost, Enhanced(4, 4, 2), reason)
        }
        LinkFault::Displaced => (
            Cause::Displaced,
            Enhanced(4, 4, 2),
            format!("{host} made no progress{}, and other mail was waiting for the connection", when(stage)),
        ),
        LinkFault::Garbled(how) => {
            (Cause::Garbled, Enhanced(4, 5, 0), format!("{host} violated the protocol: {how}"))
        }
        LinkFault::Content(why) => {
            (Cause::Unreadable, Enhanced(4, 3, 0), format!("the content could not be read: {why}"))
        }
    };
    let scope = match stage {
        _ if *fault == LinkFault::Displaced => Scope::Lane,
        // The content may be the cause; the messages behind must not wait for this one.
        Some(Stage::Rcpt | Stage::Data | Stage::End) => Scope::Recipient,
        Some(Stage::Greeting | Stage::Hello | Stage::Mail) | None => Scope::Lane,
    };
    Outcome::Deferred(at.trouble((status, cause), reason, None, scope))
}

fn when(stage: Option<Stage>) -> &'static str {
    match stage {
        None => "",
        Some(Stage::Greeting) => " before the greeting",
        Some(Stage::Hello) => " after EHLO",
        Some(Stage::Mail) => " after MAIL",
        Some(Stage::Rcpt) => " after RCPT",
        Some(Stage::Data) => " after DATA",
        Some(Stage::End) => " after the content, which may have been taken over",
    }
}

/// Classifies a name that resolves to no usable host.
#[must_use]
pub fn classify_name(fault: &NameFault, name: &str) -> Outcome {
    let (cause, status, reason) = match fault {
        NameFault::NoDomain => {
            (Cause::NoSuchDomain, Enhanced(5, 1, 2), format!("{name} has no mail exchanger and no address"))
        }
        NameFault::NullMx => (Cause::NullMx, Enhanced(5, 1, 10), format!("{name} accepts no mail (null MX)")),
        NameFault::NoAddress => (
            Cause::NoAddress,
            Enhanced(5, 4, 4),
            format!("none of the mail exchangers of {name} has an address"),
        ),
        // Ours to decide, and often the sign of an internal name service: it waits until the key is set.
        NameFault::NotDialled(ip) => (
            Cause::NoAddress,
            Enhanced(4, 4, 4),
            format!(
                "the mail exchangers of {name} have only addresses that the connector does not connect to: {ip} \
                 (mx_addresses, address_family)"
            ),
        ),
        NameFault::Ourselves => {
            (Cause::Ourselves, Enhanced(5, 4, 6), format!("the mail exchanger of {name} is this host"))
        }
        NameFault::Unanswered(why) => {
            (Cause::DnsUnanswered, Enhanced(4, 4, 3), format!("looking up {name} failed: {why}"))
        }
    };
    let scope = if status.0 == 4 { Scope::Lane } else { Scope::Recipient };
    let trouble = Trouble { status, cause, reason, remote: None, decision: None, scope, expired: false };
    if status.0 == 4 { Outcome::Deferred(trouble) } else { Outcome::Failed(trouble) }
}

/// Classifies a requirement that no host met; nothing was sent.
#[must_use]
pub fn classify_shortfall(shortfall: &Shortfall, on_failure: &OnFailure, at: &At<'_>) -> Outcome {
    let reason = format!("{}: {shortfall}; nothing was sent", at.host);
    let what = (shortfall.enhanced(), Cause::Requirement);
    let trouble = at.trouble(what, reason, shortfall.reply().cloned(), Scope::Lane);
    match on_failure {
        OnFailure::Defer => Outcome::Deferred(trouble),
        OnFailure::Bounce | OnFailure::Reroute(_) if may_pass(shortfall) => Outcome::Deferred(trouble),
        // What goes another way has failed this way; the scheduler hands it on.
        OnFailure::Bounce | OnFailure::Reroute(_) => {
            Outcome::Failed(Trouble { scope: Scope::Recipient, ..trouble.made_final() })
        }
    }
}

/// Whether a shortfall may be temporary: a failed handshake, or a temporary refusal. A single connection
/// reset by someone on the path must not fail a partner's mail.
#[must_use]
pub fn may_pass(shortfall: &Shortfall) -> bool {
    match shortfall {
        Shortfall::Refused(reply) => !reply.is_permanent(),
        Shortfall::Handshake(_) | Shortfall::SessionLost(_) => true,
        Shortfall::RevocationUnknown(_) | Shortfall::NotTried | Shortfall::Onward => true,
        Shortfall::NotOffered
        | Shortfall::Version(_)
        | Shortfall::NoCertificate
        | Shortfall::Unreadable(_)
        | Shortfall::Unproved
        | Shortfall::Chain { .. }
        | Shortfall::Name { .. }
        | Shortfall::KeyExchange(_)
        | Shortfall::Profile(..)
        | Shortfall::Pin { .. }
        | Shortfall::Subject { .. }
        | Shortfall::Revoked
        | Shortfall::NotForClients => false,
    }
}

impl Cause {
    /// Whether it is about the message or its recipient: other mail may pass where this was hindered.
    #[must_use]
    pub fn is_of_message(self) -> bool {
        match self {
            Self::Unsuitable | Self::Unreadable | Self::Operator => true,
            Self::Refused(Stage::Mail | Stage::Rcpt | Stage::Data | Stage::End) => true,
            Self::Refused(Stage::Greeting | Stage::Hello)
            | Self::Requirement
            | Self::Login
            | Self::Unreachable
            | Self::Silent
            | Self::Lost
            | Self::Displaced
            | Self::Garbled
            | Self::NoSuchDomain
            | Self::NullMx
            | Self::NoAddress
            | Self::Ourselves
            | Self::DnsUnanswered
            | Self::Settings
            | Self::NotTried => false,
        }
    }
}

/// The combined outcome of several hosts: failed only if it failed at each. Of several deferrals, or failures, one decided
/// by a connector is preferred, then the last; if one of the hosts only can't take this message, the lane does not wait.
/// `None` if there are no hosts.
#[must_use]
pub fn classify_together(outcomes: Vec<Outcome>) -> Option<Outcome> {
    let of_message = |outcome: &Outcome| match outcome {
        Outcome::Failed(trouble) | Outcome::Deferred(trouble) => {
            trouble.scope == Scope::Recipient && trouble.cause.is_of_message()
        }
        Outcome::Delivered(_) => false,
    };
    let passes_others = outcomes.iter().any(of_message);
    let weight = |outcome: &Outcome| match outcome {
        Outcome::Failed(trouble) if trouble.decision.is_none() => 0,
        Outcome::Failed(_) => 1,
        Outcome::Deferred(trouble) if trouble.decision.is_none() => 2,
        Outcome::Deferred(_) => 3,
        Outcome::Delivered(_) => 4,
    };
    match outcomes.into_iter().max_by_key(weight)? {
        Outcome::Deferred(trouble) if passes_others => {
            Some(Outcome::Deferred(Trouble { scope: Scope::Recipient, ..trouble }))
        }
        decisive @ (Outcome::Delivered(_) | Outcome::Deferred(_) | Outcome::Failed(_)) => Some(decisive),
    }
}

#[cfg(test)]
mod tests;
