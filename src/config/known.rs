//! The IDs that a file defines, which of them are used, and the digests of what they name.

use std::collections::BTreeMap;
use std::mem;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::fault::Report;
use super::keys::Text;
use super::named::Revisions;
use super::schema;
use super::values::quoted;
use crate::connector::{Forced, Obstacle, Revision, TrustId};
use crate::mail::UnixMillis;

/// The IDs that the file defines, and which of them are used.
pub(super) struct DefinedIds<'a> {
    revisions: &'a Revisions,
    /// What the current connector names: each ID with a digest of its files.
    named: Vec<(String, String)>,
    certificates: BTreeMap<String, bool>,
    trust: BTreeMap<String, bool>,
}

impl<'a> DefinedIds<'a> {
    pub(super) fn of(file: &schema::File, revisions: &'a Revisions) -> Self {
        let ids = |id: &Text| (id.get_ref().clone(), false);
        Self {
            revisions,
            named: Vec::new(),
            certificates: file.certificate.keys().map(ids).collect(),
            trust: file.trust.keys().map(ids).collect(),
        }
    }

    /// A digest of a connector and of the files behind every ID used since the last call. Everything a
    /// connector names passes through here, and all its settings are in its value, so no key can be left out.
    pub(super) fn revision(&mut self, connector: &impl Serialize, report: &mut Report<'_>) -> Revision {
        let mut revision = Revision::default();
        match serde_json::to_vec(&(connector, mem::take(&mut self.named))) {
            Ok(text) => revision.0.iter_mut().zip(Sha256::digest(text)).for_each(|(to, octet)| *to = octet),
            Err(fault) => report.fault_of_file(format!("a connector has no digest: {fault}")),
        }
        revision
    }

    /// Starts a new connector: clears the recorded names.
    pub(super) fn begin(&mut self) {
        self.named.clear();
    }

    /// Marks a certificate as used; reports an undefined ID.
    pub(super) fn use_certificate(&mut self, id: &Text, report: &mut Report<'_>) {
        if let Some(used) = self.certificates.get_mut(id.get_ref()) {
            *used = true;
            let digest = self.revisions.certificates.get(id.get_ref()).cloned().unwrap_or_default();
            self.named.push((format!("certificate {}", id.get_ref()), digest));
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

    /// Marks a trust anchor set as used; reports an undefined ID.
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
        let digest = self.revisions.trust.get(name).cloned().unwrap_or_default();
        self.named.push((format!("trust {name}"), digest));
        TrustId(name.as_str().into())
    }

    /// Why nobody can meet a requirement now, if that is so.
    pub(super) fn obstacle(&self, forced: &Forced) -> Option<Obstacle> {
        Obstacle::of(forced, self.revisions.now, |set| self.revisions.vouching.contains(&*set.0))
    }

    /// When the file was read.
    pub(super) fn now(&self) -> UnixMillis {
        self.revisions.now
    }

    /// Warns of unused IDs: leftovers, or IDs forgotten elsewhere.
    pub(super) fn warn_unused(&self, file: &schema::File, report: &mut Report<'_>) {
        for id in file.certificate.keys().filter(|id| self.certificates.get(id.get_ref()) == Some(&false)) {
            report.warn(id.span(), format!("nothing uses [certificate.{}]", id.get_ref()));
        }
        for id in file.trust.keys().filter(|id| self.trust.get(id.get_ref()) == Some(&false)) {
            report.warn(id.span(), format!("nothing uses [trust.{}]", id.get_ref()));
        }
    }
}
