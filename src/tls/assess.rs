//! Assesses a chain against trust anchor sets and revocation lists at a given time. It gives facts;
//! the connector's requirement judges them.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};
use x509_parser::prelude::{FromDer, X509Name};

use super::certificate::{BESIDE_MAX, beside, issuer_strength, printable, read};
use super::crl::{IssuerKey, ListedCertificate, RevocationList};
use super::issuers::{INTERMEDIATES_MAX, relevant};
use super::trust::TrustSet;
use super::words::chain_words;
use crate::connector::{
    AnchorPath, CertificateFacts, ChainFault, ChainVerdict, PeerCertificate, RevocationStatus, TrustId,
};
use crate::mail::UnixMillis;
/// The purpose a certificate must be valid for (RFC 5280 §4.2.1.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// TLS server authentication.
    Server,
    /// A client certificate. Public authorities no longer issue certificates for clients and
    /// partners present their server's, so both purposes are accepted.
    ClientOrServer,
}

/// Turns what a peer presented into facts: what its certificate says, and for each trust anchor set
/// whether the chain ends there and is valid at `now`.
#[must_use]
pub fn assess(
    chain: &[CertificateDer<'_>],
    proved: bool,
    sets: &[(TrustId, Arc<TrustSet>)],
    usage: Usage,
    now: UnixMillis,
) -> PeerCertificate {
    let mut peer = presented(chain, proved);
    if let PeerCertificate::Shown(facts) = &mut peer {
        assess_by(facts, chain, sets, usage, now);
    }
    peer
}

/// What a peer's certificate says; its chain is not assessed.
pub(super) fn presented(chain: &[CertificateDer<'_>], proved: bool) -> PeerCertificate {
    let Some((leaf, intermediates)) = chain.split_first() else {
        return PeerCertificate::NotShown;
    };
    match read(leaf) {
        Ok(mut facts) => {
            facts.proved = proved;
            facts.beside = intermediates.iter().take(BESIDE_MAX).filter_map(beside).collect();
            PeerCertificate::Shown(Box::new(facts))
        }
        Err(why) => PeerCertificate::Unreadable(why),
    }
}

/// Adds to the facts whether the chain ends in these trust anchor sets.
pub(super) fn assess_by(
    facts: &mut CertificateFacts,
    chain: &[CertificateDer<'_>],
    sets: &[(TrustId, Arc<TrustSet>)],
    usage: Usage,
    now: UnixMillis,
) {
    let Some((leaf, shown)) = chain.split_first() else { return };
    let intermediates = relevant(leaf, shown);
    for (id, set) in sets {
        let mut opinion = opinion(leaf, &intermediates, set, usage, now);
        if shown.len() > INTERMEDIATES_MAX
            && opinion.verdict == ChainVerdict::Faulty(ChainFault::UnknownIssuer)
        {
            opinion = Opinion::faulty(ChainFault::Other(format!(
                "no path was found with the first {INTERMEDIATES_MAX} intermediate certificates, and no more are \
                 considered"
            )));
        }
        facts.chain.insert(id.clone(), opinion.verdict);
        if let Some(found) = opinion.trusted {
            facts.revocation.insert(id.clone(), found.status);
            facts.root.get_or_insert(found.anchor);
            facts.paths.insert(id.clone(), found.path);
        }
    }
}

/// The result for one trust anchor set.
struct Opinion {
    verdict: ChainVerdict,
    /// The way to the anchor, if the set trusts the chain.
    trusted: Option<TrustedPath>,
}

/// A valid path to an anchor.
struct TrustedPath {
    status: RevocationStatus,
    /// The subject of the anchor.
    anchor: String,
    path: AnchorPath,
}

impl Opinion {
    fn faulty(fault: ChainFault) -> Self {
        Self { verdict: ChainVerdict::Faulty(fault), trusted: None }
    }

    fn trusted(found: TrustedPath) -> Self {
        Self { verdict: ChainVerdict::Trusted, trusted: Some(found) }
    }
}

fn opinion(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    set: &TrustSet,
    usage: Usage,
    now: UnixMillis,
) -> Opinion {
    let by_path = match EndEntityCert::try_from(leaf) {
        Ok(leaf) => {
            let search = PathSearch { leaf: &leaf, intermediates, set, lists: set.lists(), now };
            let by = |purpose| search.best(purpose);
            match usage {
                Usage::Server => by(KeyUsage::server_auth()),
                Usage::ClientOrServer => by(KeyUsage::client_auth()).or_else(|error| {
                    if fault(&error) == ChainFault::WrongPurpose {
                        by(KeyUsage::server_auth())
                    } else {
                        Err(error)
                    }
                }),
            }
        }
        Err(error) => Err(error),
    };
    match by_path {
        Ok(found) => Opinion::trusted(found),
        Err(_) if set.has(leaf) => shown_anchor(leaf, set, usage, now),
        Err(error) => Opinion::faulty(fault(&error)),
    }
}

/// The peer's own certificate is a trust anchor, so there is no path to check (RFC 5280 §6.1). It may be marked as
/// an authority, as many self-signed ones are, or be of version 1. Its dates and its purpose are still checked.
fn shown_anchor(leaf: &CertificateDer<'_>, set: &TrustSet, usage: Usage, now: UnixMillis) -> Opinion {
    let facts = match read(leaf) {
        Ok(facts) => facts,
        Err(why) => return Opinion::faulty(ChainFault::Other(why)),
    };
    if facts.not_after < now {
        return Opinion::faulty(ChainFault::Expired);
    }
    if now < facts.not_before {
        return Opinion::faulty(ChainFault::NotYetValid);
    }
    let fits = match usage {
        Usage::Server => facts.for_servers,
        Usage::ClientOrServer => facts.for_servers || facts.for_clients,
    };
    if !fits {
        return Opinion::faulty(ChainFault::WrongPurpose);
    }
    let status = match ListedCertificate::read(leaf) {
        Some(listed) if set.has_lists() => {
            certificate_status(&listed, &listed.as_issuer(), (set, &set.lists()), now)
        }
        Some(_) => RevocationStatus::NoList,
        None => RevocationStatus::Unknown,
    };
    Opinion::trusted(TrustedPath { status, anchor: facts.subject, path: AnchorPath::Itself })
}

/// Called with each valid path; an error makes the search continue.
type PathLook<'a> = dyn Fn(&VerifiedPath<'_>) -> Result<(), webpki::Error> + 'a;

struct PathSearch<'a> {
    leaf: &'a EndEntityCert<'a>,
    intermediates: &'a [CertificateDer<'a>],
    set: &'a TrustSet,
    lists: Vec<Arc<RevocationList>>,
    now: UnixMillis,
}

impl PathSearch<'_> {
    /// Finds the path with the best revocation status. There may be several paths: an authority may have two certificates, one of them revoked.
    fn best(&self, purpose: KeyUsage) -> Result<TrustedPath, webpki::Error> {
        let seen = RefCell::new(Vec::new());
        let look = |path: &VerifiedPath<'_>| {
            let status = self.status(path);
            let issuers = path.intermediate_certificates().map(|one| issuer_strength(&one.der())).collect();
            seen.borrow_mut().push(TrustedPath {
                status,
                anchor: subject_of(path.anchor().subject.as_ref()),
                path: AnchorPath::Through(issuers),
            });
            // An error makes the search continue.
            if severity(status) == 0 { Ok(()) } else { Err(webpki::Error::UnknownRevocationStatus) }
        };
        let found = self.verify(self.set.anchors(), purpose, Some(&look));
        let best = seen.into_inner().into_iter().min_by_key(|found| severity(found.status));
        best.ok_or_else(|| self.cause(found.err().unwrap_or(webpki::Error::UnknownIssuer), purpose))
    }

    /// Why there is no path. If several anchors share a name, a bad signature only says that the wrong one was
    /// tried; the error with the right one is the cause.
    fn cause(&self, error: webpki::Error, purpose: KeyUsage) -> webpki::Error {
        if !matches!(error, webpki::Error::InvalidSignatureForPublicKey) {
            return error;
        }
        let alone = self.set.namesakes().take(NAMESAKES_MAX).filter_map(|anchor| {
            let anchor = std::slice::from_ref(anchor);
            self.verify(anchor, purpose, None).err()
        });
        let other = |one: &webpki::Error| {
            !matches!(one, webpki::Error::InvalidSignatureForPublicKey | webpki::Error::UnknownIssuer)
        };
        alone.into_iter().find(other).unwrap_or(error)
    }

    fn verify(
        &self,
        anchors: &[TrustAnchor<'_>],
        purpose: KeyUsage,
        look: Option<&PathLook<'_>>,
    ) -> Result<(), webpki::Error> {
        let since = Duration::from_millis(u64::try_from(self.now.0).unwrap_or(0));
        let now = UnixTime::since_unix_epoch(since);
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        let found =
            self.leaf.verify_for_usage(algorithms, anchors, self.intermediates, now, purpose, None, look);
        found.map(|_| ())
    }

    /// The revocation status of a path by the set's lists: the worst status of its certificates.
    fn status(&self, path: &VerifiedPath<'_>) -> RevocationStatus {
        if !self.set.has_lists() {
            return RevocationStatus::NoList;
        }
        let mut certificates = vec![path.end_entity().der()];
        certificates.extend(path.intermediate_certificates().map(|one| one.der()));
        let mut issuer = IssuerKey::anchor(&webpki::spki_for_anchor(path.anchor()));
        let mut worst = RevocationStatus::Good;
        for certificate in certificates.iter().rev() {
            let Some(listed) = ListedCertificate::read(certificate) else {
                return RevocationStatus::Unknown;
            };
            let status = certificate_status(&listed, &issuer, (self.set, &self.lists), self.now);
            if severity(status) > severity(worst) {
                worst = status;
            }
            issuer = listed.as_issuer();
        }
        worst
    }
}

/// The status of one certificate of a verified path. Only here is noted which lists to fetch.
fn certificate_status(
    certificate: &ListedCertificate<'_>,
    issuer: &IssuerKey,
    (set, lists): (&TrustSet, &[Arc<RevocationList>]),
    now: UnixMillis,
) -> RevocationStatus {
    let awaited = set.shelf().asks(certificate.points(), (certificate.issuer(), issuer.spki()), now);
    let status = certificate.status(lists.iter().map(|list| &**list), issuer, now);
    if awaited && status == RevocationStatus::Unknown { RevocationStatus::NotFetched } else { status }
}

fn severity(status: RevocationStatus) -> u8 {
    match status {
        RevocationStatus::NoList | RevocationStatus::Good => 0,
        RevocationStatus::Stale => 1,
        RevocationStatus::NotFetched => 2,
        RevocationStatus::Unknown => 3,
        RevocationStatus::Revoked => 4,
    }
}

/// Maximum number of anchors of the same name that are tried one by one to find the cause of a failure.
const NAMESAKES_MAX: usize = 4;

/// An anchor keeps its subject without the outer SEQUENCE.
fn subject_of(inner: &[u8]) -> String {
    let length = inner.len();
    let mut der = vec![0x30];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 0x80 => der.push(short),
        (Ok(short), _) => der.extend([0x81, short]),
        (Err(_), Ok(long)) => {
            der.push(0x82);
            der.extend(long.to_be_bytes());
        }
        (Err(_), Err(_)) => return "a very long name".to_owned(),
    }
    der.extend_from_slice(inner);
    X509Name::from_der(&der)
        .map_or_else(|_| "unreadable".to_owned(), |(_, name)| printable(&name.to_string()))
}

fn fault(error: &webpki::Error) -> ChainFault {
    use webpki::Error as E;
    if matches!(error, E::CertExpired { .. }) {
        return ChainFault::Expired;
    }
    if matches!(error, E::CertNotValidYet { .. }) {
        return ChainFault::NotYetValid;
    }
    if matches!(error, E::UnknownIssuer) {
        return ChainFault::UnknownIssuer;
    }
    if matches!(error, E::CaUsedAsEndEntity) {
        return ChainFault::CaUsedAsEndEntity;
    }
    if matches!(error, E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension) {
        return ChainFault::WrongPurpose;
    }
    if matches!(error, E::InvalidSignatureForPublicKey) {
        return ChainFault::BadSignature;
    }
    if matches!(error, E::UnsupportedCertVersion) {
        return ChainFault::Other("it is an X.509 version 1 certificate, which can't be in a chain (require = \"encryption\" with its key in \
             pins accepts it, and so does a trust set that has the certificate itself)"
                .to_owned(),
        );
    }
    ChainFault::Other(chain_words(error))
}
