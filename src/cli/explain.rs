//! `explain`: which connector applies and what it decides, without network access.

use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;

use super::exit::{EXIT_NO, Failure};
use super::paths::{NamedRecipient, addressee, reverse_path};
use super::print::{say, say_json};
use crate::config::{self, Config};
use crate::connector::{
    Admission, Arrival, Channel, Choice, ConsideredConnector, Decision, DecisionRecord, Generation,
    HeaderFindings, HeaderTally, Mode, NextHop, Onward, OnwardDemand, Outbound, Override, Table,
    UnchosenConnector, User, admit, choose, reroute_target,
};
use crate::daemon::{override_words, recorded_overrides};
use crate::mail::{Domain, Mailbox, ReversePath};
use crate::outcome::may_pass;
use crate::tls;
use echoed::{EchoExplained, echo_for, echoed};
use supposed::{facts, supposed};

mod args;
mod echoed;
mod refusal;
mod supposed;

pub(super) use args::ExplainArgs;

/// Reports which connector decides, and how. No network access.
pub(super) fn explain(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    if let Some(text) = &args.reply {
        return Ok(refusal::explained(text, args.json));
    }
    let config = config::load(&args.config.config)?;
    // Those of the daemon, if its folder can be read.
    let overrides = recorded_overrides(&config.data_dir).unwrap_or_default();
    let (config, _) = config.overridden(&overrides);
    let table = config.table(Generation(1));
    let postmaster = &config.listen.postmaster;
    let to = args.to.as_deref().map(|to| addressee(to, postmaster)).transpose()?;
    let mut answer = ExplainAnswer::default();
    let mut lines = Vec::new();
    let mut yes = true;
    let mut demand = OnwardDemand::default();
    let mut arrived_by = arrives_by(args, &table)?;
    if let Some(from) = &args.from {
        let (admitted, part) = inbound(args, from, to.as_ref(), &config, &table, &mut lines)?;
        yes &= admitted;
        arrived_by = part.decision.connector.as_deref().filter(|_| part.admitted).map(Arc::from);
        demand =
            OnwardDemand { raised_by: part.raised_by.clone(), ..OnwardDemand::of_connector(part.onward) };
        answer.inbound = Some(part);
    }
    let echo = to.as_ref().and_then(|to| echo_for(&config, &to.mailbox, arrived_by.as_deref()));
    if let Some(echo) = echo {
        let (answers, part) = echoed(args, echo, (&config, &table), &mut lines)?;
        yes &= answers;
        answer.echo = Some(part);
    } else if let Some(to) = &to {
        let arrived = (&to.mailbox, arrived_by.as_ref(), &demand);
        let (served, part) = outbound(args, arrived, &config, &table, &mut lines)?;
        yes &= served;
        answer.outbound = Some(part);
    }
    answer.overridden = overrides.into_iter().filter(|one| answer.is_about(&one.connector)).collect();
    lines.extend(answer.overridden.iter().map(|one| format!("OVERRIDE  {}", override_words(one))));
    if args.json {
        say_json(&answer);
    } else {
        say(&lines.join("\n"));
    }
    Ok(if yes { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) })
}

/// The inbound connector that the arguments name.
fn arrives_by(args: &ExplainArgs, table: &Table) -> Result<Option<Arc<str>>, Failure> {
    let Some(name) = &args.arrives_by else { return Ok(None) };
    let known = || table.inbound.iter().map(|connector| &connector.name);
    match known().find(|known| ***known == **name) {
        Some(found) => Ok(Some(Arc::clone(found))),
        None => {
            let names: Vec<&str> = known().map(AsRef::as_ref).collect();
            let words = format!("no inbound connector is named {name:?}; there is {}", names.join(", "));
            Err(Failure::new(EXIT_NO, words))
        }
    }
}

fn outbound(
    args: &ExplainArgs,
    (to, arrived_by, demand): (&Mailbox, Option<&Arc<str>>, &OnwardDemand),
    config: &Config,
    table: &Table,
    lines: &mut Vec<String>,
) -> Result<(bool, OutboundAnswer), Failure> {
    let domain = to.domain_name();
    let arrival = Arrival::of(arrived_by);
    let considered = Choice::considered(table, domain, arrival);
    let arrivals = if arrived_by.is_none() { other_ways(table, domain) } else { Vec::new() };
    let mut part = OutboundAnswer {
        to: to.clone(),
        arrived_by: arrived_by.map(Arc::clone),
        considered,
        connector: None,
        arrivals,
        choice: None,
    };
    let arriving = arrived_by.map(|name| format!(", arrived by {name}")).unwrap_or_default();
    let Some(choice) = choose(table, domain, arrival) else {
        lines.push(part.without_connector(&arriving));
        lines.extend(part.passed_lines());
        return Ok((!part.arrivals.is_empty(), part));
    };
    let connector = &choice.connector;
    let requirements = required_of(connector, domain);
    lines.push(format!("to <{to}>{arriving}: connector {} by {}", connector.name, choice.pattern));
    lines.extend(connector.partner.as_ref().map(|partner| format!("  partner   {partner}")));
    lines.push(format!("  next hop  {}", connector.next_hop));
    lines.push(format!("  tls       {}, mode {}", connector.tls_word(), connector.mode.word()));
    lines.extend(requirements.iter().map(|r| format!("  required  {r}")));
    lines.push(format!("  headers   {}", connector.sending.headers.word()));
    let (other, words) = RerouteAnswer::find(table, connector, domain, demand);
    lines.extend(words);
    lines.extend(part.passed_lines());
    let mut decisions =
        if args.from.is_some() { Vec::new() } else { supposed(args, config, connector, domain)? };
    decisions.extend(Decision::onward(connector, demand).map(|decision| {
        let what = if other.is_some() { "unmet     " } else { "waits     " };
        lines.push(format!("  {what}{} ({})", decision.reason(), decision.token()));
        lines.extend(other.as_ref().map(RerouteAnswer::handed));
        (false, decision)
    }));
    for (_, decision) in &decisions {
        let Some(host) = &decision.host else { continue };
        lines.push(format!("  at {host}: attained {}", decision.attained));
        lines.push(format!("    so      {} ({})", decision.reason(), decision.token()));
        lines.extend(other.as_ref().and_then(|other| other.then(decision)));
    }
    let sent = decisions.is_empty() || decisions.iter().any(|(sent, _)| *sent);
    let decisions: Vec<_> = decisions.iter().map(|(_, decision)| DecisionRecord::from(decision)).collect();
    let terms = ChoiceAnswer {
        partner: connector.partner.as_ref().map(|partner| Arc::clone(&partner.name)),
        contact: connector.partner.as_ref().and_then(|partner| partner.contact.clone()),
        mode: connector.mode,
        decisions,
        pattern: choice.pattern.to_string(),
        next_hop: connector.next_hop.to_string(),
        tls: connector.tls_word(),
        required: requirements,
        rerouted_to: other,
    };
    part.connector = Some(Arc::clone(&connector.name));
    part.choice = Some(terms);
    Ok((sent, part))
}

impl RerouteAnswer {
    /// The connector to which such mail is handed if the requirement is unmet, and the lines about it.
    fn find(
        table: &Table,
        connector: &Outbound,
        domain: Option<&Domain>,
        demand: &OnwardDemand,
    ) -> (Option<Self>, Vec<String>) {
        let Some(other) = reroute_target(table, connector) else { return (None, Vec::new()) };
        if Decision::onward(&other, demand).is_some() {
            let words =
                format!("  unmet     waits: connector {} requires too little for this message", other.name);
            return (None, vec![words]);
        }
        let answer = Self::of(&other, domain);
        let lines = answer.lines();
        (Some(answer), lines)
    }

    fn of(other: &Outbound, domain: Option<&Domain>) -> Self {
        let (connector, next_hop) = (Arc::clone(&other.name), other.next_hop.to_string());
        Self { connector, next_hop, required: required_of(other, domain) }
    }

    fn lines(&self) -> Vec<String> {
        let first = format!("  unmet     handed to connector {}, next hop {}", self.connector, self.next_hop);
        let required = self.required.iter().map(|required| format!("            required there: {required}"));
        std::iter::once(first).chain(required).collect()
    }

    /// What follows a decision, if it is one after which mail is handed on.
    fn then(&self, decision: &Decision) -> Option<String> {
        let is_withheld =
            decision.waived().is_none() && decision.shortfall().is_some_and(|why| !may_pass(why));
        is_withheld.then(|| self.handed())
    }

    fn handed(&self) -> String {
        format!("    then    handed to connector {}", self.connector)
    }
}

/// What a connector requires of its hosts.
fn required_of(connector: &Outbound, domain: Option<&Domain>) -> Vec<String> {
    match &connector.next_hop {
        NextHop::Mx { .. } => vec![connector.requirement(domain, None).to_string()],
        NextHop::SmartHosts(hosts) => {
            let mut all: Vec<String> =
                hosts.iter().map(|h| connector.requirement(domain, Some(&h.name)).to_string()).collect();
            all.dedup();
            all
        }
    }
}

/// The arrivals for which another connector serves the domain than for mail in general.
fn other_ways(table: &Table, domain: Option<&Domain>) -> Vec<ArrivalAnswer> {
    let name = |arrival| choose(table, domain, arrival).map(|choice| Arc::clone(&choice.connector.name));
    let general = name(Arrival::Ours);
    let named = table.arrivals().filter_map(|arrival| Some((arrival.name()?, name(arrival))));
    let others = named.filter(|(_, connector)| *connector != general);
    others.map(|(by, connector)| ArrivalAnswer { arrived_by: by.into(), connector }).collect()
}

fn inbound(
    args: &ExplainArgs,
    from: &str,
    to: Option<&NamedRecipient>,
    config: &Config,
    table: &Table,
    lines: &mut Vec<String>,
) -> Result<(bool, InboundAnswer), Failure> {
    let path = reverse_path(from)?;
    let tls = facts(args, config, tls::Usage::ClientOrServer)?;
    let user = args.user.as_deref().map(|name| Arc::new(User::supposed(name, table)));
    let channel = Channel { listener: listener(args, config)?, peer: args.peer_ip, tls, user };
    lines.push(format!("from <{path}> at {}:", args.peer_ip));
    let answer = admit(table, &channel, &path);
    let passed = UnchosenConnector::all(table, &channel, &path, &answer);
    let mut findings = HeaderFindings::default();
    let (yes, decision, reply) = match answer {
        Admission::Admitted(admitted) => {
            let section: String = args.header.iter().map(|field| format!("{field}\r\n")).collect();
            findings =
                admitted.connector.find(section.as_bytes(), &config.listen.name, admitted.connector.headers);
            // RFC 5321 §4.5.1: mail for postmaster is always taken.
            let to = to.filter(|to| !to.is_postmaster).map(|to| &to.mailbox);
            let echoes = to.is_some_and(|to| table.is_echo(&admitted.connector, to));
            let to = to.filter(|_| !echoes);
            let relays = to.is_none_or(|to| {
                admitted.connector.relays(table, path.mailbox().is_none(), to.domain_name())
            });
            let unknown = to.filter(|to| relays && !admitted.connector.knows(to));
            lines.push(format!("  admitted by {}: {}", admitted.connector.name, admitted.decision.reason()));
            if echoes {
                lines.push(format!("  {} may use the echo mailbox", admitted.connector.name));
            }
            if let (false, Some(to)) = (relays, to) {
                lines.push(format!("  but {}; RCPT is refused", admitted.connector.relay_refusal(to)));
            }
            if let Some(to) = unknown {
                let name = &admitted.connector.name;
                lines.push(format!(
                    "  but {to} is not among {name}'s recipients; RCPT is refused with 550 5.1.1"
                ));
            }
            (relays && unknown.is_none(), admitted.decision, None)
        }
        Admission::Refused(refused) => {
            lines.push(format!("  refused: {}", refused.reply));
            (false, refused.decision, Some(refused.reply.to_string()))
        }
    };
    lines.extend(decision.partner.as_ref().map(|partner| format!("  partner   {partner}")));
    lines.push(format!("  required  {}", decision.required));
    lines.push(format!("  attained  {}", decision.attained));
    if !findings.tally.is_empty() {
        let HeaderTally { stripped, promoted, .. } = findings.tally;
        lines.push(format!("  headers   {stripped} removed, {promoted} promoted"));
    }
    let HeaderFindings { demand, .. } = findings;
    if demand.level > Onward::Any {
        lines.push(format!("  onward    over {demand}"));
    }
    lines.extend(passed.iter().map(|p| format!("  not {}: {}", p.connector, p.why)));
    let passed = passed.iter().map(PassedAnswer::of).collect();
    let decision = DecisionRecord::from(&*decision);
    let (onward, raised_by) = (demand.level, demand.raised_by);
    Ok((yes, InboundAnswer { from: path, admitted: yes, decision, reply, onward, raised_by, passed }))
}

/// The listener that the peer connects to. It must be given only where the answer depends on it.
fn listener(args: &ExplainArgs, config: &Config) -> Result<Option<Arc<str>>, Failure> {
    let names: Vec<&str> = config.listen.listeners.iter().map(|listener| listener.name.as_str()).collect();
    if let Some(name) = &args.listener {
        return match names.iter().find(|known| *known == name) {
            Some(known) => Ok(Some((*known).into())),
            None => Err(Failure::new(
                EXIT_NO,
                format!("no listener is named {name:?}; there is {}", names.join(", ")),
            )),
        };
    }
    let tied = config.inbound.iter().any(|connector| !connector.listeners.is_empty());
    match names.as_slice() {
        [only] => Ok(Some((*only).into())),
        several if tied => Err(Failure::new(
            EXIT_NO,
            format!("connectors are limited to listeners: add --listener with one of {}", several.join(", ")),
        )),
        _ => Ok(None),
    }
}

/// What `explain --json` prints.
#[derive(Default, Serialize)]
struct ExplainAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    inbound: Option<InboundAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outbound: Option<OutboundAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    echo: Option<EchoExplained>,
    /// Those of the connectors that decide.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    overridden: Vec<Override>,
}

impl ExplainAnswer {
    fn is_about(&self, name: &str) -> bool {
        let inbound = self.inbound.as_ref().and_then(|part| part.decision.connector.as_deref());
        let outbound = self.outbound.as_ref().and_then(|part| part.connector.as_deref());
        [inbound, outbound].contains(&Some(name))
    }
}

/// The answer for a reverse-path.
#[derive(Serialize)]
struct InboundAnswer {
    from: ReversePath,
    admitted: bool,
    decision: DecisionRecord,
    reply: Option<String>,
    onward: Onward,
    raised_by: Option<Arc<str>>,
    passed: Vec<PassedAnswer>,
}

/// An inbound connector that did not match.
#[derive(Serialize)]
struct PassedAnswer {
    connector: Arc<str>,
    reason: String,
    token: &'static str,
}

impl PassedAnswer {
    fn of(passed: &UnchosenConnector) -> Self {
        Self {
            connector: Arc::clone(&passed.connector),
            reason: passed.why.to_string(),
            token: passed.why.token(),
        }
    }
}

/// The answer for a recipient.
#[derive(Serialize)]
struct OutboundAnswer {
    to: Mailbox,
    #[serde(skip_serializing_if = "Option::is_none")]
    arrived_by: Option<Arc<str>>,
    considered: Vec<ConsideredConnector>,
    connector: Option<Arc<str>>,
    /// Only where it is not said how the mail arrives.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    arrivals: Vec<ArrivalAnswer>,
    #[serde(flatten)]
    choice: Option<ChoiceAnswer>,
}

/// The connector that serves a recipient if its mail arrives by this inbound connector.
#[derive(Serialize)]
struct ArrivalAnswer {
    arrived_by: Arc<str>,
    connector: Option<Arc<str>>,
}

impl OutboundAnswer {
    /// What follows if nothing serves mail that arrived so; of what arrived by none, only reports are affected if the
    /// rest has its ways.
    fn without_connector(&self, arriving: &str) -> String {
        let to = &self.to;
        if self.arrivals.is_empty() {
            return format!("to <{to}>{arriving}: no outbound connector; RCPT is refused with 550 5.4.4");
        }
        format!("to <{to}>: no outbound connector for our own reports, which arrived by none")
    }

    fn passed_lines(&self) -> Vec<String> {
        let passed = self.considered.iter().filter(|c| !c.chosen);
        let passed = passed.map(|c| format!("  not {}: {}", c.connector, c.reason));
        let others = self.arrivals.iter().map(|other| {
            let connector = other.connector.as_deref().unwrap_or("none");
            format!("  connector {connector} if it arrives by {}", other.arrived_by)
        });
        passed.chain(others).collect()
    }
}

/// The terms of the connector that serves it.
#[derive(Serialize)]
struct ChoiceAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    partner: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<Arc<str>>,
    mode: Mode,
    decisions: Vec<DecisionRecord>,
    pattern: String,
    next_hop: String,
    tls: &'static str,
    required: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rerouted_to: Option<RerouteAnswer>,
}

/// The connector that gets what can't be sent.
#[derive(Serialize)]
struct RerouteAnswer {
    connector: Arc<str>,
    next_hop: String,
    required: Vec<String>,
}
