//! Queries DNS. The library caches answers for their TTL; routing decisions are made in `route`.

use std::net::IpAddr;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::route::{DnsFault, Mx, interleave};
use super::settings::Settings;
use crate::mail::Domain;

/// Queries the configured servers, or the system's. Cloning is cheap; clones share the cache.
#[derive(Clone)]
pub struct Dns {
    resolver: TokioResolver,
}

/// Why the resolver could not be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the DNS resolver could not be set up: {0}; name the servers to ask in [dns] servers")]
pub struct ResolverFault(String);

impl Dns {
    /// Builds a resolver from these settings.
    ///
    /// # Errors
    /// [`ResolverFault`], for instance if the system has no servers configured.
    pub fn new(settings: &Settings) -> Result<Self, ResolverFault> {
        let fault = |e: NetError| ResolverFault(e.to_string());
        let mut builder = if settings.servers.is_empty() {
            TokioResolver::builder_tokio().map_err(fault)?
        } else {
            let servers = settings.servers.iter().map(|server| {
                let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
                connections.iter_mut().for_each(|connection| connection.port = server.port());
                NameServerConfig::new(server.ip(), true, connections)
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = settings.timeout;
        options.attempts = settings.attempts;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // Mail exchangers come from DNS only, whatever a hosts file says.
        options.use_hosts_file = ResolveHosts::Never;
        // A server that is unreachable over UDP may answer over TCP.
        options.try_tcp_on_error = true;
        Ok(Self { resolver: builder.build().map_err(fault)? })
    }

    /// The MX records of a domain.
    ///
    /// # Errors
    /// A [`DnsFault`].
    pub async fn mx(&self, domain: &Domain) -> Result<Vec<Mx>, DnsFault> {
        let lookup = self.resolver.lookup(full_name(domain)?, RecordType::MX).await.map_err(fault)?;
        let mut records = Vec::new();
        let mut unusable = 0_usize;
        for record in lookup.answers() {
            let RData::MX(mx) = &record.data else { continue };
            if mx.exchange.is_root() {
                records.push(Mx { preference: mx.preference, host: None });
                continue;
            }
            // Skip an exchange that is not a host name; the others may be usable.
            let Ok(host) = Domain::parse(&mx.exchange.to_ascii()) else {
                unusable = unusable.saturating_add(1);
                continue;
            };
            records.push(Mx { preference: mx.preference, host: Some(host) });
        }
        match (records.is_empty(), unusable) {
            (false, _) => Ok(records),
            (true, 0) => Err(DnsFault::NoRecords),
            // RFC 5321 §5.1: if MX records exist, the domain's own address is not a substitute.
            (true, _) => Err(DnsFault::Unanswered("its MX records name no usable host".to_owned())),
        }
    }

    /// The addresses of a host, alternating IPv6 and IPv4.
    ///
    /// # Errors
    /// A [`DnsFault`] if neither family has an address: `Unanswered` if one of them might.
    pub async fn addresses(&self, host: &Domain) -> Result<Vec<IpAddr>, DnsFault> {
        let (v6, v4) = tokio::join!(self.family(host, RecordType::AAAA), self.family(host, RecordType::A));
        match (v6, v4) {
            (Ok(v6), Ok(v4)) => Ok(interleave(v6, v4)),
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
            (Err(unanswered @ DnsFault::Unanswered(_)), Err(_))
            | (Err(_), Err(unanswered @ DnsFault::Unanswered(_))) => Err(unanswered),
            (Err(DnsFault::NoDomain | DnsFault::NoRecords), Err(fault)) => Err(fault),
        }
    }

    async fn family(&self, host: &Domain, family: RecordType) -> Result<Vec<IpAddr>, DnsFault> {
        let lookup = self.resolver.lookup(full_name(host)?, family).await.map_err(fault)?;
        let addresses: Vec<IpAddr> = lookup.answers().iter().filter_map(|r| r.data.ip_addr()).collect();
        if addresses.is_empty() { Err(DnsFault::NoRecords) } else { Ok(addresses) }
    }
}

/// The name as a fully qualified one, so that no search list is applied.
fn full_name(domain: &Domain) -> Result<Name, DnsFault> {
    let mut name =
        Name::from_ascii(domain.as_str()).map_err(|e| DnsFault::Unanswered(format!("{domain}: {e}")))?;
    name.set_fqdn(true);
    Ok(name)
}

fn fault(error: NetError) -> DnsFault {
    if let NetError::Dns(DnsError::NoRecordsFound(none)) = &error {
        if none.response_code == ResponseCode::NXDomain {
            return DnsFault::NoDomain;
        }
        if none.response_code == ResponseCode::NoError {
            return DnsFault::NoRecords;
        }
    }
    // Any other error does not prove that there is no record.
    DnsFault::Unanswered(error.to_string())
}
