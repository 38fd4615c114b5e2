//! The settings in effect, key by key.

/// One key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingView {
    /// The section, as `limits`.
    pub section: &'static str,
    /// Which of the section's entries, by name or ID, if there are several.
    pub entry: Option<String>,
    /// The key.
    pub key: String,
    /// Its value, as `check --json` has it; nothing of a secret.
    pub value: String,
    /// Where the value is from.
    pub source: SettingSource,
    /// What the key means, in a line or two.
    pub meaning: &'static str,
}

/// Where a value is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingSource {
    /// It is written in this line of the file.
    Line(usize),
    /// It is taken from another section.
    Section(&'static str),
    /// It follows from other keys.
    Derived,
    /// Nothing is written.
    Default,
}

/// Which settings are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingsQuery {
    /// Only of this section.
    pub section: Option<String>,
    /// Only those that have this text in name, value or meaning, or in the name of their entry.
    pub text: Option<String>,
    /// Only what is written in the file.
    pub written: bool,
    /// Maximum number.
    pub limit: usize,
}

/// The settings asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingsList {
    /// The file.
    pub file: String,
    /// Every section, in the order of the reference.
    pub sections: Vec<&'static str>,
    /// The settings.
    pub rows: Vec<SettingView>,
    /// Number of further ones.
    pub more: usize,
    /// What the file has, and a restart is needed for, a sentence each.
    pub needs_restart: Vec<String>,
    /// The overrides in effect, a sentence each: what is listed is with them.
    pub overrides: Vec<String>,
}
