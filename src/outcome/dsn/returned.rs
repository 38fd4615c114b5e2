//! The third part of a report: what is returned of the message, in 7 bits whatever it was made of.

use encodify::qp;

use super::report::{Detail, HEADER_BYTES_MAX};
use super::text::stuffed;

/// What is returned, and how it is labelled.
pub(super) struct ReturnedPart {
    /// The media type.
    pub(super) kind: &'static str,
    /// Its octets have to be encoded.
    pub(super) quoted: bool,
    /// In wire form: printable ASCII in lines that pass everywhere.
    pub(super) content: Vec<u8>,
}

impl ReturnedPart {
    /// All of a message in wire form, where it passes everywhere as it is; else nothing, since this type can't be
    /// encoded (RFC 2046 §5.2.1).
    pub(super) fn message(wire: &[u8]) -> Option<Self> {
        passes(wire).then(|| Self { kind: "message/rfc822", quoted: false, content: wire.to_vec() })
    }

    /// A header section. RFC 6522 §4 and RFC 6533 §6 let it be encoded.
    pub(super) fn header(section: &[u8]) -> Self {
        // RFC 6533 §4: headers in UTF-8 are none of RFC 822.
        let plain = section.is_ascii() || std::str::from_utf8(section).is_err();
        let kind = if plain { "text/rfc822-headers" } else { "message/global-headers" };
        let quoted = !passes(section);
        let content = if quoted { stuffed(qp::BODY.encode(section).as_bytes()) } else { stuffed(section) };
        Self { kind, quoted, content }
    }
}

/// The header section of a message in wire form, as it was before dot-stuffing, each line ended by CRLF.
///
/// It ends at the first line that is no field, since what follows is content, with or without a blank line before it.
/// Where no blank line was seen, a line of the content may still look like a field: only fields that we know are
/// returned.
pub(super) fn header_section(wire: &[u8], detail: Detail) -> Vec<u8> {
    let wire = wire.get(..HEADER_BYTES_MAX).unwrap_or(wire);
    let mut fields: Vec<Vec<u8>> = Vec::new();
    let mut ended = false;
    for line in wire.split_inclusive(|b| *b == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else { break };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            ended = true;
            break;
        }
        let line = line.strip_prefix(b".").unwrap_or(line);
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        // The first field is the Received that we wrote. It ends with the date; what is folded behind it is not ours.
        let whole = fields.len() == 1 && fields.first().is_some_and(|first| first.contains(&b';'));
        match fields.last_mut() {
            Some(_) if folded && whole => break,
            Some(field) if folded => field.extend_from_slice(line),
            Some(_) | None if name(line).is_some() => fields.push(line.to_vec()),
            Some(_) | None => break,
        }
        if let Some(field) = fields.last_mut() {
            field.extend_from_slice(b"\r\n");
        }
    }
    fields.retain(|field| match (detail, ended) {
        (Detail::Full, true) => true,
        (Detail::Full, false) => is_one_of(field, FIELDS_OF_SENDERS) || is_one_of(field, FIELDS_OF_HOSTS),
        (Detail::Codes, _) => is_one_of(field, FIELDS_OF_SENDERS),
    });
    fields.concat()
}

/// The name of a field (RFC 5322 §2.2): printable ASCII but the colon. Older mail may have blanks before the colon.
fn name(line: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memchr(b':', line)?;
    let name = line.get(..colon)?.trim_ascii_end();
    (!name.is_empty() && name.iter().all(u8::is_ascii_graphic)).then_some(name)
}

fn is_one_of(field: &[u8], names: &[&str]) -> bool {
    name(field).is_some_and(|name| names.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())))
}

/// Whether every host takes these lines: printable ASCII, and none too long (RFC 5322 §2.1.1).
fn passes(lines: &[u8]) -> bool {
    lines.split_inclusive(|b| *b == b'\n').all(|line| {
        let Some(text) = line.strip_suffix(b"\r\n") else { return false };
        text.len() <= LINE_BYTES_MAX && text.iter().all(|b| matches!(b, b'\t' | b' '..=b'~'))
    })
}

/// Fields that say what the sender wrote, when, and to whom (RFC 5322 §3.6).
const FIELDS_OF_SENDERS: &[&str] = &[
    "Date",
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Subject",
    "Comments",
    "Keywords",
];
/// Fields that hosts add, and that say what the content is made of.
const FIELDS_OF_HOSTS: &[&str] =
    &["Received", "Return-Path", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"];
/// Octets of a line without its end.
const LINE_BYTES_MAX: usize = 998;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wire: &[u8], detail: Detail, expected: &str) {
        assert_eq!(String::from_utf8_lossy(&header_section(wire, detail)).replace("\r\n", "|"), expected);
    }

    #[test]
    fn the_header_section_ends_at_the_first_line_that_is_no_field() {
        use Detail::{Codes, Full};
        check(b"Received: a\r\n\tby b\r\nX-Y: z\r\n\r\nbody: x\r\n", Full, "Received: a|\tby b|X-Y: z|");
        check(b"Received: a\r\n\tby b\r\nSubject: z\r\n\r\n", Codes, "Subject: z|");
        check(b"Received: a\r\nthe secret\r\nSubject: x\r\n\r\n", Full, "Received: a|");
        check(b"Received: a\r\nDear Ann: the secret\r\n\r\n", Full, "Received: a|");
        // Without a blank line, only what is known to be a field.
        check(b"Received: a\r\nPassword: x\r\n y\r\nSubject : z\r\n", Full, "Received: a|Subject : z|");
        check(b"Received: a\r\nX-Y: z\r\ncut: of", Full, "Received: a|");
        check(b" the secret\r\nSubject: x\r\n\r\n", Full, "");
        check(b"Received: a\r\n\tby b; today\r\n the secret\r\n\r\n", Full, "Received: a|\tby b; today|");
        check(b"\xfcber: x\r\n: y\r\n\r\n", Full, "");
        check(b"\r\nSubject: x\r\n", Full, "");
        check(b"..dot: kept\r\n\r\n", Full, ".dot: kept|");
    }

    #[test]
    fn what_is_returned_passes_everywhere() {
        let check = |section: &[u8], expected: &str| {
            let ReturnedPart { kind, quoted, content } = ReturnedPart::header(section);
            assert_eq!(format!("{kind} {quoted} {}", String::from_utf8_lossy(&content)), expected);
        };
        check(b"A: b\r\n", "text/rfc822-headers false A: b\r\n");
        check(b"A: \xe9\r\n", "text/rfc822-headers true A: =E9\r\n");
        check("A: é\r\n".as_bytes(), "message/global-headers true A: =C3=A9\r\n");
        check(b"A: \x1b[0m\rb\r\n", "text/rfc822-headers true A: =1B[0m=0Db\r\n");
        let long = ReturnedPart::header(&[&b"A: "[..], &[b'x'; 3000], b"\r\n"].concat());
        assert!(long.quoted && long.content.split(|b| *b == b'\n').all(|line| line.len() <= 78));
        assert!(ReturnedPart::message(b"A: b\r\n\r\nx\r\n").is_some());
        assert!(ReturnedPart::message(b"A: b\r\n\r\n\xe9\r\n").is_none());
        assert!(ReturnedPart::message(&[&[b'x'; 1000][..], b"\r\n"].concat()).is_none());
    }
}
