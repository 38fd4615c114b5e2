//! The daemon of a configuration, if one runs: its table is the one in effect, it knows where it listens, and what is
//! found is kept by it.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::super::args::{CONFIG_FILE, DaemonArgs};
use super::super::control::{get, post};
use super::super::exit::{EXIT_NO, EXIT_UNAVAILABLE, Failure};
use super::super::print::complain;
use crate::admin::{Connectors, Status, Validation};
use crate::config::Config;
use crate::daemon::keep_validation;

/// The daemon that answers.
pub(super) struct RunningDaemon {
    socket: PathBuf,
    listening: Vec<SocketAddr>,
}

impl RunningDaemon {
    /// The one of these arguments; `None` if none answers.
    ///
    /// # Errors
    /// It was named and does not answer; or it has other connectors in effect than the file, which nobody named.
    pub(super) fn find(args: &DaemonArgs, config: &Config) -> Result<Option<Self>, Failure> {
        let socket = args.socket.as_ref().unwrap_or(&config.control);
        let status: Status = match get(socket, "/status") {
            Ok(status) => status,
            Err(failure) if failure.exit == EXIT_UNAVAILABLE && args.socket.is_none() => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let file = config.file.display();
        if let Some(names) = other_connectors(&get(socket, "/connectors")?, config) {
            let words = format!("the running daemon has another table in effect than {file} ({names})");
            if config.file == Path::new(CONFIG_FILE) {
                return Err(Failure::new(EXIT_NO, format!("{words}; apply the file first: sealpost reload")));
            }
            complain(&format!("{words}; this is what the file says"));
        }
        let listening = status.listening.into_iter().map(|(_, address)| address).collect();
        Ok(Some(Self { socket: socket.clone(), listening }))
    }

    /// Where it listens; without a daemon, where the file says.
    pub(super) fn listening(running: Option<&Self>, config: &Config) -> Vec<SocketAddr> {
        let written =
            || config.listen.listeners.iter().flat_map(|listener| listener.addresses.iter().copied());
        running.map_or_else(
            || written().filter(|address| address.port() != 0).collect(),
            |one| one.listening.clone(),
        )
    }

    /// Keeps a result where `connectors` finds it. The daemon writes its own files, and other users leave none.
    pub(super) fn keep(running: Option<&Self>, config: &Config, name: &str, found: &Validation) {
        let kept = match running {
            Some(one) => {
                let path = format!("/connectors/{name}/validated");
                post::<Validation>(&one.socket, &path, found).map(|_| ()).map_err(|failure| failure.message)
            }
            None => keep_here(&config.data_dir, name, found),
        };
        if let Err(why) = kept {
            complain(&format!("the result is not kept: {why}"));
        }
    }
}

fn keep_here(data_dir: &Path, name: &str, found: &Validation) -> Result<(), String> {
    let folder = data_dir.display();
    match std::fs::metadata(data_dir) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Err(format!("there is no {folder} yet")),
        Err(fault) => Err(format!("{folder}: {fault}")),
        Ok(data) if data.uid() != rustix::process::geteuid().as_raw() => {
            Err(format!("{folder} belongs to the daemon's user, and no daemon answers"))
        }
        Ok(_) => keep_validation(data_dir, name, found.clone()).map_err(|fault| format!("{folder}: {fault}")),
    }
}

/// Outbound connectors that are not the same in both, by their revisions; `None` if all are.
fn other_connectors(in_effect: &Connectors, config: &Config) -> Option<String> {
    let outbound = in_effect.connectors.iter().filter(|one| one.outbound_name().is_some());
    let ours: Vec<(&str, &str)> = outbound.map(|one| (&*one.name, &*one.revision)).collect();
    let file: Vec<(&str, String)> =
        config.outbound.iter().map(|one| (&*one.name, one.revision.to_string())).collect();
    let changed = file.iter().filter(|(name, revision)| !ours.contains(&(*name, revision.as_str())));
    let gone = ours.iter().filter(|(name, _)| file.iter().all(|(other, _)| other != name));
    let names: Vec<&str> = changed.map(|(name, _)| *name).chain(gone.map(|(name, _)| *name)).collect();
    (!names.is_empty()).then(|| names.join(", "))
}
