//! Assesses a chain against trust anchor sets and revocation lists at a given time. It gives facts;
//! the connector's requirement judges them.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{
    EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth, RevocationOptions,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_parser::prelude::{FromDer, X509Name};

use super::certificate::{BESIDE_MAX, beside, printable, read};
use super::trust::TrustSet;
use crate::connector::{ChainFault, ChainVerdict, PeerCertificate, RevocationStatus, TrustId};
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
    let Some((leaf, intermediates)) = chain.split_first() else {
        return PeerCertificate::NotShown;
    };
    let mut facts = match read(leaf) {
        Ok(facts) => facts,
        Err(why) => return PeerCertificate::Unreadable(why),
    };
    facts.proved = proved;
    facts.beside = intermediates.iter().take(BESIDE_MAX).filter_map(beside).collect();
    for (id, set) in sets {
        let opinion = opinion(leaf, intermediates, set, usage, now);
        facts.chain.insert(id.clone(), opinion.verdict);
        if let Some((status, anchor)) = opinion.trusted {
            facts.revocation.insert(id.clone(), status);
            facts.root.get_or_insert(anchor);
        }
    }
    PeerCertificate::Shown(Box::new(facts))
}

/// The result for one trust anchor set.
struct Opinion {
    verdict: ChainVerdict,
    /// The revocation status and the anchor, if the set trusts the chain.
    trusted: Option<(RevocationStatus, String)>,
}

fn opinion(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    set: &TrustSet,
    usage: Usage,
    now: UnixMillis,
) -> Opinion {
    let faulty = |fault| Opinion { verdict: ChainVerdict::Faulty(fault), trusted: None };
    let leaf = match EndEntityCert::try_from(leaf) {
        Ok(leaf) => leaf,
        Err(error) => return faulty(fault(&error)),
    };
    let path = Path { leaf: &leaf, intermediates, set, now };
    let by = |purpose| path.check(purpose, None).map(|anchor| (purpose, anchor));
    let outcome = match usage {
        Usage::Server => by(KeyUsage::server_auth()),
        Usage::ClientOrServer => by(KeyUsage::client_auth()).or_else(|error| {
            if fault(&error) == ChainFault::WrongPurpose { by(KeyUsage::server_auth()) } else { Err(error) }
        }),
    };
    match outcome {
        Ok((purpose, anchor)) => {
            Opinion { verdict: ChainVerdict::Trusted, trusted: Some((path.revocation(purpose), anchor)) }
        }
        Err(error) => faulty(fault(&error)),
    }
}

struct Path<'a> {
    leaf: &'a EndEntityCert<'a>,
    intermediates: &'a [CertificateDer<'a>],
    set: &'a TrustSet,
    now: UnixMillis,
}

impl Path<'_> {
    /// Looks for a path to an anchor and returns the anchor's subject.
    fn check(
        &self,
        purpose: KeyUsage,
        revocation: Option<RevocationOptions<'_>>,
    ) -> Result<String, webpki::Error> {
        let since = Duration::from_millis(u64::try_from(self.now.0).unwrap_or(0));
        let found = self.leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            self.set.anchors(),
            self.intermediates,
            UnixTime::since_unix_epoch(since),
            purpose,
            revocation,
            None,
        )?;
        Ok(subject_of(found.anchor().subject.as_ref()))
    }

    /// The revocation status of the whole chain by the set's lists.
    fn revocation(&self, purpose: KeyUsage) -> RevocationStatus {
        let lists = self.set.lists();
        let ask = |policy: UnknownStatusPolicy, expiration| {
            let builder = RevocationOptionsBuilder::new(&lists).ok()?;
            let options = builder
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(policy)
                .with_expiration_policy(expiration)
                .build();
            Some(self.check(purpose, Some(options)))
        };
        let Some(strict) = ask(UnknownStatusPolicy::Deny, ExpirationPolicy::Enforce) else {
            return RevocationStatus::NoList;
        };
        let Err(why) = strict else { return RevocationStatus::Good };
        // A missing or expired list for one certificate must not hide another that is revoked.
        let lenient = ask(UnknownStatusPolicy::Allow, ExpirationPolicy::Ignore);
        let revoked = |error: &webpki::Error| matches!(error, webpki::Error::CertRevoked);
        if revoked(&why) || lenient.is_some_and(|outcome| outcome.is_err_and(|error| revoked(&error))) {
            return RevocationStatus::Revoked;
        }
        if matches!(why, webpki::Error::CrlExpired { .. }) {
            return RevocationStatus::Stale;
        }
        RevocationStatus::Unknown
    }
}

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
        return ChainFault::Other("it is an X.509 version 1 certificate; version 3 is needed".to_owned());
    }
    ChainFault::Other(error.to_string())
}
