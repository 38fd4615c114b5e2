//! Builds the forced TLS requirement from the keys that both kinds of connector share.

use std::ops::Range;

use super::fault::Report;
use super::keys::{Demands, Entry, Level, Text};
use super::known::DefinedIds;
use crate::connector::{Forced, KeyExchange, Require, Revocation, SubjectRules, TlsVersion, TrustId};

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
            }
            Require::Encryption
        }
        Level::Chain => Require::Chain { trust: trust(demands.trust, known, report) },
        Level::Identity => Require::Identity {
            trust: trust(demands.trust, known, report),
            names: demands.peer_names.unwrap_or_default().to_vec(),
        },
    };
    let place = entry.place("revocation").filter(|_| demands.revocation == Revocation::Hard);
    if let Some(place) = place {
        warn_of_hard(place, &require, known, report);
    }
    Some(Forced {
        require,
        min_version,
        key_exchange: demands.key_exchange,
        pins,
        subject,
        allow_cn: demands.allow_cn,
        revocation: demands.revocation,
        purpose: demands.accept_purpose,
    })
}

/// Nobody can meet it without a list that vouches for what an anchor issued.
fn warn_of_hard(place: Range<usize>, require: &Require, known: &DefinedIds<'_>, report: &mut Report<'_>) {
    let trust = match require {
        Require::Encryption => return,
        Require::Chain { trust } | Require::Identity { trust, .. } => trust,
    };
    if known.can_vouch(trust) {
        return;
    }
    let sets = trust.iter().map(|set| format!("[trust.{set}]")).collect::<Vec<_>>().join(" and ");
    let words = format!(
        "revocation = \"hard\" refuses every certificate now: {sets} has no current list that one of its anchors \
         signed; add one to crl, or write \"soft\""
    );
    report.warn(place, words);
}

fn trust(ids: &[Text], known: &mut DefinedIds<'_>, report: &mut Report<'_>) -> Vec<TrustId> {
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

/// Whether an identity is required, but no name is given.
pub(super) fn nameless(forced: &Forced) -> bool {
    match &forced.require {
        Require::Identity { names, .. } => names.is_empty(),
        Require::Chain { .. } | Require::Encryption => false,
    }
}
