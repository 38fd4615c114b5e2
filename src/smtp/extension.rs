//! The extensions our server offers in its EHLO reply (RFC 5321 §4.1.1.1). It does not read those of
//! other servers; `answer` does.

use std::net::IpAddr;

use crate::mail::{Domain, Extension, Reply};

/// The extension by which Exchange passes on the organisation that a message comes from. No document defines it.
pub const XOORG: &str = "XOORG";

/// What our server offers in one session.
#[derive(Debug, Clone, Copy)]
pub struct Offered<'a> {
    /// SIZE: octets of content accepted (RFC 1870).
    pub message_bytes_max: u64,
    /// LIMITS RCPTMAX: recipients of one message (RFC 9422 §4).
    pub recipients_max: usize,
    /// STARTTLS: there is a certificate, and the session is not yet inside TLS (RFC 3207 §4.2).
    pub starttls: bool,
    /// AUTH: the session is inside TLS, and a connector has users (RFC 4954 §4).
    pub auth: bool,
    /// XOORG: the client shows the certificate of a connector that promotes header fields.
    pub originator: bool,
    /// Extensions the listener is configured not to offer.
    pub withheld: &'a [Extension],
}

impl Offered<'_> {
    /// Whether an extension is offered. BINARYMIME requires CHUNKING (RFC 3030 §3), and SMTPUTF8
    /// requires 8BITMIME (RFC 6531 §3.1).
    #[must_use]
    pub fn offers(&self, extension: Extension) -> bool {
        let needed = match extension {
            Extension::BinaryMime => !self.withheld.contains(&Extension::Chunking),
            Extension::SmtpUtf8 => !self.withheld.contains(&Extension::EightBitMime),
            Extension::Pipelining
            | Extension::EightBitMime
            | Extension::Chunking
            | Extension::Dsn
            | Extension::Limits => true,
        };
        needed && !self.withheld.contains(&extension)
    }

    /// Composes the EHLO reply.
    #[must_use]
    pub fn ehlo_reply(&self, name: &Domain, peer: IpAddr) -> Reply {
        let mut text =
            format!("{name} greets [{peer}]\nSIZE {}\nENHANCEDSTATUSCODES", self.message_bytes_max);
        for (keyword, extension) in Extension::ALL {
            if !self.offers(*extension) {
                continue;
            }
            text.push('\n');
            text.push_str(keyword);
            if *extension == Extension::Limits {
                text.push_str(&format!(" RCPTMAX={}", self.recipients_max));
            }
        }
        if self.auth {
            text.push_str("\nAUTH PLAIN LOGIN");
        }
        if self.originator {
            text.push('\n');
            text.push_str(XOORG);
        }
        if self.starttls {
            text.push_str("\nSTARTTLS");
        }
        Reply::bare(250, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_had_is_offered() {
        let name = Domain::parse("gw1.contoso.example").expect("a domain");
        let reply = |starttls, auth, withheld| {
            let offered = Offered {
                message_bytes_max: 1_000,
                recipients_max: 100,
                starttls,
                auth,
                originator: auth,
                withheld,
            };
            let mut out = Vec::new();
            offered.ehlo_reply(&name, [192, 0, 2, 1].into()).write_to(&mut out);
            String::from_utf8(out).expect("text")
        };
        assert_eq!(
            reply(true, false, &[Extension::BinaryMime]),
            "250-gw1.contoso.example greets [192.0.2.1]\r\n250-SIZE 1000\r\n250-ENHANCEDSTATUSCODES\r\n\
             250-PIPELINING\r\n250-8BITMIME\r\n250-CHUNKING\r\n250-SMTPUTF8\r\n250-DSN\r\n\
             250-LIMITS RCPTMAX=100\r\n250 STARTTLS\r\n"
        );
        assert!(reply(false, true, &[]).ends_with("250-AUTH PLAIN LOGIN\r\n250 XOORG\r\n"));
        let without = reply(false, false, &[Extension::Chunking, Extension::Dsn]);
        assert!(!["CHUNKING", "BINARYMIME", "DSN"].iter().any(|word| without.contains(word)), "{without}");
    }
}
