//! Reads the configuration file and the files it names. It creates and changes nothing.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::Config;
use super::check::{self, CheckedFile};
use super::dates::DatedMaterials;
use super::fault::{Fault, Faults, Report};
use super::files::FILE_BYTES_MAX;
use super::files::{apart, is_folder, is_in, is_no_folder, is_no_socket, read};
use super::keys::OneOrMany;
use super::materials::{self, Materials};
use super::verdict::{JudgedFile, ProfileVerdict};
use super::{
    alerts, believed, dates, draft, echo, lenient, lint, never, offered, partners, ports, presented,
    profiled, reported, schema, verdict, view, watched,
};
use crate::connector::{Generation, InboundTls, Profile, Table, TrustId};
use crate::mail::{Clock, Domain};
use crate::submit::DROP_DIR;

/// Reads a configuration and the certificates and trust anchors it names. Nothing is created or changed.
///
/// # Errors
/// Every error found, each with its position; if the text is not TOML, has an unknown key or a
/// value of the wrong type, only the first such error.
pub fn load(path: &Path) -> Result<Config, Faults> {
    load_text(&text_of(path)?, base_of(path), path)
}

/// The octets of a configuration.
fn octets_of(path: &Path) -> Result<Vec<u8>, Faults> {
    read(path, FILE_BYTES_MAX)
        .map_err(|fault| Faults::one(Fault::of_file(path, format!("can't be read: {fault}"))))
}

pub(super) fn text_of(path: &Path) -> Result<String, Faults> {
    let words = "is not UTF-8, which TOML must be; save it in that encoding";
    String::from_utf8(octets_of(path)?).map_err(|_| Faults::one(Fault::of_file(path, words)))
}

/// What the paths of a configuration are relative to.
pub(super) fn base_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Like [`load`], for a text in memory: its paths are relative to `base`, and faults show `name` as the file.
///
/// # Errors
/// As for [`load`].
pub fn load_text(text: &str, base: &Path, name: &Path) -> Result<Config, Faults> {
    read_text(text, FileReach::Files(base), name, None).map(|(config, _)| config)
}

impl Config {
    /// Checks a draft as a file would be checked that takes the place of this configuration, which is in effect. No file
    /// that the draft names is read or looked at: what this configuration has read under the same name is used.
    ///
    /// # Errors
    /// As for [`load`], and for files that decide and that this configuration has not read.
    pub fn draft(&self, text: &str, name: &Path) -> Result<Self, Faults> {
        read_text(text, FileReach::InEffect(self), name, None).map(|(config, _)| config)
    }
}

/// What a text may make us read.
#[derive(Clone, Copy)]
enum FileReach<'r> {
    /// The files that it names, relative to this folder.
    Files(&'r Path),
    /// Nothing: what it names is as in the configuration in effect.
    InEffect(&'r Config),
}

impl<'r> FileReach<'r> {
    fn base(self) -> &'r Path {
        match self {
            Self::Files(base) => base,
            Self::InEffect(config) => base_of(&config.file),
        }
    }
}

/// Like [`load`], with a profile's verdict on what was read.
///
/// # Errors
/// As for [`load`].
pub fn load_judged(path: &Path, profile: Profile) -> Result<(Config, Option<ProfileVerdict>), Faults> {
    read_text(&text_of(path)?, FileReach::Files(base_of(path)), path, Some(profile))
}

fn read_text(
    text: &str,
    reach: FileReach<'_>,
    name: &Path,
    profile: Option<Profile>,
) -> Result<(Config, Option<ProfileVerdict>), Faults> {
    let base = reach.base();
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
    let materials = match reach {
        FileReach::Files(base) => materials::read(&file, base, Clock::wall(), &mut report),
        FileReach::InEffect(config) => draft::materials(&file, (config, base), Clock::wall(), &mut report),
    };
    let checked = check::check(&file, &materials.revisions, &mut report);
    if let Some(checked) = &checked {
        check_data_dir(&file, checked, reach, &mut report);
        check_admin_socket(&file, checked, reach, &mut report);
    }
    if let Some(checked) = checked.as_ref().filter(|_| report.is_clean()) {
        never::find(&file, checked, &mut report);
        echo::find(&file, checked, &mut report);
        presented::warn(&file, checked, &materials.identities, &mut report);
        profiled::find(&file, checked, &materials.identities, &mut report);
        offered::find(&file, checked, &mut report);
        let table = Table::new(Generation::default(), checked.inbound.clone(), checked.outbound.clone());
        lint::warn(&file, (checked, &table), &mut report);
        believed::warn(&file, (checked, &table), &mut report);
        partners::warn(&file, &table, materials.revisions.now, &mut report);
        let dated = DatedMaterials {
            identities: &materials.identities,
            staged: &materials.staged,
            trust: &materials.trust,
            now: materials.revisions.now,
        };
        dates::warn(&file, checked, &dated, &mut report);
        ports::warn(&file, checked, &mut report);
        alerts::find(&file, (checked, &table), &mut report);
        reported::find(&file, (checked, &table), &mut report);
        watched::find(&file.watch, (checked, &table), &mut report);
    }
    let verdict = profile.zip(checked.as_ref().filter(|_| report.is_clean())).map(|(profile, checked)| {
        let identities = &materials.identities;
        verdict::of(profile, &JudgedFile { name, text, file: &file, checked, identities })
    });
    let unmet = report.take_unmet();
    let warnings = report.finish()?;
    let checked = checked.ok_or_else(|| Faults::one(Fault::of_file(name, "could not be checked")))?;
    Ok((Config { unmet, text: text.into(), ..whole(checked, materials, warnings, base, name) }, verdict))
}

/// Reports a `data_dir` that would not do; whether there is one is not looked at for a draft.
fn check_data_dir(file: &schema::File, checked: &CheckedFile, reach: FileReach<'_>, report: &mut Report<'_>) {
    let Some(written) = file.server.as_ref().and_then(|s| s.get_ref().data_dir.as_ref()) else { return };
    let folder = data_dir(checked, reach.base());
    let control = folder.join(CONTROL_SOCKET);
    if !check::socket_path_fits(&control) {
        report.fault(
            written.span(),
            format!("{} is too long for a socket's path; write a shorter data_dir", control.display()),
        );
    }
    match reach {
        FileReach::Files(_) => one_file_system(&folder, written.span(), report),
        FileReach::InEffect(_) => {}
    }
}

/// Reports a path of the admin listener's socket that no socket can have, or not as things are; the latter is not looked at for
/// a draft.
fn check_admin_socket(
    file: &schema::File,
    checked: &CheckedFile,
    reach: FileReach<'_>,
    report: &mut Report<'_>,
) {
    let Some(written) = &file.admin.socket else { return };
    let (text, place) = (written.get_ref().as_str(), written.span());
    let (path, data_dir) = (reach.base().join(text), data_dir(checked, reach.base()));
    let is_control = path == data_dir.join(CONTROL_SOCKET)
        || (matches!(reach, FileReach::Files(_))
            && is_in(&path, &data_dir)
            && path.ends_with(CONTROL_SOCKET));
    if text.is_empty() {
        report.fault(place, "socket is empty; write a path, as \"/run/sealpost/admin.sock\"");
    } else if text.contains('\0') {
        report.fault(place, "socket has a NUL, which no path can have; write it without");
    } else if matches!(text.rsplit('/').next(), Some("" | "." | "..")) {
        let folder = Some(text.trim_end_matches('/')).filter(|folder| !folder.is_empty());
        let words = format!(
            "socket = \"{text}\" names a folder; write the path of the socket in it, as \"{}/admin.sock\"",
            folder.unwrap_or("/run/sealpost")
        );
        report.fault(place, words);
    } else if is_control {
        let words = format!("{} is the control socket, which is another; write another path", path.display());
        report.fault(place, words);
    } else if !check::socket_path_fits(&path) {
        let words = format!("{} is too long for a socket's path; write a shorter one", path.display());
        report.fault(place, words);
    } else if matches!(reach, FileReach::Files(_))
        && let Some(obstacle) = socket_obstacle(&path)
    {
        report.warn(place, obstacle);
    }
}

/// What keeps the daemon from making its socket at a path, if anything does.
fn socket_obstacle(path: &Path) -> Option<String> {
    if is_no_socket(path) {
        return Some(format!(
            "something that is no socket is there: {}; move it away, or write another path",
            path.display()
        ));
    }
    // What is below /run is made at the start: by the service manager, for instance.
    let folder = path.parent().filter(|_| !["/run", "/var/run"].iter().any(|run| path.starts_with(run)))?;
    is_no_folder(folder).then(|| {
        format!(
            "{} is not a folder, and the daemon makes none for its socket; make it so that the daemon's user can write it",
            folder.display()
        )
    })
}

/// `data_dir` of a configuration. Errors elsewhere in the file, or in files that it names, do not matter: a daemon may
/// be running by an earlier version of it, or may have left its spool there.
///
/// # Errors
/// If the file can't be read, or no `data_dir` is found in it.
pub fn data_dir_of(path: &Path) -> Result<PathBuf, Faults> {
    let octets = octets_of(path)?;
    let data_dir = lenient::data_dir(&String::from_utf8_lossy(&octets))
        .ok_or_else(|| Faults::one(Fault::of_file(path, "[server] has no data_dir")))?;
    Ok(base_of(path).join(data_dir))
}

/// The control socket of a configuration.
///
/// # Errors
/// As for [`data_dir_of`].
pub fn control_socket(path: &Path) -> Result<PathBuf, Faults> {
    data_dir_of(path).map(|data_dir| data_dir.join(CONTROL_SOCKET))
}

/// What a local program needs to submit mail.
pub struct LocalListener {
    /// The server's name.
    pub name: Domain,
    /// A listener that is reachable locally and accepts mail without TLS; loopback first.
    pub listener: Option<SocketAddr>,
    /// Where mail is left while the daemon is down, if that exists.
    pub drop_dir: Option<PathBuf>,
}

/// The listener for local mail, read without the files that the configuration names.
///
/// # Errors
/// As for [`load`], if the file can't be read, or `[server] name` is not a valid domain.
pub fn local_listener(path: &Path) -> Result<LocalListener, Faults> {
    let fault = |message: String| Faults::one(Fault::of_file(path, message));
    let file = schema::parse(&text_of(path)?).map_err(|(_, message)| fault(message))?;
    let name = file.server.as_ref().and_then(|s| s.get_ref().name.as_ref());
    let name = name.and_then(|name| Domain::parse(name.get_ref()).ok());
    let name = name.ok_or_else(|| fault("[server] has no name".to_owned()))?;
    let open = file.listener.iter().map(toml::Spanned::get_ref).filter(|entry| {
        entry.tls.as_ref().is_some_and(|tls| matches!(tls.get_ref().as_str(), "off" | "starttls"))
    });
    let addresses = open.filter_map(|entry| entry.address.as_ref()).flat_map(OneOrMany::items);
    let mut found: Vec<SocketAddr> = addresses
        .filter_map(|address| address.get_ref().parse::<SocketAddr>().ok())
        .filter(|address| address.port() != 0)
        .map(|address| match address {
            SocketAddr::V4(v4) if v4.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, v4.port()).into(),
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
            other @ (SocketAddr::V4(_) | SocketAddr::V6(_)) => other,
        })
        .collect();
    found.sort_by_key(|address| !address.ip().is_loopback());
    let drop_dir = file.server.as_ref().and_then(|server| server.get_ref().drop_dir.as_ref());
    let base = path.parent().unwrap_or(Path::new(""));
    let drop_dir = base.join(drop_dir.map_or(DROP_DIR, |folder| folder.get_ref().as_str()));
    let drop_dir = Some(drop_dir).filter(|folder| is_folder(folder));
    Ok(LocalListener { name, listener: found.first().copied(), drop_dir })
}

/// Reports folders of the spool that a mount or a link has put elsewhere: content is written to `tmp` and renamed into
/// `body`, and the free room of `data_dir` counts for all of it.
fn one_file_system(data_dir: &Path, place: Range<usize>, report: &mut Report<'_>) {
    for folder in ["body", "tmp"].map(|name| data_dir.join(name)) {
        if apart(data_dir, &folder) == Some(true) {
            let words = format!(
                "{} is on another file system or mount than data_dir, and messages can't be moved between the two; mount or link \
                 data_dir itself",
                folder.display()
            );
            report.fault(place.clone(), words);
        }
    }
}

fn data_dir(checked: &CheckedFile, base: &Path) -> PathBuf {
    base.join(checked.server.data_dir.as_deref().unwrap_or_default())
}

fn whole(
    checked: CheckedFile,
    materials: Materials,
    warnings: Vec<Fault>,
    base: &Path,
    name: &Path,
) -> Config {
    let data_dir = data_dir(&checked, base);
    let server = &checked.scheduler;
    let reports = reported::settings(&checked.reports, &server.name, &server.postmaster);
    let alerts = alerts::settings(&checked, &materials.trust, base);
    // Judging by a set that no connector names would be wasted work.
    let mut trust = materials.trust;
    let named = named_trust(&checked);
    let mut files = materials.files;
    files.insert(0, name.to_owned());
    trust.retain(|id, _| named.contains(id));
    let control = data_dir.join(CONTROL_SOCKET);
    let lists = Arc::new(materials.revisions.lists);
    let mut in_force = checked.in_force;
    view::paths(&mut in_force, &data_dir, &control);
    in_force.insert("certificate".to_owned(), materials.identities.keys().cloned().collect());
    in_force.insert("trust".to_owned(), trust.keys().map(ToString::to_string).collect());
    Config {
        file: name.to_owned(),
        files,
        control,
        data_dir,
        server: checked.server,
        listen: checked.listen,
        deliver: checked.deliver,
        scheduler: checked.scheduler,
        resolver: checked.resolver,
        retrieve: checked.retrieve,
        inbound: checked.inbound,
        outbound: checked.outbound,
        identities: materials.identities,
        trust,
        echo: checked.echo,
        drain: checked.drain,
        staged: materials.staged,
        tracking: checked.tracking,
        seal: checked.seal,
        admin: checked.admin.map(|mut admin| {
            admin.socket = admin.socket.map(|path| base.join(path));
            admin
        }),
        alerts,
        reports,
        log: checked.log,
        watch: checked.watch,
        in_force: Value::Object(in_force),
        lists,
        text: Arc::default(),
        unmet: Vec::new(),
        warnings,
    }
}

fn named_trust(checked: &CheckedFile) -> Vec<TrustId> {
    let inbound = checked.inbound.iter().filter_map(|connector| match &connector.tls {
        InboundTls::Off | InboundTls::Opportunistic => None,
        InboundTls::Forced(forced) => Some(forced),
    });
    let outbound = checked.outbound.iter().filter_map(|connector| connector.forced());
    inbound.chain(outbound).flat_map(|forced| forced.trust().iter().cloned()).collect()
}

const CONTROL_SOCKET: &str = "control.sock";
