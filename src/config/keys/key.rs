//! Declarations of keys, sections and conditions, and the position where a key is written. Values are in
//! `kinds` and `forms`.

use std::ops::Range;

use toml::Spanned;

/// A text and its position.
pub(crate) type Text = Spanned<String>;

/// A list of texts and its position; each text has its own position.
pub(crate) type List = Spanned<Vec<Text>>;

/// One declared key.
pub(in crate::config) struct Key {
    pub(in crate::config) name: &'static str,
    /// The kind of value: `duration`, `size`, ..
    pub(in crate::config) kind: &'static str,
    /// The words allowed, if only certain words are.
    pub(in crate::config) words: fn() -> Vec<&'static str>,
    pub(in crate::config) need: Need,
    /// The default as TOML; if there is none, an example.
    pub(in crate::config) value: &'static str,
    /// What applies without the key, if there is no default to print.
    pub(in crate::config) absent: &'static str,
    /// What else can be written if the key is missing, besides the example.
    pub(in crate::config) hint: &'static str,
    /// The key is ignored unless all of these hold.
    pub(in crate::config) applies: &'static [Condition],
    /// What the key means, in a line or two.
    pub(in crate::config) meaning: &'static str,
    /// Why to set it, what it costs and what to watch; errors and warnings.
    pub(in crate::config) explanation: &'static str,
    /// The version that introduced the key.
    pub(in crate::config) since: &'static str,
    /// Whether a reload applies a change; otherwise a restart is needed.
    pub(in crate::config) reload: bool,
}

/// Whether a key must be written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// The key must be written; it has no default.
    Required,
    /// The key may be missing; it has no default.
    Optional,
    /// The key may be missing; its default then applies.
    Default,
}

/// A key applies only if another key has one of these words; with none of them, only if that key is not written.
pub(in crate::config) struct Condition {
    pub(in crate::config) key: &'static str,
    pub(in crate::config) words: &'static [&'static str],
    /// For some other words: the reason, and what to write instead; an empty word matches any.
    pub(in crate::config) otherwise: &'static [(&'static str, &'static str)],
}

/// One section, for the generated pages that list its keys.
pub(in crate::config) struct Section {
    /// The bare name: `limits`.
    pub(in crate::config) name: &'static str,
    /// The header as written: `[limits]`, `[[inbound]]`, `[trust.ID]`.
    pub(in crate::config) header: &'static str,
    /// The header in the shipped file; commented out if the section is optional.
    pub(in crate::config) sample_header: &'static str,
    /// Keys that the shipped file sets, with their values.
    pub(in crate::config) sample: &'static [(&'static str, &'static str)],
    /// Introduction for the shipped file, a line or two.
    pub(in crate::config) comment: &'static str,
    /// Introduction for the reference page.
    pub(in crate::config) intro: &'static str,
    /// Whether a reload applies the section as a whole; otherwise only the keys that say so.
    pub(in crate::config) reload: bool,
    pub(in crate::config) keys: &'static [Key],
}

/// The position of a key, and its word if it has one.
pub(crate) struct Place<'a> {
    pub(in crate::config) span: Range<usize>,
    pub(in crate::config) word: Option<&'a str>,
}
