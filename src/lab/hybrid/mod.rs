//! The hybrid lab: a gateway between Exchange Server, Exchange Online, a partner and the internet, all
//! of them stand-ins on loopback. The gateway is the shipped daemon.

pub mod cases;
mod desk;
mod dialogue;
pub mod dress;
pub mod expect;
pub mod fault_list;
pub mod faults;
pub mod fields;
pub mod hosts;
mod identities;
mod ledger;
pub mod marks;
pub mod outside;
mod pki;
mod play;
mod relay;
mod row;
mod sender;
mod serve;
pub mod settings;
mod stage;
mod switches;
pub(crate) mod tls11;
pub mod treat;

pub use desk::{DeskFault, LabAnswer, LabRequest, ask};
pub use fault_list::FaultState;
pub use row::{HybridResult, HybridRow};
pub(super) use serve::{accept, bound};

use play::{GatewayView, HybridRun};

use super::fault::LabFault;
use super::folder::LabOptions;
use crate::{config, daemon};

/// Sets up the hybrid lab, sends real mail through it, and reports what happened to each message. With
/// `keep` it prints the result itself, takes requests, and returns only after Ctrl-C.
///
/// # Errors
/// A [`LabFault`]: the lab could not be set up. An outcome that differs from the policy is not an error;
/// see [`HybridResult::as_expected`].
pub async fn run(options: LabOptions) -> Result<HybridResult, LabFault> {
    let mut stage = stage::HybridStage::set(&options).await?;
    let config = config::load(&stage.config_file()).map_err(LabFault::Config)?;
    stage.free_gateway_ports();
    let running = daemon::start(config).await?;
    let gateway = GatewayView {
        spool: std::sync::Arc::clone(&running.spool),
        scheduler: std::sync::Arc::clone(&running.scheduler),
    };
    let played = HybridRun { stage: &stage, gateway: &gateway, number: 1 }.play().await;
    if let (true, Ok(result)) = (options.keep, &played) {
        println!("{}", if options.json { result.to_json() } else { result.table() });
        desk::until_interrupted(&stage, &gateway).await;
    }
    running.stop(false).await;
    played
}
