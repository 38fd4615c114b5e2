//! What is shown of a chain of statements: by what the record is known, and what to keep of it elsewhere. Pure.

use serde::Serialize;

use super::chain::Chain;
use super::tree::Hash;
use crate::mail::rfc3339;

/// The ends of a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ChainOutline {
    /// The name of the relay, as its first statement gives it.
    pub site: Option<String>,
    /// The fingerprint of the first key, which whoever relies on the record compares.
    pub first_key: Option<Hash>,
    /// Statements that can be relied on.
    pub statements: usize,
    /// How many of them have a time stamp (RFC 3161) about them.
    pub stamped: usize,
    /// The last of them.
    pub last: Option<LastStatement>,
}

/// The last statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastStatement {
    /// Its number.
    pub number: u64,
    /// When it was made, in RFC 3339 format.
    pub at: String,
    /// Its hash.
    pub hash: Hash,
}

impl From<&Chain> for ChainOutline {
    fn from(chain: &Chain) -> Self {
        let first = chain.statements.first().map(|(first, _)| first);
        let last = chain.statements.last();
        Self {
            site: first.map(|first| first.site.clone()),
            first_key: first.map(|first| first.key),
            statements: chain.statements.len(),
            stamped: chain.stamped,
            last: last.map(|(last, hash)| LastStatement {
                number: last.number,
                at: rfc3339(last.at),
                hash: *hash,
            }),
        }
    }
}
