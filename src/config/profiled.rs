//! Compares profiles with our own certificates and with open listeners.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::check::CheckedFile;
use super::fault::Report;
use super::keys::Entry as _;
use super::schema;
use crate::connector::{OnHandshakeFailure, Outbound, OutboundTls, Profile, ProfileGap};
use crate::listen::settings::ListenerTls;
use crate::tls::Identity;

type Identities = BTreeMap<String, Arc<Identity>>;

/// Reports certificates that a profile can't be used with, and warns of what it costs.
pub(super) fn find(
    file: &schema::File,
    checked: &CheckedFile,
    identities: &Identities,
    report: &mut Report<'_>,
) {
    for (entry, listener) in file.listener.iter().zip(&checked.listen.listeners) {
        let entry = entry.get_ref();
        let (Some(profile), Some(place)) = (listener.profile, entry.place("profile")) else { continue };
        if listener.tls == ListenerTls::StartTls && profile.excludes_usual_peers() {
            let words = format!(
                "clients that have nothing in common with {profile} get no TLS here, and send in plaintext or not at all: an \
                 open listener should stay at what is sufficient for all (nl-2025, or no profile); give partners that must \
                 conform a listener of their own, with tls = \"required\""
            );
            report.warn(place, words);
        }
        let place = entry.place("certificate").unwrap_or_default();
        presented(profile, &listener.certificates, identities, place, report);
    }
    for (entry, connector) in file.outbound.iter().zip(&checked.outbound) {
        let entry = entry.get_ref();
        let (Some(profile), Some(place)) = (written(connector), entry.place("profile")) else { continue };
        plaintext_for_others(connector, profile, place, report);
        if let Some((id, place)) =
            connector.client_certificate.as_ref().zip(entry.place("client_certificate"))
        {
            presented(profile, &[id.to_string()], identities, place, report);
        }
    }
}

/// The profile as configured, in audit mode too.
fn written(connector: &Outbound) -> Option<Profile> {
    match &connector.tls {
        OutboundTls::Off => None,
        OutboundTls::Opportunistic(profile) => *profile,
        OutboundTls::Forced(forced) => forced.profile,
    }
}

/// What of our own certificate a profile does not allow: nobody relies on a signature that it made itself.
pub(super) fn gaps(profile: Profile, identity: &Identity) -> Vec<ProfileGap> {
    if identity.is_self_issued() {
        return profile
            .key_gap(identity.facts())
            .into_iter()
            .chain(profile.term_gap(identity.facts()))
            .collect();
    }
    profile.chain_gaps(identity.facts(), &identity.issuers())
}

fn presented(
    profile: Profile,
    ids: &[String],
    identities: &Identities,
    place: Range<usize>,
    report: &mut Report<'_>,
) {
    let found: Vec<_> = ids.iter().filter_map(|id| Some((id, identities.get(id)?))).collect();
    let signs = |identity: &Identity| profile.signs_with(&identity.facts().strength.key);
    if let Some((id, identity)) = found.first()
        && !found.iter().any(|(_, identity)| signs(identity))
    {
        let words = format!(
            "no handshake can succeed with it: {profile} does not sign with the key of [certificate.{id}], {}; have a \
             certificate issued for {}",
            identity.facts().strength.key,
            profile.keys_in_words()
        );
        report.fault_of_key(place, words);
        return;
    }
    for (id, identity) in found {
        for gap in gaps(profile, identity) {
            let words = format!(
                "[certificate.{id}] does not conform to {profile}: {gap}; have one issued that does ({})",
                profile.certificates_in_words()
            );
            report.warn(place.clone(), words);
        }
        if let Some(gap) = profile.phased_out(identity.facts()) {
            let words = format!(
                "[certificate.{id}] conforms to {profile} for now: {gap}, which must be phased out; renew it with {}",
                profile.keys_in_words()
            );
            report.warn(place.clone(), words);
        }
    }
}

/// Warns of mail that goes in plaintext because of a profile.
fn plaintext_for_others(
    connector: &Outbound,
    profile: Profile,
    place: Range<usize>,
    report: &mut Report<'_>,
) {
    let falls_back = matches!(connector.tls, OutboundTls::Opportunistic(_))
        && connector.on_handshake_failure != OnHandshakeFailure::Defer;
    if falls_back && profile.excludes_usual_peers() {
        let words = format!(
            "hosts that have nothing in common with {profile} get mail in plaintext: tls is \"opportunistic\"; write tls = \
             \"forced\" for partners that must conform, or on_handshake_failure = \"defer\", or remove the profile"
        );
        report.warn(place, words);
    }
}
