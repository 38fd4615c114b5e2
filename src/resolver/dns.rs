//! Queries DNS. The library caches answers for their TTL; routing decisions are made in `route`.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::xfer::{DnsHandle as _, FirstAnswer as _};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, Query, ResponseCode};
use hickory_resolver::proto::rr::domain::usage::LOCALHOST;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{NameServerPool, PoolContext, Resolver, TlsConfig};

use super::edns::EdnsFallback;
use super::route::{DnsFault, Mx};
use super::settings::Settings;
use crate::mail::Domain;

/// Queries the configured servers, or the system's. Cloning is cheap; clones share the cache.
#[derive(Clone)]
pub struct Dns {
    resolver: Resolver<EdnsFallback>,
    /// The same servers, without the cache, and without the zone that the library has built in.
    direct: NameServerPool<EdnsFallback>,
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
        let (config, mut options) = if settings.servers.is_empty() {
            read_system_conf().map_err(fault)?
        } else {
            let servers = settings.servers.iter().map(|server| {
                let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
                connections.iter_mut().for_each(|connection| connection.port = server.port());
                NameServerConfig::new(server.ip(), true, connections)
            });
            (ResolverConfig::from_parts(None, Vec::new(), servers.collect()), ResolverOpts::default())
        };
        options.timeout = settings.timeout;
        options.attempts = settings.attempts;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // Mail exchangers come from DNS only, whatever a hosts file says.
        options.use_hosts_file = ResolveHosts::Never;
        // A server that is unreachable over UDP may answer over TCP.
        options.try_tcp_on_error = true;
        let provider = EdnsFallback::default();
        let context = PoolContext::new(options.clone(), TlsConfig::new().map_err(fault)?);
        let servers = config.name_servers.clone();
        let direct = NameServerPool::from_config(servers, Arc::new(context), provider.clone());
        let resolver = Resolver::builder_with_config(config, provider).with_options(options);
        Ok(Self { resolver: resolver.build().map_err(fault)?, direct })
    }

    /// The MX records of a domain.
    ///
    /// # Errors
    /// A [`DnsFault`].
    pub async fn mx(&self, domain: &Domain) -> Result<Vec<Mx>, DnsFault> {
        let mut records = Vec::new();
        let mut unusable = 0_usize;
        for record in self.lookup(domain, RecordType::MX).await? {
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

    /// The addresses of a host, IPv6 before IPv4.
    ///
    /// # Errors
    /// A [`DnsFault`] if neither family has an address: `Unanswered` if one of them might.
    pub async fn addresses(&self, host: &Domain) -> Result<Vec<IpAddr>, DnsFault> {
        let (v6, v4) = tokio::join!(self.family(host, RecordType::AAAA), self.family(host, RecordType::A));
        match (v6, v4) {
            (Ok(v6), Ok(v4)) => Ok([v6, v4].concat()),
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
            (Err(unanswered @ DnsFault::Unanswered(_)), Err(_))
            | (Err(_), Err(unanswered @ DnsFault::Unanswered(_))) => Err(unanswered),
            (Err(DnsFault::NoDomain | DnsFault::NoRecords), Err(fault)) => Err(fault),
        }
    }

    /// The records that DNS has. The library answers names below `localhost` itself (RFC 6761 §6.3), also at the end of a
    /// chain of aliases: a stranger's MX record would lead to services of this host. Such names are asked of DNS.
    async fn lookup(&self, domain: &Domain, kind: RecordType) -> Result<Vec<Record>, DnsFault> {
        let mut name = full_name(domain)?;
        if !LOCALHOST.zone_of(&name) {
            let lookup = self.resolver.lookup(name, kind).await.map_err(fault)?;
            match lookup.answers().iter().find(|record| LOCALHOST.zone_of(&record.name)) {
                None => return Ok(lookup.answers().to_vec()),
                Some(record) => name = record.name.clone(),
            }
        }
        let mut options = DnsRequestOptions::default();
        options.use_edns = self.resolver.options().edns0;
        let answer = self.direct.lookup(Query::query(name, kind), options).first_answer().await;
        let answer = answer.and_then(|response| DnsError::from_response(response).map_err(NetError::from));
        Ok(answer.map_err(fault)?.answers.clone())
    }

    async fn family(&self, host: &Domain, family: RecordType) -> Result<Vec<IpAddr>, DnsFault> {
        let records = self.lookup(host, family).await?;
        let addresses: Vec<IpAddr> = records.iter().filter_map(|record| record.data.ip_addr()).collect();
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
