//! The keys that say what forced TLS demands; both kinds of connector have them.

use std::ops::Range;

use super::fault::Report;
use super::known::Known;
use super::schema::{List, Text};
use super::units;
use crate::connector::{
    Forced, KeyExchange, PeerName, Pin, Purpose, Require, Revocation, SubjectRules, TlsVersion, TrustId,
};
use crate::mail::UnixMillis;

/// The keys about forced TLS, as written.
pub(super) struct ForcedKeys<'a> {
    pub(super) tls: &'a Text,
    pub(super) require: &'a Option<Text>,
    pub(super) peer_names: &'a Option<List>,
    pub(super) trust: &'a Option<List>,
    pub(super) min_version: &'a Option<Text>,
    pub(super) key_exchange: &'a Option<Text>,
    pub(super) pins: &'a Option<List>,
    pub(super) organisation: &'a Option<List>,
    pub(super) common_name: &'a Option<List>,
    pub(super) issuer: &'a Option<List>,
    pub(super) allow_cn: &'a Option<toml::Spanned<bool>>,
    pub(super) revocation: &'a Option<Text>,
    /// Inbound alone.
    pub(super) accept_purpose: &'a Option<Text>,
}

#[derive(Clone, Copy)]
enum Level {
    Identity,
    Chain,
    Encryption,
}

/// What forced TLS demands; `None` only if a fault was reported.
pub(super) fn forced(
    keys: &ForcedKeys<'_>,
    known: &mut Known<'_>,
    report: &mut Report<'_>,
) -> Option<Forced> {
    let level = match keys.require {
        None => Some(Level::Identity),
        Some(text) => report.word(text, "require", REQUIRE),
    };
    let names = keys.peer_names.as_ref().map_or_else(Vec::new, |list| {
        report.not_empty(list, "peer_names", "write the names its certificate presents, or remove the key");
        let read = |text: &str| PeerName::parse(text).map_err(|f| format!("\"{text}\" is no peer name: {f}"));
        report.items(list.get_ref(), read).into_iter().map(|(name, _)| name).collect()
    });
    let pins = pins(keys.pins, report);
    let subject = SubjectRules {
        organisation: texts(keys.organisation, "organisation", report),
        common_name: texts(keys.common_name, "common_name", report),
        issuer: texts(keys.issuer, "issuer", report),
    };
    let (min_version, key_exchange) = channel(keys, report);
    let purpose = word(keys.accept_purpose, "accept_purpose", PURPOSES, report);
    let revocation = word(keys.revocation, "revocation", REVOCATIONS, report);
    let allow_cn = keys.allow_cn.as_ref().is_some_and(|flag| *flag.get_ref());
    if let Some(flag) = keys.allow_cn.as_ref().filter(|flag| *flag.get_ref()) {
        report.warn(
            flag.span(),
            "allow_cn = true accepts a common name in place of a subjectAltName, which RFC 9525 no longer \
             does; have the partner's certificate renewed",
        );
    }
    let level = level?;
    ignored_at(level, keys, report);
    let require = match level {
        Level::Encryption => {
            if !subject.is_empty() && pins.is_empty() {
                subject_without_chain(keys, report);
            }
            Require::Encryption
        }
        Level::Chain => Require::Chain { trust: trust(keys, known, report) },
        Level::Identity => Require::Identity { trust: trust(keys, known, report), names },
    };
    Some(Forced {
        require,
        min_version: min_version?,
        key_exchange: key_exchange?,
        pins,
        subject,
        allow_cn,
        revocation: revocation?,
        purpose: purpose?,
    })
}

fn trust(keys: &ForcedKeys<'_>, known: &mut Known<'_>, report: &mut Report<'_>) -> Vec<TrustId> {
    let Some(list) = keys.trust else { return vec![known.use_system_trust()] };
    report.not_empty(list, "trust", "write \"system\" or the ID of a [trust.ID]");
    list.get_ref().iter().map(|id| known.use_trust(id, report)).collect()
}

/// The oldest version, and the key exchange, which may ask for a newer one.
fn channel(keys: &ForcedKeys<'_>, report: &mut Report<'_>) -> (Option<TlsVersion>, Option<KeyExchange>) {
    let key_exchange = word(keys.key_exchange, "key_exchange", KEY_EXCHANGES, report);
    let Some(text) = keys.min_version else {
        let least =
            if key_exchange == Some(KeyExchange::PostQuantum) { TlsVersion::V13 } else { TlsVersion::V12 };
        return (Some(least), key_exchange);
    };
    let version = report.word(text, "min_version", VERSIONS);
    if (version, key_exchange) == (Some(TlsVersion::V12), Some(KeyExchange::PostQuantum)) {
        report.fault(
            text.span(),
            "key_exchange = \"post-quantum\" needs TLS 1.3; write min_version = \"1.3\", or remove it",
        );
    }
    (version, key_exchange)
}

/// The word of a key, or the default where it is absent; `None` after a fault.
pub(super) fn word<T: Copy + Default>(
    value: &Option<Text>,
    key: &str,
    words: &[(&str, T)],
    report: &mut Report<'_>,
) -> Option<T> {
    match value {
        None => Some(T::default()),
        Some(text) => report.word(text, key, words),
    }
}

/// Keys that a level does not look at.
fn ignored_at(level: Level, keys: &ForcedKeys<'_>, report: &mut Report<'_>) {
    match level {
        Level::Identity => {}
        Level::Chain => {
            let why = "require is \"chain\"; remove one of the two";
            report.ignored(keys.peer_names, "peer_names", why);
            report.ignored(keys.allow_cn, "allow_cn", why);
        }
        Level::Encryption => {
            let why = "require is \"encryption\"; remove one of the two";
            report.ignored(keys.peer_names, "peer_names", why);
            report.ignored(keys.trust, "trust", why);
            report.ignored(keys.allow_cn, "allow_cn", why);
            report.ignored(keys.revocation, "revocation", why);
        }
    }
}

/// Anyone can write any organisation into a certificate of his own.
fn subject_without_chain(keys: &ForcedKeys<'_>, report: &mut Report<'_>) {
    for (list, key) in
        [(keys.organisation, "organisation"), (keys.common_name, "common_name"), (keys.issuer, "issuer")]
    {
        if let Some(list) = list {
            report.fault_of_key(
                list.span(),
                format!(
                    "{key} proves nothing without a chain or a pin, since anyone can write it into a certificate; \
                     write require = \"chain\" or \"identity\", or add pins"
                ),
            );
        }
    }
}

fn texts(list: &Option<List>, key: &str, report: &mut Report<'_>) -> Vec<String> {
    let Some(list) = list else { return Vec::new() };
    report.not_empty(list, key, "write the texts of which one must stand there, or remove the key");
    list.get_ref().iter().map(|text| text.get_ref().clone()).collect()
}

fn pins(list: &Option<List>, report: &mut Report<'_>) -> Vec<Pin> {
    let Some(list) = list else { return Vec::new() };
    report.not_empty(list, "pins", "write what `sealpost cert show` prints, or remove the key");
    let pins: Vec<(Pin, Range<usize>)> = report.items(list.get_ref(), pin);
    if let [(only, place)] = pins.as_slice()
        && only.until.is_none()
    {
        report.warn(
            place.clone(),
            "one pin without a successor: when the partner changes its key, mail stops; add the pin of its next key",
        );
    }
    pins.into_iter().map(|(pin, _)| pin).collect()
}

/// `sha256/…`, and with it `from DATE`, `until DATE` or both.
fn pin(text: &str) -> Result<Pin, String> {
    let mut words = text.split_ascii_whitespace();
    let key = words.next().unwrap_or_default();
    let mut pin = Pin::parse(key).map_err(|fault| format!("\"{text}\" is no pin: {fault}"))?;
    while let Some(word) = words.next() {
        let date = words.next().unwrap_or_default();
        let moment = units::moment(date).map_err(|fault| format!("\"{text}\" is no pin: {fault}"))?;
        match word {
            "from" if pin.from.is_none() => pin.from = Some(moment),
            "until" if pin.until.is_none() => pin.until = Some(moment),
            _ => {
                return Err(format!(
                    "\"{text}\" is no pin: after the key can stand \"from DATE\" and \"until DATE\", once each"
                ));
            }
        }
    }
    let never = |(from, until): (UnixMillis, UnixMillis)| until <= from;
    if pin.from.zip(pin.until).is_some_and(never) {
        return Err(format!("\"{text}\" never counts: it ends before it begins"));
    }
    Ok(pin)
}

/// The keys that only forced TLS has an eye for.
pub(super) fn ignored_unless_forced(keys: &ForcedKeys<'_>, report: &mut Report<'_>) {
    let why = format!("tls is \"{}\"; remove it, or write tls = \"forced\"", keys.tls.get_ref());
    report.ignored(keys.require, "require", &why);
    report.ignored(keys.peer_names, "peer_names", &why);
    report.ignored(keys.trust, "trust", &why);
    report.ignored(keys.min_version, "min_version", &why);
    report.ignored(keys.key_exchange, "key_exchange", &why);
    report.ignored(keys.pins, "pins", &why);
    report.ignored(keys.organisation, "organisation", &why);
    report.ignored(keys.common_name, "common_name", &why);
    report.ignored(keys.issuer, "issuer", &why);
    report.ignored(keys.allow_cn, "allow_cn", &why);
    report.ignored(keys.revocation, "revocation", &why);
    report.ignored(keys.accept_purpose, "accept_purpose", &why);
}

/// Whether an identity is asked for, but no name given.
pub(super) fn nameless(forced: &Forced) -> bool {
    match &forced.require {
        Require::Identity { names, .. } => names.is_empty(),
        Require::Chain { .. } | Require::Encryption => false,
    }
}

const REQUIRE: &[(&str, Level)] =
    &[("identity", Level::Identity), ("chain", Level::Chain), ("encryption", Level::Encryption)];
const VERSIONS: &[(&str, TlsVersion)] = &[("1.2", TlsVersion::V12), ("1.3", TlsVersion::V13)];
const KEY_EXCHANGES: &[(&str, KeyExchange)] = &[
    ("any", KeyExchange::Any),
    ("post-quantum", KeyExchange::PostQuantum),
    ("classic", KeyExchange::Classic),
];
const REVOCATIONS: &[(&str, Revocation)] =
    &[("off", Revocation::Off), ("soft", Revocation::Soft), ("hard", Revocation::Hard)];
const PURPOSES: &[(&str, Purpose)] = &[("either", Purpose::Either), ("client", Purpose::Client)];
