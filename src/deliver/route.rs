//! Resolves the way of a lane to the addresses to try. It opens no connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;

use super::courier::Courier;
use super::dial::is_ours;
use super::session::Candidate;
use crate::connector::{NextHop, SmartHost, SmartHostName};
use crate::mail::Domain;
use crate::outcome::{NameFault, Outcome, classify_name};
use crate::resolver::route::{MailHost, ResolvedHost, RouteFault, candidates, connectable, mail_hosts};
use crate::scheduler::Way;

impl Courier {
    /// The addresses to try, in order; never empty.
    pub(super) async fn candidates(&self, way: &Way) -> Result<Vec<Candidate>, Outcome> {
        match (&way.connector.next_hop, way.literal, &way.domain) {
            (NextHop::SmartHosts(hosts), _, _) if way.connector.sending.spread => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                let first = turn.checked_rem(hosts.len()).unwrap_or_default();
                let (last, first) = hosts.split_at(first);
                self.smart_hosts(&[first, last].concat()).await
            }
            (NextHop::SmartHosts(hosts), _, _) => self.smart_hosts(hosts).await,
            (NextHop::Mx { port }, Some(ip), _) => self.literal(ip, *port),
            (NextHop::Mx { port }, None, Some(domain)) => self.exchangers(domain, *port).await,
            (NextHop::Mx { .. }, None, None) => Err(classify_name(&NameFault::NoDomain, "the recipient")),
        }
    }

    fn literal(&self, ip: IpAddr, port: u16) -> Result<Vec<Candidate>, Outcome> {
        let failed = |fault| classify_name(&fault, &format!("[{ip}]"));
        let ip = connectable(ip).ok_or_else(|| failed(NameFault::NoAddress))?;
        let address = SocketAddr::new(ip, port);
        if is_ours(&self.ourselves, address) {
            return Err(failed(NameFault::Ourselves));
        }
        Ok(vec![Candidate { name: None, smart: None, address }])
    }

    async fn exchangers(&self, domain: &Domain, port: u16) -> Result<Vec<Candidate>, Outcome> {
        let failed = |fault| classify_name(&name_fault(fault), domain.as_str());
        let answer = self.dns.mx(domain).await;
        let mut hosts = mail_hosts(domain, answer, fastrand::u64(..)).map_err(failed)?;
        // Hosts beyond the limit are not even looked up.
        hosts.truncate(self.settings.addresses_max);
        let resolved = self.resolve(hosts).await;
        let ours = |address| is_ours(&self.ourselves, address);
        let found = candidates(resolved, port, &self.settings.name, ours, self.settings.addresses_max);
        let candidate = |(name, address)| Candidate { name: Some(name), smart: None, address };
        Ok(found.map_err(failed)?.into_iter().map(candidate).collect())
    }

    /// Looks up all hosts at once: the slowest look-up decides, not their sum.
    async fn resolve(&self, hosts: Vec<MailHost>) -> Vec<ResolvedHost> {
        let ask = |host: MailHost| {
            let dns = self.dns.clone();
            tokio::spawn(async move {
                let addresses = dns.addresses(&host.name).await;
                ResolvedHost { host, addresses }
            })
        };
        let asked: Vec<_> = hosts.into_iter().map(ask).collect();
        let mut resolved = Vec::with_capacity(asked.len());
        for answer in asked {
            // A join error is a look-up that panicked: the host is treated as missing.
            resolved.extend(answer.await);
        }
        resolved
    }

    async fn smart_hosts(&self, hosts: &[SmartHost]) -> Result<Vec<Candidate>, Outcome> {
        let mut found = Vec::new();
        let mut trouble = None;
        for SmartHost { name, port } in hosts {
            let (domain, addresses) = match name {
                SmartHostName::Ip(ip) => (None, Ok(vec![*ip])),
                SmartHostName::Name(domain) => (Some(domain.clone()), self.dns.addresses(domain).await),
            };
            match addresses {
                Ok(addresses) => self.add_smart_host(name, domain, (&addresses, *port), &mut found),
                Err(fault) => trouble = Some((name, fault)),
            }
        }
        found.truncate(self.settings.addresses_max);
        if !found.is_empty() {
            return Ok(found);
        }
        // The operator wrote the name: no mail fails because of an error there, or because a zone
        // is gone for an hour.
        let (name, why) = match trouble {
            Some((name, fault)) => (name.to_string(), fault.to_string()),
            None => ("the smart host".to_owned(), "it is this host, or no host's address".to_owned()),
        };
        Err(classify_name(&NameFault::Unanswered(why), &name))
    }

    fn add_smart_host(
        &self,
        smart: &SmartHostName,
        name: Option<Domain>,
        (addresses, port): (&[IpAddr], u16),
        found: &mut Vec<Candidate>,
    ) {
        for ip in addresses.iter().copied().filter_map(connectable) {
            let address = SocketAddr::new(ip, port);
            if !is_ours(&self.ourselves, address) {
                found.push(Candidate { name: name.clone(), smart: Some(smart.clone()), address });
            }
        }
    }
}

fn name_fault(fault: RouteFault) -> NameFault {
    match fault {
        RouteFault::NoDomain => NameFault::NoDomain,
        RouteFault::NullMx => NameFault::NullMx,
        RouteFault::NoAddress => NameFault::NoAddress,
        RouteFault::Ourselves => NameFault::Ourselves,
        RouteFault::Unanswered(why) => NameFault::Unanswered(why),
    }
}
