//! Why a recipient was not reached, as a layperson would say it: a few causes, made of a trouble's cause, the ruling of
//! its decision, and the status of a reply.

use super::super::{Cause, Stage, Trouble};
use crate::connector::{ChainFault, Ruling, Shortfall};
use crate::mail::Enhanced;

/// Why a recipient was not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hindrance {
    /// TLS is required, and what was attained is not enough.
    Unsafe(TlsFlaw),
    /// The message must stay encrypted, and the connector does not force TLS.
    Onward,
    /// The other server does not know the address.
    UnknownMailbox,
    /// No server takes mail for the domain.
    NoMailDomain,
    /// There is no way to a server of the domain.
    NoRoute,
    /// The sender's own address is not accepted.
    Sender,
    /// The mailbox is full.
    MailboxFull,
    /// The mailbox takes no mail now.
    MailboxClosed,
    /// The message is too large.
    TooLarge,
    /// The message is of a form that the other server can't take.
    Form,
    /// The other server refused it, or does so for now, and says why.
    Refused,
    /// The other server could not be reached.
    Unreachable,
    /// The other server does not let us log in.
    Login,
    /// No place was free.
    Busy,
    /// The fault is on our side.
    Ours,
    /// An administrator of ours gave the message up.
    GivenUp,
}

/// What is missing for TLS as it is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TlsFlaw {
    /// Nothing is said of it.
    Unsaid,
    /// TLS is not offered, or refused.
    NotOffered,
    /// It was there before, and is not now.
    Gone,
    /// The handshake failed.
    Handshake,
    /// The version or the key exchange is too weak.
    Weak,
    /// The certificate has expired, or is not valid yet.
    Dates,
    /// The certificate is not the one that is expected.
    Mismatch,
    /// The certificate comes from nobody we trust.
    Untrusted,
    /// The certificate is revoked, or may be.
    Revoked,
    /// There is no certificate that proves anything.
    Unproved,
}

impl Hindrance {
    /// What a trouble is about.
    pub(super) fn of(trouble: &Trouble) -> Self {
        match trouble.cause {
            Cause::Requirement => of_ruling(trouble),
            Cause::Refused(Stage::Mail) if trouble.status.1 == 1 => Self::Sender,
            Cause::Refused(_) => of_reply(trouble.status),
            Cause::Login => Self::Login,
            Cause::Unreachable
            | Cause::Silent
            | Cause::Lost
            | Cause::Displaced
            | Cause::Garbled
            | Cause::DnsUnanswered => Self::Unreachable,
            Cause::NoSuchDomain | Cause::NullMx => Self::NoMailDomain,
            Cause::NoAddress | Cause::Ourselves => Self::NoRoute,
            Cause::Unsuitable if trouble.status.1 == 3 => Self::TooLarge,
            Cause::Unsuitable => Self::Form,
            Cause::Settings | Cause::Unreadable => Self::Ours,
            Cause::NotTried => Self::Busy,
            Cause::Operator => Self::GivenUp,
        }
    }

    /// Whether we kept the message back, rather than that it was not taken.
    pub(super) fn is_ours_to_decide(self) -> bool {
        matches!(self, Self::Unsafe(_) | Self::Onward)
    }
}

/// What a reply says by its status (RFC 3463 §3).
fn of_reply(status: Enhanced) -> Hindrance {
    let Enhanced(class, subject, detail) = status;
    match (subject, detail) {
        // What is refused for now is not what it seems: hosts greylist by any status.
        (1 | 6, _) | (2, 0 | 1) if class == 4 => Hindrance::Refused,
        (1, 2 | 10) => Hindrance::NoMailDomain,
        (1, 7 | 8) => Hindrance::Sender,
        (1, _) => Hindrance::UnknownMailbox,
        (2, 2) => Hindrance::MailboxFull,
        (2, 3) | (3, 4) => Hindrance::TooLarge,
        (2, _) => Hindrance::MailboxClosed,
        (6, _) => Hindrance::Form,
        (_, _) => Hindrance::Refused,
    }
}

/// What a connector withheld mail for.
fn of_ruling(trouble: &Trouble) -> Hindrance {
    let Some(decision) = &trouble.decision else { return Hindrance::Unsafe(TlsFlaw::Unsaid) };
    match &decision.ruling {
        Ruling::Onward => Hindrance::Onward,
        Ruling::Remembered(_) => Hindrance::Unsafe(TlsFlaw::Gone),
        Ruling::Withheld(shortfall) => flaw(shortfall),
        // Those that let mail pass, and those about clients, withhold none.
        Ruling::Met
        | Ruling::Sealed
        | Ruling::Plaintext(_)
        | Ruling::Waived(_)
        | Ruling::Attributed(_)
        | Ruling::WaivedClient(_)
        | Ruling::Refused(..)
        | Ruling::NoConnector(_) => Hindrance::Unsafe(TlsFlaw::Unsaid),
    }
}

fn flaw(shortfall: &Shortfall) -> Hindrance {
    Hindrance::Unsafe(match shortfall {
        Shortfall::Onward => return Hindrance::Onward,
        Shortfall::NotTried => TlsFlaw::Unsaid,
        Shortfall::NotOffered | Shortfall::Refused(_) => TlsFlaw::NotOffered,
        Shortfall::Handshake(_) => TlsFlaw::Handshake,
        Shortfall::Version(_) | Shortfall::KeyExchange(_) => TlsFlaw::Weak,
        Shortfall::Name { .. } | Shortfall::Pin { .. } | Shortfall::Subject { .. } => TlsFlaw::Mismatch,
        Shortfall::Chain { fault: ChainFault::Expired | ChainFault::NotYetValid, .. } => TlsFlaw::Dates,
        Shortfall::Chain { fault: ChainFault::UnknownIssuer, .. } => TlsFlaw::Untrusted,
        Shortfall::Chain { .. }
        | Shortfall::NoCertificate
        | Shortfall::Unreadable(_)
        | Shortfall::Unproved
        | Shortfall::NotForClients => TlsFlaw::Unproved,
        Shortfall::Revoked | Shortfall::RevocationUnknown(_) => TlsFlaw::Revoked,
    })
}
