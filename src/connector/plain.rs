//! Connectors that ask for nothing beyond what they must: the starting point of those that something else builds.

use std::time::Duration;

use super::brake::BrakeMode;
use super::dialling::{DialRules, MxAddresses};
use super::headers::HeaderHandling;
use super::networks::ClientNetworks;
use super::onward::Onward;
use super::pattern::DomainPattern;
use super::sending::{ProtocolLogging, SendingSettings};
use super::table::{
    BareLf, ClientKind, Handshake, Inbound, InboundLimits, InboundTls, Mode, NextHop, OnFailure,
    OnHandshakeFailure, Outbound, OutboundTls, Retry, Reveal, Revision, Sni,
};

impl Inbound {
    /// A connector that admits these reverse-path domains from anywhere, relays nowhere, and requires nothing
    /// else.
    #[must_use]
    pub fn new(name: &str, from_domains: Vec<DomainPattern>) -> Self {
        Self {
            name: name.into(),
            partner: None,
            kind: ClientKind::default(),
            listeners: Vec::new(),
            except_domains: Vec::new(),
            from_domains,
            from_networks: ClientNetworks::default(),
            users: None,
            tls: InboundTls::Opportunistic,
            mode: Mode::default(),
            override_floor: None,
            onward: Onward::default(),
            raise: Vec::new(),
            headers: HeaderHandling::default(),
            originators: Vec::new(),
            arrival_header: false,
            reveal: Reveal::default(),
            bare_lf: BareLf::default(),
            lenient: false,
            limits: InboundLimits::default(),
            brake: BrakeMode::default(),
            to_domains: Vec::new(),
            recipients: None,
            verify_recipients: false,
            protocol_log: ProtocolLogging::default(),
            echo: None,
            revision: Revision::default(),
        }
    }
}

impl Outbound {
    /// A connector that sends mail for these domains to these hosts, with TLS if offered, over one
    /// connection, and retries for an hour.
    #[must_use]
    pub fn new(name: &str, domains: Vec<DomainPattern>, next_hop: NextHop) -> Self {
        let minute = Duration::from_secs(60);
        let mx_addresses = match &next_hop {
            NextHop::Mx { port } => MxAddresses::on_port(*port),
            NextHop::SmartHosts(_) => MxAddresses::default(),
        };
        Self {
            name: name.into(),
            partner: None,
            domains,
            from_connectors: Vec::new(),
            cost: 10,
            dialling: DialRules { mx_addresses, ..DialRules::default() },
            next_hop,
            tls: OutboundTls::Opportunistic(None),
            mode: Mode::default(),
            override_floor: None,
            handshake: Handshake::default(),
            sni: Sni::default(),
            source_addresses: Vec::new(),
            ehlo_name: None,
            remember_tls: false,
            client_certificate: None,
            on_handshake_failure: OnHandshakeFailure::default(),
            on_failure: OnFailure::default(),
            retry: Retry { waits: vec![minute], expire: minute * 60, delay_dsn: None },
            connections: 1,
            sending: SendingSettings::default(),
            revision: Revision::default(),
        }
    }
}
