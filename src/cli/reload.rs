//! `reload`: has the running daemon reload its configuration, and prints the changes or errors.

use std::process::ExitCode;

use hyper::Method;

use super::args::{DaemonArgs, socket};
use super::control::request;
use super::exit::Failure;
use super::print::show;
use crate::admin::ReloadAnswer;
use crate::connector::Generation;

/// Has the running daemon reload its files.
pub(super) fn reload(args: &DaemonArgs) -> Result<ExitCode, Failure> {
    let answer = request(&socket(args)?, Method::POST, "/reload")?;
    show(args.json, &answer, in_words)
}

fn in_words(answer: &ReloadAnswer) -> String {
    let Generation(generation) = answer.generation;
    let mut lines = vec![match answer.changes.len() {
        0 => format!("generation {generation} is in effect; no connector has changed"),
        1 => format!("generation {generation} is in effect; 1 connector has changed"),
        count => format!("generation {generation} is in effect; {count} connectors have changed"),
    }];
    lines.extend(
        answer
            .changes
            .iter()
            .map(|one| format!("  {:<8}  {} {}", one.change.word(), one.direction.word(), one.connector)),
    );
    let mut looser = answer.loosened_listeners.clone();
    looser.extend(answer.loosened.iter().map(|one| one.what.clone()));
    looser.extend((answer.loosened_more > 0).then(|| format!("{} more", answer.loosened_more)));
    for (label, texts) in [
        ("shown", &answer.certificates),
        ("served", &answer.served),
        ("LOOSER", &looser),
        ("restart", &answer.needs_restart),
        ("warning", &answer.warnings),
    ] {
        lines.extend(texts.iter().map(|words| format!("  {label:<8}  {words}")));
    }
    lines.extend(answer.drained.iter().map(|report| format!("  {:<8}  {report}", "drained")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_has_a_line() {
        let answer = serde_json::from_str(
            r#"{
                "generation": 3,
                "changes": [{ "direction": "outbound", "connector": "bank", "change": "changed" }],
                "certificates": [], "served": [], "needs_restart": [], "warnings": ["odd"],
                "loosened": [{
                    "direction": "outbound", "domains": ["a.example"], "more": 0, "weaker": ["level"],
                    "was": { "connector": "bank", "required": "TLS" },
                    "now": { "connector": "rest", "required": "no TLS" }, "what": "a.example: looser"
                }],
                "loosened_more": 7, "loosened_listeners": ["listener in: looser"]
            }"#,
        );
        let expected = "generation 3 is in effect; 1 connector has changed\n  changed   outbound bank\n  \
                        LOOSER    listener in: looser\n  LOOSER    a.example: looser\n  LOOSER    7 more\n  warning   odd";
        assert_eq!(in_words(&answer.expect("an answer")), expected);
    }
}
