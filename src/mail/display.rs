//! What must not be shown as it came: a peer chooses the text, and a terminal or a reader of a log would obey it.

/// Whether a character could end a line, move the cursor, or turn the direction of the text around it (Unicode
/// Technical Report 36 §3.6).
#[must_use]
pub fn moves_text(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The characters of a text, with another one in place of each that moves text.
pub fn unmoved(text: &str, instead: char) -> impl Iterator<Item = char> {
    text.chars().map(move |c| if moves_text(c) { instead } else { c })
}

/// A text with `?` in place of all but printable ASCII, as what is 7bit takes it.
#[must_use]
pub fn printable_ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}
