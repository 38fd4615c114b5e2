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
use crate::admin::{HintView, Validation};
use crate::config::{self, Config};
use crate::connector::{ChainFault, DecisionRecord, Mode, Outbound, PeerCertificate, Shortfall, pin_text};
use crate::daemon;
use crate::deliver::{HostReport, WaitList};
use crate::mail::{Clock, Domain, rfc3339, unmoved};
use running::RunningDaemon;
use whom::whom;

mod running;
mod whom;

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
    let connector = find(&config, &args.connector)?;
    let running = RunningDaemon::find(&args.daemon, &config)?;
    let whom = whom(&config, connector, args.to.as_deref())?;
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
    let verdict = verdict(connector, (&seen, trouble.as_deref()), to);
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

fn find<'c>(config: &'c Config, name: &str) -> Result<&'c Outbound, Failure> {
    config.outbound.iter().find(|connector| *connector.name == *name).ok_or_else(|| {
        let known: Vec<&str> = config.outbound.iter().map(|connector| &*connector.name).collect();
        Failure::new(EXIT_NO, config::unknown_name("outbound connector", name, &known))
    })
}

fn verdict(
    connector: &Outbound,
    (seen, trouble): (&[HostReport], Option<&str>),
    to: Option<String>,
) -> Validation {
    let good = seen.iter().filter(|host| host.ok).count();
    let (ok, text) = if let Some(trouble) = trouble {
        (false, format!("no host to try: {trouble}"))
    } else if good == seen.len() {
        (true, format!("all {good} addresses meet what connector {} demands", connector.name))
    } else {
        let first = seen.iter().find(|host| !host.ok).map_or("", |host| host.reason.as_str());
        let rest = if good > 0 { "; mail goes by the others" } else { "; no mail would be sent" };
        (false, format!("{good} of {} addresses will do: {first}{rest}", seen.len()))
    };
    let advice = seen.iter().find(|host| !host.ok).map_or("", advice);
    let revision = connector.revision.to_string();
    let verdict = format!("{text}. {advice}").trim_end().to_owned();
    Validation { at: rfc3339(Clock::wall()), to, revision, verdict, ok }
}

/// Who has to fix it.
fn advice(host: &HostReport) -> &'static str {
    if let Some(hint) = host.hint {
        return hint.advice;
    }
    if host.recipient.is_some() {
        return "The partner can say why; or the recipient does not exist.";
    }
    let Some(decision) = &host.decision else {
        return "Look at the path first: DNS, routing, firewalls, the port.";
    };
    let Some(shortfall) = decision.shortfall() else { return NEITHER };
    match shortfall {
        Shortfall::NotOffered => {
            "The partner can fix it, or whoever runs a firewall on the path that removes STARTTLS."
        }
        Shortfall::Refused(_) | Shortfall::Handshake(_) | Shortfall::SessionLost(_) | Shortfall::Unproved => {
            "The partner can fix it; they need the time of this attempt to find it in their log."
        }
        Shortfall::Chain { fault: ChainFault::Expired | ChainFault::NotYetValid, .. }
        | Shortfall::Revoked => "The partner can fix it with a new certificate.",
        Shortfall::Name { .. } => {
            "We can fix it, if these are the names of the partner's hosts: write them as peer_names; else the partner."
        }
        Shortfall::Chain { fault: ChainFault::UnknownIssuer, .. } => {
            "The partner can fix it by sending the whole chain; or we can, if its authority was agreed on: add it to trust."
        }
        Shortfall::Pin { dated: false, .. } => {
            "We can fix it once the partner has confirmed its new key over another channel: add its pin."
        }
        Shortfall::NotTried
        | Shortfall::Version(_)
        | Shortfall::NoCertificate
        | Shortfall::Unreadable(_)
        | Shortfall::Chain { .. }
        | Shortfall::KeyExchange(_)
        | Shortfall::Profile(..)
        | Shortfall::Pin { dated: true, .. }
        | Shortfall::Subject { .. }
        | Shortfall::RevocationUnknown(_)
        | Shortfall::NotForClients
        | Shortfall::Onward => NEITHER,
    }
}

const NEITHER: &str = "The partner can fix it, or we can, if the connector demands what was never agreed.";

/// Everything that one address presented.
fn details(seen: &HostReport) -> String {
    let mut lines = vec![String::new(), seen.host.clone()];
    let mut line = |heading: &str, text: String| lines.push(format!("  {heading:<13} {text}"));
    if let Some(banner) = &seen.banner {
        line("greeted with", unmoved(banner, ' ').collect());
    }
    if let Some(decision) = &seen.decision {
        line("required", decision.required.to_string());
        line("token", decision.token().into_owned());
        line("attained", decision.attained.to_string());
        if let Some(tls) = decision.tls() {
            line("SNI", tls.sni.clone().unwrap_or_else(|| "none sent".to_owned()));
            if let Some(certificate) = tls.certificate() {
                line("subject", certificate.subject.clone());
                line("presents", certificate.names_text());
                line("issuer", certificate.issuer.clone());
                line("pin", pin_text(&certificate.spki));
                for other in &certificate.beside {
                    let until = rfc3339(other.not_after);
                    line(
                        "beside it",
                        format!("{}, issued by {}, until {until}", other.subject, other.issuer),
                    );
                }
                line("root", certificate.root.clone().unwrap_or_else(|| "none known".to_owned()));
                for (set, status) in &certificate.revocation {
                    line("revocation", format!("by {set}: {}", status.in_words()));
                }
            }
        }
    }
    if let Some(reply) = &seen.recipient {
        line("recipient", reply.to_string());
    }
    if let Some(hint) = seen.hint {
        line("hint", hint.to_string());
    }
    line("so", format!("{}{}", if seen.ok { "" } else { "NO: " }, seen.reason));
    lines.join("\n")
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
