//! The extensions a server offers in its answer to EHLO (RFC 5321 §4.1.1.1).

use std::net::IpAddr;

use crate::mail::{Domain, Reply};

/// What our server offers in one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offered {
    /// SIZE: octets of content accepted (RFC 1870).
    pub message_bytes_max: u64,
    /// STARTTLS: there is a certificate, and the session is not within TLS yet (RFC 3207 §4.2).
    pub starttls: bool,
}

impl Offered {
    /// The answer to EHLO. Only what holds all the way is offered: SMTPUTF8, DSN and CHUNKING
    /// would be promises for the next hop.
    #[must_use]
    pub fn ehlo_reply(self, name: &Domain, peer: IpAddr) -> Reply {
        let mut text = format!(
            "{name} greets [{peer}]\nPIPELINING\nSIZE {}\n8BITMIME\nENHANCEDSTATUSCODES",
            self.message_bytes_max
        );
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
    fn starttls_is_offered_only_where_it_can_be_had() {
        let name = Domain::parse("gw1.contoso.example").expect("a domain");
        let reply = |starttls| {
            let mut out = Vec::new();
            Offered { message_bytes_max: 1_000, starttls }
                .ehlo_reply(&name, [192, 0, 2, 1].into())
                .write_to(&mut out);
            String::from_utf8(out).expect("text")
        };
        assert_eq!(
            reply(true),
            "250-gw1.contoso.example greets [192.0.2.1]\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n\
             250-ENHANCEDSTATUSCODES\r\n250 STARTTLS\r\n"
        );
        assert!(!reply(false).contains("STARTTLS"));
    }
}
