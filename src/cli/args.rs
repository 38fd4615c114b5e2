//! Arguments shared by several verbs.

use std::path::{Path, PathBuf};

use super::exit::Failure;
use crate::config;
use crate::config::unknown_name;
use crate::connector::Profile;
use crate::mail::{Clock, UnixMillis};

/// Where the configuration is.
#[derive(Debug, clap::Args)]
pub(super) struct ConfigArg {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", default_value = CONFIG_FILE)]
    pub(super) config: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct DaemonArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// The control socket, instead of the one in the configuration's data_dir.
    #[arg(long, value_name = "PATH", env = "SEALPOST_SOCKET")]
    pub(super) socket: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// The control socket: the one that was named, else that of the configuration's data_dir, whatever is wrong with the
/// rest of the file.
pub(super) fn socket(daemon: &DaemonArgs) -> Result<PathBuf, Failure> {
    match &daemon.socket {
        Some(path) => Ok(path.clone()),
        None => socket_of(&daemon.config.config),
    }
}

pub(super) fn socket_of(file: &Path) -> Result<PathBuf, Failure> {
    match config::control_socket(file) {
        Ok(path) => Ok(path),
        // Whoever named no file means the relay of this machine. A file that was named is of another one, which must
        // not be mistaken for it.
        Err(_) if file == Path::new(CONFIG_FILE) => Ok(Path::new(CONTROL_SOCKET).to_owned()),
        Err(faults) => {
            let mut failure = Failure::from(faults);
            failure
                .message
                .push_str("\nto reach a daemon that is running, name its control socket: --socket PATH");
            Err(failure)
        }
    }
}

/// Where packages install it.
pub(super) const CONFIG_FILE: &str = "/etc/sealpost/sealpost.toml";
/// In the `data_dir` that packages and the unit set up.
const CONTROL_SOCKET: &str = "/var/lib/sealpost/control.sock";

/// A time, or how long ago it was.
pub(super) fn time_argument(text: &str) -> Result<UnixMillis, String> {
    if let Ok(ago) = config::duration(text) {
        return Ok(Clock::wall().before(ago));
    }
    config::moment(text).map_err(|_| {
        format!("\"{text}\" is no time; write 2026-11-29, 2026-11-29T06:00:00Z, or how long ago: 2h, 7d")
    })
}

/// A profile by its name.
pub(super) fn profile_argument(name: &str) -> Result<Profile, String> {
    Profile::named(name).ok_or_else(|| {
        let names: Vec<_> = Profile::ALL.iter().map(|profile| profile.table().name).collect();
        unknown_name("profile", name, &names)
    })
}
