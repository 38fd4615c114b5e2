//! What the files that a configuration names hold.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use crate::connector::{Recipients, Users};

/// The digests of the files that an ID stands for.
#[derive(Default)]
pub(super) struct Revisions {
    pub(super) certificates: BTreeMap<String, String>,
    pub(super) trust: BTreeMap<String, String>,
    /// What the files of lines hold.
    pub(super) lists: Lists,
    /// What paths in the file are relative to.
    pub(super) base: PathBuf,
}

/// What the files of lines hold, by the names that the file has for them.
#[derive(Default)]
pub(super) struct Lists {
    pub(super) networks: BTreeMap<String, Vec<IpNet>>,
    pub(super) users: BTreeMap<String, Arc<Users>>,
    pub(super) recipients: BTreeMap<String, Arc<Recipients>>,
}
