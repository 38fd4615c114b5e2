//! Values that are stored as a number and shown as a word, and counts as SQLite has them.

/// A count or a place, as it is stored; saturates.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count or a place that was stored; nothing is less than none.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// A value with a word and a number of its own. A number is never used again for another value.
pub trait StoredWord: Copy + PartialEq + Sized + 'static {
    /// Every value, with its word and the number it is stored as.
    const ALL: &'static [(Self, &'static str, u8)];

    /// The word for people and machines.
    #[must_use]
    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(value, ..)| *value == self).map_or("", |(_, word, _)| word)
    }

    /// The value with this word.
    #[must_use]
    fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name, _)| *name == word).map(|(value, ..)| *value)
    }

    /// The number it is stored as.
    #[must_use]
    fn number(self) -> u8 {
        Self::ALL.iter().find(|(value, ..)| *value == self).map_or(0, |(.., number)| *number)
    }

    /// The value with this number.
    #[must_use]
    fn numbered(number: u8) -> Option<Self> {
        Self::ALL.iter().find(|(.., stored)| *stored == number).map(|(value, ..)| *value)
    }
}
