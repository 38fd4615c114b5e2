//! `explain` for the echo mailbox: who may use it, and by which connector an answer leaves.

use std::sync::Arc;

use serde::Serialize;

use super::super::exit::Failure;
use super::super::paths::reverse_path;
use super::args::ExplainArgs;
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
    args: &ExplainArgs,
    echo: &EchoMailbox,
    (config, table): (&Config, &Table),
    lines: &mut Vec<String>,
) -> Result<(bool, EchoExplained), Failure> {
    let users = config.inbound.iter().filter(|one| one.mode != Mode::Off && one.uses_echo());
    let inbound: Vec<Arc<str>> = users.map(|one| Arc::clone(&one.name)).collect();
    let names: Vec<&str> = inbound.iter().map(AsRef::as_ref).collect();
    lines.push(format!("to <{}>: the echo mailbox", echo.address));
    lines.push(format!("  used by   {}", names.join(", ")));
    let mut part = EchoExplained { address: echo.address.clone(), inbound, answered_by: None };
    let Some(from) = &args.from else { return Ok((true, part)) };
    let path = reverse_path(from)?;
    let Some(to) = path.mailbox() else {
        lines.push("  answer    none: the reverse-path is null".to_owned());
        return Ok((true, part));
    };
    let choice = choose(table, to.domain_name(), Arrival::Ours);
    lines.push(match &choice {
        Some(choice) => format!("  answer    to <{to}> by connector {}", choice.connector.name),
        None => format!("  answer    none: no outbound connector serves {}", to.domain()),
    });
    part.answered_by = choice.map(|choice| Arc::clone(&choice.connector.name));
    Ok((part.answered_by.is_some(), part))
}
