//! Inbound handshakes: builds the server configuration of a listener and records what the client
//! showed. It does not decide who may submit.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, NamedGroup, PeerIncompatible, ServerConfig,
    SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::assess::{Usage, assess_by, presented};
use super::fault::TlsFault;
use super::issuers::{FEW, INTERMEDIATES_MAX};
use super::limits::{HandshakeParts, limited_fault, limited_key};
use super::pem::Identity;
use super::proof::proved_by;
use super::trust::TrustSet;
use crate::connector::{
    ChainFault, ChainVerdict, ClientCertificate, HandshakeFault, PeerCertificate, PeerName, PresentedName,
    Profile, PublicKeyKind, TlsFacts, TlsVersion, TrustId, first_match,
};
use crate::mail::{Domain, UnixMillis};

/// How a listener's handshakes are made.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// The certificates to choose from: the first that fits the requested name and the client's
    /// signature algorithms, or the first of all if none does.
    pub identities: Vec<Arc<Identity>>,
    /// The profile that limits what is offered and accepted.
    pub profile: Option<Profile>,
    /// Whether TLS is required of every client: a profile may demand more then, since the alternative to a session is
    /// not plaintext.
    pub required: bool,
    /// Whether clients may be asked for a certificate; they need not have one.
    pub ask_client: bool,
    /// The trust anchor sets against which a client's chain can be assessed.
    pub trust: Vec<(TrustId, Arc<TrustSet>)>,
}

/// The inbound side of TLS for one listener: TLS 1.2 and 1.3, no tickets, no resumption.
pub struct ServerSetup {
    silent: TlsAcceptor,
    /// Asks for a client certificate.
    asking: Option<TlsAcceptor>,
    trust: Arc<Vec<(TrustId, Arc<TrustSet>)>>,
    profile: Option<Profile>,
}

/// The chain that a client presented, to be assessed once a connector asks what it is worth: a client that has proved
/// nothing must not be able to cost much.
#[derive(Clone)]
pub struct ClientChain {
    /// The client's own first, and a few more than are considered.
    certificates: Arc<[CertificateDer<'static>]>,
    trust: Arc<Vec<(TrustId, Arc<TrustSet>)>>,
}

impl ClientChain {
    /// Whether assessing it may take long.
    #[must_use]
    pub fn is_costly(&self, sets: &[TrustId]) -> bool {
        self.certificates.len() > FEW.saturating_add(1) || sets.len() > SETS_FEW
    }

    /// Whether a list was fetched since for a set that these facts name: what it said may not be true any more.
    #[must_use]
    pub fn has_new_lists_since(&self, facts: &TlsFacts, then: UnixMillis) -> bool {
        let named = |id: &TrustId| facts.certificate().is_some_and(|shown| shown.chain.contains_key(id));
        self.trust.iter().any(|(id, set)| named(id) && set.shelf().has_changed_since(then))
    }

    /// The facts of a handshake, with what these trust anchor sets say of the chain at `now` added.
    #[must_use]
    pub fn assess(&self, facts: &TlsFacts, sets: &[TrustId], now: UnixMillis) -> TlsFacts {
        let mut facts = facts.clone();
        if let PeerCertificate::Shown(certificate) = &mut facts.peer {
            let wanted: Vec<_> = self.trust.iter().filter(|(id, _)| sets.contains(id)).cloned().collect();
            assess_by(certificate, &self.certificates, &wanted, Usage::ClientOrServer, now);
            for id in sets {
                // A set that the session does not know trusts nobody.
                let unknown = || ChainVerdict::Faulty(ChainFault::UnknownIssuer);
                certificate.chain.entry(id.clone()).or_insert_with(unknown);
            }
        }
        facts
    }
}

/// Up to this many trust anchor sets a short chain costs little.
const SETS_FEW: usize = 2;

impl ServerSetup {
    /// Prepares what all connections of a listener share.
    ///
    /// # Errors
    /// [`TlsFault::Setup`] if the TLS library refuses the settings.
    pub fn new(settings: ServerSettings) -> Result<Self, TlsFault> {
        let profile = settings.profile;
        let keys = settings.identities.iter().map(|one| limited_key(one.certified(), profile)).collect();
        let ours = Arc::new(Chooser { identities: settings.identities, keys });
        let parts = HandshakeParts::of(profile);
        let demands = profile.is_some_and(|profile| profile.table().demands_master_secret);
        let acceptor = |ask| {
            let mut config = config(Arc::clone(&ours), &parts, ask)?;
            // The order of a profile is a statement of its own; without one, clients know best what they compute fast.
            config.ignore_client_order = profile.is_some();
            config.require_ems |= demands && settings.required;
            Ok::<_, TlsFault>(TlsAcceptor::from(Arc::new(config)))
        };
        let asking = settings.ask_client.then(|| acceptor(true)).transpose()?;
        Ok(Self { silent: acceptor(false)?, asking, trust: Arc::new(settings.trust), profile })
    }

    /// Makes one handshake as the server and returns what the client showed; its chain is not assessed yet. `ask`:
    /// the client is asked for a certificate. The caller limits the time.
    ///
    /// # Errors
    /// The handshake failed; the connection is unusable.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        ask: bool,
        now: UnixMillis,
    ) -> Result<(TlsStream<S>, TlsFacts, ClientChain), HandshakeFault> {
        let acceptor = self.asking.as_ref().filter(|_| ask).unwrap_or(&self.silent);
        let accepted = acceptor.accept(stream).await;
        let stream =
            accepted.map_err(|error| limited_fault(&error, ClientCertificate::NotAskedFor, self.profile))?;
        let (_, state) = stream.get_ref();
        let chain = state.peer_certificates().unwrap_or_default();
        // The handshake would have failed on a signature that does not prove the key.
        let peer = presented(chain, true);
        let sni = state.server_name().map(str::to_owned);
        let facts = super::channel_facts(state, peer, sni, now)?;
        // One more than are considered tells that there were more.
        let kept = chain.iter().take(INTERMEDIATES_MAX.saturating_add(2)).cloned().collect();
        let presented = ClientChain { certificates: kept, trust: Arc::clone(&self.trust) };
        Ok((stream, facts, presented))
    }
}

fn config(ours: Arc<Chooser>, parts: &HandshakeParts, ask: bool) -> Result<ServerConfig, TlsFault> {
    let algorithms = parts.provider.signature_verification_algorithms;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&parts.provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let builder = if ask {
        builder.with_client_cert_verifier(Arc::new(AnyClient { algorithms, schemes: parts.schemes.clone() }))
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_cert_resolver(ours);
    // A resumed session would carry the verdict of an older table.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    // RFC 7301 §3.2: a client that names protocols, none of them these, meant another server. A
    // client that names none is served.
    config.alpn_protocols = ["smtp", "esmtp"].map(|name| name.as_bytes().to_vec()).to_vec();
    Ok(config)
}

/// Chooses the certificate for a client: by the requested name, then by the client's signature
/// algorithms, so that RSA and ECDSA certificates can be used side by side.
struct Chooser {
    identities: Vec<Arc<Identity>>,
    /// The key of each, limited to the profile's schemes.
    keys: Vec<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Chooser {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let name = hello.server_name().and_then(|name| Domain::parse(name).ok()).map(PeerName::Exact);
        // Exact names before wildcards, and both before a certificate without the name: for a
        // client that does not check names, that is better than an alert.
        let fit = |identity: &Identity| match &name {
            None => 0,
            Some(name) => match first_match(std::slice::from_ref(name), &identity.facts().names) {
                Some(PresentedName::Wildcard(_)) => 1,
                Some(_) => 0,
                None => 2,
            },
        };
        let signs = |key: &CertifiedKey| key.key.choose_scheme(schemes).is_some();
        let knows = |identity: &Identity| knows_curve(&hello, &identity.facts().strength.key);
        // Of several that fit equally well, `min_by_key` takes the first.
        let all = self.identities.iter().zip(&self.keys);
        let (_, best) = all.min_by_key(|(identity, key)| (!signs(key), !knows(identity), fit(identity)))?;
        Some(Arc::clone(best))
    }
}

/// Whether a client can verify with a key of this curve. In TLS 1.2 its groups say that (RFC 8422 §5.1), since its signature
/// schemes name no curve; in TLS 1.3 the schemes do, and groups are for the key exchange only.
fn knows_curve(hello: &ClientHello<'_>, key: &PublicKeyKind) -> bool {
    let speaks_13 = hello.cipher_suites().iter().any(|suite| u16::from(*suite) >> 8 == 0x13);
    let group = match key {
        PublicKeyKind::Curve(name) => match name.as_str() {
            "P-256" => NamedGroup::secp256r1,
            "P-384" => NamedGroup::secp384r1,
            "P-521" => NamedGroup::secp521r1,
            // RFC 8422 §5.1.1: Edwards curves are named by signature schemes only.
            _ => return true,
        },
        PublicKeyKind::Rsa(_) | PublicKeyKind::Other(_) => return true,
    };
    speaks_13 || hello.named_groups().is_none_or(|groups| groups.contains(&group))
}

impl fmt::Debug for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chooser({} certificates)", self.identities.len())
    }
}

/// Asks for a certificate, accepts any chain or none, and requires proof of the key. Who may submit
/// is decided from the facts at MAIL FROM.
struct AnyClient {
    algorithms: WebPkiSupportedAlgorithms,
    schemes: Vec<SignatureScheme>,
}

impl AnyClient {
    /// The library accepts schemes that were not offered.
    fn verify(
        &self,
        cert: &CertificateDer<'_>,
        message: &[u8],
        dss: &DigitallySignedStruct,
        version: TlsVersion,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !self.schemes.contains(&dss.scheme) {
            return Err(Error::PeerIncompatible(PeerIncompatible::NoSignatureSchemesInCommon));
        }
        proved_by(cert, message, dss, (&self.algorithms, version))
    }
}

impl ClientCertVerifier for AnyClient {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// No hints: a client chooses by them, and might not send a certificate that a connector
    /// accepts.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(cert, message, dss, TlsVersion::V12)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(cert, message, dss, TlsVersion::V13)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

impl fmt::Debug for AnyClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyClient")
    }
}

impl fmt::Debug for ServerSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerSetup({} trust anchor sets)", self.trust.len())
    }
}

impl fmt::Debug for ClientChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientChain({} certificates)", self.certificates.len())
    }
}
