//! The admin listener: HTTP within limits of connections, octets and time. Where it is reached is in `door`, what is
//! served in `site`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::door::AdminDoor;
use super::settings::AdminSettings;

/// The sockets of the admin listener, bound and not serving yet.
pub struct AdminListener {
    doors: Vec<AdminDoor>,
    /// Where they are.
    pub listening: AdminPlaces,
}

/// Where the admin listener is reached.
#[derive(Debug, Clone, Default)]
pub struct AdminPlaces {
    /// Its addresses, with port 0 resolved.
    pub addresses: Vec<SocketAddr>,
    /// The path of its Unix socket.
    pub socket: Option<PathBuf>,
}

/// An address or a path of the admin listener can't be bound.
#[derive(Debug, thiserror::Error)]
pub enum AdminFault {
    /// An address.
    #[error("[admin] cannot listen on {0}: {1}; see whether another server has the address")]
    Port(SocketAddr, io::Error),
    /// A path.
    #[error("[admin] cannot make the socket {}: {source}; see whether its folder is there and may be written", path.display())]
    Socket {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl AdminListener {
    /// Binds the addresses and the socket. Must be called within the runtime.
    ///
    /// # Errors
    /// The first [`AdminFault`].
    pub fn bind(settings: &AdminSettings) -> Result<Self, AdminFault> {
        let mut doors = Vec::new();
        let mut listening = AdminPlaces { addresses: Vec::new(), socket: settings.socket.clone() };
        for address in &settings.addresses {
            let bound = AdminDoor::at_port(*address);
            let (door, at) = bound.map_err(|fault| AdminFault::Port(*address, fault))?;
            doors.push(door);
            listening.addresses.push(at);
        }
        if let Some(path) = &settings.socket {
            let bound = AdminDoor::at_path(path);
            doors.push(bound.map_err(|source| AdminFault::Socket { path: path.clone(), source })?);
        }
        Ok(Self { doors, listening })
    }

    /// Serves until `stop`: one loop for each socket. The tracker has them and all connections, and is closed already.
    pub fn serve(self, router: &Router, stop: &CancellationToken) -> (TaskTracker, Vec<JoinHandle<()>>) {
        let tracker = TaskTracker::new();
        let gate = Gatekeeper {
            router: router.clone(),
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            tracker: tracker.clone(),
            stop: stop.clone(),
        };
        let loops = self.doors.into_iter().map(|door| tracker.spawn(gate.clone().keep(door))).collect();
        tracker.close();
        (tracker, loops)
    }
}

/// What the loops share.
#[derive(Clone)]
struct Gatekeeper {
    router: Router,
    places: Arc<Semaphore>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Gatekeeper {
    async fn keep(self, door: AdminDoor) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = door.accept() => accepted,
            };
            let Ok(stream) = accepted else {
                // No descriptor is left, or the client is gone.
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = tokio::time::sleep(BACK_OFF) => continue,
                }
            };
            // Whoever finds no place is closed at once: mail needs the descriptors.
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { continue };
            let (router, stop) = (self.router.clone(), self.stop.clone());
            self.tracker.spawn(async move {
                serve(stream, router, stop).await;
                drop(place);
            });
        }
    }
}

/// One request and its answer. A client that is slow, in either direction, is cut off.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    stop: CancellationToken,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME_MAX);
    http.max_headers(HEADERS_MAX).max_buf_size(BUFFER_BYTES_MAX).keep_alive(false).half_close(false);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::select! {
        () = stop.cancelled() => {}
        done = tokio::time::timeout(CONNECTION_TIME_MAX, connection) => match done {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => tracing::debug!(%fault, "a connection to the admin listener"),
            Err(_) => tracing::debug!("a client of the admin listener was too slow"),
        },
    }
}

const CONNECTIONS_MAX: usize = 64;
const HEADERS_MAX: usize = 64;
/// Octets of a request's header section; the least that the library takes is 8 KiB.
const BUFFER_BYTES_MAX: usize = 16 << 10;
const HEADER_TIME_MAX: Duration = Duration::from_secs(5);
/// From the connection to the end of the answer.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(30);
/// Pause after a failed accept.
const BACK_OFF: Duration = Duration::from_millis(100);
