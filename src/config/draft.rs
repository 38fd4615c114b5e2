//! What a draft names, which somebody has pasted and which may name any file of this machine: nothing of it is read. What the
//! configuration in effect has read under the same name is used.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;

use super::Config;
use super::fault::Report;
use super::keys::{Entry as _, Text};
use super::materials::Materials;
use super::named::Lists;
use super::schema;
use crate::admin::Tokens;
use crate::connector::TrustId;
use crate::mail::UnixMillis;

/// What is known of it; what is not known and would decide is reported.
pub(super) fn materials(
    file: &schema::File,
    (in_effect, base): (&Config, &Path),
    now: UnixMillis,
    report: &mut Report<'_>,
) -> Materials {
    let mut materials = Materials::default();
    base.clone_into(&mut materials.revisions.base);
    materials.revisions.now = now;
    for (id, entry) in &file.certificate {
        entry.get_ref().read(&entry.span(), report);
        let id = id.get_ref();
        materials.revisions.certificates.insert(id.clone(), String::new());
        if let Some(identity) = in_effect.identities.get(id) {
            materials.identities.insert(id.clone(), Arc::clone(identity));
        }
    }
    for (id, entry) in &file.trust {
        entry.get_ref().read(&entry.span(), report);
        trust(&mut materials, (in_effect, now), id.get_ref());
        if !materials.trust.contains_key(&TrustId(id.get_ref().as_str().into())) {
            let words = format!(
                "trust \"{}\" is not in effect, and a draft reads no files: no certificate has a chain to it here",
                id.get_ref()
            );
            report.warn(id.span(), words);
        }
    }
    trust(&mut materials, (in_effect, now), "system");
    materials.revisions.lists = lists(file, &in_effect.lists, report);
    materials
}

fn trust(materials: &mut Materials, (in_effect, now): (&Config, UnixMillis), id: &str) {
    let name = TrustId(id.into());
    match in_effect.trust.get(&name) {
        Some(set) => materials.add(name, Arc::clone(set), now),
        // Whether its lists would do is not known.
        None => {
            materials.revisions.vouching.insert(id.to_owned());
        }
    }
}

/// The line-based files, as far as the configuration in effect has read them for the same purpose.
fn lists(file: &schema::File, known: &Lists, report: &mut Report<'_>) -> Lists {
    let mut lists = Lists { tokens: Tokens::default(), ..Lists::default() };
    for entry in file.partner.iter().map(Spanned::get_ref) {
        take(&entry.domains_file, &known.domains, &mut lists.domains, "write the domains as domains", report);
    }
    for entry in file.inbound.iter().map(Spanned::get_ref) {
        let networks = "write the networks as from_networks";
        take(&entry.from_networks_file, &known.networks, &mut lists.networks, networks, report);
        take(&entry.users_file, &known.users, &mut lists.users, "leave it out", report);
        take(&entry.recipients_file, &known.recipients, &mut lists.recipients, "leave it out", report);
    }
    lists
}

fn take<T: Clone>(
    key: &Option<Text>,
    known: &BTreeMap<String, T>,
    lists: &mut BTreeMap<String, T>,
    instead: &str,
    report: &mut Report<'_>,
) {
    let Some(key) = key else { return };
    match known.get(key.get_ref()) {
        Some(content) => {
            lists.insert(key.get_ref().clone(), content.clone());
        }
        None => {
            let words = format!(
                "a draft reads no files, and the configuration in effect has none of this name here; {instead} for the question"
            );
            report.fault(key.span(), words);
        }
    }
}
