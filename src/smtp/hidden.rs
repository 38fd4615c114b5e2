//! What a login says, which a server may repeat in any reply of the session, and which nobody else may read.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Words that are left out of what a peer says.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HiddenWords {
    /// As they are.
    plain: Vec<String>,
    /// In base64, without its padding.
    encoded: Vec<String>,
}

impl HiddenWords {
    /// A secret, and what was made of it to be sent; both also in base64.
    #[must_use]
    pub fn of_login(secret: &str, sent: Option<&str>) -> Self {
        let encoded = [Some(secret), sent].into_iter().flatten();
        let encoded = encoded.map(|text| STANDARD.encode(text).trim_end_matches('=').to_owned());
        // What is shorter is a part of other words, and no secret.
        let plain = Some(secret).filter(|secret| secret.len() >= PLAIN_OCTETS_MIN).map(str::to_owned);
        Self {
            plain: plain.into_iter().collect(),
            encoded: encoded.filter(|word| word.len() >= RUN_OCTETS_MIN).collect(),
        }
    }

    /// A line of the peer with stars in place of these words, and of what is the beginning of one: servers shorten what they
    /// repeat.
    #[must_use]
    pub fn masked<'t>(&self, line: &'t str) -> Cow<'t, str> {
        let mut shown = Cow::Borrowed(line);
        for word in self.plain.iter().filter(|word| line.contains(word.as_str())) {
            shown = Cow::Owned(shown.replace(word, MASK));
        }
        if self.encoded.is_empty() {
            return shown;
        }
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
        if !shown.split(|c| !is_base64(c)).any(|run| self.is_hidden(run)) {
            return shown;
        }
        let mut out = String::with_capacity(shown.len());
        for piece in shown.split_inclusive(|c| !is_base64(c)) {
            let run = piece.trim_end_matches(|c| !is_base64(c));
            out.push_str(if self.is_hidden(run) { MASK } else { run });
            out.push_str(piece.get(run.len()..).unwrap_or_default());
        }
        Cow::Owned(out)
    }

    /// Whether a run of base64 is one of the words, holds one, or is the beginning of one. Some servers repeat a line in
    /// capitals.
    fn is_hidden(&self, run: &str) -> bool {
        let starts = |text: &str, with: &str| {
            text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
        };
        let holds = |word: &str| {
            run.len() >= word.len()
                && run.char_indices().any(|(at, _)| run.get(at..).is_some_and(|rest| starts(rest, word)))
        };
        run.len() >= RUN_OCTETS_MIN && self.encoded.iter().any(|word| starts(word, run) || holds(word))
    }
}

impl fmt::Debug for HiddenWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HiddenWords")
    }
}

/// Shown in place of a word.
const MASK: &str = "***";
const PLAIN_OCTETS_MIN: usize = 4;
/// A shorter run of base64 may be any word.
const RUN_OCTETS_MIN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_login_said_is_left_out_wherever_it_is_repeated() {
        let words = HiddenWords::of_login("open sesame", Some("\0ada\0open sesame"));
        for (said, expected) in [
            ("535 5.7.8 no", "535 5.7.8 no"),
            ("500 unknown: AUTH PLAIN AGFkYQBvcGVuIHNlc2FtZQ==", "500 unknown: AUTH PLAIN ***=="),
            ("500 \"AUTH PLAIN AGFKYQBVCGVUIHNLC2FTZQ\"", "500 \"AUTH PLAIN ***\""),
            ("500 AUTH PLAIN AGFkYQBvcGVu...", "500 AUTH PLAIN ***..."),
            ("500 PLAIN=AGFkYQBvcGVuIHNlc2FtZQ==x", "500 PLAIN=***==x"),
            ("535 b3BlbiBzZXNhbWU= is wrong", "535 ***= is wrong"),
            ("535 <open sesame>, open sesame", "535 <***>, ***"),
            ("250 xAGFkYQBvcGVuIHNlc2FtZQy", "250 ***"),
            ("250 AGFkYQ is a short one", "250 AGFkYQ is a short one"),
            ("250 \u{e4}b3BlbiBzZXNhbWU\u{e4}", "250 \u{e4}***\u{e4}"),
        ] {
            assert_eq!(words.masked(said), expected);
        }
        assert_eq!(HiddenWords::default().masked("250 AGFkYQBvcGVu"), "250 AGFkYQBvcGVu");
        assert_eq!(format!("{words:?}"), "HiddenWords");
        assert_eq!(HiddenWords::of_login("ok", None).masked("250 ok"), "250 ok", "it would be everywhere");
    }
}
