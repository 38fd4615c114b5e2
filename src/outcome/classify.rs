use std::sync::Arc;

use super::{Cause, Outcome, Remote, Scope, Trouble};
use crate::connector::{Decision, OnFailure, Shortfall};
use crate::mail::{Enhanced, Reply};

/// Characters of a reply's text that are kept with a trouble.
const TEXT_CHARS_KEPT: usize = 2000;

/// What a reply answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The connection: the greeting.
    Greeting,
    /// EHLO or HELO.
    Hello,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA.
    Data,
    /// The content.
    End,
}

/// A connection that came to nothing, or to an early end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkFault {
    /// No connection could be made: the reason.
    Unreachable(String),
    /// The address that a connector has us connect from is not this host's: the reason.
    NotOurAddress(String),
    /// The peer said nothing in time.
    Silent,
    /// The connection was lost: the reason.
    Lost(String),
    /// Nothing moved for a while, and other mail waited for the connection.
    Displaced,
    /// The peer did not keep to the protocol: how.
    Garbled(String),
    /// The content could not be read whole on our side: the reason.
    Content(String),
}

/// Why a name leads to no host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameFault {
    /// The recipient domain does not exist, or has no mail exchanger and no address.
    NoDomain,
    /// It accepts no mail (RFC 7505).
    NullMx,
    /// It names mail exchangers, and none has an address.
    NoAddress,
    /// Its best mail exchanger is ourselves.
    Ourselves,
    /// The answer did not come, or was no answer: the reason.
    Unanswered(String),
}

/// Where a trouble came up.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    /// The host: name, address and port.
    pub host: &'a str,
    /// How the session stood to the connector, once that was judged.
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

/// A reply other than the one hoped for. `others_taken` says, for a recipient, whether the same
/// transaction had another one accepted.
#[must_use]
pub fn classify_reply(stage: Stage, reply: &Reply, others_taken: bool, at: &At<'_>) -> Outcome {
    let reply = &shortened(reply);
    let reason = format!("{} {} {reply}", at.host, said(stage));
    let class = class_of(stage, reply);
    let status = status_of(stage, reply, class);
    let scope = scope_of(stage, reply, others_taken);
    let (what, remote) = ((status, Cause::Refused(stage)), Some(reply.clone()));
    if class == 5 {
        // What is final for one message need not be for the next: the lane goes on.
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
        // RFC 7504: 521 is a host that takes no mail at all; 554 in the greeting says the same
        // (RFC 5321 §3.1). Any other refusal before MAIL may be about us, today.
        (Stage::Greeting, 521 | 554) => 5,
        (Stage::Greeting | Stage::Hello, _) => 4,
        // RFC 5321 §4.5.3.1.10: 552 for "too many recipients" is to be taken as 452.
        (Stage::Rcpt, 552) => 4,
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
        (Stage::Rcpt, 452 | 552) => (5, 3),
        (_, 452) => (3, 1),
        (_, 552) => (3, 4),
        (Stage::Greeting, 521 | 554) | (Stage::Rcpt, 551) => (3, 2),
        (Stage::Rcpt, 550 | 553) => (1, 1),
        (Stage::Rcpt, 450) => (2, 0),
        (_, 500..505) => (5, 1),
        // Success where none was due, or a code of no meaning: the protocol is broken.
        (_, 200..400) => (5, 0),
        (_, _) => (0, 0),
    };
    Enhanced(class, subject, detail)
}

fn scope_of(stage: Stage, reply: &Reply, others_taken: bool) -> Scope {
    match (stage, reply.code) {
        (_, 421) | (Stage::Greeting | Stage::Hello, _) => Scope::Lane,
        // Exchange Online says 4.7.500 and the like to whoever sends too much, whatever the command.
        _ if matches!(reply.enhanced, Some(Enhanced(4, 7, 500..=599))) => Scope::Lane,
        // The limit on recipients of one transaction: the rest goes in the next one.
        (Stage::Rcpt, 452 | 552) if others_taken => Scope::Session,
        (Stage::Mail | Stage::Rcpt | Stage::Data | Stage::End, _) => Scope::Recipient,
    }
}

fn shortened(reply: &Reply) -> Reply {
    if reply.text.len() <= TEXT_CHARS_KEPT {
        return reply.clone();
    }
    let text: String = reply.text.chars().take(TEXT_CHARS_KEPT).collect();
    Reply { code: reply.code, enhanced: reply.enhanced, text: text.into() }
}

/// A connection that failed us. `stage` is what was awaited; `None` while there was no session.
/// Always a deferral: a lost connection says nothing of the message.
#[must_use]
pub fn classify_fault(stage: Option<Stage>, fault: &LinkFault, at: &At<'_>) -> Outcome {
    let host = at.host;
    let (cause, status, reason) = match fault {
        LinkFault::Unreachable(why) => {
            (Cause::Unreachable, Enhanced(4, 4, 1), format!("no connection to {host}: {why}"))
        }
        LinkFault::NotOurAddress(why) => {
            // Ours to mend, whoever was to be called: no remote.
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
        // Content may be what breaks it; the messages behind it shall not wait for this one.
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

/// A name that leads nowhere.
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

/// A requirement that no host met; nothing was sent.
#[must_use]
pub fn classify_shortfall(shortfall: &Shortfall, on_failure: OnFailure, at: &At<'_>) -> Outcome {
    let reason = format!("{}: {shortfall}; nothing was sent", at.host);
    let reply = match shortfall {
        Shortfall::Refused(reply) => Some(reply.clone()),
        Shortfall::NotTried
        | Shortfall::NotOffered
        | Shortfall::Handshake(_)
        | Shortfall::Version(_)
        | Shortfall::NoCertificate
        | Shortfall::Unreadable(_)
        | Shortfall::Unproved
        | Shortfall::Chain { .. }
        | Shortfall::Name { .. }
        | Shortfall::KeyExchange(_)
        | Shortfall::Pin { .. }
        | Shortfall::Subject { .. }
        | Shortfall::Revoked
        | Shortfall::RevocationUnknown(_)
        | Shortfall::NotForClients
        | Shortfall::Onward => None,
    };
    let what = (shortfall.enhanced(), Cause::Requirement);
    let trouble = at.trouble(what, reason, reply, Scope::Lane);
    match on_failure {
        OnFailure::Defer => Outcome::Deferred(trouble),
        OnFailure::Bounce if may_pass(shortfall) => Outcome::Deferred(trouble),
        OnFailure::Bounce => Outcome::Failed(Trouble { scope: Scope::Recipient, ..trouble.made_final() }),
    }
}

/// Whether a shortfall may be gone in a moment: a broken connection, or a refusal that says so itself.
/// A single reset by someone in the middle must not bounce a partner's mail.
fn may_pass(shortfall: &Shortfall) -> bool {
    match shortfall {
        Shortfall::Refused(reply) => !reply.is_permanent(),
        Shortfall::Handshake(_) => true,
        Shortfall::RevocationUnknown(_) | Shortfall::NotTried | Shortfall::Onward => true,
        Shortfall::NotOffered
        | Shortfall::Version(_)
        | Shortfall::NoCertificate
        | Shortfall::Unreadable(_)
        | Shortfall::Unproved
        | Shortfall::Chain { .. }
        | Shortfall::Name { .. }
        | Shortfall::KeyExchange(_)
        | Shortfall::Pin { .. }
        | Shortfall::Subject { .. }
        | Shortfall::Revoked
        | Shortfall::NotForClients => false,
    }
}

/// What several hosts came to together: final only if it was so with each. Of several deferrals
/// the one that a connector decided says most, then the last. `None` for no hosts.
#[must_use]
pub fn classify_together(outcomes: Vec<Outcome>) -> Option<Outcome> {
    let weight = |outcome: &Outcome| match outcome {
        Outcome::Failed(_) => 0,
        Outcome::Deferred(trouble) if trouble.decision.is_none() => 1,
        Outcome::Deferred(_) => 2,
        Outcome::Delivered(_) => 3,
    };
    outcomes.into_iter().max_by_key(weight)
}

#[cfg(test)]
mod tests;
