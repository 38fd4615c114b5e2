//! A mail server of the tour: a stand-in that breaks and recovers while it runs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::capture::Capture;
use super::super::hybrid::faults::HostTrouble;
use super::super::hybrid::{accept, bound};
use super::super::partner::LabPartner;
use super::super::plan::Behaviour;

/// What is wrong with a host now, if anything.
pub(super) type TroubleSwitch = watch::Sender<Option<HostTrouble>>;

/// A mail server.
pub(super) struct TourHost {
    pub(super) name: String,
    /// Its end of TLS, as it should be and with each certificate that it should not have; `None`: it has none.
    pub(super) tls: Option<HostCertificates<Arc<ServerConfig>>>,
}

/// What a host presents.
#[derive(Clone)]
pub(super) struct HostCertificates<T> {
    pub(super) good: T,
    pub(super) expired: T,
    pub(super) misnamed: T,
}

impl<T> HostCertificates<T> {
    /// What it presents in this trouble.
    pub(super) fn presented(&self, trouble: Option<HostTrouble>) -> &T {
        if trouble == Some(HostTrouble::CertificateExpired) {
            &self.expired
        } else if trouble == Some(HostTrouble::WrongCertificate) {
            &self.misnamed
        } else {
            &self.good
        }
    }
}

impl TourHost {
    /// Serves connections until the future is dropped. Those of before a switch end with it.
    ///
    /// # Errors
    /// The port was lost while nothing listened.
    pub(super) async fn serve(
        self,
        socket: TcpSocket,
        mut switch: watch::Receiver<Option<HostTrouble>>,
    ) -> io::Result<()> {
        let address = socket.local_addr()?;
        let (mut socket, mut listener) = (Some(socket), None::<TcpListener>);
        loop {
            let trouble = *switch.borrow_and_update();
            if trouble == Some(HostTrouble::ConnectionRefused) {
                // Bound and not listening: connections are refused, and nobody else takes the port.
                drop(listener.take());
                if socket.is_none() {
                    socket = Some(bound(address)?);
                }
            } else if let Some(socket) = socket.take() {
                listener = Some(socket.listen(BACKLOG)?);
            }
            let partner = Arc::new(self.partner(trouble));
            let mut sessions = JoinSet::new();
            loop {
                tokio::select! {
                    changed = switch.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return Ok(()),
                    },
                    accepted = accept(listener.as_ref()) => {
                        let Ok((stream, _)) = accepted else { continue };
                        while sessions.len() >= SESSIONS_MAX {
                            sessions.join_next().await;
                        }
                        while sessions.try_join_next().is_some() {}
                        let partner = Arc::clone(&partner);
                        sessions.spawn(async move {
                            // A session that fails is the client's problem.
                            timeout(SESSION_WAIT, session(&partner, stream, trouble)).await.ok();
                        });
                    }
                }
            }
            sessions.shutdown().await;
        }
    }

    fn partner(&self, trouble: Option<HostTrouble>) -> LabPartner {
        let tls = self.tls.as_ref().filter(|_| trouble != Some(HostTrouble::NoStartTls));
        LabPartner {
            name: self.name.clone(),
            behaviour: if tls.is_some() { Behaviour::Good } else { Behaviour::NoStartTls },
            tls: tls.map(|tls| Arc::clone(tls.presented(trouble))),
            // Nobody asks what came, and the tour goes on for as long as somebody likes.
            capture: Arc::new(Capture::forgetful()),
        }
    }
}

async fn session(partner: &LabPartner, stream: TcpStream, trouble: Option<HostTrouble>) -> io::Result<()> {
    if trouble == Some(HostTrouble::Slow) {
        let _heard = stream.take(SLOW_BYTES_MAX).read_to_end(&mut Vec::new()).await?;
        return Ok(());
    }
    partner.session(stream).await
}

const BACKLOG: u32 = 128;
const SESSIONS_MAX: usize = 64;
const SESSION_WAIT: Duration = Duration::from_secs(60);
const SLOW_BYTES_MAX: u64 = 64 * 1024;
