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

use super::assess;
use super::fault::TlsFault;
use crate::connector::CertificateFacts;
use crate::mail::{UnixMillis, rfc3339};

/// A file with more is no PEM file of ours.
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

/// What an operator should look at, though the identity can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityWarning {
    /// Its time is over.
    #[error("{}: the certificate expired on {}; renew it", file.display(), rfc3339(*not_after))]
    Expired {
        /// The chain's file.
        file: PathBuf,
        /// The last moment of validity.
        not_after: UnixMillis,
    },
    /// Its time has not begun.
    #[error("{}: the certificate is valid only from {}; is the clock right?", file.display(), rfc3339(*not_before))]
    NotYetValid {
        /// The chain's file.
        file: PathBuf,
        /// The first moment of validity.
        not_before: UnixMillis,
    },
    /// Others may read the key.
    #[error("{}: other users may read the private key (mode {mode:04o}); chmod 0600 it", file.display())]
    KeyReadable {
        /// The key's file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl Identity {
    /// Reads a chain (our own certificate first) and its key from PEM files; they may be one file.
    ///
    /// # Errors
    /// A [`TlsFault`] that names the file and what to do.
    pub fn load(chain: &Path, key: &Path) -> Result<Self, TlsFault> {
        let certificates = certificates(chain)?;
        let mut facts = None;
        for (number, certificate) in (1..).zip(&certificates) {
            let read = assess::read(certificate).map_err(|reason| TlsFault::Unreadable {
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

    /// What our own certificate says. Its chain is not checked: which anchors a peer has is unknown.
    #[must_use]
    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// What should be looked at, as of `now`.
    #[must_use]
    pub fn warnings(&self, now: UnixMillis) -> Vec<IdentityWarning> {
        let mut warnings = Vec::new();
        let file = || self.chain_file.clone();
        if self.facts.not_after < now {
            warnings.push(IdentityWarning::Expired { file: file(), not_after: self.facts.not_after });
        }
        if now < self.facts.not_before {
            warnings.push(IdentityWarning::NotYetValid { file: file(), not_before: self.facts.not_before });
        }
        if self.key_mode & 0o077 != 0 {
            let file = self.key_file.clone();
            warnings.push(IdentityWarning::KeyReadable { file, mode: self.key_mode });
        }
        warnings
    }

    /// The chain that is shown, our own certificate first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// For the TLS library.
    pub(super) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

/// The certificates of a PEM file, in the order in which they stand there; at least one.
///
/// # Errors
/// A [`TlsFault`] that names the file.
pub fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    certificates(file)
}

/// All certificates of a PEM file, at least one.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let (text, _) = read(file)?;
    let found: Vec<_> = items(file, &text)?
        .into_iter()
        .filter_map(
            |item| if let Item::X509Certificate(certificate) = item { Some(certificate) } else { None },
        )
        .collect();
    if found.is_empty() {
        return Err(TlsFault::NoCertificate(file.to_owned()));
    }
    Ok(found)
}

/// The revocation lists of a PEM file, or the one of a DER file; at least one.
pub(super) fn revocation_lists(file: &Path) -> Result<Vec<Vec<u8>>, TlsFault> {
    let (octets, _) = read(file)?;
    if memchr::memmem::find(&octets, b"-----BEGIN ").is_none() {
        return Ok(vec![octets]);
    }
    let lists: Vec<Vec<u8>> = items(file, &octets)?
        .into_iter()
        .filter_map(|item| if let Item::Crl(list) = item { Some(list.to_vec()) } else { None })
        .collect();
    if lists.is_empty() {
        let reason = "there is no -----BEGIN X509 CRL----- in it".to_owned();
        return Err(TlsFault::RevocationList { file: file.to_owned(), reason });
    }
    Ok(lists)
}

fn private_key(file: &Path) -> Result<(PrivateKeyDer<'static>, u32), TlsFault> {
    let (text, mode) = read(file)?;
    // Encrypted keys are no section the PEM reader knows (RFC 5958), or are not base64 alone (RFC 1421).
    let holds = |needle: &str| memchr::memmem::find(&text, needle.as_bytes()).is_some();
    if holds("-----BEGIN ENCRYPTED PRIVATE KEY-----") || holds("Proc-Type: 4,ENCRYPTED") {
        return Err(TlsFault::EncryptedKey(file.to_owned()));
    }
    let mut keys: Vec<PrivateKeyDer<'static>> = items(file, &text)?.into_iter().filter_map(key_of).collect();
    let count = keys.len();
    match (keys.pop(), count) {
        (Some(key), 1) => Ok((key, mode)),
        (None, _) => Err(TlsFault::NoKey(file.to_owned())),
        (Some(_), count) => Err(TlsFault::SeveralKeys { file: file.to_owned(), count }),
    }
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
    // Of the file that is read, not of the one that bears the name a moment later.
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
    // The usual mistake is a chain that begins with the issuer.
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
    /// Never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({}, {})", self.chain_file.display(), self.facts.sha256)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::tls::TrustSet;

    fn pair() -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["mx.example".to_owned()]).expect("parameters");
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
    }

    /// Writes what is given, loads it, and names the files without their folder.
    #[track_caller]
    fn check(chain: Option<&str>, key: Option<&str>, expected: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, content: Option<&str>| {
            let path = folder.path().join(name);
            if let Some(content) = content {
                fs::write(&path, content).expect("written");
            }
            path
        };
        let loaded = Identity::load(&write("c", chain), &write("k", key));
        let told = loaded.map_or_else(|fault| fault.to_string(), |_| "loaded".to_owned());
        assert_eq!(told.replace(&format!("{}/", folder.path().display()), ""), expected);
    }

    #[test]
    fn a_mistake_names_the_file_and_what_to_do() {
        let ((chain, key), (other, other_key)) = (pair(), pair());
        let ok = Some(chain.as_str());
        let with = |text: &str| check(ok, Some(&key), text);
        with("loaded");
        check(Some(&format!("{chain}{key}")), Some(&format!("{chain}{key}")), "loaded");
        check(Some(&format!("{chain}{other}")), Some(&key), "loaded");
        let missing = "there is no such file; write the path as seen from the configuration file";
        check(None, Some(&key), &format!("c: {missing}"));
        check(ok, None, &format!("k: {missing}"));
        check(
            Some("nothing"),
            Some(&key),
            "c: no certificate in it; it must hold PEM (-----BEGIN CERTIFICATE-----)",
        );
        check(ok, Some("nothing"), "k: no private key in it; it must hold PEM (-----BEGIN PRIVATE KEY-----)");
        check(
            ok,
            Some(&format!("{key}{other_key}")),
            "k: 2 private keys in it; leave only the one that belongs to the certificate",
        );
        check(
            ok,
            Some(&other_key),
            "k: the private key does not belong to the first certificate of c; a renewal may have replaced only one of them",
        );
        check(
            Some(&format!("{other}{chain}")),
            Some(&key),
            "c: the private key belongs to certificate number 2; put that one first, then its issuer, and so on",
        );
    }

    #[test]
    fn damaged_and_encrypted_files_are_told_apart() {
        let (chain, key) = pair();
        let encrypted =
            "k: the private key is encrypted; take the passphrase off (openssl pkey -in OLD -out NEW)";
        check(Some(&chain), Some(&key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")), encrypted);
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n\
                   -----END RSA PRIVATE KEY-----\n";
        check(Some(&chain), Some(old), encrypted);
        let advice = "copy it again, from BEGIN line to END line";
        let cut = chain.replace("-----END CERTIFICATE-----", "");
        let missing = "it is damaged (the line -----END CERTIFICATE----- is missing)";
        check(Some(&cut), Some(&key), &format!("c: {missing}; {advice}"));
        let odd = chain.replacen("MII", "M!I", 1);
        let odd = if odd == chain { chain.replacen("\nMI", "\nM!", 1) } else { odd };
        check(Some(&odd), Some(&key), &format!("c: it is damaged (a section is not base64); {advice}"));
        let none = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("c");
        fs::write(&file, format!("{chain}{none}")).expect("written");
        let told = Identity::load(&file, &file).expect_err("no certificate").to_string();
        assert!(told.contains("certificate number 2 can't be read: "), "{told}");
        let told = TrustSet::load(&file).expect_err("no anchor").to_string();
        assert!(told.contains("certificate number 2 can't be a trust anchor: "), "{told}");
        let told = TrustSet::load(folder.path()).expect_err("a folder").to_string();
        assert!(told.contains("it can't be read: "), "{told}");
    }

    #[test]
    fn what_still_works_is_a_warning() {
        let (chain, key) = pair();
        let folder = tempfile::tempdir().expect("a folder");
        let (chain_file, key_file) = (folder.path().join("c"), folder.path().join("k"));
        fs::write(&chain_file, chain).expect("written");
        fs::write(&key_file, key).expect("written");
        let warnings = |mode, now| {
            fs::set_permissions(&key_file, fs::Permissions::from_mode(mode)).expect("a mode");
            let identity = Identity::load(&chain_file, &key_file).expect("loaded");
            let texts: Vec<_> = identity.warnings(now).iter().map(ToString::to_string).collect();
            texts.join("\n").replace(&format!("{}/", folder.path().display()), "")
        };
        let now = UnixMillis(1_800_000_000_000);
        assert_eq!(warnings(0o600, now), "");
        assert_eq!(
            warnings(0o644, now),
            "k: other users may read the private key (mode 0644); chmod 0600 it"
        );
        assert!(warnings(0o600, UnixMillis(i64::MAX)).starts_with("c: the certificate expired on "));
        assert!(
            warnings(0o600, UnixMillis(0)).starts_with("c: the certificate is valid only from 1975-01-01")
        );
    }
}
