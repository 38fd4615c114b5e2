//! What the site states about its record of events: signed, numbered, each with the hash of the one before. Pure.

use serde::{Deserialize, Serialize};

use super::key::SitePublicKey;
use super::tree::Hash;
use crate::mail::UnixMillis;

/// One statement. It is signed and kept as the octets of its JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The version of this form.
    #[serde(rename = "v")]
    pub version: u32,
    /// Its number; the next one has the next.
    #[serde(rename = "n")]
    pub number: u64,
    /// When it was made, in milliseconds since 1970.
    pub at: UnixMillis,
    /// The name of the relay.
    pub site: String,
    /// The SHA-256 hash of the octets of the statement before; `None`: there was none.
    pub previous: Option<Hash>,
    /// The fingerprint of the key that signs it.
    pub key: Hash,
    /// Events that could not be kept since the statement before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
    /// What it states.
    #[serde(flatten)]
    pub about: StatementBody,
}

/// What a statement states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum StatementBody {
    /// The record begins, or begins again: a store without statements, or another key.
    Begun {
        /// The Ed25519 public key that signs from here on, in hexadecimal digits.
        public_key: SitePublicKey,
    },
    /// The events so far of a part that goes on.
    Checkpoint(PartSeal),
    /// All events of a part, which gets no more.
    Closed(PartSeal),
    /// The events of a part were removed, by the rules for keeping them.
    Removed {
        /// The part.
        part: u64,
        /// Its first event.
        first_seq: u64,
        /// Its last event.
        last_seq: u64,
        /// Why.
        why: RemovalCause,
        /// How long events were to be kept then, in seconds.
        keep: u64,
    },
    /// Events were written while nothing was sealed: before it began, or while it was off.
    Unsealed {
        /// The first one.
        first_seq: u64,
        /// The last one.
        last_seq: u64,
    },
    /// Another key signs from the next statement on.
    NextKey {
        /// That Ed25519 public key, in hexadecimal digits.
        public_key: SitePublicKey,
    },
}

/// What a part of the record was at a moment. A day has one part, or more if it has many events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartSeal {
    /// Its number; the next one has a larger one.
    pub part: u64,
    /// The day on which it was begun, as a date, in UTC.
    pub day: String,
    /// The number of its first event.
    pub first_seq: u64,
    /// The number of its last event.
    pub last_seq: u64,
    /// The root of the Merkle tree (RFC 9162) of its events.
    pub root: Hash,
}

impl PartSeal {
    /// How many events it seals.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.last_seq.saturating_add(1).saturating_sub(self.first_seq)
    }
}

/// Why events were removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemovalCause {
    /// They were older than `keep`.
    Age,
    /// The store had reached its `max_size`.
    Size,
}

/// A statement as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedStatement {
    /// Its number.
    pub number: u64,
    /// The octets that were signed.
    pub text: String,
    /// The Ed25519 signature of them.
    pub signature: Vec<u8>,
    /// The time stamp of an authority (RFC 3161, `TimeStampResp`) on them, if one was asked for it.
    pub stamp: Option<Vec<u8>>,
}

impl SignedStatement {
    /// The hash by which the next one names it.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(self.text.as_bytes())
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The version of [`Statement`] that this program writes.
pub const STATEMENT_VERSION: u32 = 1;
