//! The client side of the stand-ins: it hands messages to the gateway, with what is wrong with the host.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpSocket;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::cases::SenderTls;
use super::faults::{FaultSet, HostTrouble, troubles};
use super::hosts::{INSIDE, LabHost, OUTSIDE};
use super::identities::HostTls;
use super::ledger::Ledger;
use super::marks;
use super::relay::HandedOn;
use super::switches::Switchboard;
use super::tls11;
use crate::lab::client::{Submission, SubmissionResult};
use crate::lab::wire::Wire;

/// The clients of all hosts.
pub(super) struct HostClients {
    pub(super) port: u16,
    pub(super) tls: BTreeMap<LabHost, Arc<HostTls>>,
    /// At most this many at a time.
    pub(super) places: Semaphore,
}

/// One message on its way from a host to the gateway.
pub(super) struct Handover {
    pub(super) host: LabHost,
    pub(super) tls: SenderTls,
    pub(super) reverse_path: String,
    pub(super) forward_path: String,
    pub(super) content: Vec<u8>,
}

impl HostClients {
    /// Hands a message to the gateway while these faults are on.
    ///
    /// # Errors
    /// The connection or the handshake failed.
    pub(super) async fn hand_over(
        &self,
        handover: Handover,
        faults: &FaultSet,
    ) -> io::Result<SubmissionResult> {
        let _place = self.places.acquire().await.map_err(io::Error::other)?;
        let (host, troubles) = (handover.host, troubles(handover.host, faults));
        let shown = self.tls.get(&host);
        let tls = match handover.tls {
            SenderTls::Plaintext => None,
            SenderTls::Anonymous => shown.map(|tls| tls.anonymous()),
            SenderTls::Certificate => shown.and_then(|tls| tls.client(&troubles)),
        };
        let inside = host == LabHost::Onprem;
        let mut submission = Submission {
            source: host.address(),
            gateway: SocketAddr::from((if inside { INSIDE } else { OUTSIDE }, self.port)),
            helo: host.name().to_owned(),
            tls,
            from: handover.reverse_path,
            to: handover.forward_path,
            originator: marks::originator(&handover.content),
            content: handover.content,
        };
        if troubles.contains(&HostTrouble::Tls11Only) && handover.tls != SenderTls::Plaintext {
            let fault = old_tls(&submission).await?;
            if handover.tls == SenderTls::Certificate {
                return Err(io::Error::other(fault));
            }
            // A server of the internet comes back in plaintext.
            submission.tls = None;
        }
        submission.send().await
    }

    /// Hands on what Exchange Server sends, until no stand-in is left.
    pub(super) async fn relay(
        self: Arc<Self>,
        mut messages: mpsc::Receiver<HandedOn>,
        (board, ledger): (Arc<Switchboard>, Arc<Ledger>),
    ) {
        let mut sessions = JoinSet::new();
        while let Some(message) = messages.recv().await {
            while sessions.try_join_next().is_some() {}
            let (clients, ledger, faults) = (Arc::clone(&self), Arc::clone(&ledger), board.faults());
            sessions.spawn(async move {
                let content = message.message.octets();
                let case = marks::case_of(&content).map(|(case, _)| case.id);
                let handover = Handover {
                    host: LabHost::Onprem,
                    tls: SenderTls::Certificate,
                    reverse_path: message.reverse_path,
                    forward_path: message.forward_path,
                    content,
                };
                let reply = match clients.hand_over(handover, &faults).await {
                    Ok(handed) if handed.is_accepted() => return,
                    Ok(handed) => handed.reply(),
                    Err(fault) => fault.to_string(),
                };
                if let Some(case) = case {
                    ledger.stuck(case, &reply);
                }
            });
        }
    }
}

/// A handshake with TLS 1.1, and how it was refused.
async fn old_tls(submission: &Submission) -> io::Result<String> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((submission.source, 0).into())?;
    let mut wire = Wire::new(socket.connect(submission.gateway).await?, None);
    wire.answer().await?;
    for command in [format!("EHLO {}\r\n", submission.helo), "STARTTLS\r\n".to_owned()] {
        wire.send(command).await?;
        wire.answer().await?;
    }
    Ok(tls11::ask(&mut wire.into_inner(), tls11::OldTlsVersion::V11).await?.to_string())
}
