//! Domain names, normalised for comparison. It looks nothing up.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use serde::Serialize;

/// A domain name in the form used for comparison: lower-case A-labels, without a trailing dot (RFC 5890
/// §2.3.2.1). Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Domain(Arc<str>);

/// Why a text is not a domain name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomainFault {
    /// Empty, or only a trailing dot.
    #[error("the domain is empty")]
    Empty,
    /// More than 253 octets (RFC 1035 §2.3.4).
    #[error("the domain is longer than 253 octets")]
    TooLong,
    /// A label is empty or has more than 63 octets.
    #[error("a label of the domain is empty or longer than 63 octets")]
    Label,
    /// A label begins or ends with a hyphen (RFC 5321 §4.1.2, RFC 5890 §2.3.1).
    #[error("a label of the domain begins or ends with a hyphen")]
    Hyphen,
    /// A character that is not valid in a host name, or a U-label without an A-label.
    #[error("the domain has a character that no host name may have")]
    Character,
}

impl Domain {
    /// Parses a domain in any spelling: case, U-labels and one trailing dot are normalised away.
    ///
    /// # Errors
    /// A [`DomainFault`] for the first problem found.
    pub fn parse(text: &str) -> Result<Self, DomainFault> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(DomainFault::Empty);
        }
        if text.is_ascii() && !has_a_label(text) {
            check_ascii(text)?;
            return Ok(Self(text.to_ascii_lowercase().into()));
        }
        // RFC 5891 §4.2.3.1: a U-label has no hyphen at its ends either, where its A-label would hide it.
        let ascii = Uts46::new()
            .to_ascii(text.as_bytes(), AsciiDenyList::EMPTY, Hyphens::CheckFirstLast, DnsLength::Ignore)
            .map_err(
                |_| if has_hyphen_at_end(text) { DomainFault::Hyphen } else { DomainFault::Character },
            )?;
        let ascii = ascii.strip_suffix('.').unwrap_or(&ascii);
        check_ascii(ascii)?;
        Ok(Self(ascii.into()))
    }

    /// The normalised text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `self` is a subdomain of `parent`, at any depth.
    #[must_use]
    pub fn is_below(&self, parent: &Self) -> bool {
        self.0.strip_suffix(parent.as_str()).is_some_and(|head| head.ends_with('.'))
    }

    /// The name without its left-most label; `None` for a single label.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_, rest)| rest)
    }
}

fn has_a_label(text: &str) -> bool {
    text.split('.').any(|label| label.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("xn--")))
}

fn has_hyphen_at_end(text: &str) -> bool {
    text.split('.').any(|label| label.starts_with('-') || label.ends_with('-'))
}

fn check_ascii(text: &str) -> Result<(), DomainFault> {
    if text.is_empty() {
        return Err(DomainFault::Empty);
    }
    if text.len() > 253 {
        return Err(DomainFault::TooLong);
    }
    for label in text.split('.') {
        if label.is_empty() || label.len() > 63 {
            return Err(DomainFault::Label);
        }
        // RFC 5321 does not allow the underscore, but service names and old hosts use it.
        if !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return Err(DomainFault::Character);
        }
    }
    if has_hyphen_at_end(text) {
        return Err(DomainFault::Hyphen);
    }
    Ok(())
}

impl Borrow<str> for Domain {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let got = match Domain::parse(text) {
            Ok(domain) => domain.to_string(),
            Err(fault) => format!("fault: {fault}"),
        };
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn every_spelling_becomes_one() {
        check("Contoso.EXAMPLE.", "contoso.example");
        check("münchen.test", "xn--mnchen-3ya.test");
        check("XN--MNCHEN-3YA.test", "xn--mnchen-3ya.test");
        check("MÜNCHEN.test.", "xn--mnchen-3ya.test");
        check("_dmarc.a.example", "_dmarc.a.example");
        check("localhost", "localhost");
        check("3com.a--b.x-y.test", "3com.a--b.x-y.test");
        check("a--b.münchen.test", "a--b.xn--mnchen-3ya.test");
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        check("", "fault: the domain is empty");
        check(".", "fault: the domain is empty");
        check("a..b", "fault: a label of the domain is empty or longer than 63 octets");
        let hyphen = "fault: a label of the domain begins or ends with a hyphen";
        for text in
            ["-x.test", "x-.test", "x.test-", "x.test--", "a.-.test", "-münchen.test", "münchen-.test"]
        {
            check(text, hyphen);
        }
        check("a b.example", "fault: the domain has a character that no host name may have");
        check("a\r\nb", "fault: the domain has a character that no host name may have");
        check(
            &format!("{}.example", "x".repeat(64)),
            "fault: a label of the domain is empty or longer than 63 octets",
        );
        check(&["abcdefgh"; 32].join("."), "fault: the domain is longer than 253 octets");
    }

    #[test]
    fn below_is_never_the_apex_nor_a_mere_suffix() {
        let below = |a: &str, b: &str| {
            Domain::parse(a).expect("a domain").is_below(&Domain::parse(b).expect("a domain"))
        };
        assert!(below("a.b.example", "example"));
        assert!(below("mail.contoso.example", "contoso.example"));
        assert!(!below("contoso.example", "contoso.example"));
        assert!(!below("evilcontoso.example", "contoso.example"));
    }
}
