//! The lab's DNS: one zone in memory, on loopback, over UDP and TCP.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::ProtoError;
use hickory_proto::rr::rdata::{MX, SOA};
use hickory_proto::rr::{Name, RData, Record};
use hickory_server::server::Server;
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::{TcpListener, UdpSocket};

/// The running server; dropping it ends it.
pub struct Zone {
    address: SocketAddr,
    _server: Server<Catalog>,
}

/// The records of the zone.
#[derive(Debug, Clone, Default)]
pub struct Entries {
    /// Each domain with its one mail exchanger.
    pub exchangers: Vec<(String, String)>,
    /// Each host with its address.
    pub hosts: Vec<(String, Ipv4Addr)>,
}

/// Why the zone can't be served.
#[derive(Debug, thiserror::Error)]
pub enum ZoneFault {
    /// No port is free for both UDP and TCP.
    #[error("no free port for the lab's DNS on {address}: {fault}")]
    Port {
        /// The address on which ports were tried.
        address: Ipv4Addr,
        /// The error of the last try.
        fault: std::io::Error,
    },
    /// A name that is not a valid domain name.
    #[error("the lab's zone has a name that is none: {0}")]
    Name(#[from] ProtoError),
}

impl Zone {
    /// Serves the zone below `origin` on a free port of this address.
    ///
    /// # Errors
    /// [`ZoneFault`]: no free port, or an invalid name.
    pub async fn serve(address: Ipv4Addr, origin: &str, entries: &Entries) -> Result<Self, ZoneFault> {
        let origin = fqdn(origin)?;
        let handler = filled(&origin, entries)?;
        let mut catalog = Catalog::new();
        catalog.upsert(origin.into(), vec![Arc::new(handler)]);
        let (udp, tcp) = sockets(address).await.map_err(|fault| ZoneFault::Port { address, fault })?;
        let bound = udp.local_addr().map_err(|fault| ZoneFault::Port { address, fault })?;
        let mut server = Server::new(catalog);
        server.register_socket(udp);
        server.register_listener(tcp, QUERY_WAIT, RESPONSES_MAX);
        Ok(Self { address: bound, _server: server })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn filled(origin: &Name, entries: &Entries) -> Result<InMemoryZoneHandler, ZoneFault> {
    let mut zone = InMemoryZoneHandler::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
    let server = fqdn("ns.lab.test")?;
    let soa = SOA::new(server.clone(), server, SERIAL, 60, 60, 3600, 1);
    zone.upsert_mut(Record::from_rdata(origin.clone(), TTL_SECONDS, RData::SOA(soa)), SERIAL);
    for (domain, exchanger) in &entries.exchangers {
        let mx = RData::MX(MX::new(10, fqdn(exchanger)?));
        zone.upsert_mut(Record::from_rdata(fqdn(domain)?, TTL_SECONDS, mx), SERIAL);
    }
    for (host, address) in &entries.hosts {
        let a = RData::A((*address).into());
        zone.upsert_mut(Record::from_rdata(fqdn(host)?, TTL_SECONDS, a), SERIAL);
    }
    Ok(zone)
}

async fn sockets(address: Ipv4Addr) -> std::io::Result<(UdpSocket, TcpListener)> {
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrInUse);
    for _ in 0..PORT_TRIES_MAX {
        let tcp = TcpListener::bind((address, 0)).await?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Ok(udp) => return Ok((udp, tcp)),
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

fn fqdn(text: &str) -> Result<Name, ProtoError> {
    let mut name = Name::from_ascii(text)?;
    name.set_fqdn(true);
    Ok(name)
}

const SERIAL: u32 = 1;
const TTL_SECONDS: u32 = 60;
const QUERY_WAIT: Duration = Duration::from_secs(5);
const RESPONSES_MAX: usize = 16;
const PORT_TRIES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::Resolver;
    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use hickory_server::net::runtime::TokioRuntimeProvider;

    #[tokio::test]
    async fn the_zone_answers_what_it_was_given_and_denies_the_rest() {
        let entries = Entries {
            exchangers: vec![("good.lab.test".to_owned(), "mx.good.lab.test".to_owned())],
            hosts: vec![("mx.good.lab.test".to_owned(), Ipv4Addr::new(127, 0, 30, 1))],
        };
        let zone = Zone::serve(Ipv4Addr::LOCALHOST, "lab.test", &entries).await.expect("a zone");
        for mut way in [ConnectionConfig::udp(), ConnectionConfig::tcp()] {
            way.port = zone.address().port();
            let server = NameServerConfig::new(zone.address().ip(), true, vec![way]);
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
            let resolver = Resolver::builder_with_config(config, TokioRuntimeProvider::default())
                .build()
                .expect("a resolver");
            let mx = resolver.mx_lookup("good.lab.test.").await.expect("an exchanger");
            let names: Vec<String> = mx
                .answers()
                .iter()
                .filter_map(|record| {
                    if let RData::MX(mx) = &record.data { Some(mx.exchange.to_ascii()) } else { None }
                })
                .collect();
            assert_eq!(names, ["mx.good.lab.test."]);
            let ips: Vec<_> =
                resolver.lookup_ip("mx.good.lab.test.").await.expect("an address").iter().collect();
            assert_eq!(ips, [Ipv4Addr::new(127, 0, 30, 1)]);
            let missing = resolver.mx_lookup("nobody.lab.test.").await.expect_err("no such domain");
            assert!(missing.is_nx_domain(), "{missing}");
        }
    }
}
