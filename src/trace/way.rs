//! What events say, in words: a line of a timeline, its details, a row of a list. Pure; peers' text can't move the cursor.

use super::record::{EventFacts, TracedEvent};
use crate::connector::DecisionRecord;
use crate::mail::unmoved;

/// What happened, on the first line of an event.
#[must_use]
pub fn said(event: &TracedEvent) -> String {
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
        "started" => format!("started: {words}"),
        "stopped" => "stopped".to_owned(),
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

/// What else is known of it, a line each.
#[must_use]
pub fn details(event: &TracedEvent) -> Vec<String> {
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

/// Whether a recipient has had no end yet.
#[must_use]
pub fn is_open(events: &[TracedEvent]) -> bool {
    let ends = |event: &&TracedEvent| matches!(event.event.as_str(), "delivered" | "failed");
    let accepted = events.iter().find_map(|event| event.facts.recipient_count).unwrap_or(1);
    events.iter().filter(ends).count() < accepted
        && !events.iter().any(|event| event.facts.handling.as_deref() == Some("removed"))
}

pub(super) fn recipients(facts: &EventFacts) -> String {
    let mut all = facts.recipients.iter().chain(&facts.forward_path);
    let first = all.next().map_or_else(|| "-".to_owned(), |to| format!("<{to}>"));
    match facts.recipient_count.unwrap_or(1).saturating_sub(1) {
        0 => first,
        more => format!("{first} +{more}"),
    }
}

/// One event on one line.
#[must_use]
pub fn line(event: &TracedEvent) -> String {
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

pub(super) fn connector(event: &TracedEvent) -> Option<String> {
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
#[must_use]
pub fn clean(text: &str) -> String {
    unmoved(text, char::REPLACEMENT_CHARACTER).collect()
}
