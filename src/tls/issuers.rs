//! Which of the certificates beside a peer's own take part in its chain. Whether the chain is trusted, `assess` says.

use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, FromDer};
use x509_parser::prelude::X509Certificate;

use super::proof;

/// Maximum number of intermediate certificates considered.
pub(super) const INTERMEDIATES_MAX: usize = 10;
/// Up to this many intermediates the path check costs little, whatever they are.
pub(super) const FEW: usize = 3;
/// Maximum number of issuers above each other; the path check gives up at 6.
const DEPTH_MAX: usize = 6;

/// The intermediates worth looking at. The path check tries every order of certificates that could by their names have
/// issued each other, which a peer that makes up its own can drive to minutes; so of more than a few only those are
/// kept whose key made the signature of the peer's certificate, or of another one that is kept.
pub(super) fn relevant<'a>(
    leaf: &CertificateDer<'_>,
    intermediates: &'a [CertificateDer<'a>],
) -> Vec<CertificateDer<'a>> {
    let considered = intermediates.get(..INTERMEDIATES_MAX).unwrap_or(intermediates);
    if considered.len() <= FEW {
        return considered.to_vec();
    }
    let mut rest: Vec<(&CertificateDer<'_>, SignedCertificate<'_>)> = considered
        .iter()
        .filter_map(|certificate| Some((certificate, SignedCertificate::read(certificate)?)))
        .collect();
    let mut kept = Vec::new();
    let mut children: Vec<SignedCertificate<'_>> = SignedCertificate::read(leaf).into_iter().collect();
    for _ in 0..DEPTH_MAX {
        let is_issuer = |one: &SignedCertificate<'_>| children.iter().any(|child| child.is_signed_by(one));
        let (issuers, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(_, one)| is_issuer(one));
        rest = others;
        kept.extend(issuers.iter().map(|(certificate, _)| (*certificate).clone()));
        children = issuers.into_iter().map(|(_, one)| one).collect();
    }
    kept
}

/// A certificate as something that was signed.
struct SignedCertificate<'a> {
    parsed: X509Certificate<'a>,
    octets: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> SignedCertificate<'a> {
    fn read(der: &'a [u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let (_, whole) = Any::from_der(der).ok()?;
        let (after, _) = Any::from_der(whole.data).ok()?;
        let octets = whole.data.get(..whole.data.len().checked_sub(after.len())?)?;
        let (after, algorithm) = Any::from_der(after).ok()?;
        let (_, signature) = Any::from_der(after).ok()?;
        // A BIT STRING begins with the number of unused bits.
        let (_, signature) = signature.data.split_first()?;
        Some(Self { parsed, octets, algorithm: algorithm.data, signature })
    }

    fn is_signed_by(&self, issuer: &SignedCertificate<'_>) -> bool {
        self.parsed.issuer().as_raw() == issuer.parsed.subject().as_raw()
            && proof::signed_by(issuer.parsed.public_key().raw, self.algorithm, self.octets, self.signature)
    }
}
