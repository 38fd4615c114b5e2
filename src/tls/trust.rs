//! Trust anchors and revocation lists, read from files or the operating system. It checks no chain.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, TrustAnchor};
use sha2::{Digest, Sha256};
use webpki::{CertRevocationList, OwnedCertRevocationList};

use super::certificate::{self, hex};
use super::fault::TlsFault;
use super::pem;
use crate::mail::UnixMillis;

/// A set of trust anchors: keys in which a chain may end (RFC 5280 §6.1.1).
pub struct TrustSet {
    anchors: Vec<TrustAnchor<'static>>,
    lists: Vec<CertRevocationList<'static>>,
    /// Subject and expiry of each anchor.
    anchor_ends: Vec<(String, UnixMillis)>,
    /// The next update of each file's list.
    ends: Vec<(PathBuf, UnixMillis)>,
    digest: String,
}

impl TrustSet {
    /// Reads a PEM file of certificates.
    ///
    /// # Errors
    /// The file can't be read, holds no certificate, or holds one that can't be an anchor.
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
        let anchor_ends = anchor_ends(&certificates);
        Ok(Self { anchors, lists: Vec::new(), anchor_ends, ends: Vec::new(), digest: digest(&certificates) })
    }

    /// Adds the revocation lists of a file, PEM or DER (RFC 5280 §5).
    ///
    /// # Errors
    /// The file can't be read or holds no list.
    pub fn add_lists(&mut self, file: &Path) -> Result<(), TlsFault> {
        for der in pem::revocation_lists(file)? {
            let list = OwnedCertRevocationList::from_der(&der).map_err(|error| TlsFault::RevocationList {
                file: file.to_owned(),
                reason: error.to_string(),
            })?;
            self.digest = hex(&Sha256::digest(format!("{}{}", self.digest, hex(&Sha256::digest(&der)))));
            self.lists.push(CertRevocationList::Owned(list));
            let next = x509_parser::parse_x509_crl(&der).ok().and_then(|(_, list)| list.next_update());
            if let Some(next) = next {
                self.ends.push((file.to_owned(), UnixMillis(next.timestamp().saturating_mul(1_000))));
            }
        }
        Ok(())
    }

    /// Subject and expiry of each anchor. The path check ignores the date (RFC 5280 §6.1.1 d has
    /// none), but other software does not.
    #[must_use]
    pub fn anchor_ends(&self) -> &[(String, UnixMillis)] {
        &self.anchor_ends
    }

    /// Until when the revocation list of each file is valid (RFC 5280 §5.1.2.5).
    #[must_use]
    pub fn list_ends(&self) -> &[(PathBuf, UnixMillis)] {
        &self.ends
    }

    pub(super) fn lists(&self) -> Vec<&CertRevocationList<'static>> {
        self.lists.iter().collect()
    }

    /// The operating system's own anchors. Unusable ones are skipped, because every system store
    /// has a few.
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
        let anchor_ends = anchor_ends(&found.certs);
        Ok(Self { anchors, lists: Vec::new(), anchor_ends, ends: Vec::new(), digest: digest(&found.certs) })
    }

    /// Number of anchors; never zero.
    #[must_use]
    pub fn count(&self) -> usize {
        self.anchors.len()
    }

    /// SHA-256 over the certificates and lists read, in hexadecimal: changes when the set does.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }
}

fn anchor(certificate: &CertificateDer<'_>) -> Result<TrustAnchor<'static>, webpki::Error> {
    webpki::anchor_from_trusted_cert(certificate).map(|anchor| anchor.to_owned())
}

fn anchor_ends(certificates: &[CertificateDer<'_>]) -> Vec<(String, UnixMillis)> {
    let read =
        |certificate| certificate::read(certificate).ok().map(|facts| (facts.subject, facts.not_after));
    certificates.iter().filter_map(read).collect()
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
