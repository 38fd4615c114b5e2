//! Encodes the 8-bit parts of content for a host without 8BITMIME (RFC 6152 §3). Everything else stays octet by octet;
//! what can't be converted without doubt is refused. Pure.

use encodify::{base64, qp};
use mail_parser::{
    ContentType, Header, HeaderName, HeaderValue, Message, MessageParser, MessagePart, PartType,
};

use crate::mail::Edit;

/// Why content is not converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ConversionFault {
    /// The connector says so.
    #[error("it is not converted, because of eight_bit = \"report\"")]
    Off,
    /// The content, or what it would become, takes too much memory.
    #[error("it is too large to be converted")]
    Large,
    /// The structure has too many parts or levels.
    #[error("it has too many parts to be converted")]
    Intricate,
    /// A signature covers an 8-bit part, or the part is encrypted.
    #[error("it can't be converted, because it is signed or encrypted (DKIM, ARC, S/MIME or OpenPGP)")]
    Signed,
    /// There are 8-bit octets in fields, or between parts.
    #[error(
        "it can't be converted, because 8-bit octets are outside the bodies of its parts, as in header fields"
    )]
    Outside,
    /// A part is labelled as encoded and has 8-bit octets.
    #[error("it can't be converted, because a part with 8-bit octets is labelled as encoded already")]
    Mislabelled,
    /// Receivers may disagree about the structure.
    #[error("it can't be converted, because its MIME structure is ambiguous")]
    Ambiguous,
}

/// What must be replaced in content in wire form to make it 7-bit, in order.
///
/// # Errors
/// Why it can't be.
pub(super) fn convert(wire: &[u8]) -> Result<Vec<Edit>, ConversionFault> {
    if types(wire) > TYPES_MAX {
        return Err(ConversionFault::Intricate);
    }
    // Transfer encodings are not decoded: what is encoded has no 8-bit octets, and may hide more than was counted.
    let parser = MessageParser::new().header_content_type(HeaderName::ContentType).default_header_ignore();
    let message = parser.parse(wire).ok_or(ConversionFault::Outside)?;
    let mut walk = PartWalk { wire, boundaries: Vec::new(), edits: Vec::new(), encoded_bytes: 0 };
    walk.message(&message, 0)?;
    let mut edits = walk.edits;
    edits.sort_by_key(|edit| (edit.at.start, edit.at.end));
    let mut kept_from = 0;
    for edit in &edits {
        must_be_ascii(wire.get(kept_from..edit.at.start))?;
        kept_from = edit.at.end;
    }
    must_be_ascii(wire.get(kept_from..))?;
    Ok(edits)
}

fn must_be_ascii(kept: Option<&[u8]>) -> Result<(), ConversionFault> {
    match kept.map(<[u8]>::is_ascii) {
        Some(true) => Ok(()),
        Some(false) => Err(ConversionFault::Outside),
        None => Err(ConversionFault::Ambiguous),
    }
}

/// The number of Content-Type fields at most, counted as the parser reads names: in any case, with blanks anywhere. Each
/// nested level needs one, and the levels are what its memory and stack grow with.
fn types(wire: &[u8]) -> usize {
    const BACKWARDS: &[u8] = b"epyt-tnetnoc";
    memchr::memchr_iter(b':', wire)
        .filter(|colon| {
            let name = wire.get(..*colon).unwrap_or_default().iter().rev();
            let mut name = name.filter(|octet| !octet.is_ascii_whitespace()).map(u8::to_ascii_lowercase);
            BACKWARDS.iter().all(|octet| name.next() == Some(*octet))
        })
        .count()
}

/// A walk through the parts of a message, which collects edits.
struct PartWalk<'a> {
    wire: &'a [u8],
    /// The boundaries of the multiparts around the current part, the innermost last.
    boundaries: Vec<Vec<u8>>,
    edits: Vec<Edit>,
    encoded_bytes: usize,
}

impl PartWalk<'_> {
    fn message(&mut self, message: &Message<'_>, depth: usize) -> Result<(), ConversionFault> {
        let Some(root) = message.parts.first() else { return Ok(()) };
        let edits = self.edits.len();
        self.entity(message, (0, root), depth)?;
        let signed = root
            .headers
            .iter()
            .any(|field| matches!(field.name, HeaderName::DkimSignature | HeaderName::ArcMessageSignature));
        if signed && self.edits.len() > edits {
            return Err(ConversionFault::Signed);
        }
        Ok(())
    }

    /// One part, by its number in the message; number 0 is the message itself.
    fn entity(
        &mut self,
        message: &Message<'_>,
        (number, part): (usize, &MessagePart<'_>),
        depth: usize,
    ) -> Result<(), ConversionFault> {
        if depth > DEPTH_MAX {
            return Err(ConversionFault::Intricate);
        }
        let (edits, deeper, kind) = (self.edits.len(), depth.saturating_add(1), content_type(part));
        match &part.body {
            PartType::Multipart(children) => {
                let boundary =
                    kind.and_then(|kind| kind.attribute("boundary")).ok_or(ConversionFault::Ambiguous)?;
                self.boundaries.push(boundary.as_bytes().to_vec());
                for child in children {
                    let child = usize::try_from(*child).unwrap_or(usize::MAX);
                    let below = message.parts.get(child).filter(|_| child > number);
                    self.child(message, (child, below.ok_or(ConversionFault::Ambiguous)?), deeper)?;
                }
                self.boundaries.pop();
            }
            PartType::Message(nested) => self.message(nested, deeper)?,
            PartType::Text(_) | PartType::Html(_) | PartType::Binary(_) | PartType::InlineBinary(_) => {
                return self.leaf(part, number == 0);
            }
        }
        if self.edits.len() == edits {
            return Ok(());
        }
        if kind.is_some_and(|kind| {
            kind.subtype().is_some_and(|subtype| is_one_of(subtype, &["signed", "encrypted"]))
        }) {
            return Err(ConversionFault::Signed);
        }
        let missing = if number == 0 { missing_version(part) } else { String::new() };
        self.label(part, SEVEN_BIT, missing)
    }

    fn child(
        &mut self,
        message: &Message<'_>,
        (number, part): (usize, &MessagePart<'_>),
        depth: usize,
    ) -> Result<(), ConversionFault> {
        let edits = self.edits.len();
        self.entity(message, (number, part), depth)?;
        if self.edits.len() > edits && !self.begins_cleanly(offset(part.offset_header)) {
            return Err(ConversionFault::Ambiguous);
        }
        Ok(())
    }

    /// A part without parts of its own.
    fn leaf(&mut self, part: &MessagePart<'_>, is_message: bool) -> Result<(), ConversionFault> {
        let at = offset(part.offset_body)..offset(part.offset_end);
        let body = self.wire.get(at.clone()).ok_or(ConversionFault::Ambiguous)?;
        if body.is_ascii() {
            return Ok(());
        }
        if !self.ends_cleanly(at.end) || self.has_delimiter(body) {
            return Err(ConversionFault::Ambiguous);
        }
        let encoding = self.encoding(part)?.map(|field| self.value(field)).unwrap_or_default();
        if !["", SEVEN_BIT, "8bit", "binary"].contains(&encoding.as_str()) {
            return Err(ConversionFault::Mislabelled);
        }
        let plain = unstuffed(body);
        let (label, encoded, same) = if is_text(part)? {
            let encoded = qp::BODY.encode(&plain);
            let same = qp::BODY.decode(&encoded).is_ok_and(|decoded| decoded == plain);
            ("quoted-printable", encoded, same)
        } else {
            // The line end before a delimiter belongs to the delimiter.
            let encoded = base64::MIME.encode(&plain).trim_end().to_owned();
            let same = base64::MIME.decode(&encoded).is_ok_and(|decoded| decoded == plain);
            ("base64", encoded, same)
        };
        if !same {
            return Err(ConversionFault::Ambiguous);
        }
        let mut text = stuffed(encoded.as_bytes());
        if at.end == self.wire.len() && !text.ends_with(b"\r\n") {
            text.extend_from_slice(b"\r\n");
        }
        // A line that is broken for its length may begin with what was in the middle of a line before.
        if self.has_delimiter(&text) {
            return Err(ConversionFault::Ambiguous);
        }
        self.encoded_bytes = self.encoded_bytes.saturating_add(text.len());
        if self.encoded_bytes > ENCODED_BYTES_MAX {
            return Err(ConversionFault::Large);
        }
        let missing = if is_message { missing_fields(part, &plain) } else { String::new() };
        self.label(part, label, missing)?;
        self.edits.push(Edit { at, text });
        Ok(())
    }

    /// Sets a part's Content-Transfer-Encoding, and adds the fields that are missing.
    fn label(
        &mut self,
        part: &MessagePart<'_>,
        encoding: &str,
        mut missing: String,
    ) -> Result<(), ConversionFault> {
        if part.headers.iter().filter(|field| field.name == HeaderName::ContentType).count() > 1 {
            return Err(ConversionFault::Ambiguous);
        }
        match self.encoding(part)? {
            Some(field) if self.value(field) == encoding => {}
            Some(field) => {
                let at = offset(field.offset_start)..offset(field.offset_end);
                if !self.wire.get(at.clone()).is_some_and(|value| value.ends_with(b"\r\n")) {
                    return Err(ConversionFault::Ambiguous);
                }
                self.edits.push(Edit { at, text: format!(" {encoding}\r\n").into_bytes() });
            }
            None if encoding == SEVEN_BIT => {}
            None => missing.push_str(&format!("Content-Transfer-Encoding: {encoding}\r\n")),
        }
        if !missing.is_empty() {
            let at = self.blank_line(part)?;
            self.edits.push(Edit { at: at..at, text: missing.into_bytes() });
        }
        Ok(())
    }

    /// The field that names a part's encoding.
    fn encoding<'p>(&self, part: &'p MessagePart<'_>) -> Result<Option<&'p Header<'p>>, ConversionFault> {
        let mut fields =
            part.headers.iter().filter(|field| field.name == HeaderName::ContentTransferEncoding);
        match (fields.next(), fields.next()) {
            (field, None) => Ok(field),
            (_, Some(_)) => Err(ConversionFault::Ambiguous),
        }
    }

    fn value(&self, field: &Header<'_>) -> String {
        let value = self.wire.get(offset(field.offset_start)..offset(field.offset_end));
        String::from_utf8_lossy(value.unwrap_or_default()).trim().to_ascii_lowercase()
    }

    /// Where the empty line is that ends a part's header.
    fn blank_line(&self, part: &MessagePart<'_>) -> Result<usize, ConversionFault> {
        let header = self.wire.get(offset(part.offset_header)..offset(part.offset_body)).unwrap_or_default();
        if header == b"\r\n" || header.ends_with(b"\r\n\r\n") {
            Ok(offset(part.offset_body).saturating_sub(2))
        } else {
            Err(ConversionFault::Ambiguous)
        }
    }

    /// Whether a whole delimiter line precedes a part, not merely something that looks like its beginning.
    fn begins_cleanly(&self, start: usize) -> bool {
        let before = self.wire.get(..start).and_then(|before| before.strip_suffix(b"\r\n"));
        let line = before.and_then(|before| before.rsplit(|octet| *octet == b'\n').next());
        let (Some(line), Some(boundary)) = (line, self.boundaries.last()) else { return false };
        after_delimiter(line, boundary).is_some_and(|rest| rest.trim_ascii().is_empty())
    }

    /// Whether a part ends with the content, or before a whole delimiter line.
    fn ends_cleanly(&self, end: usize) -> bool {
        let rest = self.wire.get(end..).unwrap_or_default();
        let (Some(rest), Some(boundary)) = (rest.strip_prefix(b"\r\n"), self.boundaries.last()) else {
            return rest.is_empty();
        };
        let line = rest.split(|octet| *octet == b'\n').next().unwrap_or_default();
        let rest = after_delimiter(line, boundary).map(|rest| rest.strip_prefix(b"--").unwrap_or(rest));
        rest.is_some_and(|rest| rest.trim_ascii().is_empty())
    }

    /// Whether a line would end the part, or one around it.
    fn has_delimiter(&self, text: &[u8]) -> bool {
        let mut lines = text.split(|octet| *octet == b'\n').filter(|line| line.starts_with(b"--"));
        lines.any(|line| self.boundaries.iter().any(|boundary| after_delimiter(line, boundary).is_some()))
    }
}

fn after_delimiter<'a>(line: &'a [u8], boundary: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(b"--")?.strip_prefix(boundary)
}

fn offset(of: u32) -> usize {
    usize::try_from(of).unwrap_or(usize::MAX)
}

fn content_type<'p>(part: &'p MessagePart<'_>) -> Option<&'p ContentType<'p>> {
    let field = part.headers.iter().find(|field| field.name == HeaderName::ContentType)?;
    match &field.value {
        HeaderValue::ContentType(kind) => Some(kind),
        HeaderValue::Address(_)
        | HeaderValue::Text(_)
        | HeaderValue::TextList(_)
        | HeaderValue::DateTime(_)
        | HeaderValue::Received(_)
        | HeaderValue::Empty => None,
    }
}

/// Whether a part without parts of its own is text. What is not can't be read without decoding it.
fn is_text(part: &MessagePart<'_>) -> Result<bool, ConversionFault> {
    let Some(kind) = content_type(part) else { return Ok(true) };
    let subtype = kind.subtype().unwrap_or_default();
    match kind.ctype().to_ascii_lowercase().as_str() {
        "text" => Ok(true),
        // RFC 2045 §6.4 allows these no encoding.
        "multipart" | "message" => Err(ConversionFault::Ambiguous),
        "application" if is_one_of(subtype, &["pkcs7-mime", "x-pkcs7-mime"]) => Err(ConversionFault::Signed),
        _ => Ok(false),
    }
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|one| word.eq_ignore_ascii_case(one))
}

/// The field without which a message is not MIME.
fn missing_version(root: &MessagePart<'_>) -> String {
    let has_version = root.headers.iter().any(|field| field.name == HeaderName::MimeVersion);
    if has_version { String::new() } else { "MIME-Version: 1.0\r\n".to_owned() }
}

/// The fields without which a message is not MIME, and its text has no character set.
fn missing_fields(root: &MessagePart<'_>, body: &[u8]) -> String {
    let mut fields = missing_version(root);
    if !root.headers.iter().any(|field| field.name == HeaderName::ContentType) {
        // RFC 1428 §3: unknown-8bit says that the character set is not known.
        let charset = if std::str::from_utf8(body).is_ok() { "utf-8" } else { "unknown-8bit" };
        fields.push_str(&format!("Content-Type: text/plain; charset={charset}\r\n"));
    }
    fields
}

/// Lines of wire form without the dots of transparency.
fn unstuffed(text: &[u8]) -> Vec<u8> {
    let lines = text.split_inclusive(|octet| *octet == b'\n');
    lines.flat_map(|line| line.strip_prefix(b".").unwrap_or(line)).copied().collect()
}

fn stuffed(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len().saturating_add(text.len() / 64));
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    out
}

const SEVEN_BIT: &str = "7bit";
/// Content-Type fields in a message.
const TYPES_MAX: usize = 250;
/// Levels of parts in parts.
const DEPTH_MAX: usize = 50;
/// Octets of encoded parts, which stay in memory until the message is sent.
const ENCODED_BYTES_MAX: usize = 16 << 20;

#[cfg(test)]
mod tests;
