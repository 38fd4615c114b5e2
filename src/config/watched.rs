//! Checks `[watch]` beside the connectors: names that there are not, and recipients that no host would be asked about.

use std::time::Duration;

use super::check::CheckedFile;
use super::fault::Report;
use super::keys::{Entry as _, List, WatchEntry};
use super::values::choices;
use crate::connector::{Mode, Table};
use crate::lookout::serving;

/// Reports what would be ignored, at its position.
pub(super) fn find(entry: &WatchEntry, (checked, table): (&CheckedFile, &Table), report: &mut Report<'_>) {
    let watch = &checked.watch;
    if !watch.on {
        return;
    }
    if let Some(place) = entry.place("every").filter(|_| !(EVERY_MIN..=EVERY_MAX).contains(&watch.every)) {
        report.fault_of_key(place, "every must be from 10m to 30d; write one such as \"6h\"");
    }
    if let Some(place) = entry.place("at_once").filter(|_| watch.at_once_max > AT_ONCE_MAX) {
        let words = format!("at_once is at most {AT_ONCE_MAX}: partners are looked at gently; write 8");
        report.fault_of_key(place, words);
    }
    for name in items(entry.except_connectors.as_ref()) {
        let known = checked.outbound.iter().map(|connector| &*connector.name);
        if !known.clone().any(|known| known == name.get_ref()) {
            let words = format!(
                "there is no outbound connector \"{}\"{}",
                name.get_ref(),
                choices(name.get_ref(), known, "names")
            );
            report.fault(name.span(), words);
        }
    }
    for (mailbox, written) in watch.recipients.iter().zip(items(entry.recipients.as_ref())) {
        let why = match serving(table, mailbox) {
            None => "no outbound connector serves it".to_owned(),
            Some(connector) if watch.except.contains(&connector.name) => {
                format!("its connector {} is in except_connectors", connector.name)
            }
            Some(_) => continue,
        };
        let words = format!("{} would never be asked about: {why}; remove it", mailbox.as_str());
        report.fault(written.span(), words);
    }
    let watched = |name| !watch.except.contains(name);
    if let Some(place) = entry.place("mode").filter(|_| {
        !checked.outbound.iter().any(|connector| connector.mode != Mode::Off && watched(&connector.name))
    }) {
        report.warn(place, "nothing is watched: no outbound connector is left");
    }
}

fn items(list: Option<&List>) -> &[super::keys::Text] {
    list.map_or(&[], |list| list.get_ref())
}

const EVERY_MIN: Duration = Duration::from_secs(10 * 60);
const EVERY_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const AT_ONCE_MAX: usize = 64;
