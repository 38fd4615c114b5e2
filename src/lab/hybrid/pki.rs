//! The certificates of the hybrid lab: a public authority with an intermediate one, what each host
//! presents, sound or not, and the revocation list.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256,
    PublicKeyData as _, RevokedCertParams, RsaKeySize, SerialNumber, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};

use super::faults::HostTrouble;
use super::hosts::LabHost;
use crate::lab::mint::Leaf;
use crate::mail::{Clock, rfc3339};

/// The authorities of the lab.
pub(super) struct HybridPki {
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
    year: i32,
}

/// A host's key and subject, for all the certificates that it may present.
pub(super) struct HostKey {
    host: LabHost,
    key: KeyPair,
}

impl HybridPki {
    pub(super) fn new() -> Result<Self, rcgen::Error> {
        let today = rfc3339(Clock::wall());
        let year = today.get(..4).and_then(|year| year.parse().ok()).unwrap_or(1970);
        let root = CertifiedIssuer::self_signed(authority("Lab Global Root", year), KeyPair::generate()?)?;
        let params = authority("Lab Services CA 1", year);
        let intermediate = CertifiedIssuer::signed_by(params, KeyPair::generate()?, &root)?;
        Ok(Self { root, intermediate, year })
    }

    pub(super) fn root(&self) -> CertificateDer<'static> {
        self.root.der().clone()
    }

    pub(super) fn root_pem(&self) -> String {
        self.root.pem()
    }

    /// What a host presents: sound, or with this trouble.
    pub(super) fn shown(&self, of: &HostKey, trouble: Option<HostTrouble>) -> Result<Leaf, rcgen::Error> {
        let names = match trouble {
            Some(HostTrouble::WrongCertificate) => vec!["mx.elsewhere.lab.test"],
            _ => of.host.certificate_names(),
        };
        let mut params = self.params(&names)?;
        let organisation =
            if of.host == LabHost::Cloud { "Exchange Online stand-in" } else { "Sealpost lab" };
        params.distinguished_name.push(DnType::OrganizationName, organisation);
        if trouble == Some(HostTrouble::CertificateExpired) {
            params.not_before = date_time_ymd(self.year.saturating_sub(3), 1, 1);
            params.not_after = date_time_ymd(self.year.saturating_sub(1), 1, 1);
        }
        if trouble == Some(HostTrouble::CertificateRevoked) {
            params.serial_number = Some(serial(of.host));
        }
        let mut leaf = self.signed(params, &of.key)?;
        if trouble == Some(HostTrouble::MissingIntermediate) {
            leaf.chain.truncate(1);
        }
        Ok(leaf)
    }

    /// The gateway's own certificate.
    pub(super) fn gateway(&self, name: &str) -> Result<Leaf, rcgen::Error> {
        self.signed(self.params(&[name])?, &KeyPair::generate()?)
    }

    /// The list that names the revoked certificate of each host.
    pub(super) fn revocation_list(&self) -> Result<String, rcgen::Error> {
        let revoked = |host: &LabHost| RevokedCertParams {
            serial_number: serial(*host),
            revocation_time: date_time_ymd(self.year.saturating_sub(1), 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(self.year.saturating_sub(1), 1, 1),
            next_update: date_time_ymd(self.year.saturating_add(2), 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: LabHost::ALL.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.intermediate)?.pem()
    }

    fn params(&self, names: &[&str]) -> Result<CertificateParams, rcgen::Error> {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
        params.distinguished_name = common_name(names.first().copied().unwrap_or_default());
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = date_time_ymd(self.year.saturating_sub(1), 1, 1);
        params.not_after = date_time_ymd(self.year.saturating_add(2), 1, 1);
        Ok(params)
    }

    fn signed(&self, params: CertificateParams, key: &KeyPair) -> Result<Leaf, rcgen::Error> {
        let certificate = params.signed_by(key, &self.intermediate)?;
        Ok(Leaf {
            chain: vec![certificate.der().clone(), self.intermediate.der().clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            chain_pem: format!("{}{}", certificate.pem(), self.intermediate.pem()),
            key_pem: key.serialize_pem(),
        })
    }
}

impl HostKey {
    /// A new key: RSA for Exchange Online, as it has there.
    pub(super) fn new(host: LabHost) -> Result<Self, rcgen::Error> {
        let key = if host == LabHost::Cloud {
            KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?
        } else {
            KeyPair::generate()?
        };
        Ok(Self { host, key })
    }

    /// The pin of the key, as configurations have it.
    pub(super) fn pin(&self) -> String {
        use base64::Engine as _;
        let digest = Sha256::digest(self.key.subject_public_key_info());
        format!("sha256/{}", base64::engine::general_purpose::STANDARD.encode(digest))
    }
}

/// The serial number of a host's revoked certificate.
fn serial(host: LabHost) -> SerialNumber {
    let [_, _, _, octet] = host.address().octets();
    SerialNumber::from(u64::from(octet).saturating_add(31_000))
}

fn authority(name: &str, year: i32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.use_authority_key_identifier_extension = true;
    params.key_usages =
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(year.saturating_sub(5), 1, 1);
    params.not_after = date_time_ymd(year.saturating_add(5), 1, 1);
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}
