//! The addresses of our listeners, as a client on this host can reach them, and from where.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::intruder::{BoundDomains, Intruder, admitted_by_design};
use super::visit::{ProbeAnnouncer, VisitedDoor};
use crate::config::Config;
use crate::connector::{ClientKind, Table};
use crate::listen::settings::ListenerTls;

/// Every address of the listeners. One on all addresses of a family stands for each address of this host.
pub(super) fn doors(
    config: &Config,
    listening: &[(String, SocketAddr)],
    announcer: &ProbeAnnouncer,
    (table, bound): (&Table, &[BoundDomains]),
) -> Vec<VisitedDoor> {
    let local = local_addresses();
    let mut doors: Vec<VisitedDoor> = Vec::new();
    for (name, address) in listening {
        let settings = config.listen.listeners.iter().find(|one| one.name == *name);
        let delay = settings.and_then(|one| one.greeting_delay).unwrap_or_default();
        for address in expanded(*address, &local) {
            let source = source(name, address, &local, (table, bound));
            doors.push(VisitedDoor {
                listener: name.clone(),
                address,
                source,
                others: usable(address, &local),
                tls: settings.map_or(ListenerTls::StartTls, |one| one.tls),
                patience: STEP.saturating_add(delay),
                announcer: Arc::clone(announcer),
            });
        }
    }
    doors
}

/// Every address of this host from which there is a way to this one.
fn usable(to: SocketAddr, local: &[SocketAddr]) -> Vec<SocketAddr> {
    let fits = |one: &&SocketAddr| one.is_ipv4() == to.is_ipv4() && !is_of_link(**one);
    if is_of_link(to) { Vec::new() } else { local.iter().filter(fits).copied().collect() }
}

/// The addresses that a bound one stands for.
fn expanded(address: SocketAddr, local: &[SocketAddr]) -> Vec<SocketAddr> {
    if !address.ip().is_unspecified() {
        return vec![address];
    }
    let same = local.iter().filter(|one| one.is_ipv4() == address.is_ipv4()).copied();
    same.map(|mut one| {
        one.set_port(address.port());
        one
    })
    .collect()
}

/// The address of this host from which sessions tell the most: as few of our own connectors as possible take mail of
/// any name from there. One that no program uses comes first, so that limits for each client count nobody else's sessions.
fn source(
    listener: &str,
    to: SocketAddr,
    local: &[SocketAddr],
    (table, bound): (&Table, &[BoundDomains]),
) -> SocketAddr {
    let mut own = to;
    own.set_port(0);
    if is_of_link(own) {
        return own;
    }
    let first: IpAddr = if to.is_ipv4() { OWN_LOOPBACK.into() } else { Ipv6Addr::LOCALHOST.into() };
    let first = SocketAddr::new(first, 0);
    let others = local.iter().filter(|one| one.is_ipv4() == to.is_ipv4() && !is_of_link(**one)).copied();
    let admitted = |source: &SocketAddr| {
        let domains = bound.iter().flat_map(|one| &one.domains);
        let by_own = domains.filter(|domain| {
            let by = admitted_by_design(table, (listener, source.ip()), Intruder::Plaintext, domain);
            by.is_some_and(|one| one.kind == ClientKind::Own)
        });
        by_own.count()
    };
    [first, own].into_iter().chain(others).min_by_key(admitted).unwrap_or(first)
}

/// Whether it is an address of one link, which is only reached from there.
fn is_of_link(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(one) if one.scope_id() != 0)
}

/// The addresses of this host, with port 0; the loopback addresses if the system does not say.
fn local_addresses() -> Vec<SocketAddr> {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let v4 = parse_fib(&read("/proc/net/fib_trie"));
    let v6 = parse_inet6(&read("/proc/net/if_inet6"));
    let v4 = if v4.is_empty() { vec![(Ipv4Addr::LOCALHOST, 0).into()] } else { v4 };
    let v6 = if v6.is_empty() { vec![(Ipv6Addr::LOCALHOST, 0).into()] } else { v6 };
    v4.into_iter().chain(v6).collect()
}

/// The local addresses of the IPv4 routing table, as proc(5) shows it.
fn parse_fib(text: &str) -> Vec<SocketAddr> {
    let mut last: Option<Ipv4Addr> = None;
    let mut found: Vec<SocketAddr> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = last
            && !found.contains(&(address, 0).into())
        {
            found.push((address, 0).into());
        }
    }
    found
}

/// The IPv6 addresses of the interfaces: address, interface, prefix, scope, flags, name. One of a link needs its interface.
fn parse_inet6(text: &str) -> Vec<SocketAddr> {
    let one = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (address, interface) = (fields.next()?, fields.next()?);
        let (scope, flags) = (fields.nth(1)?, fields.next()?);
        let address = Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?);
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let scope = if scope == LINK { u32::from_str_radix(interface, 16).ok()? } else { 0 };
        // One that is being checked for duplicates, or is one, can't be used.
        let usable = flags & (TENTATIVE | FAILED) == 0;
        usable.then(|| SocketAddr::V6(std::net::SocketAddrV6::new(address, 0, 0, scope)))
    };
    text.lines().filter_map(one).collect()
}

/// An address of this host that nothing else uses (127.0.0.0/8 is all of it).
const OWN_LOOPBACK: Ipv4Addr = Ipv4Addr::new(127, 83, 69, 65);
/// A link's scope in `if_inet6`.
const LINK: &str = "20";
const TENTATIVE: u32 = 0x40;
const FAILED: u32 = 0x08;
/// For each step of a session with a listener.
const STEP: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_this_host_are_read_from_the_system() {
        let fib = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 192.0.2.0\n        /24 link UNICAST\n     |-- 192.0.2.7\n        \
                   /32 host LOCAL\nLocal:\n     |-- 127.0.0.0\n        /8 host LOCAL\n     |-- 127.0.0.1\n        /32 host \
                   LOCAL\n     |-- 192.0.2.7\n        /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link BROADCAST\n";
        let found: Vec<String> = parse_fib(fib).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.7:0", "127.0.0.1:0"]);
        let inet6 = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     fe80000000000000021122fffe334455 02 40 20 80     eth0\n\
                     20010db8000000000000000000000009 02 40 00 c0     eth0\n";
        let found: Vec<String> = parse_inet6(inet6).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["[::1]:0", "[fe80::211:22ff:fe33:4455%2]:0"]);
    }

    #[test]
    fn a_listener_on_all_addresses_is_each_of_its_family() {
        let local: Vec<SocketAddr> = ["127.0.0.1:0", "192.0.2.7:0", "[::1]:0"]
            .iter()
            .map(|one| one.parse().expect("an address"))
            .collect();
        let check = |bound: &str, expected: &[&str]| {
            let found: Vec<String> = expanded(bound.parse().expect("an address"), &local)
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found, expected);
        };
        check("0.0.0.0:25", &["127.0.0.1:25", "192.0.2.7:25"]);
        check("[::]:25", &["[::1]:25"]);
        check("192.0.2.9:25", &["192.0.2.9:25"]);
    }
}
