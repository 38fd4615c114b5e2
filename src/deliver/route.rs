//! Resolves the way of a lane to the addresses to try. It opens no connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;

use super::courier::Courier;
use super::dial::is_ours;
use super::session::Candidate;
use crate::connector::{NextHop, SmartHost, SmartHostName};
use crate::mail::Domain;
use crate::outcome::{NameFault, Outcome, classify_name};
use crate::resolver::route::{
    DnsFault, MailHost, ResolvedHost, RouteFault, connectable, destinations, mail_hosts, preferred_over_us,
    share_of,
};
use crate::scheduler::Way;

/// The addresses to try in one attempt.
pub(super) struct Candidates {
    /// In order; never empty.
    pub(super) list: Vec<Candidate>,
    /// How many addresses and hosts are left for other attempts. While there are any, nothing that these candidates come to is
    /// final.
    pub(super) left: usize,
    /// Those of them that DNS gave no answer for.
    pub(super) unknown: usize,
    /// After so many attempts each address has been tried.
    pub(super) attempts: usize,
}

impl Courier {
    /// The addresses to try.
    pub(super) async fn candidates(&self, way: &Way) -> Result<Candidates, Outcome> {
        match (&way.connector.next_hop, way.literal, &way.domain) {
            (NextHop::SmartHosts(hosts), _, _) if way.connector.sending.spread => {
                let turn_of_hosts = self.turn.fetch_add(1, Ordering::Relaxed);
                let first = turn_of_hosts.checked_rem(hosts.len()).unwrap_or_default();
                let (last, first) = hosts.split_at(first);
                self.smart_hosts(way, [first, last].concat()).await
            }
            (NextHop::SmartHosts(hosts), _, _) => self.smart_hosts(way, hosts.clone()).await,
            (NextHop::Mx { port }, Some(ip), _) => self.literal(way, ip, *port),
            (NextHop::Mx { port }, None, Some(domain)) => self.exchangers(way, domain, *port).await,
            (NextHop::Mx { .. }, None, None) => Err(classify_name(&NameFault::NoDomain, "the recipient")),
        }
    }

    fn literal(&self, way: &Way, ip: IpAddr, port: u16) -> Result<Candidates, Outcome> {
        let failed = |fault| classify_name(&fault, &format!("[{ip}]"));
        let ip = connectable(ip).ok_or_else(|| failed(NameFault::NoAddress))?;
        let address = SocketAddr::new(ip, port);
        if is_ours(&self.ourselves, address) {
            return Err(failed(NameFault::Ourselves));
        }
        if way.connector.dialling.of_exchanger(vec![ip]).is_empty() {
            return Err(failed(NameFault::NotDialled(ip)));
        }
        let list = vec![Candidate { name: None, smart: None, address }];
        Ok(Candidates { list, left: 0, unknown: 0, attempts: 1 })
    }

    async fn exchangers(&self, way: &Way, domain: &Domain, port: u16) -> Result<Candidates, Outcome> {
        let failed = |fault| classify_name(&name_fault(fault), domain.as_str());
        let max = self.settings.addresses_max;
        let answer = self.dns.mx(domain).await;
        let hosts = mail_hosts(domain, answer, fastrand::u64(..)).map_err(failed)?;
        let hosts = preferred_over_us(hosts, |name| *name == self.settings.name).map_err(failed)?;
        let turn = (hosts.len() > max).then(|| self.turns.next(way));
        let hosts = share_of(hosts, max, turn.unwrap_or_default());
        let resolved = self.resolve(hosts.tried).await;
        let ours = |address| is_ours(&self.ourselves, address);
        let arrange = |addresses| way.connector.dialling.of_exchanger(addresses);
        let found = destinations(resolved, hosts.left, port, ours, arrange).map_err(failed)?;
        let turn = match turn {
            // Each share of the hosts has each share of its addresses tried.
            Some(turn) => turn.checked_div(hosts.attempts).unwrap_or_default(),
            None if found.addresses.len() > max => self.turns.next(way),
            None => 0,
        };
        let share = share_of(found.addresses, max, turn);
        let candidate = |(name, address)| Candidate { name: Some(name), smart: None, address };
        Ok(Candidates {
            list: share.tried.into_iter().map(candidate).collect(),
            left: share.left.saturating_add(found.unknown),
            unknown: found.unknown,
            attempts: share.attempts.saturating_mul(hosts.attempts),
        })
    }

    async fn resolve(&self, hosts: Vec<MailHost>) -> Vec<ResolvedHost> {
        let named = hosts.into_iter().map(|host| (Some(host.name.clone()), host));
        let answered = self.look_up(named).await.into_iter();
        answered.filter_map(|(host, addresses)| Some(ResolvedHost { host, addresses: addresses? })).collect()
    }

    /// Looks up all names at once: the slowest look-up decides, not their sum. What has no name has no answer.
    async fn look_up<T>(
        &self,
        named: impl Iterator<Item = (Option<Domain>, T)>,
    ) -> Vec<(T, Option<Result<Vec<IpAddr>, DnsFault>>)> {
        let ask = |name: Domain| {
            let dns = self.dns.clone();
            tokio::spawn(async move { dns.addresses(&name).await })
        };
        let asked: Vec<_> = named.map(|(name, what)| (what, name.map(ask))).collect();
        let mut answered = Vec::with_capacity(asked.len());
        for (what, asked) in asked {
            let answer = match asked {
                None => None,
                // A join error is a look-up that panicked, which says nothing of the host.
                Some(asked) => {
                    Some(asked.await.unwrap_or_else(|fault| Err(DnsFault::Unanswered(fault.to_string()))))
                }
            };
            answered.push((what, answer));
        }
        answered
    }

    async fn smart_hosts(&self, way: &Way, hosts: Vec<SmartHost>) -> Result<Candidates, Outcome> {
        let mut found = Vec::new();
        let (mut trouble, mut unknown) = (None, 0_usize);
        let named = hosts.into_iter().map(|host| match &host.name {
            SmartHostName::Ip(_) => (None, host),
            SmartHostName::Name(name) => (Some(name.clone()), host),
        });
        for (SmartHost { name, port }, answer) in self.look_up(named).await {
            let (domain, addresses) = match (&name, answer) {
                (SmartHostName::Ip(ip), _) => (None, Ok(vec![*ip])),
                (SmartHostName::Name(domain), Some(addresses)) => (Some(domain.clone()), addresses),
                (SmartHostName::Name(_), None) => continue,
            };
            match addresses {
                Ok(addresses) => {
                    let addresses = addresses.into_iter().filter_map(connectable).collect();
                    let arranged = way.connector.dialling.family.arrange(addresses);
                    self.add_smart_host(&name, domain, (&arranged, port), &mut found);
                }
                Err(fault) => {
                    unknown = unknown.saturating_add(1);
                    trouble = Some((name, fault));
                }
            }
        }
        if !found.is_empty() {
            let max = self.settings.addresses_max;
            let turn = if found.len() > max { self.turns.next(way) } else { 0 };
            let share = share_of(found, max, turn);
            let left = share.left.saturating_add(unknown);
            return Ok(Candidates { list: share.tried, left, unknown, attempts: share.attempts });
        }
        // The operator wrote the name: no mail fails because of an error there, or because a zone
        // is gone for an hour.
        let (name, why) = match trouble {
            Some((name, fault)) => (name.to_string(), fault.to_string()),
            None => {
                let why = "it is this host, or has no address that is connected to".to_owned();
                ("the smart host".to_owned(), why)
            }
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
        for ip in addresses {
            let address = SocketAddr::new(*ip, port);
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
        RouteFault::NotDialled(ip) => NameFault::NotDialled(ip),
        RouteFault::Ourselves => NameFault::Ourselves,
        RouteFault::Unanswered(why) => NameFault::Unanswered(why),
    }
}
