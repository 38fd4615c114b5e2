//! The admin listener: HTTP within limits of connections, octets and time. Where it is reached is in `door`, what is
//! served in `site`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::Request;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::door::AdminDoor;
use super::guests::{GuestBook, GuestStage};
use super::settings::AdminSettings;
use super::site::MonitoringSource;

/// The sockets of the admin listener, bound and not serving yet.
pub struct AdminListener {
    doors: Vec<AdminDoor>,
    /// Where they are.
    pub listening: AdminAddresses,
}

/// Where the admin listener is reached.
#[derive(Debug, Clone, Default)]
pub struct AdminAddresses {
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
    #[error("[admin] cannot make the socket {}: {source}; {}", path.display(), advice(source))]
    Socket {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What to do where a socket can't be made.
fn advice(fault: &io::Error) -> &'static str {
    if fault.kind() == io::ErrorKind::AddrInUse {
        "end that process, or choose another path"
    } else if fault.kind() == io::ErrorKind::AlreadyExists {
        "remove it, or choose another path"
    } else {
        "its folder must be there, and the daemon's user must be able to write it"
    }
}

impl AdminListener {
    /// Binds the addresses and the socket. Must be called within the runtime.
    ///
    /// # Errors
    /// The first [`AdminFault`].
    pub fn bind(settings: &AdminSettings) -> Result<Self, AdminFault> {
        let mut doors = Vec::new();
        let mut listening = AdminAddresses { addresses: Vec::new(), socket: settings.socket.clone() };
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
    pub fn serve(
        self,
        router: &Router,
        monitored: &Arc<dyn MonitoringSource>,
        stop: &CancellationToken,
    ) -> (TaskTracker, Vec<JoinHandle<()>>) {
        let tracker = TaskTracker::new();
        let gate = Gatekeeper {
            router: router.clone(),
            monitored: Arc::clone(monitored),
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            book: Arc::new(Mutex::new(GuestBook::new())),
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
    monitored: Arc<dyn MonitoringSource>,
    places: Arc<Semaphore>,
    book: SharedBook,
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
            let Some(place) = self.place().await else { continue };
            let (router, end) = (self.router.clone(), self.stop.child_token());
            let number = lock(&self.book).enter(Instant::now(), end.clone());
            let guest = Arc::new(AdminGuest { number, book: Arc::clone(&self.book) });
            self.tracker.spawn(async move {
                serve(stream, router, (guest, end)).await;
                drop(place);
            });
        }
    }

    /// A place for a connection. If all are taken, whoever has not sent a whole request gives way, so that nobody keeps others out
    /// by saying nothing, and then whoever does not read the answer. `None`: all are being answered, and the new one is closed at
    /// once, as mail needs the descriptors.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        self.monitored.crowded();
        let displaced = lock(&self.book).displace(Instant::now())?;
        displaced.cancel();
        tokio::select! {
            () = self.stop.cancelled() => None,
            place = Arc::clone(&self.places).acquire_owned() => place.ok(),
        }
    }
}

type SharedBook = Arc<Mutex<GuestBook<CancellationToken>>>;

/// A connection, in the book until it is dropped.
struct AdminGuest {
    number: u64,
    book: SharedBook,
}

impl AdminGuest {
    fn reach(&self, stage: GuestStage) {
        lock(&self.book).reach(self.number, Instant::now(), stage);
    }
}

impl Drop for AdminGuest {
    fn drop(&mut self) {
        lock(&self.book).leave(self.number);
    }
}

fn lock(book: &SharedBook) -> MutexGuard<'_, GuestBook<CancellationToken>> {
    // Each change is complete even if the thread that made it panicked later.
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The body of a request, which tells the book when nobody wants more of it: a handler that has what it needs drops it, and
/// carries the request out.
struct HeardBody {
    body: Incoming,
    guest: Arc<AdminGuest>,
}

impl HeardBody {
    fn new(body: Incoming, guest: Arc<AdminGuest>) -> Self {
        guest.reach(if body.is_end_stream() { GuestStage::Heard } else { GuestStage::Sending });
        Self { body, guest }
    }
}

impl Drop for HeardBody {
    fn drop(&mut self) {
        self.guest.reach(GuestStage::Heard);
    }
}

impl Body for HeardBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// One request and its answer. A client that is slow, in either direction, is cut off.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    (guest, end): (Arc<AdminGuest>, CancellationToken),
) {
    let routes = TowerToHyperService::new(router);
    let service = service_fn(|request: Request<Incoming>| {
        let answer = routes.call(request.map(|body| HeardBody::new(body, Arc::clone(&guest))));
        async {
            let answer = answer.await;
            guest.reach(GuestStage::Answered);
            answer
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME_MAX);
    http.max_headers(HEADERS_MAX).max_buf_size(BUFFER_BYTES_MAX).keep_alive(false).half_close(false);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = end.cancelled() => {}
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
