//! The tracking store of the shipped daemon, read by `sealpost trace` and `sealpost report`.

use std::collections::BTreeSet;

use sealpost::trace::{EventKind, StoredWord};
use serde_json::Value;

use crate::docs::{in_backticks, page};
use crate::peer::client::Client;
use crate::peer::daemon::Daemon;
use crate::peer::mint::Kind;
use crate::peer::mix;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, IDENTITY, LISTENER, OPPORTUNISTIC, PARTNER, QUICK, Site, outbound};
use crate::peer::{LONG, eventually, tools};

async fn send(daemon: &Daemon, id: &str) {
    let message = mix::plain(id, 1, 200, "ada@a.test", "bob@b.test").remove(0);
    let reply = Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    assert_eq!(reply.code, 250, "{}", reply.text);
}

/// Every event that `trace` prints for a question; none if nothing matches.
async fn traced(daemon: &Daemon, question: &[&str]) -> Vec<Value> {
    let output = daemon.command(&[&["trace"], question].concat()).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|event| event.get("event").is_some()).collect()
}

fn words(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_found_with_its_whole_way_after_it_has_left() {
    let site = Site::new();
    let bank = Sink::start(Manner::clear()).await;
    let out = outbound("bank", "b.test", bank.address, IDENTITY);
    site.configure_all(&format!("{QUICK}{LISTENER}{ANYONE}{out}"));
    let daemon = Daemon::start(&site.home).await;
    send(&daemon, "one").await;
    daemon.deferred("bob@b.test").await;
    bank.behave(Manner::sealed(site.partners.pair(&[PARTNER], Kind::Good).server()));
    bank.messages(1).await;
    let ways = async || {
        let events = traced(&daemon, &["bob@b.test"]).await;
        words(&events).contains(&"delivered").then_some(events)
    };
    let events = eventually("a delivery in the store", LONG, ways).await;
    let kinds = words(&events);
    assert_eq!(
        (kinds[0], kinds[1], *kinds.last().unwrap()),
        ("accepted", "deferred", "delivered"),
        "{kinds:?}"
    );
    let (deferred, delivered) = (&events[1], events.last().unwrap());
    assert_eq!(deferred["decision"]["token"], "starttls-not-offered");
    assert_eq!(delivered["decision"]["tls"]["version"], "TLSv1.3");
    assert_eq!(delivered["reverse_path"], "ada@a.test");
    let id = delivered["id"].as_str().unwrap().to_owned();
    for question in [
        &[&*id][..],
        &["--connector", "bank", "--event", "delivered"],
        &["--reason", "starttls-not-offered"],
        &["--from", "@a.test", "--to", "bob@b.test", "--tls", "TLSv1.3"],
    ] {
        assert_eq!(words(&traced(&daemon, question).await), kinds, "{question:?}");
    }
    let all = traced(&daemon, &["--since", "1h", "--until", "2099-01-01"]).await;
    assert_eq!(words(&all)[0], "started", "{all:?}");
    assert_eq!(words(&all)[1..], kinds, "{all:?}");
    assert!(traced(&daemon, &["--to", "ada@a.test"]).await.is_empty());
    let report = daemon.ask(&["report", "tls"]).await;
    assert_eq!((&report["outbound"]["messages"], &report["outbound"]["over_tls"]), (&1.into(), &1.into()));
    assert_eq!(report["failing"][0]["reason"], "starttls-not-offered");
    daemon.stop().await;
    let told = site.home.run(&["trace", &id], &[]);
    let text = String::from_utf8(told.stdout).unwrap();
    for part in [
        "delivered <bob@b.test> by bank",
        "STARTTLS is not offered",
        "their certificate: SHA-256",
        "from        <ada@a.test>",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connectors_to_paste_pass_the_check_and_the_rest_says_why() {
    let site = Site::new();
    let sink = site.good_sink().await;
    let own = outbound("shop", "shop.test", sink.address, OPPORTUNISTIC);
    let audit = outbound("bank", "bank.test", sink.address, &format!("{IDENTITY}mode = \"audit\"\n"));
    let more = format!("{OPPORTUNISTIC}connections = 7\nremember_tls = true\nehlo_name = \"out.test\"\n");
    let rest = outbound("rest", "*", sink.address, &more);
    let daemon = site.start(&format!("{own}{audit}{rest}")).await;
    let mut message = mix::plain("all", 1, 200, "ada@a.test", "bob@a.b.test").remove(0);
    let domains = ["a.b.test", "a-b.test", "shop.test", "bank.test", "rest", "[192.0.2.7]"];
    message.to = domains.iter().map(|domain| format!("bob@{domain}")).collect();
    let reply = Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    assert_eq!(reply.code, 250, "{}", reply.text);
    daemon.queue_empty().await;
    let rows = eventually("all in the sums", LONG, async || {
        let rows = daemon.ask(&["report", "adoption"]).await;
        (rows.as_array().unwrap().len() == domains.len()).then_some(rows)
    })
    .await;
    let row = |domain: &str| rows.as_array().unwrap().iter().find(|row| row["domain"] == domain).unwrap();
    for (domain, why) in [
        ("shop.test", "connector shop has it already"),
        ("bank.test", "connector bank has it in audit"),
        ("[192.0.2.7]", "an address literal"),
    ] {
        assert!(row(domain)["reason"].as_str().unwrap().contains(why), "{}", row(domain));
        assert!(row(domain)["connector"].is_null(), "{}", row(domain));
    }
    let pasted: Vec<&str> =
        rows.as_array().unwrap().iter().filter_map(|row| row["connector"].as_str()).collect();
    assert_eq!(pasted.len(), 3, "{rows}");
    for (domain, name) in [("a.b.test", "a.b.test"), ("a-b.test", "a-b.test"), ("rest", "rest-2")] {
        let text = row(domain)["connector"].as_str().unwrap();
        for part in [
            &*format!("name = \"{name}\"\n"),
            "next_hop = [",
            "connections = 7\n",
            "ehlo_name = \"out.test\"",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("remember_tls") && row(domain)["hosts"].is_array(), "{text}");
    }
    let before = std::fs::read_to_string(site.home.config()).unwrap();
    std::fs::write(site.home.config(), format!("{before}\n{}\n", pasted.join("\n\n"))).unwrap();
    let checked = site.home.run(&["check"], &[]);
    assert!(checked.status.success(), "{}", tools::said(&checked));
    let words = tools::said(&site.home.run(&["report", "adoption"], &[]));
    assert!(
        words.contains("connector a.b.test has it in audit"),
        "what is pasted is not offered again: {words}"
    );
    daemon.stop().await;
}

/// The log names 600 refusals of a network in a minute; the report counts all.
#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_in_the_report_however_many_the_log_names() {
    let site = Site::new();
    let bank = format!(
        "[[inbound]]\nname = \"bank\"\nfrom_domains = [\"bank.test\"]\nto_domains = [\"a.test\"]\n{IDENTITY}\n"
    );
    let daemon = site.start(&bank).await;
    for _ in 0..100 {
        let mut client = Client::hello(daemon.at("in")).await;
        for _ in 0..7 {
            let reply = client.say("MAIL FROM:<eve@bank.test>").await;
            assert!(reply.code >= 500, "{}", reply.text);
        }
        client.say("QUIT").await;
    }
    let refused = eventually("all refusals", LONG, async || {
        let refused = daemon.ask(&["report", "tls"]).await["refused"].clone();
        (refused[0]["count"] == 700).then_some(refused)
    })
    .await;
    assert_eq!(refused.as_array().unwrap().len(), 1, "{refused}");
    assert_eq!(refused[0]["connector"], "bank", "{refused}");
    assert!(daemon.log().matches("sealpost::message: refused").count() <= 700, "some are only counted");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tracking_there_is_no_store_and_mail_goes_on() {
    let site = Site::new();
    let sink = site.good_sink().await;
    let out = outbound("out", "b.test", sink.address, IDENTITY);
    site.configure_all(&format!("[tracking]\nenabled = false\n\n{QUICK}{LISTENER}{ANYONE}{out}"));
    let daemon = Daemon::start(&site.home).await;
    send(&daemon, "one").await;
    sink.messages(1).await;
    let output = daemon.command(&["trace", "bob@b.test"]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("there is no tracking store"), "{said}");
    assert_eq!(output.status.code(), Some(74));
    daemon.stop().await;
}

#[test]
fn every_event_of_the_store_is_in_the_page() {
    let page = page("docs/tracking.md");
    let table = page.split("`--event` takes these words:").nth(1).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let cells: String = rows.filter_map(|row| row.split(" | ").next()).collect::<Vec<_>>().join("\n");
    let known: BTreeSet<&str> = EventKind::ALL.iter().map(|(_, word, _)| *word).collect();
    assert_eq!(in_backticks(&cells).into_iter().collect::<BTreeSet<_>>(), known);
}
