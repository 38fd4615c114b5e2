use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::facts::{CertificateFacts, ChainVerdict, PeerCertificate, TlsFacts, TlsVersion};
use super::name::{PeerName, first_match};
use super::requirement::{Forced, Require, Requirement};
use super::table::{Generation, Revision, TrustId};
use crate::mail::{Enhanced, Reply};

/// Names one outbound session, so that a permit can't be used in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(u64);

/// What an outbound session showed on the way to its first MAIL FROM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// A handshake was completed.
    Established(Arc<TlsFacts>),
    /// STARTTLS was not in the answer to EHLO.
    NotOffered,
    /// STARTTLS was offered and then answered other than 220.
    Refused(Reply),
    /// The handshake broke: this session is dead.
    HandshakeBroken(HandshakeFault),
    /// Every host was tried over TLS, the handshakes broke, and this is a fresh connection.
    ClearAfterBroken(HandshakeFault),
}

/// How a handshake broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeFault {
    /// In words.
    pub words: String,
    /// Over a certificate, ours or the lack of it: no reason ever to go on in clear.
    pub over_certificate: bool,
}

impl HandshakeFault {
    /// A fault that has nothing to do with a certificate.
    #[must_use]
    pub fn new(words: impl Into<String>) -> Self {
        Self { words: words.into(), over_certificate: false }
    }
}

/// What was missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortfall {
    /// STARTTLS was not offered.
    NotOffered,
    /// STARTTLS was refused.
    Refused(Reply),
    /// The handshake broke.
    Handshake(HandshakeFault),
    /// The version is older than the connector demands.
    Version(TlsVersion),
    /// The peer showed no certificate.
    NoCertificate,
    /// The peer's certificate can't be read.
    Unreadable(String),
    /// The peer did not prove that it holds the key.
    Unproved,
    /// The chain does not end in a trust anchor, or does not hold.
    Chain {
        /// In words.
        words: String,
        /// As a machine word.
        token: &'static str,
    },
    /// The certificate presents none of the names.
    Name {
        /// The reference identifiers.
        wanted: String,
        /// The presented identifiers.
        got: String,
    },
}

/// Why a session went on in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClearCause {
    /// STARTTLS was not offered.
    NotOffered,
    /// STARTTLS was refused.
    Refused(Reply),
    /// Every handshake broke.
    HandshakeBroken(HandshakeFault),
}

/// What a session attained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attained {
    /// TLS; whether more was demanded of it is the requirement's matter.
    Sealed(Arc<TlsFacts>),
    /// Plaintext, with the reason.
    Clear(ClearCause),
}

/// Proof that a connector was consulted for this session, and what the session attained. Only
/// [`judge`] makes one, it can't be copied, and no envelope is written without one.
#[derive(Debug)]
pub struct Permit {
    session: SessionId,
    revision: Revision,
    generation: Generation,
    attained: Attained,
    requirement: Requirement,
}

/// The judge's answer.
#[derive(Debug)]
pub enum Verdict {
    /// Mail may be sent.
    Proceed(Permit),
    /// Nothing may be sent.
    Withhold(Shortfall),
}

/// Why a permit does not cover a transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCovered {
    /// It was made for another session.
    #[error("the permit belongs to another session")]
    OtherSession,
    /// The connector table has changed since.
    #[error("the connector table has changed since the permit was made")]
    Stale,
    /// It was made for other connector settings.
    #[error("the permit was made by another revision of the connector")]
    OtherRevision,
    /// What was attained is less than what is demanded now.
    #[error("the session does not meet the requirement: {0}")]
    Short(Shortfall),
}

/// Judges what a session showed against what its connector demands. Every pair is written out.
#[must_use]
pub fn judge(
    requirement: &Requirement,
    observed: &Observed,
    session: SessionId,
    revision: Revision,
    generation: Generation,
) -> Verdict {
    let permit = |attained| {
        Verdict::Proceed(Permit { session, revision, generation, attained, requirement: requirement.clone() })
    };
    match (requirement, observed) {
        (Requirement::Forced(forced), Observed::Established(facts)) => match forced.unmet_by(facts) {
            None => permit(Attained::Sealed(Arc::clone(facts))),
            Some(shortfall) => Verdict::Withhold(shortfall),
        },
        (Requirement::Forced(_), Observed::NotOffered) => Verdict::Withhold(Shortfall::NotOffered),
        (Requirement::Forced(_), Observed::Refused(reply)) => {
            Verdict::Withhold(Shortfall::Refused(reply.clone()))
        }
        (Requirement::Forced(_), Observed::HandshakeBroken(fault) | Observed::ClearAfterBroken(fault)) => {
            Verdict::Withhold(Shortfall::Handshake(fault.clone()))
        }
        (Requirement::Opportunistic, Observed::Established(facts)) => {
            permit(Attained::Sealed(Arc::clone(facts)))
        }
        (Requirement::Opportunistic, Observed::NotOffered) => permit(Attained::Clear(ClearCause::NotOffered)),
        (Requirement::Opportunistic, Observed::Refused(reply)) => {
            permit(Attained::Clear(ClearCause::Refused(reply.clone())))
        }
        // The SMTP state is gone with the handshake: nothing can be sent here (RFC 3207 §4.1).
        (Requirement::Opportunistic, Observed::HandshakeBroken(fault)) => {
            Verdict::Withhold(Shortfall::Handshake(fault.clone()))
        }
        (Requirement::Opportunistic, Observed::ClearAfterBroken(fault)) => {
            permit(Attained::Clear(ClearCause::HandshakeBroken(fault.clone())))
        }
    }
}

impl Permit {
    /// What the session attained.
    #[must_use]
    pub fn attained(&self) -> &Attained {
        &self.attained
    }

    /// Whether a transaction of this requirement may be sent in `session` now.
    ///
    /// # Errors
    /// [`NotCovered`] says why not; nothing may be sent then.
    pub fn covers(
        &self,
        session: SessionId,
        requirement: &Requirement,
        revision: Revision,
        generation: Generation,
    ) -> Result<(), NotCovered> {
        if self.session != session {
            return Err(NotCovered::OtherSession);
        }
        if self.generation != generation {
            return Err(NotCovered::Stale);
        }
        if self.revision != revision {
            return Err(NotCovered::OtherRevision);
        }
        if self.requirement == *requirement {
            return Ok(());
        }
        match (requirement, &self.attained) {
            (Requirement::Opportunistic, Attained::Sealed(_) | Attained::Clear(_)) => Ok(()),
            (Requirement::Forced(forced), Attained::Sealed(facts)) => {
                forced.unmet_by(facts).map_or(Ok(()), |s| Err(NotCovered::Short(s)))
            }
            (Requirement::Forced(_), Attained::Clear(_)) => Err(NotCovered::Short(Shortfall::NotOffered)),
        }
    }
}

impl Forced {
    /// What of this requirement a handshake leaves unmet; used for both directions.
    #[must_use]
    pub fn unmet_by(&self, facts: &TlsFacts) -> Option<Shortfall> {
        if facts.version < self.min_version {
            return Some(Shortfall::Version(facts.version));
        }
        match &self.require {
            Require::Encryption => None,
            Require::Chain { trust } => match readable(facts) {
                Ok(certificate) => unmet_chain(certificate, trust),
                Err(shortfall) => Some(shortfall),
            },
            Require::Identity { trust, names } => match readable(facts) {
                Ok(certificate) => unmet_chain(certificate, trust).or_else(|| unmet_name(certificate, names)),
                Err(shortfall) => Some(shortfall),
            },
        }
    }
}

fn readable(facts: &TlsFacts) -> Result<&CertificateFacts, Shortfall> {
    match &facts.peer {
        PeerCertificate::NotShown => Err(Shortfall::NoCertificate),
        PeerCertificate::Unreadable(why) => Err(Shortfall::Unreadable(why.clone())),
        PeerCertificate::Shown(certificate) if certificate.proved => Ok(certificate),
        PeerCertificate::Shown(_) => Err(Shortfall::Unproved),
    }
}

fn unmet_chain(certificate: &CertificateFacts, trust: &[TrustId]) -> Option<Shortfall> {
    match certificate.chain_to(trust) {
        ChainVerdict::Trusted => None,
        ChainVerdict::Faulty(fault) => {
            Some(Shortfall::Chain { words: fault.in_words(certificate), token: fault.token() })
        }
    }
}

fn unmet_name(certificate: &CertificateFacts, names: &[PeerName]) -> Option<Shortfall> {
    if first_match(names, &certificate.names).is_some() {
        return None;
    }
    let wanted = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    Some(Shortfall::Name { wanted, got: certificate.names_text() })
}

impl SessionId {
    /// An id that no other session of this process has.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Default for SessionId {
    fn default() -> Self {
        Self::new()
    }
}

impl Shortfall {
    /// The enhanced status code of a deferral for this reason: 4.7.4 where TLS was not to be had,
    /// 4.7.5 where it was not good enough.
    #[must_use]
    pub fn enhanced(&self) -> Enhanced {
        match self {
            Self::NotOffered | Self::Refused(_) => Enhanced(4, 7, 4),
            Self::Handshake(_)
            | Self::Version(_)
            | Self::NoCertificate
            | Self::Unreadable(_)
            | Self::Unproved
            | Self::Chain { .. }
            | Self::Name { .. } => Enhanced(4, 7, 5),
        }
    }

    /// The machine word.
    #[must_use]
    pub fn token(&self) -> &'static str {
        match self {
            Self::NotOffered => "starttls-not-offered",
            Self::Refused(_) => "starttls-refused",
            Self::Handshake(_) => "handshake-broken",
            Self::Version(_) => "version-too-old",
            Self::NoCertificate => "no-certificate",
            Self::Unreadable(_) => "certificate-unreadable",
            Self::Unproved => "key-not-proved",
            Self::Chain { token, .. } => token,
            Self::Name { .. } => "name-mismatch",
        }
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOffered => f.write_str("STARTTLS is not offered"),
            Self::Refused(reply) => write!(f, "STARTTLS was answered {reply}"),
            Self::Handshake(fault) => write!(f, "the TLS handshake broke: {}", fault.words),
            Self::Version(version) => write!(f, "only {version} was negotiated"),
            Self::NoCertificate => f.write_str("no certificate was shown"),
            Self::Unreadable(why) => write!(f, "the certificate can't be read: {why}"),
            Self::Unproved => f.write_str("the peer did not prove that it holds the certificate's key"),
            Self::Chain { words, .. } => f.write_str(words),
            Self::Name { wanted, got } => write!(f, "the certificate presents {got}, not {wanted}"),
        }
    }
}

impl fmt::Display for ClearCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOffered => f.write_str("STARTTLS is not offered"),
            Self::Refused(reply) => write!(f, "STARTTLS was answered {reply}"),
            Self::HandshakeBroken(fault) => {
                write!(f, "the TLS handshake broke with every host: {}", fault.words)
            }
        }
    }
}

impl ClearCause {
    /// The machine word.
    #[must_use]
    pub fn token(&self) -> &'static str {
        match self {
            Self::NotOffered => "clear-not-offered",
            Self::Refused(_) => "clear-refused",
            Self::HandshakeBroken(_) => "clear-handshake-broken",
        }
    }
}
