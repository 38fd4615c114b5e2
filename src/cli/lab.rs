//! `lab`: runs a lab and prints its result; changes what the stand-ins of a kept one do.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::exit::{EXIT_ARGUMENTS, EXIT_NO, EXIT_UNAVAILABLE, Failure};
use super::print::say;
use super::runtime::runtime;
use super::wait::Wait;
use crate::lab::hybrid::{self, FaultState, HybridResult, LabAnswer, LabRequest};
use crate::lab::tour::{self, TourOptions};
use crate::lab::{self, LabOptions};

/// What `lab` takes.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct LabArgs {
    #[command(subcommand)]
    part: Option<LabPart>,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    tour: TourArgs,
}

#[derive(Debug, clap::Subcommand)]
enum LabPart {
    /// A gateway between Exchange Server, Exchange Online, a partner and the internet.
    Hybrid(HybridArgs),
    /// List or switch the faults of a hybrid lab that was started with --keep.
    Fault(FaultArgs),
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Keep it running until interrupted, and show how to send more mail to it.
    #[arg(long)]
    keep: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// Keep certificates, configuration and spool in this directory instead of a temporary one.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

/// A lab to look at.
#[derive(Debug, clap::Args)]
struct TourArgs {
    /// Run until Ctrl-C, with a console, mail in both directions, and partners that break and recover.
    #[arg(long, conflicts_with_all = ["keep", "json"])]
    console: bool,
    /// How many times as fast everything happens.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "console", value_parser = clap::value_parser!(u32).range(1..=20))]
    pace: u32,
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
struct HybridArgs {
    #[command(subcommand)]
    again: Option<HybridPart>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, clap::Subcommand)]
enum HybridPart {
    /// Send all messages through the lab that is kept running, and show what happened to them.
    Run(KeptArgs),
}

/// Which lab is meant, and how it answers.
#[derive(Debug, clap::Args)]
struct KeptArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The directory of the lab, if several are running or it was started with --state.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct FaultArgs {
    /// The fault to switch; `list`: show all; `clear`: switch all off.
    #[arg(value_name = "NAME|list|clear")]
    name: String,
    /// Switch it on or off.
    #[arg(value_name = "on|off")]
    to: Option<Switch>,
    #[command(flatten)]
    kept: KeptArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

impl LabArgs {
    /// Whether a program reads the answer.
    pub(super) fn is_json(&self) -> bool {
        match &self.part {
            None => self.run.json,
            Some(LabPart::Hybrid(HybridArgs { again: Some(HybridPart::Run(kept)), .. })) => kept.json,
            Some(LabPart::Hybrid(args)) => args.run.json,
            Some(LabPart::Fault(args)) => args.kept.json,
        }
    }
}

/// Runs the verb; exit code 0 only if every outcome matches the policy.
pub(super) fn lab(args: LabArgs) -> Result<ExitCode, Failure> {
    match args.part {
        None if args.tour.console => console(args.run, &args.tour),
        None => partners(args.run),
        Some(LabPart::Hybrid(HybridArgs { again: Some(HybridPart::Run(kept)), .. })) => again(&kept),
        Some(LabPart::Hybrid(args)) => hybrid_lab(args.run),
        Some(LabPart::Fault(args)) => fault(&args),
    }
}

fn console(args: RunArgs, tour: &TourArgs) -> Result<ExitCode, Failure> {
    let program = std::env::args().next().unwrap_or_else(|| "sealpost".to_owned());
    let options = TourOptions { state: args.state, pace: tour.pace, program };
    let say = |line: &str| writeln!(io::stdout(), "{line}");
    runtime()?.block_on(tour::run(options, say)).map_err(|fault| Failure::new(EXIT_NO, fault))?;
    Ok(ExitCode::SUCCESS)
}

fn partners(args: RunArgs) -> Result<ExitCode, Failure> {
    let runtime = runtime()?;
    let (json, keep) = (args.json, args.keep);
    // What is kept running shows what it does itself.
    let shown = (!keep).then(|| Wait::on("the mail of the lab's gateways and partners"));
    let result = runtime.block_on(lab::run(options(args))).map_err(|fault| Failure::new(EXIT_NO, fault))?;
    drop(shown);
    if !keep {
        say(&if json { result.to_json() } else { result.table() });
    }
    Ok(verdict(result.as_expected()))
}

fn hybrid_lab(args: RunArgs) -> Result<ExitCode, Failure> {
    let runtime = runtime()?;
    let (json, keep) = (args.json, args.keep);
    let shown = (!keep).then(|| Wait::on("the mail of the hybrid lab"));
    let result =
        runtime.block_on(hybrid::run(options(args))).map_err(|fault| Failure::new(EXIT_NO, fault))?;
    drop(shown);
    if !keep {
        print(&result, json);
    }
    Ok(verdict(result.as_expected()))
}

fn again(kept: &KeptArgs) -> Result<ExitCode, Failure> {
    let shown = Wait::on("the mail of the hybrid lab");
    let answer = ask(kept.state.as_deref(), &LabRequest::Run)?;
    drop(shown);
    let LabAnswer::Played(result) = answer else { return Err(unexpected(answer)) };
    print(&result, kept.json);
    Ok(verdict(result.as_expected()))
}

fn fault(args: &FaultArgs) -> Result<ExitCode, Failure> {
    let request = match (args.name.as_str(), args.to) {
        ("list", None) => LabRequest::Faults,
        ("clear", None) => LabRequest::Repair,
        ("list" | "clear", Some(_)) => {
            return Err(Failure::new(
                EXIT_ARGUMENTS,
                format!("`lab fault {}` takes no more words", args.name),
            ));
        }
        (_, None) => {
            let words = format!("say on or off: `sealpost lab fault {} on`", args.name);
            return Err(Failure::new(EXIT_ARGUMENTS, words));
        }
        (name, Some(to)) => LabRequest::Switch { fault: name.to_owned(), on: to == Switch::On },
    };
    let answer = ask(args.kept.state.as_deref(), &request)?;
    let LabAnswer::Faults(mut faults) = answer else { return Err(unexpected(answer)) };
    if request != LabRequest::Faults {
        faults.retain(|fault| fault.on);
    }
    if args.kept.json {
        let json = serde_json::to_string_pretty(&faults).map_err(|fault| Failure::new(EXIT_NO, fault))?;
        say(&json);
    } else if faults.is_empty() {
        say("no fault is switched on");
    } else {
        faults.iter().for_each(|fault| say(&line(fault)));
    }
    Ok(ExitCode::SUCCESS)
}

fn line(fault: &FaultState) -> String {
    let on = if fault.on { "on " } else { "off" };
    let changes = if fault.changes.is_empty() { "no message".to_owned() } else { fault.changes.join(", ") };
    format!("{on}  {:<30} the host {}; changes: {changes}", fault.fault, fault.does)
}

fn ask(folder: Option<&Path>, request: &LabRequest) -> Result<LabAnswer, Failure> {
    runtime()?.block_on(hybrid::ask(folder, request)).map_err(|fault| Failure::new(EXIT_UNAVAILABLE, fault))
}

fn unexpected(answer: LabAnswer) -> Failure {
    match answer {
        LabAnswer::Refused(words) => Failure::new(EXIT_NO, words),
        LabAnswer::Played(_) | LabAnswer::Faults(_) => {
            Failure::new(EXIT_UNAVAILABLE, "the lab answered something else; it is of another version")
        }
    }
}

fn print(result: &HybridResult, json: bool) {
    say(&if json { result.to_json() } else { result.table() });
}

fn options(args: RunArgs) -> LabOptions {
    LabOptions { keep: args.keep, json: args.json, state: args.state }
}

fn verdict(as_expected: bool) -> ExitCode {
    if as_expected { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) }
}
