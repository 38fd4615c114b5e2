use std::process::ExitCode;

use hyper::Method;
use serde_json::Value;

use super::control::ask;
use super::print::{complain, say, say_json, table};
use super::queue::{DaemonArgs, socket};
use super::{EXIT_CONFIG, EXIT_UNAVAILABLE, Failure};
use crate::{config, daemon};

/// Shows the connectors in force, or those of the file where no daemon answers.
pub(super) fn connectors(args: &DaemonArgs) -> Result<ExitCode, Failure> {
    let answer = match ask(&socket(args)?, Method::GET, "/connectors", None) {
        Ok(answer) => answer,
        // A socket that was named is meant.
        Err(failure) if failure.exit == EXIT_UNAVAILABLE && args.socket.is_none() => {
            complain(&format!("{}; this is what the file says", failure.message));
            of_file(args)?
        }
        Err(failure) => return Err(failure),
    };
    if args.json {
        say_json(&answer);
    } else {
        say(&in_words(&answer));
    }
    Ok(ExitCode::SUCCESS)
}

fn of_file(args: &DaemonArgs) -> Result<Value, Failure> {
    let config = config::load(&args.config.config)
        .map_err(|faults| Failure::new(EXIT_CONFIG, format!("the configuration has mistakes\n{faults}")))?;
    serde_json::to_value(daemon::connectors_from_file(&config))
        .map_err(|fault| Failure::new(EXIT_CONFIG, format!("the answer can't be written as JSON: {fault}")))
}

fn in_words(answer: &Value) -> String {
    let list = |key: &str| answer.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let rows: Vec<Vec<String>> = list("connectors").iter().map(row).collect();
    let headings = ["direction", "connector", "mode", "tls", "demands", "revision", "queue", "validated"];
    let mut lines = vec![table(&headings, &rows)];
    if let Some(generation) = answer.get("generation").and_then(Value::as_u64) {
        lines.insert(0, format!("generation {generation}"));
    }
    for alarm in list("alarms") {
        lines.push(format!("ALARM since {}: {}", text(&alarm, "since"), text(&alarm, "what")));
    }
    lines.join("\n")
}

fn row(one: &Value) -> Vec<String> {
    let queue = one.get("lanes").filter(|lanes| !lanes.is_null()).map_or_else(
        || "-".to_owned(),
        |lanes| {
            let number = |key| lanes.get(key).and_then(Value::as_u64).unwrap_or_default();
            format!("{} lanes, {} blocked", number("lanes"), number("blocked"))
        },
    );
    let validated = one.get("validated").filter(|validated| !validated.is_null()).map_or_else(
        || "-".to_owned(),
        |validated| format!("{}: {}", text(validated, "at"), text(validated, "verdict")),
    );
    let mut row: Vec<String> = ["direction", "name", "mode", "tls", "requirement", "revision"]
        .into_iter()
        .map(|key| text(one, key))
        .collect();
    if one.get("paused").and_then(Value::as_bool).unwrap_or_default()
        && let Some(mode) = row.get_mut(2)
    {
        mode.push_str(", paused");
    }
    row.extend([queue, validated]);
    row
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connector_is_a_row_and_each_alarm_a_line() {
        let answer = serde_json::json!({
            "generation": 2,
            "connectors": [{
                "direction": "outbound", "name": "bank", "mode": "enforce", "tls": "forced",
                "requirement": "TLSv1.2 or later", "revision": "00", "validated": null,
                "lanes": { "lanes": 2, "blocked": 1, "messages": 5 },
            }],
            "alarms": [{ "since": "then", "what": "this" }],
        });
        let expected = "generation 2\n\
            direction  connector  mode     tls     demands           revision  queue               validated\n\
            outbound   bank       enforce  forced  TLSv1.2 or later  00        2 lanes, 1 blocked  -\n\
            ALARM since then: this";
        assert_eq!(in_words(&answer), expected);
    }
}
