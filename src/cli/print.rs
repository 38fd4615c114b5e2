//! Output of the verbs: text, JSON and tables.

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use rustix::termios::tcgetwinsize;
use serde::Serialize;

use super::exit::Failure;
use crate::config::Faults;
use crate::reports::aligned;

/// Prints lines. A reader that closes the pipe (`| head`) is not an error.
pub(super) fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _gone = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}

/// Prints to standard error.
pub(super) fn complain(text: &str) {
    let mut out = io::stderr().lock();
    let _gone = writeln!(out, "sealpost: {text}");
}

/// Prints a value as JSON.
pub(super) fn say_json<T: Serialize>(value: &T) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => say(&text),
        Err(fault) => complain(&format!("the answer can't be written as JSON: {fault}")),
    }
}

/// Prints an answer, as JSON or in words.
pub(super) fn show<T: Serialize>(
    as_json: bool,
    answer: &T,
    words: impl FnOnce(&T) -> String,
) -> Result<ExitCode, Failure> {
    if as_json {
        say_json(answer);
    } else {
        say(&words(answer));
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints why a verb could not be done: on standard error for people, and on standard output where a program reads it.
pub(super) fn say_failure(as_json: bool, failure: &Failure) {
    if as_json {
        let faults = failure.faults.as_ref().map(Faults::to_json);
        say_json(&FailureAnswer { error: &failure.message, faults });
    }
    complain(&failure.message);
}

/// What every verb prints with `--json` if it fails.
#[derive(Serialize)]
struct FailureAnswer<'a, F> {
    error: &'a str,
    /// The errors in the configuration, as `config` writes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    faults: Option<F>,
}

/// Rows under their headings. A row is one line, for programs and wide terminals; on a terminal that is narrower, cells
/// are wrapped.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let whole = aligned(headings, rows);
    match terminal_columns() {
        Some(columns) if whole.lines().any(|line| line.chars().count() > columns) => {
            fitted(headings, rows, columns)
        }
        Some(_) | None => whole,
    }
}

/// The width of the terminal that we print to, if it is one.
fn terminal_columns() -> Option<usize> {
    terminal_size().map(|(columns, _)| columns)
}

/// Columns and rows of the terminal that we print to, if it is one and says so.
pub(super) fn terminal_size() -> Option<(usize, usize)> {
    let out = io::stdout();
    let size = out.is_terminal().then(|| tcgetwinsize(out).ok()).flatten()?;
    let size = (usize::from(size.ws_col), usize::from(size.ws_row));
    Some(size).filter(|(columns, rows)| *columns > 0 && *rows > 0)
}

/// Within this width, as far as that is possible.
fn fitted(headings: &[&str], rows: &[Vec<String>], columns: usize) -> String {
    let width = u16::try_from(columns).unwrap_or(u16::MAX);
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(headings).add_rows(rows);
    let least: Vec<usize> = (0..headings.len()).map(|at| longest_word(headings, rows, at)).collect();
    let words_fit = least.iter().map(|width| width.saturating_add(GAP)).sum::<usize>() <= columns;
    for (column, least) in table.column_iter_mut().zip(least) {
        column.set_padding((0, 2));
        // Words are broken only where there is no room for them side by side.
        if let Some(least) = u16::try_from(least.saturating_add(GAP)).ok().filter(|_| words_fit) {
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// The longest word of a column, as far as a word is kept whole.
fn longest_word(headings: &[&str], rows: &[Vec<String>], column: usize) -> usize {
    let cells = rows.iter().filter_map(|row| row.get(column)).map(String::as_str);
    let words = cells.chain(headings.get(column).copied()).flat_map(str::split_whitespace);
    words.map(|word| word.chars().count()).max().unwrap_or_default().min(WORD_MAX)
}

/// Between two columns.
const GAP: usize = 2;
/// Longer words, such as addresses, are broken if need be.
const WORD_MAX: usize = 20;

/// A table with a title; of more rows than the limit, how many there are.
pub(super) fn titled(title: &str, headings: &[&str], mut rows: Vec<Vec<String>>, limit: usize) -> String {
    if rows.is_empty() {
        return format!("{title}: none");
    }
    let more = rows.len().saturating_sub(limit);
    rows.truncate(limit);
    let rest = if more > 0 { format!("\nand {more} more; see --limit") } else { String::new() };
    format!("{title}\n{}{rest}", table(headings, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_wraps_cells_and_cuts_nothing() {
        let words = "TLS is required, and the next hop does not offer STARTTLS";
        let rows = vec![vec!["bob@fabrikam.example".to_owned(), words.to_owned()]];
        let text = fitted(&["to", "reason"], &rows, 44);
        assert!(text.lines().all(|line| line.chars().count() <= 44), "{text}");
        assert!(text.lines().count() > 2 && text.contains("bob@fabrikam.example"), "{text}");
        for word in words.split(' ') {
            assert!(text.contains(word), "{word}: {text}");
        }
        // Where there is room for whole words, none is broken.
        let rows = vec![vec!["inbound".to_owned(), "opportunistic".to_owned(), words.to_owned()]];
        let text = fitted(&["direction", "tls", "reason"], &rows, 40);
        assert!(text.contains("direction  ") && text.contains("opportunistic  "), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
    }
}
