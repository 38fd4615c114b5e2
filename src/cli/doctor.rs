//! `doctor`: asks the daemon how it is, checks the environment of a configuration, and prints the findings.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::args::ConfigArg;
use super::control::{NoAnswer, get_within};
use super::exit::{EXIT_NO, Failure};
use super::print::{say, say_json};
use super::runtime::runtime;
use super::wait::Wait;
use crate::admin::{Connectors, Status};
use crate::alert::AlertsView;
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
    let mut checks = present(&config, limit.min(ANSWER_LIMIT));
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

/// What the running daemon says. All its answers together may take `limit`.
fn present(config: &Config, limit: Duration) -> Vec<Check> {
    let begun = Instant::now();
    let left = || limit.saturating_sub(begun.elapsed());
    let ask = || -> Result<_, NoAnswer> {
        let status: Status = get_within(&config.control, "/status", left())?;
        let connectors: Connectors = get_within(&config.control, "/connectors", left())?;
        let alerts: AlertsView = get_within(&config.control, "/alerts", left())?;
        Ok((status, connectors, alerts))
    };
    match ask() {
        Ok((status, connectors, alerts)) => present::running(&status, &connectors, &alerts),
        Err(none) => {
            let ran = config.data_dir.join("spool.sqlite").exists();
            vec![present::unanswered(&none, ran, limit)]
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

/// A daemon that is well answers at once; one that does not for so long hangs.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
