//! Actions on all messages that match filters.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::super::args::{DaemonArgs, socket};
use super::super::control::{get, post_quietly};
use super::super::exit::{EXIT_ARGUMENTS, EXIT_NO, Failure};
use super::super::print::{complain, say, say_json};
use super::super::wait::Wait;
use super::args::{Action, ChosenArgs, EndArgs, FilterArgs};
use crate::admin::{ActRequest, ActionTally, Connectors, QueueAction, QueueTop};
use crate::config::{nearest, unknown_name};

/// Does what is asked for with every message that matches the filters; `None` where it is about one message
/// or all, or changes nothing.
pub(super) fn act(asked: &Action) -> Result<Option<ExitCode>, Failure> {
    let daemon = asked.daemon();
    let (id, filter, action, whole) = match asked {
        Action::List { filter, .. } => return filter.check().map(|()| None),
        Action::Top { .. } | Action::Show { .. } | Action::Pause { .. } | Action::Resume { .. } => {
            return Ok(None);
        }
        Action::Retry { id, filter, .. } => (id, filter, QueueAction::Retry, true),
        Action::Hold(ChosenArgs { id, filter, .. }) => (id, filter, QueueAction::Hold, true),
        Action::Release(ChosenArgs { id, filter, .. }) => (id, filter, QueueAction::Release, true),
        Action::Bounce(EndArgs { chosen, whole }) => {
            (&chosen.id, &chosen.filter, QueueAction::Bounce, *whole)
        }
        Action::Remove(EndArgs { chosen, whole }) => {
            (&chosen.id, &chosen.filter, QueueAction::Remove, *whole)
        }
    };
    if filter.is_empty() {
        return Ok(None);
    }
    if id.is_some() {
        return Err(Failure::new(EXIT_ARGUMENTS, "say one message, or filters, not both"));
    }
    filter.check()?;
    let sum =
        go_through(&socket(daemon)?, |after| ActRequest { action, whole, of: filter.query(PAGE, after) })?;
    tell(action, daemon.json, &sum);
    if sum.messages == 0 && sum.left == 0 {
        return nothing_matches(daemon, filter).map(Some);
    }
    Ok(Some(if sum.left == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) }))
}

/// Asks part by part until the queue is at its end.
fn go_through(socket: &Path, request: impl Fn(Option<String>) -> ActRequest) -> Result<SetResult, Failure> {
    let mut sum = SetResult::default();
    let done = Arc::new(AtomicU64::new(0));
    let so_far = Arc::clone(&done);
    let _shown = Wait::told_by(move || {
        format!("the rest of the queue; {} messages so far", so_far.load(Ordering::Relaxed))
    });
    let mut after = None;
    loop {
        let page: ActionTally = post_quietly(socket, "/queue/act", &request(after))?;
        sum.messages = sum.messages.saturating_add(page.messages);
        sum.left = sum.left.saturating_add(page.left);
        sum.paused_recipients = sum.paused_recipients.saturating_add(page.paused_recipients);
        sum.paused.extend(page.paused);
        let room = REASONS_MAX.saturating_sub(sum.reasons.len());
        sum.reasons.extend(page.reasons.into_iter().take(room));
        done.store(sum.messages, Ordering::Relaxed);
        after = page.next.map(|id| id.to_string());
        if after.is_none() {
            return Ok(sum);
        }
    }
}

/// The answer to filters that match no message: usually a name that is misspelt.
pub(super) fn nothing_matches(daemon: &DaemonArgs, filter: &FilterArgs) -> Result<ExitCode, Failure> {
    let socket = socket(daemon)?;
    let (connector, domain) = filter.names();
    let mut hints = Vec::new();
    let all: Connectors = get(&socket, "/connectors")?;
    let outbound = || all.connectors.iter().filter_map(|one| Some((one.outbound_name()?, &one.domains)));
    let names: Vec<&str> = outbound().map(|(name, _)| name).collect();
    if let Some(name) = connector.filter(|name| !names.contains(name)) {
        hints.push(unknown_name("outbound connector", name, &names));
    }
    if let Some(name) = domain {
        let top: QueueTop = get(&socket, "/queue/top?limit=1000")?;
        let queued = top.lanes.iter().filter_map(|lane| Some(lane.lane.split_once('/')?.1));
        let served = outbound().flat_map(|(_, domains)| domains).map(String::as_str);
        let known =
            queued.chain(served.filter(|domain| !domain.contains('*'))).filter(|domain| *domain != name);
        hints.extend(nearest(name, known).map(|close| format!("did you mean {close:?}?")));
    }
    complain(&[vec!["no queued message matches".to_owned()], hints].concat().join("; "));
    Ok(ExitCode::from(EXIT_NO))
}

/// What `--json` prints: all answers of the daemon together.
#[derive(Default, Serialize)]
struct SetResult {
    messages: u64,
    left: u64,
    reasons: Vec<String>,
    /// Recipients that are due, and not tried because their connectors are paused.
    paused_recipients: usize,
    paused: BTreeSet<Arc<str>>,
}

fn tell(action: QueueAction, as_json: bool, sum: &SetResult) {
    if as_json {
        return say_json(sum);
    }
    let SetResult { messages: done, left, reasons, .. } = sum;
    reasons.iter().for_each(|reason| complain(reason));
    if *left > 0 {
        complain(&format!("{left} messages are as they were"));
    }
    let paused: Vec<_> = sum.paused.iter().cloned().collect();
    say(&action.done_with(*done, sum.paused_recipients, &paused));
}

/// Maximum number of reasons shown.
const REASONS_MAX: usize = 20;
/// Maximum number of messages per answer.
const PAGE: usize = 500;
