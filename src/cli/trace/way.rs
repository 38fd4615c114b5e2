//! A message's whole way as a timeline, with what the daemon says of it now. Pure.

use crate::admin::MessageView;
use crate::mail::{QueueId, rfc3339};
use crate::trace::{TracedEvent, clean, details, is_open, said};

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

const INDENT: &str = "                            ";
