//! What of `[alerts]` needs no connectors: which keys need each other, and the webhook. It posts nothing.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;

use super::fault::Report;
use super::files::named;
use super::keys::{AlertsValues, Entry as _};
use super::known::DefinedIds;
use super::schema;
use crate::retrieve::HttpUrl;

/// Checks it.
pub(super) fn check(
    file: &schema::File,
    values: &AlertsValues,
    queued_max: u64,
    known: &mut DefinedIds<'_>,
    report: &mut Report<'_>,
) {
    let entry = &file.alerts;
    if values.to.is_empty() {
        for key in ["from", "via"] {
            if let Some(place) = entry.place(key) {
                let words = format!(
                    "{key} would be ignored: nobody gets alerts by mail; write to = [\"ADDRESS\"], or remove it"
                );
                report.fault_of_key(place, words);
            }
        }
    }
    if let Some(place) = entry.place("growing_queue").filter(|_| values.growing_queue > queued_max) {
        let words = format!(
            "growing_queue is never reached: new mail is refused from {queued_max} queued messages on (queued in [limits]); write less"
        );
        report.fault_of_key(place, words);
    }
    let Some(webhook) = &values.webhook else {
        for key in ["webhook_token_file", "webhook_trust"] {
            if let Some(place) = entry.place(key) {
                report.fault_of_key(
                    place,
                    format!("{key} would be ignored: there is no webhook; remove it, or write webhook"),
                );
            }
        }
        return;
    };
    match HttpUrl::parse_webhook(webhook.get_ref()) {
        Err(fault) => report.fault(webhook.span(), format!("{}: {fault}", webhook.get_ref())),
        Ok(url) if !url.secure => {
            if let Some(place) = entry.place("webhook_trust") {
                let words = "webhook_trust would be ignored: the webhook is http://, without a certificate; remove it";
                report.fault_of_key(place, words);
            }
        }
        Ok(_) => {
            if let Some(id) = &values.webhook_trust {
                known.use_trust(id, report);
            }
        }
    }
}

/// Reports a token of the webhook that can't be read.
pub(super) fn read_token(file: &schema::File, base: &Path, report: &mut Report<'_>) {
    if let (Some(_), Some(token)) = (&file.alerts.webhook, &file.alerts.webhook_token_file) {
        named(token, &base.join(token.get_ref()), report);
    }
}

/// Where the operating system's trust anchors are needed for the webhook.
pub(super) fn system_trust_place(file: &schema::File) -> Option<Range<usize>> {
    let webhook = file.alerts.webhook.as_ref()?;
    let own = file.alerts.webhook_trust.as_ref().is_some_and(|id| id.get_ref() != SYSTEM);
    let secure = HttpUrl::parse_webhook(webhook.get_ref()).is_ok_and(|url| url.secure);
    (secure && !own).then(|| Spanned::span(webhook))
}

/// The trust anchors of a webhook that names none.
pub(super) const SYSTEM: &str = "system";
