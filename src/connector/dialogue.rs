//! How much of an inbound session's dialogue is logged, before and once its connector is known.

use std::net::IpAddr;

use super::sending::ProtocolLogging;
use super::table::{Inbound, Table};

impl Table {
    /// What is logged of a session whose connector is not known yet: the most that any connector asks for which this
    /// client could come by.
    #[must_use]
    pub fn logs_protocol(&self, listener: &str, peer: IpAddr) -> ProtocolLogging {
        let wanted = self.index.logged.iter().filter(|one| one.may_concern(listener, peer));
        wanted.map(|one| one.protocol_log).max().unwrap_or_default()
    }

    /// What the inbound connector of this name has logged.
    #[must_use]
    pub fn protocol_log_of(&self, inbound: &str) -> ProtocolLogging {
        let named = self.index.logged.iter().find(|one| &*one.name == inbound);
        named.map(|one| one.protocol_log).unwrap_or_default()
    }
}

impl Inbound {
    fn may_concern(&self, listener: &str, peer: IpAddr) -> bool {
        let listens = self.listeners.is_empty() || self.listeners.iter().any(|name| &**name == listener);
        listens && self.from_networks.admit(peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{Generation, Mode};

    fn inbound(name: &str, protocol_log: ProtocolLogging, network: Option<&str>) -> Inbound {
        let networks = network.iter().map(|network| network.parse().expect("a network"));
        Inbound { protocol_log, from_networks: networks.collect(), ..Inbound::new(name, Vec::new()) }
    }

    #[test]
    fn a_session_without_a_connector_counts_as_that_of_each_it_may_come_by() {
        let elsewhere =
            Inbound { listeners: vec!["other".into()], ..inbound("elsewhere", ProtocolLogging::Full, None) };
        let off = Inbound { mode: Mode::Off, ..inbound("off", ProtocolLogging::Full, None) };
        let connectors = vec![
            inbound("quiet", ProtocolLogging::Off, None),
            inbound("bank", ProtocolLogging::Errors, Some("192.0.2.0/24")),
            inbound("device", ProtocolLogging::Full, Some("192.0.2.7/32")),
            elsewhere,
            off,
        ];
        let table = Table::new(Generation(1), connectors, Vec::new());
        let check = |peer: &str, expected| {
            assert_eq!(table.logs_protocol("in", peer.parse().expect("an address")), expected, "{peer}");
        };
        check("198.51.100.1", ProtocolLogging::Off);
        check("192.0.2.1", ProtocolLogging::Errors);
        check("192.0.2.7", ProtocolLogging::Full);
        assert_eq!(table.protocol_log_of("bank"), ProtocolLogging::Errors);
        assert_eq!(table.protocol_log_of("off"), ProtocolLogging::Off);
    }
}
