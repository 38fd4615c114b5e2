//! Reads the fields of a header section in wire form, without changing an octet of them. It knows no field's meaning.

use std::borrow::Cow;
use std::ops::Range;

use mail_parser::{HeaderName, MessageParser};

/// One field of a header section. All ranges are offsets in the section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderField<'a> {
    /// The name as written, up to a colon or blank; empty if it begins with one. The dot of dot-stuffing is not part of it.
    pub name: &'a [u8],
    /// What follows the colon, with its folding, up to the last line's CRLF.
    pub value: &'a [u8],
    start: usize,
    name_start: usize,
    value_start: usize,
    end: usize,
}

impl HeaderField<'_> {
    /// The field, from its name to the CRLF of its last line.
    #[must_use]
    pub fn whole_at(&self) -> Range<usize> {
        self.start..self.end
    }

    /// What follows the colon, without the last CRLF.
    #[must_use]
    pub fn value_at(&self) -> Range<usize> {
        self.value_start..self.value_start.saturating_add(self.value.len())
    }

    /// The first octets of the name, and a dot before them that is not content.
    #[must_use]
    pub fn name_start_at(&self, octets: usize) -> Range<usize> {
        self.start..self.name_start.saturating_add(octets.min(self.name.len()))
    }

    /// Whether this is its name, in any case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// What follows a prefix of its name, which is in any case.
    #[must_use]
    pub fn after_prefix(&self, prefix: &str) -> Option<&[u8]> {
        let (start, rest) = self.name.split_at_checked(prefix.len())?;
        start.eq_ignore_ascii_case(prefix.as_bytes()).then_some(rest)
    }
}

/// Where a header section ends: after its blank line (RFC 5322 §2.1). `None`: the octets end before.
#[must_use]
pub fn header_end(octets: &[u8]) -> Option<usize> {
    if octets.starts_with(b"\r\n") {
        return Some(2);
    }
    memchr::memmem::find(octets, b"\r\n\r\n").map(|at| at.saturating_add(4))
}

/// The fields of a header section in wire form, up to its blank line. Lines end in CRLF; a line that begins with a blank
/// continues the field before (RFC 5322 §2.2.3). One dot at the start of a line is not content, whatever follows it (RFC
/// 5321 §4.5.2): intake leaves it only before another dot, but the spool may be older.
pub fn header_fields(section: &[u8]) -> impl Iterator<Item = HeaderField<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let field = field_at(section, at)?;
        at = field.end;
        Some(field)
    })
}

fn field_at(section: &[u8], start: usize) -> Option<HeaderField<'_>> {
    let rest = section.get(start..).filter(|rest| !rest.is_empty() && !rest.starts_with(b"\r\n"))?;
    let mut length = 0_usize;
    loop {
        let line = rest.get(length..).unwrap_or_default();
        length =
            length.saturating_add(memchr::memchr(b'\n', line).map_or(line.len(), |at| at.saturating_add(1)));
        if !matches!(unstuffed(rest.get(length..).unwrap_or_default()).first(), Some(b' ' | b'\t')) {
            break;
        }
    }
    let field = rest.get(..length).unwrap_or_default();
    let text = unstuffed(field.strip_suffix(b"\r\n").unwrap_or(field));
    let name_start = start.saturating_add(usize::from(field.starts_with(b".")));
    // RFC 5322 §4.5: an old form has blanks before the colon. Receivers still read it, some even with a line end there.
    let ends_name = |octet: &u8| matches!(octet, b':' | b' ' | b'\t' | b'\r' | b'\n');
    let name = text.iter().position(ends_name).and_then(|end| text.get(..end)).unwrap_or(text);
    let colon = memchr::memchr(b':', text).map_or(text.len(), |colon| colon.saturating_add(1));
    let value = text.get(colon..).unwrap_or_default();
    Some(HeaderField {
        name,
        value,
        start,
        name_start,
        value_start: name_start.saturating_add(text.len().saturating_sub(value.len())),
        end: start.saturating_add(length),
    })
}

fn unstuffed(line: &[u8]) -> &[u8] {
    line.strip_prefix(b".").unwrap_or(line)
}

/// A value on one line, without the blanks around it. Encoded words stay as they are.
#[must_use]
pub fn unfolded(value: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(value);
    if text.contains(['\r', '\n']) {
        return Cow::Owned(text.replace(['\r', '\n'], "").trim().to_owned());
    }
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// An unstructured value as a reader sees it: unfolded, encoded words decoded, and without the blanks between two of them
/// (RFC 2047 §6.2). Each octet is looked at a few times at most, whatever the value.
#[must_use]
pub fn decoded(value: &[u8]) -> String {
    let mut text = String::new();
    let (mut rest, mut after_word) = (value, false);
    while let Some((before, word, after)) = next_word(rest) {
        if !after_word || !before.trim_ascii().is_empty() {
            push_unfolded(&mut text, before);
        }
        push_word(&mut text, word);
        (rest, after_word) = (after, true);
    }
    push_unfolded(&mut text, rest);
    text.trim().to_owned()
}

fn push_unfolded(text: &mut String, octets: &[u8]) {
    text.extend(String::from_utf8_lossy(octets).chars().filter(|c| !matches!(c, '\r' | '\n')));
}

fn push_word(text: &mut String, word: &[u8]) {
    let field = [b"Subject:", word, b"\r\n\r\n"].concat();
    let message = MessageParser::new().header_text(HeaderName::Subject).parse_headers(field.as_slice());
    match message.as_ref().and_then(|message| message.subject()) {
        Some(decoded) => text.push_str(decoded),
        None => push_unfolded(text, word),
    }
}

/// What is before the first encoded word, the word, and what is after it.
fn next_word(octets: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    memchr::memmem::find_iter(octets, b"=?").find_map(|start| {
        let (before, word) = octets.split_at_checked(start)?;
        let (word, after) = word.split_at_checked(word_length(word)?)?;
        Some((before, word, after))
    })
}

/// The length of the encoded word that begins here. Question marks within it are valid to some readers, but it ends, as no
/// word, where the next one begins: so no octet is searched for the sake of many words.
fn word_length(word: &[u8]) -> Option<usize> {
    let charset = word.get(2..)?.iter().take(CHARSET_BYTES_MAX).position(|octet| *octet == b'?')?;
    let start = charset.saturating_add(5);
    if !matches!(word.get(start.saturating_sub(2)..start)?, [b'q' | b'Q' | b'b' | b'B', b'?']) {
        return None;
    }
    let mut at = start;
    loop {
        let mark = at.saturating_add(memchr::memchr(b'?', word.get(at..)?)?);
        if word.get(mark.saturating_add(1)) == Some(&b'=') {
            return Some(mark.saturating_add(2));
        }
        if mark > start && word.get(mark.saturating_sub(1)) == Some(&b'=') {
            return None;
        }
        at = mark.saturating_add(1);
    }
}

/// Octets of a charset's name, with a language (RFC 2231 §5).
const CHARSET_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(section: &str, expected: &[(&str, &str)]) {
        let mut end = 0;
        let found: Vec<(String, String)> = header_fields(section.as_bytes())
            .map(|field| {
                assert_eq!(field.whole_at().start, end, "no octet between fields is lost");
                end = field.whole_at().end;
                assert_eq!(section.as_bytes().get(field.value_at()), Some(field.value));
                let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
                (text(field.name), text(field.value))
            })
            .collect();
        let expected: Vec<_> = expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(found, expected, "{section:?}");
    }

    #[test]
    fn fields_are_found_with_their_folding() {
        check("A: b\r\nC:d\r\n\r\nE: f\r\n", &[("A", " b"), ("C", "d")]);
        check("A: b\r\n c\r\n\td\r\nE: f\r\n\r\n", &[("A", " b\r\n c\r\n\td"), ("E", " f")]);
        check("A:\r\n b: c\r\n\r\n", &[("A", "\r\n b: c")]);
        check("A \t: b\r\n\r\n", &[("A", " b")]);
        check("no colon\r\nA: b\r\n\r\n", &[("no", ""), ("A", " b")]);
        check("A\r\n : b\r\nC\r\n\r\n", &[("A", " b"), ("C", "")]);
        check(" begins folded\r\n: x\r\n\r\n", &[("", ""), ("", " x")]);
        check("", &[]);
        check("\r\nA: body\r\n", &[]);
        check("A: no end", &[("A", " no end")]);
        check("A: b\r\n \r\nC: d\r\n\r\n", &[("A", " b\r\n "), ("C", " d")]);
    }

    #[test]
    fn one_dot_before_a_line_is_not_content() {
        check(".A: b\r\n. c\r\n.\td\r\n..E: f\r\n\r\n", &[("A", " b\r\n. c\r\n.\td"), (".E", " f")]);
        check(".A\r\n. : b\r\n. c\r\n", &[("A", " b\r\n. c")]);
        let field = header_fields(b".X-A: b\r\n\r\n").next().expect("a field");
        assert_eq!((field.whole_at(), field.name_start_at(2), field.value_at()), (0..9, 0..3, 5..7));
    }

    #[test]
    fn the_section_ends_after_the_first_blank_line() {
        assert_eq!(header_end(b"A: b\r\n\r\nc\r\n\r\n"), Some(8));
        assert_eq!(header_end(b"\r\nc\r\n\r\n"), Some(2));
        assert_eq!(header_end(b"A: b\r\n \r\n"), None);
        assert_eq!(header_end(b"A: b\r\n\r"), None);
    }

    #[test]
    fn a_value_is_read_as_its_reader_sees_it() {
        assert_eq!(unfolded(b" a\r\n b \r\n\tc "), "a b \tc");
        assert_eq!(decoded(b" =?utf-8?B?W3NlY3VyZV0gR3LDvMOfZQ==?="), "[secure] Gr\u{fc}\u{df}e");
        assert_eq!(decoded(b" =?utf-8?Q?[sec?=\r\n =?utf-8?Q?ure]?= x"), "[secure] x");
        assert_eq!(decoded(b" plain\r\n text"), "plain text");
        assert_eq!(decoded(b" =?utf-8?Q?a?= =?utf-8?q?_b?=\r\n\tc =?utf-8?Q?d?=e"), "a b\tc de");
        assert_eq!(
            decoded(b"=?utf-8?Q?abc?x?= =?utf-8?Q?no =?utf-8?Q?[secure]?="),
            "abc?x =?utf-8?Q?no [secure]"
        );
        assert_eq!(decoded(b"=?utf-8?X?abc?= =? =?a =?utf-8?Q?"), "=?utf-8?X?abc?= =? =?a =?utf-8?Q?");
        assert_eq!(decoded(b"=?utf-8?Q??=a =?utf-8*en?B?Yg==?="), "a b");
    }

    /// Beginnings of words that have no end: what follows was searched for each of them, for minutes.
    #[test]
    fn many_words_without_an_end_are_read_once() {
        for piece in ["=?aa?q?x ", "=?", "=?a=?", "=?aa?q?", "=?aa?b?AAAA ", "?", "=?aa?q?=41?x"] {
            let text = piece.repeat(1_000_000 / piece.len());
            assert!(!decoded(text.as_bytes()).is_empty());
        }
    }

    #[test]
    fn names_are_compared_in_any_case() {
        let field = header_fields(b"x-MS-exchange-Forest-A : b\r\n\r\n").next().expect("a field");
        assert!(field.is("X-MS-Exchange-Forest-a") && !field.is("X-MS-Exchange-Forest-"));
        assert_eq!(field.after_prefix("X-MS-Exchange-Forest-"), Some(b"A".as_slice()));
        assert_eq!(field.after_prefix("X-MS-Exchange-Organization-"), None);
        assert_eq!(field.name_start_at(5), 0..5);
    }
}
