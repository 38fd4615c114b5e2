//! Formats the lines of a report: folds, cuts and escapes them so that they pass everywhere.

use std::fmt::Write as _;

use crate::mail::{Mailbox, from_xtext, unmoved};

pub(crate) fn paragraphs(lines: &[String], chars_max: usize) -> String {
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
pub(crate) fn stuffed(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|b| *b == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    out
}

/// Text for people: only what could move other text is replaced.
fn readable(text: &str) -> String {
    unmoved(text, '?').collect()
}

/// The address type of a path in a report (RFC 3464 §2.3.2, RFC 6533 §3).
pub(super) fn address_type(path: &Mailbox) -> &'static str {
    if path.is_ascii() { "rfc822" } else { "utf-8" }
}

/// An address as RFC 3464 and RFC 6533 have it in a report that is ASCII.
pub(super) fn address(path: &Mailbox) -> String {
    if path.is_ascii() { path.to_string() } else { utf8_address(path.as_str()) }
}

/// The address of ORCPT as a report has it: decoded (RFC 3464 §2.3.1), but one in UTF-8 in the one form that is ASCII.
pub(super) fn original_address(kind: &str, original: &str) -> String {
    if kind.eq_ignore_ascii_case("utf-8") {
        return utf8_address(&without_escapes(&from_xtext(original)));
    }
    let decoded = from_xtext(original);
    if decoded.chars().all(|c| c.is_ascii_graphic() || c == ' ') { decoded } else { original.to_owned() }
}

/// utf-8-addr-xtext (RFC 6533 §3): what is no QCHAR becomes `\x{FC}`; beside all that is not ASCII, these are controls,
/// the space, `\`, `+` and `=`.
fn utf8_address(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_graphic() && !matches!(c, '\\' | '+' | '=') {
            out.push(c);
        } else {
            // Writing to a String never fails.
            let _infallible = write!(out, "\\x{{{:02X}}}", u32::from(c));
        }
    }
    out
}

/// What `\x{FC}` stands for; what is no such escape stays.
fn without_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x{") {
        out.push_str(before);
        let escape = after.split_once('}').filter(|(hex, _)| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let found = escape.and_then(|(hex, after)| Some((u32::from_str_radix(hex, 16).ok()?, after)));
        match found.and_then(|(number, after)| Some((char::from_u32(number)?, after))) {
            Some((c, after)) => {
                out.push(c);
                rest = after;
            }
            None => {
                out.push_str("\\x{");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

const COLUMNS_MAX: usize = 78;
const WORD_MAX: usize = 900;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: &str) {
        assert_eq!(address(&Mailbox::parse(path).expect("a mailbox")), expected);
    }

    #[test]
    fn addresses_are_ascii_and_exact() {
        check("a+b=c@d.test", "a+b=c@d.test");
        check("j\u{fc}rgen+a=b@d.test", "j\\x{FC}rgen\\x{2B}a\\x{3D}b@d.test");
        check("\"\u{20ac} \\\\\"@d.test", "\"\\x{20AC}\\x{20}\\x{5C}\\x{5C}\"@d.test");
        let check = |kind: &str, original: &str, expected: &str| {
            assert_eq!(original_address(kind, original), expected);
        };
        check("rfc822", "Bob+2BX@B.test", "Bob+X@B.test");
        check("rfc822", "b+C3+BCb@b.test", "b+C3+BCb@b.test");
        check("utf-8", "j\\x{FC}rgen\\x{2B}a@d.test", "j\\x{FC}rgen\\x{2B}a@d.test");
        check("UTF-8", "j+C3+BC+2Ba\\x{zz}@d.test", "j\\x{FC}\\x{2B}a\\x{5C}x{zz}@d.test");
    }
}
