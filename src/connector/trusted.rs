//! What the trust anchor sets of a table hold, so that a later table can be compared with it. Chains are assessed
//! elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::TrustId;

/// The contents of one trust anchor set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustContents {
    /// Changes with any certificate or revocation list of the set.
    pub digest: String,
    /// The SHA-256 of each anchor's subject and public key.
    pub anchors: BTreeSet<[u8; 32]>,
    /// The issuers of its revocation lists.
    pub lists: BTreeSet<String>,
}

/// The trust anchor sets that the connectors of a table name.
pub type TrustSets = BTreeMap<TrustId, TrustContents>;
