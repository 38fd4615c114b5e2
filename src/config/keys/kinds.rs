//! How a key's value is written and parsed, and the simple kinds: flags, numbers, sizes, durations, words,
//! texts. Hosts, domains and certificates are in `forms`.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{self, DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use toml::Spanned;
use toml::de::ValueDeserializer;

use super::key::{List, Need, Place, Text};
use crate::config::fault::Report;
use crate::config::units;

/// A kind of value.
pub(crate) trait Kind {
    /// The type serde reads from TOML.
    type Written: DeserializeOwned + WordOrValue;
    type Value;
    /// The kind's name on the reference page.
    const NAME: &'static str;

    /// The only words allowed; empty if any value is.
    fn words() -> Vec<&'static str> {
        Vec::new()
    }

    /// Parses the value; `None` after reporting a fault.
    fn read(written: &Spanned<Self::Written>, key: &str, report: &mut Report<'_>) -> Option<Self::Value>;

    /// The value as `check --json` shows it.
    fn show(value: &Self::Value) -> Value;
}

/// A kind, together with what applies if the key is missing.
pub(crate) trait Setting {
    type Written: DeserializeOwned + WordOrValue;
    type Value;
    const NAME: &'static str;
    const NEED: Need;

    fn words() -> Vec<&'static str>;

    /// The value to use; after a fault, a harmless one. `key` is the key's name and default.
    fn settle(
        written: Option<&Spanned<Self::Written>>,
        key: (&str, &str),
        report: &mut Report<'_>,
    ) -> Self::Value;

    fn show(value: &Self::Value) -> Value;
}

/// A key without a default.
pub(crate) struct KeyWithoutDefault<K, const REQUIRED: bool>(PhantomData<K>);
/// A key without a default that must be written.
pub(crate) type RequiredKey<K> = KeyWithoutDefault<K, true>;
/// A key without a default that may be missing.
pub(crate) type Optional<K> = KeyWithoutDefault<K, false>;

impl<K: Kind> Setting for K
where
    K::Value: Default,
{
    type Written = K::Written;
    type Value = K::Value;
    const NAME: &'static str = K::NAME;
    const NEED: Need = Need::Default;

    fn words() -> Vec<&'static str> {
        K::words()
    }

    fn settle(
        written: Option<&Spanned<K::Written>>,
        (key, default): (&str, &str),
        report: &mut Report<'_>,
    ) -> K::Value {
        let written = written.and_then(|written| K::read(written, key, report));
        written.or_else(|| declared::<K>(key, default, report)).unwrap_or_default()
    }

    fn show(value: &K::Value) -> Value {
        K::show(value)
    }
}

impl<K: Kind, const REQUIRED: bool> Setting for KeyWithoutDefault<K, REQUIRED> {
    type Written = K::Written;
    type Value = Option<K::Value>;
    const NAME: &'static str = K::NAME;
    const NEED: Need = if REQUIRED { Need::Required } else { Need::Optional };

    fn words() -> Vec<&'static str> {
        K::words()
    }

    fn settle(
        written: Option<&Spanned<K::Written>>,
        (key, _): (&str, &str),
        report: &mut Report<'_>,
    ) -> Option<K::Value> {
        written.and_then(|written| K::read(written, key, report))
    }

    fn show(value: &Option<K::Value>) -> Value {
        value.as_ref().map_or(Value::Null, K::show)
    }
}

/// Parses a declared default like a value from the file. If that fails, the check fails: no value is
/// invented.
fn declared<K: Kind>(key: &str, default: &str, report: &mut Report<'_>) -> Option<K::Value> {
    let written = ValueDeserializer::parse(default).and_then(Spanned::<K::Written>::deserialize);
    match written {
        Ok(written) => K::read(&written, key, report),
        Err(fault) => {
            report.fault_of_file(format!("the default of {key} can't be read: {fault}"));
            None
        }
    }
}

/// A value that may consist of one word.
pub(crate) trait WordOrValue {
    fn as_word(&self) -> Option<&str> {
        None
    }
}

impl WordOrValue for bool {}
impl WordOrValue for i64 {}
impl WordOrValue for Vec<Text> {}
impl WordOrValue for String {
    fn as_word(&self) -> Option<&str> {
        Some(self)
    }
}
impl WordOrValue for OneOrMany {
    fn as_word(&self) -> Option<&str> {
        match self {
            Self::One(text) => Some(text),
            Self::Many(_) => None,
        }
    }
}

pub(super) fn place<T: WordOrValue>(written: &Spanned<T>) -> Place<'_> {
    Place { span: written.span(), word: written.get_ref().as_word() }
}

pub(crate) struct Flag;

impl Kind for Flag {
    type Written = bool;
    type Value = bool;
    const NAME: &'static str = "true, false";

    fn read(written: &Spanned<bool>, _: &str, _: &mut Report<'_>) -> Option<bool> {
        Some(*written.get_ref())
    }

    fn show(value: &bool) -> Value {
        json!(value)
    }
}

/// A whole number, at least 1.
pub(crate) struct Count<T>(PhantomData<T>);

impl<T: TryFrom<i64> + Serialize> Kind for Count<T> {
    type Written = i64;
    type Value = T;
    const NAME: &'static str = "number";

    fn read(written: &Spanned<i64>, key: &str, report: &mut Report<'_>) -> Option<T> {
        report.count(written, key)
    }

    fn show(value: &T) -> Value {
        json!(value)
    }
}

/// A whole number, at least 0.
pub(crate) struct CountOrNone;

impl Kind for CountOrNone {
    type Written = i64;
    type Value = usize;
    const NAME: &'static str = "number from 0";

    fn read(written: &Spanned<i64>, _: &str, _: &mut Report<'_>) -> Option<usize> {
        Some(usize::try_from(*written.get_ref()).unwrap_or(usize::MAX))
    }

    fn show(value: &usize) -> Value {
        json!(value)
    }
}

/// A network prefix length in bits.
pub(crate) struct Prefix<const BITS: u8>;

impl<const BITS: u8> Kind for Prefix<BITS> {
    type Written = i64;
    type Value = u8;
    const NAME: &'static str = "number of bits";

    fn read(written: &Spanned<i64>, key: &str, report: &mut Report<'_>) -> Option<u8> {
        let number = *written.get_ref();
        let bits = u8::try_from(number).ok().filter(|bits| (1..=BITS).contains(bits));
        if bits.is_none() {
            report
                .fault(written.span(), format!("{key} = {number} is not a prefix length; write 1 to {BITS}"));
        }
        bits
    }

    fn show(value: &u8) -> Value {
        json!(value)
    }
}

pub(crate) struct Size<T>(PhantomData<T>);

impl<T: TryFrom<u64> + Serialize> Kind for Size<T> {
    type Written = String;
    type Value = T;
    const NAME: &'static str = "size";

    fn read(written: &Text, _: &str, report: &mut Report<'_>) -> Option<T> {
        report.size(written)
    }

    fn show(value: &T) -> Value {
        json!(value)
    }
}

pub(crate) struct Period;

impl Kind for Period {
    type Written = String;
    type Value = Duration;
    const NAME: &'static str = "duration";

    fn read(written: &Text, _: &str, report: &mut Report<'_>) -> Option<Duration> {
        report.unit(written, units::duration)
    }

    fn show(value: &Duration) -> Value {
        json!(units::duration_text(*value))
    }
}

/// A duration, or `never`, which becomes `None`.
pub(crate) struct PeriodOrNever;

impl Kind for PeriodOrNever {
    type Written = String;
    type Value = Option<Duration>;
    const NAME: &'static str = "duration, `\"never\"`";

    fn read(written: &Text, _: &str, report: &mut Report<'_>) -> Option<Option<Duration>> {
        if written.get_ref() == "never" {
            return Some(None);
        }
        report.unit(written, units::duration).map(Some)
    }

    fn show(value: &Option<Duration>) -> Value {
        value.as_ref().map_or_else(|| json!("never"), <Period as Kind>::show)
    }
}

/// The waits after the first, second, … deferral.
pub(crate) struct Waits;

impl Kind for Waits {
    type Written = Vec<Text>;
    type Value = Vec<Duration>;
    const NAME: &'static str = "waits";

    fn read(written: &List, _: &str, report: &mut Report<'_>) -> Option<Vec<Duration>> {
        Some(report.waits(written))
    }

    fn show(value: &Vec<Duration>) -> Value {
        value.iter().map(<Period as Kind>::show).collect()
    }
}

/// One of a fixed set of words.
pub(crate) struct Word<T>(PhantomData<T>);

/// A type whose values are written as words.
pub(crate) trait Words: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

impl<T: Words> Kind for Word<T> {
    type Written = String;
    type Value = T;
    const NAME: &'static str = "word";

    fn words() -> Vec<&'static str> {
        T::WORDS.iter().map(|(word, _)| *word).collect()
    }

    fn read(written: &Text, key: &str, report: &mut Report<'_>) -> Option<T> {
        report.word(written, key, T::WORDS)
    }

    fn show(value: &T) -> Value {
        json!(T::WORDS.iter().find(|(_, one)| one == value).map(|(word, _)| *word))
    }
}

/// Any text, with its position for later faults.
pub(crate) struct Line;
/// A path, relative to the folder of the configuration file.
pub(crate) struct File;
/// The ID of a `[certificate.ID]` or `[trust.ID]`.
pub(crate) struct Id;

macro_rules! plain_text {
    ($kind:ty, $name:literal) => {
        impl Kind for $kind {
            type Written = String;
            type Value = Text;
            const NAME: &'static str = $name;

            fn read(written: &Text, _: &str, _: &mut Report<'_>) -> Option<Text> {
                Some(written.clone())
            }

            fn show(value: &Text) -> Value {
                json!(value.get_ref())
            }
        }
    };
}
plain_text!(Line, "text");
plain_text!(File, "path");
plain_text!(Id, "ID");

pub(crate) struct ListPlaces;

impl Kind for ListPlaces {
    type Written = Vec<Text>;
    type Value = Vec<Text>;
    const NAME: &'static str = "paths or URLs";

    fn read(written: &List, _: &str, _: &mut Report<'_>) -> Option<Vec<Text>> {
        Some(written.get_ref().clone())
    }

    fn show(value: &Vec<Text>) -> Value {
        value.iter().map(|text| json!(text.get_ref())).collect()
    }
}

/// One text, or a list of them. Not an untagged enum, which would lose the positions.
#[derive(Debug, Clone)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<Text>),
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor)
    }
}

struct OneOrManyVisitor;

impl<'de> Visitor<'de> for OneOrManyVisitor {
    type Value = OneOrMany;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
        Ok(OneOrMany::One(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany, A::Error> {
        let mut many = Vec::new();
        while let Some(item) = items.next_element()? {
            many.push(item);
        }
        Ok(OneOrMany::Many(many))
    }
}

impl OneOrMany {
    /// The texts with their positions.
    pub(crate) fn items(value: &Spanned<Self>) -> Vec<Text> {
        match value.get_ref() {
            Self::One(text) => vec![Spanned::new(value.span(), text.clone())],
            Self::Many(many) => many.clone(),
        }
    }
}
