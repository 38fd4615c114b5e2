//! Reads the file and what it names. Everything else of this module is pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::Config;
use super::check::{self, Checked};
use super::fault::{Fault, Faults, Report};
use super::known::Revisions;
use super::schema;
use super::schema::Text;
use crate::connector::{InboundTls, TrustId};
use crate::mail::Clock;
use crate::tls::{Identity, IdentityWarning, TlsFault, TrustSet};

/// What the file names, read and understood.
#[derive(Default)]
struct Materials {
    identities: BTreeMap<String, Arc<Identity>>,
    trust: BTreeMap<TrustId, Arc<TrustSet>>,
    revisions: Revisions,
    files: Vec<PathBuf>,
}

/// Reads a configuration, and the certificates and trust anchors it names. Nothing is created
/// or changed.
///
/// # Errors
/// Every mistake found, each with its place: if the text is no TOML, has an unknown key or a
/// value of the wrong type, the first such mistake alone.
pub fn load(path: &Path) -> Result<Config, Faults> {
    let whole = |message: String| Faults::one(Fault::of_file(path, message));
    let octets = read(path, FILE_BYTES_MAX).map_err(|fault| whole(format!("can't be read: {fault}")))?;
    let text = String::from_utf8(octets)
        .map_err(|_| whole("is not UTF-8, which TOML must be; save it in that encoding".to_owned()))?;
    let base = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    load_text(&text, base, path)
}

/// The same for a text that is at hand: `base` is what its paths are relative to, `name` is
/// what its faults call it.
///
/// # Errors
/// Like [`load`].
pub fn load_text(text: &str, base: &Path, name: &Path) -> Result<Config, Faults> {
    let mut report = Report::new(name, text);
    let file = match schema::parse(text) {
        Ok(file) => file,
        Err((place, message)) => {
            match place {
                Some(place) => report.fault(place, message),
                None => report.fault_of_file(message),
            }
            return Err(report
                .finish()
                .err()
                .unwrap_or_else(|| Faults::one(Fault::of_file(name, "no TOML"))));
        }
    };
    let materials = materials(&file, base, &mut report);
    let checked = check::check(&file, &materials.revisions, &mut report);
    if let Some(checked) = &checked {
        let control = base.join(&checked.data_dir).join(CONTROL_SOCKET);
        if let Some(data_dir) = file.server.as_ref().and_then(|s| s.get_ref().data_dir.as_ref())
            && !check::control_fits(&control)
        {
            report.fault(
                data_dir.span(),
                format!("{} is too long for a socket's path; write a shorter data_dir", control.display()),
            );
        }
    }
    let warnings = report.finish()?;
    let checked = checked.ok_or_else(|| Faults::one(Fault::of_file(name, "could not be checked")))?;
    Ok(whole(checked, materials, warnings, base, name))
}

/// Where the daemon of a configuration answers, read without what the file names: a certificate
/// that only the daemon may read must not hinder a look at the queue.
///
/// # Errors
/// As [`load`], where the file can't be read or has no `data_dir`.
pub fn control_socket(path: &Path) -> Result<PathBuf, Faults> {
    let fault = |message: String| Faults::one(Fault::of_file(path, message));
    let octets = read(path, FILE_BYTES_MAX).map_err(|e| fault(format!("can't be read: {e}")))?;
    let text = String::from_utf8(octets).map_err(|_| fault("is not UTF-8".to_owned()))?;
    let file = schema::parse(&text).map_err(|(_, message)| fault(message))?;
    let data_dir = file.server.as_ref().and_then(|s| s.get_ref().data_dir.as_ref());
    let data_dir = data_dir.ok_or_else(|| fault("[server] has no data_dir".to_owned()))?;
    let base = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(base.join(data_dir.get_ref()).join(CONTROL_SOCKET))
}

fn whole(checked: Checked, materials: Materials, warnings: Vec<Fault>, base: &Path, name: &Path) -> Config {
    let data_dir = base.join(&checked.data_dir);
    // A set that no connector names would be judged by for nothing.
    let mut trust = materials.trust;
    let named = named_trust(&checked);
    let mut files = materials.files;
    files.insert(0, name.to_owned());
    trust.retain(|id, _| named.contains(id));
    Config {
        file: name.to_owned(),
        files,
        control: data_dir.join(CONTROL_SOCKET),
        data_dir,
        listen: checked.listen,
        deliver: checked.deliver,
        scheduler: checked.scheduler,
        resolver: checked.resolver,
        inbound: checked.inbound,
        outbound: checked.outbound,
        identities: materials.identities,
        trust,
        log: checked.log,
        warnings,
    }
}

impl Materials {
    fn add_trust(&mut self, id: &str, set: TrustSet) {
        self.revisions.trust.insert(id.to_owned(), set.digest().to_owned());
        self.trust.insert(TrustId(id.into()), Arc::new(set));
    }
}

fn materials(file: &schema::File, base: &Path, report: &mut Report<'_>) -> Materials {
    let mut materials = Materials::default();
    for (id, entry) in &file.certificate {
        let (table, entry) = (entry.span(), entry.get_ref());
        let chain = report.required(&entry.chain, "chain", &table, "\"tls/gw.crt\"");
        let key = report.required(&entry.key, "key", &table, "\"tls/gw.key\"");
        let (Some(chain), Some(key)) = (chain, key) else { continue };
        materials.files.extend([base.join(chain.get_ref()), base.join(key.get_ref())]);
        if let Some((identity, digest)) = identity(chain, key, base, report) {
            materials.identities.insert(id.get_ref().clone(), Arc::new(identity));
            materials.revisions.certificates.insert(id.get_ref().clone(), digest);
        }
    }
    for (id, entry) in &file.trust {
        let (table, entry) = (entry.span(), entry.get_ref());
        if id.get_ref() == "system" {
            report.fault(
                id.span(),
                "\"system\" is the operating system's set and can't be replaced; choose another ID",
            );
        }
        let anchors = report.required(&entry.anchors, "anchors", &table, "\"tls/partner-root.pem\"");
        let Some(anchors) = anchors else { continue };
        materials.files.push(base.join(anchors.get_ref()));
        if let Some(mut set) = trust(anchors, base, report) {
            for list in entry.crl.iter().flat_map(|lists| lists.get_ref()) {
                let path = base.join(list.get_ref());
                materials.files.push(path.clone());
                if named(list, &path, report).is_some()
                    && let Err(fault) = set.add_lists(&path)
                {
                    report.fault(list.span(), fault.to_string());
                }
            }
            materials.add_trust(id.get_ref(), set);
        }
    }
    if let Some(place) = schema::system_trust_place(file) {
        match TrustSet::system() {
            Ok(set) => materials.add_trust("system", set),
            Err(fault) => report.fault_of_key(place, fault.to_string()),
        }
    }
    materials
}

fn identity(chain: &Text, key: &Text, base: &Path, report: &mut Report<'_>) -> Option<(Identity, String)> {
    let (chain_path, key_path) = (base.join(chain.get_ref()), base.join(key.get_ref()));
    let chain_octets = named(chain, &chain_path, report);
    let key_octets = named(key, &key_path, report);
    let (chain_octets, key_octets) = (chain_octets?, key_octets?);
    match Identity::load(&chain_path, &key_path) {
        Ok(identity) => {
            // Mail must not stop at a restart because a certificate's time is over: whoever
            // doesn't judge it is still served. But it is told.
            for warning in identity.warnings(Clock::wall()) {
                let place = if warns_of_key(&warning) { key.span() } else { chain.span() };
                report.warn(place, warning.to_string());
            }
            Some((identity, hex(&[&chain_octets, &key_octets])))
        }
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
        IdentityWarning::Expired { .. } | IdentityWarning::NotYetValid { .. } => false,
    }
}

/// Whether a fault of a pair is to be mended at its key. The two may be one file, so the kind of
/// fault counts before its file.
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

/// The content of a file that a key names.
fn named(key: &Text, path: &Path, report: &mut Report<'_>) -> Option<Vec<u8>> {
    match read(path, PEM_BYTES_MAX) {
        Ok(octets) => Some(octets),
        Err(fault) => {
            let kind = fault.kind();
            let mend = if kind == io::ErrorKind::NotFound {
                "put the file there, or correct the path"
            } else if kind == io::ErrorKind::PermissionDenied {
                "let the user that Sealpost runs as read it"
            } else {
                "write the path of a PEM file"
            };
            report.fault(key.span(), format!("{} can't be read: {fault}; {mend}", path.display()));
            None
        }
    }
}

/// A file, but never more than it may have.
fn read(path: &Path, octets_max: u64) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    File::open(path)?.take(octets_max.saturating_add(1)).read_to_end(&mut octets)?;
    if u64::try_from(octets.len()).unwrap_or(u64::MAX) > octets_max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {octets_max} octets, which no such file needs"),
        ));
    }
    Ok(octets)
}

fn named_trust(checked: &Checked) -> Vec<TrustId> {
    let inbound = checked.inbound.iter().filter_map(|connector| match &connector.tls {
        InboundTls::Off | InboundTls::Opportunistic => None,
        InboundTls::Forced(forced) => Some(forced),
    });
    let outbound = checked.outbound.iter().filter_map(|connector| connector.forced());
    inbound.chain(outbound).flat_map(|forced| forced.trust().iter().cloned()).collect()
}

fn hex(contents: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for content in contents {
        // Each part is hashed by itself, so that no boundary can move.
        hash.update(Sha256::digest(content));
    }
    hash.finalize().iter().fold(String::new(), |mut text, octet| {
        let _written = write!(text, "{octet:02x}");
        text
    })
}

const CONTROL_SOCKET: &str = "control.sock";
const FILE_BYTES_MAX: u64 = 1 << 20;
const PEM_BYTES_MAX: u64 = 16 << 20;
