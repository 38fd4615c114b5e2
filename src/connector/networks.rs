//! The networks of an inbound connector, and whether they name anybody at all.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Serialize, Serializer};

/// ClientNetworks that clients must connect from; none: no network is required.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientNetworks {
    networks: Vec<IpNet>,
    restrict: bool,
}

/// The public addresses of a family.
#[derive(Debug, Clone, Copy)]
enum PublicSpace {
    V4,
    V6,
}

impl ClientNetworks {
    /// Whether a client at this address meets the condition.
    #[must_use]
    pub fn admit(&self, peer: IpAddr) -> bool {
        self.networks.is_empty() || self.cover(peer)
    }

    /// Whether the condition names this client: it covers the address, and not half the internet with it.
    #[must_use]
    pub fn name(&self, peer: IpAddr) -> bool {
        self.restrict && self.cover(peer)
    }

    /// Whether the condition keeps strangers out: there are networks, and together they cover less than a sixteenth of
    /// the public addresses of each family. `0.0.0.0/0` restricts nobody, be it one network or cut into several.
    #[must_use]
    pub fn restrict(&self) -> bool {
        self.restrict
    }

    /// Whether no network is required.
    #[must_use]
    pub fn is_anywhere(&self) -> bool {
        self.networks.is_empty()
    }

    /// A family of which every public address is covered, so that the condition means nothing for it.
    #[must_use]
    pub fn whole_family(&self) -> Option<&'static str> {
        let whole = |space| covered(&self.networks, space) == space.size();
        [(PublicSpace::V4, "IPv4"), (PublicSpace::V6, "IPv6")]
            .into_iter()
            .find_map(|(space, word)| whole(space).then_some(word))
    }

    /// The networks, sorted and each once.
    pub fn iter(&self) -> impl Iterator<Item = &IpNet> {
        self.networks.iter()
    }

    fn cover(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.networks.iter().any(|network| network.contains(&peer))
    }
}

impl FromIterator<IpNet> for ClientNetworks {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let mut networks: Vec<IpNet> = networks.into_iter().collect();
        networks.sort();
        networks.dedup();
        let few = |space: PublicSpace| covered(&networks, space) < space.size() / 16;
        let restrict = !networks.is_empty() && few(PublicSpace::V4) && few(PublicSpace::V6);
        Self { networks, restrict }
    }
}

impl Serialize for ClientNetworks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.networks.serialize(serializer)
    }
}

impl PublicSpace {
    /// Unicast IPv4, and the part of IPv6 from which public addresses are assigned (RFC 4291 §2.4).
    fn networks(self) -> Vec<IpNet> {
        match self {
            Self::V4 => [([0, 0, 0, 0], 1), ([128, 0, 0, 0], 2), ([192, 0, 0, 0], 3)]
                .into_iter()
                .filter_map(|(address, bits)| Ipv4Net::new(address.into(), bits).ok())
                .map(IpNet::V4)
                .collect(),
            Self::V6 => {
                let assigned = Ipv6Net::new([0x2000, 0, 0, 0, 0, 0, 0, 0].into(), 3);
                assigned.into_iter().map(IpNet::V6).collect()
            }
        }
    }

    fn size(self) -> u128 {
        self.networks().iter().map(size).sum()
    }
}

/// How many public addresses the networks cover.
fn covered(networks: &[IpNet], space: PublicSpace) -> u128 {
    let joined = IpNet::aggregate(&networks.to_vec());
    let part = |network: &IpNet, frame: &IpNet| {
        if frame.contains(network) {
            size(network)
        } else if network.contains(frame) {
            size(frame)
        } else {
            0
        }
    };
    let frames = space.networks();
    joined.iter().flat_map(|network| frames.iter().map(move |frame| part(network, frame))).sum()
}

fn size(network: &IpNet) -> u128 {
    // The whole of IPv6 would not fit, but is never counted: its public part is smaller.
    1_u128
        .checked_shl(u32::from(network.max_prefix_len().saturating_sub(network.prefix_len())))
        .unwrap_or(u128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(networks: &[&str], restrict: bool, whole: Option<&str>) {
        let parsed: ClientNetworks =
            networks.iter().map(|text| text.parse::<IpNet>().expect("a network")).collect();
        assert_eq!((parsed.restrict(), parsed.whole_family()), (restrict, whole), "{networks:?}");
    }

    #[test]
    fn networks_that_cover_the_internet_restrict_nobody() {
        check(&[], false, None);
        check(&["192.0.2.0/24"], true, None);
        check(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"], true, None);
        check(&["0.0.0.0/0"], false, Some("IPv4"));
        check(&["::/0"], false, Some("IPv6"));
        check(&["192.0.2.0/24", "::/0"], false, Some("IPv6"));
        check(&["0.0.0.0/1", "128.0.0.0/1"], false, Some("IPv4"));
        check(&["0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/3"], false, Some("IPv4"));
        check(&["2000::/4", "3000::/4"], false, Some("IPv6"));
        check(&["0.0.0.0/1"], false, None);
        check(&["0.0.0.0/4", "16.0.0.0/4"], false, None);
        check(&["64.0.0.0/5"], true, None);
        check(&["2000::/5"], false, None);
        check(&["2a00::/12", "fe80::/10"], true, None);
    }

    #[test]
    fn a_network_within_another_counts_once() {
        check(&["64.0.0.0/5", "64.0.0.0/6", "68.0.0.0/6"], true, None);
        check(&["64.0.0.0/5", "72.0.0.0/5"], false, None);
    }

    #[test]
    fn an_empty_list_admits_everybody_and_names_nobody() {
        let peer: IpAddr = "::ffff:192.0.2.7".parse().expect("an address");
        let of = |texts: &[&str]| -> ClientNetworks {
            texts.iter().map(|t| t.parse::<IpNet>().expect("a network")).collect()
        };
        let seen = |networks: &ClientNetworks| (networks.admit(peer), networks.name(peer));
        assert_eq!(seen(&of(&[])), (true, false));
        assert_eq!(seen(&of(&["192.0.2.0/24"])), (true, true));
        assert_eq!(seen(&of(&["198.51.100.0/24"])), (false, false));
        assert_eq!(seen(&of(&["128.0.0.0/1"])), (true, false));
    }
}
