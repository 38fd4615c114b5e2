//! What a profile leaves of the TLS library: suites, groups and signature schemes, in the profile's order.

use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{ALL_CIPHER_SUITES, ALL_KX_GROUPS};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::fault::handshake_fault;
use super::suite_name;
use crate::connector::{ClientCertificate, HandshakeCause, HandshakeFault, HandshakeOffer, Profile};

/// What handshakes are made of.
pub(super) struct HandshakeParts {
    pub(super) provider: Arc<CryptoProvider>,
    /// The signature schemes accepted of the peer, in order of preference.
    pub(super) schemes: Vec<SignatureScheme>,
}

impl HandshakeParts {
    /// What is offered under this profile, or usually.
    pub(super) fn of(profile: Option<Profile>) -> Self {
        let usual = super::provider();
        match profile {
            None => {
                let schemes = usual.signature_verification_algorithms.supported_schemes();
                Self { provider: usual, schemes }
            }
            Some(profile) => {
                let offer = &profile.table().offer;
                Self { provider: Arc::new(limited(offer)), schemes: schemes(offer) }
            }
        }
    }

    /// The same without post-quantum groups such as X25519MLKEM768; `None` if there are none.
    pub(super) fn classic(&self) -> Option<Arc<CryptoProvider>> {
        let mut provider = CryptoProvider::clone(&self.provider);
        provider.kx_groups.retain(|group| !format!("{:?}", group.name()).contains("MLKEM"));
        (provider.kx_groups.len() < self.provider.kx_groups.len()).then(|| Arc::new(provider))
    }
}

/// The library's provider, with no more than this.
fn limited(offer: &HandshakeOffer) -> CryptoProvider {
    let suite =
        |name: &&str| ALL_CIPHER_SUITES.iter().find(|suite| suite_name(suite.suite()) == *name).copied();
    let group =
        |name: &&str| ALL_KX_GROUPS.iter().find(|group| format!("{:?}", group.name()) == *name).copied();
    CryptoProvider {
        cipher_suites: offer.suites.iter().filter_map(suite).collect(),
        kx_groups: offer.groups.iter().filter_map(group).collect(),
        ..aws_lc_rs::default_provider()
    }
}

fn schemes(offer: &HandshakeOffer) -> Vec<SignatureScheme> {
    offer.schemes.iter().filter_map(|name| scheme(name)).collect()
}

/// The scheme of a name in the IANA registry of TLS signature schemes.
fn scheme(name: &str) -> Option<SignatureScheme> {
    Some(match name {
        "ecdsa_secp256r1_sha256" => SignatureScheme::ECDSA_NISTP256_SHA256,
        "ecdsa_secp384r1_sha384" => SignatureScheme::ECDSA_NISTP384_SHA384,
        "ecdsa_secp521r1_sha512" => SignatureScheme::ECDSA_NISTP521_SHA512,
        "ed25519" => SignatureScheme::ED25519,
        "rsa_pss_rsae_sha256" => SignatureScheme::RSA_PSS_SHA256,
        "rsa_pss_rsae_sha384" => SignatureScheme::RSA_PSS_SHA384,
        "rsa_pss_rsae_sha512" => SignatureScheme::RSA_PSS_SHA512,
        "rsa_pkcs1_sha256" => SignatureScheme::RSA_PKCS1_SHA256,
        "rsa_pkcs1_sha384" => SignatureScheme::RSA_PKCS1_SHA384,
        "rsa_pkcs1_sha512" => SignatureScheme::RSA_PKCS1_SHA512,
        "mldsa44" => SignatureScheme::ML_DSA_44,
        "mldsa65" => SignatureScheme::ML_DSA_65,
        "mldsa87" => SignatureScheme::ML_DSA_87,
        _ => return None,
    })
}

/// Our own certificate, whose key signs handshakes only by the profile's schemes.
pub(super) fn limited_key(certified: &Arc<CertifiedKey>, profile: Option<Profile>) -> Arc<CertifiedKey> {
    let Some(profile) = profile else { return Arc::clone(certified) };
    let key = LimitedKey { inner: Arc::clone(&certified.key), schemes: schemes(&profile.table().offer) };
    Arc::new(CertifiedKey { key: Arc::new(key), ..CertifiedKey::clone(certified) })
}

/// Describes how a handshake failed: the profile may be why. It limits no versions.
pub(super) fn limited_fault(
    error: &io::Error,
    asked: ClientCertificate,
    profile: Option<Profile>,
) -> HandshakeFault {
    let fault = handshake_fault(error, asked);
    match profile {
        Some(profile) => under(profile, fault),
        None => fault,
    }
}

/// What a fault means where no more is offered than this profile allows.
fn under(profile: Profile, fault: HandshakeFault) -> HandshakeFault {
    let HandshakeFault { words, over_certificate, cause } = fault;
    let (cause, words) = match cause {
        HandshakeCause::NothingInCommon | HandshakeCause::OutsideProfile => (
            HandshakeCause::OutsideProfile,
            format!("{words} (no more is offered than the profile {profile} allows)"),
        ),
        HandshakeCause::NoMasterSecret => {
            (cause, format!("{words}, which the profile {profile} demands of TLS 1.2"))
        }
        // Windows closes like this when no cipher suite is in common.
        HandshakeCause::Cut => {
            (cause, format!("{words} (perhaps since no more is offered than the profile {profile} allows)"))
        }
        HandshakeCause::Other
        | HandshakeCause::Version
        | HandshakeCause::NotTls
        | HandshakeCause::NameUnknown
        | HandshakeCause::Unproved
        | HandshakeCause::OursMissing
        | HandshakeCause::OursUnsuited
        | HandshakeCause::OursUnknown
        | HandshakeCause::OursExpired
        | HandshakeCause::OursRefused => (cause, words),
    };
    HandshakeFault { words, over_certificate, cause }
}

/// A key that signs by some schemes only.
#[derive(Debug)]
struct LimitedKey {
    inner: Arc<dyn SigningKey>,
    schemes: Vec<SignatureScheme>,
}

impl SigningKey for LimitedKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let common: Vec<_> = offered.iter().copied().filter(|one| self.schemes.contains(one)).collect();
        self.inner.choose_scheme(&common)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.inner.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.inner.algorithm()
    }
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, Error, PeerIncompatible};

    use super::*;
    use crate::connector::USUAL_OFFER;

    #[test]
    fn a_fault_names_the_profile_where_that_may_be_why() {
        let check = |error: Error, expected: (HandshakeCause, &str)| {
            let error = io::Error::other(error);
            let fault = limited_fault(&error, ClientCertificate::NotAskedFor, Some(Profile::NistSp80052r2));
            assert_eq!((fault.cause, fault.words.as_str()), expected);
            let plain = limited_fault(&error, ClientCertificate::NotAskedFor, None);
            assert!(!plain.words.contains("profile") && plain.cause != HandshakeCause::OutsideProfile);
        };
        check(
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            (
                HandshakeCause::OutsideProfile,
                "no cipher suite in common (no more is offered than the profile nist-sp-800-52r2 allows)",
            ),
        );
        check(
            Error::PeerIncompatible(PeerIncompatible::ExtendedMasterSecretExtensionRequired),
            (
                HandshakeCause::NoMasterSecret,
                "the peer has no extended master secret (RFC 7627), which the profile nist-sp-800-52r2 demands of TLS 1.2",
            ),
        );
        check(
            Error::AlertReceived(AlertDescription::HandshakeFailure),
            (
                HandshakeCause::OutsideProfile,
                "the peer sent the alert handshake_failure; usually no cipher suite or key exchange in common (no more is \
                 offered than the profile nist-sp-800-52r2 allows)",
            ),
        );
        check(
            Error::AlertReceived(AlertDescription::ProtocolVersion),
            (
                HandshakeCause::Version,
                "the peer sent the alert protocol_version; it does not speak the TLS versions offered",
            ),
        );
    }

    #[test]
    fn the_library_has_everything_that_a_profile_names_and_in_that_order() {
        for profile in Profile::ALL {
            let (offer, parts) = (&profile.table().offer, HandshakeParts::of(Some(profile)));
            let suites: Vec<_> =
                parts.provider.cipher_suites.iter().map(|suite| suite_name(suite.suite())).collect();
            let groups: Vec<_> =
                parts.provider.kx_groups.iter().map(|group| format!("{:?}", group.name())).collect();
            assert_eq!(suites, offer.suites, "{profile}");
            assert_eq!(groups, offer.groups, "{profile}");
            assert_eq!(parts.schemes.len(), offer.schemes.len(), "{profile}");
            assert_eq!(parts.classic().is_some(), profile.has_hybrid(), "{profile}");
            let known = parts.provider.signature_verification_algorithms.supported_schemes();
            assert!(parts.schemes.iter().all(|scheme| known.contains(scheme)), "{profile}");
        }
    }

    #[test]
    fn the_usual_offer_is_what_is_offered_without_a_profile() {
        let parts = HandshakeParts::of(None);
        let mut suites: Vec<_> =
            parts.provider.cipher_suites.iter().map(|suite| suite_name(suite.suite())).collect();
        let mut usual = USUAL_OFFER.suites.to_vec();
        suites.sort();
        usual.sort_unstable();
        assert_eq!(suites, usual);
        let groups: Vec<_> =
            parts.provider.kx_groups.iter().map(|group| format!("{:?}", group.name())).collect();
        assert_eq!(groups, USUAL_OFFER.groups);
        let mut known = schemes(&USUAL_OFFER);
        let mut offered = parts.schemes;
        known.sort_by_key(|scheme| u16::from(*scheme));
        offered.sort_by_key(|scheme| u16::from(*scheme));
        assert_eq!(offered, known);
    }
}
