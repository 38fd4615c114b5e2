//! What is exported: a partner, and from when to when. Pure.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::mail::UnixMillis;

/// What is exported.
#[derive(Debug, Clone)]
pub struct ExportScope {
    /// The partner.
    pub partner: String,
    /// Its connectors, as they are configured now.
    pub connectors: Vec<ScopeConnector>,
    /// The names of its connectors, also of one that is not configured any more.
    pub names: BTreeSet<String>,
    /// The first day, since 1970, in UTC.
    pub from: i64,
    /// The last day.
    pub to: i64,
    /// When the package is made.
    pub made_at: UnixMillis,
}

/// A connector of the partner.
#[derive(Debug, Clone, Serialize)]
pub struct ScopeConnector {
    /// Its name.
    pub name: String,
    /// Whether it is inbound or outbound.
    pub direction: String,
    /// Whether its requirement is enforced.
    pub mode: String,
    /// What it requires, in words, with the TLS profile if it has one.
    pub requirement: String,
}
