use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use webpki::{
    EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth, RevocationOptions,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, GeneralName, X509Certificate, X509Name};

use super::trust::TrustSet;
use crate::connector::{
    CertificateFacts, ChainFault, ChainVerdict, IssuerFacts, PeerCertificate, PresentedName,
    RevocationStatus, TrustId,
};
use crate::mail::UnixMillis;

/// RFC 5280 §4.2.2.1.
const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";
/// Certificates beside the peer's own that are told of.
const BESIDE_MAX: usize = 8;
/// More octets of a subject or an issuer are of no use to a reader.
const NAME_BYTES_MAX: usize = 255;

/// What a certificate must be good for (RFC 5280 §4.2.1.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// A server's certificate.
    Server,
    /// A client's. Public authorities no longer issue certificates for clients, so that partners
    /// show their server's: both purposes are accepted.
    ClientOrServer,
}

/// Turns what a peer showed into facts: what its certificate says, and for each trust anchor set
/// whether the chain ends there and holds at `now`.
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

fn beside(certificate: &CertificateDer<'_>) -> Option<IssuerFacts> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(IssuerFacts {
        subject: printable(&parsed.subject().to_string()),
        issuer: printable(&parsed.issuer().to_string()),
        not_after: UnixMillis(parsed.validity().not_after.timestamp().saturating_mul(1000)),
        sha256: hex(&Sha256::digest(certificate)),
    })
}

/// What one certificate says of itself; nothing is checked, `proved` is false and `chain` empty.
pub(super) fn read(certificate: &CertificateDer<'_>) -> Result<CertificateFacts, String> {
    let (rest, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err(format!("{} octets follow its end", rest.len()));
    }
    let names = match parsed.subject_alternative_name() {
        Ok(found) => found.map(|names| presented(&names.value.general_names)).unwrap_or_default(),
        Err(error) => return Err(format!("its subjectAltName: {error}")),
    };
    let validity = parsed.validity();
    let purposes = match parsed.extended_key_usage() {
        Ok(found) => found.map(|usage| usage.value),
        Err(error) => return Err(format!("its extended key usage: {error}")),
    };
    Ok(CertificateFacts {
        names,
        subject: printable(&parsed.subject().to_string()),
        issuer: printable(&parsed.issuer().to_string()),
        common_name: texts(parsed.subject().iter_common_name()).into_iter().next(),
        organisation: texts(parsed.subject().iter_organization()),
        issuer_names: [texts(parsed.issuer().iter_common_name()), texts(parsed.issuer().iter_organization())]
            .concat(),
        spki: Sha256::digest(parsed.public_key().raw).into(),
        for_servers: purposes.is_none_or(|p| p.any || p.server_auth),
        for_clients: purposes.is_none_or(|p| p.any || p.client_auth),
        not_before: UnixMillis(validity.not_before.timestamp().saturating_mul(1000)),
        not_after: UnixMillis(validity.not_after.timestamp().saturating_mul(1000)),
        sha256: hex(&Sha256::digest(certificate)),
        proved: false,
        chain: BTreeMap::new(),
        revocation: BTreeMap::new(),
        beside: Vec::new(),
        root: None,
    })
}

/// Where a chain leaves the way: the first certificate that is not the issuer of the one before it.
pub(super) fn first_stranger(chain: &[CertificateDer<'_>]) -> Option<usize> {
    let parsed: Vec<_> = chain.iter().map_while(|c| X509Certificate::from_der(c).ok()).collect();
    let strange = |pair: &[(&[u8], X509Certificate<'_>)]| match pair {
        [(_, one), (_, next)] => one.issuer().as_raw() != next.subject().as_raw(),
        _ => false,
    };
    parsed.windows(2).position(strange).map(|before| before.saturating_add(1))
}

/// The issuer of a chain's last certificate, if that says itself where its issuer is to be fetched
/// (RFC 5280 §4.2.2.1): certificates that a root issues itself, as private authorities do, don't.
pub(super) fn missing_issuer(chain: &[CertificateDer<'_>]) -> Option<String> {
    let (_, last) = X509Certificate::from_der(chain.last()?).ok()?;
    let own = last.issuer().as_raw() == last.subject().as_raw();
    let is_leaf = chain.len() == 1;
    let fetched = last.extensions().iter().any(|extension| {
        matches!(extension.parsed_extension(), ParsedExtension::AuthorityInfoAccess(access)
            if access.iter().any(|one| one.access_method.to_id_string() == CA_ISSUERS))
    });
    (is_leaf && !own && fetched).then(|| printable(&last.issuer().to_string()))
}

/// Host names and addresses only; the common name is never one (RFC 9525 §2).
fn presented(names: &[GeneralName<'_>]) -> Vec<PresentedName> {
    names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(text) => Some(PresentedName::from_dns(text)),
            GeneralName::IPAddress(octets) => Some(address(octets)),
            GeneralName::Invalid(_, octets) => Some(PresentedName::Unusable(hex(octets))),
            GeneralName::OtherName(..)
            | GeneralName::RFC822Name(_)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::URI(_)
            | GeneralName::RegisteredID(_) => None,
        })
        .collect()
}

fn address(octets: &[u8]) -> PresentedName {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return PresentedName::Ip(IpAddr::from(v4));
    }
    if let Ok(v6) = <[u8; 16]>::try_from(octets) {
        return PresentedName::Ip(IpAddr::from(v6));
    }
    PresentedName::Unusable(hex(octets))
}

fn texts<'a>(attributes: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>) -> Vec<String> {
    attributes.filter_map(|attribute| attribute.as_str().ok()).map(printable).collect()
}

/// A peer writes its subject as it likes; what reaches logs and reports has no control characters.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(NAME_BYTES_MAX).collect()
}

/// Lower-case hexadecimal.
pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(octets.len().saturating_mul(2)), |mut text, octet| {
        // Writing to a String can't fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// What one trust anchor set makes of a chain.
struct Opinion {
    verdict: ChainVerdict,
    /// What its revocation lists say, and the anchor, where it trusts the chain.
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
    /// Looks for a path to an anchor and gives the anchor's subject.
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

    /// What the set's lists say of the chain, each certificate of it.
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
        // A certificate without a list, or an old list, must not hide one that is revoked.
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
