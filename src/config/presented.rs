//! Compares our certificates with the names and purposes we use them for.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::check::CheckedFile;
use super::fault::Report;
use super::schema;
use crate::connector::{PeerName, first_match};
use crate::mail::Domain;
use crate::tls::Identity;

/// Warns of certificates that a peer would refuse if it checked them.
pub(super) fn warn(
    file: &schema::File,
    checked: &CheckedFile,
    identities: &BTreeMap<String, Arc<Identity>>,
    report: &mut Report<'_>,
) {
    let name = &checked.listen.name;
    for (entry, listener) in file.listener.iter().zip(&checked.listen.listeners) {
        let Some(place) = entry.get_ref().certificate.as_ref().map(toml::Spanned::span) else { continue };
        let shown: Vec<(&String, &Arc<Identity>)> =
            listener.certificates.iter().filter_map(|id| Some((id, identities.get(id)?))).collect();
        if !shown.is_empty() && !shown.iter().any(|(_, identity)| presents(identity, name)) {
            warn_of_name("clients that connect to", name, &shown, place.clone(), report);
        }
        for (id, _) in shown.iter().filter(|(_, identity)| !identity.facts().for_servers) {
            let words = format!(
                "[certificate.{id}] is not for servers (extended key usage): clients that judge it refuse it; \
                 have one issued for serverAuth"
            );
            report.warn(place.clone(), words);
        }
    }
    for (entry, connector) in file.outbound.iter().zip(&checked.outbound) {
        let Some(id) = &entry.get_ref().client_certificate else { continue };
        let Some(identity) = identities.get(id.get_ref()) else { continue };
        let name = connector.ehlo_name.as_ref().unwrap_or(name);
        if !presents(identity, name) {
            warn_of_name("partners that hear EHLO", name, &[(id.get_ref(), identity)], id.span(), report);
        }
        let facts = identity.facts();
        if !facts.for_clients && !facts.for_servers {
            let words = format!(
                "[certificate.{}] is neither for clients nor for servers (extended key usage): partners that \
                 judge it refuse it",
                id.get_ref()
            );
            report.warn(id.span(), words);
        }
    }
}

fn presents(identity: &Identity, name: &Domain) -> bool {
    first_match(&[PeerName::Exact(name.clone())], &identity.facts().names).is_some()
}

fn warn_of_name(
    who: &str,
    name: &Domain,
    shown: &[(&String, &Arc<Identity>)],
    place: Range<usize>,
    report: &mut Report<'_>,
) {
    let names: Vec<String> = shown.iter().map(|(_, identity)| identity.facts().names_text()).collect();
    let words = format!(
        "{who} {name} and judge names refuse us: the certificate presents {}; have {name} added to its \
         subjectAltName",
        names.join(", and ")
    );
    report.warn(place, words);
}
