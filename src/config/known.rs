//! The IDs that a file defines, which of them are used, and the digests of what they name.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::fault::Report;
use super::keys::Text;
use super::named::{DefinedPartners, Revisions};
use super::schema;
use super::values::quoted;
use crate::connector::{DomainPattern, Forced, Obstacle, Partner, Revision, TrustId};
use crate::mail::UnixMillis;

/// Patterns with their positions.
pub(super) type Patterns = Vec<(DomainPattern, Range<usize>)>;

/// The IDs that the file defines, and which of them are used.
pub(super) struct DefinedIds<'a> {
    revisions: &'a Revisions,
    /// What the current connector names: each ID with a digest of its files.
    named: Vec<(String, String)>,
    certificates: BTreeMap<String, bool>,
    trust: BTreeMap<String, bool>,
    partners: DefinedPartners,
    used_partners: BTreeSet<String>,
}

impl<'a> DefinedIds<'a> {
    pub(super) fn of(file: &schema::File, partners: DefinedPartners, revisions: &'a Revisions) -> Self {
        let ids = |id: &Text| (id.get_ref().clone(), false);
        Self {
            revisions,
            named: Vec::new(),
            certificates: file.certificate.keys().map(ids).collect(),
            trust: file.trust.keys().map(ids).collect(),
            partners,
            used_partners: BTreeSet::new(),
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

    /// Marks a partner as used, and returns it with its domains as if they were written there; reports an undefined name.
    /// `None`: it is undefined, or has errors of its own.
    pub(super) fn use_partner(
        &mut self,
        name: &Text,
        report: &mut Report<'_>,
    ) -> Option<(Arc<Partner>, Patterns)> {
        let Some(partner) = self.partners.get(name.get_ref()) else {
            let known = self.partners.keys().map(String::as_str);
            let known = if self.partners.is_empty() {
                "there is none yet".to_owned()
            } else {
                format!("there is {}", quoted(known))
            };
            let message = format!(
                "no [[partner]] is named \"{}\"; {known}: add one with this name, or write a name that exists",
                name.get_ref()
            );
            report.fault(name.span(), message);
            return None;
        };
        self.used_partners.insert(name.get_ref().clone());
        let partner = partner.clone()?;
        let domains = partner.domains.iter().map(|pattern| (pattern.clone(), name.span())).collect();
        Some((partner, domains))
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
        for name in file.partner.iter().filter_map(|entry| entry.get_ref().name.as_ref()) {
            if !self.used_partners.contains(name.get_ref()) {
                let words = format!(
                    "no connector belongs to {0}; add connectors with partner = \"{0}\", or remove it",
                    name.get_ref()
                );
                report.warn(name.span(), words);
            }
        }
    }
}
