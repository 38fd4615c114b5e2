//! The answer to a question: both directions, the echo mailbox, and overrides.

use std::sync::Arc;

use serde::Serialize;

use super::echoed::{EchoExplained, echo_for, echoed};
use super::fault::{ExplainFault, some_of};
use super::inbound::{InboundAnswer, inbound};
use super::outbound::{OutboundAnswer, outbound};
use super::paths::addressee;
use crate::admin::{ExplainPassage, ExplainQuestion};
use crate::config::Config;
use crate::connector::{Generation, OnwardDemand, Override, Table};

/// An answer, also as `explain --json` prints it.
#[derive(Default, Serialize)]
pub struct ExplainReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    inbound: Option<InboundAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outbound: Option<OutboundAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    echo: Option<EchoExplained>,
    /// Those of the connectors that decide.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overridden: Vec<Override>,
    /// Whether the mail would be taken, and would leave.
    #[serde(skip)]
    pub yes: bool,
    /// The same in words, without the overrides.
    #[serde(skip)]
    pub passages: Vec<ExplainPassage>,
}

/// Says which connectors decide, and what, under these overrides.
///
/// # Errors
/// What is wrong with the question.
pub fn explain(
    question: &ExplainQuestion,
    config: &Config,
    overrides: Vec<Override>,
) -> Result<ExplainReport, ExplainFault> {
    let lowered;
    let config = if overrides.is_empty() {
        config
    } else {
        (lowered, _) = config.overridden(&overrides);
        &lowered
    };
    let table = config.table(Generation(1));
    let ground = (config, &table);
    let to = question.to.as_deref().map(|to| addressee(to, &config.listen.postmaster)).transpose()?;
    let mut answer = ExplainReport { yes: true, ..ExplainReport::default() };
    let mut passages = Vec::new();
    let mut demand = OnwardDemand::default();
    let mut arrived_by = arrives_by(question, &table)?;
    if let Some(from) = &question.from {
        let (admitted, part) = inbound(question, (from, to.as_ref()), ground, &mut passages)?;
        answer.yes &= admitted;
        arrived_by = part.decision.connector.as_deref().filter(|_| part.admitted).map(Arc::from);
        demand =
            OnwardDemand { raised_by: part.raised_by.clone(), ..OnwardDemand::of_connector(part.onward) };
        answer.inbound = Some(part);
    }
    let echo = to.as_ref().and_then(|to| echo_for(config, &to.mailbox, arrived_by.as_deref()));
    if let Some(echo) = echo {
        let (answers, part) = echoed(question, echo, ground, &mut passages)?;
        answer.yes &= answers;
        answer.echo = Some(part);
    } else if let Some(to) = &to {
        let arrived = (&to.mailbox, arrived_by.as_ref(), &demand);
        let (served, part) = outbound(question, arrived, ground, &mut passages)?;
        answer.yes &= served;
        answer.outbound = Some(part);
    }
    answer.overridden = overrides.into_iter().filter(|one| answer.is_about(&one.connector)).collect();
    answer.passages = passages;
    Ok(answer)
}

/// The inbound connector that a question names.
fn arrives_by(question: &ExplainQuestion, table: &Table) -> Result<Option<Arc<str>>, ExplainFault> {
    let Some(name) = &question.arrives_by else { return Ok(None) };
    let known = || table.inbound.iter().map(|connector| &connector.name);
    if let Some(found) = known().find(|known| ***known == **name) {
        return Ok(Some(Arc::clone(found)));
    }
    let names: Vec<&str> = known().map(AsRef::as_ref).collect();
    Err(ExplainFault(format!("no inbound connector is named {name:?}; there is {}", some_of(&names))))
}

impl ExplainReport {
    fn is_about(&self, name: &str) -> bool {
        let inbound = self.inbound.as_ref().and_then(|part| part.decision.connector.as_deref());
        let outbound = self.outbound.as_ref().and_then(|part| part.connector.as_deref());
        [inbound, outbound].contains(&Some(name))
    }
}
