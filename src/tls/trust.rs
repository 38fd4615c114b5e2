use std::fmt;
use std::path::Path;

use rustls::pki_types::{CertificateDer, TrustAnchor};
use sha2::{Digest, Sha256};
use webpki::{CertRevocationList, OwnedCertRevocationList};

use super::assess::hex;
use super::fault::TlsFault;
use super::pem;

/// A set of trust anchors: keys in which a chain may end (RFC 5280 §6.1.1).
pub struct TrustSet {
    anchors: Vec<TrustAnchor<'static>>,
    lists: Vec<CertRevocationList<'static>>,
    digest: String,
}

impl TrustSet {
    /// Reads a PEM file of certificates.
    ///
    /// # Errors
    /// A file that can't be read, that holds no certificate, or one that can't be an anchor.
    pub fn load(pem: &Path) -> Result<Self, TlsFault> {
        let certificates = pem::certificates(pem)?;
        let mut anchors = Vec::with_capacity(certificates.len());
        for (number, certificate) in (1..).zip(&certificates) {
            let anchor = anchor(certificate).map_err(|error| TlsFault::Anchor {
                file: pem.to_owned(),
                number,
                reason: error.to_string(),
            })?;
            anchors.push(anchor);
        }
        Ok(Self { anchors, lists: Vec::new(), digest: digest(&certificates) })
    }

    /// Adds the revocation lists of a file, PEM or DER (RFC 5280 §5).
    ///
    /// # Errors
    /// A file that can't be read, or holds no list.
    pub fn add_lists(&mut self, file: &Path) -> Result<(), TlsFault> {
        for der in pem::revocation_lists(file)? {
            let list = OwnedCertRevocationList::from_der(&der).map_err(|error| TlsFault::RevocationList {
                file: file.to_owned(),
                reason: error.to_string(),
            })?;
            self.digest = hex(&Sha256::digest(format!("{}{}", self.digest, hex(&Sha256::digest(&der)))));
            self.lists.push(CertRevocationList::Owned(list));
        }
        Ok(())
    }

    /// The revocation lists, for the path check.
    pub(super) fn lists(&self) -> Vec<&CertRevocationList<'static>> {
        self.lists.iter().collect()
    }

    /// The operating system's own anchors; those that can't be used are left out, as every system
    /// store has some odd ones.
    ///
    /// # Errors
    /// [`TlsFault::NoSystemAnchors`] if none is left.
    pub fn system() -> Result<Self, TlsFault> {
        let found = rustls_native_certs::load_native_certs();
        let anchors: Vec<_> = found.certs.iter().filter_map(|certificate| anchor(certificate).ok()).collect();
        if anchors.is_empty() {
            let reason = found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
            return Err(TlsFault::NoSystemAnchors(reason));
        }
        Ok(Self { anchors, lists: Vec::new(), digest: digest(&found.certs) })
    }

    /// How many anchors there are; never zero.
    #[must_use]
    pub fn count(&self) -> usize {
        self.anchors.len()
    }

    /// SHA-256 over the certificates read, in hexadecimal: changes when the set does.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The anchors, for the path check.
    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }
}

fn anchor(certificate: &CertificateDer<'_>) -> Result<TrustAnchor<'static>, webpki::Error> {
    webpki::anchor_from_trusted_cert(certificate).map(|anchor| anchor.to_owned())
}

fn digest(certificates: &[CertificateDer<'_>]) -> String {
    let mut hash = Sha256::new();
    for certificate in certificates {
        hash.update(Sha256::digest(certificate));
    }
    hex(&hash.finalize())
}

impl fmt::Debug for TrustSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustSet({} anchors)", self.anchors.len())
    }
}
