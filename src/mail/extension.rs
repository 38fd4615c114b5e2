//! The ESMTP extensions that can be disabled for a peer. It negotiates nothing.

use serde::{Deserialize, Serialize};

/// An ESMTP extension that can be disabled where a peer handles it wrongly (RFC 5321 §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Extension {
    /// Command pipelining (RFC 2920).
    #[serde(rename = "PIPELINING")]
    Pipelining,
    /// Content with octets above 127 (RFC 6152).
    #[serde(rename = "8BITMIME")]
    EightBitMime,
    /// Content in chunks (RFC 3030 §2).
    #[serde(rename = "CHUNKING")]
    Chunking,
    /// Binary content (RFC 3030 §3).
    #[serde(rename = "BINARYMIME")]
    BinaryMime,
    /// Addresses and headers in UTF-8 (RFC 6531).
    #[serde(rename = "SMTPUTF8")]
    SmtpUtf8,
    /// Delivery status notifications (RFC 3461).
    #[serde(rename = "DSN")]
    Dsn,
    /// Limits of a session (RFC 9422).
    #[serde(rename = "LIMITS")]
    Limits,
}

impl Extension {
    /// All extensions with their keywords.
    pub const ALL: &[(&str, Self)] = &[
        ("PIPELINING", Self::Pipelining),
        ("8BITMIME", Self::EightBitMime),
        ("CHUNKING", Self::Chunking),
        ("BINARYMIME", Self::BinaryMime),
        ("SMTPUTF8", Self::SmtpUtf8),
        ("DSN", Self::Dsn),
        ("LIMITS", Self::Limits),
    ];

    /// The keyword in the EHLO reply.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        Self::ALL.iter().find(|(_, known)| *known == self).map_or("", |(word, _)| word)
    }
}
