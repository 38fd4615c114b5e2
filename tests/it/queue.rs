//! What an operator sees of the queue and does to it.

use std::time::UNIX_EPOCH;

use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, free_address};
use crate::peer::queued::{DEAD, dead_partners, fill};
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, LISTENER, OPPORTUNISTIC, Site, outbound};
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
        assert_eq!(daemon.command(usage).await.status.code(), Some(2), "{usage:?}");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_reason_is_a_status_a_token_or_words_and_nothing_empty_names_mail() {
    let (_site, _sink, daemon, ids) = waiting().await;
    let found = async |reason: &str| {
        let answer = daemon.ask(&["queue", "list", "--reason", reason]).await;
        answer["messages"].as_array().unwrap().len()
    };
    assert_eq!(found("4.3.0").await, ids.len());
    assert_eq!(found("not NOW").await, ids.len());
    for key in ["required", "connector", "\"status\"", "decision"] {
        assert_eq!(found(key).await, 0, "{key} is a key of ours, and no reason");
    }
    for empty in ["--reason", "--sender", "--recipient", "--domain", "--connector"] {
        let answer = daemon.command(&["queue", "remove", empty, ""]).await;
        assert_eq!(answer.status.code(), Some(2), "{empty}");
    }
    assert_eq!(daemon.queue().await.len(), ids.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_that_no_filter_names_are_not_removed_with_others() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear().replying("mail", "451 4.3.0 not now")).await;
    let config =
        "[queue]\nretry = [\"1h\"]\n\n".to_owned() + &outbound("out", "*", sink.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    let mut message = mix::plain("wait", 1, 100, "ada@a.test", "").remove(0);
    message.to = vec!["bob@b.test".to_owned(), "carol@c.test".to_owned()];
    assert_eq!(Client::hello(daemon.at("in")).await.transact(&message).await.unwrap().code, 250);
    daemon.deferred("carol@c.test").await;
    daemon.idle().await;
    let left = daemon.command(&["queue", "remove", "--domain", "b.test"]).await;
    assert_eq!(left.status.code(), Some(1));
    let text = String::from_utf8_lossy(&left.stdout).into_owned();
    assert!(text.contains("does not name"), "{text}");
    assert_eq!(daemon.queue().await.len(), 1);
    let done = daemon.ask(&["queue", "remove", "--domain", "b.test", "--whole"]).await;
    assert_eq!(done["messages"], 1, "{done}");
    daemon.queue_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bounce_gives_mail_up_and_tells_its_sender_and_the_archive_keeps_it() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear().replying("mail from:<ada", "451 4.3.0 not now")).await;
    let config = "[queue]\nretry = [\"1h\"]\narchive = \"archive\"\n\n".to_owned()
        + &outbound("out", "*", sink.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    let mut message = mix::plain("wait", 1, 100, "ada@a.test", "bob@b.test").remove(0);
    message.content = b"Subject: one\r\n\r\n.dot\r\nend\r\n".to_vec();
    assert_eq!(Client::hello(daemon.at("in")).await.transact(&message).await.unwrap().code, 250);
    daemon.deferred("bob@b.test").await;
    daemon.idle().await;
    let id = daemon.queue().await[0]["id"].as_str().unwrap().to_owned();
    let shown = site.home.run(&["queue", "show", &id, "--content"], &[]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.starts_with("Received: ") && shown.ends_with("Subject: one\r\n\r\n.dot\r\nend\r\n"),
        "{shown}"
    );

    daemon.ask(&["queue", "bounce", "--recipient", "bob@b.test"]).await;
    let report = sink.messages(1).await.remove(0);
    assert_eq!((report.mail.as_str(), &report.recipients[..]), ("", &["ada@a.test".to_owned()][..]));
    let report = String::from_utf8_lossy(&report.content).into_owned();
    assert!(report.contains("Status: 5.3.0") && report.contains("has given the message up"), "{report}");
    daemon.queue_empty().await;
    let archive = site.home.path().join("archive");
    let copy = std::fs::read_to_string(archive.join(format!("{id}.eml"))).unwrap();
    assert_eq!(copy, shown);
    let told = std::fs::read_to_string(archive.join(format!("{id}.1.json"))).unwrap();
    assert!(told.contains("bob@b.test") && told.contains("5.3.0"), "{told}");
    assert_eq!(daemon.command(&["queue", "bounce", &id]).await.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_stands_still_until_it_is_let_go_on_over_a_restart() {
    let site = Site::new();
    let (out, other) = (Sink::start(Manner::clear()).await, Sink::start(Manner::clear()).await);
    let config = "[queue]\nexpire = \"1s\"\nretry = [\"1s\"]\n\n".to_owned()
        + &outbound("out", "b.test", out.address, OPPORTUNISTIC)
        + &outbound("other", "*", other.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    let paused = daemon.ask(&["queue", "pause", "out"]).await;
    assert_eq!(paused["connectors"][0], "out", "{paused}");
    assert_eq!(daemon.command(&["queue", "pause", "nobody"]).await.status.code(), Some(1));
    for to in ["bob@b.test", "carol@c.test"] {
        let message = mix::plain("wait", 1, 100, "ada@a.test", to).remove(0);
        assert_eq!(Client::hello(daemon.at("in")).await.transact(&message).await.unwrap().code, 250);
    }
    assert_eq!(other.messages(1).await[0].recipients, ["carol@c.test"]);
    let shown = daemon.ask(&["connectors"]).await;
    let row = shown["connectors"].as_array().unwrap().iter().find(|c| c["name"] == "out").unwrap().clone();
    assert_eq!(row["paused"], true, "{row}");
    // Past its time, and not given up.
    let accepted = daemon.queue().await[0]["accepted_at"].as_i64().unwrap();
    let is_over = || i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap() > accepted + 1_000;
    eventually("the end of its time", LONG, async || is_over().then_some(())).await;
    daemon.ask(&["queue", "retry", "--all"]).await;
    daemon.stop().await;
    let daemon = Daemon::start(&site.home).await;
    assert_eq!(daemon.queue().await.len(), 1);
    assert!(out.arrived().is_empty());
    let resumed = daemon.ask(&["queue", "resume", "out"]).await;
    assert_eq!(resumed["connectors"].as_array().unwrap().len(), 0, "{resumed}");
    assert_eq!(out.messages(1).await[0].recipients, ["bob@b.test"]);
    daemon.queue_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_fails_is_told_to_the_postmaster_once() {
    let site = Site::new();
    let manner = Manner::clear()
        .replying("rcpt to:<ada@", "550 5.1.1 nobody")
        .replying("rcpt to:<bob@", "550 5.1.1 nobody");
    let sink = Sink::start(manner).await;
    let config = "[queue]\ndouble_bounces = \"postmaster\"\n\n".to_owned()
        + &outbound("post", "sealpost.test", sink.address, OPPORTUNISTIC)
        + &outbound("out", "*", sink.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    let message = mix::plain("one", 1, 100, "ada@a.test", "bob@b.test").remove(0);
    assert_eq!(Client::hello(daemon.at("in")).await.transact(&message).await.unwrap().code, 250);
    let told = sink.messages(1).await.remove(0);
    assert_eq!(told.recipients, ["postmaster@sealpost.test"]);
    let text = String::from_utf8_lossy(&told.content).into_owned();
    assert!(text.contains("Final-Recipient: rfc822; ada@a.test"), "{text}");
    daemon.queue_empty().await;
    // The postmaster's own mailbox refuses: nobody is told of that, and nothing goes in circles.
    sink.behave(Manner::clear().replying("rcpt", "550 5.1.1 nobody"));
    let message = mix::plain("two", 1, 100, "ada@a.test", "bob@b.test").remove(0);
    assert_eq!(Client::hello(daemon.at("in")).await.transact(&message).await.unwrap().code, 250);
    daemon.queue_empty().await;
    assert_eq!(sink.arrived().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_queue_and_a_full_disk_are_answered_452_and_service_resumes() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear().replying("mail", "451 4.3.0 not now")).await;
    let config = "[queue]\nretry = [\"1h\"]\n\n[limits]\nqueued = 2\n\n".to_owned()
        + &outbound("out", "b.test", sink.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    let mut client = Client::hello(daemon.at("in")).await;
    for _ in 0..2 {
        let message = mix::plain("one", 1, 100, "ada@a.test", "bob@b.test").remove(0);
        client.transact(&message).await.unwrap();
    }
    let mail = async |client: &mut Client, code: u16| {
        eventually("the guard to notice", LONG, async || {
            let reply = client.say("MAIL FROM:<ada@a.test>").await;
            client.say("RSET").await;
            (reply.code == code).then_some(reply.text)
        })
        .await
    };
    assert!(mail(&mut client, 452).await.starts_with("452 4.3.1 too much mail is queued"));
    assert_eq!(client.say("NOOP").await.code, 250, "the session goes on");
    daemon.logged("new mail is refused with 452").await;
    // Deliveries go on meanwhile, and with them comes room.
    sink.behave(Manner::clear());
    daemon.ask(&["queue", "retry", "--all"]).await;
    sink.messages(2).await;
    mail(&mut client, 250).await;
    daemon.stop().await;

    let full = config.replace("queued = 2", "free_disk = \"1000000TiB\"");
    let daemon = site.start(&full).await;
    let mut client = Client::hello(daemon.at("in")).await;
    assert!(mail(&mut client, 452).await.starts_with("452 4.3.1 insufficient storage"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_queue_of_dead_partners_holds_up_nothing_and_little_memory() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    site.configure(&(dead_partners() + &outbound("live", "live.test", sink.address, OPPORTUNISTIC)));
    fill(&site, 20_000, Some("bob@live.test")).await;
    let daemon = Daemon::start(&site.home).await;
    // The last one that was queued is the first to arrive.
    assert_eq!(sink.messages(1).await[0].recipients, ["bob@live.test"]);
    let top = daemon.ask(&["queue", "top"]).await;
    let lanes = top["lanes"].as_array().unwrap();
    assert_eq!(lanes.len(), DEAD, "{top}");
    assert!(lanes.iter().all(|lane| lane["recipients"] == 1_000), "{top}");
    let message = mix::plain("live", 1, 1_000, "ada@a.test", "bob@live.test").remove(0);
    Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    sink.messages(2).await;
    let resident = daemon.resident() / 1024;
    assert!(resident < 150, "{resident} MiB");
    let listed = daemon.ask(&["queue", "list", "--domain", "d7.test", "--limit", "3"]).await;
    assert_eq!(listed["messages"].as_array().unwrap().len(), 3, "{listed}");
    let removed = daemon.ask(&["queue", "remove", "--domain", "d7.test"]).await;
    let (done, left) = (removed["messages"].as_u64().unwrap(), removed["left"].as_u64().unwrap());
    assert!(done + left == 1_000 && left <= 4, "but for what carriers have: {removed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_by_hand_asks_a_host_that_was_dead_a_moment_ago() {
    let site = Site::new();
    let address = free_address();
    let config =
        "[queue]\nretry = [\"1h\"]\n\n".to_owned() + &outbound("out", "b.test", address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    let message = mix::plain("one", 1, 100, "ada@a.test", "bob@b.test").remove(0);
    Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    daemon.deferred("bob@b.test").await;
    daemon.idle().await;
    let sink = Sink::start_at(&address.to_string(), Manner::clear()).await;
    daemon.ask(&["queue", "retry", "--all"]).await;
    sink.messages(1).await;
    daemon.queue_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_that_a_file_does_not_name_are_refused_at_rcpt() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let file = site.home.path().join("known");
    std::fs::write(&file, "bob@b.test\n").unwrap();
    let known = ANYONE.trim_end().to_owned() + "\nrecipients_file = \"known\"\n\n";
    site.configure_all(&(LISTENER.to_owned() + &known + &outbound("out", "*", sink.address, OPPORTUNISTIC)));
    let daemon = Daemon::start(&site.home).await;
    let rcpt = async |to: &str| {
        let mut client = Client::hello(daemon.at("in")).await;
        client.say("MAIL FROM:<ada@a.test>").await;
        client.say(&format!("RCPT TO:<{to}>")).await.text
    };
    assert!(rcpt("eve@b.test").await.starts_with("550 5.1.1 "));
    for taken in ["Bob@B.test", "postmaster", "PostMaster@b.test"] {
        assert!(rcpt(taken).await.starts_with("250 "), "{taken}");
    }
    std::fs::write(&file, "bob@b.test\neve@b.test\n").unwrap();
    daemon.ask(&["reload"]).await;
    assert!(rcpt("eve@b.test").await.starts_with("250 "), "read again at a reload");
}
