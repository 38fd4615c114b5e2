//! Reads the certificates, keys, trust anchors and revocation lists that the file names. Line-based files are
//! read by `lists`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::fault::Report;
use super::files::named;
use super::hooks;
use super::keys::{CertificateEntry, Entry as _, Text};
use super::lists;
use super::named::Revisions;
use super::schema;
use super::trust;
use crate::connector::TrustId;
use crate::mail::{UnixMillis, rfc3339};
use crate::tls::{Identity, IdentityWarning, ListCache, MaterialKind, TlsFault, TrustSet};

/// What the file names, read and parsed.
#[derive(Default)]
pub(super) struct Materials {
    pub(super) identities: BTreeMap<String, Arc<Identity>>,
    pub(super) trust: BTreeMap<TrustId, Arc<TrustSet>>,
    pub(super) revisions: Revisions,
    pub(super) files: Vec<PathBuf>,
    /// The certificates with a successor, and when it takes over.
    pub(super) staged: BTreeMap<String, UnixMillis>,
}

impl Materials {
    fn add_trust(&mut self, id: &str, set: TrustSet, now: UnixMillis) {
        self.add(TrustId(id.into()), Arc::new(set), now);
    }

    /// Adds a set that was read.
    pub(super) fn add(&mut self, id: TrustId, set: Arc<TrustSet>, now: UnixMillis) {
        if set.can_vouch(now) {
            self.revisions.vouching.insert(id.to_string());
        }
        self.revisions.trust.insert(id.to_string(), set.digest().to_owned());
        self.trust.insert(id, set);
    }
}

/// Reads all of them; faults are reported at the keys that name them.
pub(super) fn read(file: &schema::File, base: &Path, now: UnixMillis, report: &mut Report<'_>) -> Materials {
    let mut materials = Materials::default();
    base.clone_into(&mut materials.revisions.base);
    materials.revisions.now = now;
    for (id, entry) in &file.certificate {
        certificate(id.get_ref(), entry, (base, now), report, &mut materials);
    }
    let data_dir = file.server.as_ref().and_then(|server| server.get_ref().data_dir.as_ref());
    let cache = ListCache::of(&base.join(data_dir.map_or("", |folder| folder.get_ref())));
    for (id, entry) in &file.trust {
        let set = trust::read(id, entry, (base, now), &mut materials.files, report);
        if let Some(mut set) = set {
            trust::fetch(id, entry.get_ref(), &mut set, &cache, report);
            materials.add_trust(id.get_ref(), set, now);
        }
    }
    let own = file.trust.keys().any(|id| id.get_ref() == "system");
    let place = schema::system_trust_place(file).or_else(|| hooks::system_trust_place(file));
    if let Some(place) = place.filter(|_| !own) {
        match TrustSet::system() {
            Ok(set) => materials.add_trust("system", set, now),
            Err(fault) => report.fault_of_key(place, fault.to_string()),
        }
    }
    hooks::read_token(file, base, report);
    lists::read(file, base, (&mut materials.revisions, &mut materials.files), report);
    materials
}

/// Reads one certificate: the one in use now, and when a successor takes over.
fn certificate(
    id: &str,
    entry: &toml::Spanned<CertificateEntry>,
    (base, now): (&Path, UnixMillis),
    report: &mut Report<'_>,
    materials: &mut Materials,
) {
    let (table, entry) = (entry.span(), entry.get_ref());
    let values = entry.read(&table, report);
    let next = successor(entry, values.next_from, report);
    let (Some(chain), Some(key)) = (&entry.chain, &entry.key) else { return };
    for text in [Some(chain), Some(key), entry.next_chain.as_ref(), entry.next_key.as_ref()] {
        materials.files.extend(text.map(|text| base.join(text.get_ref())));
    }
    let mut found = identity(chain, key, base, report);
    let mut named = (chain, key);
    if let Some((next_chain, next_key, from, place)) = next {
        let next = identity(next_chain, next_key, base, report);
        if let (Some((last, _)), Some((next, _))) = (&found, &next) {
            warn_of_handover(last, next, from, place.clone(), report);
        }
        if from <= now {
            let words = "the successor has taken over; write its files as chain and key, and remove next_chain, \
                         next_key and next_from before the old ones are deleted";
            report.warn(place, words);
            (found, named) = (next, (next_chain, next_key));
        } else {
            materials.staged.insert(id.to_owned(), from);
        }
    }
    let Some((identity, digest)) = found else { return };
    // Only a warning: an expired certificate must not stop mail at a restart, since peers that don't check it
    // are still served.
    let in_time = materials.staged.get(id).is_some_and(|from| *from <= identity.facts().not_after);
    for warning in identity.warnings(now) {
        if in_time && matches!(warning, IdentityWarning::ExpiresSoon { .. }) {
            continue;
        }
        let place = if warns_of_key(&warning) { named.1.span() } else { named.0.span() };
        report.warn(place, warning.to_string());
    }
    materials.identities.insert(id.to_owned(), Arc::new(identity));
    materials.revisions.certificates.insert(id.to_owned(), digest);
}

type Successor<'a> = (&'a Text, &'a Text, UnixMillis, std::ops::Range<usize>);

/// The three keys of a successor: all of them, or none.
fn successor<'a>(
    entry: &'a CertificateEntry,
    moment: Option<UnixMillis>,
    report: &mut Report<'_>,
) -> Option<Successor<'a>> {
    let keys = [&entry.next_chain, &entry.next_key, &entry.next_from];
    let written = keys.into_iter().flatten().next()?;
    let (Some(chain), Some(key), Some(from)) = (&entry.next_chain, &entry.next_key, &entry.next_from) else {
        report.fault_of_key(
            written.span(),
            "a successor needs all of next_chain, next_key and next_from, the date from which it is used, as \
             \"2027-01-31\"",
        );
        return None;
    };
    Some((chain, key, moment?, from.span()))
}

/// Warns of problems with the handover.
fn warn_of_handover(
    last: &Identity,
    next: &Identity,
    from: UnixMillis,
    place: std::ops::Range<usize>,
    report: &mut Report<'_>,
) {
    let (last, next) = (last.facts(), next.facts());
    if last.not_after < from {
        let words = format!(
            "the certificate expires on {}, before its successor takes over",
            rfc3339(last.not_after)
        );
        report.warn(place.clone(), words);
    }
    if from < next.not_before {
        let words =
            format!("the successor is valid only from {}, after it takes over", rfc3339(next.not_before));
        report.warn(place.clone(), words);
    }
    if next.not_after <= last.not_after {
        report.warn(place, "the successor does not hold longer than the certificate it replaces");
    }
}

fn identity(chain: &Text, key: &Text, base: &Path, report: &mut Report<'_>) -> Option<(Identity, String)> {
    let (chain_path, key_path) = (base.join(chain.get_ref()), base.join(key.get_ref()));
    let chain_octets = named(chain, &chain_path, report);
    let key_octets = named(key, &key_path, report);
    let (chain_octets, key_octets) = (chain_octets?, key_octets?);
    match Identity::load(&chain_path, &key_path) {
        Ok(identity) => Some((identity, hex(&[&chain_octets, &key_octets]))),
        Err(fault) => {
            let place = if is_about_key(&fault, &key_path) { key.span() } else { chain.span() };
            report.fault(place, fault.to_string());
            None
        }
    }
}

fn warns_of_key(warning: &IdentityWarning) -> bool {
    match warning {
        IdentityWarning::KeyReadable { .. } => true,
        IdentityWarning::Expired { .. }
        | IdentityWarning::ExpiresSoon { .. }
        | IdentityWarning::NotYetValid { .. }
        | IdentityWarning::NotTheIssuer { .. }
        | IdentityWarning::IssuerMissing { .. } => false,
    }
}

/// Whether a fault of a pair concerns its key. Both may be in one file, so the kind of fault is checked
/// first.
fn is_about_key(fault: &TlsFault, key: &Path) -> bool {
    match fault {
        TlsFault::NoKey(_)
        | TlsFault::EncryptedKey(_)
        | TlsFault::SeveralKeys { .. }
        | TlsFault::UnusableKey { .. }
        | TlsFault::KeyMismatch { .. } => true,
        TlsFault::NoCertificate(_)
        | TlsFault::Unreadable { .. }
        | TlsFault::ChainOrder { .. }
        | TlsFault::Anchor { .. }
        | TlsFault::RevocationList { .. }
        | TlsFault::NoSystemAnchors(_)
        | TlsFault::Setup(_) => false,
        TlsFault::Swapped { .. } => false,
        TlsFault::Foreign(foreign) => foreign.wanted == MaterialKind::Key,
        TlsFault::Missing(file)
        | TlsFault::NoPermission(file)
        | TlsFault::Unread { file, .. }
        | TlsFault::Damaged { file, .. } => file == key,
    }
}

fn hex(contents: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for content in contents {
        // Each part is hashed separately, so that part boundaries are unambiguous.
        hash.update(Sha256::digest(content));
    }
    hash.finalize().iter().fold(String::new(), |mut text, octet| {
        let _written = write!(text, "{octet:02x}");
        text
    })
}
