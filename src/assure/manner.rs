//! How the hostile server behaves, and which behaviour a requirement forbids to send to. Pure, and made without the code
//! that judges sessions: a judge that is wrong must not be excused by the same error here.

use crate::connector::{Forced, Handshake, KeyExchange, Profile, Require, Revocation, TlsVersion};

/// What is wrong with a certificate, and with nothing else about a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CertificateFlaw {
    /// It is signed by its own key.
    SelfSigned,
    /// Its authority is unknown.
    Stranger,
    /// Its authority has the name of a trusted one, and another key.
    Namesake,
    /// The intermediate certificate is not sent.
    NoIntermediate,
    /// It is for other names.
    OtherName,
    /// The right name is only its common name.
    CommonNameOnly,
    /// It has expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// It is an authority's own.
    Authority,
    /// It is for signing code.
    Purpose,
    /// A revocation list names it.
    Revoked,
    /// Its key is not the pinned one.
    OtherKey,
    /// Its subject is somebody else.
    OtherSubject,
    /// The profile does not allow its key.
    WeakKey,
    /// The server does not have its key.
    Unproved,
}

/// How the server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostManner {
    /// As the connector requires.
    Right,
    /// There is no TLS.
    NoTls,
    /// STARTTLS is offered, and answered 454.
    Refuses454,
    /// STARTTLS is offered, and answered 502.
    Refuses502,
    /// STARTTLS is answered 421, and the connection closed.
    RefusesAndCloses,
    /// EHLO is refused, so that only HELO is left.
    NoEhlo,
    /// A reply is injected behind the one to STARTTLS.
    Injects,
    /// SMTP goes on where the handshake should begin.
    NotTls,
    /// The connection ends within the handshake.
    CutsHandshake,
    /// The handshake ends with an alert.
    Alerts,
    /// TLS 1.1 is the newest version.
    OldTls,
    /// TLS 1.2 is the newest version.
    Tls12Only,
    /// No post-quantum key exchange is there.
    ClassicOnly,
    /// The key exchange is one that the profile does not have.
    OutsideProfile,
    /// The connection ends at EHLO inside TLS.
    CutsSession,
    /// All is right but the certificate.
    Shows(CertificateFlaw),
}

impl HostManner {
    const ALL: [Self; 30] = [
        Self::Right,
        Self::NoTls,
        Self::Refuses454,
        Self::Refuses502,
        Self::RefusesAndCloses,
        Self::NoEhlo,
        Self::Injects,
        Self::NotTls,
        Self::CutsHandshake,
        Self::Alerts,
        Self::OldTls,
        Self::Tls12Only,
        Self::ClassicOnly,
        Self::OutsideProfile,
        Self::CutsSession,
        Self::Shows(CertificateFlaw::SelfSigned),
        Self::Shows(CertificateFlaw::Stranger),
        Self::Shows(CertificateFlaw::Namesake),
        Self::Shows(CertificateFlaw::NoIntermediate),
        Self::Shows(CertificateFlaw::OtherName),
        Self::Shows(CertificateFlaw::CommonNameOnly),
        Self::Shows(CertificateFlaw::Expired),
        Self::Shows(CertificateFlaw::NotYetValid),
        Self::Shows(CertificateFlaw::Authority),
        Self::Shows(CertificateFlaw::Purpose),
        Self::Shows(CertificateFlaw::Revoked),
        Self::Shows(CertificateFlaw::OtherKey),
        Self::Shows(CertificateFlaw::OtherSubject),
        Self::Shows(CertificateFlaw::WeakKey),
        Self::Shows(CertificateFlaw::Unproved),
    ];

    /// The behaviour that a sender under this requirement is tested with: the right one first, then each that it must
    /// send nothing to.
    pub(super) fn tested(forced: &Forced, handshake: Handshake) -> Vec<Self> {
        Self::ALL.into_iter().filter(|manner| manner.is_tested(forced, handshake)).collect()
    }

    fn is_tested(self, forced: &Forced, handshake: Handshake) -> bool {
        match self {
            Self::Right
            | Self::NoTls
            | Self::CutsHandshake
            | Self::Alerts
            | Self::OldTls
            | Self::CutsSession => true,
            Self::Refuses454
            | Self::Refuses502
            | Self::RefusesAndCloses
            | Self::NoEhlo
            | Self::Injects
            | Self::NotTls => handshake == Handshake::StartTls,
            Self::Tls12Only => forced.min_version == TlsVersion::V13,
            Self::ClassicOnly => forced.key_exchange == KeyExchange::PostQuantum,
            Self::OutsideProfile => forced.profile.is_some_and(excludes_x25519),
            Self::Shows(flaw) => flaw.is_tested(forced),
        }
    }

    /// What the server does.
    pub(super) fn does(self, handshake: Handshake) -> &'static str {
        match self {
            Self::Right => "control: a server that meets the requirement",
            Self::NoTls if handshake == Handshake::Implicit => "greets in plaintext, without TLS",
            Self::NoTls => "does not offer STARTTLS",
            Self::Refuses454 => "offers STARTTLS and answers 454",
            Self::Refuses502 => "offers STARTTLS and answers 502",
            Self::RefusesAndCloses => "answers STARTTLS with 421 and closes the connection",
            Self::NoEhlo => "refuses EHLO, so that only HELO is left",
            Self::Injects => "sends a further reply in plaintext behind the one to STARTTLS",
            Self::NotTls => "answers STARTTLS with 220 and goes on in plaintext",
            Self::CutsHandshake => "closes the connection within the handshake",
            Self::Alerts => "ends the handshake with the alert handshake_failure",
            Self::OldTls => "has no TLS version after 1.1",
            Self::Tls12Only => "has no TLS version after 1.2",
            Self::ClassicOnly => "has no post-quantum key exchange",
            Self::OutsideProfile => "has no key exchange but X25519, which the profile does not have",
            Self::CutsSession => "closes the connection at EHLO inside TLS",
            Self::Shows(flaw) => flaw.is_shown(),
        }
    }
}

impl CertificateFlaw {
    fn is_tested(self, forced: &Forced) -> bool {
        let (chain, identity) = match &forced.require {
            Require::Encryption => (false, false),
            Require::Chain { .. } => (true, false),
            Require::Identity { .. } => (true, true),
        };
        match self {
            Self::SelfSigned
            | Self::Stranger
            | Self::Namesake
            | Self::NoIntermediate
            | Self::Expired
            | Self::NotYetValid
            | Self::Authority
            | Self::Purpose => chain,
            Self::Revoked => chain && forced.revocation != Revocation::Off,
            Self::OtherName => identity,
            Self::CommonNameOnly => identity && !forced.allow_cn,
            Self::OtherKey => !forced.pins.is_empty(),
            Self::OtherSubject => {
                !forced.subject.organisation.is_empty() || !forced.subject.common_name.is_empty()
            }
            Self::WeakKey => forced.profile.is_some_and(|profile| weak_key(profile).is_some()),
            Self::Unproved => true,
        }
    }

    fn is_shown(self) -> &'static str {
        match self {
            Self::SelfSigned => "shows a self-signed certificate with the right name",
            Self::Stranger => "shows a certificate of an unknown authority with the right name",
            Self::Namesake => {
                "shows a certificate whose authority has the name of a trusted one, and another key"
            }
            Self::NoIntermediate => "does not send its intermediate certificate",
            Self::OtherName => "shows a certificate of the right authority for other names",
            Self::CommonNameOnly => "shows a certificate with the right name only as its common name",
            Self::Expired => "shows an expired certificate",
            Self::NotYetValid => "shows a certificate that is not valid yet",
            Self::Authority => "shows a certificate that is marked as an authority's",
            Self::Purpose => "shows a certificate for signing code, not for servers",
            Self::Revoked => "shows a certificate that a revocation list names",
            Self::OtherKey => "shows a certificate with another key than the pinned ones",
            Self::OtherSubject => "shows a certificate whose subject is another organisation",
            Self::WeakKey => "shows a certificate whose key the profile does not allow",
            Self::Unproved => "shows the right certificate, and does not have its key",
        }
    }
}

/// Whether a profile has no key exchange with X25519.
fn excludes_x25519(profile: Profile) -> bool {
    match profile {
        Profile::Nl2025 => false,
        Profile::BsiTr021022Of2025 | Profile::NistSp80052r2 | Profile::Cnsa1 => true,
    }
}

/// A kind of key that servers have and the profile does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WeakKeyKind {
    /// ECDSA on P-256.
    P256,
    /// Ed25519.
    Ed25519,
}

/// The key that a profile is tested with; `None`: the profile allows all that can be made here.
pub(super) fn weak_key(profile: Profile) -> Option<WeakKeyKind> {
    match profile {
        Profile::Nl2025 => None,
        Profile::BsiTr021022Of2025 | Profile::NistSp80052r2 => Some(WeakKeyKind::Ed25519),
        Profile::Cnsa1 => Some(WeakKeyKind::P256),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{PeerName, TrustId};

    #[track_caller]
    fn check(forced: &Forced, handshake: Handshake, count: usize) {
        let tested = HostManner::tested(forced, handshake);
        assert_eq!(tested.first(), Some(&HostManner::Right));
        assert_eq!(tested.len(), count, "{tested:?}");
    }

    #[test]
    fn each_part_of_a_requirement_has_its_hostile_servers() {
        let (trust, names) =
            (vec![TrustId("ca".into())], vec![PeerName::parse("mx.p.example").expect("a name")]);
        let encryption = Forced::encryption();
        check(&encryption, Handshake::StartTls, 13);
        check(&encryption, Handshake::Implicit, 7);
        let chain = Forced::new(Require::Chain { trust: trust.clone() });
        check(&chain, Handshake::StartTls, 13 + 9);
        let identity = Forced::new(Require::Identity { trust, names });
        check(&identity, Handshake::StartTls, 13 + 11);
        check(&Forced { allow_cn: true, ..identity.clone() }, Handshake::StartTls, 13 + 10);
        check(&Forced { revocation: Revocation::Off, ..identity.clone() }, Handshake::StartTls, 13 + 10);
        check(&Forced { min_version: TlsVersion::V13, ..identity.clone() }, Handshake::StartTls, 13 + 12);
        check(&Forced { profile: Some(Profile::Cnsa1), ..identity.clone() }, Handshake::StartTls, 13 + 13);
        check(&Forced { profile: Some(Profile::Nl2025), ..identity }, Handshake::StartTls, 13 + 11);
    }
}
