//! Formats the lines of a report: folds, cuts and escapes them so that they pass everywhere.

use std::fmt::Write as _;

use crate::mail::Mailbox;

pub(super) fn paragraphs(lines: &[String], chars_max: usize) -> String {
    let mut out = String::new();
    for line in lines {
        let shown: String = readable(line).chars().take(chars_max).collect();
        let indent = if shown.starts_with(' ') { "    " } else { "" };
        for part in wrapped(&shown, indent) {
            out.push_str(&part);
            out.push_str("\r\n");
        }
    }
    out
}

/// Replaces all but printable ASCII: a report's own text is 7bit.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

/// Breaks a line at spaces, before column 78 if possible, before 900 in any case (RFC 5322 §2.1.1). Every
/// line after the first starts with `indent`.
pub(super) fn wrapped(text: &str, indent: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    let mut start = "";
    while rest.len() > COLUMNS_MAX {
        let Some(at) = break_at(rest) else { break };
        let (line, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
        lines.push(format!("{start}{}", line.trim_end()));
        rest = after.trim_start();
        start = indent;
    }
    if !rest.is_empty() || lines.is_empty() {
        lines.push(format!("{start}{rest}"));
    }
    lines
}

fn break_at(text: &str) -> Option<usize> {
    let within = text.get(..text.floor_char_boundary(COLUMNS_MAX))?;
    let indented = within.len().saturating_sub(within.trim_start().len());
    if let Some(at) = within.rfind(' ').filter(|at| *at > indented) {
        // Breaking here would leave a folded field whose first line has no value.
        return Some(at);
    }
    let next = text.get(indented..)?.find(' ').map(|at| at.saturating_add(indented));
    Some(text.floor_char_boundary(next.unwrap_or(text.len()).min(WORD_MAX))).filter(|at| *at < text.len())
}

/// RFC 5321 §4.5.2: dot-stuffing; a line that starts with a dot gets another one.
pub(super) fn stuffed(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|b| *b == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    out
}

/// Text for people: only control characters are replaced.
fn readable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The address type of a path in a report (RFC 3464 §2.3.2, RFC 6533 §3).
pub(super) fn address_type(path: &Mailbox) -> &'static str {
    if path.is_ascii() { "rfc822" } else { "utf-8" }
}

/// An address in ASCII: other characters as `\x{FC}` (RFC 6533 §3, utf-8-addr-xtext).
pub(super) fn address(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            // Writing to a String never fails.
            let _infallible = write!(out, "\\x{{{:X}}}", u32::from(c));
        }
    }
    out
}

const COLUMNS_MAX: usize = 78;
const WORD_MAX: usize = 900;
