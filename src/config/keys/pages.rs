//! The pages generated from the declared keys: `config/sealpost.toml` and the reference page. It returns text
//! and writes no files.

use std::fmt::Write as _;

use super::SECTIONS;
use super::key::{Condition, Key, Need, Section};
use super::section::FIRST_VERSION;

/// The text of `config/sealpost.toml`: every key, at its default if it has one.
#[must_use]
pub fn sample_file() -> String {
    let mut page = FILE_HEAD.to_owned();
    for section in SECTIONS {
        page.push('\n');
        page.push_str(&wrapped(section.comment, "# "));
        // Writing to a String never fails.
        let _written = writeln!(page, "{}", section.sample_header);
        for key in section.keys {
            page.push_str(&wrapped(&comment(section, key), "# "));
            let sample = section.sample.iter().find(|(name, _)| *name == key.name);
            let value = sample.map_or(key.value, |(_, value)| value);
            let is_set = sample.is_some() || key.need == Need::Required;
            let mark = if is_set && !section.sample_header.starts_with('#') { "" } else { "#" };
            let _written = writeln!(page, "{mark}{} = {value}", key.name);
        }
    }
    page
}

fn comment(section: &Section, key: &Key) -> String {
    let mut text = key.meaning.replace('`', "");
    if let Some(condition) = applies(section, key) {
        let _written = write!(text, " {}.", condition.replace('`', ""));
    }
    match (key.need, key.absent) {
        (Need::Optional, "none") => text.push_str(" Not set by default."),
        (Need::Optional, absent) => {
            let _written = write!(text, " Without it: {}.", absent.replace('`', ""));
        }
        (Need::Required | Need::Default, _) => {}
    }
    text
}

/// The text of the reference page, as Markdown.
#[must_use]
pub fn reference_page() -> String {
    let mut page = PAGE_HEAD.to_owned();
    for section in SECTIONS {
        let _written = writeln!(page, "\n## `{}`\n", section.header);
        if !section.intro.is_empty() {
            page.push_str(&wrapped(section.intro, ""));
            page.push('\n');
        }
        page.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
        for key in section.keys {
            let (name, meaning) = (key.name, key.meaning);
            let _written = writeln!(page, "| `{name}` | {} | {} | {meaning} |", written(key), default(key));
        }
        for key in section.keys {
            let notes = notes(section, key);
            if !notes.is_empty() {
                let _written = writeln!(page, "\n### `{}`\n", key.name);
                page.push_str(&wrapped(&notes, ""));
            }
        }
    }
    page
}

fn written(key: &Key) -> String {
    let words = (key.words)();
    if words.is_empty() {
        return key.kind.to_owned();
    }
    words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ")
}

fn default(key: &Key) -> String {
    match key.need {
        Need::Required => "required".to_owned(),
        Need::Optional => key.absent.to_owned(),
        Need::Default => format!("`{}`", key.value),
    }
}

/// Remarks that do not fit in the table.
fn notes(section: &Section, key: &Key) -> String {
    let condition = applies(section, key).map(|condition| format!("{condition}."));
    let since = (key.since != FIRST_VERSION).then(|| format!("Since {}.", key.since));
    let explanation = Some(key.explanation.to_owned()).filter(|text| !text.is_empty());
    [condition, explanation, since].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// When a key applies; `None` if always.
fn applies(section: &Section, key: &Key) -> Option<String> {
    let (mut only, mut not) = (Vec::new(), Vec::new());
    for condition in key.applies {
        match excluded(section, condition).as_slice() {
            // If only one word is excluded, name that one.
            _ if condition.words.is_empty() => not.push(format!("`{}`", condition.key)),
            [word] if condition.words.len() > 1 => not.push(format!("`{}{IS}\"{word}\"`", condition.key)),
            _ => only.push(allowed(condition)),
        }
    }
    let only = (!only.is_empty()).then(|| format!("only with {}", only.join(" and ")));
    let not = (!not.is_empty()).then(|| format!("not with {}", not.join(" or ")));
    let text = only.into_iter().chain(not).collect::<Vec<_>>().join(", ");
    let mut letters = text.chars();
    let first = letters.next()?;
    Some(first.to_uppercase().chain(letters).collect())
}

fn allowed(condition: &Condition) -> String {
    let mut words = condition.words.iter().map(|word| format!("`\"{word}\"`"));
    let first = words.next().unwrap_or_default();
    let first = format!("`{}{IS}{}`", condition.key, first.trim_matches('`'));
    words.fold(first, |text, word| format!("{text} or {word}"))
}

fn excluded(section: &Section, condition: &Condition) -> Vec<&'static str> {
    let key = section.keys.iter().find(|key| key.name == condition.key);
    let words = key.map(|key| (key.words)()).unwrap_or_default();
    words.into_iter().filter(|word| !condition.words.contains(word)).collect()
}

/// Wraps a paragraph to at most [`COLUMNS_MAX`] characters per line; empty text gives nothing.
fn wrapped(text: &str, before: &str) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let columns = before.len().saturating_add(line.chars().count()).saturating_add(word.chars().count());
        if !line.is_empty() && columns >= COLUMNS_MAX {
            let _written = writeln!(lines, "{before}{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        let _written = writeln!(lines, "{before}{line}");
    }
    lines.replace('\u{a0}', " ")
}

const FILE_HEAD: &str = "\
# Sealpost. Every key there is, made from src/config/keys. A line that begins with \"#key =\" shows the
# default and can stay as it is; where a key is not set by default, it shows an example. A key without a
# \"#\" has to be written. docs/configuration.md says more about each.
#
# A key that is unknown, or that would be ignored, is an error. Paths are relative to this file.
# Durations: \"500ms\", \"90s\", \"15m\", \"1h 30m\", \"2d\". Sizes: \"64KiB\", \"150MiB\".
";
/// With non-breaking spaces, so that lines are not wrapped there.
const IS: &str = "\u{a0}=\u{a0}";
const PAGE_HEAD: &str = include_str!("reference.md");
const COLUMNS_MAX: usize = 110;
