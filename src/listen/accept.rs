//! Listening sockets, and how many sessions there may be.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::{Domain as Family, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Shared;
use super::converse::converse;
use super::door::Door;
use super::settings::{ListenerTls, Settings};
use crate::mail::{Enhanced, Reply};
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

/// Accepts sessions until `stop`; must be called within the runtime. The tracker is closed
/// already: its `wait` answers when the last session has ended, a few seconds after `stop` at most.
///
/// # Errors
/// A [`BindFault`] when the runtime can't take a socket.
pub fn serve(
    bound: Vec<BoundListener>,
    shared: Arc<Shared>,
    stop: &CancellationToken,
) -> Result<TaskTracker, BindFault> {
    let tracker = TaskTracker::new();
    let census = Arc::new(Census::default());
    for one in bound {
        let BoundListener { name, address, tls, socket } = one;
        let listener = TcpListener::from_std(socket).map_err(|fault| BindFault {
            name: name.clone(),
            address,
            fault,
        })?;
        let gate = Gate {
            door: Arc::new(Door::new(name, tls, &shared)),
            shared: Arc::clone(&shared),
            census: Arc::clone(&census),
            tracker: tracker.clone(),
            stop: stop.clone(),
        };
        tracker.spawn(gate.keep(listener));
    }
    tracker.close();
    Ok(tracker)
}

fn open(address: SocketAddr) -> io::Result<(std::net::TcpListener, SocketAddr)> {
    let socket = Socket::new(Family::for_address(address), Type::STREAM, None)?;
    // A restart must not wait for the last run's connections in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // "[::]:25" beside "0.0.0.0:25" is two sockets, whatever the system's default is.
        socket.set_only_v6(true)?;
    }
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
    shared: Arc<Shared>,
    census: Arc<Census>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Gate {
    async fn keep(self, listener: TcpListener) {
        let mut reserve = spare_descriptor();
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
                    tracing::error!(listener = %self.door.name, %fault, "cannot accept connections");
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
        let limits = &self.shared.settings.limits;
        let place = self.census.enter(peer.ip(), limits.connections_max, limits.connections_per_address_max);
        match place {
            Ok(place) => {
                let door = Arc::clone(&self.door);
                let shared = Arc::clone(&self.shared);
                let stop = self.stop.clone();
                self.tracker.spawn(async move {
                    converse(shared, door, stream, (peer, stop)).await;
                    drop(place);
                });
            }
            Err(reply) => {
                self.turn_away(&stream, &reply);
                self.shared.journal.record(&Event::Refused {
                    peer,
                    stage: "connect",
                    reverse_path: None,
                    forward_path: None,
                    reply: &reply,
                    decision: None,
                });
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
            tracing::debug!(%fault, "a client turned away was not told");
        }
    }
}

/// How many sessions there are, in all and of each address.
#[derive(Debug, Default)]
pub(super) struct Census {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One session's place; given up when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    census: Arc<Census>,
    address: IpAddr,
}

impl Census {
    /// Takes a place.
    ///
    /// # Errors
    /// What the client is told if there is none.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr, all: usize, each: usize) -> Result<Place, Reply> {
        let mut counts = self.lock();
        if counts.all >= all {
            return Err(busy("too many connections; try again later"));
        }
        let here = counts.by_address.entry(address).or_default();
        if *here >= each {
            let text = "too many connections from your address; try again later";
            return Err(Reply::new(421, Enhanced(4, 7, 0), text));
        }
        *here = here.saturating_add(1);
        counts.all = counts.all.saturating_add(1);
        Ok(Place { census: Arc::clone(self), address })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Numbers stay numbers whatever a panicking holder did.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.census.lock();
        counts.all = counts.all.saturating_sub(1);
        if let Some(here) = counts.by_address.get_mut(&self.address) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                counts.by_address.remove(&self.address);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let census = Arc::new(Census::default());
        let at = |last: u8| IpAddr::from([127, 0, 0, last]);
        let code = |result: Result<Place, Reply>| result.expect_err("no place").to_string();
        let first = census.enter(at(1), 3, 2).expect("a place");
        let _second = census.enter(at(1), 3, 2).expect("a place");
        assert_eq!(
            code(census.enter(at(1), 3, 2)),
            "421 4.7.0 too many connections from your address; try again later"
        );
        let _third = census.enter(at(2), 3, 2).expect("a place");
        assert_eq!(code(census.enter(at(2), 3, 2)), "421 4.3.2 too many connections; try again later");
        drop(first);
        let _again = census.enter(at(1), 3, 2).expect("a place");
        assert_eq!(census.lock().by_address.len(), 2);
    }
}
