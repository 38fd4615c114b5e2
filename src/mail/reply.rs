//! SMTP replies and enhanced status codes as values and as text. It does not choose which reply is sent.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// An enhanced status code (RFC 3463).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Enhanced(pub u8, pub u16, pub u16);

impl Enhanced {
    /// Splits `5.7.1` from the start of a reply text; returns it with the rest.
    #[must_use]
    pub fn split(text: &str) -> Option<(Self, &str)> {
        let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut parts = code.split('.');
        let class = parts.next()?.parse().ok().filter(|c| matches!(c, 2 | 4 | 5))?;
        let subject = parts.next()?.parse().ok()?;
        let detail = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some((Self(class, subject, detail), rest))
    }

    /// The same subject and detail in another class, for a deferral that became final.
    #[must_use]
    pub fn in_class(self, class: u8) -> Self {
        Self(class, self.1, self.2)
    }
}

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Serialize for Enhanced {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Enhanced {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::split(&text)
            .map(|(code, _)| code)
            .ok_or_else(|| serde::de::Error::custom("no enhanced status code"))
    }
}

/// One SMTP reply (RFC 5321 §4.2): code, enhanced status code, text. Lines of text are separated by `\n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The reply code, 200 to 599.
    pub code: u16,
    /// Absent in the greeting, in EHLO replies and from hosts without RFC 2034.
    pub enhanced: Option<Enhanced>,
    /// The human-readable text.
    pub text: Cow<'static, str>,
}

impl Reply {
    /// A reply with an enhanced status code.
    #[must_use]
    pub fn new(code: u16, enhanced: Enhanced, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, enhanced: Some(enhanced), text: text.into() }
    }

    /// A reply without an enhanced status code: greeting, EHLO, 354 (RFC 2034 §4).
    #[must_use]
    pub fn bare(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, enhanced: None, text: text.into() }
    }

    /// Whether the code is 2yz, success.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Whether the code is 4yz, a transient failure.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// Whether the code is 5yz, a permanent failure.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        (500..600).contains(&self.code)
    }

    /// Appends the reply in wire form, one line for each line of text.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let mark = if lines.peek().is_some() { '-' } else { ' ' };
            out.extend_from_slice(format!("{}{mark}", self.code).as_bytes());
            if let Some(enhanced) = self.enhanced {
                out.extend_from_slice(format!("{enhanced} ").as_bytes());
            }
            // A reply may quote peer input, which must never start a new line.
            out.extend(line.bytes().map(|b| if b.is_ascii_control() { b'?' } else { b }));
            out.extend_from_slice(b"\r\n");
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        if self.text.is_empty() {
            return Ok(());
        }
        write!(f, " {}", self.text.replace('\n', " / "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_written_line_by_line() {
        let mut out = Vec::new();
        Reply::new(550, Enhanced(5, 7, 1), "first\nsecond\r").write_to(&mut out);
        assert_eq!(out, b"550-5.7.1 first\r\n550 5.7.1 second?\r\n");
    }

    #[test]
    fn an_enhanced_code_is_read_only_where_one_stands() {
        assert_eq!(Enhanced::split("5.7.1 no"), Some((Enhanced(5, 7, 1), "no")));
        assert_eq!(Enhanced::split("3.7.1 no"), None);
        assert_eq!(Enhanced::split("5.7 no"), None);
        assert_eq!(Enhanced::split("hello"), None);
    }
}
