//! `report adoption`: which domains that no connector forces could be forced today, and with which connector.

use std::path::Path;

use serde::Serialize;

use super::super::exit::Failure;
use super::super::print::titled;
use crate::config::{Adoption, AdoptionFile};
use crate::trace::{ForcibleDomain, TlsReport};

/// A domain whose mail always went over TLS, and what can be done about it.
#[derive(Debug, Serialize)]
pub(super) struct AdoptionRow<'a> {
    #[serde(flatten)]
    seen: &'a ForcibleDomain,
    /// The connector to paste, which passes the check; `None`: there is none.
    connector: Option<String>,
    /// Why there is none.
    reason: Option<String>,
}

/// The domains of a report, those with a connector first.
pub(super) fn adoption<'a>(report: &'a TlsReport, file: &Path) -> Result<Vec<AdoptionRow<'a>>, Failure> {
    let answers = AdoptionFile::read(file)?.adopt(&report.could_be_forced);
    let row = |(seen, answer)| match answer {
        Adoption::Connector(text) => AdoptionRow { seen, connector: Some(text), reason: None },
        Adoption::Not(why) => AdoptionRow { seen, connector: None, reason: Some(why) },
    };
    let mut rows: Vec<AdoptionRow<'a>> = report.could_be_forced.iter().zip(answers).map(row).collect();
    rows.sort_by_key(|row| row.connector.is_none());
    Ok(rows)
}

/// The domains, and the connectors to paste.
pub(super) fn in_words(report: &TlsReport, rows: &[AdoptionRow<'_>], limit: usize) -> String {
    if rows.is_empty() {
        return format!(
            "From {} to {} no domain without a forced connector always had TLS.",
            report.from, report.to
        );
    }
    let cells = |row: &AdoptionRow<'_>| {
        let seen = row.seen;
        let (messages, connections) = (seen.messages.to_string(), seen.connections.to_string());
        vec![seen.domain.clone(), messages, connections, seen.quality.to_owned()]
    };
    let with = |row: &AdoptionRow<'_>, last: String| {
        let mut cells = cells(row);
        cells.push(last);
        cells
    };
    let could: Vec<&AdoptionRow<'_>> = rows.iter().filter(|row| row.connector.is_some()).collect();
    let title = format!("Could be forced today, by what went out from {} to {}", report.from, report.to);
    let listed = could.iter().map(|row| with(row, row.seen.hosts.join(", "))).collect();
    let headings = ["DOMAIN", "DELIVERIES", "CONNECTIONS", "CERTIFICATE", "HOSTS"];
    let mut parts = vec![titled(&title, &headings, listed, limit)];
    let not: Vec<Vec<String>> = rows.iter().filter_map(|row| Some(with(row, row.reason.clone()?))).collect();
    if !not.is_empty() {
        let headings = ["DOMAIN", "DELIVERIES", "CONNECTIONS", "CERTIFICATE", "WHY NOT"];
        parts.push(titled("Always had TLS, and have no connector to paste", &headings, not, limit));
    }
    if !could.is_empty() {
        parts.push(
            "Connectors to paste, with all else as in the connector that serves the domain today. Together with the file they pass the \
             check. They begin in audit: `sealpost validate NAME` tests them, and without `mode` they are enforced."
                .to_owned(),
        );
    }
    parts.extend(could.iter().take(limit).filter_map(|row| row.connector.clone()));
    parts.join("\n\n")
}
