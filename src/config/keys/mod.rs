//! The keys of the configuration file, each declared once. A section's table says how a key is
//! written, what holds without it, when it applies, and what it means. The schema, the errors
//! about unknown and ignored keys, `check --json`, `config/sealpost.toml` and the reference page
//! all come from there. It does not decide what the values mean for a module.

mod certificate;
mod dns;
mod entry;
mod forced;
mod forms;
mod inbound;
mod kinds;
mod limits;
mod listener;
mod log;
mod outbound;
mod pages;
mod queue;
mod server;
#[cfg(test)]
mod tests;
mod timeouts;
mod words;

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;

pub(super) use certificate::{CertificateEntry, TrustEntry};
pub(super) use dns::{DnsEntry, DnsValues};
pub(super) use entry::Entry;
pub(super) use inbound::{InboundEntry, InboundValues};
pub(super) use kinds::OneOrMany;
pub(super) use limits::{LimitsEntry, LimitsValues};
pub(super) use listener::{ListenerEntry, ListenerValues};
pub(super) use log::{LogEntry, LogValues};
pub(super) use outbound::{OutboundEntry, OutboundValues};
pub use pages::{reference_page, sample_file};
pub(super) use queue::{QueueEntry, QueueValues};
pub(super) use server::ServerEntry;
pub(crate) use server::ServerValues;
pub(super) use timeouts::{TimeoutsEntry, TimeoutsValues};
pub(super) use words::{Level, TlsIn, TlsOut};

use kinds::Setting;

/// A text and its place.
pub(crate) type Text = Spanned<String>;
/// A list of texts and its place; each text has a place of its own.
pub(crate) type List = Spanned<Vec<Text>>;

/// One key, as declared.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// How it is written: `duration`, `size`, ..
    pub(super) kind: &'static str,
    /// The words it can have, if it has only some.
    pub(super) words: fn() -> Vec<&'static str>,
    pub(super) need: Need,
    /// The default as TOML; where there is none, an example.
    pub(super) value: &'static str,
    /// What holds without it, where there is no default to print.
    pub(super) absent: &'static str,
    /// Beyond the example, what else can be written where it is missing.
    pub(super) hint: &'static str,
    /// All of these must hold, or the key would be ignored.
    pub(super) applies: &'static [Condition],
    /// What it means, in a line or two.
    pub(super) meaning: &'static str,
    /// Why one would set it, what it costs, what to watch; errors and warnings.
    pub(super) explanation: &'static str,
    /// The version it came with.
    pub(super) since: &'static str,
    /// Whether a reload applies it; otherwise the daemon must be restarted.
    pub(super) reload: bool,
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
pub(super) struct Condition {
    pub(super) key: &'static str,
    pub(super) words: &'static [&'static str],
    /// The reason for some other word, and what to write instead; an empty word stands for any.
    pub(super) otherwise: &'static [(&'static str, &'static str)],
}

/// One section of the file, for the pages that list its keys.
pub(super) struct Section {
    /// `limits`.
    pub(super) name: &'static str,
    /// As it is written: `[limits]`, `[[inbound]]`, `[trust.ID]`.
    pub(super) header: &'static str,
    /// The header in the shipped file; commented out where no section is needed.
    pub(super) sample_header: &'static str,
    /// Keys that the shipped file sets, and to what.
    pub(super) sample: &'static [(&'static str, &'static str)],
    /// For the shipped file: a line or two.
    pub(super) comment: &'static str,
    /// For the reference page.
    pub(super) intro: &'static str,
    pub(super) keys: &'static [Key],
}

/// Where a key is written, and the word it has.
pub(crate) struct Place<'a> {
    pub(super) span: Range<usize>,
    pub(super) word: Option<&'a str>,
}

impl Key {
    /// A key of this name and kind; a declaration says the rest.
    const fn of<S: Setting>(name: &'static str, value: &'static str) -> Self {
        Self {
            name,
            kind: S::NAME,
            words: S::words,
            need: S::NEED,
            value,
            absent: "none",
            hint: "",
            applies: &[],
            meaning: "",
            explanation: "",
            since: FIRST_VERSION,
            reload: false,
        }
    }
}

/// Declares the keys of a section: `key: Kind = default => { meaning: "..", .. }`. A key that
/// has no default is `Required<Kind>` or `Optional<Kind>`, and its value here is an example.
///
/// Makes the entry as serde reads it, its values, and the table of keys.
macro_rules! section {
    (
        $vis:vis $entry:ident, $values:ident;
        $( $key:ident: $kind:ty = $value:expr => { $($field:ident: $text:expr),* $(,)? } )*
    ) => {
        #[doc = "The section as it is written."]
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(in crate::config) struct $entry {
            $( pub(in crate::config) $key:
                Option<toml::Spanned<<$kind as $crate::config::keys::kinds::Setting>::Written>>, )*
        }

        #[doc = "The values of the section, with its defaults."]
        #[derive(Debug, Clone)]
        $vis struct $values {
            $( #[doc = concat!("The key `", stringify!($key), "`.")]
               $vis $key: <$kind as $crate::config::keys::kinds::Setting>::Value, )*
        }

        impl $crate::config::keys::entry::Entry for $entry {
            type Values = $values;

            const KEYS: &'static [$crate::config::keys::Key] = &[ $(
                $crate::config::keys::Key {
                    $($field: $text,)*
                    ..$crate::config::keys::Key::of::<$kind>(stringify!($key), stringify!($value))
                },
            )* ];

            fn places(&self) -> Vec<Option<$crate::config::keys::Place<'_>>> {
                vec![ $( self.$key.as_ref().map($crate::config::keys::kinds::place) ),* ]
            }

            fn values(&self, report: &mut $crate::config::fault::Report<'_>) -> $values {
                let mut ignored = Self::KEYS.iter().map(|key| self.ignored(key).is_some());
                $values { $( $key: {
                    let written = if ignored.next() == Some(true) { None } else { self.$key.as_ref() };
                    let key = (stringify!($key), stringify!($value));
                    <$kind as $crate::config::keys::kinds::Setting>::settle(written, key, report)
                }, )* }
            }

            fn shown(values: &$values) -> Vec<serde_json::Value> {
                vec![ $( <$kind as $crate::config::keys::kinds::Setting>::show(&values.$key) ),* ]
            }
        }
    };
}
use section;

/// Every section, in the order of the file.
const SECTIONS: &[&Section] = &[
    &server::SECTION,
    &certificate::CERTIFICATE,
    &certificate::TRUST,
    &listener::SECTION,
    &inbound::SECTION,
    &outbound::SECTION,
    &dns::SECTION,
    &queue::SECTION,
    &limits::SECTION,
    &timeouts::SECTION,
    &log::SECTION,
];

/// Whether a changed value of this key takes effect only at a restart.
#[must_use]
pub fn needs_restart(section: &str, key: &str) -> bool {
    let section = SECTIONS.iter().find(|one| one.name == section);
    let key = section.and_then(|section| section.keys.iter().find(|one| one.name == key));
    key.is_some_and(|key| !key.reload)
}

/// The values of an entry as `check --json` shows them: null where a key does not apply.
pub(super) fn shown<E: Entry>(entry: &E, values: &E::Values) -> serde_json::Map<String, Value> {
    let applies = |key: &Key| entry.ignored(key).is_none();
    let one =
        |(key, value): (&Key, Value)| (key.name.to_owned(), if applies(key) { value } else { Value::Null });
    E::KEYS.iter().zip(E::shown(values)).map(one).collect()
}

const FIRST_VERSION: &str = "0.1.0";
