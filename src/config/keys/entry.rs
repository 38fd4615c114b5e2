//! What all sections share: reporting keys that are missing, and written keys that would be ignored.

use std::ops::Range;

use serde_json::Value;

use super::key::{Key, Need, Place};
use crate::config::fault::Report;

/// A section as written, with declared keys.
pub(in crate::config) trait Entry {
    /// The values of its keys, with defaults.
    type Values;
    const KEYS: &'static [Key];

    /// The position of each key, in declaration order; `None` if it is not written.
    fn places(&self) -> Vec<Option<Place<'_>>>;

    /// Reads every key that applies. A faulty value is reported, and its default is used instead.
    fn values(&self, report: &mut Report<'_>) -> Self::Values;

    /// Each value as `check --json` shows it.
    fn shown(values: &Self::Values) -> Vec<Value>;

    /// Reads every key, and reports those that are missing or would be ignored. `table` is the section's
    /// header.
    fn read(&self, table: &Range<usize>, report: &mut Report<'_>) -> Self::Values {
        for (key, place) in Self::KEYS.iter().zip(self.places()) {
            match place {
                Some(place) => {
                    if let Some(why) = self.ignored(key) {
                        report.fault_of_key(place.span, format!("{} would be ignored: {why}", key.name));
                    }
                }
                None if key.need == Need::Required && self.ignored(key).is_none() => {
                    let (name, example, hint) = (key.name, key.value, key.hint);
                    report.fault(table.clone(), format!("{name} is missing; write {name} = {example}{hint}"));
                }
                None => {}
            }
        }
        self.values(report)
    }

    /// Why a key would be ignored, and what to write instead; `None` if the key applies.
    fn ignored(&self, key: &Key) -> Option<String> {
        key.applies.iter().find_map(|condition| {
            let word = self.word(condition.key)?;
            if condition.words.contains(&word.as_str()) {
                return None;
            }
            let special = condition.otherwise.iter().find(|(of, _)| of.is_empty() || *of == word);
            Some(special.map_or_else(
                || {
                    let (key, wanted) = (condition.key, condition.words.first().copied().unwrap_or_default());
                    format!("{key} is \"{word}\"; remove it, or write {key} = \"{wanted}\"")
                },
                |(_, why)| (*why).to_owned(),
            ))
        })
    }

    /// The position of a key, if it is written.
    fn place(&self, name: &str) -> Option<Range<usize>> {
        let (_, place) = Self::KEYS.iter().zip(self.places()).find(|(key, _)| key.name == name)?;
        place.map(|place| place.span)
    }

    /// The word of a key, or its default; `None` if it has no word, or an invalid one.
    fn word(&self, name: &str) -> Option<String> {
        let (key, place) = Self::KEYS.iter().zip(self.places()).find(|(key, _)| key.name == name)?;
        let word = match place {
            // A list is not a word.
            Some(place) => place.word.unwrap_or_default().to_owned(),
            None if key.need == Need::Default => key.value.trim_matches('"').to_owned(),
            None => return None,
        };
        let known = (key.words)();
        (known.is_empty() || known.contains(&word.as_str())).then_some(word)
    }
}
