//! Messages named by what they are like, and what is done with all of them.

use std::process::ExitCode;

use serde::Serialize;

use super::super::control::post;
use super::super::print::{complain, say, say_json};
use super::super::{EXIT_NO, EXIT_USAGE, Failure};
use super::{Action, socket};
use crate::admin::{ActRequest, Deed, DeedTally, ListQuery};
use crate::config::duration;

/// Which messages; all filters that are given must match.
#[derive(Debug, Default, clap::Args)]
pub(super) struct FilterArgs {
    /// In a lane of this outbound connector.
    #[arg(long, value_name = "NAME")]
    connector: Option<String>,
    /// To this domain.
    #[arg(long)]
    domain: Option<String>,
    /// From this address, "@domain", or "<>" for the null reverse-path.
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<String>,
    /// To this address, or "@domain".
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
    /// Whose last problem contains this text: a status, the token of a decision, some words.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Accepted at least this long ago: "30m", "2d".
    #[arg(long, value_name = "DURATION")]
    older_than: Option<String>,
    /// Held messages.
    #[arg(long)]
    held: bool,
}

impl FilterArgs {
    fn is_empty(&self) -> bool {
        let texts =
            [&self.connector, &self.domain, &self.sender, &self.recipient, &self.reason, &self.older_than];
        !self.held && texts.into_iter().all(Option::is_none)
    }

    fn check(&self) -> Result<(), Failure> {
        let named = [
            ("--connector", &self.connector),
            ("--domain", &self.domain),
            ("--sender", &self.sender),
            ("--recipient", &self.recipient),
            ("--reason", &self.reason),
        ];
        // A variable that a script forgot to set must not name every message.
        if let Some((name, _)) = named.into_iter().find(|(_, text)| text.as_deref() == Some("")) {
            let hint = if name == "--sender" { "; the null reverse-path is written <>" } else { "" };
            return Err(Failure::new(EXIT_USAGE, format!("{name} is empty{hint}")));
        }
        let usage = |fault: String| Failure::new(EXIT_USAGE, format!("--older-than: {fault}"));
        self.older_than.as_deref().map_or(Ok(()), |text| duration(text).map(|_| ()).map_err(usage))
    }

    /// The question for a list.
    pub(super) fn query(&self, limit: usize, after: Option<String>) -> ListQuery {
        let bare = |text: &String| text.trim_start_matches('<').trim_end_matches('>').to_owned();
        let age = self.older_than.as_deref().and_then(|text| duration(text).ok());
        ListQuery {
            limit: Some(limit),
            after,
            connector: self.connector.clone(),
            domain: self.domain.clone(),
            sender: self.sender.as_ref().map(bare),
            recipient: self.recipient.as_ref().map(bare),
            reason: self.reason.clone(),
            older_than: age.map(|age| age.as_secs()),
            held: self.held,
        }
    }
}

/// Does what is asked for with every message that matches the filters; `None` where it is about one message
/// or all, or changes nothing.
pub(super) fn act(action: &Action) -> Result<Option<ExitCode>, Failure> {
    let (daemon, id, filter, deed, whole) = match action {
        Action::List { filter, .. } => return filter.check().map(|()| None),
        Action::Top { .. } | Action::Show { .. } | Action::Pause { .. } | Action::Resume { .. } => {
            return Ok(None);
        }
        Action::Retry { daemon, id, filter, .. } => (daemon, id, filter, Deed::Retry, true),
        Action::Hold { daemon, id, filter } => (daemon, id, filter, Deed::Hold, true),
        Action::Release { daemon, id, filter } => (daemon, id, filter, Deed::Release, true),
        Action::Bounce { daemon, id, whole, filter } => (daemon, id, filter, Deed::Bounce, *whole),
        Action::Remove { daemon, id, whole, filter } => (daemon, id, filter, Deed::Remove, *whole),
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
        let request = ActRequest { deed, whole, of: filter.query(PAGE, after) };
        let page: DeedTally = post(&socket, "/queue/act", &request)?;
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
    tell(deed, daemon.json, &sum);
    Ok(Some(if sum.left == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) }))
}

/// What `--json` prints: all answers of the daemon together.
#[derive(Serialize)]
struct SetResult {
    messages: u64,
    left: u64,
    reasons: Vec<String>,
}

fn tell(deed: Deed, as_json: bool, sum: &SetResult) {
    if as_json {
        return say_json(sum);
    }
    let SetResult { messages: done, left, reasons } = sum;
    reasons.iter().for_each(|reason| complain(reason));
    if *left > 0 {
        complain(&format!("{left} messages are as they were"));
    }
    say(&match deed {
        Deed::Remove => format!("{done} messages are removed; nobody is notified"),
        Deed::Bounce => format!("{done} messages are given up; their senders are notified"),
        Deed::Hold => format!("{done} messages are held until they are released"),
        Deed::Release | Deed::Retry => format!("{done} messages are tried again now"),
    });
}

/// Reasons that are shown.
const REASONS_MAX: usize = 20;
/// Messages of one answer.
const PAGE: usize = 500;
