//! `override`: lowers a connector's requirement for a time, lists what is lowered, and ends it.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use hyper::Method;

use super::args::{DaemonArgs, socket};
use super::control::{get, named, post, request};
use super::exit::{EXIT_ARGUMENTS, Failure};
use super::print::show;
use crate::admin::{OverrideReport, OverrideRequest, override_ended};
use crate::connector::{Override, OverrideLevel};
use crate::daemon::override_words;
use crate::mail::{Clock, UnixMillis, rfc3339};

/// What `override` takes.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct OverrideArgs {
    #[command(subcommand)]
    action: Option<OverrideAction>,
    #[command(flatten)]
    daemon: DaemonArgs,
    /// The connector whose requirement is lowered.
    connector: Option<String>,
    /// When it ends by itself, such as 2026-11-29T06:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<SystemTime>,
    /// How long it lasts, such as 8h.
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration, conflicts_with = "until")]
    lasting: Option<Duration>,
    /// Why: it is logged, alarmed and shown.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// What is left of the requirement; by default as little as the connector's override_floor allows.
    #[arg(long, value_enum, value_name = "LEVEL")]
    to: Option<LevelArgument>,
}

#[derive(Debug, clap::Subcommand)]
enum OverrideAction {
    /// List the overrides in effect.
    List {
        #[command(flatten)]
        daemon: DaemonArgs,
    },
    /// End an override before its time.
    End {
        #[command(flatten)]
        daemon: DaemonArgs,
        /// The connector.
        connector: String,
    },
}

/// What is left of a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LevelArgument {
    /// A chain to the same trust anchors.
    Chain,
    /// TLS with any certificate.
    Encryption,
    /// TLS if offered.
    Opportunistic,
}

impl OverrideArgs {
    pub(super) fn is_json(&self) -> bool {
        match &self.action {
            Some(OverrideAction::List { daemon } | OverrideAction::End { daemon, .. }) => daemon.json,
            None => self.daemon.json,
        }
    }
}

/// Begins, lists or ends overrides.
pub(super) fn overrides(args: &OverrideArgs) -> Result<ExitCode, Failure> {
    match &args.action {
        Some(OverrideAction::List { daemon }) => {
            let list: Vec<Override> = get(&socket(daemon)?, "/overrides")?;
            show(daemon.json, &list, |list| in_words(list))
        }
        Some(OverrideAction::End { daemon, connector }) => {
            let path = format!("/connectors/{}/override", named(connector)?);
            let left: Vec<Override> = request(&socket(daemon)?, Method::DELETE, &path)?;
            show(daemon.json, &left, |_| override_ended(connector))
        }
        None => begin(args),
    }
}

fn begin(args: &OverrideArgs) -> Result<ExitCode, Failure> {
    let missing =
        |what: &str| Failure::new(EXIT_ARGUMENTS, format!("{what}; see `sealpost override --help`"));
    let connector = args.connector.as_deref().ok_or_else(|| missing("name a connector"))?;
    let reason = args.reason.clone().ok_or_else(|| missing("an override needs --reason TEXT"))?;
    let until = match (args.until, args.lasting) {
        (Some(until), _) => {
            let since = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            UnixMillis(0).plus(since)
        }
        (None, Some(lasting)) => Clock::wall().plus(lasting),
        (None, None) => return Err(missing("an override needs --until TIME or --for DURATION")),
    };
    let level = args.to.map(|level| match level {
        LevelArgument::Chain => OverrideLevel::Chain,
        LevelArgument::Encryption => OverrideLevel::Encryption,
        LevelArgument::Opportunistic => OverrideLevel::Opportunistic,
    });
    let path = format!("/connectors/{}/override", named(connector)?);
    let asked = OverrideRequest { level, until, reason };
    let done: OverrideReport = post(&socket(&args.daemon)?, &path, &asked)?;
    show(args.daemon.json, &done, |done| {
        let one = &done.overridden;
        let mut lines = vec![format!(
            "connector {connector} requires only \"{}\" until {}; `sealpost override end {connector}` ends it",
            one.level.word(),
            rfc3339(one.until)
        )];
        lines.extend(done.loosened.iter().map(|one| format!("  LOOSER    {}", one.what)));
        lines.join("\n")
    })
}

fn in_words(list: &[Override]) -> String {
    if list.is_empty() {
        return "no requirement is overridden".to_owned();
    }
    list.iter().map(override_words).collect::<Vec<_>>().join("\n")
}

fn time(text: &str) -> Result<SystemTime, String> {
    humantime::parse_rfc3339_weak(text)
        .map_err(|fault| format!("{fault}; write it in UTC, such as 2026-11-29T06:00:00Z"))
}
