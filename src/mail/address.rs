//! Mailboxes and reverse-paths as SMTP writes them: parsing and limits. It resolves nothing and handles no
//! display names.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Domain, DomainFault};

/// The domain part of a mailbox: a name or an address literal (RFC 5321 §4.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MailboxDomain {
    /// A domain name, normalised.
    Name(Domain),
    /// `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
    Literal(IpAddr),
}

/// The mailbox between the angle brackets. The local part keeps its spelling, quotes included: only its own
/// host may interpret it (RFC 5321 §2.3.11). Mailboxes compare by meaning: `"ann"@` equals `ann@` (§4.1.2).
#[derive(Clone)]
pub struct Mailbox {
    text: Arc<str>,
    at: usize,
    domain: MailboxDomain,
}

/// The path of MAIL FROM; empty for reports (RFC 5321 §4.5.5).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ReversePath(Option<Mailbox>);

/// Why a path is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// It is not `<local@domain>`.
    #[error("not of the form <local@domain>")]
    Form,
    /// Octets above 127 that are not UTF-8, or in a message not declared SMTPUTF8 (RFC 6531 §3.4).
    #[error("an address with non-ASCII characters must be UTF-8, and MAIL FROM must have said SMTPUTF8")]
    NonAscii,
    /// A control character, or a character that RFC 5321 requires to be quoted.
    #[error("the local part has a character that must be quoted or is not allowed")]
    LocalPart,
    /// The whole path is over 256 octets (RFC 5321 §4.5.3.1.3).
    #[error("the path is longer than 256 octets")]
    Long,
    /// The domain is not valid.
    #[error(transparent)]
    Domain(#[from] DomainFault),
    /// The address literal is not an IP address.
    #[error("the address literal is no IP address")]
    Literal,
}

impl Mailbox {
    /// Parses `local@domain`, without brackets. The stored text has the domain normalised.
    ///
    /// # Errors
    /// A [`PathFault`].
    pub fn parse(text: &str) -> Result<Self, PathFault> {
        if text.len() > MAILBOX_BYTES_MAX {
            return Err(PathFault::Long);
        }
        let at = local_part_end(text)?;
        let (local, rest) = text.split_at_checked(at).ok_or(PathFault::Form)?;
        let domain = rest.strip_prefix('@').ok_or(PathFault::Form)?;
        if local.is_empty() || domain.is_empty() {
            return Err(PathFault::Form);
        }
        if local.chars().any(char::is_control) {
            return Err(PathFault::LocalPart);
        }
        // RFC 5321 §4.5.3.1.1 has servers take 64 octets of a local part at least; VERP, SRS and confirmations of
        // lists have more, and only the path as a whole is limited.
        let domain = parse_domain(domain)?;
        let text = format!("{local}@{domain}");
        // A-labels are longer than what they stand for.
        if text.len() > MAILBOX_BYTES_MAX {
            return Err(PathFault::Long);
        }
        Ok(Self { text: text.into(), at, domain })
    }

    /// The mailbox as text, without brackets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it can be sent without SMTPUTF8 (RFC 6531 §3.4). The domain always can.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }

    /// The part before the `@`, in its original spelling.
    #[must_use]
    pub fn local_part(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }

    /// What the local part means: quotes and backslashes that it does not need are gone (RFC 5321 §4.1.2).
    #[must_use]
    pub fn local_meaning(&self) -> Cow<'_, str> {
        meaning_of(self.local_part())
    }

    /// The mailbox in the one spelling in which it is compared with others.
    #[must_use]
    pub fn plain(&self) -> Cow<'_, str> {
        match self.local_meaning() {
            Cow::Borrowed(_) => Cow::Borrowed(&self.text),
            Cow::Owned(local) => Cow::Owned(format!("{local}@{}", self.domain)),
        }
    }

    /// The same in lower case, for lists: hosts that tell local parts by their case are none that one is written for.
    #[must_use]
    pub fn folded(&self) -> String {
        self.plain().to_lowercase()
    }

    /// Whether it is the postmaster of its domain (RFC 5321 §4.5.1).
    #[must_use]
    pub fn is_postmaster(&self) -> bool {
        is_postmaster(self.local_part())
    }

    /// The part after the `@`.
    #[must_use]
    pub fn domain(&self) -> &MailboxDomain {
        &self.domain
    }

    /// The domain, unless it is an address literal.
    #[must_use]
    pub fn domain_name(&self) -> Option<&Domain> {
        match &self.domain {
            MailboxDomain::Name(domain) => Some(domain),
            MailboxDomain::Literal(_) => None,
        }
    }
}

impl ReversePath {
    /// `<>`: no report is sent.
    pub const NULL: Self = Self(None);

    /// The reverse-path of a mailbox.
    #[must_use]
    pub fn new(mailbox: Mailbox) -> Self {
        Self(Some(mailbox))
    }

    /// Parses a path without brackets; empty text is the null reverse-path.
    ///
    /// # Errors
    /// A [`PathFault`].
    pub fn parse(text: &str) -> Result<Self, PathFault> {
        if text.is_empty() {
            return Ok(Self::NULL);
        }
        Mailbox::parse(text).map(Self::new)
    }

    /// The mailbox; `None` for the null reverse-path.
    #[must_use]
    pub fn mailbox(&self) -> Option<&Mailbox> {
        self.0.as_ref()
    }

    /// Whether it can be sent without SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.0.as_ref().is_none_or(Mailbox::is_ascii)
    }

    /// Whether it is the null reverse-path, `<>`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.0.is_none()
    }

    /// The text between the brackets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_ref().map_or("", Mailbox::as_str)
    }
}

/// Whether a local part is postmaster, ignoring case and quoting (RFC 5321 §4.1.2, §4.5.1).
#[must_use]
pub fn is_postmaster(local_part: &str) -> bool {
    meaning_of(local_part).eq_ignore_ascii_case("postmaster")
}

/// The shortest spelling of a local part, without needless quotes and backslashes.
fn meaning_of(local_part: &str) -> Cow<'_, str> {
    let inner = local_part.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner else { return Cow::Borrowed(local_part) };
    let mut meant = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        meant.extend(if char == '\\' { chars.next() } else { Some(char) });
    }
    if !meant.is_empty() && meant.bytes().all(is_plain) {
        return Cow::Owned(meant);
    }
    let escaped = meant.replace('\\', r"\\").replace('"', "\\\"");
    Cow::Owned(format!("\"{escaped}\""))
}

/// Finds the end of the local part: the first `@` outside quotes.
fn local_part_end(text: &str) -> Result<usize, PathFault> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'"') {
        let at = memchr::memchr(b'@', bytes).ok_or(PathFault::Form)?;
        let local = bytes.get(..at).unwrap_or_default();
        if !local.iter().copied().all(is_plain) {
            return Err(PathFault::LocalPart);
        }
        // RFC 5321 forbids leading, trailing and double dots, but they are in daily use; they pass.
        return Ok(at);
    }
    let mut escaped = false;
    for (index, byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            b if b.is_ascii_control() => return Err(PathFault::LocalPart),
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Ok(index.saturating_add(1)),
            _ => {}
        }
    }
    Err(PathFault::Form)
}

/// Whether an octet of a local part needs no quotes.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte)
}

fn parse_domain(text: &str) -> Result<MailboxDomain, PathFault> {
    let Some(literal) = text.strip_prefix('[') else {
        return Ok(MailboxDomain::Name(Domain::parse(text)?));
    };
    let literal = literal.strip_suffix(']').ok_or(PathFault::Literal)?;
    let v6 = literal.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("IPv6:"));
    let address = if v6 { literal.get(5..).unwrap_or_default() } else { literal };
    match address.parse::<IpAddr>() {
        Ok(ip) if ip.is_ipv6() == v6 => Ok(MailboxDomain::Literal(ip)),
        Ok(_) | Err(_) => Err(PathFault::Literal),
    }
}

impl PartialEq for Mailbox {
    fn eq(&self, other: &Self) -> bool {
        self.domain == other.domain && self.local_meaning() == other.local_meaning()
    }
}

impl Eq for Mailbox {}

impl Hash for Mailbox {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.local_meaning().hash(state);
        self.domain.hash(state);
    }
}

impl fmt::Display for MailboxDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(domain) => domain.fmt(f),
            Self::Literal(IpAddr::V4(ip)) => write!(f, "[{ip}]"),
            Self::Literal(IpAddr::V6(ip)) => write!(f, "[IPv6:{ip}]"),
        }
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.text)
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.as_str())
    }
}

impl serde::Serialize for Mailbox {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl serde::Serialize for ReversePath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Octets of a path without its brackets (RFC 5321 §4.5.3.1.3).
const MAILBOX_BYTES_MAX: usize = 254;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let got = match Mailbox::parse(text) {
            Ok(mailbox) => format!("{} at {}", mailbox.local_part(), mailbox.domain()),
            Err(fault) => format!("fault: {fault}"),
        };
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn mailboxes_keep_their_local_part() {
        check("Ann.Lee@Contoso.Example.", "Ann.Lee at contoso.example");
        check("\"q @ s\"@b.example", "\"q @ s\" at b.example");
        check("\"a\\\"b\"@b.example", "\"a\\\"b\" at b.example");
        check("a@[192.0.2.1]", "a at [192.0.2.1]");
        check("a@[IPv6:2001:db8::1]", "a at [IPv6:2001:db8::1]");
        check("a@münchen.test", "a at xn--mnchen-3ya.test");
        check("o'brien+x=y@b.example", "o'brien+x=y at b.example");
        check("jürgen@münchen.test", "jürgen at xn--mnchen-3ya.test");
    }

    #[test]
    fn what_is_no_mailbox_is_refused() {
        check("postmaster", "fault: not of the form <local@domain>");
        check("@b.example", "fault: not of the form <local@domain>");
        check("a@", "fault: not of the form <local@domain>");
        check("a b@c.example", "fault: the local part has a character that must be quoted or is not allowed");
        check(
            "a\u{1}@c.example",
            "fault: the local part has a character that must be quoted or is not allowed",
        );
        check(
            "\"a\r\"@c.example",
            "fault: the local part has a character that must be quoted or is not allowed",
        );
        check(
            "\u{85}@c.example",
            "fault: the local part has a character that must be quoted or is not allowed",
        );
        check("a@[1.2.3]", "fault: the address literal is no IP address");
        check("a@[IPv6:1.2.3.4]", "fault: the address literal is no IP address");
        check(&format!("{}@c.example", "x".repeat(245)), "fault: the path is longer than 256 octets");
        check(&format!("{}@münchen.test", "x".repeat(240)), "fault: the path is longer than 256 octets");
        check("a@-b.example", "fault: a label of the domain begins or ends with a hyphen");
        check("\"open@c.example", "fault: not of the form <local@domain>");
    }

    #[test]
    fn a_long_local_part_passes() {
        let long = "x".repeat(244);
        check(&format!("{long}@c.example"), &format!("{long} at c.example"));
    }

    /// What it means, in the shortest spelling.
    #[track_caller]
    fn check_plain(text: &str, expected: &str) {
        let mailbox = Mailbox::parse(text).expect("a mailbox");
        assert_eq!(mailbox.plain(), expected, "{text}");
        let again = Mailbox::parse(expected).expect("the plain form is a mailbox");
        assert_eq!((&again, again.plain().as_ref()), (&mailbox, expected), "{text}");
        let keys = std::collections::HashSet::from([mailbox, again]);
        assert_eq!(keys.len(), 1, "{text}");
    }

    #[test]
    fn addresses_compare_by_meaning() {
        check_plain("ann@b.example", "ann@b.example");
        check_plain("\"ann\"@B.example", "ann@b.example");
        check_plain("\"a\\nn\"@b.example", "ann@b.example");
        check_plain("\"ann.lee\"@b.example", "ann.lee@b.example");
        check_plain("\"jürgen\"@b.example", "jürgen@b.example");
        check_plain("\"a b\"@b.example", "\"a b\"@b.example");
        check_plain("\"a\\ b\"@b.example", "\"a b\"@b.example");
        check_plain("\"a\\\"b\\\\\"@b.example", "\"a\\\"b\\\\\"@b.example");
        check_plain("\"a@b\"@b.example", "\"a@b\"@b.example");
        check_plain("\"\"@b.example", "\"\"@b.example");
        check_plain("\"ann\"@[192.0.2.1]", "ann@[192.0.2.1]");
        let parse = |text| Mailbox::parse(text).expect("a mailbox");
        assert_eq!(parse("\"ann\"@b.example").as_str(), "\"ann\"@b.example", "it goes on as it came");
        assert_ne!(parse("Ann@b.example"), parse("ann@b.example"), "only lists ignore case");
        assert_eq!(parse("\"Ann\"@b.example").folded(), "ann@b.example");
        let postmaster = |text| parse(text).is_postmaster();
        assert!(postmaster("\"PostMaster\"@b.example") && postmaster("\"post\\master\"@b.example"));
        assert!(!postmaster("\"post master\"@b.example"));
    }
}
