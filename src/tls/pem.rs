//! Reads certificates, keys and revocation lists from PEM files, and checks that our own chain and
//! key belong together.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use rustls_pemfile::Item;

use super::certificate::{self, is_self_issued, issuer_strength};
use super::crl::ListFault;
use super::fault::TlsFault;
use super::form::{ForeignFile, ForeignForm, MaterialKind};
use crate::connector::{CertificateFacts, IssuerStrength};
use crate::mail::{UnixMillis, rfc3339};

/// From this time before expiry on, a certificate has a warning: the longest of the alarm
/// thresholds.
const SOON_MILLIS: i64 = 30 * 24 * 60 * 60 * 1_000;
/// A larger file is not accepted as a PEM file.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Our own chain and key.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    facts: CertificateFacts,
    chain_file: PathBuf,
    key_file: PathBuf,
    key_mode: u32,
}

/// A problem that an operator should look at; the identity is still usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityWarning {
    /// The certificate has expired.
    #[error("{}: the certificate expired on {}; renew it", file.display(), rfc3339(*not_after))]
    Expired {
        /// Path of the chain file.
        file: PathBuf,
        /// When the certificate expired.
        not_after: UnixMillis,
    },
    /// The certificate is not valid yet.
    #[error("{}: the certificate is valid only from {}; is the clock right?", file.display(), rfc3339(*not_before))]
    NotYetValid {
        /// Path of the chain file.
        file: PathBuf,
        /// When the certificate becomes valid.
        not_before: UnixMillis,
    },
    /// The certificate expires within 30 days.
    #[error("{}: the certificate expires on {}; renew it", file.display(), rfc3339(*not_after))]
    ExpiresSoon {
        /// Path of the chain file.
        file: PathBuf,
        /// When the certificate expires.
        not_after: UnixMillis,
    },
    /// A certificate of the chain is not the issuer of the one before it.
    #[error("{}: certificate number {number} is not the issuer of the one before it, so that peers may not find the way to its authority; let each be followed by its issuer", file.display())]
    NotTheIssuer {
        /// Path of the chain file.
        file: PathBuf,
        /// Position of that certificate in the file, counted from 1.
        number: usize,
    },
    /// The chain ends early: the issuer of the last certificate would have to be fetched, which few
    /// peers do.
    #[error("{}: the chain ends with a certificate whose issuer ({issuer}) is missing, and few peers fetch it: those that judge us will refuse; append the issuer's certificate", file.display())]
    IssuerMissing {
        /// Path of the chain file.
        file: PathBuf,
        /// Subject of the missing issuer.
        issuer: String,
    },
    /// Other users may read the key.
    #[error("{}: other users may read the private key (mode {mode:04o}); chmod 0600 it", file.display())]
    KeyReadable {
        /// Path of the key file.
        file: PathBuf,
        /// Permission bits of the key file.
        mode: u32,
    },
}

impl Identity {
    /// Reads a chain (our own certificate first) and its key from PEM files; both may be in one
    /// file.
    ///
    /// # Errors
    /// A [`TlsFault`] that names the file and the fix.
    pub fn load(chain: &Path, key: &Path) -> Result<Self, TlsFault> {
        if are_swapped(chain, key) {
            return Err(TlsFault::Swapped { chain: chain.to_owned(), key: key.to_owned() });
        }
        let certificates = certificates(chain)?;
        let mut facts = None;
        for (number, certificate) in (1..).zip(&certificates) {
            let read = certificate::read(certificate).map_err(|reason| TlsFault::Unreadable {
                file: chain.to_owned(),
                number,
                reason,
            })?;
            facts.get_or_insert(read);
        }
        let facts = facts.ok_or_else(|| TlsFault::NoCertificate(chain.to_owned()))?;
        let (private, key_mode) = private_key(key)?;
        let signing = super::provider()
            .key_provider
            .load_private_key(private)
            .map_err(|error| TlsFault::UnusableKey { file: key.to_owned(), reason: error.to_string() })?;
        let certified = CertifiedKey::new(certificates, signing);
        check_pair(&certified, chain, key)?;
        Ok(Self {
            certified: Arc::new(certified),
            facts,
            chain_file: chain.to_owned(),
            key_file: key.to_owned(),
            key_mode,
        })
    }

    /// The facts of our own certificate. Its chain is not checked, because the peer's trust anchors
    /// are unknown.
    #[must_use]
    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// What an operator should look at, as of `now`.
    #[must_use]
    pub fn warnings(&self, now: UnixMillis) -> Vec<IdentityWarning> {
        let mut warnings = Vec::new();
        let file = || self.chain_file.clone();
        if self.facts.not_after < now {
            warnings.push(IdentityWarning::Expired { file: file(), not_after: self.facts.not_after });
        }
        if (now..UnixMillis(now.0.saturating_add(SOON_MILLIS))).contains(&self.facts.not_after) {
            warnings.push(IdentityWarning::ExpiresSoon { file: file(), not_after: self.facts.not_after });
        }
        if now < self.facts.not_before {
            warnings.push(IdentityWarning::NotYetValid { file: file(), not_before: self.facts.not_before });
        }
        if let Some(index) = certificate::first_stranger(self.chain()) {
            let number = index.saturating_add(1);
            warnings.push(IdentityWarning::NotTheIssuer { file: file(), number });
        } else if let Some(issuer) = certificate::missing_issuer(self.chain()) {
            warnings.push(IdentityWarning::IssuerMissing { file: file(), issuer });
        }
        if self.key_mode & 0o077 != 0 {
            let file = self.key_file.clone();
            warnings.push(IdentityWarning::KeyReadable { file, mode: self.key_mode });
        }
        warnings
    }

    /// The chain that is presented, our own certificate first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The issuers that are presented with it, without a root among them: no peer relies on a root's own signature.
    #[must_use]
    pub fn issuers(&self) -> Vec<IssuerStrength> {
        let issuers = self.chain().iter().skip(1).filter(|one| !is_self_issued(one));
        issuers.map(issuer_strength).collect()
    }

    /// Whether its certificate is signed by its own key.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.chain().first().is_some_and(is_self_issued)
    }

    /// Chain and key as the TLS library takes them.
    #[must_use]
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

/// The certificates of a PEM file, in file order; at least one.
///
/// # Errors
/// A [`TlsFault`] that names the file.
pub fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    certificates(file)
}

/// The same for PEM in memory.
///
/// # Errors
/// A [`TlsFault`] that names it as a file of this name.
pub fn parse_chain(name: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    certificates_of(name, text)
}

/// All certificates of a PEM file, at least one.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let (text, _) = read(file)?;
    certificates_of(file, &text)
}

fn certificates_of(file: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let found: Vec<_> = items(file, text)?
        .into_iter()
        .filter_map(
            |item| if let Item::X509Certificate(certificate) = item { Some(certificate) } else { None },
        )
        .collect();
    if found.is_empty() {
        let foreign = foreign(file, text, MaterialKind::Certificates);
        return Err(foreign.unwrap_or_else(|| TlsFault::NoCertificate(file.to_owned())));
    }
    Ok(found)
}

/// The revocation lists of a PEM file, or the one list of a DER file; at least one.
pub(super) fn revocation_lists(file: &Path) -> Result<Vec<Vec<u8>>, TlsFault> {
    let (octets, _) = read(file)?;
    lists_of(file, octets)
}

/// The revocation lists in these octets, PEM or DER; at least one. `source` is what a fault calls them.
pub(super) fn lists_of(source: &Path, octets: Vec<u8>) -> Result<Vec<Vec<u8>>, TlsFault> {
    if memchr::memmem::find(&octets, b"-----BEGIN ").is_none() {
        return Ok(vec![octets]);
    }
    let lists: Vec<Vec<u8>> = items(source, &octets)?
        .into_iter()
        .filter_map(|item| if let Item::Crl(list) = item { Some(list.to_vec()) } else { None })
        .collect();
    if lists.is_empty() {
        let fault = ListFault::NotOne("there is no -----BEGIN X509 CRL----- in it".to_owned());
        return Err(TlsFault::RevocationList { file: source.to_owned(), fault });
    }
    Ok(lists)
}

/// A certificate in DER, or the first of PEM.
pub(super) fn certificate_of(octets: &[u8]) -> Option<Vec<u8>> {
    if memchr::memmem::find(octets, b"-----BEGIN ").is_none() {
        return Some(octets.to_vec());
    }
    let items = items(Path::new(""), octets).ok()?;
    let first =
        |item| if let Item::X509Certificate(certificate) = item { Some(certificate.to_vec()) } else { None };
    items.into_iter().find_map(first)
}

fn private_key(file: &Path) -> Result<(PrivateKeyDer<'static>, u32), TlsFault> {
    let (text, mode) = read(file)?;
    // Encrypted keys are in a section that the PEM reader does not know (RFC 5958), or have headers
    // that are not base64 (RFC 1421).
    let holds = |needle: &str| memchr::memmem::find(&text, needle.as_bytes()).is_some();
    if holds("-----BEGIN ENCRYPTED PRIVATE KEY-----") || holds("Proc-Type: 4,ENCRYPTED") {
        return Err(TlsFault::EncryptedKey(file.to_owned()));
    }
    let mut keys: Vec<PrivateKeyDer<'static>> = items(file, &text)?.into_iter().filter_map(key_of).collect();
    let count = keys.len();
    match (keys.pop(), count) {
        (Some(key), 1) => Ok((key, mode)),
        (None, _) => {
            let foreign = foreign(file, &text, MaterialKind::Key);
            Err(foreign.unwrap_or_else(|| TlsFault::NoKey(file.to_owned())))
        }
        (Some(_), count) => Err(TlsFault::SeveralKeys { file: file.to_owned(), count }),
    }
}

fn foreign(file: &Path, octets: &[u8], wanted: MaterialKind) -> Option<TlsFault> {
    let form = ForeignForm::of(octets)?;
    Some(TlsFault::Foreign(ForeignFile { file: file.to_owned(), form, wanted }))
}

/// Whether the chain's file has only a key, and the key's file only certificates.
fn are_swapped(chain: &Path, key: &Path) -> bool {
    let holds = |file: &Path| {
        let found = read(file).ok().and_then(|(text, _)| items(file, &text).ok()).unwrap_or_default();
        let certificates = found.iter().any(|item| matches!(item, Item::X509Certificate(_)));
        (certificates, found.into_iter().any(|item| key_of(item).is_some()))
    };
    (holds(chain), holds(key)) == ((false, true), (true, false))
}

fn key_of(item: Item) -> Option<PrivateKeyDer<'static>> {
    if let Item::Pkcs8Key(key) = item {
        return Some(key.into());
    }
    if let Item::Pkcs1Key(key) = item {
        return Some(key.into());
    }
    if let Item::Sec1Key(key) = item {
        return Some(key.into());
    }
    None
}

fn read(file: &Path) -> Result<(Vec<u8>, u32), TlsFault> {
    let unread = |error| TlsFault::unread(file, error);
    let opened = File::open(file).map_err(unread)?;
    // The mode of the file that was opened, not of one that may have replaced it since.
    let mode = opened.metadata().map_err(unread)?.permissions().mode() & 0o7777;
    let mut text = Vec::new();
    opened.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(unread)?;
    Ok((text, mode))
}

fn items(file: &Path, text: &[u8]) -> Result<Vec<Item>, TlsFault> {
    let damaged = |reason: String| TlsFault::Damaged { file: file.to_owned(), reason };
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        match rustls_pemfile::read_one_from_slice(rest) {
            Ok(Some((item, after))) => {
                found.push(item);
                rest = after;
            }
            Ok(None) => return Ok(found),
            Err(rustls_pemfile::Error::MissingSectionEnd { end_marker }) => {
                let label = String::from_utf8_lossy(&end_marker).into_owned();
                return Err(damaged(format!("the line -----END {label}----- is missing")));
            }
            Err(rustls_pemfile::Error::IllegalSectionStart { line }) => {
                return Err(damaged(format!("not understood: {:?}", String::from_utf8_lossy(&line))));
            }
            Err(rustls_pemfile::Error::Base64Decode(_)) => {
                return Err(damaged("a section is not base64".to_owned()));
            }
        }
    }
}

fn check_pair(certified: &CertifiedKey, chain: &Path, key: &Path) -> Result<(), TlsFault> {
    match certified.keys_match() {
        Ok(()) => return Ok(()),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {}
        Err(error) => return Err(TlsFault::Setup(error)),
    }
    // The usual error is a chain that begins with the issuer.
    let belongs = |certificate: &CertificateDer<'static>| {
        CertifiedKey::new(vec![certificate.clone()], Arc::clone(&certified.key)).keys_match().is_ok()
    };
    let place = certified.cert.iter().position(belongs);
    Err(match place {
        Some(index) => TlsFault::ChainOrder { chain: chain.to_owned(), number: index.saturating_add(1) },
        None => TlsFault::KeyMismatch { chain: chain.to_owned(), key: key.to_owned() },
    })
}

impl fmt::Debug for Identity {
    /// Leaves out the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({}, {})", self.chain_file.display(), self.facts.sha256)
    }
}

#[cfg(test)]
mod tests;
