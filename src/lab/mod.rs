//! The one-command lab: a gateway with its partners, good and bad, on loopback. It decides
//! nothing about mail: the gateway is the shipped daemon, and what its stand-ins saw is compared
//! with what the policy says. Linux only: it binds addresses all over 127.0.0.0/8.

pub mod capture;
pub mod client;
mod inbound;
mod keep;
pub mod message;
pub mod mint;
mod outbound;
pub mod partner;
pub mod plan;
mod result;
pub mod settings;
pub mod stage;
mod wire;
pub mod zone;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

pub use result::{Direction, LabResult, Row};

use crate::connector::{Generation, Table};
use crate::spool::{Spool, SpoolFault};
use crate::{config, daemon};

/// What the command line asks for.
#[derive(Debug, Clone, Default)]
pub struct LabOptions {
    /// Leave it running until Ctrl-C, and keep its folder.
    pub keep: bool,
    /// JSON instead of a table; it matters here only together with `keep`.
    pub json: bool,
    /// The folder for everything on disk, new or empty; without it, a temporary one.
    pub state: Option<PathBuf>,
}

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
    #[error("{0} is not a server name")]
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

/// Sets the lab up, sends real mail through it, and tells what became of each message. With
/// `keep` it prints that itself, and returns only after Ctrl-C.
///
/// # Errors
/// A [`LabFault`]: the lab could not be set up. Mail that went otherwise than the policy says is
/// no error; ask [`LabResult::as_expected`].
pub async fn run(options: LabOptions) -> Result<LabResult, LabFault> {
    let mut stage = stage::Stage::set(&options).await?;
    let config = config::load(&stage.config_file()).map_err(LabFault::Config)?;
    let table = Table::new(Generation::default(), config.inbound.clone(), config.outbound.clone());
    stage.free_gateway_port();
    let running = daemon::start(config).await?;
    let played = play(&stage, &table, &running.spool).await;
    if let (true, Ok(result)) = (options.keep, &played) {
        keep::until_interrupted(&stage, result, options.json).await;
    }
    running.stop().await;
    played
}

async fn play(stage: &stage::Stage, table: &Table, spool: &Arc<dyn Spool>) -> Result<LabResult, LabFault> {
    let (outbound, inbound) =
        tokio::try_join!(outbound::play(stage, table, spool), inbound::play(stage, table))?;
    Ok(LabResult { rows: outbound.into_iter().chain(inbound).collect() })
}
