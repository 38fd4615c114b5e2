//! The certificates of the tests: made for one requirement, right or with one flaw. No file and no socket.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData as _, RevokedCertParams,
    SanType, SerialNumber, date_time_ymd,
};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};

use super::manner::{CertificateFlaw, WeakKeyKind, weak_key};
use crate::connector::{Forced, PeerName, Pin, Profile, Require};
use crate::mail::{Clock, rfc3339};
use crate::tls::RevocationList;

/// What a certificate must have to meet a requirement.
#[derive(Debug, Clone)]
pub(super) struct CertificateLook {
    names: Vec<PeerName>,
    organisation: Option<String>,
    common_name: Option<String>,
    issuer: Option<String>,
    profile: Option<Profile>,
}

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum MintFault {
    /// It can't be signed, or its names can't be written.
    #[error("a test certificate can't be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library does not take its key.
    #[error("the key of a test certificate can't be used: {0}")]
    Key(#[from] rustls::Error),
    /// The revocation list can't be read back.
    #[error("a test revocation list can't be made: {0}")]
    List(#[from] crate::tls::ListFault),
}

/// The authorities and keys for one requirement.
pub(super) struct TestMint {
    look: CertificateLook,
    authority: CertifiedIssuer<'static, KeyPair>,
    stranger: CertifiedIssuer<'static, KeyPair>,
    /// The key of every certificate that is not about keys, so that only one thing is wrong with each.
    key: KeyPair,
    other_key: KeyPair,
    year: i32,
    month: u8,
}

impl CertificateLook {
    /// What meets a requirement.
    pub(super) fn meeting(forced: &Forced) -> Self {
        let names = match &forced.require {
            Require::Encryption | Require::Chain { .. } => Vec::new(),
            Require::Identity { names, .. } => names.clone(),
        };
        let first = |texts: &[String]| texts.first().cloned();
        Self {
            names,
            organisation: first(&forced.subject.organisation),
            common_name: first(&forced.subject.common_name),
            issuer: first(&forced.subject.issuer),
            profile: forced.profile,
        }
    }

    /// The DNS names and addresses that a certificate presents.
    fn presented(&self) -> Vec<String> {
        let one = |name: &PeerName| match name {
            PeerName::Exact(domain) => domain.to_string(),
            PeerName::OneBelow(domain) => format!("{LABEL}.{domain}"),
            PeerName::Ip(ip) => ip.to_string(),
        };
        if self.names.is_empty() { vec![NOBODY.to_owned()] } else { self.names.iter().map(one).collect() }
    }

    /// Names near the right ones, none of which is one.
    fn near(&self) -> Vec<String> {
        let one = |name: &PeerName| match name {
            PeerName::Exact(domain) => vec![format!("{domain}.{NOBODY}"), format!("{LABEL}.{domain}")],
            PeerName::OneBelow(domain) => vec![format!("{domain}.{NOBODY}"), format!("{LABEL}.two.{domain}")],
            PeerName::Ip(_) => Vec::new(),
        };
        // A name that is near one may be another.
        let near = self.names.iter().flat_map(one).filter(|near| {
            let presented = crate::connector::PresentedName::from_dns(near);
            !self.names.iter().any(|name| name.matches(&presented))
        });
        near.chain([NOBODY.to_owned()]).collect()
    }
}

impl TestMint {
    /// New authorities and keys.
    pub(super) fn new(look: CertificateLook) -> Result<Self, MintFault> {
        let today = rfc3339(Clock::wall());
        let year = today.get(..4).and_then(|year| year.parse().ok()).unwrap_or(EPOCH_YEAR);
        let month = today.get(5..7).and_then(|month| month.parse().ok()).unwrap_or(1);
        let name = look.issuer.clone().unwrap_or_else(|| "Sealpost assure".to_owned());
        let authority = CertifiedIssuer::self_signed(authority(&name, None, year), new_key()?)?;
        let unknown = authority_of_nobody(look.issuer.as_deref(), year);
        let stranger = CertifiedIssuer::self_signed(unknown, new_key()?)?;
        Ok(Self { look, authority, stranger, key: new_key()?, other_key: new_key()?, year, month })
    }

    /// The authority of the right certificates.
    pub(super) fn anchor(&self) -> CertificateDer<'static> {
        self.authority.der().clone()
    }

    /// The authority's current list.
    pub(super) fn list(&self) -> Result<Arc<RevocationList>, MintFault> {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(REVOKED),
            revocation_time: date_time_ymd(self.year.saturating_sub(1), self.month, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(self.year.saturating_sub(1), self.month, 1),
            next_update: date_time_ymd(self.year.saturating_add(1), self.month, 28),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.authority)?;
        Ok(Arc::new(RevocationList::parse(list.der())?))
    }

    /// The key of the right certificates.
    pub(super) fn pin(&self) -> Pin {
        Pin { sha256: Sha256::digest(self.key.subject_public_key_info()).into(), from: None, until: None }
    }

    /// A certificate that meets the requirement.
    pub(super) fn right(&self) -> Result<Arc<CertifiedKey>, MintFault> {
        let certificate = self.params(&self.look.presented())?.signed_by(&self.key, &self.authority)?;
        certified(vec![certificate.der().clone()], &self.key)
    }

    /// One that meets it but for this.
    pub(super) fn flawed(&self, flaw: CertificateFlaw) -> Result<Arc<CertifiedKey>, MintFault> {
        let mut params = self.params(&self.look.presented())?;
        let (mut key, made_by_weak) = (&self.key, self.weak_key()?);
        match flaw {
            CertificateFlaw::SelfSigned => {
                return certified(vec![params.self_signed(key)?.der().clone()], key);
            }
            CertificateFlaw::Stranger => {
                let certificate = params.signed_by(key, &self.stranger)?;
                let chain = vec![certificate.der().clone(), self.stranger.der().clone()];
                return certified(chain, key);
            }
            CertificateFlaw::Namesake => return self.by_namesake(&self.anchor()),
            CertificateFlaw::NoIntermediate => {
                let between =
                    authority("Sealpost assure intermediate", self.look.issuer.as_deref(), self.year);
                let between = CertifiedIssuer::signed_by(between, new_key()?, &self.authority)?;
                return certified(vec![params.signed_by(key, &between)?.der().clone()], key);
            }
            CertificateFlaw::OtherName => params = self.params(&self.look.near())?,
            CertificateFlaw::CommonNameOnly => {
                let name = self.look.presented().into_iter().next().unwrap_or_default();
                params.subject_alt_names = Vec::new();
                params.distinguished_name.push(DnType::CommonName, name);
            }
            CertificateFlaw::Expired => {
                params.not_before = date_time_ymd(self.year.saturating_sub(2), self.month, 1);
                params.not_after = date_time_ymd(self.year.saturating_sub(1), self.month, 1);
            }
            CertificateFlaw::NotYetValid => {
                params.not_before = date_time_ymd(self.year.saturating_add(1), self.month, 1);
                params.not_after = date_time_ymd(self.year.saturating_add(2), self.month, 1);
            }
            CertificateFlaw::Authority => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            CertificateFlaw::Purpose => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
            }
            CertificateFlaw::Revoked => params.serial_number = Some(SerialNumber::from(REVOKED)),
            CertificateFlaw::OtherKey => key = &self.other_key,
            CertificateFlaw::OtherSubject => {
                let mut subject = DistinguishedName::new();
                subject.push(DnType::CommonName, "somebody else");
                subject.push(DnType::OrganizationName, "somebody else");
                params.distinguished_name = subject;
            }
            CertificateFlaw::WeakKey => key = made_by_weak.as_ref().unwrap_or(&self.other_key),
            CertificateFlaw::Unproved => {
                let certificate = params.signed_by(key, &self.authority)?;
                return certified(vec![certificate.der().clone()], &self.other_key);
            }
        }
        certified(vec![params.signed_by(key, &self.authority)?.der().clone()], key)
    }

    /// A certificate that meets the requirement, of an authority with the name of this one and another key.
    pub(super) fn by_namesake(&self, anchor: &CertificateDer<'_>) -> Result<Arc<CertifiedKey>, MintFault> {
        let namesake = Issuer::from_ca_cert_der(anchor, new_key()?)?;
        let certificate = self.params(&self.look.presented())?.signed_by(&self.key, &namesake)?;
        certified(vec![certificate.der().clone()], &self.key)
    }

    fn weak_key(&self) -> Result<Option<KeyPair>, MintFault> {
        Ok(match self.look.profile.and_then(weak_key) {
            Some(WeakKeyKind::P256) => Some(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?),
            Some(WeakKeyKind::Ed25519) => Some(KeyPair::generate_for(&PKCS_ED25519)?),
            None => None,
        })
    }

    fn params(&self, names: &[String]) -> Result<CertificateParams, MintFault> {
        let mut params = CertificateParams::new(Vec::new())?;
        for name in names {
            params.subject_alt_names.push(match name.parse() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName(name.as_str().try_into()?),
            });
        }
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, self.look.common_name.as_deref().unwrap_or("Sealpost assure test"));
        if let Some(organisation) = &self.look.organisation {
            subject.push(DnType::OrganizationName, organisation.as_str());
        }
        params.distinguished_name = subject;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = date_time_ymd(self.year.saturating_sub(1), self.month, 1);
        params.not_after = date_time_ymd(self.year.saturating_add(1), self.month, 28);
        Ok(params)
    }
}

/// Every profile allows this key, and what it signs.
fn new_key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)
}

fn authority(name: &str, organisation: Option<&str>, year: i32) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    if let Some(organisation) = organisation {
        subject.push(DnType::OrganizationName, organisation);
    }
    params.distinguished_name = subject;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(year.saturating_sub(5), 1, 1);
    params.not_after = date_time_ymd(year.saturating_add(5), 1, 1);
    params
}

fn authority_of_nobody(issuer: Option<&str>, year: i32) -> CertificateParams {
    authority("Sealpost assure, an unknown authority", issuer, year)
}

/// Chain and key as the TLS library takes them, unchecked: they need not belong together.
fn certified(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Result<Arc<CertifiedKey>, MintFault> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Ok(Arc::new(CertifiedKey::new(chain, any_supported_type(&key)?)))
}

/// The first label of names below a domain.
const LABEL: &str = "sealpost-assure";
/// A name that nobody has (RFC 2606 §2).
pub(super) const NOBODY: &str = "sealpost-assure.invalid";
const REVOKED: u64 = 666;
const EPOCH_YEAR: i32 = 1970;
