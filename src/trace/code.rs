//! Values that are stored as a number and shown as a word.

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
