//! Why a recipient was not reached, as a layperson would say it: a few causes, made of a trouble's
//! status and the token of its decision.

use super::super::{Scope, Trouble};
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
    /// Anything else.
    Unknown,
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
        let token = trouble.decision.as_ref().map(|decision| &*decision.token);
        if let Some(known) = token.and_then(by_token) {
            return known;
        }
        let replied = trouble.remote.as_ref().is_some_and(|remote| remote.reply.is_some());
        let Enhanced(class, subject, detail) = trouble.status;
        match (subject, detail) {
            // What is refused for now is not what it seems: hosts greylist by any status.
            (1 | 6, _) | (2, 0 | 1) if replied && class == 4 => Self::Refused,
            (1, 2 | 10) => Self::NoMailDomain,
            (1, 7 | 8) => Self::Sender,
            (1, _) => Self::UnknownMailbox,
            (2, 2) => Self::MailboxFull,
            (2, 3) | (3, 4) => Self::TooLarge,
            (2, _) => Self::MailboxClosed,
            (6, _) => Self::Form,
            // A login is refused to us, and not to the sender.
            (7, 8) if token.is_some() => Self::Login,
            (7, 4 | 5) if !replied => Self::Unsafe(TlsFlaw::Unsaid),
            _ if replied => Self::Refused,
            (4, 7) => of_expired(trouble),
            (4, 4 | 6) => Self::NoRoute,
            (4, 5) => Self::Busy,
            (4, _) => Self::Unreachable,
            // The only one that is final at once, and nobody's reply.
            (3, 0) if class == 5 => Self::GivenUp,
            (3, _) => Self::Ours,
            (_, _) => Self::Unknown,
        }
    }

    /// Whether we kept the message back, rather than that it was not taken.
    pub(super) fn is_ours_to_decide(self) -> bool {
        matches!(self, Self::Unsafe(_) | Self::Onward)
    }
}

/// The status of a trouble that lasted too long says only that.
fn of_expired(trouble: &Trouble) -> Hindrance {
    if trouble.remote.is_some() { Hindrance::Unreachable } else { Hindrance::Unknown }
}

/// Whether a trouble lasted until the message's time was over (RFC 3463 §3.5). An unmet requirement keeps
/// its own status then; but what is final at once hinders one recipient, and never a lane.
pub(super) fn is_expired(trouble: &Trouble) -> bool {
    match (trouble.status, trouble.scope) {
        (Enhanced(5, 4, 7), _) | (Enhanced(5, ..), Scope::Lane | Scope::Session) => true,
        (Enhanced(..), Scope::Recipient | Scope::Lane | Scope::Session) => false,
    }
}

/// The tokens of decisions that withhold mail. Those of sessions that carried it say nothing of what
/// came later.
fn by_token(token: &str) -> Option<Hindrance> {
    Some(Hindrance::Unsafe(match token {
        "onward-not-sealed" => return Some(Hindrance::Onward),
        "tls-remembered" => TlsFlaw::Gone,
        "tls-not-tried" => TlsFlaw::Unsaid,
        "starttls-not-offered" | "starttls-refused" => TlsFlaw::NotOffered,
        "handshake-broken" => TlsFlaw::Handshake,
        "version-too-old" | "key-exchange" => TlsFlaw::Weak,
        "certificate-expired" | "certificate-not-yet-valid" => TlsFlaw::Dates,
        "name-mismatch" | "pin-mismatch" | "pin-out-of-date" | "subject-mismatch" => TlsFlaw::Mismatch,
        "unknown-issuer" => TlsFlaw::Untrusted,
        "certificate-revoked" | "revocation-unknown" => TlsFlaw::Revoked,
        "no-certificate"
        | "certificate-unreadable"
        | "key-not-proved"
        | "ca-as-end-entity"
        | "wrong-purpose"
        | "chain-bad-signature"
        | "chain-invalid" => TlsFlaw::Unproved,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{ChainFault, HandshakeFault, RevocationStatus, Shortfall, TlsVersion};
    use crate::mail::Reply;

    #[test]
    fn every_shortfall_has_its_words() {
        let text = String::new;
        let shortfalls = [
            Shortfall::NotTried,
            Shortfall::NotOffered,
            Shortfall::Refused(Reply::new(454, Enhanced(4, 7, 0), "no")),
            Shortfall::Handshake(HandshakeFault::new("why")),
            Shortfall::Version(TlsVersion::V12),
            Shortfall::NoCertificate,
            Shortfall::Unreadable(text()),
            Shortfall::Unproved,
            Shortfall::Name { wanted: text(), got: text() },
            Shortfall::KeyExchange(text()),
            Shortfall::Pin { got: text(), dated: false },
            Shortfall::Pin { got: text(), dated: true },
            Shortfall::Subject { what: "issuer", wanted: text(), got: text() },
            Shortfall::Revoked,
            Shortfall::RevocationUnknown(RevocationStatus::Stale),
            Shortfall::Onward,
        ];
        let faults = [
            ChainFault::Expired,
            ChainFault::NotYetValid,
            ChainFault::UnknownIssuer,
            ChainFault::CaUsedAsEndEntity,
            ChainFault::WrongPurpose,
            ChainFault::BadSignature,
            ChainFault::Other(text()),
        ];
        let tokens = shortfalls.iter().map(Shortfall::token).chain(faults.iter().map(ChainFault::token));
        let unknown: Vec<_> = tokens.filter(|token| by_token(token).is_none()).collect();
        assert_eq!(unknown, [""; 0]);
        for carried in ["met", "sealed", "clear-not-offered", "audit-name-mismatch"] {
            assert_eq!(by_token(carried), None, "{carried}");
        }
    }
}
