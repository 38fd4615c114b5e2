//! Why the lab can't be set up, one variant per part.

use std::io;
use std::path::PathBuf;

use super::zone;
use crate::spool::SpoolFault;
use crate::{config, daemon};

/// Why the lab can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum LabFault {
    /// A certificate can't be made.
    #[error("the lab's certificates can't be made: {0}")]
    Mint(#[from] rcgen::Error),
    /// The TLS of a stand-in can't be set up.
    #[error("the TLS of a stand-in can't be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The client verifier of a stand-in can't be made.
    #[error("the client verifier of a stand-in can't be made: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// A name that is not a valid server name.
    #[error("{0} is no server name")]
    Name(String),
    /// The folder given with `--state` is not empty.
    #[error("{} is not empty; name a new or empty folder with --state", .0.display())]
    NotEmpty(PathBuf),
    /// The folder can't be written.
    #[error("the lab can't write {}: {fault}; name another folder with --state", path.display())]
    State {
        /// Path that could not be written.
        path: PathBuf,
        /// The I/O error.
        fault: io::Error,
    },
    /// No port is free on every address.
    #[error("no port could be had on the addresses of the lab, below 127.0.30 to 127.0.32 (Linux only): {0}")]
    Port(io::Error),
    /// The lab's DNS can't be served.
    #[error(transparent)]
    Zone(#[from] zone::ZoneFault),
    /// The lab's own configuration has errors.
    #[error("the lab's configuration was not taken:\n{0}")]
    Config(config::Faults),
    /// The gateway did not start.
    #[error("the lab's gateway did not start: {0}")]
    Start(#[from] daemon::StartFault),
    /// Signals can't be waited for.
    #[error("the lab can't wait for Ctrl-C: {0}")]
    Signals(io::Error),
    /// There is no randomness for a token.
    #[error("the lab has no randomness to make a token of")]
    Token,
    /// The spool can't be queried.
    #[error(transparent)]
    Spool(#[from] SpoolFault),
}
