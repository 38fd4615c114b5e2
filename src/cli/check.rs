//! `check`: reads the configuration and prints its errors, or what would take effect. It starts
//! nothing.

use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::args::ConfigArg;
use super::exit::{EXIT_CONFIG, EXIT_NO, Failure};
use super::print::{complain, say, say_json};
use crate::config::{self, Faults};

/// What `check` takes.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Print what would take effect, or the errors, as JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// Exit with 1 if there are warnings.
    #[arg(long)]
    strict: bool,
}

/// Reads the configuration and reports what is wrong with it.
pub(super) fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let file = &args.config.config;
    let met = |config: config::Config| {
        let unmet = config.unmet.iter().map(|one| one.fault.clone());
        Faults::of(unmet.collect()).map_or(Ok(config), Err)
    };
    let config = match config::load(file).and_then(met) {
        Ok(config) => config,
        Err(faults) if args.json => {
            let error = "the configuration has errors";
            say_json(&FaultyAnswer { file, ok: false, error, faults: faults.to_json() });
            return Ok(ExitCode::from(EXIT_CONFIG));
        }
        Err(faults) => return Err(faults.into()),
    };
    if args.json {
        let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
        say_json(&GoodAnswer { file, ok: true, warnings, in_force: config.in_force() });
    } else {
        for warning in &config.warnings {
            complain(&format!("warning: {warning}"));
        }
        say(&format!(
            "{}: in order; {} listeners, {} inbound and {} outbound connectors, {} warnings",
            file.display(),
            config.listen.listeners.len(),
            config.inbound.len(),
            config.outbound.len(),
            config.warnings.len(),
        ));
    }
    let found = args.strict && !config.warnings.is_empty();
    Ok(if found { ExitCode::from(EXIT_NO) } else { ExitCode::SUCCESS })
}

/// What `check --json` prints for a valid configuration.
#[derive(Serialize)]
struct GoodAnswer<'a, S> {
    file: &'a Path,
    ok: bool,
    warnings: Vec<String>,
    /// All settings, as `config` writes them.
    in_force: S,
}

/// What it prints for one with errors.
#[derive(Serialize)]
struct FaultyAnswer<'a, F> {
    file: &'a Path,
    ok: bool,
    error: &'static str,
    /// The errors, as `config` writes them.
    faults: F,
}
