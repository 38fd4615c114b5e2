//! Actions on all messages that match filters.

use std::process::ExitCode;

use serde::Serialize;

use super::super::args::socket;
use super::super::control::post;
use super::super::exit::{EXIT_NO, EXIT_USAGE, Failure};
use super::super::print::{complain, say, say_json};
use super::args::Action;
use crate::admin::{ActRequest, ActionTally, QueueAction};

/// Applies the action to every message that matches the filters; `None` if it is for one message or
/// all, or changes nothing.
pub(super) fn act(action: &Action) -> Result<Option<ExitCode>, Failure> {
    let (daemon, id, filter, action, whole) = match action {
        Action::List { filter, .. } => return filter.check().map(|()| None),
        Action::Top { .. } | Action::Show { .. } | Action::Pause { .. } | Action::Resume { .. } => {
            return Ok(None);
        }
        Action::Retry { daemon, id, filter, .. } => (daemon, id, filter, QueueAction::Retry, true),
        Action::Hold { daemon, id, filter } => (daemon, id, filter, QueueAction::Hold, true),
        Action::Release { daemon, id, filter } => (daemon, id, filter, QueueAction::Release, true),
        Action::Bounce { daemon, id, whole, filter } => (daemon, id, filter, QueueAction::Bounce, *whole),
        Action::Remove { daemon, id, whole, filter } => (daemon, id, filter, QueueAction::Remove, *whole),
    };
    if filter.is_empty() {
        return Ok(None);
    }
    if id.is_some() {
        return Err(Failure::new(EXIT_USAGE, "say one message, or filters, not both"));
    }
    filter.check()?;
    let socket = socket(daemon)?;
    let mut sum = SetResult { messages: 0, left: 0, reasons: Vec::new() };
    let mut after = None;
    loop {
        let request = ActRequest { action, whole, of: filter.query(PAGE, after) };
        let page: ActionTally = post(&socket, "/queue/act", &request)?;
        sum.messages = sum.messages.saturating_add(page.messages);
        sum.left = sum.left.saturating_add(page.left);
        let room = REASONS_MAX.saturating_sub(sum.reasons.len());
        sum.reasons.extend(page.reasons.into_iter().take(room));
        after = page.next.map(|id| id.to_string());
        if after.is_none() {
            break;
        }
        complain(&format!("{} so far", sum.messages));
    }
    tell(action, daemon.json, &sum);
    Ok(Some(if sum.left == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) }))
}

/// What `--json` prints: all answers of the daemon combined.
#[derive(Serialize)]
struct SetResult {
    messages: u64,
    left: u64,
    reasons: Vec<String>,
}

fn tell(action: QueueAction, as_json: bool, sum: &SetResult) {
    if as_json {
        return say_json(sum);
    }
    let SetResult { messages: done, left, reasons } = sum;
    reasons.iter().for_each(|reason| complain(reason));
    if *left > 0 {
        complain(&format!("{left} messages are as they were"));
    }
    say(&match action {
        QueueAction::Remove => format!("{done} messages are removed; nobody is notified"),
        QueueAction::Bounce => format!("{done} messages are given up; their senders are notified"),
        QueueAction::Hold => format!("{done} messages are held until they are released"),
        QueueAction::Release | QueueAction::Retry => format!("{done} messages are tried again now"),
    });
}

/// Maximum number of reasons shown.
const REASONS_MAX: usize = 20;
/// Maximum number of messages per answer.
const PAGE: usize = 500;
