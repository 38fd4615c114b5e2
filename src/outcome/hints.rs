//! Explains a peer's reply or a failed handshake: looks it up in tables of what is known. A hint is shown with the outcome,
//! and never decides about it.

mod echo;
mod exchange;
mod general;
mod handshake;
mod known;
mod microsoft;
mod receivers;

pub use known::{Actor, CodeRange, Hint, KnownReply};

use super::Trouble;
use crate::connector::{
    ClearCause, Decision, HandshakeCause, HandshakeFault, RequiredTls, Requirement, Ruling, Shortfall,
    TlsVersion,
};
use crate::mail::Reply;

use echo::without_addresses;
use exchange::EXCHANGE;
use general::GENERAL;
use handshake::{HANDSHAKES, hint_of, hint_of_refused, hint_of_version_13};
use microsoft::MICROSOFT;
use receivers::RECEIVERS;

/// All known replies, most specific first.
pub fn known_replies() -> impl Iterator<Item = &'static KnownReply> {
    [EXCHANGE, MICROSOFT, RECEIVERS, GENERAL].into_iter().flatten()
}

/// The hints about handshakes: a word for the cause, and the hint.
#[must_use]
pub fn known_handshakes() -> &'static [(&'static str, Hint)] {
    HANDSHAKES
}

/// What to do about a reply; `None` if it is not known, or no refusal. What a permanent one is about is not tried again.
#[must_use]
pub fn hint_on_reply(reply: &Reply) -> Option<&'static Hint> {
    hint_on_refusal(reply, reply.is_transient())
}

/// What to do about a reply. Only if what it is about is tried again may nobody have to act.
fn hint_on_refusal(reply: &Reply, is_retried: bool) -> Option<&'static Hint> {
    if !reply.is_transient() && !reply.is_permanent() {
        return None;
    }
    let text: String = reply.to_string().chars().take(TEXT_CHARS_MAX).collect();
    let text = without_addresses(&text.to_lowercase().replace(" / ", " "));
    let may_be = |known: &&KnownReply| is_retried || known.hint.actor != Actor::Nobody;
    known_replies().filter(may_be).find(|known| known.is(reply, &text)).map(|known| &known.hint)
}

/// What to do about a decision: about how its handshake failed, or how STARTTLS was refused.
#[must_use]
pub fn hint_on_decision(decision: &Decision) -> Option<&'static Hint> {
    match &decision.ruling {
        Ruling::Withheld(shortfall) | Ruling::Waived(shortfall) => hint_on_shortfall(shortfall, decision),
        Ruling::Plaintext(cause) | Ruling::Remembered(cause) => match cause {
            ClearCause::HandshakeBroken(fault) => hint_on_handshake(fault, decision),
            ClearCause::Refused(reply) => hint_on_reply(reply).or_else(hint_of_refused),
            ClearCause::Off | ClearCause::NotOffered | ClearCause::SessionLost(_) => None,
        },
        Ruling::Met
        | Ruling::Sealed
        | Ruling::Onward
        | Ruling::Attributed(_)
        | Ruling::WaivedClient(_)
        | Ruling::Refused(..)
        | Ruling::Excepted(_)
        | Ruling::NoConnector(_) => None,
    }
}

/// A peer without a version in common with us lacks either every one that is still in use, or the one that we demand.
fn hint_on_handshake(fault: &HandshakeFault, decision: &Decision) -> Option<&'static Hint> {
    let demanded = match &decision.required {
        RequiredTls::Session(Requirement::Forced(forced) | Requirement::Audit(forced)) => {
            Some(forced.min_version)
        }
        RequiredTls::Session(Requirement::Off | Requirement::Opportunistic(_))
        | RequiredTls::Client { .. }
        | RequiredTls::InboundConnector
        | RequiredTls::TlsAsBefore
        | RequiredTls::Onward(_) => None,
    };
    match (fault.cause, demanded) {
        (HandshakeCause::Version, Some(TlsVersion::V13)) => hint_of_version_13(),
        (cause, _) => hint_of(cause),
    }
}

fn hint_on_shortfall(shortfall: &Shortfall, decision: &Decision) -> Option<&'static Hint> {
    if let Shortfall::Handshake(fault) = shortfall {
        return hint_on_handshake(fault, decision);
    }
    shortfall.reply().and_then(|reply| hint_on_reply(reply).or_else(hint_of_refused))
}

/// The hint with this token, for what was stored. `None` if this version has no such hint.
#[must_use]
pub fn hint_named(token: &str) -> Option<&'static Hint> {
    let mut all = known_replies().map(|known| &known.hint).chain(HANDSHAKES.iter().map(|(_, hint)| hint));
    all.find(|hint| hint.token == token)
}

impl Trouble {
    /// What to do about it, if the host's reply or the way the handshake failed is known. Where the message has failed, or
    /// expired, no hint says that nobody needs to act.
    #[must_use]
    pub fn hint(&self) -> Option<&'static Hint> {
        let reply = self.remote.as_ref().and_then(|remote| remote.reply.as_ref());
        let is_retried = self.status.0 == 4 && !self.expired;
        reply
            .and_then(|reply| hint_on_refusal(reply, is_retried))
            .or_else(|| self.decision.as_deref().and_then(hint_on_decision))
    }
}

/// Characters of a reply that are looked at.
const TEXT_CHARS_MAX: usize = 2000;

#[cfg(test)]
mod tests;
