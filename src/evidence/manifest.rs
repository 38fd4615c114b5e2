//! What a package consists of, signed, so that no file of it is altered, left out or added later. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::seal::Hash;

/// All of a package, in few words. It is signed as the octets of its JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PackageManifest {
    /// The version of this form.
    #[serde(rename = "v")]
    pub(super) version: u32,
    /// [`MANIFEST`]: the same key signs statements.
    pub(super) what: String,
    pub(super) site: String,
    pub(super) partner: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) made_at: String,
    /// The SHA-256 hash of each file.
    pub(super) files: BTreeMap<String, Hash>,
    /// How many lines these files have.
    pub(super) events: u64,
    pub(super) decisions: u64,
    pub(super) statements: u64,
    /// The hash of the last statement.
    pub(super) last_statement: Hash,
}

impl PackageManifest {
    /// The manifest in these octets, if they are one that this program knows.
    pub(super) fn read(octets: &[u8]) -> Option<Self> {
        let read: Self = serde_json::from_slice(octets).ok()?;
        (read.version == MANIFEST_VERSION && read.what == MANIFEST).then_some(read)
    }

    /// The octets that are signed.
    pub(super) fn text(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

/// The manifest.
pub(super) const MANIFEST_FILE: &str = "manifest.json";
/// Its Ed25519 signature, 64 octets.
pub(super) const SIGNATURE_FILE: &str = "manifest.sig";
/// What the manifest says that it is.
pub(super) const MANIFEST: &str = "package";
/// The version of [`PackageManifest`] that this program writes.
pub(super) const MANIFEST_VERSION: u32 = 1;
