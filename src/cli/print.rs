//! Output of the verbs: text, JSON and tables.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::exit::Failure;
use crate::config::Faults;

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

/// Rows under their headings, each column as wide as its widest cell.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut headings.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

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
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["a".to_owned(), "long cell".to_owned()], vec!["bbb".to_owned(), "c".to_owned()]];
        assert_eq!(table(&["x", "y"], &rows), "x    y\na    long cell\nbbb  c");
    }
}
