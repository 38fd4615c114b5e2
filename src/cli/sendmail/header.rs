//! Reads and completes the header section of a message from standard input. It does not touch the
//! body.

use std::io::{self, BufRead};

use mail_parser::{Address, HeaderName, MessageParser};

use crate::mail::{Domain, ReversePath, UnixMillis, rfc5322};

/// A header section with lines separated by LF, without the blank line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    text: String,
    /// A first line that is not a header field: the message has no header, and the line belongs to
    /// its body.
    body_begun: Option<String>,
}

impl Header {
    /// Reads up to the blank line. Text that does not begin with a header field is all body.
    ///
    /// # Errors
    /// A read error, or a header section that is too large.
    pub(super) fn read(input: &mut impl BufRead, octets_max: usize, dot_ends: bool) -> io::Result<Self> {
        let mut header = Self::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            if input.read_until(b'\n', &mut line)? == 0 {
                return Ok(header);
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\r', '\n']);
            // The separator line of mailbox files, which is not a header field.
            if header.text.is_empty() && text.starts_with("From ") {
                continue;
            }
            if text.is_empty() || (dot_ends && text == ".") {
                return Ok(header);
            }
            let folded = text.starts_with([' ', '\t']) && !header.text.is_empty();
            if !folded && !is_field(text) {
                header.body_begun = Some(text.to_owned());
                return Ok(header);
            }
            header.text.push_str(text);
            header.text.push('\n');
            if header.text.len() > octets_max {
                return Err(io::Error::other(format!("its header has more than {octets_max} octets")));
            }
        }
    }

    /// The first address of From.
    pub(super) fn from(&self) -> Option<String> {
        self.addresses(&[HeaderName::From]).into_iter().next()
    }

    /// The addresses of To, Cc and Bcc.
    pub(super) fn recipients(&self) -> Vec<String> {
        self.addresses(&[HeaderName::To, HeaderName::Cc, HeaderName::Bcc])
    }

    fn addresses(&self, names: &[HeaderName<'static>]) -> Vec<String> {
        let text = format!("{}\n", self.text);
        let Some(message) = MessageParser::new()
            .header_address(HeaderName::From)
            .header_address(HeaderName::To)
            .header_address(HeaderName::Cc)
            .header_address(HeaderName::Bcc)
            .default_header_ignore()
            .parse_headers(text.as_bytes())
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

    /// The header as it is sent: without Bcc, and with From, Date and Message-ID added if missing.
    pub(super) fn completed(
        &self,
        sender: &ReversePath,
        full_name: Option<&str>,
        domain: &Domain,
        now: UnixMillis,
    ) -> String {
        let mut text = String::new();
        let mut dropped = false;
        for line in self.text.lines() {
            let folded = line.starts_with([' ', '\t']);
            dropped = if folded { dropped } else { named(line, "Bcc") };
            if !dropped {
                text.push_str(line);
                text.push('\n');
            }
        }
        let has = |name: &str| text.lines().any(|line| named(line, name));
        let (from, date, id) = (has("From"), has("Date"), has("Message-ID"));
        if !from {
            let address =
                sender.mailbox().map_or_else(|| format!("MAILER-DAEMON@{domain}"), ToString::to_string);
            let name: Option<String> = full_name
                .map(|name| name.chars().filter(|c| !c.is_control() && !"\"\\".contains(*c)).collect());
            text.push_str(&name.map_or_else(
                || format!("From: <{address}>\n"),
                |name| format!("From: \"{name}\" <{address}>\n"),
            ));
        }
        if !date {
            text.push_str(&format!("Date: {}\n", rfc5322(now)));
        }
        if !id {
            text.push_str(&format!("Message-ID: <{}.{:016x}@{domain}>\n", now.0, fastrand::u64(..)));
        }
        if let Some(first) = &self.body_begun {
            // The caller appends one more line end after this text; the body's first line must
            // follow a blank line.
            text.push('\n');
            text.push_str(first);
        }
        text
    }

    /// Whether the blank line and the first line of the body are already in [`Self::completed`].
    pub(super) fn has_begun_body(&self) -> bool {
        self.body_begun.is_some()
    }
}

fn named(line: &str, name: &str) -> bool {
    line.split_once(':').is_some_and(|(field, _)| field.trim_end().eq_ignore_ascii_case(name))
}

/// RFC 5322 §2.2: printable ASCII except the colon, then a colon.
fn is_field(line: &str) -> bool {
    line.split_once(':').is_some_and(|(name, _)| {
        let name = name.trim_end();
        !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_graphic())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Header, String) {
        let mut input = text.as_bytes();
        let header = Header::read(&mut input, 1_000, true).expect("a header");
        (header, String::from_utf8_lossy(input).into_owned())
    }

    fn completed(text: &str) -> String {
        let domain = Domain::parse("gw.test").expect("a domain");
        let sender = ReversePath::parse("ann@a.test").expect("a path");
        let done = read(text).0.completed(&sender, Some("A \"L\""), &domain, UnixMillis(1_795_469_756_000));
        done.lines().filter(|line| !line.starts_with("Message-ID: ")).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn a_header_is_read_up_to_the_blank_line() {
        let (header, rest) =
            read("From ann Mon\nTo: b@b.test,\n c@c.test\nBCC: d@d.test\nSubject: x\n\nbody\n");
        assert_eq!(header.recipients(), ["b@b.test", "c@c.test", "d@d.test"]);
        assert_eq!((header.from(), rest.as_str()), (None, "body\n"));
        let (header, _) = read("From: \"Ann\" <ann@a.test>\nTo: team: e@e.test, f@f.test;\n\n");
        assert_eq!(header.from().as_deref(), Some("ann@a.test"));
        assert_eq!(header.recipients(), ["e@e.test", "f@f.test"]);
    }

    #[test]
    fn what_is_missing_is_added_and_bcc_is_taken_out() {
        assert_eq!(
            completed("To: b@b.test\nBcc: d@d.test,\n e@e.test\nSubject: x\n\n"),
            "To: b@b.test|Subject: x|From: \"A L\" <ann@a.test>|Date: Mon, 23 Nov 2026 21:35:56 +0000"
        );
        assert_eq!(completed("From: x@x.test\nDate: then\n\n"), "From: x@x.test|Date: then");
        let (header, rest) = read("Backup done\nall well\n");
        assert!(header.has_begun_body() && rest == "all well\n");
        assert!(completed("Backup done\n").ends_with("+0000||Backup done"));
    }

    #[test]
    fn a_header_without_end_is_cut_off() {
        let long = "X: y\n".repeat(300);
        assert!(Header::read(&mut long.as_bytes(), 1_000, true).is_err());
    }
}
