//! The one-command lab: a gateway with good and bad partners, on loopback. It decides nothing about
//! mail: the gateway is the shipped daemon, and what its stand-ins saw is compared with the policy.
//! Linux only: it binds addresses throughout 127.0.0.0/8.

pub mod capture;
pub mod client;
mod fault;
mod folder;
mod grid;
pub mod hybrid;
mod inbound;
mod keep;
pub mod message;
pub mod mint;
mod outbound;
pub mod partner;
pub mod plan;
mod ports;
mod result;
pub mod settings;
pub mod stage;
pub mod tour;
pub(crate) mod wire;
pub mod zone;

use std::sync::Arc;

pub use fault::LabFault;
pub use result::{Direction, LabResult, Row};

pub use folder::LabOptions;

use crate::connector::{Generation, Table};
use crate::spool::Spool;
use crate::{config, daemon};

/// Sets up the lab, sends real mail through it, and reports what happened to each message. With
/// `keep` it prints the result itself and returns only after Ctrl-C.
///
/// # Errors
/// A [`LabFault`]: the lab could not be set up. An outcome that differs from the policy is not an
/// error; see [`LabResult::as_expected`].
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
    running.stop(false).await;
    played
}

async fn play(stage: &stage::Stage, table: &Table, spool: &Arc<dyn Spool>) -> Result<LabResult, LabFault> {
    let (outbound, inbound) =
        tokio::try_join!(outbound::play(stage, table, spool), inbound::play(stage, table))?;
    Ok(LabResult { rows: outbound.into_iter().chain(inbound).collect() })
}
