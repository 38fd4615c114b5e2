//! `doctor`: asks the daemon how it is, checks the environment of a configuration, and prints the findings.

use std::process::ExitCode;
use std::time::Duration;

use super::args::ConfigArg;
use super::control::get;
use super::exit::{EXIT_NO, Failure};
use super::print::{say, say_json};
use super::runtime::runtime;
use super::wait::Wait;
use crate::admin::{Connectors, Status};
use crate::config::{self, Config};
use crate::daemon::{self, Check, State};
use crate::deliver::WaitList;
use crate::lookout;

mod present;

/// What `doctor` takes.
#[derive(Debug, clap::Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// How long each network check may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u64,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Checks the present and the environment of a configuration, and reports what needs fixing.
pub(super) fn doctor(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let config = config::load(&args.config.config)?;
    let limit = Duration::from_secs(args.timeout.max(1));
    let waits = WaitList::default();
    let under_way = waits.clone();
    let shown = Wait::told_by(move || under_way.text());
    let mut checks = present(&config);
    checks.extend(present::watched(lookout::latest(&config.data_dir)));
    checks.extend(runtime()?.block_on(daemon::examine(&config, limit, &waits)));
    drop(shown);
    if args.json {
        say_json(&checks);
    } else {
        checks.iter().for_each(|check| say(&line(check)));
    }
    let failed = checks.iter().any(|check| check.state == State::Fail);
    Ok(if failed { ExitCode::from(EXIT_NO) } else { ExitCode::SUCCESS })
}

/// What the running daemon says.
fn present(config: &Config) -> Vec<Check> {
    let status: Result<Status, Failure> = get(&config.control, "/status");
    let connectors: Result<Connectors, Failure> = get(&config.control, "/connectors");
    match (status, connectors) {
        (Ok(status), Ok(connectors)) => present::running(&status, &connectors),
        (Err(failure), _) | (_, Err(failure)) => {
            let ran = config.data_dir.join("spool.sqlite").exists();
            vec![present::down(&failure.message, ran)]
        }
    }
}

fn line(check: &Check) -> String {
    let word = match check.state {
        State::Ok => "ok",
        State::Warn => "warn",
        State::Fail => "FAIL",
    };
    format!("{word:<5} {}: {}", check.what, check.words)
}
