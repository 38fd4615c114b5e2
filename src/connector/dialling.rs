//! Which addresses of a next hop are dialled, and in which order. It asks no DNS.

use std::net::IpAddr;

use serde::Serialize;

use crate::mail::{AddressReach, reach_of};

/// Which addresses an outbound connector dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct DialRules {
    /// The address families, and which comes first.
    pub family: AddressFamily,
    /// Which addresses mail exchangers may have.
    pub mx_addresses: MxAddresses,
}

/// The address families that are dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub enum AddressFamily {
    /// Both in turn, IPv6 first (RFC 8305 §4).
    #[default]
    PreferIpv6,
    /// Both in turn, IPv4 first.
    PreferIpv4,
    /// IPv6 only.
    Ipv6,
    /// IPv4 only.
    Ipv4,
}

/// Which addresses a mail exchanger may have. Anyone writes what they like into their MX records, and connections from here
/// reach more than theirs would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub enum MxAddresses {
    /// Those of the internet.
    #[default]
    Public,
    /// Those of private networks too.
    Private,
    /// Loopback addresses too.
    Any,
}

impl DialRules {
    /// The addresses of a mail exchanger that are dialled, in order.
    #[must_use]
    pub fn of_exchanger(self, addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        let allowed = addresses.into_iter().filter(|ip| self.mx_addresses.allow(*ip)).collect();
        self.family.arrange(allowed)
    }
}

impl AddressFamily {
    /// The addresses of these families, in turn: if one family is cut off, the other is next.
    #[must_use]
    pub fn arrange(self, addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        let (v6, v4): (Vec<IpAddr>, Vec<IpAddr>) = addresses.into_iter().partition(IpAddr::is_ipv6);
        match self {
            Self::PreferIpv6 => in_turn(v6, v4),
            Self::PreferIpv4 => in_turn(v4, v6),
            Self::Ipv6 => v6,
            Self::Ipv4 => v4,
        }
    }
}

fn in_turn(first: Vec<IpAddr>, second: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut both = Vec::with_capacity(first.len().saturating_add(second.len()));
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        match (first.next(), second.next()) {
            (None, None) => return both,
            (one, other) => both.extend(one.into_iter().chain(other)),
        }
    }
}

impl MxAddresses {
    /// What is allowed on a port where no key says it. Mail exchangers of the internet listen on port 25, so another port is
    /// that of a closed network, or of a lab on loopback.
    #[must_use]
    pub fn on_port(port: u16) -> Self {
        if [25, 465, 587].contains(&port) { Self::Public } else { Self::Any }
    }

    /// Whether a mail exchanger with this address is dialled.
    #[must_use]
    pub fn allow(self, ip: IpAddr) -> bool {
        match reach_of(ip) {
            AddressReach::Nowhere => false,
            AddressReach::Loopback => self == Self::Any,
            AddressReach::Private => self != Self::Public,
            AddressReach::Internet => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(text: &str) -> Vec<IpAddr> {
        text.split_whitespace().map(|ip| ip.parse().expect("an address")).collect()
    }

    #[track_caller]
    fn check(addresses: &str, expected: [bool; 3]) {
        for ip in ips(addresses) {
            let got = [MxAddresses::Public, MxAddresses::Private, MxAddresses::Any].map(|a| a.allow(ip));
            assert_eq!(got, expected, "{ip}");
        }
    }

    #[test]
    fn a_strangers_mx_record_leads_to_the_internet_only() {
        check(
            "8.8.8.8 100.63.0.1 172.32.0.1 2606:4700::1 64:ff9b::808:808 ::ffff:8.8.8.8",
            [true, true, true],
        );
        check("192.0.2.1 192.0.0.1 2001:db8::1 64:ff9b:1::808:808 4000::1", [false, true, true]);
        check("10.0.0.1 172.16.0.1 192.168.0.1 169.254.169.254 100.64.0.1 198.18.0.1", [false, true, true]);
        check(
            "fc00::1 fd12::1 fe80::1 fec0::1 64:ff9b::a00:1 2002:a00:1::1 ::ffff:10.0.0.1",
            [false, true, true],
        );
        check("127.0.0.1 127.9.9.9 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 ::127.0.0.1", [false, false, true]);
        check("0.0.0.0 0.1.2.3 224.0.0.1 255.255.255.255 240.0.0.1 :: ff02::1 ::ffff:0.0.0.0", [false; 3]);
    }

    #[test]
    fn the_port_of_the_internet_is_for_its_addresses() {
        let on = [25, 465, 2525].map(MxAddresses::on_port);
        assert_eq!(on, [MxAddresses::Public, MxAddresses::Public, MxAddresses::Any]);
    }

    #[test]
    fn the_families_take_turns_as_preferred() {
        let all = || ips("192.0.2.1 ::1 192.0.2.2 192.0.2.3");
        let arranged = |family: AddressFamily| family.arrange(all());
        assert_eq!(arranged(AddressFamily::PreferIpv6), ips("::1 192.0.2.1 192.0.2.2 192.0.2.3"));
        assert_eq!(arranged(AddressFamily::PreferIpv4), ips("192.0.2.1 ::1 192.0.2.2 192.0.2.3"));
        assert_eq!(arranged(AddressFamily::Ipv6), ips("::1"));
        assert_eq!(arranged(AddressFamily::Ipv4), ips("192.0.2.1 192.0.2.2 192.0.2.3"));
    }
}
