//! Composes our Received header field and reads the trace fields of a message. It rewrites no other header.

use std::net::IpAddr;

use mail_parser::{HeaderName, MessageParser};

use super::display::moves_text;
use super::{Domain, Mailbox, QueueId, UnixMillis, rfc5322};

/// The protocol a message was received with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Protocol {
    /// The client sent EHLO, not HELO.
    pub extended: bool,
    /// Over TLS.
    pub sealed: bool,
    /// After AUTH.
    pub authenticated: bool,
    /// The message was declared as SMTPUTF8.
    pub utf8: bool,
}

impl Protocol {
    /// The `with` keyword of a trace line (RFC 3848, RFC 5321 §4.4, RFC 6531 §4.3).
    #[must_use]
    pub fn keyword(self) -> String {
        if !self.extended {
            return "SMTP".to_owned();
        }
        let stem = if self.utf8 { "UTF8SMTP" } else { "ESMTP" };
        let sealed = if self.sealed { "S" } else { "" };
        let authenticated = if self.authenticated { "A" } else { "" };
        format!("{stem}{sealed}{authenticated}")
    }
}

/// The contents of one Received field (RFC 5321 §4.4).
#[derive(Debug, Clone)]
pub struct Received<'a> {
    /// The name the client gave in EHLO or HELO.
    pub helo: &'a str,
    /// The client's address.
    pub peer: IpAddr,
    /// Our own host name.
    pub by: &'a str,
    /// The protocol for the `with` clause.
    pub protocol: Protocol,
    /// TLS version and cipher suite as one comment; `None` in plaintext.
    pub tls: Option<&'a str>,
    /// The queue ID.
    pub id: QueueId,
    /// The recipient, only if there is exactly one: others must not learn of it.
    pub only_recipient: Option<&'a Mailbox>,
    /// When the content was received.
    pub at: UnixMillis,
}

impl Received<'_> {
    /// The header field, with CRLF at the end of each line.
    #[must_use]
    pub fn to_field(&self) -> String {
        let literal = match self.peer {
            IpAddr::V4(ip) => format!("[{ip}]"),
            IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
        };
        let mut field = format!(
            "Received: from {} ({literal})\r\n\tby {} with {} id {}",
            one_word(self.helo),
            self.by,
            self.protocol.keyword(),
            self.id,
        );
        if let Some(tls) = self.tls {
            field.push_str(&format!("\r\n\t({})", harmless(tls)));
        }
        if let Some(recipient) = self.only_recipient {
            field.push_str(&format!("\r\n\tfor <{recipient}>"));
        }
        field.push_str(&format!("; {}\r\n", rfc5322(self.at)));
        field
    }
}

/// Text from a peer as one word: what follows a space would look like a clause of ours.
fn one_word(text: &str) -> String {
    harmless(text).replace(' ', "?")
}

/// Text from a peer, without anything that could end a comment, a field or a line.
fn harmless(text: &str) -> String {
    text.chars()
        .take(255)
        .map(
            |c| {
                if c.is_ascii_graphic() && !"()<>\\;\"".contains(c) || c == ' ' || c == '=' { c } else { '?' }
            },
        )
        .collect()
}

/// What a relay reads from a message's header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceFacts {
    /// Number of Received fields, that is, hosts passed (RFC 5321 §6.3).
    pub hops: usize,
    /// Number of those that this host wrote: how often the message was here before.
    pub own_hops: usize,
    /// The Message-ID, without brackets.
    pub message_id: Option<String>,
    /// The Subject, decoded, on one line and cut after 200 characters.
    pub subject: Option<String>,
}

/// Reads the header section of a message; input may extend past the blank line. `own` is the name in our own fields.
#[must_use]
pub fn read_trace(header: &[u8], own: &Domain) -> TraceFacts {
    let Some(message) = MessageParser::new()
        .header_raw(HeaderName::Received)
        .header_id(HeaderName::MessageId)
        .header_text(HeaderName::Subject)
        .default_header_ignore()
        .parse_headers(header)
    else {
        return TraceFacts::default();
    };
    let received = || message.headers().iter().filter(|h| matches!(h.name, HeaderName::Received));
    let is_own =
        |value: &str| writer(value).is_some_and(|name| Domain::parse(name).is_ok_and(|name| name == *own));
    TraceFacts {
        hops: received().count(),
        own_hops: received().filter(|header| header.value.as_text().is_some_and(is_own)).count(),
        message_id: message.message_id().map(str::to_owned),
        subject: message.subject().map(shortened),
    }
}

/// A text on one line, without what could move a cursor, and not too long.
fn shortened(text: &str) -> String {
    text.trim().chars().map(|c| if moves_text(c) { ' ' } else { c }).take(SUBJECT_CHARS_MAX).collect()
}

/// Maximum number of characters of a Subject that are kept.
const SUBJECT_CHARS_MAX: usize = 200;

/// The name behind `by` of a Received field (RFC 5321 §4.4). A client chooses the name behind `from`, so a `by` there, or
/// in a comment, counts as little as one in the date.
fn writer(value: &str) -> Option<&str> {
    let mut words = words(value);
    while let Some(word) = words.next() {
        let of_clause = |keyword: &&&str| word.eq_ignore_ascii_case(keyword);
        match CLAUSES.iter().find(of_clause) {
            Some(&"by") => return words.next(),
            Some(_) => drop(words.next()),
            None => {}
        }
    }
    None
}

/// The words of a field up to its date, without comments.
fn words(value: &str) -> impl Iterator<Item = &str> {
    let (mut depth, mut is_escaped) = (0_usize, false);
    let parts = value.split(move |c: char| {
        let escaped = is_escaped;
        is_escaped = c == '\\' && depth > 0 && !escaped;
        match c {
            '(' if !escaped => depth = depth.saturating_add(1),
            ')' if !escaped => depth = depth.saturating_sub(1),
            _ => return depth > 0 || c.is_ascii_whitespace(),
        }
        true
    });
    parts
        .filter(|word| !word.is_empty())
        .scan(false, |is_over, word| {
            if *is_over {
                return None;
            }
            *is_over = word.contains(';');
            word.split(';').next()
        })
        .filter(|word| !word.is_empty())
}

const CLAUSES: &[&str] = &["from", "by", "via", "with", "id", "for"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_line_says_how_the_message_came() {
        let recipient = Mailbox::parse("b@contoso.example").expect("a mailbox");
        let line = Received {
            helo: "mail.fabrikam.example\r\nX: (y)",
            peer: IpAddr::from([192, 0, 2, 7]),
            by: "gw1.contoso.example",
            protocol: Protocol { extended: true, sealed: true, ..Protocol::default() },
            tls: Some("version=TLSv1.3 cipher=TLS13_AES_256_GCM_SHA384"),
            id: QueueId::first_of(1_795_469_756_000),
            only_recipient: Some(&recipient),
            at: UnixMillis(1_795_469_756_000),
        };
        assert_eq!(
            line.to_field(),
            "Received: from mail.fabrikam.example??X:??y? ([192.0.2.7])\r\n\
             \tby gw1.contoso.example with ESMTPS id 01M855CHK0000\r\n\
             \t(version=TLSv1.3 cipher=TLS13_AES_256_GCM_SHA384)\r\n\
             \tfor <b@contoso.example>; Mon, 23 Nov 2026 21:35:56 +0000\r\n"
        );
    }

    #[test]
    fn the_keyword_names_what_was_in_force() {
        let all = Protocol { extended: true, sealed: true, authenticated: true, utf8: true };
        assert_eq!(all.keyword(), "UTF8SMTPSA");
        assert_eq!(Protocol { utf8: false, ..all }.keyword(), "ESMTPSA");
        assert_eq!(Protocol { sealed: false, authenticated: false, ..all }.keyword(), "UTF8SMTP");
        assert_eq!(Protocol::default().keyword(), "SMTP");
    }

    #[test]
    fn hops_and_message_id_are_read_from_the_header_alone() {
        let own = Domain::parse("gw.example").expect("a domain");
        let facts = read_trace(
            b"Received: from a\r\n\tby b; date\r\nreceived: x\r\nMessage-ID: <1@a.example>\r\n\r\nReceived: body\r\n",
            &own,
        );
        assert_eq!(
            facts,
            TraceFacts { hops: 2, own_hops: 0, message_id: Some("1@a.example".to_owned()), subject: None }
        );
        assert_eq!(read_trace(b"\r\nbody\r\n", &own), TraceFacts::default());
        assert_eq!(read_trace(b"", &own), TraceFacts::default());
    }

    #[track_caller]
    fn check_writer(value: &str, expected: Option<&str>) {
        assert_eq!(writer(value), expected, "{value}");
    }

    #[test]
    fn who_wrote_a_trace_line_is_read_where_it_says_so() {
        check_writer("from a by gw.example with ESMTP id 1; date", Some("gw.example"));
        check_writer("by gw.example; date", Some("gw.example"));
        check_writer("from a ([192.0.2.1]) BY\r\n\tgw.example (x) with SMTP", Some("gw.example"));
        check_writer(
            "from unknown (HELO by gw.example) (by (\\) gw.example)) by b.example; x",
            Some("b.example"),
        );
        check_writer("from by by b.example with SMTP", Some("b.example"));
        check_writer("from a id by for by; by gw.example", None);
        check_writer("(qmail 1 invoked by uid 0); date by gw.example", None);
        check_writer("from a by", None);
        check_writer("", None);
        // Our own line, whatever the client calls itself.
        let own = Domain::parse("gw.example").expect("a domain");
        for helo in ["by", "gw.example", "x by other.example", "[192.0.2.1]", ";", "a (b"] {
            let line = |by| {
                Received {
                    helo,
                    peer: IpAddr::from([192, 0, 2, 7]),
                    by,
                    protocol: Protocol::default(),
                    tls: Some("version=TLSv1.3"),
                    id: QueueId::first_of(1),
                    only_recipient: None,
                    at: UnixMillis(0),
                }
                .to_field()
            };
            let header = format!("{}{}{}\r\n", line("gw.example"), line("other.example"), line("GW.example"));
            let facts = read_trace(header.as_bytes(), &own);
            assert_eq!((facts.hops, facts.own_hops), (3, 2), "{helo}");
        }
    }
}
