use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    DomainPattern, Forced, PeerName, Recipients, Require, Requirement, SendingSettings, TrustId, User, Users,
};
use crate::mail::Domain;

/// The connectors in effect: who may hand us mail, and where mail goes.
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

/// The connectors by what they cover: choosing costs one look-up for each label.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) exact: HashMap<Domain, Arc<Outbound>>,
    pub(super) below: HashMap<Domain, Arc<Outbound>>,
    pub(super) any: Option<Arc<Outbound>>,
}

impl Index {
    pub(super) fn new(outbound: &[Arc<Outbound>]) -> Self {
        let mut index = Self::default();
        // Whoever comes last stays: the lowest cost, then the first name.
        let mut order: Vec<&Arc<Outbound>> = outbound.iter().filter(|c| c.mode != Mode::Off).collect();
        order.sort_by(|a, b| (b.cost, &b.name).cmp(&(a.cost, &a.name)));
        for connector in order {
            for pattern in &connector.domains {
                match pattern {
                    DomainPattern::Exact(domain) => {
                        index.exact.insert(domain.clone(), Arc::clone(connector));
                    }
                    DomainPattern::Below(domain) => {
                        index.below.insert(domain.clone(), Arc::clone(connector));
                    }
                    DomainPattern::Any => index.any = Some(Arc::clone(connector)),
                }
            }
        }
        index
    }
}

/// Which table of this process a decision was made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// A digest of a connector's resolved settings and of the files it names: two connectors of the
/// same revision demand the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub [u8; 8]);

/// Who may hand us mail, under which conditions, for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inbound {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// The reverse-path domains it is about.
    pub from_domains: Vec<DomainPattern>,
    /// The networks it may come from; empty: from anywhere.
    pub from_networks: Vec<IpNet>,
    /// Who must have logged in; `None`: nobody must.
    pub users: Option<Arc<Users>>,
    /// What is demanded of the channel.
    pub tls: InboundTls,
    /// Whether what it demands of the channel is enforced.
    pub mode: Mode,
    /// What becomes of the mail that comes by it.
    pub onward: Onward,
    /// How much a refusal tells.
    pub reveal: Reveal,
    /// What becomes of a LF without a CR in content.
    pub bare_lf: BareLf,
    /// Its own limits.
    pub limits: InboundLimits,
    /// The recipient domains it may relay to; empty: none.
    pub to_domains: Vec<DomainPattern>,
    /// The recipients that are known there; `None`: every one may be.
    pub recipients: Option<Arc<Recipients>>,
    /// The next hop is asked whether it knows a recipient.
    pub verify_recipients: bool,
    /// The digest of all this and of the files it names.
    #[serde(skip)]
    pub revision: Revision,
}

/// What an inbound connector demands of the channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum InboundTls {
    /// Neither required nor judged.
    Off,
    /// Not required; what it showed is recorded.
    Opportunistic,
    /// Required, with these properties.
    Forced(Forced),
}

/// What becomes of a LF without a CR in content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BareLf {
    /// The message is refused (RFC 5321 §2.3.8).
    #[default]
    Refuse,
    /// It is given its CR: for old devices.
    Normalize,
}

/// Where mail goes, under which conditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outbound {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// The recipient domains it is about.
    pub domains: Vec<DomainPattern>,
    /// Among connectors that fit equally well, the lowest is taken.
    pub cost: u16,
    /// The hosts it hands mail to.
    pub next_hop: NextHop,
    /// What is demanded of TLS; for identity without `peer_names`, [`Outbound::requirement`]
    /// fills in the names.
    pub tls: OutboundTls,
    /// Whether that is enforced.
    pub mode: Mode,
    /// Where TLS begins.
    pub handshake: Handshake,
    /// The SNI name; by default the host's own.
    pub sni: Sni,
    /// The addresses its connections come from: at most one of each family.
    pub source_addresses: Vec<IpAddr>,
    /// What it calls us in EHLO, where that is not the server's name.
    pub ehlo_name: Option<Domain>,
    /// Opportunistic alone: a domain once seen with TLS is not served in clear without an alarm
    /// and a delay.
    pub remember_tls: bool,
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
    /// How its sessions are used.
    pub sending: SendingSettings,
    /// The digest of all this and of the files it names.
    #[serde(skip)]
    pub revision: Revision,
}

/// What an outbound connector demands of TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum OutboundTls {
    /// Never asked for.
    Off,
    /// Taken if offered.
    Opportunistic,
    /// Required, with these properties.
    Forced(Forced),
}

/// Whether a connector's demands are enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// They are.
    #[default]
    Enforce,
    /// Judged and told, but not enforced: a rehearsal.
    Audit,
    /// The connector serves nothing, as if it weren't there; it can still be validated.
    Off,
}

/// Where TLS begins on an outbound connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub enum Handshake {
    /// After STARTTLS (RFC 3207).
    #[default]
    StartTls,
    /// With the first octet (RFC 8314 §3).
    Implicit,
}

/// Which SNI name is sent (RFC 6066 §3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
pub enum Sni {
    /// The name of the host, if it has one.
    #[default]
    Host,
    /// This one.
    Name(Domain),
    /// None.
    Nothing,
}

/// What becomes of mail after it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Onward {
    /// It goes by whatever connector serves the recipient.
    #[default]
    Any,
    /// It leaves only by sessions under an enforced, forced requirement.
    Sealed,
}

/// How much strangers learn: the client from a refusal, and a sender outside our organisation from a
/// report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reveal {
    /// Everything, to both.
    Full,
    /// The client: connector, what was required and attained, which are about its own connection. The sender: codes and
    /// what happened in general.
    #[default]
    Partner,
    /// Codes and general sentences, to both.
    Code,
}

/// An inbound connector's own limits; `None`: those of the server alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct InboundLimits {
    /// Octets of one message.
    pub message_bytes_max: Option<u64>,
    /// Recipients of one message.
    pub recipients_max: Option<usize>,
    /// Messages a minute, over all its sessions.
    pub messages_per_minute_max: Option<u32>,
    /// Sessions at the same time that it is attributed to.
    pub connections_max: Option<usize>,
}

/// The hosts that an outbound connector hands mail to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct SmartHost {
    /// Its name or address.
    pub name: SmartHostName,
    /// Its port.
    pub port: u16,
}

/// How a smart host is named.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub enum SmartHostName {
    /// By a name, to be resolved to addresses.
    Name(Domain),
    /// By an address.
    Ip(IpAddr),
}

/// What follows a forced requirement that no host meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub enum OnFailure {
    /// Try again until the connector's `expire`.
    #[default]
    Defer,
    /// Report at once.
    Bounce,
}

/// What follows a broken handshake under opportunistic TLS, once every host was tried over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub enum OnHandshakeFailure {
    /// A fresh connection in clear, in the same attempt.
    #[default]
    Clear,
    /// The same, but only at a later attempt.
    ClearLater,
    /// Never in clear to a host that offers TLS.
    Defer,
}

/// When to try again, when to tell the sender, when to give up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
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

    /// Whether a client may log in: some connector that is not off asks for it.
    #[must_use]
    pub fn knows_users(&self) -> bool {
        self.inbound.iter().any(|c| c.users.is_some() && c.mode != Mode::Off)
    }
}

impl User {
    /// Somebody of this name, taken for a user of every file that has it.
    #[must_use]
    pub fn supposed(name: &str, table: &Table) -> Self {
        let lists = table.inbound.iter().filter_map(|c| c.users.as_ref());
        let files =
            lists.filter(|users| users.hashes.contains_key(name)).map(|users| Arc::clone(&users.file));
        Self { name: name.into(), files: files.collect() }
    }
}

impl Inbound {
    /// A connector that admits these reverse-path domains from anywhere, relays to none, and asks nothing else.
    #[must_use]
    pub fn new(name: &str, from_domains: Vec<DomainPattern>) -> Self {
        Self {
            name: name.into(),
            from_domains,
            from_networks: Vec::new(),
            users: None,
            tls: InboundTls::Opportunistic,
            mode: Mode::default(),
            onward: Onward::default(),
            reveal: Reveal::default(),
            bare_lf: BareLf::default(),
            limits: InboundLimits::default(),
            to_domains: Vec::new(),
            recipients: None,
            verify_recipients: false,
            revision: Revision::default(),
        }
    }
}

impl Outbound {
    /// A connector that hands these domains' mail to these hosts, encrypted if TLS is offered, over one
    /// connection, and tries for an hour.
    #[must_use]
    pub fn new(name: &str, domains: Vec<DomainPattern>, next_hop: NextHop) -> Self {
        let minute = Duration::from_secs(60);
        Self {
            name: name.into(),
            domains,
            cost: 10,
            next_hop,
            tls: OutboundTls::Opportunistic,
            mode: Mode::default(),
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

    /// What is demanded of a session for this recipient domain through this host. Reference
    /// identifiers are `peer_names`; else the smart host as configured; else the recipient
    /// domain, since an MX name learned by plain DNS proves nothing (RFC 9325 §7.1).
    #[must_use]
    pub fn requirement(&self, domain: Option<&Domain>, smart_host: Option<&SmartHostName>) -> Requirement {
        let forced = match &self.tls {
            OutboundTls::Off => return Requirement::Off,
            OutboundTls::Opportunistic => return Requirement::Opportunistic,
            OutboundTls::Forced(forced) => forced,
        };
        let forced = named(forced, domain, smart_host);
        match self.mode {
            Mode::Enforce | Mode::Off => Requirement::Forced(forced),
            Mode::Audit => Requirement::Audit(forced),
        }
    }

    /// What forced TLS demands, enforced or not; `None` where it is not forced.
    #[must_use]
    pub fn forced(&self) -> Option<&Forced> {
        match &self.tls {
            OutboundTls::Off | OutboundTls::Opportunistic => None,
            OutboundTls::Forced(forced) => Some(forced),
        }
    }

    /// Whether nothing may leave by it in clear.
    #[must_use]
    pub fn is_enforced(&self) -> bool {
        self.forced().is_some() && self.mode != Mode::Audit
    }

    /// The word of the configuration: `off`, `opportunistic`, `forced` or `implicit`.
    #[must_use]
    pub fn tls_word(&self) -> &'static str {
        match (&self.tls, self.handshake) {
            (OutboundTls::Off, _) => "off",
            (OutboundTls::Opportunistic, _) => "opportunistic",
            (OutboundTls::Forced(_), Handshake::StartTls) => "forced",
            (OutboundTls::Forced(_), Handshake::Implicit) => "implicit",
        }
    }
}

/// The demands with the reference identifiers filled in.
fn named(forced: &Forced, domain: Option<&Domain>, smart_host: Option<&SmartHostName>) -> Forced {
    let Require::Identity { trust, names } = &forced.require else { return forced.clone() };
    if !names.is_empty() {
        return forced.clone();
    }
    let name = match (smart_host, domain) {
        (Some(SmartHostName::Name(host)), _) => Some(PeerName::Exact(host.clone())),
        (Some(SmartHostName::Ip(ip)), _) => Some(PeerName::Ip(*ip)),
        (None, Some(domain)) => Some(PeerName::Exact(domain.clone())),
        // No name to compare with: no certificate will do, and nothing is sent.
        (None, None) => None,
    };
    let require = Require::Identity { trust: trust.clone(), names: name.into_iter().collect() };
    Forced { require, ..forced.clone() }
}

impl Mode {
    /// The word of the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Audit => "audit",
            Self::Off => "off",
        }
    }
}

mod words;
