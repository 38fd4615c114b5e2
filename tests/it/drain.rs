//! Reloads while transactions and sessions are under way: a reload waits only for what it no longer allows, and not for
//! long; a session goes by the table in effect.

use std::sync::Arc;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::console::OPERATOR;
use crate::peer::browser::WebRequest;
use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, NAME};
use crate::peer::mint::Kind;
use crate::peer::mix;
use crate::peer::sink::{End, Manner, SILENCE, Sink};
use crate::peer::site::{ADMIN, ANYONE, LISTENER, OPPORTUNISTIC, Site, outbound};
use crate::peer::source::Source;
use crate::peer::{LONG, eventually};

const DRAIN_SHORT: &str = "[timeouts]\ndrain = \"500ms\"\n\n";
const DRAIN_LONG: &str = "[timeouts]\ndrain = \"10m\"\n\n";
const ENCRYPTION: &str = "tls = \"forced\"\nrequire = \"encryption\"\n";

/// `anyone` under forced TLS.
fn sealed() -> String {
    ANYONE.replace("tls = \"opportunistic\"\n", ENCRYPTION)
}

/// An inbound connector for a domain of its own.
fn other(tls: &str) -> String {
    ANYONE
        .replace("\"anyone\"", "\"other\"")
        .replace("[\"a.test\", \"*\"]", "[\"other.test\"]")
        .replace("tls = \"opportunistic\"\n", tls)
}

/// A client within the content of a message that came in plaintext.
async fn in_content(daemon: &Daemon) -> Client {
    let mut client = Client::hello(daemon.at("in")).await;
    for (line, code) in [("MAIL FROM:<x@a.test>", 250), ("RCPT TO:<y@b.test>", 250), ("DATA", 354)] {
        assert_eq!(client.say(line).await.code, code, "{line}");
    }
    client.write(b"Subject: slow\r\n\r\none line\r\n").await.unwrap();
    client
}

async fn draining(daemon: &Daemon) {
    eventually("a reload that waits", LONG, async || {
        daemon.log().contains("waiting for transactions that are no longer allowed").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_waits_for_no_transaction_that_it_allows() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear().replying("data", SILENCE)).await;
    let rest = |tls: &str| {
        let out = outbound("slow", "slow.test", sink.address, OPPORTUNISTIC);
        let tightened = outbound("tightened", "fast.test", sink.address, tls);
        let any = outbound("any", "*", sink.address, OPPORTUNISTIC);
        format!("{DRAIN_LONG}{LISTENER}{ANYONE}{}{out}{tightened}{any}", other(tls))
    };
    site.configure_all(&rest(OPPORTUNISTIC));
    let daemon = Daemon::start(&site.home).await;
    let mut client = in_content(&daemon).await;
    let messages = mix::plain("slow", 1, 100, "x@a.test", "y@slow.test");
    Source::clear(daemon.at("in"), 1).send_all(messages).await;
    sink.until("a host that keeps us waiting", LONG, |log| log.commands.iter().any(|c| c == "DATA")).await;

    site.configure_all(&rest(ENCRYPTION));
    let answer = daemon.ask(&["reload"]).await;
    assert_eq!(answer["changes"].as_array().unwrap().len(), 2, "{answer}");
    assert_eq!(answer["drained"], Value::Null, "it waited for somebody: {answer}");
    client.write(b".\r\n").await.unwrap();
    assert_eq!(client.reply().await.code, 250);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_waits_for_its_own_and_the_next_ones_do_not() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let out = outbound("out", "*", sink.address, OPPORTUNISTIC);
    site.configure_all(&format!("{DRAIN_LONG}{LISTENER}{ANYONE}{out}"));
    let daemon = Arc::new(Daemon::start(&site.home).await);
    let mut client = in_content(&daemon).await;
    site.configure_all(&format!("{DRAIN_LONG}{LISTENER}{}{out}", sealed()));
    let asker = Arc::clone(&daemon);
    let first = tokio::spawn(async move { asker.ask(&["reload"]).await });
    draining(&daemon).await;

    for _ in 0..50 {
        daemon.signal("HUP");
    }
    let (one, two) = tokio::join!(daemon.ask(&["reload"]), daemon.ask(&["reload"]));
    for answer in [one, two] {
        assert_eq!(answer["drained"], Value::Null, "another reload's peer held it up: {answer}");
    }
    assert!(!first.is_finished(), "nobody has ended the transaction yet");
    client.write(b".\r\n").await.unwrap();
    assert_eq!(client.reply().await.code, 250, "it ended in time");
    let answer = first.await.unwrap();
    let drained = serde_json::json!({
        "transactions": 1, "ended": 1, "cut": 0, "answering": 0, "limit_ms": 600_000, "connectors": ["anyone"],
    });
    assert_eq!(answer["drained"], drained, "{answer}");
    sink.messages(1).await;
    Arc::into_inner(daemon).unwrap().stop().await;
}

/// A request whose body nobody needs is carried out all the same, however many others connect and say nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_over_the_admin_listener_gives_way_to_nobody() {
    let site = Site::new();
    site.write_tokens(&format!("operator ada {OPERATOR}\n"));
    let sink = Sink::start(Manner::clear()).await;
    let out = outbound("out", "*", sink.address, OPPORTUNISTIC);
    site.configure_all(&format!("{ADMIN}{DRAIN_LONG}{LISTENER}{ANYONE}{out}"));
    let daemon = Daemon::start(&site.home).await;
    let mut client = in_content(&daemon).await;
    site.configure_all(&format!("{ADMIN}{DRAIN_LONG}{LISTENER}{}{out}", sealed()));
    let at = daemon.at("admin");
    let request =
        WebRequest::new("POST", "/api/v1/reload").bearer(OPERATOR).json(Some(serde_json::json!({})));
    let reload = tokio::spawn(request.to(at));
    draining(&daemon).await;
    let mut crowd = Vec::new();
    for _ in 0..80 {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let _ = stream.write_all(b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nt").await;
        crowd.push(stream);
    }
    assert_eq!(WebRequest::new("GET", "/health").to(at).await.status, 200);
    assert!(!reload.is_finished(), "the reload gave way");
    client.write(b".\r\n").await.unwrap();
    assert_eq!(client.reply().await.code, 250);
    assert_eq!(reload.await.unwrap().json()["drained"]["ended"], 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_end_in_time_is_cut_off() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let out = outbound("out", "*", sink.address, OPPORTUNISTIC);
    site.configure_all(&format!("{DRAIN_SHORT}{LISTENER}{ANYONE}{out}"));
    let daemon = Daemon::start(&site.home).await;
    let mut client = in_content(&daemon).await;
    // Neither TLS nor a reload that leaves the connector alone is to blame for what follows.
    assert_eq!(daemon.ask(&["reload"]).await["drained"], Value::Null);
    site.configure_all(&format!("{DRAIN_SHORT}{LISTENER}{}{out}", sealed()));
    let output = daemon.command(&["reload"]).await;
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["drained"]["cut"], 1, "{answer}");
    assert_eq!(answer["drained"]["connectors"], serde_json::json!(["anyone"]), "{answer}");
    let reply = client.reply().await;
    assert_eq!(reply.code, 421, "{}", reply.text);
    assert!(client.closed().await.is_empty());
    eventually("both in the log", LONG, async || {
        let log = daemon.log();
        (log.contains(
            "1 transaction in progress no longer allowed by anyone: 0 ended in time, 1 cut after 500ms",
        ) && log.contains("a reload has tightened the connector, and the transaction did not end in time"))
        .then_some(())
    })
    .await;
    assert!(sink.arrived().is_empty());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_keeps_us_waiting_gets_nothing_more_once_tls_is_forced() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear().replying("data", SILENCE)).await;
    let rest =
        |tls: &str| format!("{DRAIN_SHORT}{LISTENER}{ANYONE}{}", outbound("out", "*", sink.address, tls));
    site.configure_all(&rest(OPPORTUNISTIC));
    let daemon = Daemon::start(&site.home).await;
    Source::clear(daemon.at("in"), 1).send_all(mix::plain("slow", 1, 100, "x@a.test", "y@b.test")).await;
    sink.until("a host that keeps us waiting", LONG, |log| log.commands.iter().any(|c| c == "DATA")).await;

    site.configure_all(&rest(ENCRYPTION));
    let answer = daemon.ask(&["reload"]).await;
    assert_eq!(answer["drained"]["cut"], 1, "{answer}");
    eventually("a judgement by the new connector", LONG, async || {
        let queue = daemon.ask(&["queue", "list"]).await.to_string();
        queue.contains("STARTTLS").then_some(())
    })
    .await;
    assert!(sink.arrived().is_empty());
    assert_eq!(sink.read(|log| log.commands.iter().filter(|c| c.starts_with("MAIL")).count()), 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_has_left_whole_is_not_sent_twice() {
    let site = Site::new();
    let answers = Arc::new(Semaphore::new(0));
    let sink = Sink::start(Manner::clear().ending(End::Hold(Arc::clone(&answers)))).await;
    let rest =
        |tls: &str| format!("{DRAIN_SHORT}{LISTENER}{ANYONE}{}", outbound("out", "*", sink.address, tls));
    site.configure_all(&rest(OPPORTUNISTIC));
    let daemon = Daemon::start(&site.home).await;
    Source::clear(daemon.at("in"), 1).send_all(mix::plain("held", 1, 100, "x@a.test", "y@b.test")).await;
    sink.until("the final dot", LONG, |log| log.clear.ends_with(b"\r\n.\r\n")).await;
    site.configure_all(&rest(ENCRYPTION));
    let answer = daemon.ask(&["reload"]).await;
    assert_eq!(answer["drained"]["answering"], 1, "{answer}");
    assert_eq!(answer["drained"]["cut"], 0, "{answer}");
    answers.add_permits(1);
    daemon.queue_empty().await;
    assert_eq!(sink.arrived().len(), 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_by_the_table_in_effect() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let out = outbound("out", "*", sink.address, OPPORTUNISTIC);
    site.configure_all(&format!("{LISTENER}{ANYONE}{}{out}", other(OPPORTUNISTIC)));
    let daemon = Daemon::start(&site.home).await;
    let mut stays = Client::hello(daemon.at("in")).await;
    let mut goes = Client::hello(daemon.at("in")).await;
    let message = |from: &str| mix::plain("kept", 1, 10, from, "b@partner.test").remove(0);
    for client in [&mut stays, &mut goes] {
        assert_eq!(client.transact(&message("x@other.test")).await.unwrap().code, 250);
    }
    site.configure_all(&format!("{LISTENER}{ANYONE}{}{out}", other(ENCRYPTION)));
    assert_eq!(daemon.ask(&["reload"]).await["generation"], 2);

    assert_eq!(stays.transact(&message("x@a.test")).await.unwrap().code, 250, "it is still admitted");
    let reply = goes.say("MAIL FROM:<x@other.test>").await;
    assert!(reply.text.starts_with("421 4.3.2 "), "a fresh session may fare better: {}", reply.text);
    assert!(goes.closed().await.is_empty());
    let mut fresh = Client::hello(daemon.at("in")).await;
    let reply = fresh.say("MAIL FROM:<x@other.test>").await;
    assert!(reply.text.starts_with("550 5.7.10 "), "{}", reply.text);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_presented_again_once_the_anchors_have_changed() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let out = outbound("out", "*", sink.address, OPPORTUNISTIC);
    let inbound = ANYONE.replace(
        "tls = \"opportunistic\"\n",
        "tls = \"forced\"\npeer_names = [\"client.test\"]\ntrust = [\"partners\"]\n",
    );
    site.configure_all(&format!("{LISTENER}{inbound}{out}"));
    let daemon = Daemon::start(&site.home).await;
    let shown = site.partners.pair(&["client.test"], Kind::Good);
    let config = site.ours.client(Some(&shown));
    let message = mix::plain("sealed", 1, 10, "x@a.test", "b@partner.test").remove(0);
    let mut client = Client::sealed(daemon.at("in"), &config, NAME).await;
    assert_eq!(client.transact(&message).await.unwrap().code, 250);
    assert_eq!(daemon.ask(&["reload"]).await["generation"], 2);
    assert_eq!(client.transact(&message).await.unwrap().code, 250, "nothing has changed");

    // Another authority takes the place of the one that the certificate came from.
    std::fs::write(site.home.path().join("partners.pem"), &site.ours.pem).unwrap();
    std::fs::write(site.home.path().join("partners.crl"), site.ours.revocation_list(&[])).unwrap();
    daemon.ask(&["reload"]).await;
    let reply = client.transact(&message).await.unwrap();
    assert!(reply.text.starts_with("421 4.3.2 "), "{}", reply.text);
    let mut client = Client::sealed(daemon.at("in"), &config, NAME).await;
    let reply = client.transact(&message).await.unwrap();
    assert!(reply.text.starts_with("550 5.7.1 "), "{}", reply.text);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_session_is_ended() {
    let site = Site::new();
    site.configure_all(&format!("[timeouts]\nsession_age = \"1s\"\n\n{LISTENER}{ANYONE}"));
    let daemon = Daemon::start(&site.home).await;
    let mut client = Client::hello(daemon.at("in")).await;
    let reply = client.reply().await;
    assert!(reply.text.starts_with("421 4.4.2 ") && reply.text.contains("this age"), "{}", reply.text);
    assert!(client.closed().await.is_empty());
    daemon.stop().await;
}
