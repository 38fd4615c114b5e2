//! `queue`: shows and changes the queue of the running daemon over its control socket.

use std::cell::Cell;
use std::io::Write as _;
use std::process::ExitCode;

use hyper::Method;

use super::args::{DaemonArgs, socket};
use super::control::{fetch, get, named, post, request};
use super::exit::{EXIT_ARGUMENTS, Failure};
use super::print::{show, table};
use super::queue::details::{blocked_lane, clean, lane_reason, reason};
use crate::admin::{
    ActionResult, DatabaseSize, MessageView, PausedConnectors, QueueAction, QueueList, QueueTop, QueueTotal,
    RetryRequest, TopLane,
};
use crate::mail::{Clock, UnixMillis};
use args::{Action, ChosenArgs};
use details::details;

mod args;
mod details;

pub(super) use args::QueueArgs;

mod sets;

/// Asks the running daemon about its queue.
pub(super) fn queue(args: QueueArgs) -> Result<ExitCode, Failure> {
    if let Some(done) = sets::act(&args.action)? {
        return Ok(done);
    }
    if let Action::Show { daemon, id, content: true } = &args.action {
        return content(daemon, id);
    }
    answer(&args.action)
}

impl QueueArgs {
    pub(super) fn is_json(&self) -> bool {
        self.action.daemon().json
    }
}

/// Asks, and shows the answer.
fn answer(action: &Action) -> Result<ExitCode, Failure> {
    let daemon = action.daemon();
    match action {
        Action::List { limit, after, filter, listing, .. } => {
            let (query, socket, none) =
                (filter.query(*limit, after.clone()), socket(daemon)?, Cell::new(false));
            let ask = || {
                let list: QueueList = post(&socket, "/queue/list", &query)?;
                none.set(list.messages.is_empty() && !filter.is_empty() && after.is_none());
                Ok(list)
            };
            let done = listing.show(daemon.json, ask, |list| listed(list, Clock::wall()))?;
            if none.get() { sets::nothing_matches(daemon, filter) } else { Ok(done) }
        }
        Action::Top { limit, listing, .. } => {
            let (path, socket) = (format!("/queue/top?limit={limit}"), socket(daemon)?);
            listing.show(daemon.json, || get(&socket, &path), |lanes| top(lanes, Clock::wall()))
        }
        Action::Show { id, .. } => {
            show(daemon.json, &get(&socket(daemon)?, &format!("/queue/{}", plain(id)))?, details)
        }
        Action::Retry { id: None, all: false, .. } => Err(unsaid()),
        Action::Retry { id, .. } => {
            let request = RetryRequest { id: id.clone() };
            show(daemon.json, &post(&socket(daemon)?, "/queue/retry", &request)?, ActionResult::retried)
        }
        Action::Hold(chosen) => act(chosen, Method::POST, "/hold", QueueAction::Hold),
        Action::Release(chosen) => act(chosen, Method::POST, "/release", QueueAction::Release),
        Action::Bounce(end) => act(&end.chosen, Method::POST, "/bounce", QueueAction::Bounce),
        Action::Remove(end) => act(&end.chosen, Method::DELETE, "", QueueAction::Remove),
        Action::Pause { connector, .. } => pause(daemon, connector, "pause"),
        Action::Resume { connector, .. } => pause(daemon, connector, "resume"),
    }
}

/// Applies an action to one message.
fn act(chosen: &ChosenArgs, method: Method, path: &str, action: QueueAction) -> Result<ExitCode, Failure> {
    let id = chosen.id.as_deref().ok_or_else(unsaid)?;
    let path = format!("/queue/{}{path}", plain(id));
    let answer: ActionResult = request(&socket(&chosen.daemon)?, method, &path)?;
    let words = |answer: &ActionResult| answer.id.map_or_else(String::new, |id| action.done(id, answer));
    show(chosen.daemon.json, &answer, words)
}

fn unsaid() -> Failure {
    Failure::new(EXIT_ARGUMENTS, "say which message, or name some by filters; see --help")
}

/// Pauses a connector, or resumes it.
fn pause(daemon: &DaemonArgs, connector: &str, action: &str) -> Result<ExitCode, Failure> {
    let path = format!("/connectors/{}/{action}", named(connector)?);
    show(daemon.json, &request(&socket(daemon)?, Method::POST, &path)?, PausedConnectors::to_string)
}

/// A queue ID has only letters and digits; other characters must not change the path.
fn plain(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// Prints the message itself, part by part.
fn content(daemon: &DaemonArgs, id: &str) -> Result<ExitCode, Failure> {
    let socket = socket(daemon)?;
    let (mut offset, mut out) = (0_u64, std::io::stdout().lock());
    loop {
        let path = format!("/queue/{}/content?offset={offset}", plain(id));
        let (octets, next) = fetch(&socket, &path)?;
        if next <= offset {
            return Ok(ExitCode::SUCCESS);
        }
        // A reader that has seen enough may close the pipe.
        if out.write_all(&octets).is_err() {
            return Ok(ExitCode::SUCCESS);
        }
        offset = next;
    }
}

fn listed(answer: &QueueList, now: UnixMillis) -> String {
    let QueueTotal { messages, recipients, .. } = answer.total;
    let summary = format!("{messages} messages for {recipients} recipients are queued");
    if answer.messages.is_empty() {
        return summary;
    }
    let rows: Vec<Vec<String>> = answer.messages.iter().map(|m| list_row(m, now)).collect();
    let headings = ["id", "age", "size", "from", "to", "attempts", "next", "reason"];
    format!("{}\n{summary}, {} shown", table(&headings, &rows), rows.len())
}

fn top(answer: &QueueTop, now: UnixMillis) -> String {
    let database = extent(answer.database);
    if answer.lanes.is_empty() {
        return format!("nothing is queued; {database}");
    }
    let row = |lane: &TopLane| {
        let blocked = lane.blocked.as_ref();
        let until = blocked.and_then(|blocked| blocked.blocked_until);
        vec![
            clean(&lane.lane),
            lane.recipients.to_string(),
            span(now.since(lane.oldest_at)),
            until.map_or_else(|| "-".to_owned(), |at| format!("in {}", span(at.since(now)))),
            blocked.map_or_else(|| "-".to_owned(), lane_reason),
        ]
    };
    let rows: Vec<Vec<String>> = answer.lanes.iter().map(row).collect();
    format!("{}\n{database}", table(&["lane", "recipients", "oldest", "next", "reason"], &rows))
}

/// Size of the database and its free part, as text.
fn extent(DatabaseSize { file, free }: DatabaseSize) -> String {
    let percent = free.saturating_mul(100).checked_div(file).unwrap_or_default();
    format!("the database has {} KiB, {percent} % of it free", file / 1024)
}

fn list_row(message: &MessageView, now: UnixMillis) -> Vec<String> {
    let first = message.recipients.first();
    let dash = || "-".to_owned();
    let to = first.map_or_else(dash, |first| clean(&first.forward_path));
    let more = message.recipients.len().saturating_sub(1);
    let to = if more > 0 { format!("{to} +{more}") } else { to };
    let blocked = first.and_then(|first| blocked_lane(message, &first.lane));
    let next = blocked.and_then(|lane| lane.blocked_until).or_else(|| first.map(|first| first.next_at));
    let next = match next {
        _ if first.is_some_and(|first| first.leased) => "in hand".to_owned(),
        Some(at) if at <= now => "due".to_owned(),
        Some(at) => format!("in {}", span(at.since(now))),
        None => dash(),
    };
    vec![
        message.id.to_string(),
        span(now.since(message.accepted_at)),
        message.size.to_string(),
        format!("<{}>", clean(&message.reverse_path)),
        to,
        first.map_or_else(dash, |first| first.attempts.to_string()),
        next,
        reason(message, first, blocked),
    ]
}

fn span(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d", seconds / 86_400),
    }
}
