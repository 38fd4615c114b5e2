//! `trace`: finds messages and shows their whole way, from the tracking store; the daemon need not run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use super::args::{ConfigArg, socket_of, time_argument};
use super::control::get;
use super::exit::{EXIT_IO, EXIT_NO, Failure};
use super::listing::PagerArgs;
use super::print::{say, table};
use crate::admin::MessageView;
use crate::config;
use crate::mail::{QueueId, UnixMillis};
use crate::trace::{
    self, EventKind, StoredWord, TraceFault, TraceFilter, TraceReader, TracedEvent, TracedMessages,
};

mod way;

use way::QueueState;

/// What `trace` takes.
#[derive(Debug, clap::Args)]
pub(super) struct TraceArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The folder of the tracking store, instead of the configuration's data_dir.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A queue ID, a Message-ID, an address, or a domain.
    what: Option<String>,
    #[command(flatten)]
    filter: TraceFilterArgs,
    /// At most this many messages, the newest.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = limit)]
    limit: usize,
    /// Show the whole way of each message, also where there are several.
    #[arg(long)]
    full: bool,
    /// Go on, and show each event as it is written.
    #[arg(long, conflicts_with_all = ["limit", "full", "until"])]
    follow: bool,
    /// Print one JSON object for each event, one a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pager: PagerArgs,
}

/// Which events are asked for.
#[derive(Debug, clap::Args)]
struct TraceFilterArgs {
    /// The sender's address, or @domain.
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// A recipient's address, or @domain.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// The domain of the sender or a recipient.
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// The Message-ID.
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// A word of the Subject; invoi* finds words that begin so. May be given several times.
    #[arg(long, value_name = "WORD")]
    subject: Vec<String>,
    /// The partner.
    #[arg(long, value_name = "NAME")]
    partner: Option<String>,
    /// The connector by which it came or went.
    #[arg(long, value_name = "NAME")]
    connector: Option<String>,
    /// What happened: accepted, delivered, deferred, failed, refused, …. May be given several times.
    #[arg(long, value_name = "EVENT", value_parser = event, value_delimiter = ',')]
    event: Vec<EventKind>,
    /// Why: a token such as starttls-not-offered, or a status code such as 4.7.5.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// The TLS version, such as TLSv1.3, or plaintext.
    #[arg(long, value_name = "VERSION")]
    tls: Option<String>,
    /// The cipher suite.
    #[arg(long, value_name = "SUITE")]
    suite: Option<String>,
    /// The key exchange group.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// The SHA-256 of the peer's certificate.
    #[arg(long, value_name = "SHA256")]
    certificate: Option<String>,
    /// The name or address of a host, or the address of a client.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Since a time, such as 2026-11-29T06:00:00Z, or for so long, such as 2h or 7d.
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    since: Option<UnixMillis>,
    /// Until a time, written like --since.
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    until: Option<UnixMillis>,
}

impl TraceArgs {
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    fn filter(&self) -> TraceFilter {
        let args = &self.filter;
        let mut filter = TraceFilter {
            message_id: args.message_id.clone(),
            from: args.from.clone(),
            to: args.to.clone(),
            domain: args.domain.clone(),
            subject: args.subject.clone(),
            partner: args.partner.clone(),
            connector: args.connector.clone(),
            kinds: args.event.clone(),
            reason: args.reason.clone(),
            tls: args.tls.clone(),
            suite: args.suite.clone(),
            group: args.group.clone(),
            certificate: args.certificate.clone(),
            host: args.host.clone(),
            since: args.since,
            until: args.until,
            ..TraceFilter::default()
        };
        if let Some(what) = &self.what {
            filter.name(what);
        }
        filter
    }
}

/// Finds and shows messages.
pub(super) fn trace(args: &TraceArgs) -> Result<ExitCode, Failure> {
    let folder = match &args.data_dir {
        Some(folder) => folder.clone(),
        None => config::data_dir_of(&args.config.config)?,
    };
    let mut reader = TraceReader::open(&folder)?;
    let filter = args.filter();
    if args.follow {
        return follow((reader, &folder), &filter, args.json);
    }
    let found = TracedMessages::search(&mut reader, &filter, args.limit).map_err(broken)?;
    if found.is_empty() {
        return Err(Failure::new(EXIT_NO, nothing(&reader, &filter)?));
    }
    if args.json {
        for event in found.events(&mut reader, filter.is_narrow()).map_err(broken)? {
            say_line(&event);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let sockets = socket_of(&args.config.config).ok();
    let alone = found.messages.len() == 1 && found.others.is_empty();
    if args.full || alone {
        let mut parts = Vec::new();
        for id in &found.messages {
            let events = reader.timeline(*id).map_err(broken)?;
            let about = reader.reported_by(*id).map_err(broken)?;
            let queued = queued(sockets.as_deref(), *id);
            parts.push(way::whole(&events, about, &queued));
        }
        parts.extend(found.others.iter().map(trace::line));
        args.pager.show(&parts.join("\n\n"));
        return Ok(ExitCode::SUCCESS);
    }
    args.pager.show(&listing(&mut reader, &found)?);
    Ok(ExitCode::SUCCESS)
}

/// What the daemon says of a message.
fn queued(socket: Option<&Path>, id: QueueId) -> QueueState {
    let Some(socket) = socket else { return QueueState::Unknown };
    match get::<MessageView>(socket, &format!("/queue/{id}")) {
        Ok(message) => QueueState::Still(Box::new(message)),
        Err(failure) if failure.exit == EXIT_NO => QueueState::Gone,
        Err(_) => QueueState::Unknown,
    }
}

/// One line for each message, and one for each other event.
fn listing(reader: &mut TraceReader, found: &TracedMessages) -> Result<String, Failure> {
    let mut rows = Vec::new();
    for id in &found.messages {
        rows.push(reader.outline(*id).map_err(broken)?.row());
    }
    let mut parts = Vec::new();
    if !rows.is_empty() {
        parts.push(table(&["MESSAGE", "ACCEPTED", "FROM", "TO", "STATE", "BY", "SUBJECT"], &rows));
    }
    if !found.others.is_empty() {
        parts.push(found.others.iter().map(trace::line).collect::<Vec<_>>().join("\n"));
    }
    if !rows.is_empty() {
        parts.push("`sealpost trace ID` shows the whole way of a message.".to_owned());
    }
    Ok(parts.join("\n\n"))
}

/// Shows events as they are written, until it is interrupted.
fn follow(
    (mut reader, folder): (TraceReader, &Path),
    filter: &TraceFilter,
    as_json: bool,
) -> Result<ExitCode, Failure> {
    let mut last = match filter.since {
        Some(_) => 0,
        None => reader.last_seq().map_err(broken)?,
    };
    loop {
        let events = reader.after(last, filter, FOLLOW_MAX).map_err(broken)?;
        let more = events.len() == FOLLOW_MAX;
        for event in &events {
            last = last.max(event.seq);
            if as_json {
                say_line(event);
            } else {
                say(&trace::line(event));
            }
        }
        if !more {
            thread::sleep(FOLLOW_PAUSE);
            if reader.is_replaced()
                && let Ok(fresh) = TraceReader::open(folder)
            {
                (reader, last) = (fresh, 0);
            }
        }
    }
}

fn say_line(event: &TracedEvent) {
    if let Ok(text) = serde_json::to_string(event) {
        say(&text);
    }
}

fn nothing(reader: &TraceReader, filter: &TraceFilter) -> Result<String, Failure> {
    let since = reader.since().map_err(broken)?;
    let since = since.map_or_else(
        || "nothing has been tracked yet".to_owned(),
        |since| format!("tracking begins {}", crate::mail::rfc3339(since)),
    );
    let what = if filter.is_narrow() { "nothing matches" } else { "no events" };
    Ok(format!("{what}; {since}"))
}

impl From<TraceFault> for Failure {
    fn from(fault: TraceFault) -> Self {
        Self::new(EXIT_IO, fault)
    }
}

fn broken(fault: rusqlite::Error) -> Failure {
    Failure::new(EXIT_IO, format!("the tracking store can't be read: {fault}"))
}

fn limit(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|limit| *limit > 0).ok_or_else(|| "a number from 1 on".to_owned())
}

fn event(word: &str) -> Result<EventKind, String> {
    EventKind::named(word).ok_or_else(|| {
        let words: Vec<&str> = EventKind::ALL.iter().map(|(_, word, _)| *word).collect();
        config::unknown_name("event", word, &words)
    })
}

/// Events that are shown at once while following.
const FOLLOW_MAX: usize = 1_000;
/// How often a follower looks.
const FOLLOW_PAUSE: Duration = Duration::from_millis(300);
