//! Text tables for a terminal.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

/// Whether tables are in colour: only on a terminal, and not if NO_COLOR is set.
pub(super) fn in_colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The head and the rows, each with its colour, aligned; `wordy` has each column's share of the width that is left, in
/// percent.
pub(super) fn table<const N: usize>(
    (head, wordy): (&[&str; N], &[usize; N]),
    rows: &[[String; N]],
    colours: Option<&[&str]>,
) -> String {
    let widths = widths(head, wordy, rows);
    let mut out = lines(&head.map(str::to_owned), &widths, colours.map(|_| BOLD));
    for (number, cells) in rows.iter().enumerate() {
        out.push_str(&lines(cells, &widths, colours.and_then(|all| all.get(number).copied())));
    }
    out
}

/// Each column as wide as its widest cell; the wordy ones share what is left of the width.
fn widths<const N: usize>(head: &[&str; N], wordy: &[usize; N], rows: &[[String; N]]) -> [usize; N] {
    let mut widths = head.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let gaps = GAP.len().saturating_mul(widths.len().saturating_sub(1));
    let fixed: usize =
        widths.iter().zip(wordy).filter(|(_, wordy)| **wordy == 0).map(|(width, _)| *width).sum();
    let left = WIDTH_MAX.saturating_sub(gaps).saturating_sub(fixed).max(WORDY_MIN);
    for (width, share) in widths.iter_mut().zip(wordy) {
        if *share > 0 {
            *width = (*width).min(left.saturating_mul(*share) / 100);
        }
    }
    widths
}

/// One row, on as many lines as its longest cell needs.
fn lines<const N: usize>(cells: &[String; N], widths: &[usize; N], colour: Option<&str>) -> String {
    let wrapped: Vec<Vec<String>> =
        cells.iter().zip(widths).map(|(cell, width)| wrap(cell, *width)).collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or_default();
    let mut out = String::new();
    for number in 0..height {
        let mut line = String::new();
        for (part, width) in wrapped.iter().zip(widths) {
            let text = part.get(number).map_or("", String::as_str);
            // Writing to a String can't fail.
            let _infallible = write!(line, "{text:<width$}{GAP}");
        }
        match colour {
            Some(colour) => out.push_str(&format!("{colour}{}{PLAIN}\n", line.trim_end())),
            None => out.push_str(&format!("{}\n", line.trim_end())),
        }
    }
    out
}

/// The reason without the leading host and the trailing reply, which repeats other columns.
pub(super) fn brief_reason(reason: &str) -> &str {
    let host_end = reason.split_once("]:").and_then(|(host, rest)| {
        if host.contains(' ') { None } else { rest.split_once(": ").map(|(_, rest)| rest) }
    });
    let reason = host_end.unwrap_or(reason);
    reason.split_once(" (connector ").map_or(reason, |(before, _)| before)
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

const GAP: &str = "  ";
pub(super) const WIDTH_MAX: usize = 150;
const WORDY_MIN: usize = 24;
pub(super) const PLAIN: &str = "\u{1b}[0m";
const BOLD: &str = "\u{1b}[1m";
pub(super) const RED: &str = "\u{1b}[31m";
pub(super) const GREEN: &str = "\u{1b}[32m";
pub(super) const YELLOW: &str = "\u{1b}[33m";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_word_is_broken() {
        assert_eq!(wrap("ab abcdef gh", 4), ["ab", "abcd", "ef", "gh"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
