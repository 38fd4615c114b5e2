//! Makes a TCP connection within a time limit. It never connects to our own listeners.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::outcome::LinkFault;

/// What octets go over: a TCP connection.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Sync + Unpin {
    /// Our address, if it has one.
    fn local_address(&self) -> Option<SocketAddr> {
        None
    }
}

impl Transport for TcpStream {
    fn local_address(&self) -> Option<SocketAddr> {
        self.local_addr().ok()
    }
}

/// A connection to a host, or why there is none.
pub(super) type Dialling<'a> =
    Pin<Box<dyn Future<Output = Result<Box<dyn Transport>, LinkFault>> + Send + 'a>>;

/// What connects to hosts.
pub(super) trait Dialler: Send + Sync {
    /// Connects to an address, from one of `sources` if they have its family, within `limit`.
    fn dial<'a>(&'a self, address: SocketAddr, sources: &'a [IpAddr], limit: Duration) -> Dialling<'a>;
}

/// The network, by TCP.
pub(super) struct TcpDialler;

impl Dialler for TcpDialler {
    fn dial<'a>(&'a self, address: SocketAddr, sources: &'a [IpAddr], limit: Duration) -> Dialling<'a> {
        Box::pin(async move {
            let connection: Box<dyn Transport> = Box::new(dial(address, sources, limit).await?);
            Ok(connection)
        })
    }
}

/// Connects to an address, from one of `sources` if they have its family.
///
/// # Errors
/// [`LinkFault::Unreachable`] or [`LinkFault::NotOurAddress`], with the reason.
async fn dial(address: SocketAddr, sources: &[IpAddr], limit: Duration) -> Result<TcpStream, LinkFault> {
    let unreachable = |e: io::Error| LinkFault::Unreachable(e.to_string());
    let socket = socket_from(address, sources)?;
    let stream = match timeout(limit, socket.connect(address)).await {
        Ok(connected) => connected.map_err(unreachable)?,
        Err(_) => return Err(LinkFault::Unreachable(format!("no answer in {} s", limit.as_secs()))),
    };
    // Commands are written a whole turn at a time: waiting for more data only delays them.
    stream.set_nodelay(true).map_err(unreachable)?;
    Ok(stream)
}

/// What came of dialling one of two addresses.
pub(super) enum DialResult {
    /// The first one, or its failure.
    First(Result<Box<dyn Transport>, LinkFault>),
    /// The second one, since the first did not answer soon.
    Second(Box<dyn Transport>),
}

/// Connects to the first of two addresses of a host, or to the second if that answers while the first is silent (RFC 8305
/// §5): where one address family leads nowhere, it costs a moment instead of the whole limit.
pub(super) async fn dial_either(
    dialler: &dyn Dialler,
    (first, second): (SocketAddr, SocketAddr),
    sources: &[IpAddr],
    limit: Duration,
) -> DialResult {
    let mut first = dialler.dial(first, sources, limit);
    tokio::select! {
        biased;
        done = &mut first => return DialResult::First(done),
        () = sleep(HEAD_START) => {}
    }
    tokio::select! {
        biased;
        done = &mut first => DialResult::First(done),
        Ok(stream) = dialler.dial(second, sources, limit) => DialResult::Second(stream),
    }
}

/// How long the first address has before the second is tried as well (RFC 8305 §8).
pub(super) const HEAD_START: Duration = Duration::from_millis(250);

/// A socket for an address, bound to the source address of its family if there is one.
fn socket_from(address: SocketAddr, sources: &[IpAddr]) -> Result<TcpSocket, LinkFault> {
    let unreachable = |e: io::Error| LinkFault::Unreachable(e.to_string());
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(unreachable)?;
    if let Some(source) = sources.iter().find(|source| source.is_ipv4() == address.is_ipv4()) {
        socket.bind(SocketAddr::new(*source, 0)).map_err(|fault| {
            if fault.kind() == io::ErrorKind::AddrNotAvailable {
                let words = "it is not an address of this host; correct the connector, or add the address";
                return LinkFault::NotOurAddress(format!("source_address {source} can't be used: {words}"));
            }
            LinkFault::Unreachable(format!("source_address {source} can't be used: {fault}"))
        })?;
    }
    Ok(socket)
}

/// Whether an address is one of our listeners. A listener on all addresses covers those of this
/// host; the system is asked only if the port matches.
pub(super) fn is_ours(ourselves: &[SocketAddr], address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    ourselves.iter().any(|own| {
        let own_ip = own.ip().to_canonical();
        own.port() == address.port()
            && (own_ip == ip
                || own_ip.is_unspecified()
                    && (own_ip.is_ipv4() == ip.is_ipv4() || own_ip.is_ipv6())
                    && is_local(SocketAddr::new(ip, address.port())))
    })
}

/// Whether an address belongs to this host: then the route to it starts at the address itself. An
/// error means that it does not.
fn is_local(address: SocketAddr) -> bool {
    address.ip().is_loopback() || source_towards(address).is_ok_and(|source| source == address.ip())
}

/// The local address of a socket connected to `address`. Connecting a UDP socket sends nothing.
fn source_towards(address: SocketAddr) -> io::Result<IpAddr> {
    // An interface's second IPv4 address is reached from its first, so the socket is bound to the
    // address before it is connected. Neither step is enough: with `ip_nonlocal_bind` any address
    // can be bound, and only connecting fails if it is not ours. IPv6 is the reverse: connecting
    // does not check the source, but picks the address itself if it is ours.
    let from = match address.ip() {
        ip @ IpAddr::V4(_) => ip,
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind(SocketAddr::new(from, 0))?;
    socket.connect(address)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(own: &str, address: &str, expected: bool) {
        let own = own.parse().expect("an address");
        assert_eq!(is_ours(&[own], address.parse().expect("an address")), expected, "{own} {address}");
    }

    #[test]
    fn ourselves_are_our_listeners_and_no_other_port() {
        check("127.0.0.1:2525", "127.0.0.1:2525", true);
        check("127.0.0.1:2525", "127.0.0.1:2526", false);
        check("127.0.0.1:2525", "127.0.0.2:2525", false);
        check("0.0.0.0:2525", "127.0.0.1:2525", true);
        check("0.0.0.0:2525", "192.0.2.1:2525", false);
        check("0.0.0.0:2525", "127.0.0.1:25", false);
        check("0.0.0.0:2525", "[::ffff:127.0.0.1]:2525", true);
        check("[::]:2525", "127.0.0.1:2525", true);
        check("[::]:2525", "[::1]:2525", true);
        check("[::]:2525", "[2001:db8::1]:2525", false);
        check("[::ffff:127.0.0.1]:2525", "127.0.0.1:2525", true);
        check("0.0.0.0:2525", "[::1]:2525", false);
    }

    #[test]
    fn the_way_to_an_address_of_ours_begins_there() {
        let source = |ip: &str| source_towards(SocketAddr::new(ip.parse().expect("an address"), 25)).ok();
        assert_eq!(source("127.0.0.3"), "127.0.0.3".parse().ok());
        assert_ne!(source("192.0.2.1"), "192.0.2.1".parse().ok());
    }
}
