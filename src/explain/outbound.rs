//! Which outbound connector serves a recipient, and what it decides.

use std::sync::Arc;

use serde::Serialize;

use super::fault::ExplainFault;
use super::supposed::supposed;
use crate::admin::{ExplainPassage, ExplainQuestion};
use crate::config::Config;
use crate::connector::{
    Arrival, Choice, ConsideredConnector, Decision, DecisionRecord, Mode, NextHop, OnwardDemand, Outbound,
    Table, choose, reroute_target,
};
use crate::mail::{Domain, Mailbox};
use crate::outcome::may_pass;

/// Which connector serves a recipient, and what it decides.
pub(super) fn outbound(
    question: &ExplainQuestion,
    (to, arrived_by, demand): (&Mailbox, Option<&Arc<str>>, &OnwardDemand),
    (config, table): (&Config, &Table),
    passages: &mut Vec<ExplainPassage>,
) -> Result<(bool, OutboundAnswer), ExplainFault> {
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
        let mut passage = ExplainPassage::new(part.without_connector(&arriving));
        part.passed_lines().into_iter().for_each(|line| passage.words(line));
        passages.push(passage);
        return Ok((!part.arrivals.is_empty(), part));
    };
    let connector = &choice.connector;
    let requirements = required_of(connector, domain);
    let title = format!("to <{to}>{arriving}: connector {} by {}", connector.name, choice.pattern);
    let mut passage = ExplainPassage::new(title);
    if let Some(partner) = &connector.partner {
        passage.fact("partner", partner);
    }
    passage.fact("next hop", &connector.next_hop);
    passage.fact("tls", format!("{}, mode {}", connector.tls_word(), connector.mode.word()));
    requirements.iter().for_each(|required| passage.fact("required", required));
    passage.fact("headers", connector.sending.headers.word());
    let other = RerouteAnswer::find(table, connector, (domain, demand), &mut passage);
    part.passed_lines().into_iter().for_each(|line| passage.words(line));
    let mut decisions =
        if question.from.is_some() { Vec::new() } else { supposed(question, config, connector, domain)? };
    decisions.extend(Decision::onward(connector, demand).map(|decision| {
        let what = if other.is_some() { "unmet" } else { "waits" };
        passage.fact(what, format!("{} ({})", decision.reason(), decision.token()));
        other.iter().for_each(|other| passage.below("then", other.handed()));
        (false, decision)
    }));
    decisions.iter().for_each(|(_, decision)| at_host(decision, other.as_ref(), &mut passage));
    passages.push(passage);
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
    /// The connector to which such mail is handed if the requirement is unmet, with lines about it.
    fn find(
        table: &Table,
        connector: &Outbound,
        (domain, demand): (Option<&Domain>, &OnwardDemand),
        passage: &mut ExplainPassage,
    ) -> Option<Self> {
        let other = reroute_target(table, connector)?;
        if Decision::onward(&other, demand).is_some() {
            let words = format!("waits: connector {} requires too little for this message", other.name);
            passage.fact("unmet", words);
            return None;
        }
        let answer = Self::of(&other, domain);
        let (name, next_hop) = (&answer.connector, &answer.next_hop);
        passage.fact("unmet", format!("handed to connector {name}, next hop {next_hop}"));
        for required in &answer.required {
            passage.fact("", format!("required there: {required}"));
        }
        Some(answer)
    }

    fn of(other: &Outbound, domain: Option<&Domain>) -> Self {
        let (connector, next_hop) = (Arc::clone(&other.name), other.next_hop.to_string());
        Self { connector, next_hop, required: required_of(other, domain) }
    }

    fn handed(&self) -> String {
        format!("handed to connector {}", self.connector)
    }
}

/// What is decided about one host, and what follows.
fn at_host(decision: &Decision, other: Option<&RerouteAnswer>, passage: &mut ExplainPassage) {
    let Some(host) = &decision.host else { return };
    passage.words(format!("at {host}: attained {}", decision.attained));
    passage.below("so", format!("{} ({})", decision.reason(), decision.token()));
    if let Some(other) = other.filter(|_| is_handed_on(decision)) {
        passage.below("then", other.handed());
    }
}

/// Whether mail is handed on after a decision.
fn is_handed_on(decision: &Decision) -> bool {
    decision.waived().is_none() && decision.shortfall().is_some_and(|why| !may_pass(why))
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

/// The answer for a recipient.
#[derive(Serialize)]
pub(super) struct OutboundAnswer {
    to: Mailbox,
    #[serde(skip_serializing_if = "Option::is_none")]
    arrived_by: Option<Arc<str>>,
    considered: Vec<ConsideredConnector>,
    pub(super) connector: Option<Arc<str>>,
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
        let passed = passed.map(|c| format!("not {}: {}", c.connector, c.reason));
        let others = self.arrivals.iter().map(|other| {
            let connector = other.connector.as_deref().unwrap_or("none");
            format!("connector {connector} if it arrives by {}", other.arrived_by)
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
