//! Domain patterns of connectors and which of them fits a domain best.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use crate::mail::{Domain, DomainFault};

/// Which domains a connector covers. The star stands for any number of labels below the domain, never the
/// domain itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum DomainPattern {
    /// `contoso.example`: only this domain.
    Exact(Domain),
    /// `*.contoso.example`: all domains below it.
    Below(Domain),
    /// `*`: every domain.
    Any,
}

/// How closely a pattern fits: exact before the longest `*.suffix` before `*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Specificity {
    /// Matched by `*`.
    Any,
    /// Matched by `*.suffix`; the length of the suffix in octets.
    Below(usize),
    /// Matched exactly.
    Exact,
}

/// Why a text is not a valid domain pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternFault {
    /// A star anywhere but as the whole first label.
    #[error(
        "a star may only be the whole pattern (\"*\") or as the whole first label (\"*.partner.example\")"
    )]
    Star,
    /// An address, with or without brackets.
    #[error(
        "an address is not a domain; mail of an address literal (RFC 5321 §4.1.3) is covered only by \"*\""
    )]
    Address,
    /// `*.` before a name so long that no name can be below it.
    #[error("no name can be below one of this length (RFC 1035 §2.3.4)")]
    NothingBelow,
    /// The pattern's domain is not valid.
    #[error(transparent)]
    Domain(#[from] DomainFault),
}

impl DomainPattern {
    /// Parses `a.example`, `*.a.example` or `*`.
    ///
    /// # Errors
    /// [`PatternFault`] if the star is misplaced or the domain is not valid.
    pub fn parse(text: &str) -> Result<Self, PatternFault> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (below, rest) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        if rest.contains('*') {
            return Err(PatternFault::Star);
        }
        if rest.starts_with('[') || rest.parse::<IpAddr>().is_ok() {
            return Err(PatternFault::Address);
        }
        let domain = Domain::parse(rest)?;
        if below && domain.as_str().len() > BELOW_OCTETS_MAX {
            return Err(PatternFault::NothingBelow);
        }
        Ok(if below { Self::Below(domain) } else { Self::Exact(domain) })
    }

    /// Whether the pattern covers `domain`, and how closely. An address literal (`None`) is covered only by
    /// `*`.
    #[must_use]
    pub fn covers(&self, domain: Option<&Domain>) -> Option<Specificity> {
        let fits = match (self, domain) {
            (Self::Any, _) => true,
            (Self::Exact(own), Some(domain)) => own == domain,
            (Self::Below(parent), Some(domain)) => domain.is_below(parent),
            (Self::Exact(_) | Self::Below(_), None) => false,
        };
        fits.then(|| self.specificity())
    }

    /// Whether the pattern covers every domain that `other` covers.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Exact(own), Self::Exact(domain)) => own == domain,
            (Self::Below(parent), Self::Exact(domain)) => domain.is_below(parent),
            (Self::Below(parent), Self::Below(domain)) => parent == domain || domain.is_below(parent),
            (Self::Exact(_) | Self::Below(_), Self::Any) | (Self::Exact(_), Self::Below(_)) => false,
        }
    }

    /// The specificity of a match by this pattern.
    #[must_use]
    pub fn specificity(&self) -> Specificity {
        match self {
            Self::Any => Specificity::Any,
            Self::Below(parent) => Specificity::Below(parent.as_str().len()),
            Self::Exact(_) => Specificity::Exact,
        }
    }

    /// The most specific of several patterns that covers `domain`.
    #[must_use]
    pub fn closest<'a>(patterns: &'a [Self], domain: Option<&Domain>) -> Option<&'a Self> {
        patterns.iter().filter(|p| p.covers(domain).is_some()).max_by_key(|p| p.specificity())
    }

    /// Whether one of the patterns names `domain`: covers it, and is not `*`.
    #[must_use]
    pub fn any_names(patterns: &[Self], domain: Option<&Domain>) -> bool {
        patterns.iter().any(|pattern| *pattern != Self::Any && pattern.covers(domain).is_some())
    }

    /// Every pattern there can be that covers `domain`, closest first: as many as it has labels, and two for the rest.
    pub(super) fn all_covering(domain: Option<&Domain>) -> Vec<Self> {
        let mut all = Vec::new();
        if let Some(domain) = domain {
            all.push(Self::Exact(domain.clone()));
            let mut rest = domain.parent();
            while let Some(parent) = rest {
                all.extend(Domain::parse(parent).ok().map(Self::Below));
                rest = parent.split_once('.').map(|(_, rest)| rest);
            }
        }
        all.push(Self::Any);
        all
    }
}

/// Many patterns to look many domains up in: each costs one lookup per label, whatever the number of patterns.
pub(super) struct PatternSet<'a>(HashSet<&'a DomainPattern>);

impl<'a> PatternSet<'a> {
    pub(super) fn new(patterns: &'a [DomainPattern]) -> Self {
        Self(patterns.iter().collect())
    }

    /// Whether one of the patterns covers `domain`.
    pub(super) fn covers(&self, domain: Option<&Domain>) -> bool {
        DomainPattern::all_covering(domain).iter().any(|pattern| self.0.contains(pattern))
    }
}

/// A name has at most 253 octets; one below another has at least a letter and a dot more.
const BELOW_OCTETS_MAX: usize = 251;

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(domain) => write!(f, "{domain}"),
            Self::Below(parent) => write!(f, "*.{parent}"),
            Self::Any => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, domain: &str, expected: Option<Specificity>) {
        let pattern = DomainPattern::parse(pattern).expect("a pattern");
        let domain = Domain::parse(domain).ok();
        assert_eq!(pattern.covers(domain.as_ref()), expected);
    }

    #[test]
    fn exact_then_below_then_any() {
        check("contoso.example", "Contoso.Example.", Some(Specificity::Exact));
        check("contoso.example", "mail.contoso.example", None);
        check("*.contoso.example", "contoso.example", None);
        check("*.contoso.example", "a.b.contoso.example", Some(Specificity::Below(15)));
        check("*", "anything.example", Some(Specificity::Any));
        check("*", "", Some(Specificity::Any));
        check("*.münchen.test", "a.xn--mnchen-3ya.test", Some(Specificity::Below(19)));
        assert!(Specificity::Exact > Specificity::Below(200) && Specificity::Below(1) > Specificity::Any);
    }

    #[test]
    fn what_can_never_match_is_refused() {
        for text in ["192.0.2.1", "[192.0.2.1]", "[IPv6:2001:db8::1]", "2001:db8::1", "*.192.0.2.1"] {
            assert_eq!(DomainPattern::parse(text), Err(PatternFault::Address), "{text}");
        }
        let label = "a".repeat(62);
        let long = [label.as_str(); 4].join(".");
        assert!(DomainPattern::parse(&format!("*.{long}")).is_ok());
        assert_eq!(DomainPattern::parse(&format!("*.{long}b")), Err(PatternFault::NothingBelow));
    }

    #[test]
    fn a_pattern_includes_what_it_covers() {
        let check = |wide: &str, narrow: &str, expected: bool| {
            let parse = |text| DomainPattern::parse(text).expect("a pattern");
            assert_eq!(parse(wide).includes(&parse(narrow)), expected, "{wide} {narrow}");
        };
        check("*", "*.a.example", true);
        check("*.a.example", "b.a.example", true);
        check("*.a.example", "*.b.a.example", true);
        check("*.a.example", "a.example", false);
        check("a.example", "*.a.example", false);
        check("*.a.example", "*", false);
    }

    #[test]
    fn a_set_covers_what_one_of_its_patterns_covers() {
        let texts = ["a.example", "*.b.example", "*.test", "*"];
        let patterns: Vec<_> =
            texts.iter().map(|text| DomainPattern::parse(text).expect("a pattern")).collect();
        for patterns in patterns.iter().map(std::slice::from_ref).chain([&patterns[..3], &[]]) {
            for domain in ["a.example", "x.a.example", "b.example", "x.y.b.example", "test", "a.test", ""] {
                let domain = Domain::parse(domain).ok();
                let expected = DomainPattern::closest(patterns, domain.as_ref()).is_some();
                let covers = PatternSet::new(patterns).covers(domain.as_ref());
                assert_eq!(covers, expected, "{patterns:?} {domain:?}");
            }
        }
    }

    #[test]
    fn a_star_elsewhere_is_refused() {
        for text in ["a.*.example", "*a.example", "mail*", "*.*.example", "**"] {
            assert_eq!(DomainPattern::parse(text), Err(PatternFault::Star), "{text}");
        }
    }
}
