use std::process::ExitCode;

use hyper::Method;
use serde_json::Value;

use super::control::ask;
use super::print::{say, say_json};
use super::queue::{DaemonArgs, socket};
use super::{EXIT_CONFIG, Failure};
use crate::config;

/// Has the running daemon put in force what the files say now.
pub(super) fn reload(args: &DaemonArgs) -> Result<ExitCode, Failure> {
    let socket = socket(args).map_err(|failure| match config::load(&args.config.config) {
        // Each mistake with its place, as the daemon would have told.
        Err(faults) => Failure::new(EXIT_CONFIG, format!("nothing has changed\n{faults}")),
        Ok(_) => failure,
    })?;
    let answer = ask(&socket, Method::POST, "/reload", None)?;
    if args.json {
        say_json(&answer);
    } else {
        say(&in_words(&answer));
    }
    Ok(ExitCode::SUCCESS)
}

fn in_words(answer: &Value) -> String {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
    let list = |key: &str| answer.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let generation = answer.get("generation").and_then(Value::as_u64).unwrap_or_default();
    let changes = list("changes");
    let mut lines = vec![match changes.len() {
        0 => format!("generation {generation} is in force; no connector has changed"),
        1 => format!("generation {generation} is in force; 1 connector has changed"),
        count => format!("generation {generation} is in force; {count} connectors have changed"),
    }];
    lines.extend(changes.iter().map(|one| {
        format!("  {:<8}  {} {}", text(one, "change"), text(one, "direction"), text(one, "connector"))
    }));
    for (label, key) in [
        ("shown", "certificates"),
        ("served", "served"),
        ("LOOSER", "loosened"),
        ("restart", "needs_restart"),
        ("warning", "warnings"),
    ] {
        let texts = list(key);
        lines.extend(texts.iter().filter_map(Value::as_str).map(|words| format!("  {label:<8}  {words}")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_has_a_line() {
        let answer = serde_json::json!({
            "generation": 3,
            "changes": [{ "direction": "outbound", "connector": "bank", "change": "changed" }],
            "served": [], "loosened": ["a.example: looser"], "needs_restart": [], "warnings": ["odd"],
        });
        let expected = "generation 3 is in force; 1 connector has changed\n  changed   outbound bank\n  \
                        LOOSER    a.example: looser\n  warning   odd";
        assert_eq!(in_words(&answer), expected);
    }
}
