//! The results of the hybrid lab, as a table and as JSON. Pure but for the look at the terminal.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::lab::grid::{GREEN, PLAIN, RED, YELLOW, brief_reason, in_colour, table};
use crate::lab::plan::CaseOutcome;

/// The results of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HybridResult {
    /// The faults that were switched on.
    pub faults: Vec<String>,
    /// One row per message, in the order of the plan.
    pub rows: Vec<HybridRow>,
}

/// The result of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HybridRow {
    /// The name of the message.
    pub id: String,
    /// The reverse-path; empty for a report.
    pub from: String,
    /// The forward-path.
    pub to: String,
    /// The hosts that it passes, if nothing is wrong with any of them.
    pub way: Vec<String>,
    /// The outcome.
    pub outcome: CaseOutcome,
    /// The token of the decision, the status code, or the beginning of the reply that decided.
    pub token: String,
    /// What the last session attained.
    pub attained: String,
    /// Why, in one sentence.
    pub reason: String,
    /// Whether Exchange treats it as mail of its own organisation; null if it did not get there, or the
    /// last host is not Exchange.
    pub internal: Option<bool>,
    /// Why, as a token: empty, `internal`, or what is missing.
    pub internal_token: String,
    /// The same in one sentence.
    pub internal_reason: String,
    /// Whether the faults that are switched on change what the policy says of it.
    pub changed: bool,
    /// Whether it came out as the policy says.
    pub as_expected: bool,
}

impl HybridResult {
    /// Whether every message came out as the policy says.
    #[must_use]
    pub fn as_expected(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.as_expected)
    }

    /// The rows as an aligned table with a summary line; in colour only on a terminal, and not if
    /// NO_COLOR is set.
    #[must_use]
    pub fn table(&self) -> String {
        self.render(in_colour())
    }

    /// The result as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_else(|fault| format!("{{\"error\":\"{fault}\"}}"))
    }

    fn render(&self, colour: bool) -> String {
        let rows: Vec<[String; 6]> = self.rows.iter().map(cells).collect();
        let colours: Vec<&str> = self.rows.iter().map(paint).collect();
        let mut out = table((&HEAD, &WORDY), &rows, colour.then_some(colours.as_slice()));
        out.push('\n');
        // Writing to a String can't fail.
        if !self.faults.is_empty() {
            let changed = self.rows.iter().filter(|row| row.changed).count();
            let _infallible = writeln!(
                out,
                "lab: {} switched on; {changed} of {} rows (*) are other than without",
                self.faults.join(", "),
                self.rows.len()
            );
        }
        let good = self.rows.iter().filter(|row| row.as_expected).count();
        let _infallible = writeln!(out, "lab: {good} of {} as the policy says", self.rows.len());
        for row in self.rows.iter().filter(|row| !row.as_expected) {
            let _infallible = writeln!(out, "lab: NOT as expected: {}: {}", row.id, row.reason);
        }
        out
    }
}

fn cells(row: &HybridRow) -> [String; 6] {
    let mark = if row.as_expected { "" } else { " !" };
    let changed = if row.changed { " *" } else { "" };
    let internal = match row.internal {
        None => "-",
        Some(true) => "internal",
        Some(false) => "external",
    };
    let reason = match row.internal {
        _ if !row.as_expected => row.reason.clone(),
        // That it arrived unchanged is said by the other columns.
        Some(_) => row.internal_reason.clone(),
        None if row.attained.starts_with("TLSv") && row.outcome == CaseOutcome::DeliveredTls => String::new(),
        None => brief_reason(&row.reason).to_owned(),
    };
    [
        format!("{}{changed}", row.id),
        row.way
            .iter()
            .map(|host| if host == "gateway" { "gw" } else { host })
            .collect::<Vec<_>>()
            .join(" > "),
        format!("{}{mark}", row.outcome.word()),
        row.token.clone(),
        internal.to_owned(),
        reason,
    ]
}

fn paint(row: &HybridRow) -> &'static str {
    if !row.as_expected {
        return RED;
    }
    match row.outcome {
        CaseOutcome::DeliveredTls => GREEN,
        CaseOutcome::DeliveredClear => YELLOW,
        CaseOutcome::Withheld | CaseOutcome::Deferred | CaseOutcome::Refused => PLAIN,
    }
}

const HEAD: [&str; 6] = ["MESSAGE", "WAY", "OUTCOME", "BECAUSE", "FOR EXCHANGE", "REASON"];
/// Which columns are wrapped, and the share of the remaining width that each gets, in percent.
const WORDY: [usize; 6] = [0, 0, 0, 0, 0, 100];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::grid::WIDTH_MAX;

    fn row(as_expected: bool, changed: bool) -> HybridRow {
        HybridRow {
            id: "cloud-to-partner".to_owned(),
            from: "carl@contoso.lab.test".to_owned(),
            to: "eve@fabrikam.lab.test".to_owned(),
            way: ["cloud", "gateway", "onprem", "gateway", "partner"].map(str::to_owned).to_vec(),
            outcome: CaseOutcome::Withheld,
            token: "certificate-expired".to_owned(),
            attained: "TLSv1.3".to_owned(),
            reason: "the certificate has expired".to_owned(),
            internal: Some(false),
            internal_token: "no-cross-premises-headers".to_owned(),
            internal_reason: String::new(),
            changed,
            as_expected,
        }
    }

    #[test]
    fn the_table_marks_what_faults_change_and_what_is_not_expected() {
        let faults = vec!["partner.expired".to_owned()];
        let result = HybridResult { faults, rows: vec![row(true, true), row(false, false)] };
        let plain = result.render(false);
        assert!(plain.contains("cloud-to-partner *  cloud > gw"), "{plain}");
        assert!(plain.contains("lab: partner.expired switched on; 1 of 2 rows (*) are other than without\n"));
        assert!(plain.contains("lab: 1 of 2 as the policy says\nlab: NOT as expected: cloud-to-partner: "));
        assert!(plain.lines().take(4).all(|line| line.chars().count() <= WIDTH_MAX));
        assert!(!plain.contains('\u{1b}') && result.render(true).contains(RED));
        assert!(!result.as_expected() && !HybridResult::default().as_expected());
    }

    #[test]
    fn what_is_printed_as_json_can_be_read_back() {
        let result = HybridResult { faults: Vec::new(), rows: vec![row(true, false)] };
        assert_eq!(serde_json::from_str::<HybridResult>(&result.to_json()).expect("a result"), result);
    }
}
