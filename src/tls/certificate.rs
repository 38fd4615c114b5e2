//! Reads a certificate into facts. Whether it can be trusted is up to `assess`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, GeneralName, X509Certificate};

use super::strength::strength_of;
use crate::connector::{CertificateFacts, CertificateStrength, IssuerFacts, IssuerStrength, PresentedName};
use crate::mail::UnixMillis;

/// RFC 5280 §4.2.2.1.
pub(super) const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";

/// Maximum number of certificates reported beside the peer's own.
pub(super) const BESIDE_MAX: usize = 8;

/// Longer subjects and issuers are cut: the rest is of no use to a reader.
const NAME_BYTES_MAX: usize = 255;

pub(super) fn beside(certificate: &CertificateDer<'_>) -> Option<IssuerFacts> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(IssuerFacts {
        subject: printable(&parsed.subject().to_string()),
        issuer: printable(&parsed.issuer().to_string()),
        not_after: UnixMillis(parsed.validity().not_after.timestamp().saturating_mul(1000)),
        sha256: hex(&Sha256::digest(certificate)),
    })
}

/// The facts that one certificate states. Nothing is checked: `proved` is false and `chain` empty.
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
        strength: strength_of(&parsed),
        spki: Sha256::digest(parsed.public_key().raw).into(),
        for_servers: purposes.is_none_or(|p| p.any || p.server_auth),
        for_clients: purposes.is_none_or(|p| p.any || p.client_auth),
        not_before: UnixMillis(validity.not_before.timestamp().saturating_mul(1000)),
        not_after: UnixMillis(validity.not_after.timestamp().saturating_mul(1000)),
        sha256: hex(&Sha256::digest(certificate)),
        proved: false,
        chain: BTreeMap::new(),
        paths: BTreeMap::new(),
        revocation: BTreeMap::new(),
        beside: Vec::new(),
        root: None,
    })
}

/// An issuer's certificate; one that can't be read counts as unknown, which no profile allows.
pub(super) fn issuer_strength(certificate: &CertificateDer<'_>) -> IssuerStrength {
    match X509Certificate::from_der(certificate) {
        Ok((_, parsed)) => IssuerStrength {
            subject: printable(&parsed.subject().to_string()),
            strength: strength_of(&parsed),
        },
        Err(_) => IssuerStrength {
            subject: "a certificate that can't be read".to_owned(),
            strength: CertificateStrength::default(),
        },
    }
}

/// Whether a certificate names itself as its issuer, as a root does.
pub(super) fn is_self_issued(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, parsed)| parsed.subject().as_raw() == parsed.issuer().as_raw())
}

/// A certificate's subject in DER, and its SubjectPublicKeyInfo.
pub(super) fn names_and_key(certificate: &CertificateDer<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some((parsed.subject().as_raw().to_vec(), parsed.public_key().raw.to_vec()))
}

/// Where a chain breaks: the first certificate that is not the issuer of the one before it.
pub(super) fn first_stranger(chain: &[CertificateDer<'_>]) -> Option<usize> {
    let parsed: Vec<_> = chain.iter().map_while(|c| X509Certificate::from_der(c).ok()).collect();
    let strange = |pair: &[(&[u8], X509Certificate<'_>)]| match pair {
        [(_, one), (_, next)] => one.issuer().as_raw() != next.subject().as_raw(),
        _ => false,
    };
    parsed.windows(2).position(strange).map(|before| before.saturating_add(1))
}

/// The issuer of a chain's last certificate, if that certificate says where to fetch it (RFC 5280
/// §4.2.2.1). Certificates issued directly by a root, as private authorities do, don't say so.
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

/// Host names and addresses only; the common name is never used (RFC 9525 §2).
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

/// The peer controls its subject, so control characters are removed before it reaches logs and
/// reports.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(NAME_BYTES_MAX).collect()
}

pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(octets.len().saturating_mul(2)), |mut text, octet| {
        // Writing to a String can't fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}
