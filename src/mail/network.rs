//! Groups client addresses into networks for limits. It counts nothing itself.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::hash::stable_hash;

/// The prefix length, in bits, that groups addresses into one network for limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkBits {
    /// Prefix length for IPv4, at most 32.
    pub ipv4: u8,
    /// Prefix length for IPv6, at most 128.
    pub ipv6: u8,
}

impl Default for NetworkBits {
    /// A site has one IPv4 address, or a whole IPv6 /64 (RFC 6177 §2).
    fn default() -> Self {
        Self { ipv4: 32, ipv6: 64 }
    }
}

/// The network that an address is counted under for limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(IpNet);

impl Network {
    /// The network of an address. An IPv4-mapped IPv6 address counts as IPv4.
    #[must_use]
    pub fn of(address: IpAddr, bits: NetworkBits) -> Self {
        let address = address.to_canonical();
        let bits = match address {
            IpAddr::V4(_) => bits.ipv4,
            IpAddr::V6(_) => bits.ipv6,
        };
        // A prefix longer than the address: the address itself.
        Self(IpNet::new(address, bits).map_or_else(|_| IpNet::from(address), |network| network.trunc()))
    }

    /// A hash of it that is the same in every release, and never 0: what is on disk may have it.
    #[must_use]
    pub fn mark(&self) -> u64 {
        let address = match self.0.addr() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        stable_hash(address.octets().into_iter().chain([self.0.prefix_len()])).max(1)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            return write!(f, "{}", self.0.addr());
        }
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, ipv4: u8, ipv6: u8, expected: &str) {
        let address = address.parse().expect("an address");
        assert_eq!(Network::of(address, NetworkBits { ipv4, ipv6 }).to_string(), expected);
    }

    #[test]
    fn an_address_is_counted_with_its_network() {
        check("192.0.2.77", 32, 64, "192.0.2.77");
        check("192.0.2.77", 24, 64, "192.0.2.0/24");
        check("2001:db8::1:2:3:4", 32, 64, "2001:db8::/64");
        check("2001:db8:0:1::1", 32, 56, "2001:db8::/56");
        check("2001:db8::1", 32, 128, "2001:db8::1");
        check("::ffff:192.0.2.77", 32, 64, "192.0.2.77");
        check("192.0.2.77", 64, 64, "192.0.2.77");
    }

    #[test]
    fn marks_are_the_same_in_every_release() {
        let mark = |address: &str| {
            Network::of(address.parse().expect("an address"), NetworkBits { ipv4: 24, ipv6: 64 }).mark()
        };
        assert_eq!(mark("192.0.2.77"), 0x0416_0d97_d26e_cec3);
        assert_eq!(mark("192.0.2.1"), mark("192.0.2.77"));
        assert_eq!(mark("2001:db8::1:2:3:4"), 0x99c8_450b_3c0c_2c65);
        assert_ne!(mark("192.0.3.77"), mark("192.0.2.77"));
    }
}
