//! `check`: reads the configuration and prints its errors, or what would take effect. It starts
//! nothing.

use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::args::{ConfigArg, profile_argument};
use super::exit::{EXIT_CONFIG, EXIT_NO, Failure};
use super::print::{complain, say, say_json};
use crate::config::{self, Faults, PartVerdict, ProfileVerdict};
use crate::connector::Profile;
use crate::daemon::{override_words, recorded_overrides};

/// What `check` takes.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Print what would take effect, or the errors, as JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// Judge the whole configuration by a TLS profile, such as nl-2025; exit with 1 if something does not conform.
    #[arg(long, value_name = "NAME", value_parser = profile_argument)]
    profile: Option<Profile>,
    /// Exit with 1 if there are warnings.
    #[arg(long)]
    strict: bool,
}

/// Reads the configuration and reports what is wrong with it.
pub(super) fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let file = &args.config.config;
    let met = |(config, verdict): (config::Config, Option<ProfileVerdict>)| {
        let unmet = config.unmet.iter().map(|one| one.fault.clone());
        Faults::of(unmet.collect()).map_or(Ok((config, verdict)), Err)
    };
    let read = match args.profile {
        Some(profile) => config::load_judged(file, profile),
        None => config::load(file).map(|config| (config, None)),
    };
    let (config, verdict) = match read.and_then(met) {
        Ok(read) => read,
        Err(faults) if args.json => {
            let error = "the configuration has errors";
            say_json(&FaultyAnswer { file, ok: false, error, faults: faults.to_json() });
            return Ok(ExitCode::from(EXIT_CONFIG));
        }
        Err(faults) => return Err(faults.into()),
    };
    if let Some(verdict) = verdict {
        if args.json {
            say_json(&verdict);
        } else {
            say(&in_words(&verdict));
        }
        let found = !verdict.conforms || args.strict && !config.warnings.is_empty();
        return Ok(if found { ExitCode::from(EXIT_NO) } else { ExitCode::SUCCESS });
    }
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
    if !args.json {
        // Those of the daemon, if its folder can be read.
        let overrides = recorded_overrides(&config.data_dir).unwrap_or_default();
        overrides.iter().for_each(|one| complain(&format!("override: {}", override_words(one))));
    }
    let found = args.strict && !config.warnings.is_empty();
    Ok(if found { ExitCode::from(EXIT_NO) } else { ExitCode::SUCCESS })
}

/// A verdict for people.
fn in_words(verdict: &ProfileVerdict) -> String {
    let mut lines = vec![format!("{} ({}): {}", verdict.profile, verdict.source, headline(verdict))];
    for part in &verdict.parts {
        lines.push(format!("\n{}: {}", part.part, state(part)));
        lines.extend(part.holds.iter().map(|held| format!("  conforms     {held}")));
        lines.extend(part.findings.iter().map(|finding| format!("  does not     {finding}")));
        lines.extend(part.unclaimed.iter().map(|claim| format!("  not claimed  {claim}")));
    }
    lines.push("\nnot claimed, whatever is configured:".to_owned());
    lines.extend(verdict.unclaimed.iter().map(|claim| format!("  {claim}")));
    lines.join("\n")
}

/// What it comes to. Where TLS is not required, only what is negotiated can conform.
fn headline(verdict: &ProfileVerdict) -> String {
    let word = match (verdict.conforms, verdict.plaintext.is_empty()) {
        (true, true) => return "the configuration conforms".to_owned(),
        (true, false) => "what is negotiated conforms",
        (false, true) => return "the configuration does not conform".to_owned(),
        (false, false) => "the configuration does not conform",
    };
    format!("{word}; mail may also travel in plaintext: see {}", verdict.plaintext.join(", "))
}

fn state(part: &PartVerdict) -> &'static str {
    match part.conforms {
        Some(true) => "conforms",
        Some(false) => "does not conform",
        None => "not looked at",
    }
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
