//! TLS of the stand-ins, for both directions: one configuration for each certificate that a host may
//! present, and what the certificate of a client is worth.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::faults::HostTrouble;
use super::hosts::{GATEWAY_NAME, LabHost};
use super::pki::{HostKey, HybridPki};
use crate::lab::client::ClientTls;
use crate::lab::fault::LabFault;

/// A host's TLS.
pub(super) struct HostTls {
    servers: BTreeMap<Option<HostTrouble>, Arc<ServerConfig>>,
    clients: BTreeMap<Option<HostTrouble>, ClientTls>,
    anonymous: ClientTls,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl HostTls {
    /// Everything that a host may present.
    pub(super) fn new(pki: &HybridPki, key: &HostKey, host: LabHost) -> Result<Self, LabFault> {
        let mut roots = RootCertStore::empty();
        roots.add(pki.root())?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
        let asks: Option<Arc<dyn ClientCertVerifier>> =
            host.is_exchange().then(|| Arc::new(AskingVerifier(Arc::clone(&verifier))).into_dyn());
        let (mut servers, mut clients) = (BTreeMap::new(), BTreeMap::new());
        let troubles = HostTrouble::ALL.iter().copied().filter(|trouble| trouble.is_certificate());
        for trouble in std::iter::once(None).chain(troubles.map(Some)) {
            let shown = pki.shown(key, trouble)?;
            servers.insert(trouble, server(&provider, asks.clone(), &shown)?);
            let presented = host.certificate_names().first().copied().unwrap_or_default();
            clients.insert(trouble, ClientTls::new(pki.root(), GATEWAY_NAME, Some((presented, shown)))?);
        }
        let anonymous = ClientTls::new(pki.root(), GATEWAY_NAME, None)?;
        Ok(Self { servers, clients, anonymous, verifier })
    }

    /// The server's configuration for what is wrong with the host.
    pub(super) fn server(&self, troubles: &BTreeSet<HostTrouble>) -> Option<Arc<ServerConfig>> {
        self.servers.get(&of_certificate(troubles)).cloned()
    }

    /// The client's end of TLS for what is wrong with the host.
    pub(super) fn client(&self, troubles: &BTreeSet<HostTrouble>) -> Option<ClientTls> {
        self.clients.get(&of_certificate(troubles)).cloned()
    }

    /// The client's end of TLS without a certificate.
    pub(super) fn anonymous(&self) -> ClientTls {
        self.anonymous.clone()
    }

    /// The names of a client's certificate.
    ///
    /// # Errors
    /// Why it is not valid.
    pub(super) fn names(&self, chain: &[CertificateDer<'static>]) -> Result<Vec<String>, String> {
        let Some((own, issuers)) = chain.split_first() else { return Err("no certificate".to_owned()) };
        self.verifier.verify_client_cert(own, issuers, UnixTime::now()).map_err(|fault| fault.to_string())?;
        let (_, certificate) = X509Certificate::from_der(own).map_err(|fault| fault.to_string())?;
        let names = certificate.subject_alternative_name().map_err(|fault| fault.to_string())?;
        let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
        let dns = names.iter().filter_map(|name| {
            if let GeneralName::DNSName(name) = name { Some((*name).to_owned()) } else { None }
        });
        Ok(dns.collect())
    }
}

fn of_certificate(troubles: &BTreeSet<HostTrouble>) -> Option<HostTrouble> {
    troubles.iter().copied().find(|trouble| trouble.is_certificate())
}

fn server(
    provider: &Arc<CryptoProvider>,
    asks: Option<Arc<dyn ClientCertVerifier>>,
    shown: &crate::lab::mint::Leaf,
) -> Result<Arc<ServerConfig>, LabFault> {
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(provider)).with_safe_default_protocol_versions()?;
    let builder = match asks {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    Ok(Arc::new(builder.with_single_cert(shown.chain.clone(), shown.key.clone_key())?))
}

/// Asks for a certificate as Exchange does: the handshake completes whatever the client presents, and
/// the certificate is judged at SMTP.
struct AskingVerifier(Arc<dyn ClientCertVerifier>);

impl AskingVerifier {
    fn into_dyn(self: Arc<Self>) -> Arc<dyn ClientCertVerifier> {
        self
    }
}

impl fmt::Debug for AskingVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AskingVerifier")
    }
}

impl ClientCertVerifier for AskingVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _own: &CertificateDer<'_>,
        _issuers: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, own, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, own, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
