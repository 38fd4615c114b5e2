//! One message in words.

use serde_json::Value;

use super::{blocked_lane, reason, text, time};
use crate::mail::rfc3339;

pub(super) fn details(message: &Value) -> String {
    let mut lines = vec![
        format!("message      {}", text(message, "id")),
        format!("from         <{}>", text(message, "reverse_path")),
        format!("accepted     {}", time(message, "accepted_at").map(rfc3339).unwrap_or_default()),
        format!("size         {} octets", text(message, "size")),
    ];
    if let Some(origin) = message.get("origin") {
        let sealed = origin.get("sealed").and_then(Value::as_bool).unwrap_or_default();
        let how = if sealed { ", under forced TLS" } else { "" };
        match origin.get("connector").and_then(Value::as_str) {
            Some(connector) => lines.push(format!("came by      {connector}{how}")),
            None => lines.push("came by      ourselves (a report)".to_owned()),
        }
        if origin.get("onward_sealed").and_then(Value::as_bool).unwrap_or_default() {
            lines.push("must leave   under forced TLS alone (onward = \"sealed\")".to_owned());
        }
        lines.push(format!("message-id   {}", text(origin, "message_id")));
    }
    let recipients =
        message.get("recipients").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for recipient in recipients {
        lines.extend(recipient_lines(message, recipient));
    }
    lines.join("\n")
}

fn recipient_lines(message: &Value, recipient: &Value) -> Vec<String> {
    let lane = text(recipient, "lane");
    let blocked = blocked_lane(message, &lane);
    let mut lines = vec![
        String::new(),
        format!("to           <{}>", text(recipient, "forward_path")),
        format!("lane         {lane}"),
        format!("attempts     {}", text(recipient, "attempts")),
        format!("due          {}", time(recipient, "next_at").map(rfc3339).unwrap_or_default()),
    ];
    if let Some(until) = blocked.and_then(|l| time(l, "blocked_until")) {
        lines.push(format!("lane waits   until {}", rfc3339(until)));
    }
    lines.push(format!("reason       {}", reason(message, recipient, blocked)));
    let decision = recipient.get("last").and_then(|l| l.get("decision")).filter(|d| !d.is_null());
    if let Some(decision) = decision {
        for key in ["connector", "host", "wanted", "got", "token"] {
            lines.push(format!("{key:<12} {}", text(decision, key)));
        }
    }
    lines
}
