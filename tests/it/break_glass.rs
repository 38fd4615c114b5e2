//! Break-glass overrides: as far as the floor allows, for as long as was asked for, over restarts and reloads, and seen everywhere.

use serde_json::Value;

use crate::peer::client::Client;
use crate::peer::daemon::Daemon;
use crate::peer::mint::Kind;
use crate::peer::mix;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{IDENTITY, QUICK, Site, outbound};
use crate::peer::{LONG, tools};

/// A partner whose certificate is of another name.
async fn partner(site: &Site) -> Sink {
    Sink::start(Manner::sealed(site.partners.pair(&["other.test"], Kind::Good).server())).await
}

fn configure(site: &Site, sink: &Sink, more: &str) {
    let bank = outbound("bank", "bank.test", sink.address, &format!("{IDENTITY}{more}"));
    site.configure(&format!("{QUICK}{bank}"));
}

async fn send(daemon: &Daemon, id: &str) {
    let message = mix::plain(id, 1, 200, "ada@a.test", "bob@bank.test").remove(0);
    let reply = Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    assert_eq!(reply.code, 250, "{}", reply.text);
}

async fn said(daemon: &Daemon, args: &[&str]) -> String {
    tools::said(&daemon.command(&[&["override"], args].concat()).await)
}

const FOR_AN_HOUR: &[&str] = &["bank", "--for", "1h", "--reason", "their renewal failed"];

#[tokio::test(flavor = "multi_thread")]
async fn a_requirement_is_lowered_to_its_floor_and_no_further_and_comes_back() {
    let site = Site::new();
    let sink = partner(&site).await;
    configure(&site, &sink, "override_floor = \"chain\"\n");
    let daemon = Daemon::start(&site.home).await;
    send(&daemon, "one").await;
    let row = daemon.deferred("bob@bank.test").await;
    assert_eq!(row["last"]["decision"]["token"], "name-mismatch", "{row}");

    let further = said(&daemon, &[FOR_AN_HOUR, &["--to", "encryption"]].concat()).await;
    assert!(
        further.contains("can't be overridden to \\\"encryption\\\": its override_floor is \\\"chain\\\""),
        "{further}"
    );
    assert!(said(&daemon, &["nobody", "--for", "1h", "--reason", "x"]).await.contains("nobody"));
    assert!(said(&daemon, &["bank", "--for", "40d", "--reason", "x"]).await.contains("30 days at most"));
    assert!(said(&daemon, &["bank", "--for", "1h", "--reason", " "]).await.contains("the reason must have"));
    assert!(sink.arrived().is_empty());

    let begun: Value = daemon.ask(&[&["override"], FOR_AN_HOUR].concat()).await;
    assert_eq!(begun["overridden"]["level"], "chain", "{begun}");
    let what = begun["loosened"][0]["what"].as_str().unwrap();
    assert!(
        what.contains("bank.test: outbound mail required") && what.ends_with("weaker: require"),
        "{what}"
    );
    // The mail that waited is judged by it at once.
    assert!(sink.messages(1).await[0].sealed);
    let who = format!("uid {}", rustix_uid());
    daemon
        .logged_line(&[
            " alarm ",
            "connector bank is overridden: only \\\"chain\\\" until",
            &who,
            "their renewal failed",
        ])
        .await;
    assert_eq!(daemon.ask(&["override", "list"]).await[0]["connector"], "bank");

    said(&daemon, &["end", "bank"]).await;
    send(&daemon, "two").await;
    let row = daemon.deferred("bob@bank.test").await;
    assert_eq!(row["last"]["decision"]["token"], "name-mismatch", "{row}");
    daemon.logged_line(&[" alarm ", "the override of connector bank has ended", "has ended it"]).await;
    assert_eq!(sink.arrived().len(), 1);
    sink.assert_nothing_in_clear();
}

fn rustix_uid() -> String {
    let output = std::process::Command::new("id").arg("-u").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_outlives_restarts_and_reloads_ends_by_itself_and_is_seen_everywhere() {
    let site = Site::new();
    let sink = partner(&site).await;
    let floor = "override_floor = \"encryption\"\n";
    configure(&site, &sink, floor);
    let daemon = Daemon::start(&site.home).await;
    said(&daemon, FOR_AN_HOUR).await;
    daemon.stop().await;
    let daemon = Daemon::start(&site.home).await;
    daemon.logged_line(&[" alarm ", "connector bank is overridden: only \\\"encryption\\\" until"]).await;
    send(&daemon, "one").await;
    sink.messages(1).await;

    // Seen wherever the connector is.
    let connectors = daemon.ask(&["connectors"]).await;
    let bank = connectors["connectors"].as_array().unwrap().iter().find(|one| one["name"] == "bank").unwrap();
    assert_eq!(bank["overridden"]["reason"], "their renewal failed", "{connectors}");
    assert_eq!(bank["requirement"], "TLSv1.2 or later, any certificate", "{connectors}");
    let explained = tools::said(&site.home.run(&["explain"], &["--to", "bob@bank.test"]));
    assert!(explained.contains("required  TLSv1.2 or later, any certificate"), "{explained}");
    assert!(explained.contains("OVERRIDE  the requirement of connector bank is overridden"), "{explained}");
    for verb in ["check", "doctor"] {
        let said = tools::said(&site.home.run(&[verb], &[]));
        assert!(said.contains("connector bank is overridden: only \"encryption\""), "{verb}: {said}");
    }
    // The session that could be used again goes first.
    sink.until("the end of the last session", LONG, |log| log.ended == log.sessions).await;
    sink.behave(Manner::clear());
    send(&daemon, "two").await;
    let id = daemon.queue().await[0]["id"].as_str().unwrap().to_owned();
    let shown = daemon.ask(&["queue", "show", &id]).await;
    assert!(shown["recipients"][0]["overridden"].as_str().unwrap().contains("connector bank"), "{shown}");

    // A reload keeps it.
    configure(&site, &sink, &format!("{floor}expire = \"3h\"\n"));
    daemon.ask(&["reload"]).await;
    assert_eq!(daemon.ask(&["override", "list"]).await.as_array().unwrap().len(), 1);
    // Unless it is not allowed any more.
    configure(&site, &sink, "override_floor = \"chain\"\n");
    let answer = daemon.ask(&["reload"]).await;
    let warnings = answer["warnings"].to_string();
    assert!(warnings.contains("the override of connector bank has ended: its override_floor is"), "{answer}");
    assert_eq!(daemon.ask(&["override", "list"]).await, Value::Array(Vec::new()));

    // And it ends by itself.
    let begun = daemon.ask(&["override", "bank", "--for", "1s", "--reason", "short"]).await;
    assert_eq!(begun["overridden"]["level"], "chain", "{begun}");
    daemon.logged_line(&[" alarm ", "the override of connector bank has ended: its time is over"]).await;
    assert_eq!(daemon.ask(&["override", "list"]).await, Value::Array(Vec::new()));
    sink.assert_nothing_in_clear();
}
