//! The echo mailbox: who may use it, and by which connector an answer leaves.

use std::sync::Arc;

use serde::Serialize;

use super::fault::ExplainFault;
use super::paths::reverse_path;
use crate::admin::{ExplainPassage, ExplainQuestion};
use crate::config::Config;
use crate::connector::{Arrival, EchoMailbox, Mode, Table, choose};
use crate::mail::Mailbox;

/// The echo mailbox, and who may use it.
#[derive(Serialize)]
pub(super) struct EchoExplained {
    address: Mailbox,
    /// The inbound connectors whose clients may use it.
    inbound: Vec<Arc<str>>,
    /// The outbound connector by which the answer leaves, if the sender is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_by: Option<Arc<str>>,
}

/// The echo mailbox, if this recipient is that for mail that arrives by this connector.
pub(super) fn echo_for<'a>(
    config: &'a Config,
    to: &Mailbox,
    arrived_by: Option<&str>,
) -> Option<&'a EchoMailbox> {
    let may_use = |name| config.inbound.iter().any(|one| &*one.name == name && one.uses_echo());
    config.echo.as_ref().filter(|echo| echo.is(to) && arrived_by.is_none_or(may_use))
}

/// Says that a recipient is the echo mailbox, and whether the sender, if given, can be answered.
pub(super) fn echoed(
    question: &ExplainQuestion,
    echo: &EchoMailbox,
    (config, table): (&Config, &Table),
    passages: &mut Vec<ExplainPassage>,
) -> Result<(bool, EchoExplained), ExplainFault> {
    let users = config.inbound.iter().filter(|one| one.mode != Mode::Off && one.uses_echo());
    let inbound: Vec<Arc<str>> = users.map(|one| Arc::clone(&one.name)).collect();
    let names: Vec<&str> = inbound.iter().map(AsRef::as_ref).collect();
    let mut passage = ExplainPassage::new(format!("to <{}>: the echo mailbox", echo.address));
    passage.fact("used by", names.join(", "));
    let mut part = EchoExplained { address: echo.address.clone(), inbound, answered_by: None };
    let path = question.from.as_deref().map(reverse_path).transpose()?;
    let answers = match path.as_ref().map(|path| path.mailbox()) {
        None => true,
        Some(None) => {
            passage.fact("answer", "none: the reverse-path is null");
            true
        }
        Some(Some(to)) => {
            let choice = choose(table, to.domain_name(), Arrival::Ours);
            passage.fact(
                "answer",
                match &choice {
                    Some(choice) => format!("to <{to}> by connector {}", choice.connector.name),
                    None => format!("none: no outbound connector serves {}", to.domain()),
                },
            );
            part.answered_by = choice.map(|choice| Arc::clone(&choice.connector.name));
            part.answered_by.is_some()
        }
    };
    passages.push(passage);
    Ok((answers, part))
}
