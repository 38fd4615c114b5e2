//! The hostile server: on loopback, it behaves as it is asked to, accepts whatever it is sent, and records what that
//! was. No content is kept, and no password.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::manner::HostManner;
use super::transcript::{ChannelKind, HostTranscript};
use crate::connector::Handshake;
use crate::lab::wire::Wire;

/// A server that is running.
pub(super) struct HostileServer {
    pub(super) address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    transcript: Arc<Mutex<HostTranscript>>,
}

/// How a server behaves.
pub(super) struct HostScript {
    pub(super) manner: HostManner,
    pub(super) handshake: Handshake,
    pub(super) tls: Arc<rustls::ServerConfig>,
}

struct HostileHost {
    script: HostScript,
    transcript: Arc<Mutex<HostTranscript>>,
}

/// How a dialogue ended.
#[derive(PartialEq, Eq)]
enum DialogueEnd {
    StartTls,
    Over,
}

impl HostileServer {
    /// Starts a server on a free port of the loopback address.
    pub(super) async fn start(script: HostScript) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let transcript = Arc::new(Mutex::new(HostTranscript::default()));
        let host = Arc::new(HostileHost { script, transcript: Arc::clone(&transcript) });
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(host.serve(listener, stopped));
        Ok(Self { address, stop, served, transcript })
    }

    /// Everything that was sent to it. It waits for the sessions to end: what a sender wrote and did not wait for counts
    /// too.
    pub(super) async fn transcript(self) -> HostTranscript {
        // Nobody listens if the server has ended by itself.
        let _ended = self.stop.send(());
        let _joined = self.served.await;
        self.transcript.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl HostileHost {
    async fn serve(self: Arc<Self>, listener: TcpListener, mut stopped: oneshot::Receiver<()>) {
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else { break };
                    self.begin(stream, &mut sessions);
                }
                _ = &mut stopped => break,
            }
        }
        // Connections that were made and not accepted yet.
        while let Some(Ok((stream, _))) = listener.accept().now_or_never() {
            self.begin(stream, &mut sessions);
        }
        while sessions.join_next().await.is_some() {}
    }

    fn begin(self: &Arc<Self>, stream: TcpStream, sessions: &mut JoinSet<()>) {
        let host = Arc::clone(self);
        self.note(|seen| seen.connections = seen.connections.saturating_add(1));
        sessions.spawn(async move {
            // A session that fails is what is tested; the transcript has what matters.
            let _done = timeout(SESSION_WAIT, host.session(stream)).await;
        });
    }

    fn note(&self, change: impl FnOnce(&mut HostTranscript)) {
        change(&mut self.transcript.lock().unwrap_or_else(PoisonError::into_inner));
    }

    async fn session(&self, stream: TcpStream) -> io::Result<()> {
        if self.script.handshake == Handshake::Implicit && self.script.manner != HostManner::NoTls {
            return self.seal(stream).await;
        }
        let mut wire = Wire::new(stream, None);
        wire.send(GREETING).await?;
        if self.converse(&mut wire, ChannelKind::Plaintext).await? == DialogueEnd::Over {
            return wire.close().await;
        }
        self.seal(wire.into_inner()).await
    }

    /// The handshake, and what follows.
    async fn seal(&self, mut stream: TcpStream) -> io::Result<()> {
        let answer: &[u8] = match self.script.manner {
            HostManner::CutsHandshake => &[],
            HostManner::Alerts => &HANDSHAKE_FAILURE,
            HostManner::OldTls => &PROTOCOL_VERSION,
            HostManner::NotTls => b"500 5.5.1 what is that?\r\n",
            HostManner::Right
            | HostManner::NoTls
            | HostManner::Refuses454
            | HostManner::Refuses502
            | HostManner::RefusesAndCloses
            | HostManner::NoEhlo
            | HostManner::Injects
            | HostManner::Tls12Only
            | HostManner::ClassicOnly
            | HostManner::OutsideProfile
            | HostManner::CutsSession
            | HostManner::Shows(_) => return self.serve_tls(stream).await,
        };
        // What the client begins with is read first: an end before that would be a reset.
        let _hello = stream.read(&mut [0; 4096]).await?;
        stream.write_all(answer).await?;
        if answer.is_empty() {
            return stream.shutdown().await;
        }
        self.listen(Wire::new(stream, None)).await
    }

    async fn serve_tls(&self, stream: TcpStream) -> io::Result<()> {
        let stream = TlsAcceptor::from(Arc::clone(&self.script.tls)).accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates().is_some_and(|chain| !chain.is_empty());
        self.note(|seen| {
            seen.handshakes = seen.handshakes.saturating_add(1);
            seen.client_certificate |= shown;
        });
        let mut wire = Wire::new(stream, None);
        if self.script.handshake == Handshake::Implicit {
            wire.send(GREETING).await?;
        }
        let _end = self.converse(&mut wire, ChannelKind::Tls).await?;
        wire.close().await
    }

    /// Answers commands, and takes whatever comes.
    async fn converse<S>(&self, wire: &mut Wire<S>, channel: ChannelKind) -> io::Result<DialogueEnd>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let manner = self.script.manner;
        while let Some(line) = wire.text().await? {
            let verb = HostTranscript::verb(&line);
            self.note(|seen| seen.heard(verb, channel));
            let reply = match verb {
                "EHLO" if manner == HostManner::NoEhlo && channel == ChannelKind::Plaintext => {
                    "502 5.5.1 not here\r\n"
                }
                "EHLO" if manner == HostManner::CutsSession && channel == ChannelKind::Tls => {
                    return Ok(DialogueEnd::Over);
                }
                "EHLO" if channel == ChannelKind::Plaintext && manner != HostManner::NoTls => OFFER_STARTTLS,
                "EHLO" => OFFER,
                "STARTTLS" if channel == ChannelKind::Plaintext => match manner {
                    HostManner::Refuses454 => "454 4.7.0 TLS is not available\r\n",
                    HostManner::Refuses502 | HostManner::NoTls => "502 5.5.1 no TLS here\r\n",
                    HostManner::RefusesAndCloses => {
                        wire.send("421 4.7.0 closing\r\n").await?;
                        return Ok(DialogueEnd::Over);
                    }
                    HostManner::Injects => {
                        wire.send("220 2.0.0 go ahead\r\n250 2.0.0 injected\r\n").await?;
                        return Ok(DialogueEnd::StartTls);
                    }
                    HostManner::Right
                    | HostManner::NoEhlo
                    | HostManner::NotTls
                    | HostManner::CutsHandshake
                    | HostManner::Alerts
                    | HostManner::OldTls
                    | HostManner::Tls12Only
                    | HostManner::ClassicOnly
                    | HostManner::OutsideProfile
                    | HostManner::CutsSession
                    | HostManner::Shows(_) => {
                        wire.send("220 2.0.0 go ahead\r\n").await?;
                        return Ok(DialogueEnd::StartTls);
                    }
                },
                "AUTH" => {
                    self.take_login(wire, &line).await?;
                    "235 2.7.0 welcome\r\n"
                }
                "DATA" => {
                    wire.send("354 go on\r\n").await?;
                    if wire.content(CONTENT_BYTES_MAX).await?.is_none() {
                        return Ok(DialogueEnd::Over);
                    }
                    self.note(|seen| seen.messages = seen.messages.saturating_add(1));
                    "250 2.0.0 taken\r\n"
                }
                "QUIT" => {
                    wire.send("221 2.0.0 bye\r\n").await?;
                    return Ok(DialogueEnd::Over);
                }
                _ => "250 2.0.0 ok\r\n",
            };
            wire.send(reply).await?;
        }
        Ok(DialogueEnd::Over)
    }

    /// Takes a login, whatever it says, and forgets it.
    async fn take_login<S>(&self, wire: &mut Wire<S>, line: &str) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (mechanism, initial) = (words.next().unwrap_or_default(), words.next());
        let asked = match (mechanism.eq_ignore_ascii_case("LOGIN"), initial) {
            (true, None) => 2,
            (true, Some(_)) | (false, None) => 1,
            (false, Some(_)) => 0,
        };
        for _ in 0..asked {
            wire.send("334 \r\n").await?;
            let _forgotten = wire.text().await?;
        }
        Ok(())
    }

    /// Hears what a sender says in plaintext after TLS has failed.
    async fn listen(&self, mut wire: Wire<TcpStream>) -> io::Result<()> {
        while let Some(line) = wire.text().await? {
            self.note(|seen| seen.heard(HostTranscript::verb(&line), ChannelKind::Plaintext));
            wire.send("250 2.0.0 ok\r\n").await?;
        }
        Ok(())
    }
}

const GREETING: &str = "220 hostile.sealpost-assure.invalid ESMTP\r\n";
const OFFER_STARTTLS: &str = "250-hostile.sealpost-assure.invalid\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN XOAUTH2\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n";
const OFFER: &str = "250-hostile.sealpost-assure.invalid\r\n250-AUTH PLAIN LOGIN XOAUTH2\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n";
/// Fatal alerts (RFC 8446 §6.2).
const HANDSHAKE_FAILURE: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];
const PROTOCOL_VERSION: [u8; 7] = [21, 3, 2, 0, 2, 2, 70];
const CONTENT_BYTES_MAX: usize = 1 << 20;
/// Longer than any step of the sender.
const SESSION_WAIT: Duration = Duration::from_secs(15);
