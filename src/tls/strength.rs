//! Reads how strong a certificate is: its key and the signature on it. Profiles judge that.

use x509_parser::asn1_rs::Oid;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::signature_algorithm::SignatureAlgorithm;

use crate::connector::{CertificateStrength, HashFunction, PublicKeyKind, SignatureFamily, SignatureKind};

/// The strength of a parsed certificate.
pub(super) fn strength_of(parsed: &X509Certificate<'_>) -> CertificateStrength {
    CertificateStrength { key: key(parsed), signature: signature(parsed) }
}

fn key(parsed: &X509Certificate<'_>) -> PublicKeyKind {
    let info = parsed.public_key();
    let algorithm = info.algorithm.algorithm.to_id_string();
    if let Ok(PublicKey::RSA(rsa)) = info.parsed() {
        return u32::try_from(rsa.key_size()).map_or_else(|_| PublicKeyKind::default(), PublicKeyKind::Rsa);
    }
    let curve = info.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
    let number = curve.filter(|_| algorithm == EC).map_or(algorithm, |curve| curve.to_id_string());
    let name = CURVES.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
    name.map_or_else(|| PublicKeyKind::Other(number), |name| PublicKeyKind::Curve(name.to_owned()))
}

/// The signature that the content of an AlgorithmIdentifier names, its parameters left aside.
pub(super) fn signature_named(algorithm: &[u8]) -> SignatureKind {
    let number = Oid::from_der(algorithm).map(|(_, number)| number.to_id_string());
    let number = number.unwrap_or_else(|_| "an algorithm that can't be read".to_owned());
    match SIGNATURES.iter().find(|(known, _, _)| *known == number) {
        Some((_, family, hash)) => SignatureKind::Known(*family, *hash),
        None => SignatureKind::Other(number),
    }
}

fn signature(parsed: &X509Certificate<'_>) -> SignatureKind {
    let identifier = &parsed.signature_algorithm;
    let number = identifier.algorithm.to_id_string();
    if let Some((_, family, hash)) = SIGNATURES.iter().find(|(known, _, _)| *known == number) {
        return SignatureKind::Known(*family, *hash);
    }
    if let Ok(SignatureAlgorithm::RSASSA_PSS(params)) = SignatureAlgorithm::try_from(identifier) {
        let hash = params.hash_algorithm_oid().to_id_string();
        if let Some((_, hash)) = HASHES.iter().find(|(known, _)| *known == hash) {
            return SignatureKind::Known(SignatureFamily::RsaPss, *hash);
        }
    }
    match CURVES.iter().find(|(known, name)| *known == number && name.starts_with("Ed")) {
        Some((_, name)) => SignatureKind::Edwards((*name).to_owned()),
        None => SignatureKind::Other(number),
    }
}

/// id-ecPublicKey (RFC 5480 §2.1.1).
const EC: &str = "1.2.840.10045.2.1";

/// RFC 5480 §2.1.1.1 and RFC 8410 §3.
const CURVES: &[(&str, &str)] = &[
    ("1.2.840.10045.3.1.7", "P-256"),
    ("1.3.132.0.34", "P-384"),
    ("1.3.132.0.35", "P-521"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
];

/// RFC 4055 §5 and RFC 5758 §3.2.
const SIGNATURES: &[(&str, SignatureFamily, HashFunction)] = &[
    ("1.2.840.113549.1.1.5", SignatureFamily::RsaPkcs1, HashFunction::Sha1),
    ("1.2.840.113549.1.1.14", SignatureFamily::RsaPkcs1, HashFunction::Sha224),
    ("1.2.840.113549.1.1.11", SignatureFamily::RsaPkcs1, HashFunction::Sha256),
    ("1.2.840.113549.1.1.12", SignatureFamily::RsaPkcs1, HashFunction::Sha384),
    ("1.2.840.113549.1.1.13", SignatureFamily::RsaPkcs1, HashFunction::Sha512),
    ("1.2.840.10045.4.1", SignatureFamily::Ecdsa, HashFunction::Sha1),
    ("1.2.840.10045.4.3.1", SignatureFamily::Ecdsa, HashFunction::Sha224),
    ("1.2.840.10045.4.3.2", SignatureFamily::Ecdsa, HashFunction::Sha256),
    ("1.2.840.10045.4.3.3", SignatureFamily::Ecdsa, HashFunction::Sha384),
    ("1.2.840.10045.4.3.4", SignatureFamily::Ecdsa, HashFunction::Sha512),
];

/// RFC 4055 §2.1.
const HASHES: &[(&str, HashFunction)] = &[
    ("1.3.14.3.2.26", HashFunction::Sha1),
    ("2.16.840.1.101.3.4.2.4", HashFunction::Sha224),
    ("2.16.840.1.101.3.4.2.1", HashFunction::Sha256),
    ("2.16.840.1.101.3.4.2.2", HashFunction::Sha384),
    ("2.16.840.1.101.3.4.2.3", HashFunction::Sha512),
];
