//! Whether an address belongs to the public internet (RFC 6890 and its registries).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is globally reachable: not loopback, private, link-local, shared, multicast, reserved or for
/// documentation. An IPv6 address that contains an IPv4 one (mapped, 6to4, NAT64) is judged by that one.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => inner(v6).map_or_else(|| is_public_v6(v6), is_public_v4),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let special = ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation();
    let ranges = match ip.octets() {
        // "This network"; IETF protocol assignments; shared address space; benchmarking; reserved and broadcast.
        [0 | 240..=255, ..] | [192, 0, 0, _] | [100, 64..=127, ..] | [198, 18 | 19, ..] => true,
        _ => false,
    };
    !special && !ranges
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // Documentation, and IETF protocol assignments with Teredo and ORCHID.
        [0x2001, 0x0db8, ..] | [0x2001, 0..=0x01ff, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        // Only 2000::/3 is allocated as global unicast.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// The IPv4 address inside an IPv6 one.
fn inner(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match ip.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => of(high, low),
        _ => None,
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
