//! Checks `[reports]` beside the connectors and partners: who could get none, and what would be ignored.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::check::{CheckedFile, WantedReports};
use super::fault::Report;
use super::keys::{Entry as _, ReportEvery, ReportsEntry};
use super::schema;
use crate::connector::{Arrival, Table, choose};
use crate::mail::{Domain, Mailbox};
use crate::reports::{ReportAddressee, ReportRhythm, ReportSchedule, ReportSettings};

/// Reports what would be ignored or could not be sent, at its position.
pub(super) fn find(file: &schema::File, (checked, table): (&CheckedFile, &Table), report: &mut Report<'_>) {
    let WantedReports { values, partners } = &checked.reports;
    if let Some(place) = file.reports.place("hour").filter(|_| values.hour > 23) {
        report.fault_of_key(place, "hour must be from 0 to 23; write one such as 6");
    }
    let of_partners = partners.iter().map(|(_, to, place)| (to, place));
    let all: Vec<_> = values.to.iter().map(|(to, place)| (to, place)).chain(of_partners).collect();
    for (to, place) in &all {
        if choose(table, to.domain_name(), Arrival::Ours).is_none() {
            let words = format!(
                "no outbound connector serves {}: reports to {to} can't be sent; add it to the domains of one, or write \
                 another address",
                to.domain()
            );
            report.fault((*place).clone(), words);
        }
    }
    match all.first() {
        None => ignored(&file.reports, report),
        Some((_, place)) if !checked.tracking.enabled => {
            let words =
                "there is nothing to report: [tracking] has enabled = false; remove that, or this address";
            report.fault((*place).clone(), words);
        }
        Some(_) => {}
    }
}

fn ignored(entry: &ReportsEntry, report: &mut Report<'_>) {
    for key in ["from", "every", "day", "hour", "time_zone"] {
        if let Some(place) = entry.place(key) {
            let words = format!(
                "{key} would be ignored: nobody gets reports; write to = [\"you@your.domain\"], or remove it"
            );
            report.fault_of_key(place, words);
        }
    }
}

/// The settings; `None`: nobody gets reports.
pub(super) fn settings(
    wanted: &WantedReports,
    name: &Domain,
    postmaster: &Mailbox,
) -> Option<ReportSettings> {
    let WantedReports { values, partners } = wanted;
    let of_all = values.to.iter().map(|(to, _)| ReportAddressee { to: to.clone(), partner: None });
    let of_partners = partners
        .iter()
        .map(|(partner, to, _)| ReportAddressee { to: to.clone(), partner: Some(Arc::clone(partner)) });
    let addressees: Vec<_> = of_all.chain(of_partners).collect();
    let rhythm = match values.every {
        ReportEvery::Week => ReportRhythm::Weekly(values.day.0),
        ReportEvery::Month => ReportRhythm::Monthly,
    };
    let hour = i8::try_from(values.hour).unwrap_or_default();
    let schedule = ReportSchedule { rhythm, hour, zone: values.time_zone.clone().unwrap_or(TimeZone::UTC) };
    (!addressees.is_empty()).then(|| ReportSettings {
        name: name.clone(),
        from: values.from.clone().unwrap_or_else(|| postmaster.clone()),
        addressees,
        schedule,
    })
}
