//! `lab`: runs the one-command lab and prints its result.

use std::path::PathBuf;
use std::process::ExitCode;

use super::exit::{EXIT_NO, Failure};
use super::print::say;
use super::runtime::runtime;
use super::wait::Wait;
use crate::lab::{self, LabOptions};

/// What `lab` takes.
#[derive(Debug, clap::Args)]
pub(super) struct LabArgs {
    /// Keep it running until interrupted, and show how to send more mail to it.
    #[arg(long)]
    keep: bool,
    /// Print the rows as a JSON array.
    #[arg(long)]
    pub(super) json: bool,
    /// Keep certificates, configuration and spool in this directory instead of a temporary one.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

/// Runs the lab; exit code 0 only if every outcome matches the policy.
pub(super) fn lab(args: LabArgs) -> Result<ExitCode, Failure> {
    let runtime = runtime()?;
    let json = args.json;
    // What is kept running shows what it does itself.
    let shown = (!args.keep).then(|| Wait::on("the mail of the lab's gateways and partners"));
    let options = LabOptions { keep: args.keep, json, state: args.state };
    let result = runtime.block_on(lab::run(options)).map_err(|fault| Failure::new(EXIT_NO, fault))?;
    drop(shown);
    if !args.keep {
        say(&if json { result.to_json() } else { result.table() });
    }
    Ok(if result.as_expected() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) })
}
