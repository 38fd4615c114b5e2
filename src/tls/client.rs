//! Outbound handshakes: builds the client configuration of a connector and records what the peer
//! showed. It does not judge chains or names.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, DnsName, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, SignatureScheme, SupportedProtocolVersion,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::assess::{Usage, assess};
use super::fault::TlsFault;
use super::limits::{HandshakeParts, limited_fault, limited_key};
use super::pem::Identity;
use super::proof::proved_by;
use super::trust::TrustSet;
use crate::connector::{
    ClientCertificate, HandshakeFault, KeyExchange, Profile, TlsFacts, TlsVersion, TrustId,
};
use crate::mail::{Domain, UnixMillis};

/// How a connector's outbound handshakes are made.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Forced TLS: a handshake whose signature does not prove the key fails. Otherwise it completes
    /// and the facts say that nothing was proved: encryption to an old peer is better than
    /// plaintext.
    pub judged: bool,
    /// The oldest version offered.
    pub min_version: TlsVersion,
    /// The key exchange groups offered.
    pub key_exchange: KeyExchange,
    /// The profile that limits what is offered and accepted.
    pub profile: Option<Profile>,
    /// The trust anchor sets against which the chain is assessed.
    pub trust: Vec<(TrustId, Arc<TrustSet>)>,
    /// The client certificate, presented only if the peer asks for one.
    pub identity: Option<Arc<Identity>>,
    /// Audit: the settings that enforcing would have, which are tried first.
    pub rehearsed: Option<Box<ClientSettings>>,
}

/// The key shares of a ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyShares {
    /// Those that the connector offers.
    Offered,
    /// None that are post-quantum: some hosts and firewalls fail on their size.
    Classic,
}

/// The outbound side of TLS for one connector revision. Sessions are never resumed: a resumed
/// session would carry an old verdict.
pub struct ClientSetup {
    base: ClientConfig,
    /// The same without post-quantum key shares; `None` where none are offered anyway.
    classic: Option<ClientConfig>,
    settings: ClientSettings,
    signatures: AcceptedSignatures,
    /// Audit: what is tried first.
    rehearsed: Option<Box<ClientSetup>>,
}

impl ClientSetup {
    /// Prepares what all connections of a connector share.
    ///
    /// # Errors
    /// [`TlsFault::Setup`] if the TLS library refuses the settings.
    pub fn new(mut settings: ClientSettings) -> Result<Self, TlsFault> {
        const FROM_12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
        const FROM_13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
        let rehearsed = settings.rehearsed.take().map(|enforced| Self::new(*enforced)).transpose()?;
        let parts = HandshakeParts::of(settings.profile);
        let signatures = AcceptedSignatures::of(&parts, &settings);
        let versions = match settings.min_version {
            TlsVersion::V12 => FROM_12,
            TlsVersion::V13 => FROM_13,
        };
        let with = |provider| -> Result<ClientConfig, TlsFault> {
            let verifier = Arc::new(Recorder::new(settings.judged, signatures.clone()));
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(versions)?
                .dangerous()
                .with_custom_certificate_verifier(verifier)
                .with_no_client_auth();
            config.resumption = Resumption::disabled();
            // Where TLS is not forced, the alternative to a session without it is plaintext.
            config.require_ems |=
                settings.judged && settings.profile.is_some_and(|one| one.table().demands_master_secret);
            Ok(config)
        };
        let classic = parts.classic().map(with).transpose()?;
        let (base, classic) = match (settings.key_exchange, classic) {
            // If a post-quantum group is required, the others are still offered: the judge then reports
            // the group agreed on, which says more than a failed handshake.
            (KeyExchange::Any | KeyExchange::PostQuantum, classic) => (with(parts.provider)?, classic),
            (KeyExchange::Classic, Some(classic)) => (classic, None),
            (KeyExchange::Classic, None) => (with(parts.provider)?, None),
        };
        Ok(Self { base, classic, settings, signatures, rehearsed: rehearsed.map(Box::new) })
    }

    /// In audit, the setup that enforcing would have, if it offers or accepts less than this one.
    #[must_use]
    pub fn rehearsed(&self) -> Option<&Self> {
        self.rehearsed.as_deref()
    }

    /// Whether its ClientHello has post-quantum key shares, and can be made without them.
    #[must_use]
    pub fn has_classic(&self) -> bool {
        self.classic.is_some()
    }

    /// Whether a post-quantum key exchange is demanded.
    #[must_use]
    pub fn demands_post_quantum(&self) -> bool {
        self.settings.key_exchange == KeyExchange::PostQuantum
    }

    /// Whether a revocation list was fetched since: what was assessed before may not be true any more.
    #[must_use]
    pub fn has_new_lists_since(&self, then: UnixMillis) -> bool {
        self.settings.trust.iter().any(|(_, set)| set.shelf().has_changed_since(then))
    }

    /// Makes one handshake as the client and returns what the peer showed. The chain is assessed at
    /// `now`. The caller limits the time.
    ///
    /// # Errors
    /// The handshake failed; the connection is unusable.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        (sni, shares): (Option<&Domain>, KeyShares),
        now: UnixMillis,
    ) -> Result<(TlsStream<S>, TlsFacts), HandshakeFault> {
        let mut config = match (shares, &self.classic) {
            (KeyShares::Classic, Some(classic)) => classic.clone(),
            (KeyShares::Classic, None) | (KeyShares::Offered, _) => self.base.clone(),
        };
        let recorder = Arc::new(Recorder::new(self.settings.judged, self.signatures.clone()));
        config.dangerous().set_certificate_verifier(recorder.clone());
        let profile = self.settings.profile;
        let identity = self.settings.identity.as_ref();
        let certificate = identity.map(|identity| limited_key(identity.certified(), profile));
        let shower = Arc::new(Shower { certificate, asked: AtomicU8::new(NOT_ASKED) });
        config.client_auth_cert_resolver = shower.clone();
        let (name, sent) = server_name(sni);
        config.enable_sni = sent.is_some();

        let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let stream = connected.map_err(|error| limited_fault(&error, shower.outcome(), profile))?;
        let (_, state) = stream.get_ref();
        let chain = state.peer_certificates().unwrap_or_default();
        let proved = recorder.proved.load(Ordering::Acquire);
        let peer = assess(chain, proved, &self.settings.trust, Usage::Server, now);
        let mut facts = super::channel_facts(state, peer, sent, now)?;
        facts.client_certificate = Some(shower.outcome());
        let shown = identity.filter(|_| shower.outcome() == ClientCertificate::Sent);
        facts.own_sha256 = shown.map(|identity| identity.facts().sha256.as_str().into());
        Ok((stream, facts))
    }
}

/// The name for the library, and the name that is sent. The library needs a name even if none is to
/// be sent. A placeholder address stands for "none": it is never sent (RFC 6066 §3) and never
/// compared, because names are judged after the handshake.
fn server_name(sni: Option<&Domain>) -> (ServerName<'static>, Option<String>) {
    let name = sni.and_then(|domain| DnsName::try_from(domain.as_str().to_owned()).ok());
    match name {
        Some(name) => {
            let sent = name.as_ref().to_owned();
            (ServerName::DnsName(name), Some(sent))
        }
        None => (ServerName::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST).into()), None),
    }
}

/// Accepts every chain, because the connector's requirement judges it later, and records whether
/// the handshake signature proved the key.
struct Recorder {
    judged: bool,
    signatures: AcceptedSignatures,
    proved: AtomicBool,
}

impl Recorder {
    fn new(judged: bool, signatures: AcceptedSignatures) -> Self {
        Self { judged, signatures, proved: AtomicBool::new(false) }
    }

    fn record(
        &self,
        verified: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        match verified {
            Ok(valid) => {
                self.proved.store(true, Ordering::Release);
                Ok(valid)
            }
            Err(error) if self.judged => Err(error),
            Err(_) => Ok(HandshakeSignatureValid::assertion()),
        }
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signatures.check(dss)?;
        self.record(proved_by(cert, message, dss, (&self.signatures.algorithms, TlsVersion::V12)))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signatures.check(dss)?;
        self.record(proved_by(cert, message, dss, (&self.signatures.algorithms, TlsVersion::V13)))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.schemes.to_vec()
    }
}

/// The signatures that a handshake may have.
#[derive(Clone)]
struct AcceptedSignatures {
    algorithms: WebPkiSupportedAlgorithms,
    /// What is offered, in order of preference.
    schemes: Arc<[SignatureScheme]>,
    /// Whether no other may be used, even where nothing is judged.
    is_limited: bool,
}

impl AcceptedSignatures {
    fn of(parts: &HandshakeParts, settings: &ClientSettings) -> Self {
        let mut schemes = parts.schemes.clone();
        if !settings.judged && settings.profile.is_none() {
            // Old peers have nothing better; they are recorded as not having proved their key.
            schemes.extend([SignatureScheme::ECDSA_SHA1_Legacy, SignatureScheme::RSA_PKCS1_SHA1]);
        }
        let algorithms = parts.provider.signature_verification_algorithms;
        Self { algorithms, schemes: schemes.into(), is_limited: settings.profile.is_some() }
    }

    /// The library accepts schemes that were not offered; under a profile that would be a session outside of it.
    fn check(&self, dss: &DigitallySignedStruct) -> Result<(), Error> {
        if self.is_limited && !self.schemes.contains(&dss.scheme) {
            return Err(Error::PeerIncompatible(PeerIncompatible::NoSignatureSchemesInCommon));
        }
        Ok(())
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorder(judged: {})", self.judged)
    }
}

const NOT_ASKED: u8 = 0;
const NONE_CONFIGURED: u8 = 1;
const DOES_NOT_FIT: u8 = 2;
const SENT: u8 = 3;

/// Presents our certificate if it is requested, and records whether it was.
struct Shower {
    certificate: Option<Arc<CertifiedKey>>,
    asked: AtomicU8,
}

impl Shower {
    fn outcome(&self) -> ClientCertificate {
        match self.asked.load(Ordering::Acquire) {
            NOT_ASKED => ClientCertificate::NotAskedFor,
            NONE_CONFIGURED => ClientCertificate::NoneToSend,
            DOES_NOT_FIT => ClientCertificate::NotSuited,
            _ => ClientCertificate::Sent,
        }
    }
}

impl ResolvesClientCert for Shower {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let (answer, certificate) = match &self.certificate {
            None => (NONE_CONFIGURED, None),
            Some(ours) if ours.key.choose_scheme(sigschemes).is_none() => (DOES_NOT_FIT, None),
            Some(ours) => (SENT, Some(Arc::clone(ours))),
        };
        self.asked.store(answer, Ordering::Release);
        certificate
    }

    fn has_certs(&self) -> bool {
        self.certificate.is_some()
    }
}

impl fmt::Debug for Shower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shower({})", self.outcome())
    }
}

impl fmt::Debug for ClientSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientSetup({:?})", self.settings)
    }
}
