//! One port number that is free on all addresses of a lab.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// One port number, bound on every address of the lab: `next_hop = "mx"` has one port for all.
pub(super) struct Ports {
    pub(super) number: u16,
    bound: Vec<(Ipv4Addr, TcpSocket)>,
}

impl Ports {
    /// Finds a number that `bind` gets on each of the addresses.
    pub(super) fn find(
        addresses: &[Ipv4Addr],
        bind: impl Fn(SocketAddr) -> io::Result<TcpSocket>,
    ) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..TRIES_MAX {
            match Self::try_one(addresses, &bind) {
                Ok(ports) => return Ok(ports),
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    fn try_one(
        addresses: &[Ipv4Addr],
        bind: impl Fn(SocketAddr) -> io::Result<TcpSocket>,
    ) -> io::Result<Self> {
        let (mut number, mut bound) = (0, Vec::new());
        for address in addresses {
            let socket = bind((*address, number).into())?;
            number = socket.local_addr()?.port();
            bound.push((*address, socket));
        }
        Ok(Self { number, bound })
    }

    /// The socket of an address; it can be taken once.
    pub(super) fn take(&mut self, address: Ipv4Addr) -> io::Result<TcpSocket> {
        let at = self.bound.iter().position(|(bound, _)| *bound == address);
        let at = at.ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(self.bound.swap_remove(at).1)
    }
}

const TRIES_MAX: usize = 64;
