//! The IDs that a file defines, who uses them, and what stands behind them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use super::fault::Report;
use super::schema::{self, Text};
use super::values::quoted;
use crate::connector::{Forced, Recipients, TrustId, Users};

/// The IDs that the file defines, and which of them something uses.
pub(super) struct Known {
    certificates: BTreeMap<String, bool>,
    trust: BTreeMap<String, bool>,
}

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

impl Revisions {
    pub(super) fn append_trust(&self, forced: &Forced, text: &mut String) {
        for id in forced.trust() {
            let digest = self.trust.get(&*id.0).map_or("", String::as_str);
            // Writing to a String never fails.
            let _written = write!(text, "\ntrust {id} {digest}");
        }
    }

    pub(super) fn append_certificate(&self, id: &str, text: &mut String) {
        let digest = self.certificates.get(id).map_or("", String::as_str);
        let _written = write!(text, "\ncertificate {id} {digest}");
    }
}

impl Known {
    pub(super) fn of(file: &schema::File) -> Self {
        let ids = |id: &Text| (id.get_ref().clone(), false);
        Self {
            certificates: file.certificate.keys().map(ids).collect(),
            trust: file.trust.keys().map(ids).collect(),
        }
    }

    /// Notes that a certificate is used; a fault if there is none of this ID.
    pub(super) fn use_certificate(&mut self, id: &Text, report: &mut Report<'_>) {
        if let Some(used) = self.certificates.get_mut(id.get_ref()) {
            *used = true;
            return;
        }
        let known = self.certificates.keys().map(String::as_str);
        let ids = if self.certificates.is_empty() {
            "there is none yet".to_owned()
        } else {
            format!("there is {}", quoted(known))
        };
        let name = id.get_ref();
        let message = format!(
            "no [certificate.{name}] in this file; {ids}: add [certificate.{name}] with chain and key, or \
             write an ID that exists"
        );
        report.fault(id.span(), message);
    }

    /// Notes that a trust anchor set is used; a fault if there is none of this ID.
    pub(super) fn use_trust(&mut self, id: &Text, report: &mut Report<'_>) -> TrustId {
        let name = id.get_ref();
        match self.trust.get_mut(name) {
            Some(used) => *used = true,
            None if name == "system" => {}
            None => {
                let known = quoted(std::iter::once("system").chain(self.trust.keys().map(String::as_str)));
                let message = format!(
                    "no [trust.{name}] in this file; there is {known}: add [trust.{name}] with anchors, or \
                     write an ID that exists"
                );
                report.fault(id.span(), message);
            }
        }
        TrustId(name.as_str().into())
    }

    /// Tells what nothing uses: a leftover, or an ID that was forgotten elsewhere.
    pub(super) fn warn_unused(&self, file: &schema::File, report: &mut Report<'_>) {
        for id in file.certificate.keys().filter(|id| self.certificates.get(id.get_ref()) == Some(&false)) {
            report.warn(id.span(), format!("nothing uses [certificate.{}]", id.get_ref()));
        }
        for id in file.trust.keys().filter(|id| self.trust.get(id.get_ref()) == Some(&false)) {
            report.warn(id.span(), format!("nothing uses [trust.{}]", id.get_ref()));
        }
    }
}
