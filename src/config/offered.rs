//! Compares what forced inbound connectors require of a session with what the listeners that they are for agree on: all that is
//! valid one by one, and refuses clients who could conform, or holds nobody to it. Warnings.

use std::ops::Range;

use super::check::CheckedFile;
use super::fault::Report;
use super::keys::{Entry as _, InboundEntry};
use super::schema;
use super::values::quoted;
use crate::connector::{
    Forced, HandshakeOffer, Inbound, KeyExchange, Mode, Profile, TlsVersion, USUAL_OFFER,
};
use crate::listen::settings::{Listener, ListenerTls};

/// Warns at the key of the connector. One that is off is left alone.
pub(super) fn find(file: &schema::File, checked: &CheckedFile, report: &mut Report<'_>) {
    for (entry, connector) in file.inbound.iter().zip(&checked.inbound) {
        if connector.mode == Mode::Off {
            continue;
        }
        if let Some(forced) = connector.forced() {
            let doors = ClientDoors::of(connector, checked);
            without_tls(entry.get_ref(), &doors, report);
            no_hybrid(entry.get_ref(), forced, &doors, report);
            if let Some((profile, place)) = forced.profile.zip(entry.get_ref().place("profile")) {
                held_to(profile, place, (forced, &doors), report);
            }
        }
    }
}

/// The listeners by which the clients of a connector come.
struct ClientDoors<'a> {
    all: Vec<&'a Listener>,
    /// Whether the connector names them: then each of them is meant, and otherwise one of all is enough.
    named: bool,
    /// Whether others offer TLS; that none does is said elsewhere.
    some_offer: bool,
    /// The other connectors that take mail without TLS.
    open: Vec<&'a Inbound>,
}

impl<'a> ClientDoors<'a> {
    fn of(connector: &Inbound, checked: &'a CheckedFile) -> Self {
        let listeners = &checked.listen.listeners;
        let some_offer = listeners.iter().any(|one| one.tls != ListenerTls::Off);
        let is_open =
            |one: &&Inbound| one.name != connector.name && one.mode != Mode::Off && !one.is_enforced();
        Self {
            all: listeners.iter().filter(|one| is_at(connector, one)).collect(),
            named: !connector.listeners.is_empty(),
            some_offer,
            open: checked.inbound.iter().filter(is_open).collect(),
        }
    }

    /// Another connector whose clients one of these would turn away if it required TLS.
    fn turned_away(&self, listeners: &[&Listener]) -> Option<&'a Inbound> {
        let plain = |listener: &&&Listener| listener.tls == ListenerTls::StartTls;
        let is_there = |one: &&Inbound| listeners.iter().filter(plain).any(|listener| is_at(one, listener));
        self.open.iter().copied().find(is_there)
    }

    /// Where something has to be written so that these fit.
    fn place(&self, listeners: &[&Listener]) -> &'static str {
        match (listeners, self.named) {
            ([_], _) => "the [[listener]]",
            (_, true) => "each [[listener]]",
            (_, false) => "one [[listener]]",
        }
    }

    fn with_tls(&self) -> impl Iterator<Item = &'a Listener> {
        self.all.iter().copied().filter(|one| one.tls != ListenerTls::Off)
    }

    /// Those that do not fit, if that matters; empty if it does not.
    fn unfit(&self, fits: impl Fn(&Listener) -> bool) -> Vec<&'a Listener> {
        let (fit, unfit): (Vec<_>, Vec<_>) = self.with_tls().partition(|one| fits(one));
        if self.named || fit.is_empty() { unfit } else { Vec::new() }
    }
}

/// Warns of a connector for listeners none of which offers TLS.
fn without_tls(entry: &InboundEntry, doors: &ClientDoors<'_>, report: &mut Report<'_>) {
    if !doors.named || !doors.some_offer || doors.all.is_empty() || doors.with_tls().next().is_some() {
        return;
    }
    let words = format!(
        "{} no TLS, so nobody can fulfil tls = \"forced\"; write tls = \"starttls\" at {}, or name another",
        in_words(&doors.all, "offers", "offer"),
        if doors.all.len() == 1 { "it" } else { "one of them" }
    );
    report.warn(entry.place("listeners").unwrap_or_default(), words);
}

/// Warns where no client can agree on a hybrid group.
fn no_hybrid(entry: &InboundEntry, forced: &Forced, doors: &ClientDoors<'_>, report: &mut Report<'_>) {
    if forced.key_exchange != KeyExchange::PostQuantum {
        return;
    }
    let unfit = doors.unfit(|one| one.profile.is_none_or(Profile::has_hybrid));
    if !unfit.is_empty() {
        let (written, change) = match unfit.as_slice() {
            [_] => ("the profile written at it", "it"),
            _ => ("the profiles written at them", "these"),
        };
        let words = format!(
            "nobody can fulfil this there: {} no post-quantum group, by {written}; change {change}, or write \
             key_exchange = \"any\"",
            in_words(&unfit, "has", "have")
        );
        report.warn(entry.place("key_exchange").unwrap_or_default(), words);
    }
}

/// Warns of a profile that the listeners do not keep to: what clients agree on is up to these.
fn held_to(
    profile: Profile,
    place: Range<usize>,
    (forced, doors): (&Forced, &ClientDoors<'_>),
    report: &mut Report<'_>,
) {
    let looser = doors.unfit(|listener| profile.table().offer.includes_sessions_of(offer(listener)));
    if !looser.is_empty() {
        let words = if doors.named {
            format!(
                "{} not limited to {profile}: a client may agree on more there, and its mail is then refused although it could \
                 conform; write profile = \"{profile}\" at {}{}",
                in_words(&looser, "is", "are"),
                doors.place(&looser),
                match looser.as_slice() {
                    // Without any name the connector would take mail on each listener.
                    all if all.len() == doors.with_tls().count() => "",
                    [_] => ", or leave it out of listeners",
                    _ => ", or leave them out of listeners",
                }
            )
        } else {
            format!(
                "no listener is limited to {profile}: a client may agree on more there, and its mail is then refused although \
                 it could conform; write profile = \"{profile}\" at a [[listener]] for it"
            )
        };
        report.warn(place, words);
        return;
    }
    // What can't be seen of a session afterwards is all of TLS 1.2.
    if forced.min_version != TlsVersion::V12 {
        return;
    }
    let unheld = doors.unfit(|listener| unseen(profile, listener).is_empty());
    if unheld.is_empty() {
        return;
    }
    let gaps = |gap: UnseenGap| unheld.iter().any(|one| unseen(profile, one).contains(&gap));
    let (secret, signature) = (gaps(UnseenGap::MasterSecret), gaps(UnseenGap::Signature));
    let what = match (secret, signature) {
        (true, false) => "the extended master secret",
        (false, _) => "how the handshake was signed",
        (true, true) => "the extended master secret, and how the handshake was signed",
    };
    let words = format!(
        "{profile} can't be enforced on sessions of TLS 1.2: {what} can't be seen at MAIL FROM, and {} what {profile} does not \
         allow; write min_version = \"1.3\" here, or {}",
        in_words(&unheld, "takes", "take"),
        at_listeners(profile, (&unheld, secret, signature), doors)
    );
    report.warn(place, words);
}

/// What would have to be written at the listeners, and whom that would turn away.
fn at_listeners(
    profile: Profile,
    (unheld, secret, signature): (&[&Listener], bool, bool),
    doors: &ClientDoors<'_>,
) -> String {
    let place = doors.place(unheld);
    if !secret || unheld.iter().all(|one| one.tls != ListenerTls::StartTls) {
        return format!("profile = \"{profile}\" at {place}");
    }
    if let Some(other) = doors.turned_away(unheld) {
        return format!(
            "profile = \"{profile}\" and tls = \"required\" at a [[listener]] of its own, named in listeners: nobody without TLS \
             is served at one with \"required\", and connector {} takes such mail at {}",
            other.name,
            if unheld.len() == 1 { "this one" } else { "these" }
        );
    }
    let has_profile = !signature && unheld.iter().all(|one| one.profile.is_some_and(demands_secret));
    let profile = if has_profile { String::new() } else { format!("profile = \"{profile}\" and ") };
    format!("{profile}tls = \"required\" at {place}, where nobody without TLS is served then")
}

/// What of a TLS 1.2 session can't be seen once there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnseenGap {
    MasterSecret,
    Signature,
}

/// What a listener takes of this against the profile.
fn unseen(profile: Profile, listener: &Listener) -> Vec<UnseenGap> {
    let is_demanded = listener.profile.is_some_and(demands_secret)
        && matches!(listener.tls, ListenerTls::Required | ListenerTls::Implicit);
    let secret = (demands_secret(profile) && !is_demanded).then_some(UnseenGap::MasterSecret);
    // ML-DSA is of TLS 1.3 only.
    let schemes = offer(listener).schemes.iter().filter(|scheme| !scheme.starts_with("mldsa"));
    let others = schemes.into_iter().any(|scheme| !profile.table().offer.schemes.contains(scheme));
    secret.into_iter().chain(others.then_some(UnseenGap::Signature)).collect()
}

/// Whether a connector takes mail on a listener.
fn is_at(connector: &Inbound, listener: &Listener) -> bool {
    connector.listeners.is_empty() || connector.listeners.iter().any(|name| **name == listener.name)
}

fn demands_secret(profile: Profile) -> bool {
    profile.table().demands_master_secret
}

fn offer(listener: &Listener) -> &'static HandshakeOffer {
    listener.profile.map_or(&USUAL_OFFER, |profile| &profile.table().offer)
}

/// The listeners with their verb: `listener "in" is`, `listeners "in", "out" are`.
fn in_words(listeners: &[&Listener], one: &str, more: &str) -> String {
    let names = quoted(listeners.iter().map(|listener| listener.name.as_str()));
    match listeners {
        [_] => format!("listener {names} {one}"),
        _ => format!("listeners {names} {more}"),
    }
}
