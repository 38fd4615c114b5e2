//! A certificate signed by itself, for a server that has no other yet.

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

use crate::mail::{Domain, UnixMillis, rfc3339};

/// A certificate and its key, as PEM.
pub(super) struct SelfSigned {
    pub(super) chain: String,
    pub(super) key: String,
    /// The day on which it ends.
    pub(super) until: String,
}

/// Makes a certificate for one name, from yesterday on.
pub(super) fn self_signed(name: &Domain, now: UnixMillis) -> Result<SelfSigned, rcgen::Error> {
    let mut params = CertificateParams::new(vec![name.to_string()])?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name.as_str());
    params.distinguished_name = subject;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let (from, until) = (day(now, -1), day(now, DAYS_VALID));
    params.not_before = date_time_ymd(from.0, from.1, from.2);
    params.not_after = date_time_ymd(until.0, until.1, until.2);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let until = format!("{:04}-{:02}-{:02}", until.0, until.1, until.2);
    Ok(SelfSigned { chain: certificate.pem(), key: key.serialize_pem(), until })
}

/// The date that is this number of days from now.
fn day(now: UnixMillis, days: i64) -> (i32, u8, u8) {
    let date = rfc3339(UnixMillis::of_day(now.day().saturating_add(days)));
    let mut parts = date.split(['-', 'T']);
    let year = parts.next().and_then(|year| year.parse().ok()).unwrap_or(EPOCH_YEAR);
    let mut part = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(1);
    (year, part(), part())
}

/// Nobody judges it by a public authority's rules; long enough not to end before it is replaced.
const DAYS_VALID: i64 = 2 * 365;
const EPOCH_YEAR: i32 = 1970;

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::prelude::{FromDer as _, X509Certificate, parse_x509_pem};

    #[test]
    fn it_has_the_name_and_is_valid_for_two_years() {
        let now = crate::mail::Clock::wall();
        let name = Domain::parse("gw1.contoso.example").expect("a name");
        let made = self_signed(&name, now).expect("a certificate");
        let (_, pem) = parse_x509_pem(made.chain.as_bytes()).expect("PEM");
        let (_, certificate) = X509Certificate::from_der(&pem.contents).expect("a certificate");
        assert!(certificate.validity().is_valid() && !certificate.is_ca());
        let names = certificate.subject_alternative_name().expect("readable").expect("names");
        assert_eq!(names.value.general_names.len(), 1);
        assert_eq!(certificate.subject(), certificate.issuer());
        let left = certificate.validity().not_after.timestamp() * 1000 - now.0;
        assert_eq!(UnixMillis(now.0 + left).day() - now.day(), DAYS_VALID);
        assert!(made.key.contains("PRIVATE KEY"));
    }
}
