//! Messages named by what they are like, and what is done with all of them.

use std::process::ExitCode;

use hyper::Method;
use serde_json::{Value, json};

use super::super::control::ask;
use super::super::print::{complain, say, say_json};
use super::super::{EXIT_NO, EXIT_USAGE, Failure};
use super::{Action, plain, socket};
use crate::config::duration;

/// Which messages; all of what is said must hold.
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
    /// Whose last trouble has this text: a status, a token of a decision, some words.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Accepted so long ago, or longer: "30m", "2d".
    #[arg(long, value_name = "DURATION")]
    older_than: Option<String>,
    /// Held, since they can't be sent as they are.
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
        let usage = |fault: String| Failure::new(EXIT_USAGE, format!("--older-than: {fault}"));
        self.older_than.as_deref().map_or(Ok(()), |text| duration(text).map(|_| ()).map_err(usage))
    }

    /// The question for a list.
    pub(super) fn body(&self, limit: usize, after: Option<&str>) -> Value {
        let bare = |text: &String| text.trim_start_matches('<').trim_end_matches('>').to_owned();
        let age = self.older_than.as_deref().and_then(|text| duration(text).ok());
        json!({
            "limit": limit,
            "after": after,
            "connector": self.connector,
            "domain": self.domain,
            "sender": self.sender.as_ref().map(bare),
            "recipient": self.recipient.as_ref().map(bare),
            "reason": self.reason,
            "older_than": age.map(|age| age.as_secs()),
            "held": self.held,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Retry,
    Hold,
    Release,
    Remove,
}

/// Does what is asked for with every message that filters name; `None` where it is about one message
/// or all, or changes nothing.
pub(super) fn act(action: &Action) -> Result<Option<ExitCode>, Failure> {
    let (daemon, id, filter, deed) = match action {
        Action::List { filter, .. } => return filter.check().map(|()| None),
        Action::Top { .. } | Action::Show { .. } => return Ok(None),
        Action::Retry { daemon, id, filter, .. } => (daemon, id, filter, Deed::Retry),
        Action::Hold { daemon, id, filter } => (daemon, id, filter, Deed::Hold),
        Action::Release { daemon, id, filter } => (daemon, id, filter, Deed::Release),
        Action::Remove { daemon, id, filter } => (daemon, id, filter, Deed::Remove),
    };
    if filter.is_empty() {
        return Ok(None);
    }
    if id.is_some() {
        return Err(Failure::new(EXIT_USAGE, "say one message, or filters, not both"));
    }
    filter.check()?;
    let socket = socket(daemon)?;
    let (mut done, mut left, mut after) = (0_u64, Vec::new(), None::<String>);
    loop {
        let body = filter.body(PAGE, after.as_deref());
        let page = ask(&socket, Method::POST, "/queue/list", Some(body))?;
        let messages = page.get("messages").and_then(Value::as_array).cloned().unwrap_or_default();
        for id in messages.iter().filter_map(|message| message.get("id").and_then(Value::as_str)) {
            let at = |tail: &str| format!("/queue/{}{tail}", plain(id));
            let answer = match deed {
                Deed::Remove => ask(&socket, Method::DELETE, &at(""), None),
                Deed::Hold => ask(&socket, Method::POST, &at("/hold"), None),
                Deed::Release => ask(&socket, Method::POST, &at("/release"), None),
                Deed::Retry => ask(&socket, Method::POST, "/queue/retry", Some(json!({ "id": id }))),
            };
            match answer {
                Ok(_) => done = done.saturating_add(1),
                // It was delivered meanwhile, is being delivered, or can't be sent: that ends nothing.
                Err(failure) if failure.exit == EXIT_NO => left.push(failure.message),
                Err(failure) => return Err(failure),
            }
        }
        after = page.get("next").and_then(Value::as_str).map(str::to_owned);
        if after.is_none() {
            break;
        }
        complain(&format!("{done} so far"));
    }
    tell(deed, daemon.json, done, &left);
    Ok(Some(if left.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) }))
}

fn tell(deed: Deed, as_json: bool, done: u64, left: &[String]) {
    if as_json {
        return say_json(&json!({ "messages": done, "left": left }));
    }
    left.iter().for_each(|reason| complain(reason));
    say(&match deed {
        Deed::Remove => format!("{done} messages are removed; nobody is told"),
        Deed::Hold => format!("{done} messages are held until they are released"),
        Deed::Release | Deed::Retry => format!("{done} messages are tried again now"),
    });
}

/// Messages of one answer.
const PAGE: usize = 500;
