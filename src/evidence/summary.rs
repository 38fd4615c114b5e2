//! What the events of a package come to: counts, what was refused, where a requirement was lowered; and the same events as
//! a table for spreadsheets.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use serde::Serialize;

use super::fault::ExportFault;
use super::folder::PackageFolder;
use super::scope::{ExportScope, ScopeConnector};
use super::select::{SelectionGaps, is_of_the_site};
use super::verify::Verification;
use crate::console::DayOfMail;
use crate::mail::{UnixMillis, rfc3339};
use crate::seal::{Hash, LastStatement};
use crate::trace::{TracedEvent, clean, date_of_day};

/// What a package holds.
#[derive(Debug, Clone, Serialize)]
pub struct ExportSummary {
    /// The version of this record.
    pub version: u32,
    /// The name of the relay.
    pub site: Option<String>,
    /// The partner.
    pub partner: String,
    /// The first day.
    pub from: String,
    /// The last day.
    pub to: String,
    /// When the package was made, in RFC 3339 format.
    pub made_at: String,
    /// The fingerprint of the first key of the record.
    pub first_key: Option<Hash>,
    /// How many statements of the record have a time stamp (RFC 3161).
    pub stamped: usize,
    /// The last statement of the record.
    pub last: Option<LastStatement>,
    /// The connectors of the partner, as they were configured when the package was made.
    pub connectors: Vec<ScopeConnector>,
    /// Messages.
    pub messages: usize,
    /// Events, but for starts and stops of the relay.
    pub events: u64,
    /// Messages that came in.
    pub inbound: TransferCount,
    /// Deliveries to a recipient.
    pub outbound: TransferCount,
    /// What was refused, or withheld from a host, with the reason.
    pub withheld: Vec<WithheldCount>,
    /// Sessions that a connector in audit let pass.
    pub waived: Vec<WithheldCount>,
    /// When requirements were lowered, and no longer.
    pub overrides: Vec<LoweredLine>,
    /// When the relay was started and stopped.
    pub runs: Vec<RunLine>,
    /// What the package does not show.
    pub left_out: LeftOut,
    /// Where the record is broken, but for the events of these days.
    pub breaks: Vec<String>,
}

/// Transfers, by whether they were encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TransferCount {
    /// Over TLS.
    pub over_tls: u64,
    /// In plaintext.
    pub plaintext: u64,
}

/// Events with one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WithheldCount {
    /// The connector.
    pub connector: String,
    /// The token of the reason.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// The first time, in RFC 3339 format.
    pub first: String,
    /// The last time.
    pub last: String,
}

/// A requirement that was lowered, or no longer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoweredLine {
    /// When, in RFC 3339 format.
    pub at: String,
    /// The connector.
    pub connector: String,
    /// What was done, in words.
    pub what: String,
    /// Whether that was before the first day, and lasted.
    pub began_before: bool,
}

/// A start or a stop of the relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunLine {
    /// When, in RFC 3339 format.
    pub at: String,
    /// `started` or `stopped`.
    pub event: String,
    /// The program that was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Of a start: whether the run before was stopped in order. If it was not, what happened in its last second may be missing.
    /// `None`: that was before the first day, or it is a stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_stop: Option<bool>,
}

/// What a package does not show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Arrivals of messages that went to others as well.
    pub arrivals: u64,
    /// What happened to messages of the partner at connectors of others: they were rerouted, or delivered onward.
    pub of_others: u64,
    /// Events of these days that no statement seals yet.
    pub not_sealed: u64,
    /// Events of these days, of whatever partner, that were removed by the rules for keeping them.
    pub removed: u64,
    /// Events of these days, of whatever partner, that could not be kept.
    pub dropped: u64,
}

/// What the summary is made of, beside the events.
#[derive(Debug)]
pub(super) struct SummaryGrounds {
    pub(super) found: Verification,
    /// What is broken elsewhere in the record.
    pub(super) breaks: Vec<String>,
    /// Overrides that had begun before.
    pub(super) earlier: Vec<LoweredLine>,
}

/// What the page shows beside the summary.
#[derive(Debug, Default)]
pub(super) struct PageRows {
    pub(super) days: Vec<DayOfMail>,
    pub(super) events: Vec<TracedEvent>,
}

/// Takes events in, one after the other, and writes them as CSV.
pub(super) struct EventTable {
    path: PathBuf,
    file: csv::Writer<File>,
    count: u64,
    inbound: TransferCount,
    outbound: TransferCount,
    withheld: BTreeMap<(String, String), Span>,
    waived: BTreeMap<(String, String), Span>,
    overrides: Vec<LoweredLine>,
    runs: Vec<RunLine>,
    days: BTreeMap<i64, DayOfMail>,
    shown: Vec<TracedEvent>,
}

/// How often, and from when to when.
#[derive(Debug, Clone, Copy)]
struct Span {
    count: u64,
    first: UnixMillis,
    last: UnixMillis,
}

impl EventTable {
    pub(super) fn create(folder: &PackageFolder<'_>) -> Result<Self, ExportFault> {
        let (path, file) = folder.file("events.csv")?;
        let mut table = Self {
            path,
            file: csv::Writer::from_writer(file),
            count: 0,
            inbound: TransferCount::default(),
            outbound: TransferCount::default(),
            withheld: BTreeMap::new(),
            waived: BTreeMap::new(),
            overrides: Vec::new(),
            runs: Vec::new(),
            days: BTreeMap::new(),
            shown: Vec::new(),
        };
        table.row(&COLUMNS.map(str::to_owned))?;
        Ok(table)
    }

    /// Takes an event in.
    pub(super) fn add(&mut self, at: UnixMillis, event: TracedEvent) -> Result<(), ExportFault> {
        self.row(&cells(&event))?;
        if is_of_the_site(&event.event) {
            self.ran(at, &event);
            return Ok(());
        }
        self.count = self.count.saturating_add(1);
        self.tally(at, &event);
        if self.shown.len() < ROWS_MAX {
            self.shown.push(event);
        }
        Ok(())
    }

    fn ran(&mut self, at: UnixMillis, event: &TracedEvent) {
        let is_start = event.event == "started";
        let before = self.runs.last().filter(|_| is_start);
        let after_stop = before.map(|before| before.event == "stopped");
        let program = is_start.then(|| event.facts.words.join("; "));
        self.runs.push(RunLine { at: rfc3339(at), event: event.event.clone(), program, after_stop });
    }

    fn tally(&mut self, at: UnixMillis, event: &TracedEvent) {
        let day = self.days.entry(at.day()).or_insert(DayOfMail { day: at.day(), ..DayOfMail::default() });
        let is_sealed = event.decision.as_ref().is_some_and(|decision| decision.tls.is_some());
        let transfer = match event.event.as_str() {
            "accepted" => Some(&mut self.inbound),
            "delivered" => Some(&mut self.outbound),
            _ => None,
        };
        if let Some(transfer) = transfer {
            let (by_day, all) = if is_sealed {
                (&mut day.sealed, &mut transfer.over_tls)
            } else {
                (&mut day.plaintext, &mut transfer.plaintext)
            };
            (*by_day, *all) = (by_day.saturating_add(1), all.saturating_add(1));
        }
        if event.event == "refused" {
            day.refused = day.refused.saturating_add(1);
        }
        if event.event == "override" {
            self.overrides.push(LoweredLine {
                at: rfc3339(at),
                connector: event.facts.connector.clone().unwrap_or_default(),
                what: event.facts.words.join("; "),
                began_before: false,
            });
        }
        let Some(decision) = &event.decision else { return };
        let counts = match (event.event.as_str(), decision.withheld) {
            ("waived", _) => &mut self.waived,
            ("refused", _) | (_, Some(true)) => &mut self.withheld,
            _ => return,
        };
        let key = (decision.connector.clone().unwrap_or_default(), decision.token.clone());
        let span = counts.entry(key).or_insert(Span { count: 0, first: at, last: at });
        *span =
            Span { count: span.count.saturating_add(1), first: span.first.min(at), last: span.last.max(at) };
    }

    /// Ends the table, and says what the events come to.
    pub(super) fn summary(
        mut self,
        scope: &ExportScope,
        grounds: SummaryGrounds,
        (messages, gaps): (usize, SelectionGaps),
    ) -> Result<(ExportSummary, PageRows), ExportFault> {
        self.file.flush().map_err(|fault| ExportFault::File(self.path.clone(), fault))?;
        let SummaryGrounds { found, breaks, mut earlier } = grounds;
        earlier.append(&mut self.overrides);
        let mut left_out =
            LeftOut { arrivals: gaps.arrivals, of_others: gaps.of_others, ..LeftOut::default() };
        for day in &found.days {
            left_out.not_sealed = left_out.not_sealed.saturating_add(day.events.saturating_sub(day.sealed));
            left_out.removed = left_out.removed.saturating_add(day.removed);
            left_out.dropped = left_out.dropped.saturating_add(day.dropped);
        }
        let summary = ExportSummary {
            version: 1,
            site: found.outline.site,
            partner: scope.partner.clone(),
            from: date_of_day(scope.from),
            to: date_of_day(scope.to),
            made_at: rfc3339(scope.made_at),
            first_key: found.outline.first_key,
            stamped: found.outline.stamped,
            last: found.outline.last,
            connectors: scope.connectors.clone(),
            messages,
            events: self.count,
            inbound: self.inbound,
            outbound: self.outbound,
            withheld: counted(self.withheld),
            waived: counted(self.waived),
            overrides: earlier,
            runs: self.runs,
            left_out,
            breaks,
        };
        let last = scope.to.min(scope.made_at.day());
        if last.saturating_sub(scope.from) < DAYS_MAX {
            for day in scope.from..=last {
                self.days.entry(day).or_insert(DayOfMail { day, ..DayOfMail::default() });
            }
        }
        Ok((summary, PageRows { days: self.days.into_values().collect(), events: self.shown }))
    }

    fn row(&mut self, cells: &[String]) -> Result<(), ExportFault> {
        self.file
            .write_record(cells)
            .map_err(|fault| ExportFault::File(self.path.clone(), std::io::Error::other(fault)))
    }
}

fn counted(counts: BTreeMap<(String, String), Span>) -> Vec<WithheldCount> {
    let one = |((connector, reason), span): ((String, String), Span)| WithheldCount {
        connector,
        reason,
        count: span.count,
        first: rfc3339(span.first),
        last: rfc3339(span.last),
    };
    counts.into_iter().map(one).collect()
}

const COLUMNS: [&str; 18] = [
    "event_number",
    "at",
    "event",
    "queue_id",
    "connector",
    "reverse_path",
    "forward_path",
    "peer_or_host",
    "required",
    "attained",
    "reason",
    "tls_version",
    "cipher_suite",
    "group",
    "certificate_sha256",
    "status",
    "reply",
    "words",
];

fn cells(event: &TracedEvent) -> [String; 18] {
    let (facts, decision) = (&event.facts, event.decision.as_ref());
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let of = |get: fn(&crate::connector::DecisionRecord) -> String| decision.map(get).unwrap_or_default();
    let tls = decision.and_then(crate::connector::DecisionRecord::handshake);
    let certificate = tls.as_ref().and_then(|tls| tls.certificate()).map(|one| one.sha256.to_string());
    let to = facts.forward_path.clone().unwrap_or_else(|| facts.recipients.join(" "));
    let cells = [
        event.seq.to_string(),
        event.at.clone(),
        event.event.clone(),
        text(&event.id),
        decision
            .and_then(|one| one.connector.clone())
            .or_else(|| facts.connector.clone())
            .unwrap_or_default(),
        text(&facts.reverse_path),
        to,
        facts.host.clone().or_else(|| facts.peer.clone()).unwrap_or_default(),
        of(|one| one.required.clone()),
        of(|one| one.attained.clone()),
        of(|one| one.token.clone()),
        tls.as_ref().map(|tls| tls.version.to_string()).unwrap_or_default(),
        tls.as_ref().map(|tls| tls.suite.clone()).unwrap_or_default(),
        tls.as_ref().map(|tls| tls.group.clone()).unwrap_or_default(),
        certificate.unwrap_or_default(),
        text(&facts.status),
        text(&facts.reply),
        facts.words.join("; "),
    ];
    cells.map(|cell| harmless(&cell))
}

/// A cell that no spreadsheet takes for a formula: others have written part of it. Some leave out what is before it.
fn harmless(cell: &str) -> String {
    let is_formula =
        cell.starts_with(['\t', '\r', '\n']) || cell.trim_start().starts_with(['=', '+', '-', '@']);
    let text = clean(cell);
    if is_formula { format!("'{text}") } else { text }
}

/// Days of a chart that shows also those without mail.
const DAYS_MAX: i64 = 400;
/// Events that the page shows.
const ROWS_MAX: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        assert_eq!(harmless("=HYPERLINK(\"http://evil.example\")"), "'=HYPERLINK(\"http://evil.example\")");
        assert_eq!(harmless("@SUM(A1)"), "'@SUM(A1)");
        for begins in ["\t=A1", "\r=A1", "\n", " =A1", "-1"] {
            assert!(harmless(begins).starts_with('\''), "{begins:?}");
        }
        assert_eq!(harmless("a@b.example"), "a@b.example");
    }
}
