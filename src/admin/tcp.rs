//! The admin listener: HTTP on loopback, within limits of connections, octets and time. What is served is in `site`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The sockets of the admin listener, bound and not serving yet.
pub struct AdminListener {
    sockets: Vec<TcpListener>,
    /// Their addresses, with port 0 resolved.
    pub listening: Vec<SocketAddr>,
}

/// An address of the admin listener can't be bound.
#[derive(Debug, thiserror::Error)]
#[error("[admin] cannot listen on {address}: {source}; see whether another server has the address")]
pub struct AdminFault {
    address: SocketAddr,
    source: io::Error,
}

impl AdminListener {
    /// Binds the addresses. Must be called within the runtime.
    ///
    /// # Errors
    /// The first [`AdminFault`].
    pub fn bind(addresses: &[SocketAddr]) -> Result<Self, AdminFault> {
        let (mut sockets, mut listening) = (Vec::new(), Vec::new());
        for address in addresses {
            let (socket, at) = open(*address).map_err(|source| AdminFault { address: *address, source })?;
            sockets.push(socket);
            listening.push(at);
        }
        Ok(Self { sockets, listening })
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
        let loops = self.sockets.into_iter().map(|socket| tracker.spawn(gate.clone().keep(socket))).collect();
        tracker.close();
        (tracker, loops)
    }
}

fn open(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    // It sets SO_REUSEADDR, so a restart does not wait for connections of the last run.
    let socket = std::net::TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    let at = socket.local_addr()?;
    Ok((TcpListener::from_std(socket)?, at))
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
    async fn keep(self, socket: TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = socket.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
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
async fn serve(stream: TcpStream, router: Router, stop: CancellationToken) {
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
