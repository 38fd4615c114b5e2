//! One session with a listener of ours: as far as the answer to MAIL FROM, and never further.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::mint::NOBODY;
use super::sender::LOCAL_PART;
use crate::lab::hybrid::tls11::{self, OldTlsAnswer, OldTlsVersion};
use crate::lab::partner::describe;
use crate::lab::wire::{Answer, Wire};
use crate::listen::settings::ListenerTls;
use crate::mail::{Domain, unmoved};

/// Tells the daemon that the next session from an address is a test, so that it raises no alert and counts nowhere.
pub type ProbeAnnouncer = Arc<dyn Fn(SocketAddr) -> ProbeAnnouncement + Send + Sync>;

/// Whether the daemon has heard of it, or why not, in a sentence.
pub type ProbeAnnouncement = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// An address of a listener, and how to come there.
#[derive(Clone)]
pub(super) struct VisitedDoor {
    pub(super) listener: String,
    pub(super) address: SocketAddr,
    /// The address that sessions come from; its port is 0.
    pub(super) source: SocketAddr,
    /// Those that they could come from as well.
    pub(super) others: Vec<SocketAddr>,
    pub(super) tls: ListenerTls,
    /// For each step.
    pub(super) patience: Duration,
    pub(super) announcer: ProbeAnnouncer,
}

/// What a session showed.
#[derive(Debug, Default)]
pub(super) struct VisitRecord {
    /// The answer to EHLO in plaintext.
    pub(super) hello: Option<String>,
    /// The answer to AUTH in plaintext, if it was tried.
    pub(super) auth: Option<Answer>,
    /// Version and suite.
    pub(super) channel: Option<String>,
    /// The certificate that the listener presented.
    pub(super) certificate: Option<CertificateDer<'static>>,
    /// The answers to MAIL FROM, in the order of the domains; fewer if the session ended.
    pub(super) answers: Vec<Answer>,
    /// Why it ended early.
    pub(super) ended: Option<String>,
}

impl VisitedDoor {
    /// A session in plaintext: what is offered, whether AUTH is taken, and MAIL FROM in the name of each domain.
    pub(super) async fn visit_in_plaintext(&self, domains: &[Domain], tries_auth: bool) -> VisitRecord {
        let mut record = VisitRecord::default();
        let ended = self.in_plaintext(domains, tries_auth, &mut record).await.err();
        record.ended = ended.map(|fault| words(&fault));
        record
    }

    /// A session over TLS, with this certificate or none, and MAIL FROM in the name of each domain.
    pub(super) async fn visit_over_tls(
        &self,
        certificate: Option<&CertifiedKey>,
        domains: &[Domain],
    ) -> VisitRecord {
        let mut record = VisitRecord::default();
        let ended = self.over_tls(certificate, domains, &mut record).await.err();
        record.ended = ended.map(|fault| words(&fault));
        record
    }

    /// A handshake of a client that knows no later version.
    ///
    /// # Errors
    /// The connection ended without an answer.
    pub(super) async fn ask_for(&self, version: OldTlsVersion) -> io::Result<OldTlsAnswer> {
        let mut stream = self.begin_tls().await?;
        self.step(tls11::ask(&mut stream, version)).await
    }

    async fn in_plaintext(
        &self,
        domains: &[Domain],
        tries_auth: bool,
        record: &mut VisitRecord,
    ) -> io::Result<()> {
        let mut wire = Wire::new(self.connect().await?, None);
        if self.tls != ListenerTls::Implicit {
            self.step(wire.answer()).await?;
        }
        record.hello = Some(self.say(&mut wire, &hello()).await?.text);
        if tries_auth {
            let answer = self.say(&mut wire, "AUTH PLAIN\r\n").await?;
            if answer.code == 334 {
                self.say(&mut wire, "*\r\n").await?;
            }
            record.auth = Some(answer);
        }
        self.claim(&mut wire, domains, record).await
    }

    async fn over_tls(
        &self,
        certificate: Option<&CertifiedKey>,
        domains: &[Domain],
        record: &mut VisitRecord,
    ) -> io::Result<()> {
        let stream = self.begin_tls().await?;
        let connector = TlsConnector::from(client_tls(certificate).map_err(io::Error::other)?);
        let name = ServerName::try_from(NOBODY).map_err(io::Error::other)?;
        let stream = self.step(connector.connect(name, stream)).await?;
        let state = stream.get_ref().1;
        record.channel = Some(describe(state.protocol_version(), state.negotiated_cipher_suite()));
        record.certificate = state.peer_certificates().and_then(|chain| chain.first().cloned());
        let mut wire = Wire::new(stream, None);
        if self.tls == ListenerTls::Implicit {
            self.step(wire.answer()).await?;
        }
        self.say(&mut wire, &hello()).await?;
        self.claim(&mut wire, domains, record).await
    }

    /// A connection on which a handshake comes next.
    async fn begin_tls(&self) -> io::Result<TcpStream> {
        let mut wire = Wire::new(self.connect().await?, None);
        if self.tls == ListenerTls::Implicit {
            return Ok(wire.into_inner());
        }
        self.step(wire.answer()).await?;
        self.say(&mut wire, &hello()).await?;
        let answer = self.say(&mut wire, "STARTTLS\r\n").await?;
        if answer.code != 220 {
            let said = format!("STARTTLS was answered {} {}", answer.code, answer.text);
            return Err(io::Error::other(said));
        }
        Ok(wire.into_inner())
    }

    /// MAIL FROM in the name of each domain. What is accepted is reset at once.
    async fn claim<S>(
        &self,
        wire: &mut Wire<S>,
        domains: &[Domain],
        record: &mut VisitRecord,
    ) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        for domain in domains {
            let answer = self.say(wire, &format!("MAIL FROM:<{LOCAL_PART}@{domain}>\r\n")).await?;
            let accepted = answer.code < 400;
            record.answers.push(answer);
            if accepted {
                self.say(wire, "RSET\r\n").await?;
            }
        }
        self.say(wire, "QUIT\r\n").await?;
        wire.close().await
    }

    async fn say<S>(&self, wire: &mut Wire<S>, line: &str) -> io::Result<Answer>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.step(wire.send(line)).await?;
        self.step(wire.answer()).await
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let v4 = self.address.is_ipv4();
        let socket = if v4 { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind(self.source)?;
        // Nobody else can have this port now. A daemon that does not hear of it refuses all the same.
        if let Err(why) = (self.announcer)(socket.local_addr()?).await {
            tracing::debug!(why, "the daemon does not know of a test");
        }
        let stream = self.step(socket.connect(self.address)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn step<T>(&self, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        timeout(self.patience, step)
            .await
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "there was no answer in time")))
    }
}

fn hello() -> String {
    format!("EHLO {NOBODY}\r\n")
}

/// An error in one line that can be shown.
fn words(fault: &io::Error) -> String {
    unmoved(&fault.to_string(), '?').take(300).collect()
}

/// A client that looks at no certificate and presents this one.
fn client_tls(certificate: Option<&CertifiedKey>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        Arc::new(AnyServer { schemes: provider.signature_verification_algorithms.supported_schemes() });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(one) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(one.clone()))),
    };
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// Takes any server: where it is reached says which one it is, and it is shown nothing.
#[derive(Debug)]
struct AnyServer {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
