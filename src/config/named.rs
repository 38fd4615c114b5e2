//! The contents of the files that a configuration names. They are read by `materials` and `lists`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use crate::admin::Tokens;
use crate::connector::{DomainPattern, Partner, Recipients, Users};
use crate::mail::UnixMillis;

/// The digests of the files behind each ID.
#[derive(Default)]
pub(super) struct Revisions {
    pub(super) certificates: BTreeMap<String, String>,
    pub(super) trust: BTreeMap<String, String>,
    /// The trust sets whose revocation lists can show a certificate to be good now.
    pub(super) vouching: BTreeSet<String>,
    /// The contents of the line-based files.
    pub(super) lists: Lists,
    /// When the files were read.
    pub(super) now: UnixMillis,
    /// The folder that paths are relative to.
    pub(super) base: PathBuf,
}

/// The partners of a file by name; `None`: one with errors, which have been reported.
pub(super) type DefinedPartners = BTreeMap<String, Option<Arc<Partner>>>;

/// The contents of the line-based files, by the names used in the configuration.
#[derive(Default, Clone)]
pub(super) struct Lists {
    pub(super) networks: BTreeMap<String, Vec<IpNet>>,
    pub(super) users: BTreeMap<String, Arc<Users>>,
    pub(super) recipients: BTreeMap<String, Arc<Recipients>>,
    pub(super) domains: BTreeMap<String, Vec<DomainPattern>>,
    /// The tokens of the admin listener.
    pub(super) tokens: Tokens,
}
