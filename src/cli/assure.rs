//! `assure`: tests whether the running site enforces what its configuration requires, and writes a dated document.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::args::DaemonArgs;
use super::control::{get, post_within};
use super::exit::{EXIT_IO, EXIT_NO, Failure};
use super::print::{complain, say, say_json};
use super::runtime::runtime;
use super::wait::Wait;
use crate::admin::{Connectors, ProbeRequest};
use crate::assure::{
    self, Evidence, EvidenceArea, EvidenceVerdict, ProbeAnnouncement, ProbeAnnouncer, RunningView, TestedSite,
};
use crate::config;
use crate::connector::Override;
use crate::daemon::recorded_overrides;

/// What `assure` takes.
#[derive(Debug, clap::Args)]
pub(super) struct AssureArgs {
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
    /// Also write the result to this file, as a page for an auditor.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Tests the running site.
pub(super) fn assure(args: &AssureArgs) -> Result<ExitCode, Failure> {
    let config = config::load(&args.daemon.config.config)?;
    let socket = args.daemon.socket.as_ref().unwrap_or(&config.control);
    let running = view(socket).map_err(|failure| failure.message);
    if let Err(why) = &running {
        complain(&format!("the listeners can't be tested: {why}"));
    }
    let overrides = match &running {
        Ok(view) => overridden(&view.connectors),
        Err(_) => recorded_overrides(&config.data_dir).unwrap_or_default(),
    };
    let generation = running.as_ref().ok().map(|view| view.connectors.generation);
    let site = TestedSite { config: &config, running, overrides, announcer: announcer(socket) };
    let shown = Wait::on("the tests; no partner is contacted");
    let mut result = runtime()?.block_on(assure::assure(site));
    drop(shown);
    if let Some(before) = generation {
        let after = view(socket).map(|view| view.connectors.generation);
        if after.as_ref().ok() != Some(&before) {
            result.add(changed_meanwhile());
        }
    }
    if args.daemon.json {
        say_json(&result);
    } else {
        say(&assure::text(&result));
    }
    if let Some(file) = &args.html {
        std::fs::write(file, assure::page(&result)).map_err(|fault| {
            Failure::new(EXIT_IO, format!("{} can't be written: {fault}", file.display()))
        })?;
    }
    Ok(if result.tally.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) })
}

fn view(socket: &Path) -> Result<RunningView, Failure> {
    Ok(RunningView { status: get(socket, "/status")?, connectors: get(socket, "/connectors")? })
}

/// Tells the daemon which sessions are tests.
fn announcer(socket: &Path) -> ProbeAnnouncer {
    let socket: Arc<Path> = socket.into();
    Arc::new(move |address| -> ProbeAnnouncement {
        let socket = Arc::clone(&socket);
        Box::pin(async move {
            let told = post_within(&socket, "/assure/probes", &ProbeRequest { address }).await;
            told.map_err(|failure| failure.message)
        })
    })
}

fn overridden(connectors: &Connectors) -> Vec<Override> {
    connectors.connectors.iter().filter_map(|one| one.overridden.clone()).collect()
}

fn changed_meanwhile() -> Evidence {
    Evidence {
        area: EvidenceArea::Configuration,
        subject: "daemon".to_owned(),
        required: "nothing changes during the tests".to_owned(),
        done: "asked the daemon for its generation before and after".to_owned(),
        seen: "another configuration took effect meanwhile, or the daemon ended; test again".to_owned(),
        verdict: EvidenceVerdict::Untested,
    }
}
