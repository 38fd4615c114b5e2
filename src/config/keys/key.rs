//! What is declared of a key, a section and a condition, and where a key is written.

use std::ops::Range;

use toml::Spanned;

/// A text and its place.
pub(crate) type Text = Spanned<String>;

/// A list of texts and its place; each text has a place of its own.
pub(crate) type List = Spanned<Vec<Text>>;

/// One key, as declared.
pub(in crate::config) struct Key {
    pub(in crate::config) name: &'static str,
    /// How it is written: `duration`, `size`, ..
    pub(in crate::config) kind: &'static str,
    /// The words it can have, if it has only some.
    pub(in crate::config) words: fn() -> Vec<&'static str>,
    pub(in crate::config) need: Need,
    /// The default as TOML; where there is none, an example.
    pub(in crate::config) value: &'static str,
    /// What holds without it, where there is no default to print.
    pub(in crate::config) absent: &'static str,
    /// Beyond the example, what else can be written where it is missing.
    pub(in crate::config) hint: &'static str,
    /// All of these must hold, or the key would be ignored.
    pub(in crate::config) applies: &'static [Condition],
    /// What it means, in a line or two.
    pub(in crate::config) meaning: &'static str,
    /// Why one would set it, what it costs, what to watch; errors and warnings.
    pub(in crate::config) explanation: &'static str,
    /// The version it came with.
    pub(in crate::config) since: &'static str,
    /// Whether a reload applies it; otherwise the daemon must be restarted.
    pub(in crate::config) reload: bool,
}

/// Whether a key must be written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// It has no default.
    Required,
    /// Without it, something else holds.
    Optional,
    /// Without it, its default holds.
    Default,
}

/// A key applies only where another one has one of these words.
pub(in crate::config) struct Condition {
    pub(in crate::config) key: &'static str,
    pub(in crate::config) words: &'static [&'static str],
    /// The reason for some other word, and what to write instead; an empty word stands for any.
    pub(in crate::config) otherwise: &'static [(&'static str, &'static str)],
}

/// One section of the file, for the pages that list its keys.
pub(in crate::config) struct Section {
    /// `limits`.
    pub(in crate::config) name: &'static str,
    /// As it is written: `[limits]`, `[[inbound]]`, `[trust.ID]`.
    pub(in crate::config) header: &'static str,
    /// The header in the shipped file; commented out where no section is needed.
    pub(in crate::config) sample_header: &'static str,
    /// Keys that the shipped file sets, and to what.
    pub(in crate::config) sample: &'static [(&'static str, &'static str)],
    /// For the shipped file: a line or two.
    pub(in crate::config) comment: &'static str,
    /// For the reference page.
    pub(in crate::config) intro: &'static str,
    pub(in crate::config) keys: &'static [Key],
}

/// Where a key is written, and the word it has.
pub(crate) struct Place<'a> {
    pub(in crate::config) span: Range<usize>,
    pub(in crate::config) word: Option<&'a str>,
}
