//! A message's way in words: a timeline, a row of a list, a line of what is followed. Pure.

use crate::admin::MessageView;
use crate::connector::DecisionRecord;
use crate::mail::{QueueId, moves_text, rfc3339};
use crate::trace::{EventFacts, TracedEvent};

/// What the daemon says of a message.
pub(super) enum QueueState {
    /// It is queued.
    Still(Box<MessageView>),
    /// It is not queued.
    Gone,
    /// The daemon can't be asked.
    Unknown,
}

/// The whole way of a message. `about`: the message that it reports on.
pub(super) fn whole(events: &[TracedEvent], about: Option<QueueId>, queued: &QueueState) -> String {
    let first = events.iter().find(|event| event.event == "accepted").or_else(|| events.first());
    let mut lines = Vec::new();
    if let Some(first) = first {
        lines.extend(head(first, about));
        lines.push(String::new());
    }
    for event in events {
        lines.push(format!("{}  {}", event.at, said(event)));
        lines.extend(details(event).into_iter().map(|line| format!("{INDENT}{}", clean(&line))));
    }
    lines.extend(end(events, queued));
    lines.join("\n")
}

fn head(first: &TracedEvent, about: Option<QueueId>) -> Vec<String> {
    let facts = &first.facts;
    let mut lines = vec![format!("message     {}", first.id.as_deref().unwrap_or("-"))];
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            lines.push(format!("{name:<12}{}", clean(&value)));
        }
    };
    add("from", facts.reverse_path.as_ref().map(|path| format!("<{path}>")));
    let others = facts.recipient_count.unwrap_or_default().saturating_sub(facts.recipients.len());
    let more = if others > 0 { format!(" and {others} more") } else { String::new() };
    let to: Vec<String> =
        facts.recipients.iter().chain(&facts.forward_path).map(|to| format!("<{to}>")).collect();
    add("to", (!to.is_empty()).then(|| format!("{}{more}", to.join(", "))));
    add("message-id", facts.message_id.clone());
    add("subject", facts.subject.clone());
    add("size", facts.size.map(|size| format!("{size} octets")));
    add("reports on", about.map(|id| format!("{id}; `sealpost trace {id}` shows it")));
    lines
}

/// What happened, on the first line of an event.
fn said(event: &TracedEvent) -> String {
    let facts = &event.facts;
    let connector = connector(event).map_or_else(String::new, |name| format!(" by {name}"));
    let recipient = facts.forward_path.as_ref().map_or_else(String::new, |to| format!(" <{to}>"));
    let host = facts.host.as_ref().map_or_else(String::new, |host| format!(", {host}"));
    let words = facts.words.join("; ");
    let text = match event.event.as_str() {
        "accepted" => {
            let peer = facts.peer.as_deref().unwrap_or("an unknown address");
            format!("accepted{connector} from {peer}")
        }
        "refused" => {
            let peer = facts.peer.as_deref().unwrap_or("an unknown address");
            let from = facts.reverse_path.as_ref().map_or_else(String::new, |path| format!(" from <{path}>"));
            format!(
                "refused {}{from}{recipient} of {peer}{connector}",
                facts.stage.as_deref().unwrap_or_default()
            )
        }
        "session-ended" => format!("session ended, {}", facts.peer.as_deref().unwrap_or_default()),
        "delivered" => format!("delivered{recipient}{connector}{host}"),
        "deferred" => format!("deferred {recipient}{connector}{host}").replace("deferred  ", "deferred "),
        "rerouted" => {
            format!(
                "rerouted{recipient} from{} to {}",
                connector.replacen(" by", "", 1),
                text_of(&facts.rerouted_to)
            )
        }
        "failed" => format!("failed   {recipient}{connector}{host}").replace("failed    ", "failed "),
        "reported" => match &facts.report {
            Some(report) => format!("reported to the sender ({}): {report}", text_of(&facts.kind)),
            None => format!("no report was made ({})", text_of(&facts.kind)),
        },
        "plaintext" => format!("plaintext{connector}{host}"),
        "waived" => format!("waived in audit{connector}{host}"),
        "held" => "held".to_owned(),
        "handled" => {
            format!("{} by {}", text_of(&facts.handling), text_of(&facts.by))
        }
        "reloaded" => format!("reloaded, generation {}", facts.generation.unwrap_or_default()),
        "override" => format!("override: {words}"),
        "validated" => format!("validated {}: {words}", text_of(&facts.connector)),
        "alarm" => format!("alarm: {words}"),
        "alarm-cleared" => format!("alarm cleared: {words}"),
        "partner-changed" => format!("changed{connector}{host}: {words}"),
        other => other.to_owned(),
    };
    clean(&text)
}

fn details(event: &TracedEvent) -> Vec<String> {
    let facts = &event.facts;
    let mut lines = Vec::new();
    if let (Some(content), Some(stored)) = (facts.content_ms, facts.stored_ms) {
        lines.push(format!("content in {content} ms, on disk in {stored} ms"));
    }
    let reason = match (&facts.status, &facts.reason) {
        (Some(status), Some(reason)) => Some(format!("{status} {reason}")),
        (None, Some(reason)) => Some(reason.clone()),
        (Some(status), None) => Some(status.clone()),
        (None, None) => None,
    };
    lines.extend(reason);
    if let Some(reply) = &facts.reply {
        let whose = if event.event == "refused" { "our reply" } else { "reply" };
        lines.push(format!("{whose}: {reply}"));
    }
    lines.extend(facts.delay_ms.map(|delay| format!("{} after it was accepted", duration(delay))));
    lines.extend(event.decision.iter().flat_map(decision_lines));
    lines.extend(facts.next_at.as_ref().map(|next| format!("next attempt at {next}")));
    if event.event == "reloaded" {
        lines.extend(facts.words.iter().map(|words| format!("weaker: {words}")));
    }
    lines
}

/// What was required and attained, and the certificates.
fn decision_lines(decision: &DecisionRecord) -> Vec<String> {
    let mut lines = vec![
        format!("required: {}", decision.required),
        format!("attained: {}", decision.attained),
        format!("because:  {} ({})", decision.reason, decision.token),
    ];
    if let Some(tls) = decision.handshake() {
        lines.push(format!("session:  {} {} {}", tls.version, tls.suite, tls.group));
        let theirs = tls.certificate().map(|one| format!("their certificate: SHA-256 {}", one.sha256));
        lines.extend(theirs);
        lines.extend(tls.own_sha256.map(|sha256| format!("our certificate:   SHA-256 {sha256}")));
    }
    lines
}

/// What is left to do.
fn end(events: &[TracedEvent], queued: &QueueState) -> Vec<String> {
    match queued {
        QueueState::Still(message) => {
            let mut lines = vec![String::new()];
            lines.extend(message.held.iter().map(|why| format!("now         held: {}", clean(why))));
            for recipient in &message.recipients {
                let due = rfc3339(recipient.next_at);
                lines.push(format!("now         queued for <{}>, due {due}", clean(&recipient.forward_path)));
            }
            lines
        }
        QueueState::Gone if is_open(events) => {
            vec![String::new(), "now         not queued any more; its end was not recorded".to_owned()]
        }
        QueueState::Unknown if is_open(events) => {
            vec![
                String::new(),
                "now         unknown: the daemon can't be asked whether it is still queued".to_owned(),
            ]
        }
        QueueState::Gone | QueueState::Unknown => Vec::new(),
    }
}

/// Whether a recipient has had no end yet.
fn is_open(events: &[TracedEvent]) -> bool {
    let ends = |event: &&TracedEvent| matches!(event.event.as_str(), "delivered" | "failed");
    let accepted = events.iter().find_map(|event| event.facts.recipient_count).unwrap_or(1);
    events.iter().filter(ends).count() < accepted
        && !events.iter().any(|event| event.facts.handling.as_deref() == Some("removed"))
}

/// A message in one row: ID, date, sender, recipients, state, connector, subject.
pub(super) fn row(id: QueueId, events: &[TracedEvent]) -> Vec<String> {
    let first = events.iter().find(|event| event.event == "accepted").or_else(|| events.first());
    let facts = first.map(|first| first.facts.clone()).unwrap_or_default();
    let at = first.map(|first| first.at.clone()).unwrap_or_default();
    let (from, to) = (facts.reverse_path.clone().unwrap_or_default(), recipients(&facts));
    let last = events.iter().rev().find(|event| STATES.contains(&event.event.as_str()));
    let by = last.or(first).and_then(connector).unwrap_or_default();
    let state = state(events, last);
    let subject: String = facts.subject.unwrap_or_default().chars().take(40).collect();
    let cells = [id.to_string(), at, format!("<{from}>"), to, state, by, subject];
    cells.iter().map(|cell| clean(cell)).collect()
}

/// How it stands with a message: how its recipients have ended, or the last that happened.
fn state(events: &[TracedEvent], last: Option<&TracedEvent>) -> String {
    if events.iter().any(|event| event.facts.handling.as_deref() == Some("removed")) {
        return "removed".to_owned();
    }
    let ended = |word: &str| events.iter().any(|event| event.event == word);
    match (is_open(events), ended("delivered"), ended("failed")) {
        (false, true, true) => "part failed".to_owned(),
        (true, true, _) | (true, _, true) => "under way".to_owned(),
        (true | false, ..) => last.map_or_else(|| "accepted".to_owned(), |last| last.event.clone()),
    }
}

fn recipients(facts: &EventFacts) -> String {
    let mut all = facts.recipients.iter().chain(&facts.forward_path);
    let first = all.next().map_or_else(|| "-".to_owned(), |to| format!("<{to}>"));
    match facts.recipient_count.unwrap_or(1).saturating_sub(1) {
        0 => first,
        more => format!("{first} +{more}"),
    }
}

/// One event on one line.
pub(super) fn line(event: &TracedEvent) -> String {
    let facts = &event.facts;
    let mut text = format!("{}  {:<13}  {}", event.at, event.id.as_deref().unwrap_or("-"), said(event));
    if event.event == "accepted" {
        text.push_str(&format!(
            ", <{}> to {}",
            facts.reverse_path.as_deref().unwrap_or_default(),
            recipients(facts)
        ));
    }
    let why =
        facts.status.iter().chain(&facts.reason).chain(&facts.reply).cloned().collect::<Vec<_>>().join(" ");
    if !why.is_empty() {
        text.push_str(": ");
        text.push_str(&why);
    }
    clean(&text)
}

fn connector(event: &TracedEvent) -> Option<String> {
    let decided = event.decision.as_ref().and_then(|decision| decision.connector.clone());
    decided.or_else(|| event.facts.connector.clone())
}

fn text_of(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or("-")
}

fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => humantime::format_duration(std::time::Duration::from_secs(ms / 1_000)).to_string(),
    }
}

/// On one line: what a peer said must not move the cursor.
fn clean(text: &str) -> String {
    text.chars().map(|c| if moves_text(c) { '\u{fffd}' } else { c }).collect()
}

const INDENT: &str = "                            ";
/// Events that say how it stands with a message, for a list.
const STATES: [&str; 5] = ["delivered", "deferred", "rerouted", "failed", "held"];
