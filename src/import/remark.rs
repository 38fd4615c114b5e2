//! A setting that has no counterpart here: what it was, why, and what to do instead.

use std::fmt;

/// One setting that was not carried over as it stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leftover {
    /// Its name there.
    pub setting: String,
    /// Its value there.
    pub value: String,
    /// Why it has no exact counterpart.
    pub why: String,
    /// What to do instead.
    pub instead: String,
}

impl Leftover {
    pub(super) fn new(
        setting: impl Into<String>,
        value: impl Into<String>,
        why: impl Into<String>,
        instead: impl Into<String>,
    ) -> Self {
        Self { setting: setting.into(), value: value.into(), why: why.into(), instead: instead.into() }
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = shortened(&self.value);
        write!(f, "{} = {value}: {}; {}", self.setting, self.why, self.instead)
    }
}

/// A remark, and the object that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedRemark {
    /// The connector, service or file it belongs to.
    pub place: String,
    /// What was not carried over.
    pub remark: Leftover,
}

impl fmt::Display for PlacedRemark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.remark)
    }
}

/// A value on one line, without control characters, and not longer than anyone reads.
fn shortened(value: &str) -> String {
    let mut plain: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Some((at, _)) = plain.char_indices().nth(VALUE_CHARS_MAX) {
        plain.truncate(at);
        plain.push('…');
    }
    plain
}

const VALUE_CHARS_MAX: usize = 200;
