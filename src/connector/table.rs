//! The connector table: inbound and outbound connectors as checked values. Choosing and judging are in other
//! files.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::arrival::{Arrival, PatternServers};
use super::brake::BrakeMode;
use super::{
    ClientNetworks, DialRules, DomainPattern, Forced, HeaderHandling, Onward, Ourselves, OverrideLevel,
    Partner, PeerName, Profile, ProtocolLogging, RaiseRule, Recipients, Require, Requirement,
    SendingSettings, TrustId, TrustSets, User, Users,
};
use crate::mail::Domain;

/// The connectors in effect: who may hand us mail, and where mail is sent.
#[derive(Debug)]
pub struct Table {
    /// Increases with every table of this process; a permit issued under an earlier table is void.
    pub generation: Generation,
    /// The inbound connectors; order is irrelevant.
    pub inbound: Vec<Arc<Inbound>>,
    /// The outbound connectors; order is irrelevant.
    pub outbound: Vec<Arc<Outbound>>,
    /// The trust anchor sets that they name.
    pub trust: TrustSets,
    /// What we show others.
    pub ourselves: Ourselves,
    pub(super) index: Index,
}

/// What is looked up often. Outbound connectors are indexed by pattern: choosing costs one lookup per label.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) exact: HashMap<Domain, PatternServers<Outbound>>,
    pub(super) below: HashMap<Domain, PatternServers<Outbound>>,
    pub(super) any: PatternServers<Outbound>,
    /// The inbound connectors that promote header fields: few, and asked about at each MAIL.
    pub(super) promoting: Vec<Arc<Inbound>>,
    /// Whether an outbound connector does.
    pub(super) promotes_onward: bool,
    /// The inbound connectors that have dialogues logged.
    pub(super) logged: Vec<Arc<Inbound>>,
}

impl Index {
    pub(super) fn new(inbound: &[Arc<Inbound>], outbound: &[Arc<Outbound>]) -> Self {
        let promotes = |headers| headers == HeaderHandling::Promote;
        let logs = |c: &Inbound| c.mode != Mode::Off && c.protocol_log != ProtocolLogging::Off;
        let mut index = Self {
            promoting: inbound.iter().filter(|c| promotes(c.headers)).cloned().collect(),
            logged: inbound.iter().filter(|c| logs(c)).cloned().collect(),
            promotes_onward: outbound.iter().any(|c| promotes(c.sending.headers)),
            ..Self::default()
        };
        // The last one inserted wins: the lowest cost, then the first name.
        let mut order: Vec<&Arc<Outbound>> = outbound.iter().filter(|c| c.mode != Mode::Off).collect();
        order.sort_by(|a, b| (b.cost, &b.name).cmp(&(a.cost, &a.name)));
        for connector in order {
            for pattern in &connector.domains {
                let servers = match pattern {
                    DomainPattern::Exact(domain) => index.exact.entry(domain.clone()).or_default(),
                    DomainPattern::Below(domain) => index.below.entry(domain.clone()).or_default(),
                    DomainPattern::Any => &mut index.any,
                };
                servers.insert(&connector.from_connectors, connector);
            }
        }
        index
    }
}

/// Which table of this process a decision was based on.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// A digest of a connector's resolved settings and of the files it names: connectors with the same revision
/// have the same requirements.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub [u8; 8]);

/// Who may hand us mail, under which conditions, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inbound {
    /// The connector's name in the configuration.
    pub name: Arc<str>,
    /// The partner it belongs to, whose domains are its `from_domains`.
    pub partner: Option<Arc<Partner>>,
    /// Whose mail it takes.
    pub kind: ClientKind,
    /// The listeners it takes mail on; empty: all.
    pub listeners: Vec<Arc<str>>,
    /// The reverse-path domains it does not cover, although `from_domains` does.
    pub except_domains: Vec<DomainPattern>,
    /// The reverse-path domains it covers; empty for our own systems, which may use any.
    pub from_domains: Vec<DomainPattern>,
    /// The networks clients may connect from.
    pub from_networks: ClientNetworks,
    /// The users of whom one must have logged in; `None`: no login is required.
    pub users: Option<Arc<Users>>,
    /// The TLS requirement.
    pub tls: InboundTls,
    /// Whether the TLS requirement is enforced.
    pub mode: Mode,
    /// How far an override may lower the requirement; `None`: not at all.
    pub override_floor: Option<OverrideLevel>,
    /// What is required for sending this mail on.
    pub onward: Onward,
    /// The rules by which a message raises that.
    pub raise: Vec<RaiseRule>,
    /// What happens to header fields of Exchange.
    pub headers: HeaderHandling,
    /// The organisations whose fields are promoted; empty: any.
    pub originators: Vec<DomainPattern>,
    /// Whether the next hop is told, in a header field, how a message came.
    pub arrival_header: bool,
    /// How much a refusal or report discloses.
    pub reveal: Reveal,
    /// How a LF without a CR in content is handled.
    pub bare_lf: BareLf,
    /// Whether commands are read as old devices send them.
    pub lenient: bool,
    /// Limits of this connector.
    pub limits: InboundLimits,
    /// What happens if much more comes than usual.
    pub brake: BrakeMode,
    /// The recipient domains it may relay to; empty: none.
    pub to_domains: Vec<DomainPattern>,
    /// The recipients accepted there; `None`: all.
    pub recipients: Option<Arc<Recipients>>,
    /// Whether the next hop is asked if it knows a recipient.
    pub verify_recipients: bool,
    /// How much of the dialogue of its sessions is logged.
    pub protocol_log: ProtocolLogging,
    /// Whether its clients may use the echo mailbox; `None`: as [`Inbound::uses_echo`] says.
    pub echo: Option<bool>,
    /// The digest of all these settings and of the files they name.
    #[serde(skip)]
    pub revision: Revision,
}

/// Whose mail an inbound connector takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientKind {
    /// Another organisation's, or anybody's: the reverse-path domain counts.
    #[default]
    Partner,
    /// Our own mail systems'. They identify themselves and may use any reverse-path, such as that of redirected mail.
    Own,
}

/// What an inbound connector requires of TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum InboundTls {
    /// Not required and not judged.
    Off,
    /// Not required; what the client used is recorded.
    Opportunistic,
    /// Required, with these properties.
    Forced(Forced),
}

/// How a LF without a CR in content is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BareLf {
    /// The message is refused (RFC 5321 §2.3.8).
    #[default]
    Refuse,
    /// A CR is added before it, for old devices.
    Normalize,
}

/// Where mail is sent, under which conditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outbound {
    /// The connector's name in the configuration.
    pub name: Arc<str>,
    /// The partner it belongs to, whose domains are its own.
    pub partner: Option<Arc<Partner>>,
    /// The recipient domains it covers.
    pub domains: Vec<DomainPattern>,
    /// It covers only mail that arrived by one of these inbound connectors; empty: all mail.
    pub from_connectors: Vec<Arc<str>>,
    /// Of connectors that fit equally well, the one with the lowest cost is used.
    pub cost: u16,
    /// The hosts it hands mail to.
    pub next_hop: NextHop,
    /// The TLS requirement; for identity without `peer_names`, [`Outbound::requirement`] fills in the names.
    pub tls: OutboundTls,
    /// Whether the TLS requirement is enforced.
    pub mode: Mode,
    /// How far an override may lower the requirement; `None`: not at all.
    pub override_floor: Option<OverrideLevel>,
    /// Where TLS begins on a connection.
    pub handshake: Handshake,
    /// The SNI name to send; by default the host's own name.
    pub sni: Sni,
    /// Which addresses it dials.
    pub dialling: DialRules,
    /// The source addresses of its connections: at most one per address family.
    pub source_addresses: Vec<IpAddr>,
    /// The name sent in EHLO, if other than the server's name.
    pub ehlo_name: Option<Domain>,
    /// Opportunistic only: a domain once seen with TLS gets mail in plaintext only after an alarm and a
    /// delay.
    pub remember_tls: bool,
    /// The `[certificate.ID]` to present if the peer asks for one.
    pub client_certificate: Option<Arc<str>>,
    /// Opportunistic only: what to do after a failed handshake.
    pub on_handshake_failure: OnHandshakeFailure,
    /// Forced only: what to do if the requirement is not met.
    pub on_failure: OnFailure,
    /// When to retry and when to give up.
    pub retry: Retry,
    /// Maximum number of concurrent connections to a lane's hosts.
    pub connections: usize,
    /// How its sessions are used.
    pub sending: SendingSettings,
    /// The digest of all these settings and of the files they name.
    #[serde(skip)]
    pub revision: Revision,
}

/// What an outbound connector requires of TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum OutboundTls {
    /// TLS is never used.
    Off,
    /// TLS is used if offered, within the profile if there is one.
    Opportunistic(Option<Profile>),
    /// Required, with these properties.
    Forced(Forced),
}

/// Whether a connector's TLS requirement is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The requirement is enforced.
    #[default]
    Enforce,
    /// The requirement is judged and recorded, but not enforced.
    Audit,
    /// The connector serves nothing, as if it did not exist; it can still be validated.
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
    /// A configured name.
    Name(Domain),
    /// No SNI is sent.
    Nothing,
}

/// How much is disclosed: to the client in a refusal, and to a reverse-path outside our organisation in a
/// report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reveal {
    /// Everything, to both.
    Full,
    /// To the client: the connector, what was required and attained, since these concern its own connection.
    /// To the reverse-path: codes and a general description.
    #[default]
    Partner,
    /// Codes and general sentences, to both.
    Code,
}

/// An inbound connector's own limits; `None`: only the server's limit applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct InboundLimits {
    /// Maximum size of a message in octets.
    pub message_bytes_max: Option<u64>,
    /// Maximum recipients per message.
    pub recipients_max: Option<usize>,
    /// Maximum messages per minute, over all sessions.
    pub messages_per_minute_max: Option<u32>,
    /// Maximum number of concurrent sessions attributed to it.
    pub connections_max: Option<usize>,
}

/// The hosts that an outbound connector hands mail to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum NextHop {
    /// The recipient domain's mail exchangers, on this port.
    Mx {
        /// 25, except in a lab without root.
        port: u16,
    },
    /// These hosts, in this order.
    SmartHosts(Vec<SmartHost>),
}

/// A configured next hop, used without an MX lookup.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct SmartHost {
    /// The host's name or address.
    pub name: SmartHostName,
    /// The TCP port.
    pub port: u16,
}

/// How a smart host is named.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub enum SmartHostName {
    /// A name, resolved to addresses.
    Name(Domain),
    /// An address, used as is.
    Ip(IpAddr),
}

/// What to do if no host meets a forced requirement.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
pub enum OnFailure {
    /// Retry until the connector's `expire`.
    #[default]
    Defer,
    /// Fail at once and send a DSN.
    Bounce,
    /// Hand the recipients to the connector of this name, under its requirement.
    Reroute(Arc<str>),
}

/// What to do under opportunistic TLS once the handshake has failed on every host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub enum OnHandshakeFailure {
    /// Open a new plaintext connection in the same attempt.
    #[default]
    Clear,
    /// Use plaintext, but only at a later attempt.
    ClearLater,
    /// Never use plaintext with a host that offers TLS.
    Defer,
}

/// When to retry, when to send a delay DSN, when to give up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Retry {
    /// The waits after the first, second, … deferral; the last one repeats. Never empty.
    pub waits: Vec<Duration>,
    /// How long after acceptance a message fails.
    pub expire: Duration,
    /// How long after acceptance a delay DSN is sent; `None`: never.
    pub delay_dsn: Option<Duration>,
}

impl Table {
    /// Builds a table of these connectors.
    #[must_use]
    pub fn new(generation: Generation, inbound: Vec<Inbound>, outbound: Vec<Outbound>) -> Self {
        let outbound: Vec<Arc<Outbound>> = outbound.into_iter().map(Arc::new).collect();
        let inbound: Vec<Arc<Inbound>> = inbound.into_iter().map(Arc::new).collect();
        let index = Index::new(&inbound, &outbound);
        Self {
            generation,
            inbound,
            outbound,
            trust: TrustSets::new(),
            ourselves: Ourselves::default(),
            index,
        }
    }

    /// The same, with what the trust anchor sets hold.
    #[must_use]
    pub fn trusting(self, trust: TrustSets) -> Self {
        Self { trust, ..self }
    }

    /// The arrivals that the choice of an outbound connector depends on: mail of any other fares like ours.
    pub fn arrivals(&self) -> impl Iterator<Item = Arrival<'_>> {
        let open = self.outbound.iter().filter(|connector| connector.mode != Mode::Off);
        let named: BTreeSet<&str> =
            open.flat_map(|connector| connector.from_connectors.iter().map(AsRef::as_ref)).collect();
        std::iter::once(Arrival::Ours).chain(named.into_iter().map(Arrival::By))
    }

    /// Whether login is available: some connector that is not off requires it.
    #[must_use]
    pub fn knows_users(&self) -> bool {
        self.inbound.iter().any(|c| c.users.is_some() && c.mode != Mode::Off)
    }
}

impl User {
    /// A user of this name, treated as logged in for every users file that lists it.
    #[must_use]
    pub fn supposed(name: &str, table: &Table) -> Self {
        let lists = table.inbound.iter().filter_map(|c| c.users.as_ref());
        Self { name: name.into(), logins: lists.filter_map(|users| users.verified(name)).collect() }
    }
}

impl Inbound {
    /// Whether the connector admits only clients that somebody chose: by a login, a network or a certificate.
    #[must_use]
    pub fn restricts_clients(&self) -> bool {
        let by_certificate = match &self.tls {
            InboundTls::Off | InboundTls::Opportunistic => false,
            // Audit mode waives it.
            InboundTls::Forced(forced) => self.mode != Mode::Audit && forced.restricts(),
        };
        by_certificate || self.users.is_some() || self.from_networks.restrict()
    }

    /// The forced TLS requirements, enforced or not; `None` if TLS is not forced.
    #[must_use]
    pub fn forced(&self) -> Option<&Forced> {
        match &self.tls {
            InboundTls::Off | InboundTls::Opportunistic => None,
            InboundTls::Forced(forced) => Some(forced),
        }
    }

    /// Whether TLS is forced and enforced. At a level other than `*` such a connector is binding (see `admit`).
    #[must_use]
    pub fn is_enforced(&self) -> bool {
        self.forced().is_some() && self.mode == Mode::Enforce
    }
}

impl Outbound {
    /// The requirement for a session with this recipient domain and host. Reference identifiers are
    /// `peer_names`, else the configured smart host, else the recipient domain, since an MX name learned by
    /// plain DNS proves nothing (RFC 9325 §7.1).
    #[must_use]
    pub fn requirement(&self, domain: Option<&Domain>, smart_host: Option<&SmartHostName>) -> Requirement {
        let forced = match &self.tls {
            OutboundTls::Off => return Requirement::Off,
            OutboundTls::Opportunistic(profile) => return Requirement::Opportunistic(*profile),
            OutboundTls::Forced(forced) => forced,
        };
        let forced = named(forced, domain, smart_host);
        match self.mode {
            Mode::Enforce | Mode::Off => Requirement::Forced(forced),
            Mode::Audit => Requirement::Audit(forced),
        }
    }

    /// Whether it covers mail of this arrival.
    #[must_use]
    pub fn takes(&self, arrival: Arrival<'_>) -> bool {
        match arrival {
            _ if self.from_connectors.is_empty() => true,
            Arrival::Ours => false,
            Arrival::By(name) => self.from_connectors.iter().any(|known| **known == *name),
        }
    }

    /// The forced TLS requirements, enforced or not; `None` if TLS is not forced.
    #[must_use]
    pub fn forced(&self) -> Option<&Forced> {
        match &self.tls {
            OutboundTls::Off | OutboundTls::Opportunistic(_) => None,
            OutboundTls::Forced(forced) => Some(forced),
        }
    }

    /// The profile that its handshakes are limited to. In audit mode there is none: what it limits is tried first, and must
    /// not break sessions that opportunistic TLS would not.
    #[must_use]
    pub fn profile(&self) -> Option<Profile> {
        match &self.tls {
            OutboundTls::Off => None,
            OutboundTls::Opportunistic(profile) => *profile,
            OutboundTls::Forced(forced) => forced.profile.filter(|_| self.is_enforced()),
        }
    }

    /// Whether plaintext is forbidden.
    #[must_use]
    pub fn is_enforced(&self) -> bool {
        self.forced().is_some() && self.mode != Mode::Audit
    }

    /// The configuration word: `off`, `opportunistic`, `forced` or `implicit`.
    #[must_use]
    pub fn tls_word(&self) -> &'static str {
        match (&self.tls, self.handshake) {
            (OutboundTls::Off, _) => "off",
            (OutboundTls::Opportunistic(_), _) => "opportunistic",
            (OutboundTls::Forced(_), Handshake::StartTls) => "forced",
            (OutboundTls::Forced(_), Handshake::Implicit) => "implicit",
        }
    }
}

/// The requirements with the reference identifiers filled in.
fn named(forced: &Forced, domain: Option<&Domain>, smart_host: Option<&SmartHostName>) -> Forced {
    let Require::Identity { trust, names } = &forced.require else { return forced.clone() };
    if !names.is_empty() {
        return forced.clone();
    }
    let name = match (smart_host, domain) {
        (Some(SmartHostName::Name(host)), _) => Some(PeerName::Exact(host.clone())),
        (Some(SmartHostName::Ip(ip)), _) => Some(PeerName::Ip(*ip)),
        (None, Some(domain)) => Some(PeerName::Exact(domain.clone())),
        // No name to compare with: no certificate can match, and nothing is sent.
        (None, None) => None,
    };
    let require = Require::Identity { trust: trust.clone(), names: name.into_iter().collect() };
    Forced { require, ..forced.clone() }
}

impl Mode {
    /// The configuration word.
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
