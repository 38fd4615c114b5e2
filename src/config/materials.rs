//! Reads the certificates, keys, trust anchors and revocation lists that the file names. Line-based files are
//! read by `lists`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::fault::Report;
use super::files::read as read_file;
use super::keys::{CertificateEntry, Entry as _, Text};
use super::lists;
use super::named::Revisions;
use super::schema;
use crate::connector::TrustId;
use crate::mail::{UnixMillis, rfc3339};
use crate::tls::{Identity, IdentityWarning, ListEnd, MaterialKind, RevocationList, TlsFault, TrustSet};

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
        if set.can_vouch(now) {
            self.revisions.vouching.insert(id.to_owned());
        }
        self.revisions.trust.insert(id.to_owned(), set.digest().to_owned());
        self.trust.insert(TrustId(id.into()), Arc::new(set));
    }
}

/// Reads all of them; faults are reported at the keys that name them.
pub(super) fn read(file: &schema::File, base: &Path, now: UnixMillis, report: &mut Report<'_>) -> Materials {
    let mut materials = Materials::default();
    base.clone_into(&mut materials.revisions.base);
    for (id, entry) in &file.certificate {
        certificate(id.get_ref(), entry, (base, now), report, &mut materials);
    }
    for (id, entry) in &file.trust {
        let (table, entry) = (entry.span(), entry.get_ref());
        if id.get_ref() == "system" {
            report.fault(
                id.span(),
                "\"system\" is the operating system's set and can't be replaced; choose another ID",
            );
        }
        entry.read(&table, report);
        let Some(anchors) = &entry.anchors else { continue };
        materials.files.push(base.join(anchors.get_ref()));
        if let Some(mut set) = trust(anchors, base, report) {
            let mut added = Vec::new();
            for list in entry.crl.iter().flat_map(|lists| lists.get_ref()) {
                materials.files.push(base.join(list.get_ref()));
                added.push((list, revocation_lists(list, base, report, &mut set)));
            }
            for (list, found) in added {
                let words = found.iter().flat_map(|one| odd_list(one, &set, now));
                words.for_each(|words| {
                    report.warn(list.span(), format!("{}: {words}", base.join(list.get_ref()).display()))
                });
            }
            materials.add_trust(id.get_ref(), set, now);
        }
    }
    if let Some(place) = schema::system_trust_place(file) {
        match TrustSet::system() {
            Ok(set) => materials.add_trust("system", set, now),
            Err(fault) => report.fault_of_key(place, fault.to_string()),
        }
    }
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

fn revocation_lists(
    list: &Text,
    base: &Path,
    report: &mut Report<'_>,
    set: &mut TrustSet,
) -> Vec<Arc<RevocationList>> {
    let path = base.join(list.get_ref());
    if named(list, &path, report).is_none() {
        return Vec::new();
    }
    set.add_lists(&path).unwrap_or_else(|fault| {
        report.fault(list.span(), fault.to_string());
        Vec::new()
    })
}

/// What is to be said of a list: whether it can count, and for how long.
fn odd_list(list: &RevocationList, set: &TrustSet, now: UnixMillis) -> Vec<String> {
    let mut found = Vec::new();
    if !set.signed(list) {
        found.push(format!(
            "no anchor of this set signed this list; it counts only for certificates of an authority below them that \
             is called {} and that the peer shows",
            list.issuer()
        ));
    }
    if now < list.this_update() {
        found.push(format!(
            "this list is valid only from {}; is the clock right?",
            rfc3339(list.this_update())
        ));
    }
    match (list.next_update(), list.end(now)) {
        (None, _) => found.push(
            "this list does not say when the next one is due, so it only revokes, and vouches for no certificate"
                .to_owned(),
        ),
        (Some(_), Some(_)) if set.has_newer(list, now) => {}
        (Some(end), Some(ListEnd::Over)) => found.push(format!(
            "this list ended on {}: revocation = \"hard\" refuses every certificate that it covers; fetch a new one",
            rfc3339(end)
        )),
        (Some(end), Some(ListEnd::Soon)) => {
            found.push(format!("this list ends on {}; fetch a new one", rfc3339(end)));
        }
        (Some(_), None) => {}
    }
    found
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

fn trust(anchors: &Text, base: &Path, report: &mut Report<'_>) -> Option<TrustSet> {
    let path = base.join(anchors.get_ref());
    named(anchors, &path, report)?;
    match TrustSet::load(&path) {
        Ok(set) => Some(set),
        Err(fault) => {
            report.fault(anchors.span(), fault.to_string());
            None
        }
    }
}

/// Reads the file that a key names.
fn named(key: &Text, path: &Path, report: &mut Report<'_>) -> Option<Vec<u8>> {
    match read_file(path, PEM_BYTES_MAX) {
        Ok(octets) => Some(octets),
        Err(fault) => {
            let kind = fault.kind();
            let fix = if kind == io::ErrorKind::NotFound {
                "put the file there, or correct the path"
            } else if kind == io::ErrorKind::PermissionDenied {
                "let the user that Sealpost runs as read it"
            } else {
                "write the path of a PEM file"
            };
            report.fault(key.span(), format!("{} can't be read: {fault}; {fix}", path.display()));
            None
        }
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

const PEM_BYTES_MAX: u64 = 16 << 20;
