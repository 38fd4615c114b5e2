//! How strong a certificate is: its public key, and how it was signed. Facts that profiles judge.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A certificate's public key and the signature on the certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CertificateStrength {
    /// The public key.
    pub key: PublicKeyKind,
    /// The signature that the issuer made.
    pub signature: SignatureKind,
}

/// A certificate's subject and strength: one between the peer's own and the trust anchor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerStrength {
    /// The subject, for display.
    pub subject: String,
    /// Its key, and the signature on it.
    pub strength: CertificateStrength,
}

/// How a certificate leads to a trust anchor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnchorPath {
    /// The peer's own certificate is the trust anchor.
    Itself,
    /// Through these issuers, the peer's own first; the anchor is not among them.
    Through(Vec<IssuerStrength>),
}

/// A public key, by what profiles tell apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum PublicKeyKind {
    /// RSA, and the number of bits of its modulus.
    Rsa(u32),
    /// An elliptic curve (RFC 5480), as `P-256`, or Edwards curve (RFC 8410).
    Curve(String),
    /// Any other, or one that is not known.
    Other(String),
}

/// How a certificate was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum SignatureKind {
    /// With one of the usual algorithms.
    Known(SignatureFamily, HashFunction),
    /// Ed25519 or Ed448, which have a hash function of their own.
    Edwards(String),
    /// Any other, or one that is not known.
    Other(String),
}

/// A signature algorithm without its hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureFamily {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2).
    RsaPkcs1,
    /// RSASSA-PSS (RFC 8017 §8.1).
    RsaPss,
    /// ECDSA.
    Ecdsa,
}

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HashFunction {
    /// SHA-1.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// What stands for a key or a signature in records of before it was recorded.
const UNKNOWN: &str = "unknown";
const FAMILIES: [SignatureFamily; 3] =
    [SignatureFamily::RsaPkcs1, SignatureFamily::RsaPss, SignatureFamily::Ecdsa];
const HASHES: [HashFunction; 5] = [
    HashFunction::Sha1,
    HashFunction::Sha224,
    HashFunction::Sha256,
    HashFunction::Sha384,
    HashFunction::Sha512,
];
const CURVES: [&str; 5] = ["P-256", "P-384", "P-521", "Ed25519", "Ed448"];

impl Default for PublicKeyKind {
    fn default() -> Self {
        Self::Other(UNKNOWN.to_owned())
    }
}

impl Default for SignatureKind {
    fn default() -> Self {
        Self::Other(UNKNOWN.to_owned())
    }
}

impl From<String> for PublicKeyKind {
    fn from(text: String) -> Self {
        let bits = text.strip_prefix("RSA ").and_then(|rest| rest.strip_suffix(" bits"));
        match bits.and_then(|bits| bits.parse().ok()) {
            Some(bits) => Self::Rsa(bits),
            None if CURVES.contains(&text.as_str()) => Self::Curve(text),
            None => Self::Other(text),
        }
    }
}

impl From<PublicKeyKind> for String {
    fn from(key: PublicKeyKind) -> Self {
        key.to_string()
    }
}

impl From<String> for SignatureKind {
    fn from(text: String) -> Self {
        let known = FAMILIES.into_iter().flat_map(|family| HASHES.map(|hash| Self::Known(family, hash)));
        match known.into_iter().find(|one| one.to_string() == text) {
            Some(known) => known,
            None if text.starts_with("Ed") => Self::Edwards(text),
            None => Self::Other(text),
        }
    }
}

impl From<SignatureKind> for String {
    fn from(signature: SignatureKind) -> Self {
        signature.to_string()
    }
}

impl fmt::Display for PublicKeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA {bits} bits"),
            Self::Curve(name) | Self::Other(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for SignatureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(family, hash) => write!(f, "{family} with {hash}"),
            Self::Edwards(name) | Self::Other(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for SignatureFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RsaPkcs1 => "RSA PKCS#1 v1.5",
            Self::RsaPss => "RSA-PSS",
            Self::Ecdsa => "ECDSA",
        })
    }
}

impl fmt::Display for HashFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "SHA-1",
            Self::Sha224 => "SHA-224",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for key in [
            PublicKeyKind::Rsa(2048),
            PublicKeyKind::Curve("P-384".into()),
            PublicKeyKind::Other("GOST".into()),
        ] {
            assert_eq!(PublicKeyKind::from(key.to_string()), key);
        }
        for family in FAMILIES {
            for hash in HASHES {
                let signature = SignatureKind::Known(family, hash);
                assert_eq!(SignatureKind::from(signature.to_string()), signature);
            }
        }
        let edwards = SignatureKind::Edwards("Ed25519".into());
        assert_eq!(SignatureKind::from(edwards.to_string()), edwards);
        assert_eq!(SignatureKind::from("unknown".to_owned()), SignatureKind::default());
    }
}
