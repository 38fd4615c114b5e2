use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::choose::closeness;
use super::decision::Decision;
use super::facts::{PeerCertificate, TlsFacts};
use super::name::first_match;
use super::pattern::{DomainPattern, Specificity};
use super::requirement::{Forced, Require};
use super::shortfall::Shortfall;
use super::table::{Inbound, InboundTls, Mode, Reveal, Table};
use crate::mail::{Domain, Enhanced, Reply, ReversePath};

/// What is known of an inbound session when MAIL FROM comes.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Where the client connected from.
    pub peer: IpAddr,
    /// The handshake, if there was one.
    pub tls: Option<Arc<TlsFacts>>,
}

/// The answer to MAIL FROM.
#[derive(Debug, Clone)]
pub enum Admission {
    /// One connector is attributed to the transaction.
    Admitted(Admitted),
    /// None would have it.
    Refused(RefusedMail),
}

/// A transaction with its connector, fixed until the next MAIL FROM.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// The connector; its `to_domains` alone count.
    pub connector: Arc<Inbound>,
    /// Why it was this one.
    pub decision: Arc<Decision>,
    /// The connectors that came first and did not hold: for `explain`.
    pub passed: Vec<Passed>,
}

/// A refusal with its reason.
#[derive(Debug, Clone)]
pub struct RefusedMail {
    /// What the client is told.
    pub reply: Reply,
    /// Why.
    pub decision: Arc<Decision>,
    /// The connectors that were looked at: for `explain`.
    pub passed: Vec<Passed>,
}

/// A connector that was looked at and not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// The connector.
    pub connector: Arc<str>,
    /// Which of its conditions did not hold.
    pub unmet: Unmet,
}

/// The first condition of an inbound connector that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmet {
    /// It is turned off.
    Off,
    /// The client's address is in none of its networks.
    Network,
    /// It demands TLS, and the session is in clear.
    NoTls,
    /// The handshake does not meet its requirement.
    Tls(Shortfall),
}

/// Decides which inbound connector, if any, a transaction belongs to.
///
/// The connectors whose `from_domains` cover the reverse-path are ranked by pattern. At the
/// closest level, forced connectors that are enforced bind: one of them must hold in full, and
/// nothing looser rescues the mail. A level without such connectors is passed over where none
/// holds. The null reverse-path names no domain: a forced connector that the peer's certificate or
/// network names binds it, otherwise `*` alone covers it. A connector in audit never binds; its TLS
/// and certificate are waived only where its network holds, which stays enforced. One that is off
/// is not there.
#[must_use]
pub fn admit(table: &Table, channel: &Channel, reverse_path: &ReversePath) -> Admission {
    let mut passed = Vec::new();
    if reverse_path.is_null() {
        let named: Vec<&Arc<Inbound>> =
            table.inbound.iter().filter(|c| binds(c) && names_peer(c, channel)).collect();
        if !named.is_empty() {
            return one_of(&named, channel, &mut passed)
                .map_or_else(|| bound(&named, channel, reverse_path, passed), Admission::Admitted);
        }
    }
    let domain = reverse_path.mailbox().and_then(|m| m.domain_name());
    for level in levels(table, domain) {
        let here = at_level(table, domain, level);
        let binding: Vec<&Arc<Inbound>> = here.iter().copied().filter(|c| binds(c)).collect();
        if !binding.is_empty() {
            return one_of(&binding, channel, &mut passed)
                .map_or_else(|| bound(&binding, channel, reverse_path, passed), Admission::Admitted);
        }
        if let Some(admitted) = one_of(&here, channel, &mut passed) {
            return Admission::Admitted(admitted);
        }
    }
    Admission::Refused(no_connector(channel, reverse_path, passed))
}

impl Inbound {
    /// Whether mail of this connector may go to a recipient domain; `None` is an address literal.
    #[must_use]
    pub fn relays_to(&self, domain: Option<&Domain>) -> bool {
        DomainPattern::closest(&self.to_domains, domain).is_some()
    }

    /// The first condition that does not hold.
    #[must_use]
    pub fn unmet_by(&self, channel: &Channel) -> Option<Unmet> {
        if self.mode == Mode::Off {
            return Some(Unmet::Off);
        }
        if !self.from_networks.is_empty() && !in_networks(self, channel.peer) {
            return Some(Unmet::Network);
        }
        match (&self.tls, &channel.tls) {
            (InboundTls::Off | InboundTls::Opportunistic, _) => None,
            (InboundTls::Forced(_), None) => Some(Unmet::NoTls),
            (InboundTls::Forced(forced), Some(facts)) => forced.unmet_by(facts).map(Unmet::Tls),
        }
    }
}

fn levels(table: &Table, domain: Option<&Domain>) -> impl Iterator<Item = Specificity> {
    let levels: BTreeSet<Reverse<Specificity>> =
        table.inbound.iter().filter_map(|c| closeness(&c.from_domains, domain)).map(Reverse).collect();
    levels.into_iter().map(|Reverse(level)| level)
}

fn at_level<'a>(table: &'a Table, domain: Option<&Domain>, level: Specificity) -> Vec<&'a Arc<Inbound>> {
    table.inbound.iter().filter(|c| closeness(&c.from_domains, domain) == Some(level)).collect()
}

/// The first that holds, in the order of attribution: certificate, network, domain, then name.
fn one_of(candidates: &[&Arc<Inbound>], channel: &Channel, passed: &mut Vec<Passed>) -> Option<Admitted> {
    let mut ordered = candidates.to_vec();
    ordered.sort_by_key(|c| (strength(c), Arc::clone(&c.name)));
    for connector in ordered {
        let unmet = connector.unmet_by(channel);
        let waived = unmet.as_ref().filter(|unmet| may_waive(connector, unmet));
        match (&unmet, waived) {
            (Some(unmet), None) => {
                passed.push(Passed { connector: Arc::clone(&connector.name), unmet: unmet.clone() });
            }
            (None | Some(_), waived) => {
                return Some(Admitted {
                    connector: Arc::clone(connector),
                    decision: Arc::new(admitted_decision(connector, channel, waived)),
                    passed: std::mem::take(passed),
                });
            }
        }
    }
    None
}

/// Whether a rehearsal lets pass what does not hold: never the network, and only with one, since
/// otherwise anyone could claim the domain.
fn may_waive(connector: &Inbound, unmet: &Unmet) -> bool {
    let by_tls = match unmet {
        Unmet::NoTls | Unmet::Tls(_) => true,
        Unmet::Off | Unmet::Network => false,
    };
    by_tls && connector.mode == Mode::Audit && !connector.from_networks.is_empty()
}

/// Whether a connector of the closest level must hold: forced, and enforced.
fn binds(connector: &Inbound) -> bool {
    forced(connector).is_some() && connector.mode == Mode::Enforce
}

/// 0 certificate, 1 network, 2 domain alone.
fn strength(connector: &Inbound) -> u8 {
    let by_certificate = forced(connector).is_some_and(Forced::needs_certificate);
    match (by_certificate, connector.from_networks.is_empty()) {
        (true, _) => 0,
        (false, false) => 1,
        (false, true) => 2,
    }
}

fn forced(connector: &Inbound) -> Option<&Forced> {
    match &connector.tls {
        InboundTls::Forced(forced) => Some(forced),
        InboundTls::Off | InboundTls::Opportunistic => None,
    }
}

fn in_networks(connector: &Inbound, peer: IpAddr) -> bool {
    let peer = peer.to_canonical();
    connector.from_networks.iter().any(|network| network.contains(&peer))
}

/// Whether the peer's address or certificate claims to be this connector's partner, be the
/// claim in order or not.
fn names_peer(connector: &Inbound, channel: &Channel) -> bool {
    if !connector.from_networks.is_empty() && in_networks(connector, channel.peer) {
        return true;
    }
    let certificate = channel.tls.as_ref().and_then(|facts| facts.certificate());
    let pinned =
        |demands: &Forced| certificate.is_some_and(|c| demands.pins.iter().any(|pin| pin.sha256 == c.spki));
    if forced(connector).is_some_and(pinned) {
        return true;
    }
    let Some(Forced { require: Require::Identity { names, .. }, allow_cn, .. }) = forced(connector) else {
        return false;
    };
    certificate.is_some_and(|c| first_match(names, &c.names_or_common_name(*allow_cn)).is_some())
}

fn bound(binding: &[&Arc<Inbound>], channel: &Channel, path: &ReversePath, passed: Vec<Passed>) -> Admission {
    // The one that came closest to holding says most: TLS is judged after the network, and a
    // connector whose names the certificate presents is the one the peer means.
    let closest = passed
        .iter()
        .filter_map(|p| binding.iter().find(|c| c.name == p.connector).map(|c| (*c, p.unmet.clone())))
        .max_by_key(|(connector, unmet)| {
            let rank = match unmet {
                Unmet::Off | Unmet::Network => 0,
                Unmet::NoTls => 1,
                Unmet::Tls(_) => 2,
            };
            (rank, names_peer(connector, channel))
        });
    match closest {
        Some((connector, unmet)) => {
            Admission::Refused(unmet_refusal(connector, &unmet, channel, path, passed))
        }
        None => Admission::Refused(no_connector(channel, path, passed)),
    }
}

fn unmet_refusal(
    connector: &Inbound,
    unmet: &Unmet,
    channel: &Channel,
    path: &ReversePath,
    passed: Vec<Passed>,
) -> RefusedMail {
    let who = described(path);
    let wanted = wanted(connector);
    let got = got(channel);
    let name = &connector.name;
    let (reply, reason) = match unmet {
        Unmet::NoTls => (
            Reply::new(550, Enhanced(5, 7, 10), format!("{who} must be sent over TLS (connector {name})")),
            format!("{who} must be sent over TLS"),
        ),
        Unmet::Off | Unmet::Network => {
            let reason = format!("{who} is not accepted from {}", channel.peer);
            (Reply::new(550, Enhanced(5, 7, 1), format!("{reason} (connector {name})")), reason)
        }
        Unmet::Tls(shortfall) => (
            Reply::new(
                550,
                Enhanced(5, 7, 1),
                format!("{who}: {shortfall} (connector {name}; wanted {wanted}; got {got})"),
            ),
            format!("{who}: {shortfall}"),
        ),
    };
    let reply = match connector.reveal {
        Reveal::Full => reply,
        Reveal::Code => Reply { text: GENERAL.into(), ..reply },
    };
    let decision = decision(Some(Arc::clone(name)), wanted, channel, reason, unmet.token());
    RefusedMail { reply, decision, passed }
}

fn no_connector(channel: &Channel, path: &ReversePath, passed: Vec<Passed>) -> RefusedMail {
    let reason = format!("no inbound connector accepts {} from {}", described(path), channel.peer);
    RefusedMail {
        reply: Reply::new(550, Enhanced(5, 7, 1), reason.clone()),
        decision: decision(None, "an inbound connector".to_owned(), channel, reason, "no-connector"),
        passed,
    }
}

/// All that a refusal tells where the connector says `reveal = "code"`.
const GENERAL: &str = "not accepted from you; ask our administrator";

fn admitted_decision(connector: &Inbound, channel: &Channel, waived: Option<&Unmet>) -> Decision {
    let (reason, token): (&str, &'static str) = match strength(connector) {
        0 => ("attributed by the client certificate", "by-certificate"),
        1 => ("attributed by network", "by-network"),
        _ => ("attributed by domain", "by-domain"),
    };
    Decision {
        connector: Some(Arc::clone(&connector.name)),
        host: Some(channel.peer.to_string()),
        wanted: wanted(connector),
        got: got(channel),
        reason: waived.map_or_else(
            || reason.to_owned(),
            |unmet| format!("in audit: enforced, this would have been refused, since {unmet}"),
        ),
        token: waived.map_or(Cow::Borrowed(token), |unmet| Cow::Owned(format!("audit-{}", unmet.token()))),
        tls: channel.tls.clone(),
    }
}

fn decision(
    connector: Option<Arc<str>>,
    wanted: String,
    channel: &Channel,
    reason: String,
    token: &'static str,
) -> Arc<Decision> {
    Arc::new(Decision {
        connector,
        host: Some(channel.peer.to_string()),
        wanted,
        got: got(channel),
        reason,
        token: Cow::Borrowed(token),
        tls: channel.tls.clone(),
    })
}

fn wanted(connector: &Inbound) -> String {
    match &connector.tls {
        InboundTls::Off | InboundTls::Opportunistic => "nothing of TLS".to_owned(),
        InboundTls::Forced(forced) => forced.to_string(),
    }
}

fn got(channel: &Channel) -> String {
    let Some(facts) = &channel.tls else { return "plaintext".to_owned() };
    match &facts.peer {
        PeerCertificate::NotShown => format!("{}, no certificate", facts.version),
        PeerCertificate::Unreadable(_) => format!("{}, a certificate that can't be read", facts.version),
        PeerCertificate::Shown(certificate) => {
            format!(
                "{}, a certificate for {} issued by {}",
                facts.version,
                certificate.names_text(),
                certificate.issuer
            )
        }
    }
}

fn described(path: &ReversePath) -> String {
    path.mailbox()
        .map_or_else(|| "mail with the null reverse-path".to_owned(), |m| format!("mail from {}", m.domain()))
}

impl Unmet {
    /// The machine word.
    #[must_use]
    pub fn token(&self) -> &'static str {
        match self {
            Self::Off => "connector-off",
            Self::Network => "wrong-network",
            Self::NoTls => "tls-required",
            Self::Tls(shortfall) => shortfall.token(),
        }
    }
}

impl std::fmt::Display for Unmet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => f.write_str("its mode is off"),
            Self::Network => f.write_str("the address is in none of its networks"),
            Self::NoTls => f.write_str("the session is in clear"),
            Self::Tls(shortfall) => shortfall.fmt(f),
        }
    }
}
