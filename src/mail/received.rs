//! Composes our Received header field and reads the trace fields of a message. It rewrites no other header.

use std::net::IpAddr;

use mail_parser::{HeaderName, MessageParser};

use super::{Mailbox, QueueId, UnixMillis, rfc5322};

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
            harmless(self.helo),
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
    /// The Message-ID, without brackets.
    pub message_id: Option<String>,
}

/// Reads the header section of a message; input may extend past the blank line.
#[must_use]
pub fn read_trace(header: &[u8]) -> TraceFacts {
    let Some(message) = MessageParser::new()
        .header_raw(HeaderName::Received)
        .header_id(HeaderName::MessageId)
        .default_header_ignore()
        .parse_headers(header)
    else {
        return TraceFacts::default();
    };
    let hops = message.headers().iter().filter(|h| matches!(h.name, HeaderName::Received)).count();
    TraceFacts { hops, message_id: message.message_id().map(str::to_owned) }
}

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
            "Received: from mail.fabrikam.example??X: ?y? ([192.0.2.7])\r\n\
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
        let facts = read_trace(
            b"Received: from a\r\n\tby b; date\r\nreceived: x\r\nMessage-ID: <1@a.example>\r\n\r\nReceived: body\r\n",
        );
        assert_eq!(facts, TraceFacts { hops: 2, message_id: Some("1@a.example".to_owned()) });
        assert_eq!(read_trace(b"\r\nbody\r\n"), TraceFacts::default());
        assert_eq!(read_trace(b""), TraceFacts::default());
    }
}
