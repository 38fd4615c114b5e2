//! Mints certificate authorities and certificates, good and bad.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::workshop::WeakKey;

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
    pub(crate) key_pem: String,
}

/// A certificate with its key, as PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// What a certificate is to be.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// In order, for servers and clients.
    Good,
    /// In order, for servers alone.
    ServerOnly,
    /// For clients alone.
    ClientOnly,
    /// Its time is over.
    Expired,
    /// Its time has not begun.
    NotYet,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self::keyed(name, KeyPair::generate().unwrap())
    }

    /// One with this key, which signs as its algorithm says.
    pub(crate) fn keyed(name: &str, key: KeyPair) -> Self {
        let params = authority_params(name);
        let pem = params.self_signed(&key).unwrap().pem();
        let key_pem = key.serialize_pem();
        Self { issuer: Issuer::new(params, key), pem, key_pem }
    }

    /// One that ends with the beginning of a year.
    pub(crate) fn new_until(name: &str, year: i32) -> Self {
        let (mut params, key) = (authority_params(name), KeyPair::generate().unwrap());
        params.not_after = date_time_ymd(year, 1, 1);
        let pem = params.self_signed(&key).unwrap().pem();
        let key_pem = key.serialize_pem();
        Self { issuer: Issuer::new(params, key), pem, key_pem }
    }

    /// An intermediate authority below this one, with something changed about it.
    pub(crate) fn below(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (mut params, key) = (authority_params(name), KeyPair::generate().unwrap());
        change(&mut params);
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        let key_pem = key.serialize_pem();
        Self { issuer: Issuer::new(params, key), pem, key_pem }
    }

    /// A good certificate with a key of its own kind, and something changed about it.
    pub(crate) fn made(
        &self,
        names: &[&str],
        key: &KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Pair {
        let mut params = params(names, Kind::Good);
        change(&mut params);
        Pair { chain: params.signed_by(key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }

    /// A certificate for DNS names and addresses.
    pub(crate) fn pair(&self, names: &[&str], kind: Kind) -> Pair {
        let key = KeyPair::generate().unwrap();
        let certificate = params(names, kind).signed_by(&key, &self.issuer).unwrap();
        Pair { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// The authority's own certificate, shown as if it were a host's.
    pub(crate) fn as_leaf(&self) -> Pair {
        Pair { chain: self.pem.clone(), key: self.key_pem.clone() }
    }

    /// A list that revokes these serial numbers, as PEM.
    pub(crate) fn revocation_list(&self, serials: &[u64]) -> String {
        self.revocation_list_until(4095, serials)
    }

    /// The same, up to the beginning of a year.
    pub(crate) fn revocation_list_until(&self, year: i32, serials: &[u64]) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(if year > 2026 { 2026 } else { 2025 }, 1, 1),
            next_update: date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        Arc::new(roots)
    }

    /// A client that trusts this authority alone, with or without a certificate of its own.
    pub(crate) fn client(&self, own: Option<&Pair>) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots());
        Arc::new(match own {
            Some(pair) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair.certified())))
            }
            None => builder.with_no_client_auth(),
        })
    }

    /// The same with no more than this provider has, for these versions.
    pub(crate) fn client_with(
        &self,
        own: &Pair,
        provider: CryptoProvider,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots());
        Arc::new(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.certified()))))
    }

    /// A server with `own` that demands a client certificate of this authority.
    pub(crate) fn demanding_server(&self, own: &Pair) -> Arc<ServerConfig> {
        self.demanding_server_speaking(own, rustls::ALL_VERSIONS)
    }

    /// The same, of these versions.
    pub(crate) fn demanding_server_speaking(
        &self,
        own: &Pair,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots(), provider()).build().unwrap();
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(verifier);
        Arc::new(builder.with_single_cert(own.chain_der(), own.key_der()).unwrap())
    }
}

impl Pair {
    pub(crate) fn self_signed(names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params(names, Kind::Good).self_signed(&key).unwrap();
        Self { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// The same, marked as an authority.
    pub(crate) fn self_signed_authority(names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params(names, Kind::Good);
        params.distinguished_name = named("one's own authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { chain: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        self.server_speaking(rustls::ALL_VERSIONS)
    }

    pub(crate) fn server_speaking(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        self.server_with(provider(), versions)
    }

    /// A server whose key exchange is limited to these groups.
    pub(crate) fn server_agreeing(&self, groups: &[&'static dyn SupportedKxGroup]) -> Arc<ServerConfig> {
        let limited = CryptoProvider { kx_groups: groups.to_vec(), ..aws_lc_rs::default_provider() };
        self.server_with(Arc::new(limited), rustls::ALL_VERSIONS)
    }

    /// A server with no more than this provider has, for these versions.
    pub(crate) fn server_with(
        &self,
        provider: Arc<CryptoProvider>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let shown = SingleCertAndKey::from(self.certified());
        Arc::new(builder.with_no_client_auth().with_cert_resolver(Arc::new(shown)))
    }

    /// For rustls, unchecked: a bad certificate has to be shown too.
    pub(crate) fn certified(&self) -> CertifiedKey {
        let key = aws_lc_rs::sign::any_supported_type(&self.key_der())
            .unwrap_or_else(|_| Arc::new(WeakKey::new(&self.key)));
        CertifiedKey::new(self.chain_der(), key)
    }

    /// The same with other certificates behind it, as they stand.
    pub(crate) fn followed_by(mut self, more: &[&Authority]) -> Self {
        more.iter().for_each(|authority| self.chain.push_str(&authority.pem));
        self
    }

    /// Writes `ID.crt` and `ID.key`, the key for its owner alone.
    pub(crate) fn write(&self, folder: &Path, id: &str) -> (PathBuf, PathBuf) {
        let (chain, key) = (folder.join(format!("{id}.crt")), folder.join(format!("{id}.key")));
        std::fs::write(&chain, &self.chain).unwrap();
        std::fs::write(&key, &self.key).unwrap();
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        (chain, key)
    }

    pub(crate) fn chain_der(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.chain.as_bytes()).collect::<Result<_, _>>().unwrap()
    }

    fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// What a good certificate for these names says, before anything is made wrong with it.
pub(crate) fn params(names: &[&str], kind: Kind) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = named(names.first().copied().unwrap_or("nameless"));
    params.subject_alt_names = names
        .iter()
        .map(|name| match name.parse::<IpAddr>() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName((*name).try_into().unwrap()),
        })
        .collect();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match kind {
        Kind::ServerOnly => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Kind::ClientOnly => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Kind::Good | Kind::Expired | Kind::NotYet => {
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
        }
    };
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    match kind {
        Kind::Expired => params.not_after = date_time_ymd(2021, 1, 1),
        Kind::NotYet => params.not_before = date_time_ymd(2089, 1, 1),
        Kind::Good | Kind::ServerOnly | Kind::ClientOnly => {}
    }
    params
}

pub(crate) fn named(name: &str) -> DistinguishedName {
    let mut dn = DistinguishedName::new();
    dn.push(DnType::CommonName, name);
    dn
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
