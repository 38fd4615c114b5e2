//! The lab's certificates: two authorities and the certificates they sign.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::mail::{Clock, rfc3339};

/// The two authorities of the lab.
pub struct Mint {
    lab: CertifiedIssuer<'static, KeyPair>,
    private: CertifiedIssuer<'static, KeyPair>,
    year: i32,
}

/// The authority that signs a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// The authority in the gateway's trust set `lab`.
    Lab,
    /// A partner's own authority, only in the trust set `private`.
    Private,
}

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Valid now.
    Current,
    /// Expired.
    Over,
    /// Valid for so many more days.
    Days(u16),
}

/// A certificate with its key.
pub struct Leaf {
    /// Only the certificate: the authorities sign directly.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key, PKCS #8.
    pub key: PrivateKeyDer<'static>,
    /// The certificate as PEM.
    pub chain_pem: String,
    /// The key as PEM.
    pub key_pem: String,
}

impl Leaf {
    /// The same again: a key is never copied by accident.
    pub(super) fn copied(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
            chain_pem: self.chain_pem.clone(),
            key_pem: self.key_pem.clone(),
        }
    }
}

impl Mint {
    /// Makes both authorities, with new keys.
    ///
    /// # Errors
    /// An error of the key generator or the signer.
    pub fn new() -> Result<Self, rcgen::Error> {
        let today = rfc3339(Clock::wall());
        let year = today.get(..4).and_then(|year| year.parse().ok()).unwrap_or(EPOCH_YEAR);
        Ok(Self {
            lab: authority("Sealpost lab root", year)?,
            private: authority("Sealpost lab private root", year)?,
            year,
        })
    }

    /// Signs a certificate for these DNS names, for servers and clients.
    ///
    /// # Errors
    /// An error of the key generator or the signer, such as an invalid DNS name.
    pub fn leaf(&self, by: Authority, names: &[&str], validity: Validity) -> Result<Leaf, rcgen::Error> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone())?;
        params.distinguished_name = common_name(names.first().map_or("nobody", String::as_str));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let first_of = |year| (year, 1, 1);
        let (from, until) = match validity {
            Validity::Current => (self.year.saturating_sub(1), first_of(self.year.saturating_add(2))),
            Validity::Over => (self.year.saturating_sub(3), first_of(self.year.saturating_sub(1))),
            Validity::Days(days) => (self.year.saturating_sub(1), day_after(days)),
        };
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until.0, until.1, until.2);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, self.issuer(by))?;
        Ok(Leaf {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            chain_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    /// An authority's own certificate as PEM.
    #[must_use]
    pub fn root_pem(&self, of: Authority) -> String {
        self.issuer(of).pem()
    }

    /// An authority's own certificate.
    #[must_use]
    pub fn root(&self, of: Authority) -> CertificateDer<'static> {
        self.issuer(of).der().clone()
    }

    fn issuer(&self, which: Authority) -> &CertifiedIssuer<'static, KeyPair> {
        match which {
            Authority::Lab => &self.lab,
            Authority::Private => &self.private,
        }
    }
}

/// Year, month and day after so many days.
fn day_after(days: u16) -> (i32, u8, u8) {
    let after = Duration::from_secs(u64::from(days).saturating_mul(24 * 3_600));
    let date = rfc3339(Clock::wall().plus(after));
    let part = |from: usize, until: usize| date.get(from..until).and_then(|part| part.parse::<u8>().ok());
    let year = date.get(..4).and_then(|year| year.parse().ok()).unwrap_or(EPOCH_YEAR);
    (year, part(5, 7).unwrap_or(1), part(8, 10).unwrap_or(1))
}

fn authority(name: &str, year: i32) -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(year.saturating_sub(5), 1, 1);
    params.not_after = date_time_ymd(year.saturating_add(5), 1, 1);
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

const EPOCH_YEAR: i32 = 1970;

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::prelude::{FromDer, X509Certificate};

    #[track_caller]
    fn check(by: Authority, validity: Validity, issuer: &str, valid_now: bool) {
        let mint = Mint::new().expect("a mint");
        let leaf = mint.leaf(by, &["mx.good.lab.test", "good.lab.test"], validity).expect("a leaf");
        let (_, certificate) = X509Certificate::from_der(&leaf.chain[0]).expect("a certificate");
        assert_eq!(certificate.issuer().to_string(), format!("CN={issuer}"));
        assert_eq!(certificate.validity().is_valid(), valid_now);
        let names = certificate.subject_alternative_name().expect("readable").expect("names");
        assert_eq!(names.value.general_names.len(), 2);
        let root = mint.root(by);
        let (_, root) = X509Certificate::from_der(&root).expect("a root");
        assert!(root.is_ca() && certificate.issuer() == root.subject());
    }

    #[test]
    fn certificates_are_as_good_or_bad_as_asked_for() {
        check(Authority::Lab, Validity::Current, "Sealpost lab root", true);
        check(Authority::Lab, Validity::Over, "Sealpost lab root", false);
        check(Authority::Lab, Validity::Days(45), "Sealpost lab root", true);
        check(Authority::Private, Validity::Current, "Sealpost lab private root", true);
    }
}
