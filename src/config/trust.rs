//! Reads the trust sets: anchors, revocation lists in files, and where further lists are fetched from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;

use super::fault::Report;
use super::files::named;
use super::keys::{Entry as _, Text, TrustEntry};
use crate::mail::{UnixMillis, rfc3339};
use crate::retrieve::HttpUrl;
use crate::tls::{ListCache, ListEnd, ListSources, RevocationList, TrustSet};

/// Reads the anchors and the lists in files; faults are reported at the keys that name them.
pub(super) fn read(
    id: &Text,
    entry: &Spanned<TrustEntry>,
    (base, now): (&Path, UnixMillis),
    files: &mut Vec<PathBuf>,
    report: &mut Report<'_>,
) -> Option<TrustSet> {
    let (table, entry) = (entry.span(), entry.get_ref());
    entry.read(&table, report);
    let mut set = match (id.get_ref().as_str(), &entry.anchors) {
        ("system", None) => {
            TrustSet::system().map_err(|fault| report.fault(id.span(), fault.to_string())).ok()?
        }
        ("system", Some(_)) => {
            let words = "\"system\" is the operating system's set, whose anchors can't be replaced; remove anchors, or \
                         choose another ID";
            report.fault(id.span(), words);
            return None;
        }
        (_, Some(anchors)) => {
            files.push(base.join(anchors.get_ref()));
            anchors_of(anchors, base, report)?
        }
        (_, None) => {
            report.fault(table, "anchors is missing; write anchors = \"tls/fabrikam-root.pem\"");
            return None;
        }
    };
    let mut added = Vec::new();
    let paths = entry.crl.iter().flat_map(|lists| lists.get_ref()).filter(|list| !is_url(list));
    for list in paths {
        files.push(base.join(list.get_ref()));
        added.push((list, lists_of(list, base, report, &mut set)));
    }
    for (list, found) in added {
        let file = base.join(list.get_ref());
        for words in found.iter().flat_map(|one| odd_list(one, &set, now)) {
            report.warn(list.span(), format!("{}: {words}", file.display()));
        }
    }
    Some(set)
}

/// Says where lists are fetched from.
pub(super) fn fetch(
    id: &Text,
    entry: &TrustEntry,
    set: &mut TrustSet,
    cache: &ListCache,
    report: &mut Report<'_>,
) {
    let mut urls = Vec::new();
    for url in entry.crl.iter().flat_map(|lists| lists.get_ref()).filter(|list| is_url(list)) {
        match HttpUrl::parse(url.get_ref()) {
            Ok(_) => urls.push(url.get_ref().as_str().into()),
            Err(fault) => report.fault(url.span(), format!("{}: {fault}", url.get_ref())),
        }
    }
    let is_set = |flag: &Option<Spanned<bool>>| flag.as_ref().is_some_and(|flag| *flag.get_ref());
    let (from_chains, private) = (is_set(&entry.crl_fetch), is_set(&entry.crl_private_addresses));
    if urls.is_empty() && !from_chains {
        if let Some(place) = entry.place("crl_private_addresses") {
            let words = "crl_private_addresses would be ignored: nothing is fetched for this set; remove it, or write an \
                         http URL in crl, or crl_fetch = true";
            report.fault_of_key(place, words);
        }
        return;
    }
    let sources = ListSources { urls, from_chains, private, urls_max: URLS_MAX };
    set.fetch_from(id.get_ref(), sources, cache);
}

fn is_url(place: &Text) -> bool {
    place.get_ref().contains("://")
}

fn anchors_of(anchors: &Text, base: &Path, report: &mut Report<'_>) -> Option<TrustSet> {
    let path = base.join(anchors.get_ref());
    named(anchors, &path, report)?;
    TrustSet::load(&path).map_err(|fault| report.fault(anchors.span(), fault.to_string())).ok()
}

fn lists_of(
    list: &Text,
    base: &Path,
    report: &mut Report<'_>,
    set: &mut TrustSet,
) -> Vec<Arc<RevocationList>> {
    let path = base.join(list.get_ref());
    if named(list, &path, report).is_none() {
        return Vec::new();
    }
    set.add_lists(&path).unwrap_or_else(|fault| {
        report.fault(list.span(), fault.to_string());
        Vec::new()
    })
}

/// What is to be said of a list: whether it can count, and for how long.
fn odd_list(list: &RevocationList, set: &TrustSet, now: UnixMillis) -> Vec<String> {
    let mut found = Vec::new();
    if !set.signed(list) {
        found.push(format!(
            "no anchor of this set signed this list; it counts only for certificates of an authority below them that \
             is called {} and that the peer shows",
            list.issuer()
        ));
    }
    if now < list.this_update() {
        found.push(format!(
            "this list is valid only from {}; is the clock right?",
            rfc3339(list.this_update())
        ));
    }
    match (list.next_update(), list.end(now)) {
        (None, _) => found.push(
            "this list does not say when the next one is due, so it only revokes, and vouches for no certificate"
                .to_owned(),
        ),
        (Some(_), Some(_)) if set.has_newer(list, now) => {}
        (Some(end), Some(ListEnd::Over)) => found.push(format!(
            "this list ended on {}: revocation = \"hard\" refuses every certificate that it covers; fetch a new one",
            rfc3339(end)
        )),
        (Some(end), Some(ListEnd::Soon)) => {
            found.push(format!("this list ends on {}; fetch a new one", rfc3339(end)));
        }
        (Some(_), None) => {}
    }
    found
}

/// Maximum number of URLs that chains may add to a set.
const URLS_MAX: usize = 1024;
