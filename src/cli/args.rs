//! Arguments shared by several verbs.

use std::path::PathBuf;

use super::exit::Failure;
use crate::config;

/// Where the configuration is.
#[derive(Debug, clap::Args)]
pub(super) struct ConfigArg {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", default_value = "/etc/sealpost/sealpost.toml")]
    pub(super) config: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct DaemonArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// The control socket, instead of the one of the configuration.
    #[arg(long, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn socket(daemon: &DaemonArgs) -> Result<PathBuf, Failure> {
    if let Some(path) = &daemon.socket {
        return Ok(path.clone());
    }
    Ok(config::control_socket(&daemon.config.config)?)
}
