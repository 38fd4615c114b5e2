//! `spool`: checks or salvages the messages on disk while the daemon is stopped.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::args::ConfigArg;
use super::exit::{EXIT_IO, EXIT_NO, EXIT_TEMPORARY, Failure};
use super::print::{say, say_json};
use super::wait::Wait;
use crate::config;
use crate::spool::mark;
use crate::spool::sqlite::{Inspection, Loss, OpenFault, SalvageFault, SalvageReport, SqliteSpool};

/// What `spool` takes.
#[derive(Debug, clap::Args)]
pub(super) struct SpoolArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Look for damage, and for rows without files and files without rows; changes nothing.
    Check {
        #[command(flatten)]
        config: ConfigArg,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Recover what can be read of a damaged database into a new file; the old one is not changed.
    Salvage {
        #[command(flatten)]
        config: ConfigArg,
        /// The new file; neither it nor FILE.lost may exist.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl SpoolArgs {
    pub(super) fn is_json(&self) -> bool {
        match &self.action {
            Action::Check { json, .. } | Action::Salvage { json, .. } => *json,
        }
    }
}

/// Checks or salvages. Both need the daemon stopped.
pub(super) fn spool(args: &SpoolArgs) -> Result<ExitCode, Failure> {
    match &args.action {
        Action::Check { config, json } => {
            let data_dir = data_dir(config)?;
            let shown = Wait::on(format!("the check of the spool in {}", data_dir.display()));
            let found = SqliteSpool::inspect(&data_dir).map_err(|fault| open_failure(&fault))?;
            drop(shown);
            if *json {
                say_json(&found)
            } else {
                say(&checked(&found))
            }
            Ok(if found.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) })
        }
        Action::Salvage { config, to, json } => {
            let data_dir = data_dir(config)?;
            let shown = Wait::on(format!("the salvage of the spool in {}", data_dir.display()));
            let done = SqliteSpool::salvage(&data_dir, to).map_err(|fault| match &fault {
                SalvageFault::Open(fault) => open_failure(fault),
                SalvageFault::Exists(_) => Failure::new(EXIT_NO, fault),
                SalvageFault::Write(..) | SalvageFault::Unsound(..) | SalvageFault::Schema(..) => {
                    Failure::new(EXIT_IO, fault)
                }
            })?;
            drop(shown);
            if *json {
                say_json(&done);
            } else {
                say(&salvaged(&done));
                say(&in_place(&data_dir.display().to_string(), &to.display().to_string()));
            }
            let whole = done.lost.is_empty() && done.broken_off.is_empty() && done.mark_unread.is_none();
            Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) })
        }
    }
}

fn data_dir(config: &ConfigArg) -> Result<PathBuf, Failure> {
    // Repairing a spool does not need a configuration without errors.
    Ok(config::data_dir_of(&config.config)?)
}

fn open_failure(fault: &OpenFault) -> Failure {
    match fault {
        OpenFault::Locked(path) => Failure::new(
            EXIT_TEMPORARY,
            format!("{} is locked: sealpost is running; stop it first", path.display()),
        ),
        OpenFault::Folder(..) | OpenFault::Database(..) | OpenFault::Newer { .. } | OpenFault::Thread(_) => {
            Failure::new(EXIT_IO, fault)
        }
    }
}

fn checked(found: &Inspection) -> String {
    let mut lines = found.findings.clone();
    let percent = found.free.saturating_mul(100).checked_div(found.file).unwrap_or_default();
    lines.push(format!(
        "{} messages, {} recipients, {} held; the database has {} KiB, {percent} % of it free",
        found.messages,
        found.recipients,
        found.held,
        found.file / 1024,
    ));
    lines.push(match found.findings.len() {
        0 => "nothing is wrong".to_owned(),
        count => format!(
            "{count} findings; `sealpost spool salvage --to FILE` takes over what can be read into a new database"
        ),
    });
    lines.join("\n")
}

fn salvaged(done: &SalvageReport) -> String {
    let mut lines: Vec<String> = done.lost.iter().map(lost).collect();
    lines.extend(
        done.broken_off
            .iter()
            .map(|what| format!("{what}: not read to its end; messages that only it names are lost too")),
    );
    lines.extend(done.mark_unread.as_ref().map(|error| {
        format!(
            "{} can't be read ({error}): recipients that it names as delivered are taken over too, and would have \
             their mail twice. Make it readable; then salvage again to another FILE, or leave it in place: the \
             next start reads it before it delivers",
            mark::NAME
        )
    }));
    lines.push(format!(
        "{} messages with {} recipients taken over; {} recipients were delivered already; {} losses",
        done.messages,
        done.recipients,
        done.done,
        done.lost.len()
    ));
    lines.join("\n")
}

fn lost(loss: &Loss) -> String {
    let from = loss.reverse_path.as_ref().map_or_else(|| "?".to_owned(), |path| format!("<{path}>"));
    let to = if loss.recipients.is_empty() { "?".to_owned() } else { loss.recipients.join(", ") };
    let file = loss.file.as_ref().map(|path| format!("; its content is in {}", path.display()));
    format!("{}: {}; from {from} to {to}{}", loss.id, loss.reason, file.unwrap_or_default())
}

fn in_place(data_dir: &str, to: &str) -> String {
    let trial = if Path::new(data_dir).join(mark::NAME).exists() {
        "leave spool-fault where it is, and the next start also tries the disk before it delivers"
    } else {
        "the next start delivers from it at once"
    };
    format!(
        "To put it in place while sealpost is stopped:\n\
         \x20 mkdir {data_dir}/damaged\n\
         \x20 mv {data_dir}/spool.sqlite* {data_dir}/damaged/\n\
         \x20 mv {to} {data_dir}/spool.sqlite\n\
         Its owner must be the user that sealpost runs as. The new database has been checked; {trial}."
    )
}
