//! `connectors`: shows the connectors of the running daemon, or those of the file if it is not
//! running.

use std::process::ExitCode;

use super::args::{DaemonArgs, socket};
use super::control::get;
use super::exit::{EXIT_UNAVAILABLE, Failure};
use super::print::{complain, show, table};
use crate::admin::{ConnectorView, Connectors};
use crate::connector::Generation;
use crate::{config, daemon};

/// Shows the connectors in effect, or those of the file if no daemon answers.
pub(super) fn connectors(args: &DaemonArgs) -> Result<ExitCode, Failure> {
    let answer = match get(&socket(args)?, "/connectors") {
        Ok(answer) => answer,
        // If a socket was given, the daemon was meant, not the file.
        Err(failure) if failure.exit == EXIT_UNAVAILABLE && args.socket.is_none() => {
            complain(&format!("{}; this is what the file says", failure.message));
            of_file(args)?
        }
        Err(failure) => return Err(failure),
    };
    show(args.json, &answer, in_words)
}

fn of_file(args: &DaemonArgs) -> Result<Connectors, Failure> {
    let config = config::load(&args.config.config)?;
    Ok(daemon::connectors_from_file(&config))
}

fn in_words(answer: &Connectors) -> String {
    let rows: Vec<Vec<String>> = answer.connectors.iter().map(row).collect();
    let headings = ["direction", "connector", "mode", "tls", "demands", "revision", "queue", "validated"];
    let mut lines = vec![table(&headings, &rows)];
    if let Some(Generation(generation)) = answer.generation {
        lines.insert(0, format!("generation {generation}"));
    }
    for one in &answer.connectors {
        lines.extend(one.validated_to.iter().map(|last| {
            let to = last.to.as_deref().unwrap_or_default();
            format!("{} validated for {to} {}: {}", one.name, last.at, last.verdict)
        }));
    }
    for alarm in &answer.alarms {
        lines.push(format!("ALARM since {}: {}", alarm.since, alarm.what));
    }
    lines.join("\n")
}

fn row(one: &ConnectorView) -> Vec<String> {
    let dash = || "-".to_owned();
    let paused = if one.paused { ", paused" } else { "" };
    vec![
        one.direction.word().to_owned(),
        one.name.to_string(),
        format!("{}{paused}", one.mode.word()),
        one.tls.to_string(),
        one.requirement.clone(),
        one.revision.clone(),
        one.lanes.map_or_else(dash, |all| format!("{} lanes, {} blocked", all.lanes, all.blocked)),
        one.validated.as_ref().map_or_else(dash, |last| format!("{}: {}", last.at, last.verdict)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connector_is_a_row_and_each_alarm_a_line() {
        let answer = serde_json::from_str(
            r#"{
                "generation": 2,
                "connectors": [{
                    "direction": "outbound", "name": "bank", "domains": [], "mode": "enforce", "tls": "forced",
                    "requirement": "TLSv1.2 or later", "revision": "00", "paused": true, "validated": null,
                    "lanes": { "lanes": 2, "blocked": 1, "messages": 5 }, "alarms": []
                }],
                "alarms": [{ "kind": "expiry", "since": "then", "what": "this", "connectors": [] }]
            }"#,
        );
        let expected = "generation 2\n\
            direction  connector  mode             tls     demands           revision  queue               validated\n\
            outbound   bank       enforce, paused  forced  TLSv1.2 or later  00        2 lanes, 1 blocked  -\n\
            ALARM since then: this";
        assert_eq!(in_words(&answer.expect("an answer")), expected);
    }
}
