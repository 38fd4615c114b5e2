//! From where an address is reached (RFC 6890 and its registries).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// From where an address is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressReach {
    /// It is not a host's address.
    Nowhere,
    /// From this host only.
    Loopback,
    /// From this network only, or from none that is known.
    Private,
    /// From everywhere.
    Internet,
}

/// Whether an address is one of the internet.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    reach_of(ip) == AddressReach::Internet
}

/// From where an address is reached. An IPv6 address that carries an IPv4 address is reached as that is.
#[must_use]
pub fn reach_of(ip: IpAddr) -> AddressReach {
    match ip {
        IpAddr::V4(ip) => reach_of_v4(ip),
        IpAddr::V6(ip) if ip.is_loopback() => AddressReach::Loopback,
        IpAddr::V6(ip) if ip.is_unspecified() || ip.is_multicast() => AddressReach::Nowhere,
        IpAddr::V6(ip) => reach_of_v6(ip),
    }
}

fn reach_of_v4(ip: Ipv4Addr) -> AddressReach {
    match ip.octets() {
        // "This network" (RFC 1122 §3.2.1.3), multicast, reserved and broadcast.
        [0 | 224..=255, ..] => AddressReach::Nowhere,
        [127, ..] => AddressReach::Loopback,
        // Shared address space (RFC 6598), benchmarks (RFC 2544), IETF protocol assignments (RFC 6890).
        [100, 64..=127, ..] | [198, 18 | 19, ..] | [192, 0, 0, _] => AddressReach::Private,
        _ if ip.is_private() || ip.is_link_local() || ip.is_documentation() => AddressReach::Private,
        _ => AddressReach::Internet,
    }
}

fn reach_of_v6(ip: Ipv6Addr) -> AddressReach {
    let carried = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        reach_of_v4(Ipv4Addr::new(a, b, c, d))
    };
    match ip.segments() {
        // Mapped, translated by NAT64 (RFC 6052) and 6to4.
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => carried(high, low),
        // Compatible, which nobody routes.
        [0, 0, 0, 0, 0, 0, high, low] => match carried(high, low) {
            AddressReach::Internet => AddressReach::Private,
            other @ (AddressReach::Nowhere | AddressReach::Loopback | AddressReach::Private) => other,
        },
        // Documentation, and IETF protocol assignments with Teredo and ORCHID.
        [0x2001, 0x0db8, ..] | [0x2001, 0..=0x01ff, ..] | [0x3fff, 0..=0x0fff, ..] => AddressReach::Private,
        // Only 2000::/3 is allocated as global unicast. The rest is local: fc00::/7, fe80::/10, fec0::/10, and
        // 64:ff9b:1::/48 (RFC 8215).
        [0x2000..=0x3fff, ..] => AddressReach::Internet,
        _ => AddressReach::Private,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(public: bool, addresses: &[&str]) {
        for text in addresses {
            assert_eq!(is_public(text.parse().expect("an address")), public, "{text}");
        }
    }

    #[test]
    fn only_the_public_internet_is_public() {
        check(true, &["1.1.1.1", "9.9.9.9", "172.32.0.1", "100.128.0.1", "198.20.0.1", "223.255.255.1"]);
        check(
            true,
            &["2606:4700::1", "2a00:1450::1", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::1"],
        );
        check(false, &["127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1"]);
        check(false, &["169.254.169.254", "100.64.0.1", "192.0.0.8", "198.18.0.1", "224.0.0.1", "240.0.0.1"]);
        check(false, &["255.255.255.255", "192.0.2.1", "198.51.100.1", "203.0.113.1"]);
        check(false, &["::", "::1", "fe80::1", "fd00::1", "ff02::1", "2001:db8::1", "2001::1", "3fff::1"]);
        check(
            false,
            &["::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:7f00:1::1", "::7f00:1"],
        );
    }
}
