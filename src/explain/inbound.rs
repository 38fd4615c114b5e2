//! Which inbound connector admits a reverse-path, and what it decides.

use std::sync::Arc;

use serde::Serialize;

use super::fault::{ExplainFault, some_of};
use super::paths::{NamedRecipient, reverse_path};
use super::supposed::facts;
use crate::admin::{ExplainPassage, ExplainQuestion};
use crate::config::Config;
use crate::connector::{
    Admission, Channel, DecisionRecord, HeaderFindings, HeaderTally, Onward, Table, UnchosenConnector, User,
    admit,
};
use crate::mail::ReversePath;
use crate::tls;

/// Which connector admits a reverse-path, and what it decides.
pub(super) fn inbound(
    question: &ExplainQuestion,
    (from, to): (&str, Option<&NamedRecipient>),
    (config, table): (&Config, &Table),
    passages: &mut Vec<ExplainPassage>,
) -> Result<(bool, InboundAnswer), ExplainFault> {
    let path = reverse_path(from)?;
    let tls = facts(question, config, tls::Usage::ClientOrServer)?;
    let user = question.user.as_deref().map(|name| Arc::new(User::supposed(name, table)));
    let channel = Channel { listener: listener(question, config)?, peer: question.peer, tls, user };
    let mut passage = ExplainPassage::new(format!("from <{path}> at {}:", question.peer));
    let answer = admit(table, &channel, &path);
    let passed = UnchosenConnector::all(table, &channel, &path, &answer);
    let mut findings = HeaderFindings::default();
    let (yes, decision, reply) = match answer {
        Admission::Admitted(admitted) => {
            let section: String = question.headers.iter().map(|field| format!("{field}\r\n")).collect();
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
            passage.words(format!("admitted by {}: {}", admitted.connector.name, admitted.decision.reason()));
            if echoes {
                passage.words(format!("{} may use the echo mailbox", admitted.connector.name));
            }
            if let (false, Some(to)) = (relays, to) {
                passage.words(format!("but {}; RCPT is refused", admitted.connector.relay_refusal(to)));
            }
            if let Some(to) = unknown {
                let name = &admitted.connector.name;
                passage.words(format!(
                    "but {to} is not among {name}'s recipients; RCPT is refused with 550 5.1.1"
                ));
            }
            (relays && unknown.is_none(), admitted.decision, None)
        }
        Admission::Refused(refused) => {
            passage.words(format!("refused: {}", refused.reply));
            (false, refused.decision, Some(refused.reply.to_string()))
        }
    };
    if let Some(partner) = &decision.partner {
        passage.fact("partner", partner);
    }
    passage.fact("required", &decision.required);
    passage.fact("attained", &decision.attained);
    if !findings.tally.is_empty() {
        let HeaderTally { stripped, promoted, .. } = findings.tally;
        passage.fact("headers", format!("{stripped} removed, {promoted} promoted"));
    }
    let HeaderFindings { demand, .. } = findings;
    if demand.level > Onward::Any {
        passage.fact("onward", format!("over {demand}"));
    }
    passed.iter().for_each(|one| passage.words(format!("not {}: {}", one.connector, one.why)));
    passages.push(passage);
    let passed = passed.iter().map(PassedAnswer::of).collect();
    let decision = DecisionRecord::from(&*decision);
    let (onward, raised_by) = (demand.level, demand.raised_by);
    Ok((yes, InboundAnswer { from: path, admitted: yes, decision, reply, onward, raised_by, passed }))
}

/// The listener that the peer connects to. It must be given only where the answer depends on it.
fn listener(question: &ExplainQuestion, config: &Config) -> Result<Option<Arc<str>>, ExplainFault> {
    let names: Vec<&str> = config.listen.listeners.iter().map(|listener| listener.name.as_str()).collect();
    if let Some(name) = &question.listener {
        let known = names.iter().find(|known| *known == name).map(|known| Some((*known).into()));
        let words = || format!("no listener is named {name:?}; there is {}", some_of(&names));
        return known.ok_or_else(|| ExplainFault(words()));
    }
    let tied = config.inbound.iter().any(|connector| !connector.listeners.is_empty());
    match names.as_slice() {
        [only] => Ok(Some((*only).into())),
        several if tied => {
            let names = some_of(several);
            Err(ExplainFault(format!("connectors are limited to listeners: name a listener: {names}")))
        }
        _ => Ok(None),
    }
}

/// The answer for a reverse-path.
#[derive(Serialize)]
pub(super) struct InboundAnswer {
    from: ReversePath,
    pub(super) admitted: bool,
    pub(super) decision: DecisionRecord,
    reply: Option<String>,
    pub(super) onward: Onward,
    pub(super) raised_by: Option<Arc<str>>,
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
