//! What a certificate says, for people: the table that partners ask for.

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::{DistributionPointName, ParsedExtension};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::assess::{self, hex, printable};
use crate::connector::{CertificateFacts, pin_text};
use crate::mail::rfc3339;

/// What there is to tell of a certificate, in order: a heading and its text.
///
/// # Errors
/// Why it can't be read.
pub fn describe(certificate: &CertificateDer<'_>) -> Result<Vec<(&'static str, String)>, String> {
    let facts = assess::read(certificate)?;
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    let subject = parsed.subject();
    let units = subject.iter_organizational_unit().filter_map(|unit| unit.as_str().ok());
    let units: Vec<String> = units.map(printable).collect();
    Ok(vec![
        ("names", facts.names_text()),
        ("common name", facts.common_name.clone().unwrap_or_else(none)),
        ("organisation", listed(&facts.organisation)),
        ("unit", listed(&units)),
        ("issuer", facts.issuer.clone()),
        ("key", key(&parsed)),
        ("purposes", purposes(&facts)),
        ("valid from", rfc3339(facts.not_before)),
        ("valid until", rfc3339(facts.not_after)),
        ("SHA-256", facts.sha256.clone()),
        ("pin", pin_text(&facts.spki)),
        ("TLSA 3 1 1", hex(&facts.spki)),
        ("revocation lists", listed(&lists(&parsed))),
        ("OCSP", listed(&responders(&parsed))),
    ])
}

fn none() -> String {
    "-".to_owned()
}

fn listed(texts: &[String]) -> String {
    if texts.is_empty() { none() } else { texts.join(", ") }
}

fn key(parsed: &X509Certificate<'_>) -> String {
    let info = parsed.public_key();
    match info.parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("RSA {} bits", rsa.key_size()),
        Ok(PublicKey::EC(point)) => format!("ECDSA {} bits", point.key_size()),
        Ok(_) if info.algorithm.algorithm.to_id_string() == ED25519 => "Ed25519".to_owned(),
        Ok(_) | Err(_) => info.algorithm.algorithm.to_id_string(),
    }
}

fn purposes(facts: &CertificateFacts) -> String {
    match (facts.for_servers, facts.for_clients) {
        (true, true) => "servers and clients",
        (true, false) => "servers",
        (false, true) => "clients",
        (false, false) => "neither servers nor clients",
    }
    .to_owned()
}

fn lists(parsed: &X509Certificate<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for extension in parsed.extensions() {
        if let ParsedExtension::CRLDistributionPoints(points) = extension.parsed_extension() {
            for point in points.iter() {
                if let Some(DistributionPointName::FullName(names)) = &point.distribution_point {
                    found.extend(names.iter().filter_map(address));
                }
            }
        }
    }
    found
}

fn responders(parsed: &X509Certificate<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for extension in parsed.extensions() {
        if let ParsedExtension::AuthorityInfoAccess(access) = extension.parsed_extension() {
            let ocsp = access.iter().filter(|one| one.access_method.to_id_string() == OCSP);
            found.extend(ocsp.filter_map(|one| address(&one.access_location)));
        }
    }
    found
}

fn address(name: &GeneralName<'_>) -> Option<String> {
    if let GeneralName::URI(uri) = name { Some(printable(uri)) } else { None }
}

/// RFC 8410 §3.
const ED25519: &str = "1.3.101.112";
/// RFC 5280 §4.2.2.1.
const OCSP: &str = "1.3.6.1.5.5.7.48.1";
