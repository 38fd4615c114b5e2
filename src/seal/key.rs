//! Ed25519 keys of a site (RFC 8032). Pure.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::hex::hex_text;
use super::tree::Hash;

/// An Ed25519 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SitePublicKey(pub [u8; 32]);

hex_text!(SitePublicKey);

impl SitePublicKey {
    /// The SHA-256 hash of it, by which people compare it.
    #[must_use]
    pub fn fingerprint(&self) -> Hash {
        Hash::of(&self.0)
    }

    /// Whether this is its signature on these octets.
    #[must_use]
    pub fn has_signed(&self, octets: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(octets, signature).is_ok()
    }
}

/// The key that signs.
pub struct SiteKey {
    pair: Ed25519KeyPair,
    document: Vec<u8>,
}

impl SiteKey {
    /// Makes one. `None`: the system gave no random numbers.
    #[must_use]
    pub fn made() -> Option<Self> {
        let pair = Ed25519KeyPair::generate().ok()?;
        let document = pair.to_pkcs8().ok()?.as_ref().to_vec();
        Some(Self { pair, document })
    }

    /// The key in a PKCS#8 document (DER).
    #[must_use]
    pub fn from_pkcs8(document: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(document).ok()?;
        Some(Self { pair, document: document.to_vec() })
    }

    /// As a PKCS#8 document (DER): a secret.
    #[must_use]
    pub fn to_pkcs8(&self) -> &[u8] {
        &self.document
    }

    /// Its public key.
    #[must_use]
    pub fn public_key(&self) -> SitePublicKey {
        SitePublicKey::from_octets(self.pair.public_key().as_ref()).unwrap_or(SitePublicKey([0; 32]))
    }

    /// Signs some octets.
    #[must_use]
    pub fn sign(&self, octets: &[u8]) -> Vec<u8> {
        self.pair.sign(octets).as_ref().to_vec()
    }
}
