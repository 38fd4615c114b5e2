//! Whether a signature was made by a key, whatever else is said of the certificate that the key comes from.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls13_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::{CertificateError, DigitallySignedStruct, Error};
use webpki::RawPublicKeyEntity;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::connector::TlsVersion;

/// Verifies a handshake signature by the certificate's key alone. The path check reads no version 1 certificate and
/// none with a critical extension that it does not know; the key of such a one proves as much as any other, and what
/// the certificate is worth is judged later.
pub(super) fn proved_by(
    certificate: &CertificateDer<'_>,
    message: &[u8],
    signed: &DigitallySignedStruct,
    (algorithms, version): (&WebPkiSupportedAlgorithms, TlsVersion),
) -> Result<HandshakeSignatureValid, Error> {
    let key = key_of(certificate);
    match (version, &key) {
        (TlsVersion::V13, Some(key)) => verify_tls13_signature_with_raw_key(message, key, signed, algorithms),
        // It says what is wrong with the certificate.
        (TlsVersion::V13, None) => verify_tls13_signature(message, certificate, signed, algorithms),
        (TlsVersion::V12, Some(key)) => proved_by_any(key, message, signed, algorithms),
        (TlsVersion::V12, None) => {
            rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
        }
    }
}

/// A scheme of TLS 1.2 names no curve (RFC 8422 §5.1.1), so that several algorithms may be meant.
fn proved_by_any(
    key: &SubjectPublicKeyInfoDer<'_>,
    message: &[u8],
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let bad = Error::InvalidCertificate(CertificateError::BadSignature);
    let Ok(key) = RawPublicKeyEntity::try_from(key) else { return Err(bad) };
    let meant = algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signed.scheme);
    let right = meant
        .flat_map(|(_, several)| several.iter())
        .any(|one| key.verify_signature(*one, message, signed.signature()).is_ok());
    if right { Ok(HandshakeSignatureValid::assertion()) } else { Err(bad) }
}

fn key_of(certificate: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(SubjectPublicKeyInfoDer::from(parsed.public_key().raw.to_vec()))
}

/// Whether a key (a SubjectPublicKeyInfo) made the signature of something signed as X.509 has it: `algorithm` is the
/// content of its AlgorithmIdentifier.
pub(super) fn signed_by(spki: &[u8], algorithm: &[u8], octets: &[u8], signature: &[u8]) -> bool {
    let spki = SubjectPublicKeyInfoDer::from(spki);
    let Ok(key) = RawPublicKeyEntity::try_from(&spki) else { return false };
    webpki::ALL_VERIFICATION_ALGS
        .iter()
        .filter(|one| one.signature_alg_id().as_ref() == algorithm)
        .any(|one| key.verify_signature(*one, octets, signature).is_ok())
}
