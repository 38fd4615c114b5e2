//! The results of the lab, as a table and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::grid::{GREEN, PLAIN, RED, YELLOW, brief_reason, in_colour, table};
use super::plan::CaseOutcome;

/// The results of all messages.
#[derive(Debug, Clone, Default)]
pub struct LabResult {
    /// One row per message, in the order of the plan.
    pub rows: Vec<Row>,
}

/// The result of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The reverse-path.
    pub from: String,
    /// The forward-path.
    pub to: String,
    /// Whether it was inbound or outbound.
    pub direction: Direction,
    /// The connector that decided, or `none`.
    pub connector: String,
    /// The requirement of the connector.
    #[serde(rename = "required")]
    pub wanted: String,
    /// The requirement in one or two words, for the table.
    #[serde(skip)]
    pub wanted_summary: String,
    /// What the session attained.
    #[serde(rename = "attained")]
    pub got: String,
    /// The outcome of the message.
    pub outcome: CaseOutcome,
    /// Why, in one sentence.
    pub reason: String,
    /// Whether the outcome matches the policy.
    pub as_expected: bool,
}

/// The direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To the gateway's own domain.
    Inbound,
    /// To a partner.
    Outbound,
}

impl LabResult {
    /// Whether every outcome matches the policy.
    #[must_use]
    pub fn as_expected(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.as_expected)
    }

    /// The rows as an aligned table with a summary line. Colour only on a terminal, and not if
    /// NO_COLOR is set.
    #[must_use]
    pub fn table(&self) -> String {
        self.render(in_colour())
    }

    /// The rows as one JSON array.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(&self.rows).unwrap_or_else(|fault| format!("{{\"error\":\"{fault}\"}}"))
    }

    fn render(&self, colour: bool) -> String {
        let rows: Vec<[String; 7]> = self.rows.iter().map(cells).collect();
        let colours: Vec<&str> = self.rows.iter().map(paint).collect();
        let mut out = table((&HEAD, &WORDY), &rows, colour.then_some(colours.as_slice()));
        let good = self.rows.iter().filter(|row| row.as_expected).count();
        // Writing to a String can't fail.
        let _infallible = writeln!(out, "\nlab: {good} of {} as the policy says", self.rows.len());
        for row in self.rows.iter().filter(|row| !row.as_expected) {
            let _infallible =
                writeln!(out, "lab: NOT as expected: {} to {}: {}", row.from, row.to, row.reason);
        }
        out
    }
}

fn cells(row: &Row) -> [String; 7] {
    let outcome =
        if row.as_expected { row.outcome.word().to_owned() } else { format!("{} !", row.outcome.word()) };
    [
        row.from.clone(),
        row.to.clone(),
        row.connector.clone(),
        row.wanted_summary.clone(),
        brief_got(&row.got).to_owned(),
        outcome,
        if row.as_expected { brief_reason(&row.reason).to_owned() } else { row.reason.clone() },
    ]
}

/// The TLS version without suite and certificate.
fn brief_got(got: &str) -> &str {
    if got.starts_with("TLSv") { got.split([' ', ',']).next().unwrap_or(got) } else { got }
}

fn paint(row: &Row) -> &'static str {
    if !row.as_expected {
        return RED;
    }
    match row.outcome {
        CaseOutcome::DeliveredTls => GREEN,
        CaseOutcome::DeliveredClear => YELLOW,
        CaseOutcome::Withheld | CaseOutcome::Deferred | CaseOutcome::Refused => PLAIN,
    }
}

const HEAD: [&str; 7] = ["FROM", "TO", "CONNECTOR", "REQUIRED", "ATTAINED", "OUTCOME", "REASON"];
/// Which columns are wrapped, and the share of the remaining width each gets, in percent.
const WORDY: [usize; 7] = [0, 0, 0, 0, 0, 0, 100];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::grid::WIDTH_MAX;

    fn row(as_expected: bool) -> Row {
        Row {
            from: "ann@contoso.lab.test".to_owned(),
            to: "bob@wrongname.sealed.lab.test".to_owned(),
            direction: Direction::Outbound,
            connector: "sealed".to_owned(),
            wanted: "TLSv1.2 or later, a chain to lab, the name wrongname.sealed.lab.test".to_owned(),
            wanted_summary: "TLS, chain, name".to_owned(),
            got: "TLSv1.3, a certificate for mx.elsewhere.lab.test".to_owned(),
            outcome: CaseOutcome::Withheld,
            reason: "the certificate presents mx.elsewhere.lab.test, not wrongname.sealed.lab.test"
                .to_owned(),
            as_expected,
        }
    }

    #[test]
    fn the_table_is_never_too_wide_and_says_how_many_went_well() {
        let result = LabResult { rows: vec![row(true), row(false)] };
        let plain = result.render(false);
        let (table, summary) = plain.split_once("\n\n").expect("a table and a summary");
        assert!(table.lines().all(|line| line.chars().count() <= WIDTH_MAX), "{table}");
        assert!(
            summary.starts_with("lab: 1 of 2 as the policy says\nlab: NOT as expected: ann@"),
            "{summary}"
        );
        assert!(!plain.contains('\u{1b}') && result.render(true).contains(RED));
        assert!(!result.as_expected() && !LabResult::default().as_expected());
    }

    #[test]
    fn json_has_exactly_these_keys_in_this_order() {
        let json = LabResult { rows: vec![row(true)] }.to_json();
        let keys: Vec<&str> =
            json.lines().filter_map(|line| line.trim().strip_prefix('"')?.split('"').next()).collect();
        assert_eq!(
            keys,
            [
                "from",
                "to",
                "direction",
                "connector",
                "required",
                "attained",
                "outcome",
                "reason",
                "as_expected"
            ]
        );
        assert!(json.contains("\"withheld\"") && json.contains("\"outbound\""));
    }

    #[test]
    fn the_table_leaves_out_what_other_columns_say() {
        assert_eq!(brief_got("TLSv1.3 TLS_AES_256_GCM_SHA384, no certificate"), "TLSv1.3");
        assert_eq!(brief_got("no session"), "no session");
        assert_eq!(
            brief_reason("mx.a.test[127.0.30.1]:2525: no TLS; nothing was sent"),
            "no TLS; nothing was sent"
        );
        assert_eq!(brief_reason("550 5.7.1 no (connector x; required y)"), "550 5.7.1 no");
    }
}
