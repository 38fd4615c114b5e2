//! The API of the shipped program, asked by schemathesis what its description allows and what it does not.

use std::process::Command;

use serde_json::{Value, json};

use crate::api_described::description;
use crate::console::{OPERATOR, READER};
use crate::peer::client::Client;
use crate::peer::daemon::Daemon;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ADMIN, IDENTITY, Site, outbound};
use crate::peer::{left_out, mix, tools};

/// Messages that wait, the last of them in a file of its own.
const MESSAGES: usize = 12;

async fn site_with_mail(site: &Site, sink: &Sink) -> Daemon {
    site.write_tokens(&format!("reader grafana {READER}\noperator ada {OPERATOR}\noperator eve {OTHER}\n"));
    let slow = "[queue]\nretry = [\"1h\"]\n\n";
    let config = format!("{ADMIN}{slow}{}", outbound("bank", "b.test", sink.address, IDENTITY));
    let daemon = site.start(&config).await;
    let mut client = Client::hello(daemon.at("in")).await;
    for number in 1..=MESSAGES {
        let octets = if number == MESSAGES { 200_000 } else { 100 };
        let to = format!("bob{number}@b.test");
        let message = mix::plain(&to, 1, octets, "a@a.test", &to).remove(0);
        assert_eq!(client.transact(&message).await.unwrap().code, 250);
    }
    daemon.deferred("bob1@b.test").await;
    daemon
}

/// The description, with the values for which there is something: others are invented in any case.
async fn seeded(daemon: &Daemon) -> Value {
    let mut seeded = description();
    let ids: Vec<Value> = daemon.queue().await.iter().map(|message| message["id"].clone()).collect();
    assert_eq!(ids.len(), MESSAGES);
    for item in seeded["paths"].as_object_mut().unwrap().values_mut() {
        for operation in item.as_object_mut().unwrap().values_mut() {
            let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) else {
                continue;
            };
            for parameter in parameters {
                match parameter["name"].as_str() {
                    Some("id") => parameter["schema"] = json!({"type": "string", "enum": ids}),
                    Some("name") => {
                        parameter["schema"] = json!({"type": "string", "enum": ["bank", "in", "nothing"]})
                    }
                    _ => {}
                }
            }
        }
    }
    seeded
}

fn schemathesis() -> Option<Command> {
    let folder = tools::peers()?.join("schemathesis");
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", &folder).args(["-m", "schemathesis.cli", "--no-color", "run"]);
    folder.is_dir().then_some(command)
}

/// Runs it, with what it is told besides; it must find nothing.
async fn find_nothing(site: &Site, daemon: &Daemon, token: &str, checks: &str, arguments: &[&str]) {
    let mut command = schemathesis().unwrap();
    command.current_dir(site.home.path()).arg(DESCRIPTION);
    command.args(["--url", &format!("http://{}/api/v1", daemon.at("admin"))]);
    command.args(["--header", &format!("Authorization: Bearer {token}"), "--checks", checks]);
    command.args(["--seed", "1", "--generation-deterministic", "--no-shrink"]);
    command
        .args([
            "--continue-on-failure",
            "--request-timeout",
            "20",
            "--warnings",
            "off",
            "--rate-limit",
            "auto",
        ])
        .args(arguments);
    let output = tools::run(command).await;
    assert!(output.status.success(), "{}\n{}", tools::said(&output), daemon.log());
    assert!(tools::said(&output).contains("No issues found"), "{}", tools::said(&output));
}

const DESCRIPTION: &str = "openapi.json";
/// The token of another operator, who may ask as much again.
const OTHER: &str = "00112233445566778899aabbccddeeff";
const CONFORMANCE: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                           response_headers_conformance,response_schema_conformance,negative_data_rejection,\
                           unsupported_method,allow_header_conformance";

#[tokio::test(flavor = "multi_thread")]
async fn the_api_answers_as_it_is_described() {
    if schemathesis().is_none() {
        return left_out("api_fuzzed::the_api_answers_as_it_is_described", "schemathesis is not unpacked");
    }
    let (site, sink) = (Site::new(), Sink::start(Manner::clear()).await);
    let daemon = site_with_mail(&site, &sink).await;
    std::fs::write(site.home.path().join(DESCRIPTION), seeded(&daemon).await.to_string()).unwrap();
    // What a reader may not do leaves the queue as it is.
    let before = daemon.queue().await;
    find_nothing(&site, &daemon, READER, CONFORMANCE, &["--phases", "fuzzing", "-n", "3"]).await;
    assert_eq!(daemon.queue().await.len(), before.len());
    let auth = ["--phases", "fuzzing", "-n", "1", "--workers", "8"];
    find_nothing(&site, &daemon, READER, "ignored_auth", &auth).await;
    let all = |part| ["--phases", "coverage,fuzzing", "-n", "3", part, "queue"];
    let (queue, others) = (all("--include-tag"), all("--exclude-tag"));
    tokio::join!(
        find_nothing(&site, &daemon, OPERATOR, CONFORMANCE, &queue),
        find_nothing(&site, &daemon, OTHER, CONFORMANCE, &others),
    );
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    // The daemon is as well as before.
    let mut client = Client::hello(daemon.at("in")).await;
    let message = mix::plain("last", 1, 100, "a@a.test", "bob@b.test").remove(0);
    assert_eq!(client.transact(&message).await.unwrap().code, 250);
    daemon.stop().await;
}
