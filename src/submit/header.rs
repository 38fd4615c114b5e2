//! Splits off and completes the header section of a message from a program on this machine. It does not touch the
//! body.

use encodify::qp;
use mail_parser::{Address, HeaderName, MessageParser};

use crate::mail::{Domain, ReversePath, UnixMillis, rfc5322};

/// A header section: fields with their octets as they came, lines separated by LF.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Header {
    fields: Vec<Vec<u8>>,
}

impl Header {
    /// A header section and what follows it. Text that does not begin with a header field is all body.
    #[must_use]
    pub fn split(text: &[u8]) -> (Self, &[u8]) {
        let mut header = Self::default();
        let mut rest = text;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at.saturating_add(1));
            let Some((line, after)) = rest.split_at_checked(end) else { break };
            let line = trimmed(line);
            // The separator line of mailbox files, which is not a header field.
            if header.fields.is_empty() && line.starts_with(b"From ") {
                rest = after;
                continue;
            }
            if line.is_empty() {
                return (header, after);
            }
            let folded = matches!(line.first(), Some(b' ' | b'\t'));
            match header.fields.last_mut() {
                Some(field) if folded => {
                    field.push(b'\n');
                    field.extend_from_slice(line);
                }
                Some(_) | None if name(line).is_some() => header.fields.push(line.to_vec()),
                Some(_) | None => return (header, rest),
            }
            rest = after;
        }
        (header, rest)
    }

    /// The fields, folded lines separated by LF.
    pub fn fields(&self) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().map(Vec::as_slice)
    }

    /// Whether there is such a field.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.fields().any(|field| is_named(field, name))
    }

    /// The first address of From.
    #[must_use]
    pub fn from(&self) -> Option<String> {
        self.addresses(&[HeaderName::From]).into_iter().next()
    }

    /// The addresses of To, Cc and Bcc.
    #[must_use]
    pub fn recipients(&self) -> Vec<String> {
        self.addresses(&[HeaderName::To, HeaderName::Cc, HeaderName::Bcc])
    }

    fn addresses(&self, names: &[HeaderName<'static>]) -> Vec<String> {
        let text = [self.fields.join(&b'\n'), b"\n\n".to_vec()].concat();
        let Some(message) = MessageParser::new()
            .header_address(HeaderName::From)
            .header_address(HeaderName::To)
            .header_address(HeaderName::Cc)
            .header_address(HeaderName::Bcc)
            .default_header_ignore()
            .parse_headers(&text)
        else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for header in message.headers().iter().filter(|header| names.contains(&header.name)) {
            match header.value.as_address() {
                Some(Address::List(list)) => {
                    found.extend(list.iter().filter_map(|one| one.address.as_deref()).map(str::to_owned));
                }
                Some(Address::Group(groups)) => {
                    let members = groups.iter().flat_map(|group| &group.addresses);
                    found.extend(members.filter_map(|one| one.address.as_deref()).map(str::to_owned));
                }
                None => {}
            }
        }
        found
    }

    /// The header as it is sent: without Bcc, and with From, Date and Message-ID if they were missing.
    #[must_use]
    pub fn completed(
        mut self,
        sender: &ReversePath,
        full_name: Option<&str>,
        domain: &Domain,
        now: UnixMillis,
    ) -> Self {
        self.fields.retain(|field| !is_named(field, "Bcc"));
        if !self.has("From") {
            let address =
                sender.mailbox().map_or_else(|| format!("MAILER-DAEMON@{domain}"), ToString::to_string);
            let name = full_name.map_or_else(String::new, |name| encoded_words(name) + " ");
            self.fields.push(format!("From: {name}<{address}>").into_bytes());
        }
        if !self.has("Date") {
            self.fields.push(format!("Date: {}", rfc5322(now)).into_bytes());
        }
        if !self.has("Message-ID") {
            let id = format!("Message-ID: <{}.{:016x}@{domain}>", now.0, fastrand::u64(..));
            self.fields.push(id.into_bytes());
        }
        self
    }
}

/// A line without its end; scripts may have written several CR.
fn trimmed(line: &[u8]) -> &[u8] {
    let mut line = line.strip_suffix(b"\n").unwrap_or(line);
    while let Some(shorter) = line.strip_suffix(b"\r") {
        line = shorter;
    }
    line
}

/// Whether a field has this name.
pub(super) fn is_named(field: &[u8], wanted: &str) -> bool {
    name(field).is_some_and(|name| name.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// The name of a field (RFC 5322 §2.2): printable ASCII but the colon, and a colon.
fn name(line: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memchr(b':', line)?;
    let name = line.get(..colon)?.trim_ascii_end();
    (!name.is_empty() && name.iter().all(u8::is_ascii_graphic)).then_some(name)
}

/// A display name as a header field has it (RFC 5322 §3.2.4, RFC 2047 §5).
fn encoded_words(name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control() && !"\"\\".contains(*c)).collect();
    if name.is_ascii() {
        return format!("\"{name}\"");
    }
    // Few enough octets that a word keeps to its 75.
    let mut words: Vec<String> = Vec::new();
    let mut part = String::new();
    for c in name.chars() {
        if part.len().saturating_add(c.len_utf8()) > WORD_BYTES_MAX {
            words.push(std::mem::take(&mut part));
        }
        part.push(c);
    }
    words.push(part);
    let words: Vec<String> =
        words.iter().map(|word| format!("=?utf-8?Q?{}?=", qp::Q_PHRASE.encode(word))).collect();
    words.join(" ")
}

/// Octets of an encoded word before it is encoded.
const WORD_BYTES_MAX: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(text: &str) -> String {
        let domain = Domain::parse("gw.test").expect("a domain");
        let sender = ReversePath::parse("ann@a.test").expect("a path");
        let (header, _) = Header::split(text.as_bytes());
        let done = header.completed(&sender, Some("A \"L\""), &domain, UnixMillis(1_795_469_756_000));
        let fields = done.fields().filter(|field| !is_named(field, "Message-ID"));
        fields.map(|field| String::from_utf8_lossy(field)).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn a_header_is_read_up_to_the_blank_line() {
        let text = b"From ann Mon\nTo: b@b.test,\n c@c.test\nBCC: d@d.test\nSubject: \xfc\r\r\n\nbody\n";
        let (header, rest) = Header::split(text);
        assert_eq!(header.recipients(), ["b@b.test", "c@c.test", "d@d.test"]);
        assert_eq!((header.from(), rest), (None, &b"body\n"[..]));
        assert_eq!(header.fields().last(), Some(&b"Subject: \xfc"[..]));
        let (header, _) = Header::split(b"From: \"Ann\" <ann@a.test>\nTo: team: e@e.test, f@f.test;\n\n");
        assert_eq!(header.from().as_deref(), Some("ann@a.test"));
        assert_eq!(header.recipients(), ["e@e.test", "f@f.test"]);
        let (header, rest) = Header::split(b"Backup done\nall well\n");
        assert_eq!((header, rest), (Header::default(), &b"Backup done\nall well\n"[..]));
    }

    #[test]
    fn what_is_missing_is_added_and_bcc_is_taken_out() {
        assert_eq!(
            completed("To: b@b.test\nBcc: d@d.test,\n e@e.test\nSubject: x\n\n"),
            "To: b@b.test|Subject: x|From: \"A L\" <ann@a.test>|Date: Mon, 23 Nov 2026 21:35:56 +0000"
        );
        assert_eq!(completed("From: x@x.test\nDate: then\n\n"), "From: x@x.test|Date: then");
    }

    #[test]
    fn a_name_is_written_so_that_every_host_takes_it() {
        assert_eq!(encoded_words("A \"L\""), "\"A L\"");
        assert_eq!(encoded_words("Gr\u{fc}\u{df}e"), "=?utf-8?Q?Gr=C3=BC=C3=9Fe?=");
        assert!(encoded_words(&"\u{20ac}".repeat(50)).split(' ').all(|word| word.len() <= 75));
    }
}
