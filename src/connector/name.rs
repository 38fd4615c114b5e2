//! Reference identifiers and how they match presented ones (RFC 9525). It reads no certificates.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use super::facts::PresentedName;
use crate::mail::{Domain, DomainFault};

/// A reference identifier (RFC 9525 §6.1): a name that the peer's certificate must present. A wildcard stands
/// for one label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerName {
    /// `mail.partner.example`.
    Exact(Domain),
    /// `*.partner.example`: a name directly below it, or the certificate's own `*.partner.example`.
    OneBelow(Domain),
    /// An address, matched against iPAddress entries.
    Ip(IpAddr),
}

/// Why a text is not a valid peer name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// `*` alone would accept any certificate.
    #[error("\"*\" would accept any name; use require = \"chain\" if that is meant")]
    StarAlone,
    /// A wildcard anywhere but as the whole first label.
    #[error("a star may only be the whole first label (\"*.partner.example\"), and stands for one label")]
    Star,
    /// `*.example`: a wildcard directly below a top-level domain.
    #[error("a star directly below a single label would accept a whole top-level domain")]
    StarTooWide,
    /// The name is not a valid domain.
    #[error(transparent)]
    Domain(#[from] DomainFault),
}

impl PeerName {
    /// Parses a name, a `*.name` or an address.
    ///
    /// # Errors
    /// [`NameFault`] if it is none of these, or the wildcard is not allowed.
    pub fn parse(text: &str) -> Result<Self, NameFault> {
        if text == "*" {
            return Err(NameFault::StarAlone);
        }
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse() {
            return Ok(Self::Ip(ip));
        }
        let (star, rest) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        if rest.contains('*') {
            return Err(NameFault::Star);
        }
        let domain = Domain::parse(rest)?;
        match (star, domain.parent()) {
            (true, None) => Err(NameFault::StarTooWide),
            (true, Some(_)) => Ok(Self::OneBelow(domain)),
            (false, _) => Ok(Self::Exact(domain)),
        }
    }

    /// Whether a presented identifier matches this one (RFC 9525 §6.3).
    #[must_use]
    pub fn matches(&self, presented: &PresentedName) -> bool {
        match (self, presented) {
            (Self::Exact(wanted), PresentedName::Dns(got)) => wanted == got,
            (Self::Exact(wanted), PresentedName::Wildcard(got)) => wanted.parent() == Some(got.as_str()),
            (Self::OneBelow(wanted), PresentedName::Dns(got)) => got.parent() == Some(wanted.as_str()),
            (Self::OneBelow(wanted), PresentedName::Wildcard(got)) => wanted == got,
            (Self::Ip(wanted), PresentedName::Ip(got)) => wanted == got,
            (Self::Exact(_) | Self::OneBelow(_), PresentedName::Ip(_))
            | (Self::Ip(_), PresentedName::Dns(_) | PresentedName::Wildcard(_))
            | (_, PresentedName::Unusable(_)) => false,
        }
    }
}

/// The first presented identifier that matches one of the reference identifiers.
#[must_use]
pub fn first_match<'a>(references: &[PeerName], presented: &'a [PresentedName]) -> Option<&'a PresentedName> {
    presented.iter().find(|p| references.iter().any(|r| r.matches(p)))
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(domain) => write!(f, "{domain}"),
            Self::OneBelow(domain) => write!(f, "*.{domain}"),
            Self::Ip(ip) => write!(f, "{ip}"),
        }
    }
}

impl Serialize for PeerName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reference: &str, presented: &str, expected: bool) {
        let reference = PeerName::parse(reference).expect("a peer name");
        let presented = PresentedName::from_dns(presented);
        assert_eq!(reference.matches(&presented), expected, "{reference} against {presented}");
    }

    #[test]
    fn a_star_on_either_side_stands_for_one_label() {
        check("mail.p.example", "MAIL.P.example", true);
        check("mail.p.example", "*.p.example", true);
        check("a.mail.p.example", "*.p.example", false);
        check("p.example", "*.p.example", false);
        check("*.p.example", "mail.p.example", true);
        check("*.p.example", "a.mail.p.example", false);
        check("*.p.example", "p.example", false);
        check("*.p.example", "*.p.example", true);
        check("*.p.example", "*.mail.p.example", false);
        check("mail.p.example", "m*.p.example", false);
        check("mail.p.example", "*", false);
        check("mail.münchen.test", "*.xn--mnchen-3ya.test", true);
        check("192.0.2.1", "192.0.2.1", false);
    }

    #[test]
    fn an_address_matches_an_address_alone() {
        let wanted = PeerName::parse("[192.0.2.1]").expect("a peer name");
        assert!(wanted.matches(&PresentedName::Ip([192, 0, 2, 1].into())));
        assert!(!wanted.matches(&PresentedName::Ip([192, 0, 2, 2].into())));
    }

    #[test]
    fn a_name_that_accepts_too_much_is_refused() {
        assert_eq!(PeerName::parse("*"), Err(NameFault::StarAlone));
        assert_eq!(PeerName::parse("*.example"), Err(NameFault::StarTooWide));
        assert_eq!(PeerName::parse("m*.p.example"), Err(NameFault::Star));
    }
}
