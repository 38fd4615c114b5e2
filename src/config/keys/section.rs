//! The macro that declares the keys of a section.

use super::key::Key;
use super::kinds::Setting;

impl Key {
    /// A key of this name and kind; the declaration fills in the rest.
    pub(super) const fn of<S: Setting>(name: &'static str, value: &'static str) -> Self {
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

pub(super) const FIRST_VERSION: &str = "0.1.0";

/// Declares the keys of a section: `key: Kind = default => { meaning: "..", .. }`. A key that
/// has no default is `Required<Kind>` or `Optional<Kind>`, and its value here is an example.
///
/// Generates the entry that serde reads, its values, and the table of keys.
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

            const KEYS: &'static [$crate::config::keys::key::Key] = &[ $(
                $crate::config::keys::key::Key {
                    $($field: $text,)*
                    ..$crate::config::keys::key::Key::of::<$kind>(stringify!($key), stringify!($value))
                },
            )* ];

            fn places(&self) -> Vec<Option<$crate::config::keys::key::Place<'_>>> {
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
pub(super) use section;
