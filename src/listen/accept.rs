//! Binds listening sockets and accepts sessions within their limits. It does not speak SMTP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain as Family, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ListenerState;
use super::census::Crowd;
use super::converse::converse;
use super::door::Door;
use super::lobby::Lobby;
use super::open_sessions::CountedSession;
use super::settings::{ListenerTls, Settings};
use crate::mail::{Enhanced, Network, Reply};
use crate::smtp::receive::CountedRefusal;
use crate::tracking::Event;

/// A listener bound to its address, not accepting yet.
#[derive(Debug)]
pub struct BoundListener {
    /// The listener's name in the configuration.
    pub name: String,
    /// The bound address, with the actual port.
    pub address: SocketAddr,
    /// Its TLS setting.
    pub tls: ListenerTls,
    socket: std::net::TcpListener,
}

impl BoundListener {
    /// The bare socket, for a caller that only turns clients away.
    pub(super) fn into_socket(self) -> std::net::TcpListener {
        self.socket
    }
}

/// A listener's address could not be bound.
#[derive(Debug, thiserror::Error)]
#[error(
    "listener {name} cannot listen on {address}: {fault}; see whether another server has the address, and \
     whether this user may have the port"
)]
pub struct BindFault {
    /// The listener's name.
    pub name: String,
    /// The address that could not be bound.
    pub address: SocketAddr,
    /// The system's error.
    #[source]
    pub fault: io::Error,
}

/// Binds every listener's addresses; the daemon reports them before any session is accepted.
///
/// # Errors
/// The first [`BindFault`].
pub fn bind(settings: &Settings) -> Result<Vec<BoundListener>, BindFault> {
    let mut bound = Vec::new();
    for listener in &settings.listeners {
        for address in &listener.addresses {
            let (socket, at) = open(*address).map_err(|fault| BindFault {
                name: listener.name.clone(),
                address: *address,
                fault,
            })?;
            bound.push(BoundListener { name: listener.name.clone(), address: at, tls: listener.tls, socket });
        }
    }
    Ok(bound)
}

/// The listeners that are accepting.
#[derive(Debug)]
pub struct ServingListeners {
    /// Tracks every session and loop. It is already closed: its `wait` completes when the last session has
    /// ended, a few seconds after `stop` at most.
    pub sessions: TaskTracker,
    /// One accept loop for each address, and the one that counts omitted log lines. They end on `stop`; one
    /// that ends earlier has panicked, and no more sessions would be accepted.
    pub loops: Vec<JoinHandle<()>>,
}

/// Accepts sessions until `stop`; must be called within the runtime.
///
/// # Errors
/// A [`BindFault`] if the runtime can't take a socket.
pub fn serve(
    bound: Vec<BoundListener>,
    shared: Arc<ListenerState>,
    stop: &CancellationToken,
) -> Result<ServingListeners, BindFault> {
    let tracker = TaskTracker::new();
    let lobby = Lobby::new(&shared.settings.limits);
    let mut loops = Vec::new();
    for one in bound {
        let BoundListener { name, address, tls, socket } = one;
        let listener = TcpListener::from_std(socket).map_err(|fault| BindFault {
            name: name.clone(),
            address,
            fault,
        })?;
        let gate = Gate {
            door: Arc::new(Door::new(name, tls, &shared, &lobby)),
            shared: Arc::clone(&shared),
            tracker: tracker.clone(),
            stop: stop.clone(),
        };
        loops.push(tracker.spawn(gate.keep(listener)));
    }
    loops.push(tracker.spawn(lobby.count_omitted(shared, stop.clone())));
    tracker.close();
    Ok(ServingListeners { sessions: tracker, loops })
}

fn open(address: SocketAddr) -> io::Result<(std::net::TcpListener, SocketAddr)> {
    let socket = Socket::new(Family::for_address(address), Type::STREAM, None)?;
    // A restart must not wait for connections of the last run in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // "[::]:25" and "0.0.0.0:25" are two sockets, whatever the system's default is.
        socket.set_only_v6(true)?;
    }
    // Limits what the kernel buffers for a client that does not read; accepted sockets inherit it.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = std::net::TcpListener::from(socket);
    let at = listener.local_addr()?;
    Ok((listener, at))
}

/// The accept loop of one address.
struct Gate {
    door: Arc<Door>,
    shared: Arc<ListenerState>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Gate {
    async fn keep(self, listener: TcpListener) {
        let mut reserve = spare_descriptor();
        let mut troubles = Troubles::default();
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    self.admit(stream, SocketAddr::new(peer.ip().to_canonical(), peer.port()))
                }
                // The client was gone before it was accepted: not an error.
                Err(fault) if is_of_the_client(&fault) => {}
                Err(fault) => {
                    if let Some(times) = troubles.note(Instant::now()) {
                        let listener = &self.door.name;
                        tracing::error!(%listener, %fault, times, "cannot accept connections");
                    }
                    // The dropped reserve frees one descriptor: enough to send one client the reason.
                    drop(reserve.take());
                    let one = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
                    if let Ok(Ok((stream, _))) = one {
                        self.turn_away(&stream, &busy("no descriptors left; try again later"));
                    }
                    reserve = spare_descriptor();
                    tokio::select! {
                        () = self.stop.cancelled() => return,
                        () = tokio::time::sleep(BACK_OFF) => {}
                    }
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        let network = Network::of(peer.ip(), self.shared.settings.limits.network_bits);
        // The table now in effect: a reload changes which clients are named.
        let named = || self.shared.live.table().sessions_of_named(peer.ip());
        match self.door.lobby.sessions.enter(network, named) {
            Ok(place) => {
                let door = Arc::clone(&self.door);
                let shared = Arc::clone(&self.shared);
                let stop = self.stop.clone();
                let counted = CountedSession::begin(&self.door.open);
                self.tracker.spawn(async move {
                    converse(shared, door, stream, (peer, stop)).await;
                    drop((place, counted));
                });
            }
            Err(crowd) => {
                let reply = too_many(crowd);
                self.turn_away(&stream, &reply);
                let event = Event::Refused {
                    peer,
                    stage: "connect",
                    reverse_path: None,
                    forward_path: None,
                    reply: &reply,
                    decision: None,
                };
                self.door.lobby.record(&self.shared, network, &event);
                let reason = format!("connect-{}", reply.code).into();
                let counted = CountedRefusal { connector: None, reason, code: reply.code, decision: None };
                self.shared.count_refusal(counted);
            }
        }
    }

    /// One write to an empty socket buffer: it costs no task and never blocks. A client that expects TLS
    /// could not read it.
    fn turn_away(&self, stream: &TcpStream, reply: &Reply) {
        if self.door.tls == ListenerTls::Implicit {
            return;
        }
        let mut out = Vec::new();
        reply.write_to(&mut out);
        if let Err(fault) = SockRef::from(stream).send(&out) {
            tracing::debug!(%fault, "a client turned away got no reply");
        }
    }
}

/// Repeated system errors, each 100 ms while they last.
#[derive(Debug, Default)]
struct Troubles {
    quiet_until: Option<Instant>,
    times: u64,
}

impl Troubles {
    /// Returns the count since the last log line, if another line is due.
    fn note(&mut self, now: Instant) -> Option<u64> {
        self.times = self.times.saturating_add(1);
        if self.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        self.quiet_until = Some(now + QUIET);
        Some(std::mem::take(&mut self.times))
    }
}

fn too_many(crowd: Crowd) -> Reply {
    match crowd {
        Crowd::All => busy("too many connections; try again later"),
        Crowd::Network => {
            let text = "too many connections from your address; try again later";
            Reply::new(421, Enhanced(4, 7, 0), text)
        }
    }
}

fn busy(text: &'static str) -> Reply {
    Reply::new(421, Enhanced(4, 3, 2), text)
}

fn spare_descriptor() -> Option<std::fs::File> {
    std::fs::File::open("/dev/null").ok()
}

fn is_of_the_client(fault: &io::Error) -> bool {
    matches!(
        fault.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// Connections waiting to be accepted.
const BACKLOG: i32 = 1_024;
/// Pause after the system refused a descriptor or memory: long enough not to spin, short enough that no
/// client waits long for a greeting once it is over.
const BACK_OFF: Duration = Duration::from_millis(100);
/// Minimum time between two log lines about the same trouble.
const QUIET: Duration = Duration::from_secs(10);
/// Octets of replies and handshakes buffered for one client; the kernel doubles it.
const SEND_BUFFER_BYTES: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_that_lasts_is_logged_now_and_then() {
        let start = Instant::now();
        let mut troubles = Troubles::default();
        let told: Vec<u64> = (0..250).filter_map(|tenth| troubles.note(start + BACK_OFF * tenth)).collect();
        assert_eq!(told, [1, 100, 100]);
    }
}
