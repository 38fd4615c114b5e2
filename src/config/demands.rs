//! Builds the forced TLS requirement from the keys that both kinds of connector share.

use std::collections::BTreeSet;
use std::ops::Range;

use super::fault::Report;
use super::keys::{Demands, Entry, Level, Text};
use super::known::DefinedIds;
use crate::connector::{
    Forced, KeyExchange, PeerName, Pin, PinTerm, Require, SubjectRules, TlsVersion, TrustId,
};
use crate::mail::{UnixMillis, rfc3339};

/// The forced TLS requirement; `None` only if a fault was reported. Fills in the oldest version if it follows
/// from the key exchange.
pub(super) fn forced(
    entry: &impl Entry,
    demands: Demands<'_>,
    known: &mut DefinedIds<'_>,
    report: &mut Report<'_>,
) -> Option<Forced> {
    // A faulty `require` leaves the requirement unknown.
    entry.word("require")?;
    within_profile(entry, &demands, report);
    let min_version = oldest_version(entry, demands.min_version, demands.key_exchange, report);
    let texts = |list: Option<&[String]>| list.map(<[_]>::to_vec).unwrap_or_default();
    let subject = SubjectRules {
        organisation: texts(demands.organisation),
        common_name: texts(demands.common_name),
        issuer: texts(demands.issuer),
    };
    if let Some(place) = entry.place("allow_cn").filter(|_| demands.allow_cn) {
        report.warn(
            place,
            "allow_cn = true accepts a common name in place of a subjectAltName, which RFC 9525 no longer \
             does; have the partner's certificate renewed",
        );
    }
    let pins = demands.pins.unwrap_or_default().to_vec();
    let require = match demands.level {
        Level::Encryption => {
            if pins.is_empty() {
                subject_without_chain(entry, report);
                purpose_of_nothing(entry, report);
            }
            Require::Encryption
        }
        Level::Chain => Require::Chain { trust: trust(demands.trust, known, report) },
        Level::Identity => Require::Identity {
            trust: trust(demands.trust, known, report),
            names: demands.peer_names.unwrap_or_default().to_vec(),
        },
    };
    let forced = Forced {
        require,
        min_version,
        key_exchange: demands.key_exchange,
        profile: demands.profile,
        pins,
        subject,
        allow_cn: demands.allow_cn,
        revocation: demands.revocation,
        purpose: demands.accept_purpose,
    };
    common_name_of_addresses(entry, &forced, report);
    can_be_met(entry, &forced, known, report);
    Some(forced)
}

/// Reports a requirement that nobody can meet now, and pins that will stop mail one day.
fn can_be_met(entry: &impl Entry, forced: &Forced, known: &DefinedIds<'_>, report: &mut Report<'_>) {
    let pins = entry.place("pins").unwrap_or_default();
    match known.obstacle(forced) {
        _ if entry.word("mode").is_some_and(|mode| mode == "off") => {}
        Some(obstacle) if obstacle.is_configured() => {
            report.unmet(entry.word("name").unwrap_or_default(), pins, obstacle.to_string());
        }
        Some(obstacle) => report.warn(entry.place("revocation").unwrap_or_default(), obstacle.to_string()),
        None => warn_of_pins(pins, &forced.pins, known.now(), report),
    }
}

fn warn_of_pins(place: Range<usize>, pins: &[Pin], now: UnixMillis, report: &mut Report<'_>) {
    let over = |pin: &&Pin| pin.until.is_some_and(|until| until <= now);
    for (pin, until) in pins.iter().filter(over).filter_map(|pin| Some((pin, pin.until?))) {
        report.warn(place.clone(), format!("the pin {pin} ended on {}; remove it", rfc3339(until)));
    }
    let keys: BTreeSet<&[u8; 32]> = pins.iter().filter(|pin| !over(pin)).map(|pin| &pin.sha256).collect();
    match PinTerm::of(pins, now) {
        PinTerm::Until(end) => {
            let words = format!(
                "no pin is valid from {} on, and mail stops then; add the pin of the partner's next key",
                rfc3339(end)
            );
            report.warn(place, words);
        }
        PinTerm::Lasting if keys.len() == 1 => report.warn(
            place,
            "one pin without a successor: when the partner changes its key, mail stops; add the pin of its next key",
        ),
        PinTerm::Lasting | PinTerm::NotBefore(_) | PinTerm::Ended(_) => {}
    }
}

/// Reports `allow_cn` where only addresses are looked for: a common name is compared as a host name.
fn common_name_of_addresses(entry: &impl Entry, forced: &Forced, report: &mut Report<'_>) {
    let Require::Identity { names, .. } = &forced.require else { return };
    let addresses = !names.is_empty() && names.iter().all(|name| matches!(name, PeerName::Ip(_)));
    if let Some(place) = entry.place("allow_cn").filter(|_| addresses && forced.allow_cn) {
        report.fault_of_key(place, "allow_cn would be ignored: peer_names has only addresses; remove it");
    }
}

fn trust(ids: &[Text], known: &mut DefinedIds<'_>, report: &mut Report<'_>) -> Vec<TrustId> {
    let mut seen = BTreeSet::new();
    for id in ids.iter().filter(|id| !seen.insert(id.get_ref())) {
        report.fault(id.span(), format!("\"{}\" is listed twice; remove one", id.get_ref()));
    }
    ids.iter().map(|id| known.use_trust(id, report)).collect()
}

/// The oldest version accepted; the key exchange may need a newer one.
fn oldest_version(
    entry: &impl Entry,
    written: &mut Option<TlsVersion>,
    key_exchange: KeyExchange,
    report: &mut Report<'_>,
) -> TlsVersion {
    let post_quantum = key_exchange == KeyExchange::PostQuantum;
    if let (Some(TlsVersion::V12), true, Some(place)) = (*written, post_quantum, entry.place("min_version")) {
        report.fault(
            place,
            "key_exchange = \"post-quantum\" needs TLS 1.3; write min_version = \"1.3\", or remove it",
        );
    }
    *written.get_or_insert(if post_quantum { TlsVersion::V13 } else { TlsVersion::V12 })
}

/// Reports what contradicts a profile, or repeats it.
fn within_profile(entry: &impl Entry, demands: &Demands<'_>, report: &mut Report<'_>) {
    let Some(profile) = demands.profile else { return };
    if let (Some(TlsVersion::V12), Some(place)) = (*demands.min_version, entry.place("min_version")) {
        let words = format!(
            "min_version = \"1.2\" would be ignored: the profile {profile} says it already; remove it, or write \"1.3\""
        );
        report.fault_of_key(place, words);
    }
    let Some(place) = entry.place("key_exchange").filter(|_| !profile.has_hybrid()) else { return };
    let words = if demands.key_exchange == KeyExchange::PostQuantum {
        format!(
            "nobody can meet this: the profile {profile} has no post-quantum group; remove one of the two"
        )
    } else {
        format!("key_exchange would be ignored: the profile {profile} has no post-quantum group; remove it")
    };
    report.fault_of_key(place, words);
}

/// Reports subject rules without a chain or pin: anyone can write any organisation into their own
/// certificate.
fn subject_without_chain(entry: &impl Entry, report: &mut Report<'_>) {
    for key in ["organisation", "common_name", "issuer"] {
        let Some(place): Option<Range<usize>> = entry.place(key) else { continue };
        report.fault_of_key(
            place,
            format!(
                "{key} proves nothing without a chain or a pin, since anyone can write it into a certificate; \
                 write require = \"chain\" or \"identity\", or add pins"
            ),
        );
    }
}

/// Reports a purpose where no certificate is looked at.
fn purpose_of_nothing(entry: &impl Entry, report: &mut Report<'_>) {
    if let Some(place) = entry.place("accept_purpose") {
        let words = "accept_purpose would be ignored: with require = \"encryption\" and no pins, no certificate is looked \
                     at; write require = \"chain\" or \"identity\", add pins, or remove it";
        report.fault_of_key(place, words);
    }
}

/// Whether an identity is required, but no name is given.
pub(super) fn nameless(forced: &Forced) -> bool {
    match &forced.require {
        Require::Identity { names, .. } => names.is_empty(),
        Require::Chain { .. } | Require::Encryption => false,
    }
}
