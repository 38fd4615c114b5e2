//! Listening sockets, and how many sessions there may be.

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
use super::settings::{ListenerTls, Settings};
use crate::mail::{Enhanced, Network, Reply};
use crate::tracking::Event;

/// A listener that has its address, and accepts nobody yet.
#[derive(Debug)]
pub struct BoundListener {
    /// Its name in the configuration.
    pub name: String,
    /// Where it listens; the port is the one it was given.
    pub address: SocketAddr,
    /// What it does of TLS.
    pub tls: ListenerTls,
    socket: std::net::TcpListener,
}

impl BoundListener {
    /// The socket itself, for one who serves nobody.
    pub(super) fn into_socket(self) -> std::net::TcpListener {
        self.socket
    }
}

/// A listener that can't have its address.
#[derive(Debug, thiserror::Error)]
#[error(
    "listener {name} cannot listen on {address}: {fault}; see whether another server has the address, and \
     whether this user may have the port"
)]
pub struct BindFault {
    /// The listener.
    pub name: String,
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub fault: io::Error,
}

/// Takes every listener's addresses; the daemon reports them before anybody is accepted.
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

/// Listeners that accept.
#[derive(Debug)]
pub struct ServingListeners {
    /// Every session and loop. It is closed already: its `wait` answers when the last session has
    /// ended, a few seconds after `stop` at most.
    pub sessions: TaskTracker,
    /// One accept loop for each address, and the one that counts what was not logged. They end by
    /// `stop`; one that ends earlier has panicked, and nobody would come in any more.
    pub loops: Vec<JoinHandle<()>>,
}

/// Accepts sessions until `stop`; must be called within the runtime.
///
/// # Errors
/// A [`BindFault`] when the runtime can't take a socket.
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
    // A restart must not wait for the last run's connections in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // "[::]:25" beside "0.0.0.0:25" is two sockets, whatever the system's default is.
        socket.set_only_v6(true)?;
    }
    // What the system keeps of replies for a client that does not read; accepted sockets inherit it.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = std::net::TcpListener::from(socket);
    let at = listener.local_addr()?;
    Ok((listener, at))
}

/// One accept loop.
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
                // The client was gone before we came: nothing is wrong here.
                Err(fault) if is_of_the_client(&fault) => {}
                Err(fault) => {
                    if let Some(times) = troubles.note(Instant::now()) {
                        let listener = &self.door.name;
                        tracing::error!(%listener, %fault, times, "cannot accept connections");
                    }
                    // With the reserve given up there is one descriptor: enough to say why.
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
        // The table in effect now: a reload changes who is named.
        let named = || self.shared.live.table().sessions_of_named(peer.ip());
        match self.door.lobby.sessions.enter(network, named) {
            Ok(place) => {
                let door = Arc::clone(&self.door);
                let shared = Arc::clone(&self.shared);
                let stop = self.stop.clone();
                self.tracker.spawn(async move {
                    converse(shared, door, stream, (peer, stop)).await;
                    drop(place);
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
            }
        }
    }

    /// One write to an empty socket buffer: it costs no task, and waits for nobody. A client that
    /// expects TLS could not read it.
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

/// Troubles of the system that come again and again, each 100 ms while they last.
#[derive(Debug, Default)]
struct Troubles {
    quiet_until: Option<Instant>,
    times: u64,
}

impl Troubles {
    /// How many there were since the last line, if it is time for another one.
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

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1_024;
/// After the system refused a descriptor or memory: long enough not to spin, short enough that
/// nobody is kept waiting for a greeting once it is over.
const BACK_OFF: Duration = Duration::from_millis(100);
/// Between two lines about the same trouble.
const QUIET: Duration = Duration::from_secs(10);
/// Octets of replies and handshakes on their way to one client; the system doubles it.
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
