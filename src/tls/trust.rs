//! Trust anchors and revocation lists, read from files or the operating system. It checks no chain.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, TrustAnchor};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::cache::{CachedList, ListCache};
use super::certificate::{self, hex};
use super::crl::{ListFault, RevocationList};
use super::fault::TlsFault;
use super::ocsp;
use super::pem;
use super::shelf::{ListShelf, ListSources};
use crate::connector::TrustContents;
use crate::mail::{UnixMillis, rfc3339};

/// A set of trust anchors: keys in which a chain may end (RFC 5280 §6.1.1).
pub struct TrustSet {
    anchors: Vec<TrustAnchor<'static>>,
    /// The anchors as certificates: a peer may present one of them as its own.
    certificates: Vec<CertificateDer<'static>>,
    lists: Vec<(PathBuf, Arc<RevocationList>)>,
    shelf: ListShelf,
    /// Subject and expiry of each anchor.
    anchor_ends: Vec<(String, UnixMillis)>,
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
        Ok(Self::of(anchors, certificates))
    }

    fn of(anchors: Vec<TrustAnchor<'static>>, certificates: Vec<CertificateDer<'static>>) -> Self {
        let (anchor_ends, digest) = (anchor_ends(&certificates), digest(&certificates));
        Self { anchors, certificates, lists: Vec::new(), shelf: ListShelf::default(), anchor_ends, digest }
    }

    /// The same set with one more anchor, and a list of that authority; `None` if the certificate can't be an anchor. What
    /// was fetched so far stays, and nothing more is fetched for it.
    #[must_use]
    pub fn with_anchor(
        &self,
        certificate: &CertificateDer<'static>,
        list: Arc<RevocationList>,
    ) -> Option<Self> {
        let added = anchor(certificate).ok()?;
        let mut lists: Vec<_> = self.lists().into_iter().map(|one| (PathBuf::new(), one)).collect();
        lists.push((PathBuf::new(), list));
        let anchors = self.anchors.iter().cloned().chain([added]).collect();
        let certificates = self.certificates.iter().cloned().chain([certificate.clone()]).collect();
        Some(Self { lists, ..Self::of(anchors, certificates) })
    }

    /// Adds the revocation lists of a file, PEM or DER (RFC 5280 §5), and gives them.
    ///
    /// # Errors
    /// The file can't be read or holds no usable list.
    pub fn add_lists(&mut self, file: &Path) -> Result<Vec<Arc<RevocationList>>, TlsFault> {
        let mut added = Vec::new();
        for der in pem::revocation_lists(file)? {
            let list = RevocationList::parse(&der)
                .map_err(|fault| TlsFault::RevocationList { file: file.to_owned(), fault })?;
            self.digest = hex(&Sha256::digest(format!("{}{}", self.digest, hex(&Sha256::digest(&der)))));
            added.push(Arc::new(list));
        }
        self.lists.extend(added.iter().map(|list| (file.to_owned(), Arc::clone(list))));
        Ok(added)
    }

    /// Says where further lists are fetched from, and takes what the cache has of them.
    pub fn fetch_from(&mut self, id: &str, sources: ListSources, cache: &ListCache) {
        let named = format!("{}{sources:?}", self.digest);
        self.digest = hex(&Sha256::digest(named));
        let from_chains = sources.from_chains;
        self.shelf = ListShelf::new(sources);
        if from_chains {
            let before = cache.presented().into_iter().filter(|one| one.trust == id);
            before.for_each(|one| self.shelf.present(&one.url, one.seen));
        }
        for url in self.shelf.urls() {
            let Some(cached) = cache.read(id, &url) else { continue };
            if let Ok(list) = RevocationList::parse(&cached.der) {
                if let Some(key) = cached.key.filter(|key| list.signed_by(key)) {
                    self.shelf.note_key(list.issuer_name(), &key);
                }
                self.shelf.put(&url, Arc::new(list), UnixMillis::default);
            }
        }
    }

    /// The fetched lists.
    #[must_use]
    pub fn shelf(&self) -> &ListShelf {
        &self.shelf
    }

    /// Takes a list that was fetched from a URL, and says how to keep it; `None` if it is the one that is there. Lists
    /// come over plain HTTP: whoever is on the way must not be able to replace one by another that nobody signed, or
    /// by an older one.
    ///
    /// # Errors
    /// [`FetchedListFault`]; the last list stays.
    pub fn take_fetched(
        &self,
        url: &str,
        octets: Vec<u8>,
        clock: impl Fn() -> UnixMillis,
    ) -> Result<Option<CachedList>, FetchedListFault> {
        let lists = pem::lists_of(Path::new(url), octets).map_err(|fault| {
            if let TlsFault::RevocationList { fault, .. } = fault {
                FetchedListFault::List(fault)
            } else {
                FetchedListFault::Pem(fault.to_string())
            }
        })?;
        let [der] =
            <[Vec<u8>; 1]>::try_from(lists).map_err(|lists| FetchedListFault::Several(lists.len()))?;
        let list = RevocationList::parse(&der)?;
        let key = self.shelf.signer(&list);
        let verified = key.is_some() || self.signed(&list);
        let last = self.shelf.list(url);
        let configured = self.shelf.sources().urls.iter().any(|one| **one == *url);
        let last_verified =
            last.as_ref().is_some_and(|last| self.signed(last) || self.shelf.signer(last).is_some());
        // Of a configured list the authority may not have been seen yet. One from a chain was named by what its
        // authority signed.
        if !verified && (!configured || last_verified) {
            return Err(FetchedListFault::Unsigned(list.issuer().to_owned()));
        }
        if let Some(last) = &last {
            if list.is_same(last) {
                return Ok(None);
            }
            if last_verified && last.is_current(clock()) && !list.is_for_the_same(last) {
                return Err(FetchedListFault::Other(list.issuer().to_owned()));
            }
            if list.this_update() < last.this_update() && (last_verified || !verified) {
                return Err(FetchedListFault::Older(rfc3339(list.this_update())));
            }
        }
        self.shelf.put(url, Arc::new(list), clock);
        Ok(Some(CachedList { der, key: if self.is_anchor_key(key.as_deref()) { None } else { key } }))
    }

    fn is_anchor_key(&self, key: Option<&[u8]>) -> bool {
        let keys = self.certificates.iter().filter_map(certificate::names_and_key);
        keys.into_iter().any(|(_, one)| Some(one.as_slice()) == key)
    }

    /// Subject and expiry of each anchor. The path check ignores the date (RFC 5280 §6.1.1 d has
    /// none), but other software does not.
    #[must_use]
    pub fn anchor_ends(&self) -> &[(String, UnixMillis)] {
        &self.anchor_ends
    }

    /// The revocation lists read from files, each with its file.
    #[must_use]
    pub fn listed(&self) -> &[(PathBuf, Arc<RevocationList>)] {
        &self.lists
    }

    /// Whether one of the anchors signed a list. A list of an intermediate authority can be verified only with
    /// its certificate, which peers present.
    #[must_use]
    pub fn signed(&self, list: &RevocationList) -> bool {
        self.certificates.iter().any(|one| {
            certificate::names_and_key(one)
                .is_some_and(|(name, key)| list.names_issuer(&name) && list.signed_by(&key))
        })
    }

    /// Whether there is a newer, current list for the same certificates, signed by the same anchor.
    #[must_use]
    pub fn has_newer(&self, list: &RevocationList, now: UnixMillis) -> bool {
        let signers = |list: &RevocationList| {
            let keys = self.certificates.iter().filter_map(certificate::names_and_key);
            keys.filter(|(_, key)| list.signed_by(key)).collect::<Vec<_>>()
        };
        let newer = |other: &&RevocationList| {
            other.this_update() > list.this_update() && other.is_current(now) && other.is_for_the_same(list)
        };
        let mut newer = self.lists.iter().map(|(_, list)| &**list).filter(newer).peekable();
        newer.peek().is_some() && {
            let ours = signers(list);
            !ours.is_empty() && newer.any(|other| signers(other) == ours)
        }
    }

    /// Whether the lists can show any certificate to be good. Every path has a certificate issued by an anchor,
    /// which needs a current list signed by that anchor.
    #[must_use]
    pub fn can_vouch(&self, now: UnixMillis) -> bool {
        self.shelf.is_active() || self.lists.iter().any(|(_, list)| list.is_current(now) && self.signed(list))
    }

    /// The anchors that share their name with another one, as after a renewal of an authority's key.
    pub(super) fn namesakes(&self) -> impl Iterator<Item = &TrustAnchor<'static>> {
        let shared = |one: &TrustAnchor<'_>| {
            self.anchors.iter().filter(|other| other.subject == one.subject).count() > 1
        };
        self.anchors.iter().filter(move |one| shared(one))
    }

    /// All lists at this moment, from files and fetched.
    pub(super) fn lists(&self) -> Vec<Arc<RevocationList>> {
        let mut lists: Vec<_> = self.lists.iter().map(|(_, list)| Arc::clone(list)).collect();
        lists.extend(self.shelf.lists());
        lists
    }

    /// A copy for a question: whatever is assessed by it, no list is fetched because of that.
    #[must_use]
    pub fn set_aside(&self) -> Self {
        Self {
            anchors: self.anchors.clone(),
            certificates: self.certificates.clone(),
            lists: self.lists.clone(),
            shelf: self.shelf.set_aside(),
            anchor_ends: self.anchor_ends.clone(),
            digest: self.digest.clone(),
        }
    }

    /// The anchors as certificates.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    pub(super) fn has_lists(&self) -> bool {
        !self.lists.is_empty() || self.shelf.is_active()
    }

    /// Whether a certificate is itself a trust anchor.
    pub(super) fn has(&self, certificate: &CertificateDer<'_>) -> bool {
        self.certificates.iter().any(|one| one == certificate)
    }

    /// Whether a chain ends in one of the anchors, whatever else there is to say about it.
    #[must_use]
    pub fn is_root_of(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some(last) = chain.last() else { return false };
        let Ok((_, parsed)) = X509Certificate::from_der(last) else { return false };
        let issued = |one: &CertificateDer<'_>| {
            X509Certificate::from_der(one).is_ok_and(|(_, anchor)| {
                anchor.subject().as_raw() == parsed.issuer().as_raw() && ocsp::issued(last, &anchor)
            })
        };
        self.has(last) || self.certificates.iter().any(issued)
    }

    /// The operating system's own anchors. Unusable ones are skipped, because every system store
    /// has a few.
    ///
    /// # Errors
    /// [`TlsFault::NoSystemAnchors`] if none is left.
    pub fn system() -> Result<Self, TlsFault> {
        let found = rustls_native_certs::load_native_certs();
        let (anchors, certificates): (Vec<_>, Vec<_>) = found
            .certs
            .into_iter()
            .filter_map(|certificate| Some((anchor(&certificate).ok()?, certificate)))
            .unzip();
        if anchors.is_empty() {
            let reason = found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
            return Err(TlsFault::NoSystemAnchors(reason));
        }
        Ok(Self::of(anchors, certificates))
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

    /// What another set can be compared with.
    #[must_use]
    pub fn contents(&self) -> TrustContents {
        let print = |anchor: &TrustAnchor<'_>| {
            let mut hash = Sha256::new();
            for part in [anchor.subject.as_ref(), anchor.subject_public_key_info.as_ref()] {
                hash.update(Sha256::digest(part));
            }
            hash.finalize().into()
        };
        TrustContents {
            digest: self.digest.clone(),
            anchors: self.anchors.iter().map(print).collect(),
            lists: self.lists.iter().map(|(_, list)| list.issuer().to_owned()).collect(),
        }
    }

    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }
}

/// Why a fetched list was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchedListFault {
    /// It is no list, or can't be used.
    #[error("what came back can't be used: {0}")]
    List(#[from] ListFault),
    /// It is damaged PEM.
    #[error("what came back can't be used: {0}")]
    Pem(String),
    /// It is more than one list.
    #[error("what came back has {0} lists; one is expected")]
    Several(usize),
    /// No known authority signed it.
    #[error("the list that came back names {0} as its issuer, and no authority known by that name signed it")]
    Unsigned(String),
    /// It is for other certificates than the current one.
    #[error(
        "the list that came back, of {0}, is for other certificates than the last one, which has not ended yet"
    )]
    Other(String),
    /// There is a newer one.
    #[error("the list that came back is of {0}, older than the last one")]
    Older(String),
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
