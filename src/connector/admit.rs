use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::choose::closeness;
use super::decision::Decision;
use super::name::first_match;
use super::pattern::{DomainPattern, Specificity};
use super::requirement::{Forced, Require};
use super::table::{Inbound, InboundTls, Mode, Table};
use crate::mail::{Domain, Mailbox, ReversePath};
use told::{admitted_decision, attributed_by, forced, no_connector, unmet_refusal};

mod channel;
mod passed;
mod told;

pub use channel::{Attribution, Channel, UnmetCondition};
pub use passed::{Pass, UnchosenConnector};
pub use told::RefusedMail;

/// The answer to MAIL FROM.
#[derive(Debug, Clone)]
pub enum Admission {
    /// One connector is attributed to the transaction.
    Admitted(AdmittedTransaction),
    /// None would have it.
    Refused(RefusedMail),
}

/// A transaction with its connector, fixed until the next MAIL FROM.
#[derive(Debug, Clone)]
pub struct AdmittedTransaction {
    /// The connector; its `to_domains` alone count.
    pub connector: Arc<Inbound>,
    /// Why it was this one.
    pub decision: Arc<Decision>,
}

/// Decides which inbound connector, if any, a transaction belongs to.
///
/// The connectors whose `from_domains` cover the reverse-path stand in levels, the closest pattern
/// first. Each level is answered by the first row that fits:
///
/// | at this level | then |
/// |---|---|
/// | an enforced forced connector holds | it is taken |
/// | there is one, and none of them holds | refused: nothing looser rescues the mail |
/// | another connector holds in full | it is taken |
/// | an audited one holds but for TLS, and its network, which stays enforced, holds | it is taken, and what was waived is told |
/// | nothing | the next level; after the last one, refused |
///
/// Where several fit a row: by certificate before by user before by network before by domain, then by name. The
/// null reverse-path names no domain: before the levels, which are `*` alone for it, come the
/// forced connectors that the peer's certificate or network names, and those whose user has logged in. A connector that is off is not
/// there.
#[must_use]
pub fn admit(table: &Table, channel: &Channel, reverse_path: &ReversePath) -> Admission {
    if reverse_path.is_null() {
        let named = named_by_peer(table, channel);
        if let Some(answer) = at_level(&named, channel, reverse_path) {
            return answer;
        }
        // A login says whose mail it is, as a certificate does.
        let by_user = |c: &&Arc<Inbound>| c.users.is_some() && c.unmet_by(channel).is_none();
        if let Some(connector) = table.inbound.iter().filter(by_user).min_by_key(|c| attribution(c)) {
            return admitted(connector, channel, None);
        }
    }
    let domain = reverse_path.mailbox().and_then(|m| m.domain_name());
    levels(table, domain)
        .find_map(|level| at_level(&covering(table, domain, level), channel, reverse_path))
        .unwrap_or_else(|| {
            // RFC 4954 §6: a client that could log in is told so.
            let lacks_user = |c: &&Arc<Inbound>| {
                closeness(&c.from_domains, domain).is_some()
                    && c.unmet_by(channel) == Some(UnmetCondition::User)
            };
            Admission::Refused(table.inbound.iter().find(lacks_user).map_or_else(
                || no_connector(channel, reverse_path),
                |connector| unmet_refusal(connector, &UnmetCondition::User, channel, reverse_path),
            ))
        })
}

/// What the connectors of one level make of it; `None`: the next level is asked.
fn at_level(here: &[&Arc<Inbound>], channel: &Channel, path: &ReversePath) -> Option<Admission> {
    let binding: Vec<&Arc<Inbound>> = here.iter().copied().filter(|c| binds(c)).collect();
    if !binding.is_empty() {
        return Some(holding(&binding, channel).map_or_else(
            || Admission::Refused(bound(&binding, channel, path)),
            |connector| admitted(connector, channel, None),
        ));
    }
    holding(here, channel)
        .map(|connector| admitted(connector, channel, None))
        .or_else(|| waiving(here, channel).map(|(c, unmet)| admitted(c, channel, Some(&unmet))))
}

fn admitted(connector: &Arc<Inbound>, channel: &Channel, waived: Option<&UnmetCondition>) -> Admission {
    let decision = Arc::new(admitted_decision(connector, channel, waived));
    Admission::Admitted(AdmittedTransaction { connector: Arc::clone(connector), decision })
}

impl Inbound {
    /// Whether mail of this connector may go to a recipient domain; `None` is an address literal.
    #[must_use]
    pub fn relays_to(&self, domain: Option<&Domain>) -> bool {
        DomainPattern::closest(&self.to_domains, domain).is_some()
    }

    /// Whether it takes mail for this recipient of a domain that it relays to.
    #[must_use]
    pub fn knows(&self, mailbox: &Mailbox) -> bool {
        is_postmaster(mailbox) || self.recipients.as_ref().is_none_or(|known| known.knows(mailbox))
    }

    /// Whether the next hop is to be asked for this recipient.
    #[must_use]
    pub fn asks_for(&self, mailbox: &Mailbox) -> bool {
        self.verify_recipients && !is_postmaster(mailbox)
    }

    /// The first condition that does not hold.
    #[must_use]
    pub fn unmet_by(&self, channel: &Channel) -> Option<UnmetCondition> {
        if self.mode == Mode::Off {
            return Some(UnmetCondition::Off);
        }
        if !self.from_networks.is_empty() && !in_networks(self, channel.peer) {
            return Some(UnmetCondition::Network);
        }
        match (&self.tls, &channel.tls) {
            (InboundTls::Forced(_), None) => return Some(UnmetCondition::NoTls),
            (InboundTls::Forced(forced), Some(facts)) => {
                if let Some(shortfall) = forced.unmet_by(facts) {
                    return Some(UnmetCondition::Tls(shortfall));
                }
            }
            (InboundTls::Off | InboundTls::Opportunistic, _) => {}
        }
        (!self.has_login(channel)).then_some(UnmetCondition::User)
    }

    /// Whether one of its users has logged in, or it knows none.
    fn has_login(&self, channel: &Channel) -> bool {
        let Some(users) = &self.users else { return true };
        channel.user.as_ref().is_some_and(|user| user.files.contains(&users.file))
    }
}

/// RFC 5321 §4.5.1: postmaster is known wherever mail is taken for.
fn is_postmaster(mailbox: &Mailbox) -> bool {
    mailbox.local_part().eq_ignore_ascii_case("postmaster")
}

fn levels(table: &Table, domain: Option<&Domain>) -> impl Iterator<Item = Specificity> {
    let levels: BTreeSet<Reverse<Specificity>> =
        table.inbound.iter().filter_map(|c| closeness(&c.from_domains, domain)).map(Reverse).collect();
    levels.into_iter().map(|Reverse(level)| level)
}

fn covering<'a>(table: &'a Table, domain: Option<&Domain>, level: Specificity) -> Vec<&'a Arc<Inbound>> {
    table.inbound.iter().filter(|c| closeness(&c.from_domains, domain) == Some(level)).collect()
}

/// The forced connectors that a peer without a reverse-path is one of, be its claim in order or not.
fn named_by_peer<'a>(table: &'a Table, channel: &Channel) -> Vec<&'a Arc<Inbound>> {
    let may = |c: &&Arc<Inbound>| c.mode != Mode::Off && forced(c).is_some();
    table.inbound.iter().filter(may).filter(|c| names_peer(c, channel)).collect()
}

/// The first that holds in full.
fn holding<'a>(candidates: &[&'a Arc<Inbound>], channel: &Channel) -> Option<&'a Arc<Inbound>> {
    candidates.iter().copied().filter(|c| c.unmet_by(channel).is_none()).min_by_key(|c| attribution(c))
}

/// The first that a rehearsal lets pass, with what does not hold.
fn waiving<'a>(
    candidates: &[&'a Arc<Inbound>],
    channel: &Channel,
) -> Option<(&'a Arc<Inbound>, UnmetCondition)> {
    let waivable = |c: &&'a Arc<Inbound>| {
        // TLS alone is waived: who leaves it away is not spared the login.
        let unmet = c.unmet_by(channel).filter(|unmet| may_waive(c, unmet) && c.has_login(channel))?;
        Some((*c, unmet))
    };
    candidates.iter().filter_map(waivable).min_by_key(|(c, _)| attribution(c))
}

/// The order of attribution: certificate, user, network, domain, then name.
fn attribution(connector: &Inbound) -> (Attribution, Arc<str>) {
    (attributed_by(connector), Arc::clone(&connector.name))
}

/// Whether a rehearsal lets pass what does not hold: never the network, and only with one, since
/// otherwise anyone could claim the domain.
fn may_waive(connector: &Inbound, unmet: &UnmetCondition) -> bool {
    let by_tls = match unmet {
        UnmetCondition::NoTls | UnmetCondition::Tls(_) => true,
        UnmetCondition::Off | UnmetCondition::Network | UnmetCondition::User => false,
    };
    by_tls && connector.mode == Mode::Audit && !connector.from_networks.is_empty()
}

/// Whether a connector of the closest level must hold: forced, and enforced.
fn binds(connector: &Inbound) -> bool {
    forced(connector).is_some() && connector.mode == Mode::Enforce
}

impl Table {
    /// How many sessions at the same time the connectors allow that name this address by network and
    /// are enforced; `None` if none names it. A network that covers everyone names nobody.
    #[must_use]
    pub fn sessions_of_named(&self, peer: IpAddr) -> Option<usize> {
        let peer = peer.to_canonical();
        let names = |network: &IpNet| network.prefix_len() > 0 && network.contains(&peer);
        let enforced = self.inbound.iter().filter(|c| c.mode == Mode::Enforce);
        enforced
            .filter(|connector| connector.from_networks.iter().any(names))
            .map(|connector| connector.limits.connections_max.unwrap_or(usize::MAX))
            .max()
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
    // An issuer alone names nobody, and where names are asked for, they say who is meant.
    let described = |demands: &Forced| {
        let subject = &demands.subject;
        let says_who = !subject.organisation.is_empty() || !subject.common_name.is_empty();
        let nameless = !matches!(demands.require, Require::Identity { .. });
        says_who && nameless && certificate.is_some_and(|c| subject.unmet_by(c).is_none())
    };
    if forced(connector).is_some_and(described) {
        return true;
    }
    let Some(Forced { require: Require::Identity { names, .. }, allow_cn, .. }) = forced(connector) else {
        return false;
    };
    certificate.is_some_and(|c| first_match(names, &c.names_or_common_name(*allow_cn)).is_some())
}

/// Of binding connectors that don't hold, the one that came closest to it says most: TLS is judged
/// after the network, and a connector whose names the certificate presents is the one the peer means.
fn bound(binding: &[&Arc<Inbound>], channel: &Channel, path: &ReversePath) -> RefusedMail {
    let closest = binding.iter().filter_map(|c| Some((*c, c.unmet_by(channel)?))).max_by_key(|(c, unmet)| {
        let rank = match unmet {
            UnmetCondition::Off | UnmetCondition::Network => 0,
            UnmetCondition::NoTls => 1,
            UnmetCondition::Tls(_) => 2,
            UnmetCondition::User => 3,
        };
        (rank, names_peer(c, channel), attribution(c))
    });
    match closest {
        Some((connector, unmet)) => unmet_refusal(connector, &unmet, channel, path),
        None => no_connector(channel, path),
    }
}
