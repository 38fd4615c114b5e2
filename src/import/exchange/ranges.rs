//! Exchange takes the receive connector with the closest range of addresses; ours asks each whether its conditions hold.
//! So a wide connector leaves out the ranges of closer ones that admit less.

use ipnet::IpNet;

use super::super::settle::without;
use super::super::sketch::{InboundSketch, TlsSketch};

/// Takes the networks of stricter connectors out of the wider ones on the same listener.
pub(super) fn leave_out(inbound: &mut [InboundSketch]) {
    let others: Vec<InboundSketch> = inbound.to_vec();
    for wide in inbound.iter_mut().filter(|one| !one.off && relies_on_networks(one)) {
        let mut names = Vec::new();
        let before = wide.clone();
        for close in others.iter().filter(|close| is_stricter(close, &before)) {
            let within = |network: &&IpNet| {
                is_anywhere(&before.from_networks)
                    || before.from_networks.iter().any(|other| other.contains(*network) && other != *network)
            };
            let holes: Vec<IpNet> = close
                .from_networks
                .iter()
                .filter(|network| network.prefix_len() > 0)
                .filter(within)
                .copied()
                .collect();
            if holes.is_empty() {
                continue;
            }
            if is_anywhere(&wide.from_networks) {
                wide.from_networks = EVERYWHERE.iter().filter_map(|text| text.parse().ok()).collect();
            }
            for hole in holes {
                let left = wide.from_networks.iter().flat_map(|network| without(*network, hole));
                wide.from_networks = left.collect();
            }
            names.push(close.name.clone());
        }
        if !names.is_empty() {
            wide.notes.push(format!(
                "Without the networks of {}: Exchange takes the connector with the closest range.",
                names.join(", ")
            ));
        }
    }
}

/// A connector by certificate does not depend on where clients are.
fn relies_on_networks(connector: &InboundSketch) -> bool {
    !(connector.own && connector.from_networks.is_empty())
}

fn is_anywhere(networks: &[IpNet]) -> bool {
    networks.is_empty() || networks.iter().any(|network| network.prefix_len() == 0)
}

fn is_stricter(close: &InboundSketch, wide: &InboundSketch) -> bool {
    let forced = |one: &InboundSketch| matches!(one.tls, TlsSketch::Forced(_));
    // Connectors of Exchange Online have no listener, and no ranking by addresses.
    let shares_listener = !wide.listeners.is_empty() && close.listeners == wide.listeners;
    shares_listener && !close.off && ((forced(close) && !forced(wide)) || (wide.own && !close.own))
}

/// All addresses that clients have, without those that nobody has (0.0.0.0/8, 3000::/4): a whole family can't be written,
/// since it restricts nobody.
const EVERYWHERE: &[&str] = &[
    "1.0.0.0/8",
    "2.0.0.0/7",
    "4.0.0.0/6",
    "8.0.0.0/5",
    "16.0.0.0/4",
    "32.0.0.0/3",
    "64.0.0.0/2",
    "128.0.0.0/2",
    "192.0.0.0/3",
    "2000::/4",
    "fc00::/7",
    "fe80::/10",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_leaves_all_the_rest() {
        let left =
            without("10.0.0.0/8".parse().expect("a network"), "10.64.0.0/10".parse().expect("a network"));
        let left: Vec<String> = left.iter().map(ToString::to_string).collect();
        assert_eq!(left, ["10.0.0.0/10", "10.128.0.0/9"]);
    }

    #[test]
    fn a_wide_connector_leaves_out_the_stricter_one_only() {
        let of = |name: &str, networks: &[&str], tls: TlsSketch| InboundSketch {
            name: name.to_owned(),
            listeners: vec!["smtp".to_owned()],
            from_networks: networks.iter().map(|text| text.parse().expect("a network")).collect(),
            tls,
            ..InboundSketch::default()
        };
        let mut all = [
            of("wide", &[], TlsSketch::Opportunistic),
            of("close", &["192.0.2.0/24"], TlsSketch::encryption()),
            of("same", &["198.51.100.0/24"], TlsSketch::Opportunistic),
        ];
        leave_out(&mut all);
        let reaches = |address: &str| {
            let address: std::net::IpAddr = address.parse().expect("an address");
            all[0].from_networks.iter().any(|network| network.contains(&address))
        };
        assert!(
            !reaches("192.0.2.7")
                && reaches("192.0.3.1")
                && reaches("198.51.100.9")
                && reaches("2001:db8::1")
        );
        assert_eq!(all[0].notes.len(), 1);
        assert!(all[1].notes.is_empty() && all[2].notes.is_empty());
    }
}
