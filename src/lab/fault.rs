//! Why there is no lab.

use std::io;
use std::path::PathBuf;

use super::zone;
use crate::spool::SpoolFault;
use crate::{config, daemon};

/// Why there is no lab.
#[derive(Debug, thiserror::Error)]
pub enum LabFault {
    /// A certificate that the lab can't make.
    #[error("the lab's certificates can't be made: {0}")]
    Mint(#[from] rcgen::Error),
    /// A stand-in whose TLS can't be set up.
    #[error("the TLS of a stand-in can't be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// A verifier that can't be made.
    #[error("the client verifier of a stand-in can't be made: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// A name that is none.
    #[error("{0} is no server name")]
    Name(String),
    /// The folder is in use.
    #[error("{} is not empty; name a new or empty folder with --state", .0.display())]
    NotEmpty(PathBuf),
    /// The folder can't be written.
    #[error("the lab can't write {}: {fault}; name another folder with --state", path.display())]
    State {
        /// Which path.
        path: PathBuf,
        /// Why.
        fault: io::Error,
    },
    /// No port that is free on every address.
    #[error("no port could be had on the lab's addresses 127.0.30.1 to 127.0.30.110 (Linux only): {0}")]
    Port(io::Error),
    /// No DNS.
    #[error(transparent)]
    Zone(#[from] zone::ZoneFault),
    /// The lab's own configuration was not taken.
    #[error("the lab's configuration was not taken:\n{0}")]
    Config(config::Faults),
    /// The gateway did not start.
    #[error("the lab's gateway did not start: {0}")]
    Start(#[from] daemon::StartFault),
    /// The queue can't be asked.
    #[error(transparent)]
    Spool(#[from] SpoolFault),
}
