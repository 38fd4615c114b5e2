//! `probe`: tests whether forced TLS would work with domains or hosts today. It needs no
//! configuration and sends no mail.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Semaphore;

use super::args::profile_argument;
use super::exit::{EXIT_ARGUMENTS, EXIT_NO, EXIT_OS, Failure};
use super::print::{say, say_json};
use super::runtime::runtime;
use super::validate::{HostAnswer, hosts_table};
use super::wait::Wait;
use crate::config;
use crate::connector::{
    DomainPattern, Forced, Generation, KeyExchange, Mode, NextHop, OnHandshakeFailure, Outbound, OutboundTls,
    PeerName, Profile, Require, Shortfall, SmartHostName, Table, TlsVersion, TrustId, first_match,
};
use crate::daemon::{self, TrialGround, Whom};
use crate::deliver::{HostReport, WaitList, settings::Settings};
use crate::mail::Domain;
use crate::resolver::settings::Settings as Asking;
use crate::tls::{ClientSettings, TrustSet};

/// What `probe` takes.
#[derive(Debug, clap::Args)]
pub(super) struct ProbeArgs {
    /// Domains (their mail exchangers are tried), HOST:PORT or [ADDRESS]:PORT.
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,
    /// The port of mail exchangers.
    #[arg(long, default_value_t = 25)]
    port: u16,
    /// A DNS server to ask instead of the system's.
    #[arg(long, value_name = "ADDRESS:PORT")]
    dns: Option<SocketAddr>,
    /// Trust anchors instead of the system's (PEM).
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Our name in EHLO.
    #[arg(long, default_value = "localhost.localdomain")]
    name: String,
    /// A TLS profile that hosts must conform to, such as nl-2025; no more is offered than it allows.
    #[arg(long, value_name = "NAME", value_parser = profile_argument)]
    profile: Option<Profile>,
    /// How long each address may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    timeout: u64,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Reports for each target whether TLS could be forced today, and prints the connector to paste.
pub(super) fn probe(args: &ProbeArgs) -> Result<ExitCode, Failure> {
    let no = |fault: &dyn std::fmt::Display| Failure::new(EXIT_NO, fault.to_string());
    let misused = |fault: String| Failure::new(EXIT_ARGUMENTS, fault);
    let name = Domain::parse(&args.name).map_err(|fault| misused(format!("--name: {fault}")))?;
    let (id, set) = match &args.trust {
        None => (TrustId::system(), TrustSet::system()),
        Some(file) => (TrustId("own".into()), TrustSet::load(file)),
    };
    let trust = (id, Arc::new(set.map_err(|fault| no(&fault))?));
    let runtime = runtime()?;
    let seats = Arc::new(Semaphore::new(AT_ONCE));
    let waits = WaitList::default();
    let mut running = Vec::new();
    for target in &args.targets {
        let (connector, domain) = connector(target, args.port, (&trust.0, args.profile)).map_err(misused)?;
        let seats = Arc::clone(&seats);
        let whom = Whom { domain: domain.clone(), ..Whom::default() };
        let next_hop = match &connector.next_hop {
            NextHop::Mx { .. } => "\"mx\"".to_owned(),
            hosts @ NextHop::SmartHosts(_) => format!("[\"{hosts}\"]"),
        };
        let ground = ground(args, &name, (trust.0.clone(), Arc::clone(&trust.1)), waits.clone());
        let task = runtime.spawn(async move {
            let _seat = seats.acquire_owned().await;
            daemon::prove_with(connector, whom, ground).await
        });
        running.push(((target, next_hop), domain, task));
    }
    let mut answers = Vec::new();
    let mut all_good = true;
    for ((target, next_hop), domain, task) in running {
        let broke = |fault: &dyn std::fmt::Display| Failure::new(EXIT_OS, fault.to_string());
        let under_way = waits.clone();
        let shown = Wait::told_by(move || under_way.text());
        let proved = runtime.block_on(task).map_err(|fault| broke(&fault))?.map_err(|fault| broke(&fault))?;
        drop(shown);
        let (seen, trouble) = match proved {
            Ok(seen) => (seen, None),
            Err(trouble) => (Vec::new(), Some(trouble.reason)),
        };
        let advice = advise(
            (target, &next_hop),
            domain.as_ref(),
            (&seen, trouble.as_deref()),
            (&trust.0, args.trust.as_deref(), args.profile),
        );
        all_good &= advice.forced;
        if args.json {
            answers.push(ProbeAnswer::new(target, advice, &seen));
        } else {
            say(&format!("{target}: {}", advice.sentence));
            if !seen.is_empty() {
                say(&hosts_table(&seen));
            }
            for (host, hint) in seen.iter().filter_map(|host| Some((&host.host, host.hint?))) {
                say(&format!("{host}: hint: {hint}"));
            }
            say(&format!("\n{}", advice.paste));
        }
    }
    if args.json {
        say_json(&answers);
    }
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) })
}

/// What `probe --json` prints for each target.
#[derive(Serialize)]
struct ProbeAnswer<'a> {
    target: &'a str,
    could_be_forced: bool,
    verdict: String,
    /// The connector to paste.
    connector: String,
    hosts: Vec<HostAnswer>,
}

impl<'a> ProbeAnswer<'a> {
    fn new(target: &'a str, advice: Advice, seen: &[HostReport]) -> Self {
        Self {
            target,
            could_be_forced: advice.forced,
            verdict: advice.sentence,
            connector: advice.paste,
            hosts: seen.iter().map(HostAnswer::from).collect(),
        }
    }
}

fn ground(args: &ProbeArgs, name: &Domain, trust: (TrustId, Arc<TrustSet>), waits: WaitList) -> TrialGround {
    TrialGround {
        // No recipient is asked for, and there is no table to ask.
        table: Table::new(Generation::default(), Vec::new(), Vec::new()),
        tls: ClientSettings {
            // As forced TLS would make the handshake, where a profile says what that is.
            judged: args.profile.is_some(),
            min_version: TlsVersion::V12,
            key_exchange: KeyExchange::Any,
            profile: args.profile,
            trust: vec![trust],
            identity: None,
            rehearsed: None,
        },
        deliver: Settings::single(name.clone(), daemon::within(Duration::from_secs(args.timeout.max(1)))),
        asking: Asking {
            servers: args.dns.into_iter().collect(),
            timeout: Duration::from_secs(5),
            attempts: 2,
        },
        ourselves: Vec::new(),
        waits,
    }
}

/// A connector in audit mode, so that the handshake is completed and reported whatever it shows.
fn connector(
    target: &str,
    port: u16,
    (trust, profile): (&TrustId, Option<Profile>),
) -> Result<(Outbound, Option<Domain>), String> {
    let host = config::host_and_port(target, port)?;
    let domain = match &host.name {
        SmartHostName::Name(name) => Some(name.clone()),
        SmartHostName::Ip(_) => None,
    };
    // Only a domain that is written alone has mail exchangers.
    let next_hop = if domain.is_some() && !target.contains(':') {
        NextHop::Mx { port }
    } else {
        NextHop::SmartHosts(vec![host])
    };
    let connector = Outbound {
        tls: OutboundTls::Forced(Forced {
            profile,
            ..Forced::new(Require::Identity { trust: vec![trust.clone()], names: Vec::new() })
        }),
        mode: Mode::Audit,
        on_handshake_failure: OnHandshakeFailure::Defer,
        ..Outbound::new("probe", vec![DomainPattern::Any], next_hop)
    };
    Ok((connector, domain))
}

/// Maximum number of targets tried at the same time.
const AT_ONCE: usize = 8;

struct Advice {
    /// Whether TLS with a verified identity could be forced today.
    forced: bool,
    sentence: String,
    paste: String,
}

/// What can be required, judging by the hosts.
fn advise(
    (target, next_hop): (&str, &str),
    domain: Option<&Domain>,
    (seen, trouble): (&[HostReport], Option<&str>),
    (trust, anchors, profile): (&TrustId, Option<&Path>, Option<Profile>),
) -> Advice {
    if let Some(trouble) = trouble {
        return Advice {
            forced: false,
            sentence: format!("no host to try: {trouble}"),
            paste: "# nothing to paste: no host answered for it\n".to_owned(),
        };
    }
    let met = Forced { profile, ..Forced::new(Require::Chain { trust: vec![trust.clone()] }) };
    let names: Vec<String> = seen.iter().filter_map(|host| identity(host, domain, &met)).collect();
    let reason = |host: &&HostReport| identity(host, domain, &met).is_none();
    let (forced, sentence, demands) = if let Some(host) = seen.iter().find(reason) {
        let others = format!("{} of {} addresses would do", names.len(), seen.len());
        (
            false,
            format!("can't be forced today: {others}; {}: {}", host.host, outside(host, &met)),
            "tls = \"opportunistic\"\n".to_owned(),
        )
    } else {
        let mut names = names;
        names.sort();
        names.dedup();
        let trust =
            if *trust == TrustId::system() { String::new() } else { format!("trust = [\"{trust}\"]\n") };
        let list = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        (
            true,
            profile.map_or_else(
                || "could be forced with an identity today".to_owned(),
                |profile| format!("could be forced with an identity and the profile {profile} today"),
            ),
            format!(
                "tls = \"forced\"\npeer_names = [{list}]\n{trust}{}",
                profile.map_or_else(String::new, |profile| format!("profile = \"{profile}\"\n"))
            ),
        )
    };
    let domains = match domain {
        Some(domain) if !target.contains(':') => domain.to_string(),
        Some(_) | None => "partner.example".to_owned(),
    };
    let id: String = target.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let anchors = anchors
        .filter(|_| forced)
        .map_or_else(String::new, |file| format!("[trust.{trust}]\nanchors = \"{}\"\n\n", file.display()));
    let paste = format!(
        "{anchors}[[outbound]]\nname = \"{}-out\"\ndomains = [\"{domains}\"]\nnext_hop = {next_hop}\n{demands}",
        id.trim_matches('-')
    );
    Advice { forced, sentence, paste }
}

/// Why a host would not do: what it shows outside the profile counts before the name.
fn outside(seen: &HostReport, met: &Forced) -> String {
    let facts = seen.decision.as_ref().and_then(|decision| decision.tls());
    match facts.and_then(|facts| met.unmet_by(facts)) {
        Some(shortfall @ Shortfall::Profile(..)) => shortfall.to_string(),
        Some(_) | None => seen.reason.clone(),
    }
}

/// The name to require of a host: the one that its certificate presents, if chain and profile are as they should be.
fn identity(seen: &HostReport, domain: Option<&Domain>, met: &Forced) -> Option<String> {
    let facts = seen.decision.as_ref()?.tls()?;
    let certificate = facts.certificate().filter(|certificate| certificate.proved)?;
    if met.unmet_by(facts).is_some() {
        return None;
    }
    let presents =
        |name: &Domain| first_match(&[PeerName::Exact(name.clone())], &certificate.names).is_some();
    let own = [domain, seen.name.as_ref()].into_iter().flatten().find(|name| presents(name));
    own.map(ToString::to_string)
}
