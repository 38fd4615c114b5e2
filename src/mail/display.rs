//! What must not be shown as it came: a peer chooses the text, and a terminal or a reader of a log would obey it.

/// Whether a character could end a line, move the cursor, or turn the direction of the text around it (Unicode
/// Technical Report 36 §3.6).
#[must_use]
pub fn moves_text(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
