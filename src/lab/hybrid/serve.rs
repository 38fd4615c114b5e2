//! The sockets of a stand-in: it accepts connections, behaves as the switches say, and records what it
//! saw.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::dialogue::{HostDialogue, HostMessage, HostTurn};
use super::dress;
use super::faults::HostTrouble;
use super::fields::SplitMessage;
use super::hosts::LabHost;
use super::identities::HostTls;
use super::ledger::{HostArrival, Ledger};
use super::relay::{HandedOn, onward};
use super::switches::Follower;
use super::tls11;
use super::treat::{SeenClient, treat};
use crate::lab::partner::channel_text;
use crate::lab::wire::{ClearListener, Wire};
use crate::mail::{Clock, rfc5322};

/// A stand-in, shared by its sessions.
pub(super) struct HostServer {
    pub(super) host: LabHost,
    pub(super) tls: Arc<HostTls>,
    pub(super) ledger: Arc<Ledger>,
    /// Takes what the host sends on.
    pub(super) relay: mpsc::Sender<HandedOn>,
}

struct HostEar {
    host: LabHost,
    ledger: Arc<Ledger>,
}

impl ClearListener for HostEar {
    fn hear(&self, octets: &[u8]) {
        self.ledger.heard_in_clear(self.host, octets);
    }
}

/// Whether a dialogue goes on inside TLS.
#[derive(PartialEq, Eq)]
enum Converse {
    StartTls,
    Over,
}

impl HostServer {
    /// Serves connections until the future is dropped.
    ///
    /// # Errors
    /// The port was lost while nothing listened.
    pub(super) async fn serve(self, socket: TcpSocket, mut follower: Follower) -> io::Result<()> {
        let (server, address) = (Arc::new(self), socket.local_addr()?);
        let (mut socket, mut listener) = (Some(socket), None::<TcpListener>);
        loop {
            let (turn, troubles) = follower.troubles();
            let troubles = Arc::new(troubles);
            if troubles.contains(&HostTrouble::ConnectionRefused) {
                // Bound and not listening: connections are refused, and nobody else takes the port.
                drop(listener.take());
                socket = match socket {
                    Some(socket) => Some(socket),
                    None => Some(bound(address)?),
                };
            } else if let Some(socket) = socket.take() {
                listener = Some(socket.listen(BACKLOG)?);
            }
            follower.done(turn);
            // Connections of another behaviour end here.
            let mut sessions = JoinSet::new();
            loop {
                tokio::select! {
                    () = follower.changed() => break,
                    accepted = accept(listener.as_ref()) => {
                        let Ok((stream, _)) = accepted else { continue };
                        while sessions.len() >= SESSIONS_MAX {
                            sessions.join_next().await;
                        }
                        while sessions.try_join_next().is_some() {}
                        let (server, troubles) = (Arc::clone(&server), Arc::clone(&troubles));
                        sessions.spawn(async move {
                            // A session that fails is the client's problem: the ledger has what matters.
                            timeout(SESSION_WAIT, server.session(stream, troubles)).await.ok();
                        });
                    }
                }
            }
            sessions.shutdown().await;
        }
    }

    async fn session(&self, stream: TcpStream, troubles: Arc<BTreeSet<HostTrouble>>) -> io::Result<()> {
        if troubles.contains(&HostTrouble::Slow) {
            let _heard = stream.take(SLOW_BYTES_MAX).read_to_end(&mut Vec::new()).await?;
            return Ok(());
        }
        let SocketAddr::V4(peer) = stream.peer_addr()? else { return Ok(()) };
        let (peer, ear) = (*peer.ip(), HostEar { host: self.host, ledger: Arc::clone(&self.ledger) });
        let mut wire = Wire::new(stream, Some(Arc::new(ear)));
        let greeting = self.host.greeting(&rfc5322(Clock::wall()));
        wire.send(format!("220 {greeting}\r\n")).await?;
        let mut dialogue = self.dialogue(&troubles, peer, SeenClient::default());
        if self.converse(&mut wire, &mut dialogue, &troubles).await? == Converse::Over {
            return wire.close().await;
        }
        let mut stream = wire.into_inner();
        if troubles.contains(&HostTrouble::Tls11Only) {
            return tls11::answer(&mut stream).await;
        }
        let Some(config) = self.tls.server(&troubles) else { return Ok(()) };
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let connection = stream.get_ref().1;
        let client = SeenClient {
            channel: Some(channel_text(connection)),
            certificate: connection.peer_certificates().map(|chain| self.tls.names(chain)),
        };
        let mut dialogue = self.dialogue(&troubles, peer, client);
        let mut wire = Wire::new(stream, None);
        self.converse(&mut wire, &mut dialogue, &troubles).await?;
        wire.close().await
    }

    fn dialogue(
        &self,
        troubles: &Arc<BTreeSet<HostTrouble>>,
        peer: Ipv4Addr,
        client: SeenClient,
    ) -> HostDialogue {
        HostDialogue::new(self.host, Arc::clone(troubles), Arc::clone(&self.ledger), (peer, client))
    }

    async fn converse<S>(
        &self,
        wire: &mut Wire<S>,
        dialogue: &mut HostDialogue,
        troubles: &BTreeSet<HostTrouble>,
    ) -> io::Result<Converse>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        while let Some(line) = wire.text().await? {
            let (reply, message) = match dialogue.line(&line) {
                HostTurn::Say(reply) => (reply, None),
                HostTurn::Close(reply) => {
                    wire.send(reply).await?;
                    return Ok(Converse::Over);
                }
                HostTurn::StartTls(reply) => {
                    wire.send(reply).await?;
                    return Ok(Converse::StartTls);
                }
                HostTurn::Content(reply) => {
                    wire.send(reply).await?;
                    let Some(content) = wire.content(self.host.size_max()).await? else { break };
                    dialogue.part(&content, true)
                }
                HostTurn::Chunk(octets, last) => {
                    let part = wire.exactly(octets).await?;
                    dialogue.part(&part, last)
                }
            };
            // What is acknowledged must be on record.
            let onward = message.map(|message| self.take(message, dialogue.client(), troubles));
            wire.send(reply).await?;
            for message in onward.into_iter().flatten() {
                // Nobody takes it any more only when the lab ends.
                self.relay.send(message).await.ok();
            }
        }
        Ok(Converse::Over)
    }

    /// Records a message, and returns what the host sends on.
    fn take(
        &self,
        message: HostMessage,
        client: &SeenClient,
        troubles: &BTreeSet<HostTrouble>,
    ) -> Vec<HandedOn> {
        let (envelope, content) = (message.envelope, message.content);
        let mut split = SplitMessage::parse(&content);
        if troubles.contains(&HostTrouble::HeadersStripped) {
            split = dress::stripped(split);
        }
        let treatment = self
            .host
            .is_exchange()
            .then(|| treat(split, client, envelope.originator.as_deref(), self.host.name()));
        let onward = treatment.as_ref().map(|treatment| onward(self.host, &envelope, treatment));
        self.ledger.arrived(HostArrival {
            host: self.host,
            content,
            channel: client.channel.clone(),
            treatment,
        });
        onward.unwrap_or_default()
    }
}

/// The next connection; none while nothing listens.
pub(in crate::lab) async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// A socket for this address that does not listen yet. Connections that ended a moment ago don't matter.
pub(in crate::lab) fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

const BACKLOG: u32 = 128;
const SLOW_BYTES_MAX: u64 = 64 * 1024;
const SESSIONS_MAX: usize = 64;
const SESSION_WAIT: Duration = Duration::from_secs(60);
