//! `validate`: tries every host of an outbound connector without sending mail, and keeps the result
//! for `connectors`.

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::args::DaemonArgs;
use super::exit::{EXIT_NO, EXIT_OS, Failure};
use super::print::{say, say_json, table};
use super::runtime::runtime;
use super::wait::Wait;
use crate::admin::HintView;
use crate::config;
use crate::connector::{DecisionRecord, Mode, PeerCertificate};
use crate::daemon;
use crate::deliver::{HostReport, WaitList};
use crate::mail::{Domain, rfc3339};
use running::RunningDaemon;

mod running;

/// What `validate` takes.
#[derive(Debug, clap::Args)]
pub(super) struct ValidateArgs {
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
    /// The outbound connector, whatever its mode.
    connector: String,
    /// A recipient that the connector serves: its domain's mail exchangers are tried, and asked whether they take it
    /// (MAIL and RCPT, no content). Needed if the connector has only patterns.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// How long each address may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    timeout: u64,
}

/// Tries every host of a connector as a delivery would, without sending mail.
pub(super) fn validate(args: &ValidateArgs) -> Result<ExitCode, Failure> {
    let config = config::load(&args.daemon.config.config)?;
    let connector = config.outbound_named(&args.connector).map_err(|words| Failure::new(EXIT_NO, words))?;
    let running = RunningDaemon::find(&args.daemon, &config)?;
    let whom = daemon::whom(&config, connector, args.to.as_deref())?;
    let (domain, to) = (whom.domain.clone(), whom.envelope.as_ref().map(|(_, to)| to.to_string()));
    let limit = Duration::from_secs(args.timeout.max(1));
    let waits = WaitList::default();
    let ground = (RunningDaemon::listening(running.as_ref(), &config), waits.clone());
    let shown = Wait::told_by(move || waits.text());
    let proved = runtime()?
        .block_on(daemon::prove(&config, connector, whom, ground, limit))
        .map_err(|fault| Failure::new(EXIT_OS, fault))?;
    drop(shown);
    let (seen, trouble) = match proved {
        Ok(seen) => (seen, None),
        Err(trouble) => (Vec::new(), Some(trouble.reason)),
    };
    let verdict = daemon::verdict(connector, (&seen, trouble.as_deref()), to);
    if args.daemon.json {
        say_json(&ValidateAnswer {
            connector: &connector.name,
            mode: connector.mode,
            domain: domain.as_ref(),
            hosts: seen.iter().map(HostAnswer::from).collect(),
            at: &verdict.at,
            to: verdict.to.as_deref(),
            ok: verdict.ok,
            verdict: &verdict.verdict,
        });
    } else {
        if !seen.is_empty() {
            say(&hosts_table(&seen));
            seen.iter().for_each(|host| say(&details(host)));
        }
        say(&verdict.verdict);
    }
    RunningDaemon::keep(running.as_ref(), &config, &connector.name, &verdict);
    Ok(if verdict.ok { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) })
}

/// Everything that one address presented.
fn details(seen: &HostReport) -> String {
    let lines = daemon::host_details(seen).into_iter();
    let lines = lines.map(|(heading, text)| format!("  {heading:<13} {text}"));
    [String::new(), seen.host.clone()].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}

/// What `validate --json` prints.
#[derive(Serialize)]
struct ValidateAnswer<'a> {
    connector: &'a str,
    mode: Mode,
    domain: Option<&'a Domain>,
    hosts: Vec<HostAnswer>,
    at: &'a str,
    /// The recipient that was asked for.
    to: Option<&'a str>,
    ok: bool,
    verdict: &'a str,
}

/// One address, in the answers of `validate --json` and `probe --json`.
#[derive(Serialize)]
pub(super) struct HostAnswer {
    host: String,
    ok: bool,
    reason: String,
    decision: Option<DecisionRecord>,
    recipient: Option<String>,
    banner: Option<String>,
    hint: Option<HintView>,
}

impl From<&HostReport> for HostAnswer {
    fn from(seen: &HostReport) -> Self {
        Self {
            host: seen.host.clone(),
            ok: seen.ok,
            reason: seen.reason.clone(),
            decision: seen.decision.as_deref().map(DecisionRecord::from),
            recipient: seen.recipient.as_ref().map(ToString::to_string),
            banner: seen.banner.clone(),
            hint: seen.hint.map(HintView::from),
        }
    }
}

pub(super) fn hosts_table(seen: &[HostReport]) -> String {
    let rows: Vec<Vec<String>> = seen.iter().map(row).collect();
    let headings =
        ["host", "answer", "TLS", "group", "presents", "until", "chain ends in", "asked for ours", "reason"];
    table(&headings, &rows)
}

fn row(seen: &HostReport) -> Vec<String> {
    let facts = seen.decision.as_ref().and_then(|decision| decision.tls());
    let dash = || "-".to_owned();
    let certificate = facts.and_then(|facts| match &facts.peer {
        PeerCertificate::Shown(certificate) => Some(certificate),
        PeerCertificate::NotShown | PeerCertificate::Unreadable(_) => None,
    });
    vec![
        seen.host.clone(),
        if seen.ok { "ok".to_owned() } else { "NO".to_owned() },
        facts.map_or_else(dash, |facts| format!("{} {}", facts.version, facts.suite)),
        facts.map_or_else(dash, |facts| facts.group.clone()),
        certificate.map_or_else(dash, |c| c.names_text()),
        certificate.map_or_else(dash, |c| rfc3339(c.not_after)),
        certificate.map_or_else(dash, |c| {
            c.root.clone().unwrap_or_else(|| format!("nothing known (issuer {})", c.issuer))
        }),
        facts.and_then(|facts| facts.client_certificate).map_or_else(dash, |c| c.to_string()),
        seen.reason.clone(),
    ]
}
