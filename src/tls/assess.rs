use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, GeneralName, X509Certificate};

use super::trust::TrustSet;
use crate::connector::{CertificateFacts, ChainFault, ChainVerdict, PeerCertificate, PresentedName, TrustId};
use crate::mail::UnixMillis;

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
    facts.chain = sets
        .iter()
        .map(|(id, set)| (id.clone(), verdict(leaf, intermediates, set, usage, now)))
        .collect::<BTreeMap<_, _>>();
    PeerCertificate::Shown(Box::new(facts))
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
        root: None,
    })
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
fn printable(text: &str) -> String {
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

fn verdict(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    set: &TrustSet,
    usage: Usage,
    now: UnixMillis,
) -> ChainVerdict {
    let leaf = match EndEntityCert::try_from(leaf) {
        Ok(leaf) => leaf,
        Err(error) => return ChainVerdict::Faulty(fault(&error)),
    };
    let since = Duration::from_millis(u64::try_from(now.0).unwrap_or(0));
    let check = |purpose: KeyUsage| {
        leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            set.anchors(),
            intermediates,
            UnixTime::since_unix_epoch(since),
            purpose,
            None,
            None,
        )
        .map(|_| ())
        .map_err(|error| fault(&error))
    };
    let outcome = match usage {
        Usage::Server => check(KeyUsage::server_auth()),
        Usage::ClientOrServer => match check(KeyUsage::client_auth()) {
            Err(ChainFault::WrongPurpose) => check(KeyUsage::server_auth()),
            other => other,
        },
    };
    outcome.map_or_else(ChainVerdict::Faulty, |()| ChainVerdict::Trusted)
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
