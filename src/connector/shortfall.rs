//! Compares a handshake with a requirement and names what is missing. It does not decide what follows.

use std::fmt;

use super::facts::TrustId;
use super::facts::{
    CertificateFacts, ChainFault, ChainVerdict, PeerCertificate, RevocationStatus, TlsFacts, TlsVersion,
};
use super::name::{PeerName, first_match};
use super::pin::{Pin, pin_text};
use super::profile::{Profile, ProfileGap};
use super::requirement::{Forced, KeyExchange, Purpose, Require, Revocation, SubjectRules};
use super::strength::AnchorPath;
use crate::mail::{Enhanced, Reply, UnixMillis};

/// What a session lacked compared to the requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortfall {
    /// TLS was not attempted.
    NotTried,
    /// STARTTLS was not offered.
    NotOffered,
    /// STARTTLS was refused.
    Refused(Reply),
    /// The handshake failed.
    Handshake(HandshakeFault),
    /// The handshake completed, and the session was lost before the first reply inside TLS.
    SessionLost(String),
    /// The TLS version is older than required.
    Version(TlsVersion),
    /// The peer showed no certificate.
    NoCertificate,
    /// The peer's certificate can't be parsed; the reason.
    Unreadable(String),
    /// The peer did not prove possession of the key.
    Unproved,
    /// The chain does not end in an accepted trust anchor, or is not valid.
    Chain {
        /// What is wrong with the chain.
        fault: ChainFault,
        /// The fault in words.
        words: String,
    },
    /// The certificate presents none of the required names.
    Name {
        /// The reference identifiers.
        wanted: String,
        /// The presented identifiers.
        got: String,
    },
    /// The key exchange used a group that the requirement excludes.
    KeyExchange(String),
    /// The session or the certificate does not conform to the profile.
    Profile(Profile, ProfileGap),
    /// The certificate's key matches none of the pins.
    Pin {
        /// The pin of the key that the peer showed.
        got: String,
        /// Whether that pin is listed, but not valid at this time.
        dated: bool,
    },
    /// The subject or the issuer does not contain the required text.
    Subject {
        /// Which field: `organisation`, `common name`, `issuer`.
        what: &'static str,
        /// The required texts.
        wanted: String,
        /// What the certificate contains.
        got: String,
    },
    /// A revocation list revokes the certificate or one of its issuers.
    Revoked,
    /// No current revocation list covers the certificate.
    RevocationUnknown(RevocationStatus),
    /// The certificate is not valid for client use.
    NotForClients,
    /// The message must leave under enforced TLS, and the connector does not force it.
    Onward,
}

impl Forced {
    /// The first part of this requirement that a handshake does not meet; used for both directions.
    #[must_use]
    pub fn unmet_by(&self, facts: &TlsFacts) -> Option<Shortfall> {
        if facts.version < self.min_version {
            return Some(Shortfall::Version(facts.version));
        }
        if self.key_exchange == KeyExchange::PostQuantum && !facts.is_post_quantum() {
            return Some(Shortfall::KeyExchange(facts.group.clone()));
        }
        if let Some((profile, gap)) = self.profile.and_then(|p| Some((p, p.session_gap(facts)?))) {
            return Some(Shortfall::Profile(profile, gap));
        }
        // A server's key signs the handshake, whatever else is required of it; a client that need not show a certificate
        // is not judged by one.
        let by_profile = self.profile.filter(|_| facts.client_certificate.is_some());
        if !self.needs_certificate() && by_profile.is_none() {
            return None;
        }
        match readable(facts) {
            Ok(certificate) => self.unmet_certificate(certificate, facts.at),
            Err(shortfall) => Some(shortfall),
        }
    }

    fn unmet_certificate(&self, certificate: &CertificateFacts, at: UnixMillis) -> Option<Shortfall> {
        let by_require = match &self.require {
            Require::Encryption => None,
            Require::Chain { trust } => {
                unmet_chain(certificate, trust).or_else(|| self.unmet_revocation(certificate, trust))
            }
            Require::Identity { trust, names } => unmet_chain(certificate, trust)
                .or_else(|| self.unmet_revocation(certificate, trust))
                .or_else(|| unmet_name(certificate, names, self.allow_cn)),
        };
        by_require
            .or_else(|| unmet_pin(certificate, &self.pins, at))
            .or_else(|| self.subject.unmet_by(certificate))
            .or((self.purpose == Purpose::Client && !certificate.for_clients)
                .then_some(Shortfall::NotForClients))
            .or_else(|| self.profile.and_then(|profile| unmet_profile(profile, self.trust(), certificate)))
    }

    fn unmet_revocation(&self, certificate: &CertificateFacts, trust: &[TrustId]) -> Option<Shortfall> {
        let status = certificate.revocation_by(trust);
        match (self.revocation, status) {
            (Revocation::Off, _) | (Revocation::Soft | Revocation::Hard, RevocationStatus::Good) => None,
            (Revocation::Soft | Revocation::Hard, RevocationStatus::Revoked) => Some(Shortfall::Revoked),
            (
                Revocation::Soft,
                RevocationStatus::NoList
                | RevocationStatus::Unknown
                | RevocationStatus::Stale
                | RevocationStatus::NotFetched,
            ) => None,
            (
                Revocation::Hard,
                RevocationStatus::NoList
                | RevocationStatus::Unknown
                | RevocationStatus::Stale
                | RevocationStatus::NotFetched,
            ) => Some(Shortfall::RevocationUnknown(status)),
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
        ChainVerdict::Faulty(fault) => Some(Shortfall::Chain { words: fault.in_words(certificate), fault }),
    }
}

fn unmet_name(certificate: &CertificateFacts, names: &[PeerName], allow_cn: bool) -> Option<Shortfall> {
    if first_match(names, &certificate.names_or_common_name(allow_cn)).is_some() {
        return None;
    }
    let wanted = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    Some(Shortfall::Name { wanted, got: certificate.names_text() })
}

fn unmet_pin(certificate: &CertificateFacts, pins: &[Pin], at: UnixMillis) -> Option<Shortfall> {
    let mut listed = pins.iter().filter(|pin| pin.sha256 == certificate.spki).peekable();
    let dated = listed.peek().is_some();
    let met = pins.is_empty() || listed.any(|pin| pin.counts_at(at));
    (!met).then(|| Shortfall::Pin { got: pin_text(&certificate.spki), dated })
}

/// What of the certificate the profile does not allow. Where no chain is required, that is the key alone: nobody relies
/// on what an issuer signed. Of several trust anchor sets, one that leads to its anchor as the profile asks is enough.
fn unmet_profile(profile: Profile, trust: &[TrustId], certificate: &CertificateFacts) -> Option<Shortfall> {
    let gaps = |path: &AnchorPath| match path {
        AnchorPath::Itself => {
            profile.key_gap(certificate).into_iter().chain(profile.term_gap(certificate)).collect()
        }
        AnchorPath::Through(issuers) => profile.chain_gaps(certificate, issuers),
    };
    let by_path = trust.iter().filter_map(|set| certificate.paths.get(set)).map(gaps).min_by_key(Vec::len);
    let gap = match by_path {
        Some(gaps) => gaps.into_iter().next(),
        None if trust.is_empty() => profile.key_gap(certificate),
        None => profile.chain_gaps(certificate, &[]).into_iter().next(),
    };
    gap.map(|gap| Shortfall::Profile(profile, gap))
}

impl SubjectRules {
    /// The first rule that the certificate does not meet.
    pub(super) fn unmet_by(&self, certificate: &CertificateFacts) -> Option<Shortfall> {
        let common_name: Vec<String> = certificate.common_name.iter().cloned().collect();
        let checks = [
            ("organisation", &self.organisation, &certificate.organisation),
            ("common name", &self.common_name, &common_name),
            ("issuer", &self.issuer, &certificate.issuer_names),
        ];
        checks.into_iter().find_map(|(what, wanted, got)| {
            let same = |text: &String| wanted.iter().any(|w| w.to_lowercase() == text.to_lowercase());
            let met = wanted.is_empty() || got.iter().any(same);
            let said = if got.is_empty() { "nothing".to_owned() } else { got.join(", ") };
            (!met).then(|| Shortfall::Subject { what, wanted: wanted.join(" or "), got: said })
        })
    }
}

impl Shortfall {
    /// The peer's reply to STARTTLS, if that is what it is about.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Refused(reply) => Some(reply),
            Self::NotTried
            | Self::NotOffered
            | Self::Handshake(_)
            | Self::SessionLost(_)
            | Self::Version(_)
            | Self::NoCertificate
            | Self::Unreadable(_)
            | Self::Unproved
            | Self::Chain { .. }
            | Self::Name { .. }
            | Self::KeyExchange(_)
            | Self::Profile(..)
            | Self::Pin { .. }
            | Self::Subject { .. }
            | Self::Revoked
            | Self::RevocationUnknown(_)
            | Self::NotForClients
            | Self::Onward => None,
        }
    }

    /// The enhanced status code of a deferral for this reason: 4.7.4 if TLS was unavailable, 4.7.5 if it was
    /// not good enough.
    #[must_use]
    pub fn enhanced(&self) -> Enhanced {
        match self {
            Self::NotTried | Self::NotOffered | Self::Refused(_) | Self::Onward => Enhanced(4, 7, 4),
            Self::Handshake(_)
            | Self::SessionLost(_)
            | Self::Version(_)
            | Self::NoCertificate
            | Self::Unreadable(_)
            | Self::Unproved
            | Self::Chain { .. }
            | Self::Name { .. }
            | Self::KeyExchange(_)
            | Self::Profile(..)
            | Self::Pin { .. }
            | Self::Subject { .. }
            | Self::Revoked
            | Self::RevocationUnknown(_)
            | Self::NotForClients => Enhanced(4, 7, 5),
        }
    }

    /// A stable word for machines.
    #[must_use]
    pub fn token(&self) -> &'static str {
        match self {
            Self::NotTried => "tls-not-tried",
            Self::NotOffered => "starttls-not-offered",
            Self::Refused(_) => "starttls-refused",
            Self::Handshake(_) => "handshake-broken",
            Self::SessionLost(_) => "tls-session-lost",
            Self::Version(_) => "version-too-old",
            Self::NoCertificate => "no-certificate",
            Self::Unreadable(_) => "certificate-unreadable",
            Self::Unproved => "key-not-proved",
            Self::Chain { fault, .. } => fault.token(),
            Self::Name { .. } => "name-mismatch",
            Self::KeyExchange(_) => "key-exchange",
            Self::Profile(_, gap) => gap.token(),
            Self::Pin { dated: false, .. } => "pin-mismatch",
            Self::Pin { dated: true, .. } => "pin-out-of-date",
            Self::Subject { .. } => "subject-mismatch",
            Self::Revoked => "certificate-revoked",
            Self::RevocationUnknown(_) => "revocation-unknown",
            Self::NotForClients => "not-for-clients",
            Self::Onward => "onward-not-sealed",
        }
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTried => f.write_str("TLS was not asked for"),
            Self::NotOffered => f.write_str("STARTTLS is not offered"),
            Self::Refused(reply) => write!(f, "STARTTLS was refused with {reply}"),
            Self::Handshake(fault) => write!(f, "the TLS handshake failed: {}", fault.words),
            Self::SessionLost(why) => {
                write!(f, "the session was lost inside TLS before its first reply: {why}")
            }
            Self::Version(version) => write!(f, "only {version} was negotiated"),
            Self::NoCertificate => f.write_str("no certificate was shown"),
            Self::Unreadable(why) => write!(f, "the certificate can't be read: {why}"),
            Self::Unproved => f.write_str("the peer did not prove that it holds the certificate's key"),
            Self::Chain { words, .. } => f.write_str(words),
            Self::Name { wanted, got } => write!(f, "the certificate presents {got}, not {wanted}"),
            Self::KeyExchange(got) => write!(f, "the key exchange was {got}, which is not post-quantum"),
            Self::Profile(profile, gap) => write!(f, "{gap}, which the profile {profile} does not allow"),
            Self::Pin { got, dated: false } => {
                write!(f, "the certificate's key is {got}, which is not pinned")
            }
            Self::Pin { got, dated: true } => {
                write!(f, "the pin of the certificate's key, {got}, is not valid today")
            }
            Self::Subject { what, wanted, got } => {
                write!(f, "the certificate's {what} is {got}, not {wanted}")
            }
            Self::Revoked => f.write_str("the certificate, or one of its issuers, is revoked"),
            Self::RevocationUnknown(RevocationStatus::Stale) => {
                f.write_str("the revocation list for its issuer is out of date")
            }
            Self::RevocationUnknown(RevocationStatus::NotFetched) => f.write_str(
                "the certificate revocation list that covers the certificate has not been fetched yet",
            ),
            Self::RevocationUnknown(_) => {
                f.write_str("no certificate revocation list covers the certificate")
            }
            Self::NotForClients => f.write_str("the certificate is not for clients (extended key usage)"),
            Self::Onward => f.write_str(
                "the message must leave over enforced, forced TLS, and this connector does not require that",
            ),
        }
    }
}

/// How a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeFault {
    /// The fault in words.
    pub words: String,
    /// The fault concerns a certificate, ours or a missing one: never fall back to plaintext for it.
    pub over_certificate: bool,
    /// What it failed for, as far as that shows. It explains the fault, and decides nothing.
    pub cause: HandshakeCause,
}

/// What a handshake failed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HandshakeCause {
    /// Nothing that has a name here.
    #[default]
    Other,
    /// No cipher suite, key exchange group or signature scheme in common.
    NothingInCommon,
    /// The same, and our profile may be why.
    OutsideProfile,
    /// No extended master secret, which our profile demands.
    NoMasterSecret,
    /// No TLS version in common.
    Version,
    /// The connection ended during the handshake, without an alert.
    Cut,
    /// The peer sent something that is not TLS.
    NotTls,
    /// The peer does not know the name that was asked for.
    NameUnknown,
    /// The peer did not prove that it has the certificate's key, or its certificate can't be used.
    Unproved,
    /// The peer wants a client certificate, and none is configured.
    OursMissing,
    /// Our certificate does not fit the signature schemes that the peer asked for.
    OursUnsuited,
    /// The peer does not know the issuer of our certificate.
    OursUnknown,
    /// The peer says that our certificate has expired.
    OursExpired,
    /// The peer refused our certificate for another reason, or for none that it gave.
    OursRefused,
}

impl HandshakeCause {
    /// Every cause.
    pub const ALL: [Self; 14] = [
        Self::Other,
        Self::NothingInCommon,
        Self::OutsideProfile,
        Self::NoMasterSecret,
        Self::Version,
        Self::Cut,
        Self::NotTls,
        Self::NameUnknown,
        Self::Unproved,
        Self::OursMissing,
        Self::OursUnsuited,
        Self::OursUnknown,
        Self::OursExpired,
        Self::OursRefused,
    ];

    /// A stable word for machines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::NothingInCommon => "nothing-in-common",
            Self::OutsideProfile => "outside-profile",
            Self::NoMasterSecret => "no-master-secret",
            Self::Version => "version",
            Self::Cut => "cut",
            Self::NotTls => "not-tls",
            Self::NameUnknown => "name-unknown",
            Self::Unproved => "unproved",
            Self::OursMissing => "our-certificate-missing",
            Self::OursUnsuited => "our-certificate-unsuited",
            Self::OursUnknown => "our-certificate-unknown",
            Self::OursExpired => "our-certificate-expired",
            Self::OursRefused => "our-certificate-refused",
        }
    }
}

impl HandshakeFault {
    /// A fault unrelated to certificates.
    #[must_use]
    pub fn new(words: impl Into<String>) -> Self {
        Self::of(HandshakeCause::Other, words)
    }

    /// A fault unrelated to certificates, and what it is about.
    #[must_use]
    pub fn of(cause: HandshakeCause, words: impl Into<String>) -> Self {
        Self { words: words.into(), over_certificate: false, cause }
    }
}

/// How an attempt to secure a session failed, and the session with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecuringFault {
    /// STARTTLS was refused, and the session ended with that.
    Refused(Reply),
    /// STARTTLS got no reply, or the handshake broke.
    Handshake(HandshakeFault),
    /// The handshake was completed, and the session was lost before its first reply inside TLS.
    SessionLost(String),
}

impl SecuringFault {
    /// What a requirement misses by it.
    #[must_use]
    pub fn shortfall(&self) -> Shortfall {
        match self {
            Self::Refused(reply) => Shortfall::Refused(reply.clone()),
            Self::Handshake(fault) => Shortfall::Handshake(fault.clone()),
            Self::SessionLost(why) => Shortfall::SessionLost(why.clone()),
        }
    }

    /// Whether mail may go over a new connection in plaintext for it, where TLS is not required: never because of a
    /// certificate, neither the peer's, which is not judged there, nor ours, which the peer refused.
    #[must_use]
    pub fn may_go_clear(&self) -> bool {
        match self {
            Self::Refused(_) | Self::SessionLost(_) => true,
            Self::Handshake(fault) => !fault.over_certificate,
        }
    }
}
