//! What a connector's requirement leaves out of another one's: a partial order, by what is accepted and not by how it is
//! configured. Nothing here knows a domain.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use super::facts::TrustId;
use super::headers::HeaderHandling;
use super::name::PeerName;
use super::pattern::DomainPattern;
use super::pin::Pin;
use super::profile::Profile;
use super::raise::RaiseRule;
use super::requirement::{Forced, KeyExchange, Purpose, Require, Revocation};
use super::table::{
    BareLf, Inbound, InboundTls, Mode, NextHop, OnHandshakeFailure, Outbound, OutboundTls, SmartHostName,
};
use super::trusted::TrustSets;

/// What was required of a session and is not any more, or not as strictly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// Off, opportunistic, judged in audit, forced.
    Level,
    /// Encryption, a chain, the identity.
    Require,
    /// Another name is accepted.
    Names,
    /// Another trust anchor is accepted.
    Trust,
    /// Another key is accepted, or any.
    Pins,
    /// Another subject or issuer is accepted.
    Subject,
    /// The common name is accepted.
    CommonName,
    /// Revocation lists count less.
    Revocation,
    /// A server's certificate is accepted of a client.
    Purpose,
    /// An older version of TLS is accepted.
    Version,
    /// A weaker key exchange is accepted, or preferred.
    KeyExchange,
    /// A session or certificate outside the profile is accepted.
    Profile,
    /// Plaintext follows sooner where a handshake fails.
    Fallback,
    /// A host that had TLS before is sent plaintext without an alarm.
    Memory,
    /// Clients of other networks are accepted.
    Networks,
    /// Clients of other listeners are accepted.
    Listeners,
    /// Clients need no login, or another users file counts.
    Login,
    /// Mail for other recipient domains is accepted.
    Recipients,
    /// Mail need not leave under forced TLS.
    Onward,
    /// A message can no longer raise what is required of the way it leaves, or not as far.
    Raise,
    /// Header fields of Exchange pass that were removed, or become fields of the organisation.
    Headers,
    /// Fields of other organisations are promoted.
    Originators,
    /// `Authentication-Results` in our name pass that were removed.
    ArrivalHeader,
    /// Bare line feeds are accepted.
    BareLf,
}

/// The levels of a requirement, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum DemandLevel {
    Off,
    Opportunistic,
    Audit,
    Forced,
}

/// A connector beside the contents of the trust anchor sets of its table.
pub(super) type Within<'a, T> = (&'a T, &'a TrustSets);

/// What `new` leaves out of what `old` requires of a session.
pub(super) fn lost_outbound(old: Within<'_, Outbound>, new: Within<'_, Outbound>) -> BTreeSet<Loss> {
    let ((was, _), (now, _)) = (old, new);
    let mut losses = BTreeSet::new();
    let level = outbound_level(now);
    let mut lost = |loss, is_lost: bool| losses.extend(is_lost.then_some(loss));
    lost(Loss::Level, level < outbound_level(was));
    lost(Loss::Headers, caution(now.sending.headers) < caution(was.sending.headers));
    if level < DemandLevel::Forced {
        lost(Loss::Fallback, fallback(now.on_handshake_failure) < fallback(was.on_handshake_failure));
        lost(Loss::Memory, was.remember_tls && !now.remember_tls);
    }
    if let (OutboundTls::Forced(was_forced), OutboundTls::Forced(now_forced), DemandLevel::Forced) =
        (&was.tls, &now.tls, level)
        && was.mode == Mode::Enforce
    {
        let names =
            (NameRule::of(was_forced, Some(&was.next_hop)), NameRule::of(now_forced, Some(&now.next_hop)));
        losses.extend(lost_forced((was_forced, old.1), (now_forced, new.1), &names));
    }
    losses
}

/// What `new`, for one of its networks (or any) and one of its recipient patterns, leaves out of what `old` requires.
pub(super) fn lost_inbound(
    old: Within<'_, Inbound>,
    new: Within<'_, Inbound>,
    (network, to): (Option<&IpNet>, &DomainPattern),
) -> BTreeSet<Loss> {
    let ((was, _), (now, _)) = (old, new);
    let mut losses = BTreeSet::new();
    let mut lost = |loss, is_lost: bool| losses.extend(is_lost.then_some(loss));
    lost(Loss::Level, inbound_level(now) < inbound_level(was));
    let in_networks = |network: &IpNet| was.from_networks.iter().any(|known| known.contains(network));
    lost(Loss::Networks, !was.from_networks.is_anywhere() && !network.is_some_and(in_networks));
    let listened =
        now.listeners.iter().all(|listener| was.listeners.contains(listener)) && !now.listeners.is_empty();
    lost(Loss::Listeners, !was.listeners.is_empty() && !listened);
    let same_file = |file: &Arc<str>| now.users.as_ref().is_some_and(|users| users.file == *file);
    lost(Loss::Login, was.users.as_ref().is_some_and(|users| !same_file(&users.file)));
    lost(Loss::Recipients, !was.to_domains.iter().any(|known| known.includes(to)));
    lost(Loss::Onward, now.onward < was.onward);
    lost(Loss::Raise, was.raise.iter().any(|rule| !raises(now, rule)));
    lost(Loss::Headers, caution(now.headers) < caution(was.headers));
    let both = |handling| was.headers == handling && now.headers == handling;
    lost(Loss::Originators, both(HeaderHandling::Promote) && !originators_within(now, was));
    // What else is removed, `headers` says.
    let results_pass = both(HeaderHandling::Preserve) && was.arrival_header && !now.arrival_header;
    lost(Loss::ArrivalHeader, results_pass);
    lost(Loss::BareLf, was.bare_lf == BareLf::Refuse && now.bare_lf == BareLf::Normalize);
    if let (InboundTls::Forced(was_forced), InboundTls::Forced(now_forced)) = (&was.tls, &now.tls)
        && inbound_level(was) == DemandLevel::Forced
        && inbound_level(now) == DemandLevel::Forced
    {
        let names = (NameRule::of(was_forced, None), NameRule::of(now_forced, None));
        losses.extend(lost_forced((was_forced, old.1), (now_forced, new.1), &names));
    }
    losses
}

/// Whether a message that matches a rule must still leave as it says.
fn raises(now: &Inbound, rule: &RaiseRule) -> bool {
    let same = |other: &RaiseRule| other.marker == rule.marker && other.to >= rule.to;
    now.onward >= rule.to || now.raise.iter().any(same)
}

/// How little of what Exchange believes passes: what is stricter lets pass nothing that is removed here.
fn caution(handling: HeaderHandling) -> u8 {
    match handling {
        HeaderHandling::Preserve => 0,
        HeaderHandling::Promote => 1,
        HeaderHandling::Firewall => 2,
    }
}

/// Whether fields are promoted only of organisations whose were promoted before. An empty list is everybody, even mail
/// that names no organisation.
fn originators_within(now: &Inbound, was: &Inbound) -> bool {
    let known = |one: &DomainPattern| was.originators.iter().any(|known| known.includes(one));
    was.originators.is_empty() || !now.originators.is_empty() && now.originators.iter().all(known)
}

fn lost_forced(
    (was, was_trust): Within<'_, Forced>,
    (now, now_trust): Within<'_, Forced>,
    (was_names, now_names): &(NameRule<'_>, NameRule<'_>),
) -> BTreeSet<Loss> {
    let mut losses = BTreeSet::new();
    let mut lost = |loss, is_lost: bool| losses.extend(is_lost.then_some(loss));
    lost(Loss::Version, now.min_version < was.min_version);
    lost(Loss::KeyExchange, key_exchange(now.key_exchange) < key_exchange(was.key_exchange));
    let within = |was: Profile| now.profile.is_some_and(|now| was.includes(now));
    lost(Loss::Profile, was.profile.is_some_and(|was| !within(was)));
    if !was.needs_certificate() {
        return losses;
    }
    lost(Loss::Require, rank(&now.require) < rank(&was.require));
    let both_chained = rank(&was.require) > 0 && rank(&now.require) > 0;
    if both_chained {
        let accepted = anchors(was.trust(), was_trust, Side::Old);
        lost(Loss::Trust, !anchors(now.trust(), now_trust, Side::New).is_subset(&accepted));
        let fewer = !lists(was.trust(), was_trust).is_subset(&lists(now.trust(), now_trust));
        let less = revocation(now.revocation) < revocation(was.revocation);
        lost(Loss::Revocation, less || (fewer && was.revocation != Revocation::Off));
    }
    let both_named =
        matches!((&was.require, &now.require), (Require::Identity { .. }, Require::Identity { .. }));
    lost(Loss::Names, both_named && !was_names.includes(now_names));
    lost(Loss::CommonName, both_named && !was.allow_cn && now.allow_cn);
    lost(Loss::Pins, !was.pins.is_empty() && !pins_within(&now.pins, &was.pins));
    let subjects = [
        (&was.subject.organisation, &now.subject.organisation),
        (&was.subject.common_name, &now.subject.common_name),
        (&was.subject.issuer, &now.subject.issuer),
    ];
    let asks = now.needs_certificate();
    lost(
        Loss::Subject,
        subjects.iter().any(|(was, now)| !(was.is_empty() || asks && texts_within(now, was))),
    );
    lost(Loss::Purpose, was.purpose == Purpose::Client && !(asks && now.purpose == Purpose::Client));
    losses
}

/// The reference identifiers that a requirement of identity comes to.
enum NameRule<'a> {
    /// The recipient domain.
    RecipientDomain,
    /// Each smart host's own name.
    OwnHost(Vec<PeerName>),
    /// These names.
    Listed(&'a [PeerName]),
}

impl<'a> NameRule<'a> {
    fn of(forced: &'a Forced, next_hop: Option<&NextHop>) -> Self {
        let names = match &forced.require {
            Require::Identity { names, .. } => names.as_slice(),
            Require::Encryption | Require::Chain { .. } => &[],
        };
        match next_hop {
            Some(NextHop::Mx { .. }) if names.is_empty() => Self::RecipientDomain,
            Some(NextHop::SmartHosts(hosts)) if names.is_empty() => Self::OwnHost(
                hosts
                    .iter()
                    .map(|host| match &host.name {
                        SmartHostName::Name(name) => PeerName::Exact(name.clone()),
                        SmartHostName::Ip(ip) => PeerName::Ip(*ip),
                    })
                    .collect(),
            ),
            Some(NextHop::Mx { .. } | NextHop::SmartHosts(_)) | None => Self::Listed(names),
        }
    }

    /// Whether every name that `other` accepts is accepted here. Other smart hosts that prove their own names are no
    /// other rule.
    fn includes(&self, other: &NameRule<'_>) -> bool {
        let all = |known: &[PeerName], names: &[PeerName]| {
            names.iter().all(|name| known.iter().any(|known| accepts(known, name)))
        };
        match (self, other) {
            (Self::RecipientDomain, NameRule::RecipientDomain) | (Self::OwnHost(_), NameRule::OwnHost(_)) => {
                true
            }
            (Self::Listed(known), NameRule::Listed(names)) => all(known, names),
            (Self::Listed(known), NameRule::OwnHost(names)) => all(known, names),
            (Self::OwnHost(known), NameRule::Listed(names)) => all(known, names),
            (Self::RecipientDomain, NameRule::OwnHost(_) | NameRule::Listed(_))
            | (Self::OwnHost(_) | Self::Listed(_), NameRule::RecipientDomain) => false,
        }
    }
}

/// Whether `known` accepts every certificate that `name` accepts.
fn accepts(known: &PeerName, name: &PeerName) -> bool {
    match (known, name) {
        (PeerName::OneBelow(parent), PeerName::Exact(name)) => name.parent() == Some(parent.as_str()),
        (PeerName::Exact(_) | PeerName::OneBelow(_) | PeerName::Ip(_), _) => known == name,
    }
}

/// What a chain may end in.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Anchor {
    Key([u8; 32]),
    /// A set as a whole: the operating system's, which others maintain, or one whose contents are not known.
    Set(TrustId),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Old,
    New,
}

fn anchors(sets: &[TrustId], contents: &TrustSets, side: Side) -> BTreeSet<Anchor> {
    let mut found = BTreeSet::new();
    for id in sets {
        let is_system = *id == TrustId::system();
        let keys = contents.get(id).map(|contents| contents.anchors.iter().map(|key| Anchor::Key(*key)));
        // An update of the system's set is not ours to report; one of its anchors alone is less than all of it.
        match keys {
            Some(keys) if !is_system => found.extend(keys),
            Some(keys) if side == Side::Old => {
                found.extend(keys);
                found.insert(Anchor::Set(id.clone()));
            }
            Some(_) | None => {
                found.insert(Anchor::Set(id.clone()));
            }
        }
    }
    found
}

/// Whose revocation lists count. Any list may name a certificate that the others do not.
fn lists<'a>(sets: &[TrustId], contents: &'a TrustSets) -> BTreeSet<&'a str> {
    let contents = sets.iter().filter_map(|id| contents.get(id));
    contents.flat_map(|contents| contents.lists.iter().map(String::as_str)).collect()
}

fn pins_within(now: &[Pin], was: &[Pin]) -> bool {
    let starts =
        |known: &Pin, pin: &Pin| known.from.is_none_or(|from| pin.from.is_some_and(|pin| from <= pin));
    let ends =
        |known: &Pin, pin: &Pin| known.until.is_none_or(|until| pin.until.is_some_and(|pin| pin <= until));
    let within = |pin: &Pin| {
        was.iter().any(|known| known.sha256 == pin.sha256 && starts(known, pin) && ends(known, pin))
    };
    !now.is_empty() && now.iter().all(within)
}

fn texts_within(now: &[String], was: &[String]) -> bool {
    let folded = |text: &String| text.to_lowercase();
    let known: BTreeSet<String> = was.iter().map(folded).collect();
    !now.is_empty() && now.iter().all(|text| known.contains(&folded(text)))
}

fn outbound_level(connector: &Outbound) -> DemandLevel {
    match (&connector.tls, connector.mode) {
        (OutboundTls::Off, _) => DemandLevel::Off,
        (OutboundTls::Opportunistic(_), _) => DemandLevel::Opportunistic,
        (OutboundTls::Forced(_), Mode::Audit) => DemandLevel::Audit,
        (OutboundTls::Forced(_), Mode::Enforce | Mode::Off) => DemandLevel::Forced,
    }
}

fn inbound_level(connector: &Inbound) -> DemandLevel {
    match (&connector.tls, connector.mode) {
        (InboundTls::Off, _) => DemandLevel::Off,
        (InboundTls::Opportunistic, _) => DemandLevel::Opportunistic,
        // A rehearsal waives TLS only within networks that restrict: without them it admits whoever meets it in full.
        (InboundTls::Forced(_), Mode::Audit) if connector.from_networks.restrict() => DemandLevel::Audit,
        (InboundTls::Forced(_), Mode::Enforce | Mode::Audit | Mode::Off) => DemandLevel::Forced,
    }
}

fn rank(require: &Require) -> u8 {
    match require {
        Require::Encryption => 0,
        Require::Chain { .. } => 1,
        Require::Identity { .. } => 2,
    }
}

fn key_exchange(exchange: KeyExchange) -> u8 {
    match exchange {
        KeyExchange::Classic => 0,
        KeyExchange::Any => 1,
        KeyExchange::PostQuantum => 2,
    }
}

fn revocation(revocation: Revocation) -> u8 {
    match revocation {
        Revocation::Off => 0,
        Revocation::Soft => 1,
        Revocation::Hard => 2,
    }
}

fn fallback(on_failure: OnHandshakeFailure) -> u8 {
    match on_failure {
        OnHandshakeFailure::Clear => 0,
        OnHandshakeFailure::ClearLater => 1,
        OnHandshakeFailure::Defer => 2,
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Level => "level",
            Self::Require => "require",
            Self::Names => "peer names",
            Self::Trust => "trust anchors",
            Self::Pins => "pins",
            Self::Subject => "subject or issuer",
            Self::CommonName => "allow_cn",
            Self::Revocation => "revocation",
            Self::Purpose => "purpose",
            Self::Version => "TLS version",
            Self::KeyExchange => "key exchange",
            Self::Profile => "profile",
            Self::Fallback => "fallback to plaintext",
            Self::Memory => "remember_tls",
            Self::Networks => "networks",
            Self::Listeners => "listeners",
            Self::Login => "login",
            Self::Recipients => "to_domains",
            Self::Onward => "onward",
            Self::Raise => "[[raise]]",
            Self::Headers => "headers",
            Self::Originators => "originators",
            Self::ArrivalHeader => "arrival_header",
            Self::BareLf => "bare_lf",
        })
    }
}
