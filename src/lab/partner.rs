//! A stand-in for a partner's mail server: some behave, some misbehave. It relays nothing: what it
//! accepts stays in its [`Capture`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::capture::{AcceptedMessage, Capture};
use super::fault::LabFault;
use super::mint::Leaf;
use super::plan::Behaviour;
use super::wire::Wire;

/// One stand-in, shared by its sessions.
pub struct LabPartner {
    /// The name given in its greeting.
    pub name: String,
    /// How it behaves.
    pub behaviour: Behaviour,
    /// Its end of TLS; `None` if it has none.
    pub tls: Option<Arc<ServerConfig>>,
    /// The record of what it saw.
    pub capture: Arc<Capture>,
}

/// The TLS configuration of a stand-in.
///
/// # Errors
/// The rustls error about certificate, key or authority.
pub fn server_tls(
    shown: Leaf,
    clients_by: Option<CertificateDer<'static>>,
) -> Result<Arc<ServerConfig>, LabFault> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match clients_by {
        None => builder.with_no_client_auth(),
        Some(root) => {
            let mut roots = RootCertStore::empty();
            roots.add(root)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    Ok(Arc::new(builder.with_single_cert(shown.chain, shown.key)?))
}

impl LabPartner {
    /// Serves connections until the future is dropped.
    pub async fn serve(self, listener: TcpListener) {
        let partner = Arc::new(self);
        let mut sessions = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            // In a lab it is better to delay new sessions than to have no bound.
            while sessions.len() >= SESSIONS_MAX {
                sessions.join_next().await;
            }
            while sessions.try_join_next().is_some() {}
            let partner = Arc::clone(&partner);
            sessions.spawn(async move {
                // A session that fails or stalls is the client's problem: the capture has what
                // matters.
                timeout(SESSION_WAIT, partner.session(stream)).await.ok();
            });
        }
    }

    /// Answers one connection.
    pub(super) async fn session(&self, stream: TcpStream) -> io::Result<()> {
        let mut wire = Wire::new(stream, Some(self.capture.clone()));
        wire.send(format!("220 {} ESMTP stand-in\r\n", self.name)).await?;
        if self.converse(&mut wire, None).await? == End::Closed {
            return wire.close().await;
        }
        let mut stream = wire.into_inner();
        let tls = match (&self.tls, self.behaviour) {
            (
                Some(tls),
                Behaviour::Good | Behaviour::DemandsClientCertificate | Behaviour::RefusesRecipients,
            ) => Arc::clone(tls),
            (None, _) | (_, Behaviour::NoStartTls | Behaviour::BreaksHandshake | Behaviour::Down) => {
                return talk_nonsense(&mut stream, &self.capture).await;
            }
        };
        let stream = TlsAcceptor::from(tls).accept(stream).await?;
        let channel = channel_text(stream.get_ref().1);
        let mut wire = Wire::new(stream, None);
        self.converse(&mut wire, Some(&channel)).await?;
        wire.close().await
    }

    /// Answers commands until the client quits or starts TLS.
    async fn converse<S>(&self, wire: &mut Wire<S>, tls: Option<&str>) -> io::Result<End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let offers = tls.is_none() && self.behaviour != Behaviour::NoStartTls;
        let mut envelope = SeenEnvelope::default();
        while let Some(line) = wire.text().await? {
            let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            let reply = match verb.as_str() {
                "EHLO" => {
                    envelope = SeenEnvelope::default();
                    self.capabilities(offers)
                }
                "STARTTLS" if offers => {
                    wire.send("220 2.0.0 go ahead\r\n").await?;
                    return Ok(End::StartTls);
                }
                "QUIT" => {
                    wire.send("221 2.0.0 bye\r\n").await?;
                    return Ok(End::Closed);
                }
                "DATA" if envelope.is_complete() => {
                    wire.send("354 go on\r\n").await?;
                    let Some(content) = wire.content(CONTENT_BYTES_MAX).await? else {
                        return Ok(End::Closed);
                    };
                    self.take(std::mem::take(&mut envelope), content, tls)
                }
                "MAIL" | "RCPT" | "RSET" | "NOOP" | "HELO" => self.envelope_step(&mut envelope, &verb, &line),
                _ => "503 5.5.1 not now\r\n".to_owned(),
            };
            wire.send(reply).await?;
        }
        Ok(End::Closed)
    }

    fn capabilities(&self, starttls: bool) -> String {
        let starttls = if starttls { "250-STARTTLS\r\n" } else { "" };
        format!(
            "250-{}\r\n{starttls}250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 10485760\r\n",
            self.name
        )
    }

    fn envelope_step(&self, envelope: &mut SeenEnvelope, verb: &str, line: &str) -> String {
        match (verb, path_of(line)) {
            ("MAIL", Some(path)) => {
                *envelope = SeenEnvelope { reverse_path: Some(path), recipients: Vec::new() };
                "250 2.1.0 ok\r\n".to_owned()
            }
            ("RCPT", Some(path)) if self.behaviour == Behaviour::RefusesRecipients => {
                let reply = format!("550 5.1.1 <{path}> no such user here\r\n");
                self.capture.refused(path);
                reply
            }
            ("RCPT", Some(path)) if envelope.reverse_path.is_some() => {
                envelope.recipients.push(path);
                "250 2.1.5 ok\r\n".to_owned()
            }
            ("RSET" | "NOOP" | "HELO", _) => {
                *envelope = SeenEnvelope::default();
                "250 2.0.0 ok\r\n".to_owned()
            }
            _ => "501 5.5.4 no path\r\n".to_owned(),
        }
    }

    fn take(&self, envelope: SeenEnvelope, content: Vec<u8>, tls: Option<&str>) -> String {
        self.capture.took(AcceptedMessage {
            reverse_path: envelope.reverse_path.unwrap_or_default(),
            recipients: envelope.recipients,
            content,
            tls: tls.map(str::to_owned),
        });
        "250 2.0.0 taken\r\n".to_owned()
    }
}

/// TLS version and suite of an established session.
pub(super) fn channel_text(connection: &rustls::ServerConnection) -> String {
    describe(connection.protocol_version(), connection.negotiated_cipher_suite())
}

/// TLS version and suite, for either side.
pub(crate) fn describe(
    version: Option<rustls::ProtocolVersion>,
    suite: Option<rustls::SupportedCipherSuite>,
) -> String {
    let version = match version {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3".to_owned(),
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2".to_owned(),
        other => format!("{other:?}"),
    };
    // rustls marks the suites of TLS 1.3; their registered names have no such mark (RFC 8446 §B.4).
    let suite = suite.map(|suite| format!("{:?}", suite.suite()).replacen("TLS13_", "TLS_", 1));
    let suite = suite.unwrap_or_default();
    format!("{version} {suite}")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    StartTls,
    Closed,
}

#[derive(Debug, Default)]
struct SeenEnvelope {
    reverse_path: Option<String>,
    recipients: Vec<String>,
}

impl SeenEnvelope {
    fn is_complete(&self) -> bool {
        self.reverse_path.is_some() && !self.recipients.is_empty()
    }
}

fn path_of(line: &str) -> Option<String> {
    let (_, rest) = line.split_once('<')?;
    let (path, _) = rest.rsplit_once('>')?;
    Some(path.to_owned())
}

/// Answers the client's first handshake message with something that is not TLS.
async fn talk_nonsense(stream: &mut TcpStream, capture: &Capture) -> io::Result<()> {
    let mut hello = [0_u8; 4096];
    // What the client sent is read first: closing with unread octets would reset the connection and
    // hide the nonsense.
    let _length = stream.read(&mut hello).await?;
    stream.write_all(b"451 4.3.0 something is broken here\r\n").await?;
    stream.shutdown().await?;
    // A client that wrongly continued in plaintext would send its envelope here.
    let mut rest = Vec::new();
    let _length = stream.take(REST_BYTES_MAX).read_to_end(&mut rest).await?;
    capture.heard_in_clear(&rest);
    Ok(())
}

const REST_BYTES_MAX: u64 = 64 * 1024;
const SESSIONS_MAX: usize = 64;
const SESSION_WAIT: Duration = Duration::from_secs(60);
const CONTENT_BYTES_MAX: usize = 10 * 1024 * 1024;
