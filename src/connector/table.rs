use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;

use super::choose::Index;
use super::{DomainPattern, Forced, PeerName, Require, Requirement, TlsVersion};
use crate::mail::Domain;

/// The connectors in force: who may hand us mail, and where mail goes.
#[derive(Debug)]
pub struct Table {
    /// Counts the tables of this process; a permit of an earlier one is void.
    pub generation: Generation,
    /// The inbound connectors, in no order that matters.
    pub inbound: Vec<Arc<Inbound>>,
    /// The outbound connectors, in no order that matters.
    pub outbound: Vec<Arc<Outbound>>,
    pub(super) index: Index,
}

/// Which table of this process a decision was made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// A digest of a connector's resolved settings and of the files it names: two connectors of the
/// same revision demand the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub [u8; 8]);

/// The name of a trust anchor set: `system`, or a `[trust.NAME]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct TrustId(pub Arc<str>);

/// Who may hand us mail, under which conditions, for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// The reverse-path domains it is about.
    pub from_domains: Vec<DomainPattern>,
    /// The networks it may come from; empty: from anywhere.
    pub from_networks: Vec<IpNet>,
    /// What is demanded of the channel.
    pub tls: InboundTls,
    /// The recipient domains it may relay to; empty: none.
    pub to_domains: Vec<DomainPattern>,
    /// The digest of all this.
    pub revision: Revision,
}

/// What an inbound connector demands of the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboundTls {
    /// Neither required nor judged.
    Off,
    /// Not required; what it showed is recorded.
    Opportunistic,
    /// Required, with these properties.
    Forced(Forced),
}

/// Where mail goes, under which conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// The recipient domains it is about.
    pub domains: Vec<DomainPattern>,
    /// Among connectors that fit equally well, the lowest is taken.
    pub cost: u16,
    /// The hosts it hands mail to.
    pub next_hop: NextHop,
    /// `None`: opportunistic. `Some`: forced, and what is demanded; for identity without
    /// `peer_names`, [`Outbound::requirement`] fills in the names.
    pub forced: Option<Forced>,
    /// The `[certificate.ID]` shown when the peer asks for one.
    pub client_certificate: Option<Arc<str>>,
    /// Opportunistic alone: what follows a broken handshake.
    pub on_handshake_failure: OnHandshakeFailure,
    /// Forced alone: what an unmet requirement leads to.
    pub on_failure: OnFailure,
    /// When to try again and when to give up.
    pub retry: Retry,
    /// Connections to a lane's hosts at the same time.
    pub connections: usize,
    /// The digest of all this and of the certificate and trust files it names.
    pub revision: Revision,
}

/// The hosts that an outbound connector hands mail to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextHop {
    /// The recipient domain's mail exchangers, on this port.
    Mx {
        /// 25, but for a lab without root.
        port: u16,
    },
    /// These hosts, in this order.
    SmartHosts(Vec<SmartHost>),
}

/// A configured next hop: no MX look-up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SmartHost {
    /// Its name or address.
    pub name: SmartHostName,
    /// Its port.
    pub port: u16,
}

/// How a smart host is named.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SmartHostName {
    /// By a name, to be resolved to addresses.
    Name(Domain),
    /// By an address.
    Ip(IpAddr),
}

/// What follows a forced requirement that no host meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnFailure {
    /// Try again until the connector's `expire`.
    Defer,
    /// Report at once.
    Bounce,
}

/// What follows a broken handshake under opportunistic TLS, once every host was tried over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnHandshakeFailure {
    /// A fresh connection in clear, in the same attempt.
    Clear,
    /// The same, but only at a later attempt.
    ClearLater,
    /// Never in clear to a host that offers TLS.
    Defer,
}

/// When to try again, when to tell the sender, when to give up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Retry {
    /// The waits after the first, second, … failure; the last one repeats. Never empty.
    pub waits: Vec<Duration>,
    /// How long after acceptance mail is given up.
    pub expire: Duration,
    /// How long after acceptance the sender is told of a delay; `None`: never.
    pub delay_dsn: Option<Duration>,
}

impl Table {
    /// A table of these connectors.
    #[must_use]
    pub fn new(generation: Generation, inbound: Vec<Inbound>, outbound: Vec<Outbound>) -> Self {
        let outbound: Vec<Arc<Outbound>> = outbound.into_iter().map(Arc::new).collect();
        let index = Index::new(&outbound);
        Self { generation, inbound: inbound.into_iter().map(Arc::new).collect(), outbound, index }
    }

    /// The trust anchor sets that inbound connectors judge client certificates by.
    #[must_use]
    pub fn inbound_trust(&self) -> Vec<TrustId> {
        let mut sets: BTreeMap<TrustId, ()> = BTreeMap::new();
        for connector in &self.inbound {
            if let InboundTls::Forced(forced) = &connector.tls {
                sets.extend(forced.trust().iter().map(|set| (set.clone(), ())));
            }
        }
        sets.into_keys().collect()
    }
}

impl Forced {
    /// The trust anchor sets it names.
    #[must_use]
    pub fn trust(&self) -> &[TrustId] {
        match &self.require {
            Require::Encryption => &[],
            Require::Chain { trust } | Require::Identity { trust, .. } => trust,
        }
    }
}

impl Outbound {
    /// What is demanded of a session for this recipient domain through this host. Reference
    /// identifiers are `peer_names`; else the smart host as configured; else the recipient
    /// domain, since an MX name learned by plain DNS proves nothing (RFC 9325 §7.1).
    #[must_use]
    pub fn requirement(&self, domain: Option<&Domain>, smart_host: Option<&SmartHostName>) -> Requirement {
        let Some(forced) = &self.forced else { return Requirement::Opportunistic };
        let Forced { require: Require::Identity { trust, names }, min_version } = forced else {
            return Requirement::Forced(forced.clone());
        };
        if !names.is_empty() {
            return Requirement::Forced(forced.clone());
        }
        let name = match (smart_host, domain) {
            (Some(SmartHostName::Name(host)), _) => Some(PeerName::Exact(host.clone())),
            (Some(SmartHostName::Ip(ip)), _) => Some(PeerName::Ip(*ip)),
            (None, Some(domain)) => Some(PeerName::Exact(domain.clone())),
            // No name to compare with: no certificate will do, and nothing is sent.
            (None, None) => None,
        };
        Requirement::Forced(Forced {
            require: Require::Identity { trust: trust.clone(), names: name.into_iter().collect() },
            min_version: *min_version,
        })
    }

    /// The word of the configuration: `forced` or `opportunistic`.
    #[must_use]
    pub fn tls_word(&self) -> &'static str {
        if self.forced.is_some() { "forced" } else { "opportunistic" }
    }
}

impl Forced {
    /// TLS 1.2 with any certificate: the weakest forced requirement.
    #[must_use]
    pub fn encryption() -> Self {
        Self { require: Require::Encryption, min_version: TlsVersion::V12 }
    }
}

impl TrustId {
    /// The trust anchors of the operating system.
    #[must_use]
    pub fn system() -> Self {
        Self("system".into())
    }
}

impl fmt::Display for TrustId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SmartHostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name}"),
            Self::Ip(ip) => write!(f, "[{ip}]"),
        }
    }
}

impl fmt::Display for SmartHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mx { port } => write!(f, "mx, port {port}"),
            Self::SmartHosts(hosts) => {
                f.write_str(&hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
        }
    }
}
