//! What an operator sees of the queue and does to it.

use crate::peer::client::Client;
use crate::peer::daemon::Daemon;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{OPPORTUNISTIC, Site, outbound};
use crate::peer::{LONG, eventually, mix};

/// Two messages that wait for an hour; their queue ids.
async fn waiting() -> (Site, Sink, Daemon, Vec<String>) {
    let site = Site::new();
    let sink = Sink::start(Manner::clear().replying("mail", "451 4.3.0 not now")).await;
    let config =
        "[queue]\nretry = [\"1h\"]\n\n".to_owned() + &outbound("out", "b.test", sink.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    for to in ["bob@b.test", "carol@b.test"] {
        let message = mix::plain("wait", 1, 100, "ada@a.test", to).remove(0);
        let reply = Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
        assert_eq!(reply.code, 250, "{}", reply.text);
    }
    daemon.deferred("bob@b.test").await;
    daemon.idle().await;
    let ids = daemon.queue().await.iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect();
    (site, sink, daemon, ids)
}

#[tokio::test(flavor = "multi_thread")]
async fn list_and_show_say_what_waits_and_why() {
    let (site, _sink, daemon, ids) = waiting().await;
    assert_eq!(ids.len(), 2);
    let shown = daemon.ask(&["queue", "show", &ids[0]]).await;
    let row = &shown["recipients"][0];
    assert_eq!(shown["id"], ids[0].as_str());
    assert_eq!(row["forward_path"], "bob@b.test", "{shown}");
    assert_eq!(row["last"]["status"], "4.3.0", "{shown}");
    assert!(row["last"]["reason"].as_str().is_some_and(|reason| reason.contains("not now")), "{shown}");
    let text = site.home.run(&["queue", "list"], &[]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(ids.iter().all(|id| text.contains(id)), "{text}");
    let unknown = daemon.command(&["queue", "show", "0000000000000000"]).await;
    assert!(!unknown.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_delivers_at_once() {
    let (_site, sink, daemon, ids) = waiting().await;
    sink.behave(Manner::clear());
    assert!(daemon.command(&["queue", "retry", &ids[1]]).await.status.success());
    assert_eq!(sink.messages(1).await[0].recipients, ["carol@b.test"]);
    eventually("one message less", LONG, async || (daemon.queue().await.len() == 1).then_some(())).await;
    assert!(daemon.command(&["queue", "retry", "--all"]).await.status.success());
    sink.messages(2).await;
    daemon.queue_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn remove_takes_a_message_away_for_good() {
    let (site, sink, daemon, ids) = waiting().await;
    assert!(daemon.command(&["queue", "remove", &ids[0]]).await.status.success());
    let left: Vec<String> =
        daemon.queue().await.iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(left, ids[1..]);
    daemon.stop().await;
    sink.behave(Manner::clear());
    let daemon = Daemon::start(&site.home).await;
    daemon.command(&["queue", "retry", "--all"]).await;
    assert_eq!(sink.messages(1).await[0].recipients, ["carol@b.test"]);
    daemon.queue_empty().await;
    assert_eq!(sink.arrived().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_named_by_what_they_are_like() {
    let (_site, sink, daemon, ids) = waiting().await;
    let found = async |rest: &[&str]| {
        let answer = daemon.ask(&[&["queue", "list"], rest].concat()).await;
        let all = answer["messages"].as_array().unwrap().clone();
        all.iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(&["--recipient", "BOB@b.test"]).await, ids[..1]);
    assert_eq!(found(&["--recipient", "bob_@b.test"]).await, [""; 0]);
    assert_eq!(found(&["--domain", "b.test", "--sender", "@a.test", "--connector", "out"]).await, ids);
    assert_eq!(found(&["--reason", "NOT now"]).await, ids);
    assert_eq!(found(&["--connector", "ou"]).await, [""; 0]);
    assert_eq!(found(&["--sender", "<>"]).await, [""; 0]);
    assert_eq!(found(&["--older-than", "1h"]).await, [""; 0]);
    assert_eq!(found(&["--held"]).await, [""; 0]);
    assert_eq!(found(&["--limit", "1", "--domain", "b.test"]).await, ids[..1]);
    assert_eq!(found(&["--limit", "1", "--after", &ids[0], "--domain", "b.test"]).await, ids[1..]);
    let top = daemon.ask(&["queue", "top"]).await;
    assert_eq!(
        (&top["lanes"][0]["lane"], &top["lanes"][0]["recipients"]),
        (&"out/".into(), &2.into()),
        "{top}"
    );

    for usage in [&["queue", "remove"][..], &["queue", "retry"], &["queue", "list", "--older-than", "soon"]] {
        assert_eq!(daemon.command(usage).await.status.code(), Some(64), "{usage:?}");
    }
    let removed = daemon.ask(&["queue", "remove", "--recipient", "bob@b.test"]).await;
    assert_eq!(removed["messages"], 1, "{removed}");
    sink.behave(Manner::clear());
    let retried = daemon.ask(&["queue", "retry", "--domain", "b.test"]).await;
    assert_eq!(retried["messages"], 1, "{retried}");
    assert_eq!(sink.messages(1).await[0].recipients, ["carol@b.test"]);
    daemon.queue_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_message_waits_for_its_release_over_a_restart() {
    let (site, sink, daemon, ids) = waiting().await;
    sink.behave(Manner::clear());
    let held = daemon.ask(&["queue", "hold", "--recipient", "bob@b.test"]).await;
    assert_eq!(held["messages"], 1, "{held}");
    daemon.ask(&["queue", "retry", "--all"]).await;
    assert_eq!(sink.messages(1).await[0].recipients, ["carol@b.test"]);
    let shown = daemon.ask(&["queue", "show", &ids[0]]).await;
    assert_eq!(shown["held"], "by the operator", "{shown}");
    daemon.stop().await;
    let daemon = Daemon::start(&site.home).await;
    let listed = daemon.ask(&["queue", "list", "--held"]).await;
    assert_eq!(listed["messages"][0]["id"], ids[0].as_str(), "{listed}");
    assert_eq!(daemon.command(&["queue", "release", &ids[1]]).await.status.code(), Some(1));
    assert!(daemon.command(&["queue", "release", &ids[0]]).await.status.success());
    assert_eq!(sink.messages(2).await[1].recipients, ["bob@b.test"]);
    daemon.queue_empty().await;
}
