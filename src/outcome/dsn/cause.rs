//! Why a recipient was not reached, in terms for laypeople: a few causes, derived from a trouble's cause, its
//! decision's ruling, and a reply's status.

use super::super::{Cause, Stage, Trouble};
use crate::connector::{ChainFault, Ruling, Shortfall};
use crate::mail::Enhanced;

/// Why a recipient was not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hindrance {
    /// TLS is required, and what was attained is insufficient.
    Unsafe(TlsFlaw),
    /// The message must leave under enforced TLS, and the connector does not force it.
    Onward,
    /// The other server does not know the address.
    UnknownMailbox,
    /// No server accepts mail for the domain.
    NoMailDomain,
    /// No server of the domain can be found.
    NoRoute,
    /// The reverse-path is not accepted.
    Sender,
    /// The mailbox is full.
    MailboxFull,
    /// The mailbox accepts no mail now.
    MailboxClosed,
    /// The message is too large.
    TooLarge,
    /// The other server does not support the message's format.
    Form,
    /// The other server refused or deferred it; its reply says why.
    Refused,
    /// The other server could not be reached.
    Unreachable,
    /// We could not log in at the other server.
    Login,
    /// No connection was free.
    Busy,
    /// The cause is on our side.
    Ours,
    /// Our administrator gave the message up.
    GivenUp,
}

/// What is missing for the required TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TlsFlaw {
    /// Not specified.
    Unsaid,
    /// TLS is not offered, or refused.
    NotOffered,
    /// It was available before, and is not now.
    Gone,
    /// The handshake failed.
    Handshake,
    /// The version or the key exchange is too weak.
    Weak,
    /// The certificate has expired, or is not valid yet.
    Dates,
    /// The certificate is not the expected one.
    Mismatch,
    /// The certificate comes from an issuer we do not trust.
    Untrusted,
    /// The certificate is revoked, or may be.
    Revoked,
    /// There is no certificate that proves an identity.
    Unproved,
}

impl Hindrance {
    /// The layperson's cause for a trouble.
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

    /// Whether we withheld the message, rather than the other server not accepting it.
    pub(super) fn is_ours_to_decide(self) -> bool {
        matches!(self, Self::Unsafe(_) | Self::Onward)
    }
}

/// The cause by a reply's enhanced status code (RFC 3463 §3).
fn of_reply(status: Enhanced) -> Hindrance {
    let Enhanced(class, subject, detail) = status;
    match (subject, detail) {
        // A deferral's status is unreliable: hosts greylist with any status.
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

/// The cause for which a connector withheld mail.
fn of_ruling(trouble: &Trouble) -> Hindrance {
    let Some(decision) = &trouble.decision else { return Hindrance::Unsafe(TlsFlaw::Unsaid) };
    match &decision.ruling {
        Ruling::Onward => Hindrance::Onward,
        Ruling::Remembered(_) => Hindrance::Unsafe(TlsFlaw::Gone),
        Ruling::Withheld(shortfall) => flaw(shortfall),
        // Rulings that let mail pass, and those about clients, withhold nothing.
        Ruling::Met
        | Ruling::Sealed
        | Ruling::Plaintext(_)
        | Ruling::Waived(_)
        | Ruling::Attributed(_)
        | Ruling::WaivedClient(_)
        | Ruling::Refused(..)
        | Ruling::Excepted(_)
        | Ruling::NoConnector(_) => Hindrance::Unsafe(TlsFlaw::Unsaid),
    }
}

fn flaw(shortfall: &Shortfall) -> Hindrance {
    Hindrance::Unsafe(match shortfall {
        Shortfall::Onward => return Hindrance::Onward,
        Shortfall::NotTried => TlsFlaw::Unsaid,
        Shortfall::NotOffered | Shortfall::Refused(_) => TlsFlaw::NotOffered,
        Shortfall::Handshake(_) | Shortfall::SessionLost(_) => TlsFlaw::Handshake,
        Shortfall::Version(_) | Shortfall::KeyExchange(_) | Shortfall::Profile(..) => TlsFlaw::Weak,
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
