//! Describes a certificate for people: the table that partners ask for. It does not judge the
//! certificate.

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::{DistributionPointName, ParsedExtension};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::certificate::{self, hex, printable};
use crate::connector::pin_text;
use crate::mail::{UnixMillis, rfc3339};

/// One entry of the description: a heading and its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateLine {
    /// Label of the entry.
    pub heading: &'static str,
    /// The values; several if `is_list` is set.
    pub texts: Vec<String>,
    /// Whether there may be several.
    pub is_list: bool,
}

/// The entries of a certificate, in display order.
///
/// # Errors
/// Why the certificate can't be read.
pub fn describe(certificate: &CertificateDer<'_>, now: UnixMillis) -> Result<Vec<CertificateLine>, String> {
    let facts = certificate::read(certificate)?;
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    let subject = parsed.subject();
    let units = subject.iter_organizational_unit().filter_map(|unit| unit.as_str().ok());
    let one = |heading, text: String| CertificateLine { heading, texts: vec![text], is_list: false };
    let many = |heading, texts: Vec<String>| CertificateLine { heading, texts, is_list: true };
    Ok(vec![
        many("names", facts.names.iter().map(ToString::to_string).collect()),
        one("subject", facts.subject.clone()),
        one("common name", facts.common_name.clone().unwrap_or_default()),
        many("organisation", facts.organisation.clone()),
        many("unit", units.map(printable).collect()),
        one("issuer", facts.issuer.clone()),
        one("key", key(&parsed)),
        one("signature", signature(&parsed)),
        many("purposes", purposes(&parsed)),
        one("valid from", rfc3339(facts.not_before)),
        one("valid until", rfc3339(facts.not_after)),
        one("days left", days_left(facts.not_after, now)),
        one("SHA-256", facts.sha256.clone()),
        one("pin", pin_text(&facts.spki)),
        one("TLSA 3 1 1", hex(&facts.spki)),
        many("revocation lists", lists(&parsed)),
        many("OCSP", responders(&parsed)),
    ])
}

impl CertificateLine {
    /// The values on one line; `-` if there are none.
    #[must_use]
    pub fn line(&self) -> String {
        let line = self.texts.join(", ");
        if line.is_empty() { "-".to_owned() } else { line }
    }
}

fn days_left(not_after: UnixMillis, now: UnixMillis) -> String {
    if not_after < now {
        "expired".to_owned()
    } else {
        (not_after.since(now).as_secs() / DAY_SECONDS).to_string()
    }
}

fn key(parsed: &X509Certificate<'_>) -> String {
    let info = parsed.public_key();
    let algorithm = info.algorithm.algorithm.to_id_string();
    match info.parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("RSA {} bits", rsa.key_size()),
        Ok(PublicKey::EC(point)) => {
            let curve = info.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
            let curve = curve.map_or_else(String::new, |oid| format!(", {}", known(&oid.to_id_string())));
            format!("ECDSA {} bits{curve}", point.key_size())
        }
        Ok(_) | Err(_) => known(&algorithm),
    }
}

fn signature(parsed: &X509Certificate<'_>) -> String {
    known(&parsed.signature_algorithm.algorithm.to_id_string())
}

/// The usual name of an algorithm or a curve, or its object identifier.
fn known(number: &str) -> String {
    let name = ALGORITHMS.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
    name.unwrap_or(number).to_owned()
}

fn purposes(parsed: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(usage)) = parsed.extended_key_usage() else { return vec!["any (none is given)".to_owned()] };
    let usage = usage.value;
    let flags = [
        (usage.any, "any"),
        (usage.server_auth, "servers"),
        (usage.client_auth, "clients"),
        (usage.email_protection, "e-mail"),
        (usage.code_signing, "code signing"),
        (usage.time_stamping, "time stamping"),
        (usage.ocsp_signing, "OCSP signing"),
    ];
    let named = flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name.to_owned());
    named.chain(usage.other.iter().map(|number| number.to_id_string())).collect()
}

pub(super) fn lists(parsed: &X509Certificate<'_>) -> Vec<String> {
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

pub(super) fn responders(parsed: &X509Certificate<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for extension in parsed.extensions() {
        if let ParsedExtension::AuthorityInfoAccess(access) = extension.parsed_extension() {
            let ocsp = access.iter().filter(|one| one.access_method.to_id_string() == OCSP);
            found.extend(ocsp.filter_map(|one| address(&one.access_location)));
        }
    }
    found
}

pub(super) fn address(name: &GeneralName<'_>) -> Option<String> {
    if let GeneralName::URI(uri) = name { Some(printable(uri)) } else { None }
}

const DAY_SECONDS: u64 = 24 * 60 * 60;
/// Object identifiers from RFC 4055, RFC 5758, RFC 5480 and RFC 8410.
const ALGORITHMS: &[(&str, &str)] = &[
    ("1.2.840.113549.1.1.5", "SHA-1 with RSA"),
    ("1.2.840.113549.1.1.10", "RSASSA-PSS"),
    ("1.2.840.113549.1.1.11", "SHA-256 with RSA"),
    ("1.2.840.113549.1.1.12", "SHA-384 with RSA"),
    ("1.2.840.113549.1.1.13", "SHA-512 with RSA"),
    ("1.2.840.10045.4.3.2", "ECDSA with SHA-256"),
    ("1.2.840.10045.4.3.3", "ECDSA with SHA-384"),
    ("1.2.840.10045.4.3.4", "ECDSA with SHA-512"),
    ("1.2.840.10045.3.1.7", "P-256"),
    ("1.3.132.0.34", "P-384"),
    ("1.3.132.0.35", "P-521"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
];
/// RFC 5280 §4.2.2.1.
const OCSP: &str = "1.3.6.1.5.5.7.48.1";

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};

    use super::*;

    #[test]
    fn everything_that_partners_ask_for_is_there_and_printable() {
        let names: Vec<String> = (0..9).map(|n| format!("mail{n}.partner.example")).collect();
        let mut params = CertificateParams::new(names).expect("parameters");
        params.distinguished_name.push(DnType::OrganizationName, "Part\u{7}ner\n");
        params.distinguished_name.push(DnType::OrganizationalUnitName, "\u{1b}[31mMail");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::Other(vec![1, 2, 3])];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let told = describe(certificate.der(), UnixMillis(0)).expect("described");
        let line = |heading: &str| {
            told.iter().find(|one| one.heading == heading).map(CertificateLine::line).expect("the heading")
        };
        assert!(line("names").ends_with("mail8.partner.example"), "all of them: {}", line("names"));
        assert_eq!(line("key"), "ECDSA 256 bits, P-256");
        assert_eq!(line("signature"), "ECDSA with SHA-256");
        assert_eq!(line("purposes"), "servers, 1.2.3");
        assert_eq!(line("OCSP"), "-");
        assert_eq!(line("days left"), "776506");
        assert!(line("pin").starts_with("sha256/") && line("TLSA 3 1 1").len() == 64);
        let all: String = told.iter().map(CertificateLine::line).collect();
        assert!(!all.chars().any(char::is_control), "{all:?}");
    }
}
