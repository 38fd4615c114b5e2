//! The results of the lab, as a table and as JSON.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use serde::Serialize;

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
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        self.render(std::io::stdout().is_terminal() && !no_color)
    }

    /// The rows as one JSON array.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(&self.rows).unwrap_or_else(|fault| format!("{{\"error\":\"{fault}\"}}"))
    }

    fn render(&self, colour: bool) -> String {
        let mut out = String::new();
        let rows: Vec<[String; 7]> = self.rows.iter().map(cells).collect();
        let widths = widths(&rows);
        let head = HEAD.map(str::to_owned);
        out.push_str(&lines(&head, &widths, colour.then_some(BOLD)));
        for (cells, row) in rows.iter().zip(&self.rows) {
            out.push_str(&lines(cells, &widths, colour.then(|| paint(row))));
        }
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

/// The reason without the leading host and the trailing reply, which repeats other columns.
fn brief_reason(reason: &str) -> &str {
    let host_end = reason.split_once("]:").and_then(|(host, rest)| {
        if host.contains(' ') { None } else { rest.split_once(": ").map(|(_, rest)| rest) }
    });
    let reason = host_end.unwrap_or(reason);
    reason.split_once(" (connector ").map_or(reason, |(before, _)| before)
}

/// Each column as wide as its widest cell; the wordy ones share what is left.
fn widths(rows: &[[String; 7]]) -> [usize; 7] {
    let mut widths = HEAD.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let gaps = GAP.len().saturating_mul(widths.len().saturating_sub(1));
    let fixed: usize =
        widths.iter().zip(WORDY).filter(|(_, wordy)| *wordy == 0).map(|(width, _)| *width).sum();
    let left = WIDTH_MAX.saturating_sub(gaps).saturating_sub(fixed).max(WORDY_MIN);
    for (width, share) in widths.iter_mut().zip(WORDY) {
        if share > 0 {
            *width = (*width).min(left.saturating_mul(share) / 100);
        }
    }
    widths
}

/// One row, on as many lines as its longest cell needs.
fn lines(cells: &[String; 7], widths: &[usize; 7], colour: Option<&str>) -> String {
    let wrapped: Vec<Vec<String>> =
        cells.iter().zip(widths).map(|(cell, width)| wrap(cell, *width)).collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or_default();
    let mut out = String::new();
    for number in 0..height {
        let mut line = String::new();
        for (part, width) in wrapped.iter().zip(widths) {
            let text = part.get(number).map_or("", String::as_str);
            let _infallible = write!(line, "{text:<width$}{GAP}");
        }
        match colour {
            Some(colour) => out.push_str(&format!("{colour}{}{PLAIN}\n", line.trim_end())),
            None => out.push_str(&format!("{}\n", line.trim_end())),
        }
    }
    out
}

/// Breaks a text at spaces; a word that is too long is broken anywhere.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let mut rest: Vec<char> = word.chars().collect();
        let used = line.chars().count();
        if used > 0 && used.saturating_add(1).saturating_add(rest.len()) > width {
            lines.push(std::mem::take(&mut line));
        }
        while rest.len() > width {
            let tail = rest.split_off(width);
            lines.push(rest.iter().collect());
            rest = tail;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(rest);
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
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
const GAP: &str = "  ";
const WIDTH_MAX: usize = 150;
const WORDY_MIN: usize = 24;
const PLAIN: &str = "\u{1b}[0m";
const BOLD: &str = "\u{1b}[1m";
const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_long_word_is_broken() {
        assert_eq!(wrap("ab abcdef gh", 4), ["ab", "abcd", "ef", "gh"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
