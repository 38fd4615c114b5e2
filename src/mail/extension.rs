use serde::{Deserialize, Serialize};

/// An extension that can be left out where a peer gets it wrong (RFC 5321 §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Extension {
    /// Commands in groups (RFC 2920).
    #[serde(rename = "PIPELINING")]
    Pipelining,
    /// Octets above 127 in content (RFC 6152).
    #[serde(rename = "8BITMIME")]
    EightBitMime,
    /// Content in chunks (RFC 3030 §2).
    #[serde(rename = "CHUNKING")]
    Chunking,
    /// Content of any octets (RFC 3030 §3).
    #[serde(rename = "BINARYMIME")]
    BinaryMime,
    /// Addresses and headers in UTF-8 (RFC 6531).
    #[serde(rename = "SMTPUTF8")]
    SmtpUtf8,
    /// What is asked of reports (RFC 3461).
    #[serde(rename = "DSN")]
    Dsn,
    /// How much one session takes (RFC 9422).
    #[serde(rename = "LIMITS")]
    Limits,
}

impl Extension {
    /// All, by their keywords.
    pub const ALL: &[(&str, Self)] = &[
        ("PIPELINING", Self::Pipelining),
        ("8BITMIME", Self::EightBitMime),
        ("CHUNKING", Self::Chunking),
        ("BINARYMIME", Self::BinaryMime),
        ("SMTPUTF8", Self::SmtpUtf8),
        ("DSN", Self::Dsn),
        ("LIMITS", Self::Limits),
    ];

    /// Its keyword in the answer to EHLO.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        Self::ALL.iter().find(|(_, known)| *known == self).map_or("", |(word, _)| word)
    }
}
