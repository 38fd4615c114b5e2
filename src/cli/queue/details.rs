//! Shows one message as text.

use crate::admin::{HintView, LaneStatus, MessageView, RecipientView};
use crate::connector::{Onward, OnwardDemand};
use crate::mail::{rfc3339, unmoved};

pub(super) fn details(message: &MessageView) -> String {
    let origin = &message.origin;
    let how = if origin.sealed { ", under forced TLS" } else { "" };
    let mut lines = vec![
        format!("message      {}", message.id),
        format!("from         <{}>", clean(&message.reverse_path)),
        format!("accepted     {}", rfc3339(message.accepted_at)),
        format!("size         {} octets", message.size),
        match &origin.connector {
            Some(connector) => format!("came by      {connector}{how}"),
            None => "came by      ourselves (a report)".to_owned(),
        },
    ];
    let demand =
        OnwardDemand { raised_by: origin.raised_by.clone(), ..OnwardDemand::of_connector(origin.onward) };
    if demand.level > Onward::Any {
        lines.push(format!("must leave   only over {}", clean(&demand.to_string())));
    }
    lines.push(format!("message-id   {}", clean(origin.message_id.as_deref().unwrap_or("-"))));
    for recipient in &message.recipients {
        lines.extend(recipient_lines(message, recipient));
    }
    lines.join("\n")
}

fn recipient_lines(message: &MessageView, recipient: &RecipientView) -> Vec<String> {
    let blocked = blocked_lane(message, &recipient.lane);
    let mut lines = vec![
        String::new(),
        format!("to           <{}>", clean(&recipient.forward_path)),
        format!("lane         {}", clean(&recipient.lane)),
        format!("attempts     {}", recipient.attempts),
        format!("due          {}", rfc3339(recipient.next_at)),
    ];
    if let Some(rerouting) = &recipient.rerouted {
        let words = format!(
            "handed on    from connector {} to {}: {} {}",
            rerouting.from, rerouting.to, rerouting.status, rerouting.reason
        );
        lines.push(clean(&words));
    }
    lines.extend(recipient.overridden.iter().map(|words| format!("override     {}", clean(words))));
    if let Some(until) = blocked.and_then(|lane| lane.blocked_until) {
        lines.push(format!("lane waits   until {}", rfc3339(until)));
    }
    lines.push(format!("reason       {}", reason(message, Some(recipient), blocked)));
    if let Some(hint) = hint(message, recipient, blocked) {
        lines.push(format!("hint         {}", clean(&hint.to_string())));
    }
    if let Some(decision) = recipient.last.as_ref().and_then(|last| last.decision.as_ref()) {
        let fields = [
            ("connector", decision.connector.as_deref().unwrap_or("-")),
            ("host", decision.host.as_deref().unwrap_or("-")),
            ("required", &decision.required),
            ("attained", &decision.attained),
            ("token", &decision.token),
        ];
        lines.extend(fields.map(|(key, value)| format!("{key:<12} {}", clean(value))));
        if let Some(partner) = &decision.partner {
            let contact =
                decision.contact.as_ref().map_or_else(String::new, |contact| format!(" ({contact})"));
            lines.push(format!("partner      {}", clean(&format!("{partner}{contact}"))));
        }
    }
    lines
}

/// Why a recipient waits: its own last trouble, or else its lane's.
pub(super) fn reason(
    message: &MessageView,
    recipient: Option<&RecipientView>,
    blocked: Option<&LaneStatus>,
) -> String {
    if let Some(held) = &message.held {
        return format!("held: {held}");
    }
    if let Some(lane) = blocked.filter(|lane| lane.paused) {
        return lane_reason(lane);
    }
    let own = recipient.and_then(|recipient| recipient.last.as_ref());
    let own = own.map(|last| clean(&format!("{} {}", last.status, last.reason)));
    own.or_else(|| blocked.map(lane_reason)).unwrap_or_else(|| "-".to_owned())
}

/// What to do about the reason that is shown.
fn hint<'a>(
    message: &MessageView,
    recipient: &'a RecipientView,
    blocked: Option<&'a LaneStatus>,
) -> Option<&'a HintView> {
    if message.held.is_some() || blocked.is_some_and(|lane| lane.paused) {
        return None;
    }
    match &recipient.last {
        Some(last) => last.hint.as_ref(),
        None => blocked.and_then(|lane| lane.hint.as_ref()),
    }
}

pub(super) fn blocked_lane<'a>(message: &'a MessageView, lane: &str) -> Option<&'a LaneStatus> {
    message.blocked.iter().find(|blocked| blocked.lane == lane)
}

/// Replaces what moves text, so that a peer's text can't control the terminal.
pub(super) fn clean(text: &str) -> String {
    unmoved(text, '?').collect()
}

pub(super) fn lane_reason(lane: &LaneStatus) -> String {
    if lane.paused {
        return "its connector is paused".to_owned();
    }
    let [status, reason] = [&lane.status, &lane.reason].map(|text| text.as_deref().unwrap_or("-"));
    clean(&format!("{status} {reason}"))
}
