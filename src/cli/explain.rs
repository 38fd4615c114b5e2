use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};

use super::print::{say, say_json};
use super::{ConfigArg, EXIT_CONFIG, EXIT_NO, Failure};
use crate::config::{self, Config};
use crate::connector::{
    Admission, Channel, Choice, Decision, Generation, NextHop, Observed, Outbound, Passed, PeerCertificate,
    SessionId, SmartHostName, Table, TlsFacts, TlsVersion, Verdict, admit, choose, judge, proceeded,
    withheld,
};
use crate::mail::{Clock, Domain, Mailbox, ReversePath};
use crate::tls;

/// What `explain` takes.
#[derive(Debug, clap::Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// A recipient: which outbound connector serves it, and what does it demand?
    #[arg(long, value_name = "ADDRESS", required_unless_present = "from")]
    to: Option<String>,
    /// A reverse-path ("" or "<>" for the null one): which inbound connector admits it?
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// With --from: the address the peer connects from.
    #[arg(long, value_name = "IP", requires = "from", default_value = "203.0.113.1")]
    peer_ip: IpAddr,
    /// The peer uses TLS.
    #[arg(long)]
    tls: bool,
    /// The certificate chain the peer shows (PEM); it is taken to hold the key.
    #[arg(long, value_name = "FILE")]
    peer_cert: Option<PathBuf>,
    /// With --to: the next hop does not offer STARTTLS.
    #[arg(long, requires = "to", conflicts_with_all = ["tls", "peer_cert"])]
    not_offered: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Says which connector decides, and how. No network is asked.
pub(super) fn explain(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let config = config::load(&args.config.config)
        .map_err(|faults| Failure::new(EXIT_CONFIG, format!("the configuration has mistakes\n{faults}")))?;
    let table = Table::new(Generation(1), config.inbound.clone(), config.outbound.clone());
    let to = args.to.as_deref().map(parse_mailbox).transpose()?;
    let mut answer = serde_json::Map::new();
    let mut lines = Vec::new();
    let mut yes = true;
    if let Some(from) = &args.from {
        let (admitted, part) = inbound(args, from, to.as_ref(), &config, &table, &mut lines)?;
        yes &= admitted;
        answer.insert("inbound".to_owned(), part);
    }
    if let Some(to) = &to {
        let (served, part) = outbound(args, to, &config, &table, &mut lines)?;
        yes &= served;
        answer.insert("outbound".to_owned(), part);
    }
    if args.json {
        say_json(&answer);
    } else {
        say(&lines.join("\n"));
    }
    Ok(if yes { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) })
}

fn parse_mailbox(text: &str) -> Result<Mailbox, Failure> {
    Mailbox::parse(text.trim_matches(['<', '>'])).map_err(|e| Failure::new(EXIT_NO, format!("{text:?}: {e}")))
}

fn outbound(
    args: &ExplainArgs,
    to: &Mailbox,
    config: &Config,
    table: &Table,
    lines: &mut Vec<String>,
) -> Result<(bool, Value), Failure> {
    let domain = to.domain_name();
    let considered = Choice::considered(table, domain);
    let Some(choice) = choose(table, domain) else {
        lines.push(format!("to <{to}>: no outbound connector; RCPT is refused with 550 5.4.4"));
        lines.extend(considered.iter().map(|c| format!("  not {}: {}", c.connector, c.reason)));
        return Ok((false, json!({ "to": to, "connector": null, "considered": considered })));
    };
    let connector = &choice.connector;
    let requirements: Vec<String> = match &connector.next_hop {
        NextHop::Mx { .. } => vec![connector.requirement(domain, None).to_string()],
        NextHop::SmartHosts(hosts) => {
            let mut all: Vec<String> =
                hosts.iter().map(|h| connector.requirement(domain, Some(&h.name)).to_string()).collect();
            all.dedup();
            all
        }
    };
    lines.push(format!("to <{to}>: connector {} by {}", connector.name, choice.pattern));
    lines.push(format!("  next hop  {}", connector.next_hop));
    lines.push(format!("  tls       {}, mode {}", connector.tls_word(), connector.mode.word()));
    lines.extend(requirements.iter().map(|r| format!("  wanted    {r}")));
    lines.extend(
        considered.iter().filter(|c| !c.chosen).map(|c| format!("  not {}: {}", c.connector, c.reason)),
    );
    let decisions = supposed(args, config, connector, domain)?;
    for (_, decision) in &decisions {
        lines.push(format!("  got       {}", decision.got));
        lines.push(format!("  so        {} ({})", decision.reason, decision.token));
    }
    let sent = decisions.iter().all(|(sent, _)| *sent);
    let decisions: Vec<Decision> = decisions.into_iter().map(|(_, decision)| decision).collect();
    let part = json!({
        "mode": connector.mode, "decisions": decisions,
        "to": to, "connector": connector.name, "pattern": choice.pattern.to_string(),
        "next_hop": connector.next_hop.to_string(), "tls": connector.tls_word(), "wanted": requirements,
        "considered": considered,
    });
    Ok((sent, part))
}

/// What the connector would make of a next hop that shows what the arguments say; nothing where they
/// say nothing of it. Each with whether mail would be sent. The verdict is the judge's own, so that the daemon comes to the same.
fn supposed(
    args: &ExplainArgs,
    config: &Config,
    connector: &Outbound,
    domain: Option<&Domain>,
) -> Result<Vec<(bool, Decision)>, Failure> {
    let observed = match (args.not_offered, outbound_facts(args, config)?) {
        (true, _) => Observed::NotOffered,
        (false, Some(facts)) => Observed::Established(facts),
        (false, None) => return Ok(Vec::new()),
    };
    let hosts: Vec<Option<&SmartHostName>> = match &connector.next_hop {
        NextHop::Mx { .. } => vec![None],
        NextHop::SmartHosts(hosts) => hosts.iter().map(|host| Some(&host.name)).collect(),
    };
    let decide = |host: Option<&SmartHostName>| {
        let requirement = connector.requirement(domain, host);
        let name = host.map_or_else(|| "a mail exchanger".to_owned(), ToString::to_string);
        match judge(&requirement, &observed, SessionId::new(), connector.revision, Generation(1)) {
            Verdict::Proceed(permit) => (true, proceeded(connector, &name, &requirement, &permit)),
            Verdict::Withhold(shortfall) => {
                (false, withheld(connector, &name, &requirement, &observed, &shortfall))
            }
        }
    };
    Ok(hosts.into_iter().map(decide).collect())
}

fn inbound(
    args: &ExplainArgs,
    from: &str,
    to: Option<&Mailbox>,
    config: &Config,
    table: &Table,
    lines: &mut Vec<String>,
) -> Result<(bool, Value), Failure> {
    let path = ReversePath::parse(from.trim_matches(['<', '>']))
        .map_err(|e| Failure::new(EXIT_NO, format!("{from:?}: {e}")))?;
    let channel = Channel { peer: args.peer_ip, tls: facts(args, config)? };
    lines.push(format!("from <{path}> at {}:", args.peer_ip));
    let (yes, decision, reply, passed) = match admit(table, &channel, &path) {
        Admission::Admitted(admitted) => {
            let relays = to.is_none_or(|to| admitted.connector.relays_to(to.domain_name()));
            lines.push(format!("  admitted by {}: {}", admitted.connector.name, admitted.decision.reason));
            if let (false, Some(to)) = (relays, to) {
                lines.push(format!(
                    "  but {} does not relay to {}; RCPT is refused",
                    admitted.connector.name,
                    to.domain()
                ));
            }
            (relays, admitted.decision, None, admitted.passed)
        }
        Admission::Refused(refused) => {
            lines.push(format!("  refused: {}", refused.reply));
            (false, refused.decision, Some(refused.reply.to_string()), refused.passed)
        }
    };
    lines.push(format!("  wanted    {}", decision.wanted));
    lines.push(format!("  got       {}", decision.got));
    lines.extend(passed.iter().map(|p| format!("  not {}: {}", p.connector, p.unmet)));
    let passed: Vec<Value> = passed.iter().map(passed_json).collect();
    Ok((
        yes,
        json!({ "from": path, "admitted": yes, "decision": *decision, "reply": reply, "passed": passed }),
    ))
}

fn passed_json(passed: &Passed) -> Value {
    json!({ "connector": passed.connector, "reason": passed.unmet.to_string(), "token": passed.unmet.token() })
}

/// The same for a server.
fn outbound_facts(args: &ExplainArgs, config: &Config) -> Result<Option<Arc<TlsFacts>>, Failure> {
    facts_for(args, config, tls::Usage::Server)
}

/// The facts a handshake with this certificate would show.
fn facts(args: &ExplainArgs, config: &Config) -> Result<Option<Arc<TlsFacts>>, Failure> {
    facts_for(args, config, tls::Usage::ClientOrServer)
}

fn facts_for(
    args: &ExplainArgs,
    config: &Config,
    usage: tls::Usage,
) -> Result<Option<Arc<TlsFacts>>, Failure> {
    if !args.tls && args.peer_cert.is_none() {
        return Ok(None);
    }
    let peer = match &args.peer_cert {
        None => PeerCertificate::NotShown,
        Some(file) => assessed(file, config, usage)?,
    };
    Ok(Some(Arc::new(TlsFacts {
        at: Clock::wall(),
        version: TlsVersion::V13,
        suite: "any".to_owned(),
        group: "any".to_owned(),
        peer,
        sni: None,
        client_certificate: None,
    })))
}

fn assessed(file: &Path, config: &Config, usage: tls::Usage) -> Result<PeerCertificate, Failure> {
    let chain = tls::read_chain(file).map_err(|fault| Failure::new(EXIT_NO, fault))?;
    let sets: Vec<_> = config.trust.iter().map(|(id, set)| (id.clone(), Arc::clone(set))).collect();
    Ok(tls::assess(&chain, true, &sets, usage, Clock::wall()))
}
