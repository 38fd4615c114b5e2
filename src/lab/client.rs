//! A client that submits one message to the gateway and records the replies.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::fault::LabFault;
use super::mint::Leaf;
use super::partner::describe;
use super::wire::{Answer, Wire};

/// One message to submit.
#[derive(Clone)]
pub struct Submission {
    /// The source address of the connection.
    pub source: Ipv4Addr,
    /// The address to connect to.
    pub gateway: SocketAddr,
    /// The name given in EHLO.
    pub helo: String,
    /// The client's end of TLS; `None`: it stays in plaintext.
    pub tls: Option<ClientTls>,
    /// The reverse-path.
    pub from: String,
    /// The only forward-path.
    pub to: String,
    /// The content with CRLF line ends, not dot-stuffed.
    pub content: Vec<u8>,
    /// The organisation to name by XOORG, if the gateway offers it.
    pub originator: Option<String>,
}

/// A client's end of TLS.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
    shown: String,
}

/// The result of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmissionResult {
    /// Reply code of the first rejection, or of the reply after the content.
    pub code: u16,
    /// Text of that reply.
    pub text: String,
    /// TLS version and suite of the session, or that it was in plaintext, as the client saw it.
    pub channel: String,
}

impl ClientTls {
    /// Trusts one authority, expects one name, and presents a certificate or none.
    ///
    /// # Errors
    /// The rustls error about certificate, key or name.
    pub fn new(
        root: CertificateDer<'static>,
        server: &str,
        shown: Option<(&str, Leaf)>,
    ) -> Result<Self, LabFault> {
        let mut roots = RootCertStore::empty();
        roots.add(root)?;
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let (config, shown) = match shown {
            None => (builder.with_no_client_auth(), "no certificate".to_owned()),
            Some((name, leaf)) => {
                (builder.with_client_auth_cert(leaf.chain, leaf.key)?, format!("certificate {name}"))
            }
        };
        let server =
            ServerName::try_from(server.to_owned()).map_err(|_| LabFault::Name(server.to_owned()))?;
        Ok(Self { config: Arc::new(config), server, shown })
    }
}

impl SubmissionResult {
    /// Whether the gateway accepted the message.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.code == 250
    }

    /// Reply code and text, as one string.
    #[must_use]
    pub fn reply(&self) -> String {
        format!("{} {}", self.code, self.text)
    }
}

impl Submission {
    /// Submits the message.
    ///
    /// # Errors
    /// A connection or handshake that failed, or a gateway that does not reply in time.
    pub async fn send(&self) -> io::Result<SubmissionResult> {
        timeout(SUBMISSION_WAIT, self.hand_over())
            .await
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no reply in time")))
    }

    async fn hand_over(&self) -> io::Result<SubmissionResult> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((self.source, 0)))?;
        let mut wire = Wire::new(socket.connect(self.gateway).await?, None);
        let clear = "plaintext".to_owned();
        let greeting = wire.answer().await?;
        if greeting.code != 220 {
            return Ok(handed(greeting, clear));
        }
        let Some(tls) = &self.tls else { return self.transaction(&mut wire, clear).await };
        let answer = ask(&mut wire, &format!("EHLO {}\r\n", self.helo)).await?;
        if answer.code != 250 {
            return Ok(handed(answer, clear));
        }
        let answer = ask(&mut wire, "STARTTLS\r\n").await?;
        if answer.code != 220 {
            return Ok(handed(answer, clear));
        }
        let (mut wire, channel) = upgrade(wire, tls).await?;
        self.transaction(&mut wire, channel).await
    }

    async fn transaction<S>(&self, wire: &mut Wire<S>, channel: String) -> io::Result<SubmissionResult>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let answer = ask(wire, &format!("EHLO {}\r\n", self.helo)).await?;
        if answer.code != 250 {
            return Ok(handed(answer, channel));
        }
        let offered = answer.text.split(' ').any(|word| word == "XOORG");
        let originator = self.originator.as_ref().filter(|_| offered);
        let originator = originator.map(|domain| format!(" XOORG={domain}")).unwrap_or_default();
        let steps = [
            (format!("MAIL FROM:<{}>{originator}\r\n", self.from), 250),
            (format!("RCPT TO:<{}>\r\n", self.to), 250),
            ("DATA\r\n".to_owned(), 354),
        ];
        for (command, wanted) in steps {
            let answer = ask(wire, &command).await?;
            if answer.code != wanted {
                wire.send("QUIT\r\n").await.ok();
                return Ok(handed(answer, channel));
            }
        }
        wire.send(stuffed(&self.content)).await?;
        let answer = wire.answer().await?;
        wire.send("QUIT\r\n").await.ok();
        Ok(handed(answer, channel))
    }
}

async fn upgrade(
    wire: Wire<TcpStream>,
    tls: &ClientTls,
) -> io::Result<(Wire<tokio_rustls::client::TlsStream<TcpStream>>, String)> {
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    let stream = connector.connect(tls.server.clone(), wire.into_inner()).await?;
    let connection = stream.get_ref().1;
    let channel = describe(connection.protocol_version(), connection.negotiated_cipher_suite());
    Ok((Wire::new(stream, None), format!("{channel}, {}", tls.shown)))
}

async fn ask<S>(wire: &mut Wire<S>, command: &str) -> io::Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    wire.send(command).await?;
    wire.answer().await
}

fn handed(answer: Answer, channel: String) -> SubmissionResult {
    SubmissionResult { code: answer.code, text: answer.text, channel }
}

/// The content in wire form, with the final dot.
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len().saturating_add(64));
    for line in content.split_inclusive(|b| *b == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    out.extend_from_slice(b".\r\n");
    out
}

const SUBMISSION_WAIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
