//! What an action came to: one sentence, kept in the session until the next page shows it.

use crate::trace::clean;

/// What the next page says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ActionNotice {
    pub(super) words: String,
    pub(super) follow: Option<FollowUp>,
}

/// A form beside it: what takes the action back, or what it lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FollowUp {
    pub(super) label: String,
    /// Where the form is sent.
    pub(super) action: String,
    /// The page that is shown then.
    pub(super) back: String,
    /// What else it sends.
    pub(super) fields: Vec<(&'static str, String)>,
}

impl ActionNotice {
    /// Only a sentence, as a verb says it.
    pub(super) fn new(words: &str) -> Self {
        let mut chars = words.chars();
        let first = chars.next().into_iter().flat_map(char::to_uppercase);
        let words: String = first.chain(chars).take(WORDS_CHARS_MAX).collect();
        let stop = if words.ends_with(['.', ')']) { "" } else { "." };
        Self { words: format!("{}{stop}", clean(&words)), follow: None }
    }

    /// With a form beside it.
    pub(super) fn followed_by(mut self, label: String, action: String, back: &str) -> Self {
        self.follow = Some(FollowUp { label, action, back: back.to_owned(), fields: Vec::new() });
        self
    }

    /// With more for the form to send.
    pub(super) fn sending(mut self, fields: Vec<(&'static str, String)>) -> Self {
        if let Some(follow) = &mut self.follow {
            follow.fields = fields;
        }
        self
    }
}

/// Names of connectors may fill a sentence.
const WORDS_CHARS_MAX: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_a_sentence_and_bounded() {
        for (said, words) in [
            ("paused: bank", "Paused: bank."),
            ("1 recipient is tried again now", "1 recipient is tried again now."),
            ("it waits (`x`)", "It waits (`x`)"),
            ("", "."),
        ] {
            assert_eq!(ActionNotice::new(said).words, words);
        }
        assert_eq!(ActionNotice::new(&"x".repeat(10_000)).words.chars().count(), WORDS_CHARS_MAX + 1);
    }
}
