//! Whether alerts can reach anybody, under the connectors of the file. It sends nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::check::CheckedFile;
use super::fault::Report;
use super::hooks::SYSTEM;
use super::keys::{Entry as _, Text};
use super::schema;
use crate::alert::{AlertSettings, WebhookSettings, carriers};
use crate::connector::{Arrival, Mode, Table, TrustId, alert_target, choose};
use crate::retrieve::HttpUrl;
use crate::tls::TrustSet;

/// Checks whether alerts can reach anybody, under the connectors of the file.
pub(super) fn find(file: &schema::File, (checked, table): (&CheckedFile, &Table), report: &mut Report<'_>) {
    let values = &checked.alerts;
    for (mailbox, place) in &values.to {
        if choose(table, mailbox.domain_name(), Arrival::Ours).is_none() {
            let words = format!(
                "no outbound connector serves {}: alerts to {mailbox} can't be sent; add it to the domains of one, or write another \
                 address",
                mailbox.domain()
            );
            report.fault(place.clone(), words);
        }
    }
    if let Some(via) = values.via.as_ref().filter(|_| !values.to.is_empty()) {
        way(via, checked, table, report);
    }
    if report.is_clean() {
        warn_of_one_way(file, (checked, table), report);
    }
}

/// The connector that `via` names must be able to take the alerts, and make a difference.
fn way(via: &Text, checked: &CheckedFile, table: &Table, report: &mut Report<'_>) {
    let name = via.get_ref().as_str();
    let Some(connector) = table.outbound.iter().find(|one| *one.name == *name) else {
        let known: Vec<&str> = table.outbound.iter().map(|one| &*one.name).collect();
        let words = format!(
            "no outbound connector is named so: {}",
            super::unknown_name("outbound connector", name, &known)
        );
        return report.fault(via.span(), words);
    };
    if connector.mode == Mode::Off {
        return report.fault(
            via.span(),
            format!("connector {name} is off, so alerts can't go by it; write another one"),
        );
    }
    let mut differs = false;
    for (mailbox, _) in &checked.alerts.to {
        let Some(usual) = choose(table, mailbox.domain_name(), Arrival::Ours).map(|choice| choice.connector)
        else {
            continue;
        };
        if *usual.name == *name {
            continue;
        }
        differs = true;
        if alert_target(table, &usual, name).is_none() {
            let words = format!(
                "mail to {mailbox} goes by connector {}, which forces TLS, and connector {name} does not; write one with tls = \
                 \"forced\" in mode \"enforce\"",
                usual.name
            );
            report.fault(via.span(), words);
        }
    }
    if !differs {
        let words = format!(
            "via would be ignored: all alerts go by connector {name} without it; remove it, or write another one"
        );
        report.fault(via.span(), words);
    }
}

/// Warns if nobody would hear that one connector fails.
fn warn_of_one_way(file: &schema::File, (checked, table): (&CheckedFile, &Table), report: &mut Report<'_>) {
    let values = &checked.alerts;
    let via = values.via.as_ref().map(|via| via.get_ref().as_str());
    let ways: BTreeSet<Arc<str>> = values
        .to
        .iter()
        .flat_map(|(mailbox, _)| carriers(table, mailbox, via))
        .map(|connector| Arc::clone(&connector.name))
        .collect();
    let mut ways = ways.into_iter();
    let (Some(only), None, None) = (ways.next(), ways.next(), &values.webhook) else { return };
    if let Some(place) = file.alerts.place("to") {
        let words = format!(
            "all alerts go by connector {only}, so nobody gets mail when this one fails; write via, or an address that another \
             connector serves, or a webhook"
        );
        report.warn(place, words);
    }
}

/// The settings, with the trust anchors of the webhook.
pub(super) fn settings(
    checked: &CheckedFile,
    trust: &BTreeMap<TrustId, Arc<TrustSet>>,
    base: &Path,
) -> AlertSettings {
    let values = &checked.alerts;
    let webhook = values.webhook.as_ref().map(|url| {
        let id = values.webhook_trust.as_ref().map_or(SYSTEM, |id| id.get_ref().as_str());
        let secure = HttpUrl::parse_webhook(url.get_ref()).is_ok_and(|url| url.secure);
        WebhookSettings {
            url: url.get_ref().clone(),
            token_file: values.webhook_token_file.as_ref().map(|file| base.join(file.get_ref())),
            trust: trust.get(&TrustId(id.into())).filter(|_| secure).map(Arc::clone),
        }
    });
    AlertSettings {
        name: checked.scheduler.name.clone(),
        to: values.to.iter().map(|(mailbox, _)| mailbox.clone()).collect(),
        from: values.from.clone().unwrap_or_else(|| checked.scheduler.postmaster.clone()),
        via: values.via.as_ref().map(|via| via.get_ref().as_str().into()),
        webhook,
        without: values.without.clone(),
        growing_queue: values.growing_queue,
        oldest: values.oldest,
        unforced_after: values.unforced_after,
        digest: values.digest,
    }
}
