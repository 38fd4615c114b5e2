//! Lines of an answer: printable ASCII, folded before column 78.

use crate::mail::printable_ascii;

/// A paragraph, folded at spaces.
pub(super) fn paragraph(text: &str) -> Vec<String> {
    folded("", "", text)
}

/// A label and its value, which continues below itself.
pub(super) fn entry(label: &str, value: &str) -> Vec<String> {
    folded(&format!("  {label:<19} "), &" ".repeat(LABEL_COLUMNS), value)
}

fn folded(first: &str, indent: &str, text: &str) -> Vec<String> {
    let text = printable_ascii(text);
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !is_empty && line.len().saturating_add(word.len()) >= COLUMNS_MAX {
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.extend(word.chars().take(WORD_MAX));
        is_empty = false;
    }
    lines.push(line.trim_end().to_owned());
    lines
}

/// Columns of a label with its indentation.
const LABEL_COLUMNS: usize = 22;
/// RFC 5322 §2.1.1: lines should not exceed 78 characters.
const COLUMNS_MAX: usize = 76;
/// RFC 5322 §2.1.1: no line exceeds 998.
const WORD_MAX: usize = 300;
