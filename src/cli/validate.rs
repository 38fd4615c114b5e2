use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::print::{complain, say, say_json, table};
use super::{ConfigArg, EXIT_CONFIG, EXIT_NO, EXIT_OS, Failure};
use crate::admin::Validated;
use crate::config::{self, Config};
use crate::connector::{DomainPattern, NextHop, Outbound, PeerCertificate};
use crate::daemon;
use crate::deliver::Seen;
use crate::mail::{Clock, Domain, Mailbox, rfc3339};

/// What `validate` takes.
#[derive(Debug, clap::Args)]
pub(super) struct ValidateArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The outbound connector, in whatever mode.
    connector: String,
    /// A recipient: its domain's mail exchangers are tried. Needed where the connector has only patterns.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// How long each step may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    timeout: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Tries every host of a connector, as a delivery would, without sending mail.
pub(super) fn validate(args: &ValidateArgs) -> Result<ExitCode, Failure> {
    let config = config::load(&args.config.config)
        .map_err(|faults| Failure::new(EXIT_CONFIG, format!("the configuration has mistakes\n{faults}")))?;
    let connector = find(&config, &args.connector)?;
    let domain = domain(connector, args.to.as_deref())?;
    let limit = Duration::from_secs(args.timeout.max(1));
    let proved = runtime()?
        .block_on(daemon::prove(&config, connector, domain.as_ref(), limit))
        .map_err(|fault| Failure::new(EXIT_OS, fault))?;
    let (seen, trouble) = match proved {
        Ok(seen) => (seen, None),
        Err(trouble) => (Vec::new(), Some(trouble.reason)),
    };
    let verdict = verdict(connector, &seen, trouble.as_deref());
    if args.json {
        let hosts: Vec<_> = seen.iter().map(host_json).collect();
        say_json(&json!({
            "connector": connector.name, "mode": connector.mode, "domain": domain, "hosts": hosts,
            "at": verdict.at, "ok": verdict.ok, "verdict": verdict.verdict,
        }));
    } else {
        if !seen.is_empty() {
            say(&hosts_table(&seen));
        }
        say(&verdict.verdict);
    }
    if let Err(fault) = keep(&config.data_dir, &connector.name, &verdict) {
        complain(&format!("the result is not kept in {}: {fault}", config.data_dir.display()));
    }
    Ok(if verdict.ok { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) })
}

fn find<'c>(config: &'c Config, name: &str) -> Result<&'c Outbound, Failure> {
    config.outbound.iter().find(|connector| *connector.name == *name).ok_or_else(|| {
        let known: Vec<&str> = config.outbound.iter().map(|connector| &*connector.name).collect();
        Failure::new(
            EXIT_NO,
            format!("there is no outbound connector {name:?}; there is {}", known.join(", ")),
        )
    })
}

fn domain(connector: &Outbound, to: Option<&str>) -> Result<Option<Domain>, Failure> {
    if let Some(to) = to {
        let mailbox = Mailbox::parse(to.trim_matches(['<', '>']))
            .map_err(|fault| Failure::new(EXIT_NO, format!("{to:?}: {fault}")))?;
        return Ok(mailbox.domain_name().cloned());
    }
    let exact = connector.domains.iter().find_map(|pattern| match pattern {
        DomainPattern::Exact(domain) => Some(domain.clone()),
        DomainPattern::Below(_) | DomainPattern::Any => None,
    });
    match (&connector.next_hop, exact) {
        (NextHop::Mx { .. }, None) => Err(Failure::new(
            EXIT_NO,
            format!(
                "connector {} covers patterns only: say whose exchangers to try, --to ADDRESS",
                connector.name
            ),
        )),
        (NextHop::Mx { .. } | NextHop::SmartHosts(_), exact) => Ok(exact),
    }
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|fault| Failure::new(EXIT_OS, format!("the runtime can't be started: {fault}")))
}

fn verdict(connector: &Outbound, seen: &[Seen], trouble: Option<&str>) -> Validated {
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
    let mend = if ok {
        String::new()
    } else if seen.iter().any(|host| host.decision.is_some()) {
        " The partner can mend it, or we, if the connector says what was never agreed.".to_owned()
    } else {
        " Look at the way there first: DNS, routing, firewalls, port 25.".to_owned()
    };
    Validated { at: rfc3339(Clock::wall()), verdict: format!("{text}.{mend}"), ok }
}

/// The result, where `connectors` finds it.
fn keep(data_dir: &Path, name: &str, verdict: &Validated) -> io::Result<()> {
    let folder = data_dir.join("validated");
    fs::create_dir_all(&folder)?;
    let text = serde_json::to_string(verdict).map_err(io::Error::other)?;
    let fresh = folder.join(format!(".{name}.new"));
    fs::write(&fresh, text)?;
    fs::rename(fresh, folder.join(format!("{name}.json")))
}

pub(super) fn host_json(seen: &Seen) -> serde_json::Value {
    json!({ "host": seen.host, "ok": seen.ok, "reason": seen.reason, "decision": seen.decision })
}

pub(super) fn hosts_table(seen: &[Seen]) -> String {
    let rows: Vec<Vec<String>> = seen.iter().map(row).collect();
    let headings =
        ["host", "answer", "TLS", "group", "presents", "until", "chain ends in", "asked for ours", "reason"];
    table(&headings, &rows)
}

fn row(seen: &Seen) -> Vec<String> {
    let facts = seen.decision.as_ref().and_then(|decision| decision.tls.as_ref());
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
