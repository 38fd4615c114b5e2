//! `sealpost lab`: one command, loopback only, and every line of its table as it should be.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::peer::daemon::PROGRAM;
use crate::peer::tools;

#[tokio::test(flavor = "multi_thread")]
async fn the_lab_comes_out_as_expected() {
    let mut command = Command::new(PROGRAM);
    command.args(["lab", "--json"]).stdin(Stdio::null());
    let output = tools::run(command).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let answer: Value =
        serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{fault}: {}", tools::said(&output)));
    let mut verdicts = Vec::new();
    collect(&answer, &mut verdicts);
    assert!(verdicts.len() >= 10, "the lab shows little: {text}");
    let wrong: Vec<&Value> = verdicts.iter().filter(|(good, _)| !good).map(|(_, row)| *row).collect();
    assert!(wrong.is_empty(), "not as expected: {wrong:#?}");
    assert!(output.status.success(), "{}", tools::said(&output));
}

/// Every object that says `as_expected`, wherever it stands.
fn collect<'a>(value: &'a Value, found: &mut Vec<(bool, &'a Value)>) {
    match value {
        Value::Object(fields) => {
            if let Some(verdict) = fields.get("as_expected").and_then(Value::as_bool) {
                found.push((verdict, value));
            }
            fields.values().for_each(|field| collect(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_shows_what_the_lab_prints() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let shown = readme.split("```text\nFROM ").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let mut command = Command::new(PROGRAM);
    command.arg("lab").stdin(Stdio::null());
    let output = tools::run(command).await;
    let plain = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let printed: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(plain).collect();
    for line in format!("FROM {shown}").lines().map(plain) {
        assert!(printed.contains(&line), "the lab does not print \"{line}\" but: {printed:#?}");
    }
}
