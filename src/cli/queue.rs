use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::control::{ask, fetch};
use super::print::{say, say_json, table};
use super::{ConfigArg, EXIT_CONFIG, EXIT_NO, EXIT_USAGE, Failure};
use crate::config;
use crate::mail::{Clock, UnixMillis};
use details::details;
use sets::FilterArgs;

mod details;
mod sets;

/// What `queue` takes.
#[derive(Debug, clap::Args)]
pub(super) struct QueueArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List queued messages, the oldest first.
    List {
        #[command(flatten)]
        daemon: DaemonArgs,
        /// At most so many messages (1,000 at the most).
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Go on after this message.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        #[command(flatten)]
        filter: FilterArgs,
    },
    /// Show the lanes with the most recipients.
    Top {
        #[command(flatten)]
        daemon: DaemonArgs,
        /// At most so many lanes (1,000 at the most).
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Show one message: envelope, attempts, and the last decision.
    Show {
        #[command(flatten)]
        daemon: DaemonArgs,
        /// The message.
        id: String,
        /// Print the message itself, and nothing else.
        #[arg(long, conflicts_with = "json")]
        content: bool,
    },
    /// Try a message again now, those that filters name, or all with --all.
    Retry {
        #[command(flatten)]
        daemon: DaemonArgs,
        /// The message.
        #[arg(conflicts_with = "all")]
        id: Option<String>,
        /// Every queued message.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        filter: FilterArgs,
    },
    /// Keep a message back until it is released, or those that filters name.
    Hold {
        #[command(flatten)]
        daemon: DaemonArgs,
        /// The message.
        id: Option<String>,
        #[command(flatten)]
        filter: FilterArgs,
    },
    /// Let a held message go on, or those that filters name (as --held).
    Release {
        #[command(flatten)]
        daemon: DaemonArgs,
        /// The message.
        id: Option<String>,
        #[command(flatten)]
        filter: FilterArgs,
    },
    /// Give a message up, or those that filters name. Their senders are told.
    Bounce {
        #[command(flatten)]
        daemon: DaemonArgs,
        /// The message.
        id: Option<String>,
        /// With recipients that the filters do not name, too.
        #[arg(long)]
        whole: bool,
        #[command(flatten)]
        filter: FilterArgs,
    },
    /// Have an outbound connector stand still: its mail waits, and none of it is given up.
    Pause {
        #[command(flatten)]
        daemon: DaemonArgs,
        /// The connector.
        connector: String,
    },
    /// Let a connector go on that stands still.
    Resume {
        #[command(flatten)]
        daemon: DaemonArgs,
        /// The connector.
        connector: String,
    },
    /// Take a message out of the queue, or those that filters name. Nobody is told.
    Remove {
        #[command(flatten)]
        daemon: DaemonArgs,
        /// The message.
        id: Option<String>,
        /// With recipients that the filters do not name, too.
        #[arg(long)]
        whole: bool,
        #[command(flatten)]
        filter: FilterArgs,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct DaemonArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// The control socket, instead of the one the configuration says.
    #[arg(long, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Asks the running daemon about its queue.
pub(super) fn queue(args: QueueArgs) -> Result<ExitCode, Failure> {
    if let Some(done) = sets::act(&args.action)? {
        return Ok(done);
    }
    if let Action::Show { daemon, id, content: true } = &args.action {
        return content(daemon, id);
    }
    let (daemon, method, path, body) = request(&args.action)?;
    let answer = ask(&socket(daemon)?, method, &path, body)?;
    if daemon.json {
        say_json(&answer);
        return Ok(ExitCode::SUCCESS);
    }
    say(&match &args.action {
        Action::List { .. } => listing(&answer, Clock::wall()),
        Action::Top { .. } => top(&answer, Clock::wall()),
        Action::Show { .. } => details(&answer),
        Action::Retry { .. } => match text(&answer, "recipients").as_str() {
            "1" => "1 recipient is tried again now".to_owned(),
            count => format!("{count} recipients are tried again now"),
        },
        Action::Remove { id, .. } => {
            format!("{} is removed; nobody is told", id.as_deref().unwrap_or_default())
        }
        Action::Bounce { id, .. } => {
            format!("{} is given up; its sender is told", id.as_deref().unwrap_or_default())
        }
        Action::Pause { .. } | Action::Resume { .. } => standing_still(&answer),
        Action::Hold { id, .. } => {
            format!("{} is held until it is released", id.as_deref().unwrap_or_default())
        }
        Action::Release { id, .. } => format!("{} is tried again now", id.as_deref().unwrap_or_default()),
    });
    Ok(ExitCode::SUCCESS)
}

type Asked<'a> = (&'a DaemonArgs, Method, String, Option<Value>);

fn request(action: &Action) -> Result<Asked<'_>, Failure> {
    let unsaid = || Failure::new(EXIT_USAGE, "say which message, or name some by filters; see --help");
    Ok(match action {
        Action::List { daemon, limit, after, filter } => {
            let body = filter.body(*limit, after.as_deref());
            (daemon, Method::POST, "/queue/list".to_owned(), Some(body))
        }
        Action::Top { daemon, limit } => (daemon, Method::GET, format!("/queue/top?limit={limit}"), None),
        Action::Show { daemon, id, .. } => (daemon, Method::GET, format!("/queue/{}", plain(id)), None),
        Action::Retry { id: None, all: false, .. } => return Err(unsaid()),
        Action::Retry { daemon, id, .. } => {
            (daemon, Method::POST, "/queue/retry".to_owned(), Some(json!({ "id": id })))
        }
        Action::Hold { daemon, id, .. } => {
            let id = id.as_deref().ok_or_else(unsaid)?;
            (daemon, Method::POST, format!("/queue/{}/hold", plain(id)), None)
        }
        Action::Release { daemon, id, .. } => {
            let id = id.as_deref().ok_or_else(unsaid)?;
            (daemon, Method::POST, format!("/queue/{}/release", plain(id)), None)
        }
        Action::Bounce { daemon, id, .. } => {
            let id = id.as_deref().ok_or_else(unsaid)?;
            (daemon, Method::POST, format!("/queue/{}/bounce", plain(id)), None)
        }
        Action::Pause { daemon, connector } => {
            (daemon, Method::POST, format!("/connectors/{}/pause", named(connector)?), None)
        }
        Action::Resume { daemon, connector } => {
            (daemon, Method::POST, format!("/connectors/{}/resume", named(connector)?), None)
        }
        Action::Remove { daemon, id, .. } => {
            let id = id.as_deref().ok_or_else(unsaid)?;
            (daemon, Method::DELETE, format!("/queue/{}", plain(id)), None)
        }
    })
}

/// A queue id has letters and digits alone; anything else would be no path of ours.
fn plain(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// Names of connectors have letters, digits, dots and dashes.
fn named(connector: &str) -> Result<&str, Failure> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !connector.is_empty() && connector.chars().all(is_plain) {
        return Ok(connector);
    }
    Err(Failure::new(EXIT_NO, format!("{connector:?} is no name of a connector")))
}

fn standing_still(answer: &Value) -> String {
    let names: Vec<&str> = answer
        .get("connectors")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if names.is_empty() {
        "no connector stands still".to_owned()
    } else {
        format!("standing still: {}", names.join(", "))
    }
}

/// The message itself, part by part.
fn content(daemon: &DaemonArgs, id: &str) -> Result<ExitCode, Failure> {
    let socket = socket(daemon)?;
    let (mut offset, mut out) = (0_u64, std::io::stdout().lock());
    loop {
        let path = format!("/queue/{}/content?offset={offset}", plain(id));
        let (octets, next) = fetch(&socket, &path)?;
        if next <= offset {
            return Ok(ExitCode::SUCCESS);
        }
        // Whoever reads may have seen enough.
        if out.write_all(&octets).is_err() {
            return Ok(ExitCode::SUCCESS);
        }
        offset = next;
    }
}

pub(super) fn socket(daemon: &DaemonArgs) -> Result<PathBuf, Failure> {
    if let Some(path) = &daemon.socket {
        return Ok(path.clone());
    }
    config::control_socket(&daemon.config.config)
        .map_err(|faults| Failure::new(EXIT_CONFIG, format!("the configuration has mistakes\n{faults}")))
}

fn listing(answer: &Value, now: UnixMillis) -> String {
    let total = answer.get("total");
    let count = |key: &str| total.and_then(|t| t.get(key)).and_then(Value::as_u64).unwrap_or_default();
    let messages = answer.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let summary = format!("{} messages for {} recipients are queued", count("messages"), count("recipients"));
    if messages.is_empty() {
        return summary;
    }
    let rows: Vec<Vec<String>> = messages.iter().map(|m| list_row(m, now)).collect();
    let headings = ["id", "age", "size", "from", "to", "attempts", "next", "reason"];
    format!("{}\n{summary}, {} shown", table(&headings, &rows), messages.len())
}

fn top(answer: &Value, now: UnixMillis) -> String {
    let lanes = answer.get("lanes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let database = answer.get("database").map(extent).unwrap_or_default();
    if lanes.is_empty() {
        return format!("nothing is queued; {database}");
    }
    let row = |lane: &Value| {
        let blocked = lane.get("blocked").filter(|blocked| !blocked.is_null());
        let oldest = time(lane, "oldest_at").map(|at| span(now.since(at))).unwrap_or_default();
        let until = blocked.and_then(|blocked| time(blocked, "blocked_until"));
        vec![
            text(lane, "lane"),
            text(lane, "recipients"),
            oldest,
            until.map_or_else(|| "-".to_owned(), |at| format!("in {}", span(at.since(now)))),
            blocked.map_or_else(|| "-".to_owned(), lane_reason),
        ]
    };
    let rows: Vec<Vec<String>> = lanes.iter().map(row).collect();
    format!("{}\n{database}", table(&["lane", "recipients", "oldest", "next", "reason"], &rows))
}

/// How large the database is, and how much of it is free.
fn extent(database: &Value) -> String {
    let octets = |name| database.get(name).and_then(Value::as_u64).unwrap_or_default();
    let (file, free) = (octets("file"), octets("free"));
    let percent = free.saturating_mul(100).checked_div(file).unwrap_or_default();
    format!("the database has {} KiB, {percent} % of it free", file / 1024)
}

fn list_row(message: &Value, now: UnixMillis) -> Vec<String> {
    let recipients =
        message.get("recipients").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let first = recipients.first().cloned().unwrap_or_default();
    let more = recipients.len().saturating_sub(1);
    let to = text(&first, "forward_path");
    let to = if more > 0 { format!("{to} +{more}") } else { to };
    let lane = text(&first, "lane");
    let blocked = blocked_lane(message, &lane);
    let next = blocked.and_then(|l| time(l, "blocked_until")).or_else(|| time(&first, "next_at"));
    let in_hand = first.get("leased").and_then(Value::as_bool).unwrap_or_default();
    let next = match next {
        _ if in_hand => "in hand".to_owned(),
        Some(at) if at <= now => "due".to_owned(),
        Some(at) => format!("in {}", span(at.since(now))),
        None => "-".to_owned(),
    };
    vec![
        text(message, "id"),
        time(message, "accepted_at").map(|at| span(now.since(at))).unwrap_or_default(),
        text(message, "size"),
        format!("<{}>", text(message, "reverse_path")),
        to,
        text(&first, "attempts"),
        next,
        reason(message, &first, blocked),
    ]
}

/// Why a recipient waits: the message's own trouble, else its lane's.
fn reason(message: &Value, recipient: &Value, blocked: Option<&Value>) -> String {
    if let Some(held) = message.get("held").and_then(Value::as_str) {
        return format!("held: {held}");
    }
    if blocked.is_some_and(stands_still) {
        return "its connector stands still".to_owned();
    }
    let own = recipient.get("last").filter(|l| !l.is_null());
    own.or(blocked).map_or_else(|| "-".to_owned(), |l| format!("{} {}", text(l, "status"), text(l, "reason")))
}

fn lane_reason(lane: &Value) -> String {
    if stands_still(lane) {
        return "its connector stands still".to_owned();
    }
    format!("{} {}", text(lane, "status"), text(lane, "reason"))
}

/// Whether an operator has a lane's connector stand still.
fn stands_still(lane: &Value) -> bool {
    lane.get("paused").and_then(Value::as_bool).unwrap_or_default()
}

fn blocked_lane<'a>(message: &'a Value, lane: &str) -> Option<&'a Value> {
    message.get("blocked")?.as_array()?.iter().find(|l| text(l, "lane") == lane)
}

fn text(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => text.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    }
}

fn time(value: &Value, key: &str) -> Option<UnixMillis> {
    value.get(key).and_then(Value::as_i64).map(UnixMillis)
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
