//! Decides which inbound connector a transaction belongs to and whether it is accepted. Reply texts and
//! reasons for the connectors not taken are in submodules.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::choose::closeness;
use super::decision::Decision;
use super::name::first_match;
use super::pattern::{DomainPattern, Specificity};
use super::requirement::{Forced, Require};
use super::table::{ClientKind, Inbound, InboundTls, Mode, Table};
use crate::mail::{Domain, Mailbox, ReversePath};
use told::{admitted_decision, attributed_by, excepted, no_connector, unmet_refusal};

mod channel;
mod passed;
mod told;
mod wanted;

pub use channel::{Attribution, Channel, UnmetCondition};
pub use passed::{Pass, UnchosenConnector};
pub use told::RefusedMail;
pub use wanted::unassessed;

/// The answer to MAIL FROM.
#[derive(Debug, Clone)]
pub enum Admission {
    /// The transaction belongs to one connector.
    Admitted(AdmittedTransaction),
    /// No connector accepts the transaction.
    Refused(RefusedMail),
}

/// A transaction with its connector, fixed until the next MAIL FROM.
#[derive(Debug, Clone)]
pub struct AdmittedTransaction {
    /// The connector; only its `to_domains` apply.
    pub connector: Arc<Inbound>,
    /// Why this connector was chosen.
    pub decision: Arc<Decision>,
}

/// Decides which inbound connector, if any, a transaction belongs to.
///
/// 1. Our own connectors (`kind = "own"`): one that holds in full is taken, whatever the reverse-path, even one that
///    a partner's connector binds: our systems redirect mail. One in audit whose network holds is taken too, and the
///    waiver is recorded.
/// 2. Partners' connectors whose `from_domains` cover the reverse-path, and whose `except_domains` don't. They are
///    grouped into levels, closest pattern first. At each level the first matching row decides:
///
/// | at this level | result |
/// |---|---|
/// | an enforced forced connector is satisfied | it is taken |
/// | there is one, none is satisfied, and the level is not `*` | refused: a looser connector never accepts the mail |
/// | another connector is satisfied in full | it is taken |
/// | an audit connector fails only on TLS; its network matches | it is taken, and the waiver is recorded |
/// | none of these | the next level; after the last one, refused |
///
/// `*` binds nobody: at that level the first connector that is satisfied is taken.
///
/// If several connectors match a row, a match by certificate wins over user, network, then domain; ties go by
/// name. The null reverse-path has no domain, so only `*` patterns cover it. Before those levels come the partners'
/// forced connectors that the peer's certificate or network identifies, which bind it, and those whose user has
/// logged in. Connectors that are off are ignored.
#[must_use]
pub fn admit(table: &Table, channel: &Channel, reverse_path: &ReversePath) -> Admission {
    let own: Vec<&Arc<Inbound>> = table.inbound.iter().filter(|c| c.kind == ClientKind::Own).collect();
    if let Some(answer) = first_of(&own, channel) {
        return answer;
    }
    match of_partners(table, channel, reverse_path) {
        Admission::Refused(refused) => {
            Admission::Refused(refused_as_own(&own, channel, reverse_path).unwrap_or(refused))
        }
        admitted @ Admission::Admitted(_) => admitted,
    }
}

/// What partners' connectors, and those for users, make of a transaction that none of our own takes.
fn of_partners(table: &Table, channel: &Channel, reverse_path: &ReversePath) -> Admission {
    if reverse_path.is_null() {
        let named = named_by_peer(table, channel);
        if let Some(answer) = at_level(&named, channel, reverse_path) {
            return answer;
        }
        // A login identifies whose mail it is, as a certificate does.
        let by_user = |c: &&Arc<Inbound>| c.users.is_some() && c.unmet_by(channel).is_none();
        if let Some(connector) = table.inbound.iter().filter(by_user).min_by_key(|c| attribution(c)) {
            return admitted(connector, channel, None);
        }
    }
    let domain = reverse_path.mailbox().and_then(|m| m.domain_name());
    levels(table, domain)
        .find_map(|level| {
            let here = covering(table, domain, level);
            match level {
                Specificity::Any => first_of(&here, channel),
                Specificity::Below(_) | Specificity::Exact => at_level(&here, channel, reverse_path),
            }
        })
        .unwrap_or_else(|| Admission::Refused(refused(table, channel, reverse_path, domain)))
}

/// The refusal of a client that shows the certificate, or comes from the network, of one of our own forced connectors and
/// doesn't meet it: more helpful than what partners' connectors say of somebody else's mail.
fn refused_as_own(own: &[&Arc<Inbound>], channel: &Channel, path: &ReversePath) -> Option<RefusedMail> {
    let meant: Vec<&Arc<Inbound>> =
        own.iter().copied().filter(|c| c.is_enforced() && names_peer(c, channel)).collect();
    (!meant.is_empty()).then(|| bound(&meant, channel, path))
}

/// Why no connector takes a transaction, in the words that help the client most.
fn refused(table: &Table, channel: &Channel, path: &ReversePath, domain: Option<&Domain>) -> RefusedMail {
    // RFC 4954 §6: if a login would help, tell the client so.
    let lacks_user =
        |c: &&Arc<Inbound>| c.covers(domain).is_some() && c.unmet_by(channel) == Some(UnmetCondition::User);
    if let Some(connector) = table.inbound.iter().find(lacks_user) {
        return unmet_refusal(connector, &UnmetCondition::User, channel, path);
    }
    let excepts = |c: &&Arc<Inbound>| c.excepts(domain) && c.unmet_by(channel).is_none();
    if let Some(connector) = table.inbound.iter().filter(excepts).min_by_key(|c| attribution(c)) {
        return excepted(connector, channel, path);
    }
    let anybody = covering(table, domain, Specificity::Any);
    let forced: Vec<&Arc<Inbound>> = anybody.into_iter().filter(|c| c.is_enforced()).collect();
    if forced.is_empty() { no_connector(channel, path) } else { bound(&forced, channel, path) }
}

/// The answer of the connectors at one level; `None`: ask the next level.
fn at_level(here: &[&Arc<Inbound>], channel: &Channel, path: &ReversePath) -> Option<Admission> {
    let binding: Vec<&Arc<Inbound>> = here.iter().copied().filter(|c| c.is_enforced()).collect();
    if !binding.is_empty() {
        return Some(holding(&binding, channel).map_or_else(
            || Admission::Refused(bound(&binding, channel, path)),
            |connector| admitted(connector, channel, None),
        ));
    }
    first_of(here, channel)
}

/// The first connector that holds, or whose unmet condition audit mode waives.
fn first_of(here: &[&Arc<Inbound>], channel: &Channel) -> Option<Admission> {
    holding(here, channel)
        .map(|connector| admitted(connector, channel, None))
        .or_else(|| waiving(here, channel).map(|(c, unmet)| admitted(c, channel, Some(&unmet))))
}

fn admitted(connector: &Arc<Inbound>, channel: &Channel, waived: Option<&UnmetCondition>) -> Admission {
    let decision = Arc::new(admitted_decision(connector, channel, waived));
    Admission::Admitted(AdmittedTransaction { connector: Arc::clone(connector), decision })
}

impl Table {
    /// Whether an inbound connector names the recipient domain, other than by `*`.
    fn is_named(&self, domain: Option<&Domain>) -> bool {
        let names = |one: &Arc<Inbound>| DomainPattern::any_names(&one.to_domains, domain);
        self.inbound.iter().any(|one| one.mode != Mode::Off && names(one))
    }
}

impl Inbound {
    /// How closely it covers a reverse-path domain; `None` if it does not. Our own systems' connectors cover none:
    /// for them the reverse-path does not count.
    #[must_use]
    pub fn covers(&self, domain: Option<&Domain>) -> Option<Specificity> {
        let excepted = closeness(&self.except_domains, domain).is_some();
        closeness(&self.from_domains, domain).filter(|_| !excepted)
    }

    /// Whether it would cover a reverse-path domain but for `except_domains`.
    #[must_use]
    pub fn excepts(&self, domain: Option<&Domain>) -> bool {
        closeness(&self.from_domains, domain).is_some() && self.covers(domain).is_none()
    }

    /// Whether mail from this connector may go to a recipient domain; `None` is an address literal.
    #[must_use]
    pub fn relays_to(&self, domain: Option<&Domain>) -> bool {
        DomainPattern::closest(&self.to_domains, domain).is_some()
    }

    /// Whether mail of a null (`is_null`) or other reverse-path may go to a recipient domain. Nothing ties a null one to
    /// `from_domains`. So where a certificate's name alone says who the client is, which all customers of a cloud may
    /// present, it goes to domains that are named in `to_domains` somewhere, as ours are, and to no others.
    #[must_use]
    pub fn relays(&self, table: &Table, is_null: bool, domain: Option<&Domain>) -> bool {
        let tied = !is_null
            || self.kind == ClientKind::Own
            || self.from_domains.contains(&DomainPattern::Any)
            || self.users.is_some()
            || self.from_networks.restrict()
            || self.forced().is_some_and(|forced| !forced.pins.is_empty());
        self.relays_to(domain) && (tied || table.is_named(domain))
    }

    /// Why [`Self::relays`] says no, after the connector's name.
    #[must_use]
    pub fn relay_refusal(&self, to: &Mailbox) -> String {
        if self.relays_to(to.domain_name()) {
            return format!("{} relays mail of the null reverse-path to our own domains only", self.name);
        }
        format!("{} does not relay to {}", self.name, to.domain())
    }

    /// Whether the connector accepts this recipient, in a domain it relays to. Postmaster is accepted everywhere (RFC
    /// 5321 §4.5.1).
    #[must_use]
    pub fn knows(&self, mailbox: &Mailbox) -> bool {
        mailbox.is_postmaster() || self.recipients.as_ref().is_none_or(|known| known.knows(mailbox))
    }

    /// Whether to ask the next hop about this recipient.
    #[must_use]
    pub fn asks_for(&self, mailbox: &Mailbox) -> bool {
        self.verify_recipients && !mailbox.is_postmaster()
    }

    /// The first condition that the channel does not meet; `None` if it meets all of them.
    #[must_use]
    pub fn unmet_by(&self, channel: &Channel) -> Option<UnmetCondition> {
        if self.mode == Mode::Off {
            return Some(UnmetCondition::Off);
        }
        if !self.takes_on(channel.listener.as_deref()) {
            return Some(UnmetCondition::Listener);
        }
        if !self.from_networks.admit(channel.peer) {
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

    /// Whether it takes mail on a listener; `None`: on any.
    fn takes_on(&self, listener: Option<&str>) -> bool {
        self.listeners.is_empty()
            || listener.is_none_or(|listener| self.listeners.iter().any(|name| **name == *listener))
    }

    /// Whether one of the connector's users has logged in, or it requires no login.
    fn has_login(&self, channel: &Channel) -> bool {
        let Some(users) = &self.users else { return true };
        channel.user.as_ref().is_some_and(|user| users.has(user))
    }
}

fn levels(table: &Table, domain: Option<&Domain>) -> impl Iterator<Item = Specificity> {
    let levels: BTreeSet<Reverse<Specificity>> =
        table.inbound.iter().filter_map(|c| c.covers(domain)).map(Reverse).collect();
    levels.into_iter().map(|Reverse(level)| level)
}

fn covering<'a>(table: &'a Table, domain: Option<&Domain>, level: Specificity) -> Vec<&'a Arc<Inbound>> {
    table.inbound.iter().filter(|c| c.covers(domain) == Some(level)).collect()
}

/// The forced connectors that a peer with the null reverse-path claims to belong to, whether the claim is
/// valid or not.
fn named_by_peer<'a>(table: &'a Table, channel: &Channel) -> Vec<&'a Arc<Inbound>> {
    let may =
        |c: &&Arc<Inbound>| c.kind == ClientKind::Partner && c.mode != Mode::Off && c.forced().is_some();
    table.inbound.iter().filter(may).filter(|c| names_peer(c, channel)).collect()
}

/// The first connector whose conditions all hold.
fn holding<'a>(candidates: &[&'a Arc<Inbound>], channel: &Channel) -> Option<&'a Arc<Inbound>> {
    candidates.iter().copied().filter(|c| c.unmet_by(channel).is_none()).min_by_key(|c| attribution(c))
}

/// The first connector that audit mode lets pass, with the condition waived.
fn waiving<'a>(
    candidates: &[&'a Arc<Inbound>],
    channel: &Channel,
) -> Option<(&'a Arc<Inbound>, UnmetCondition)> {
    let waivable = |c: &&'a Arc<Inbound>| {
        // Only TLS is waived: a client that skips TLS must still log in.
        let unmet = c.unmet_by(channel).filter(|unmet| may_waive(c, unmet) && c.has_login(channel))?;
        Some((*c, unmet))
    };
    candidates.iter().filter_map(waivable).min_by_key(|(c, _)| attribution(c))
}

/// Sort key for attribution: certificate, user, network, domain, then name.
fn attribution(connector: &Inbound) -> (Attribution, Arc<str>) {
    (attributed_by(connector), Arc::clone(&connector.name))
}

/// Whether audit mode waives this condition: never the network, and only if the network restricts who may claim the
/// domain.
fn may_waive(connector: &Inbound, unmet: &UnmetCondition) -> bool {
    let by_tls = match unmet {
        UnmetCondition::NoTls | UnmetCondition::Tls(_) => true,
        UnmetCondition::Off | UnmetCondition::Listener | UnmetCondition::Network | UnmetCondition::User => {
            false
        }
    };
    by_tls && connector.mode == Mode::Audit && connector.from_networks.restrict()
}

impl Table {
    /// Whether some connector that could admit this client reads commands as old devices send them. TLS and login may
    /// still come, so they are not asked about; a user of another connector's is.
    #[must_use]
    pub fn is_lenient_to(&self, channel: &Channel) -> bool {
        let could = |connector: &Inbound| {
            connector.is_open_to(channel.listener.as_deref(), channel.peer)
                && (channel.user.is_none() || connector.has_login(channel))
        };
        self.inbound.iter().any(|connector| connector.lenient && could(connector))
    }

    /// Maximum number of concurrent sessions for this address, from the enforced connectors whose networks
    /// include it; `None` if none does. Networks that restrict nobody are ignored.
    #[must_use]
    pub fn sessions_of_named(&self, peer: IpAddr) -> Option<usize> {
        let enforced = self.inbound.iter().filter(|c| c.mode == Mode::Enforce);
        enforced
            .filter(|connector| connector.from_networks.name(peer))
            .map(|connector| connector.limits.connections_max.unwrap_or(usize::MAX))
            .max()
    }
}

/// Whether the peer's address or certificate claims to be this connector's partner, whether the claim is
/// valid or not.
fn names_peer(connector: &Inbound, channel: &Channel) -> bool {
    connector.from_networks.name(channel.peer) || shows_who(connector, channel)
}

/// Whether the client's certificate, whatever its chain is worth, is one that the connector names.
fn shows_who(connector: &Inbound, channel: &Channel) -> bool {
    let certificate = channel.tls.as_ref().and_then(|facts| facts.certificate());
    let pinned =
        |demands: &Forced| certificate.is_some_and(|c| demands.pins.iter().any(|pin| pin.sha256 == c.spki));
    if connector.forced().is_some_and(pinned) {
        return true;
    }
    // An issuer alone identifies nobody, and a connector that requires names is identified by those.
    let described = |demands: &Forced| {
        let subject = &demands.subject;
        let says_who = !subject.organisation.is_empty() || !subject.common_name.is_empty();
        let nameless = !matches!(demands.require, Require::Identity { .. });
        says_who && nameless && certificate.is_some_and(|c| subject.unmet_by(c).is_none())
    };
    if connector.forced().is_some_and(described) {
        return true;
    }
    let Some(Forced { require: Require::Identity { names, .. }, allow_cn, .. }) = connector.forced() else {
        return false;
    };
    certificate.is_some_and(|c| first_match(names, &c.names_or_common_name(*allow_cn)).is_some())
}

/// The refusal, reported for the binding connector that came closest: TLS is judged after the network, and a
/// connector whose names the certificate presents is the one the peer means.
fn bound(binding: &[&Arc<Inbound>], channel: &Channel, path: &ReversePath) -> RefusedMail {
    let closest = binding.iter().filter_map(|c| Some((*c, c.unmet_by(channel)?))).max_by_key(|(c, unmet)| {
        let rank = match unmet {
            UnmetCondition::Off | UnmetCondition::Listener | UnmetCondition::Network => 0,
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
