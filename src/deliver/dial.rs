//! Makes a TCP connection, within a limit.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::outcome::LinkFault;

/// Connects to an address.
///
/// # Errors
/// [`LinkFault::Unreachable`] with the reason.
pub(super) async fn dial(address: SocketAddr, limit: Duration) -> Result<TcpStream, LinkFault> {
    let unreachable = |e: io::Error| LinkFault::Unreachable(e.to_string());
    let stream = match timeout(limit, TcpStream::connect(address)).await {
        Ok(connected) => connected.map_err(unreachable)?,
        Err(_) => return Err(LinkFault::Unreachable(format!("no answer in {} s", limit.as_secs()))),
    };
    // Commands are written whole, a turn at a time: waiting for more to send with them only delays.
    stream.set_nodelay(true).map_err(unreachable)?;
    Ok(stream)
}

/// Whether an address is one of our listeners'. A listener on all addresses has those of this
/// host: an address is this host's if a socket can be bound to it.
pub(super) fn is_ours(ourselves: &[SocketAddr], address: SocketAddr) -> bool {
    ourselves.iter().any(|own| {
        own.port() == address.port()
            && (own.ip() == address.ip()
                || own.ip().is_unspecified()
                    && (own.is_ipv4() == address.is_ipv4() || own.is_ipv6())
                    && is_local(address.ip()))
    })
}

fn is_local(ip: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(ip, 0)).is_ok()
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
    }
}
