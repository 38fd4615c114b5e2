//! Mail through the relay: byte for byte, reports for what fails, nothing held up by a dead partner.

use std::collections::HashMap;
use std::time::Duration;

use mail_parser::{MessageParser, MimeHeaders};

use crate::peer::client::Client;
use crate::peer::daemon::free_address;
use crate::peer::mix::{self, Message};
use crate::peer::sink::{Arrived, Manner, Sink};
use crate::peer::site::{IDENTITY, OPPORTUNISTIC, QUICK, Site, outbound};
use crate::peer::source::Source;
use crate::peer::{LONG, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_messages_sealed_both_ways_keep_every_octet() {
    let site = Site::new();
    let sink = site.good_sink().await;
    let daemon = site.start(&outbound("out", "b.test", sink.address, IDENTITY)).await;
    let sent = mix::messages("relay", 1000, "ada@a.test", "bob@b.test");
    site.source(daemon.at("in"), 10).send_all(sent.clone()).await;
    let arrived = sink.messages(1000).await;
    assert_eq!(arrived.len(), 1000);
    let by_id: HashMap<String, &Arrived> =
        arrived.iter().map(|a| (mix::id_of(&a.content).expect("a marker"), a)).collect();
    assert_eq!(by_id.len(), 1000);
    for message in &sent {
        let copy = by_id[&message.id];
        assert!(copy.sealed);
        assert!(copy.mail == "ada@a.test" && copy.recipients == ["bob@b.test"], "{copy:?}");
        mix::assert_same(&message.id, &message.content, &copy.content);
        let received = String::from_utf8_lossy(&copy.content[..copy.content.len() - message.content.len()]);
        assert!(received.contains("ESMTPS") && received.contains("gw.sealpost.test"), "{received}");
    }
    sink.assert_nothing_in_clear();
    daemon.queue_empty().await;
    daemon.stop().await;
}

/// Hands in one message for these recipients; it must be taken.
async fn hand_in(address: std::net::SocketAddr, from: &str, to: &[&str]) -> Message {
    let mut message = mix::plain("one", 1, 300, from, "").remove(0);
    message.to = to.iter().map(|to| (*to).to_owned()).collect();
    let reply = Client::hello(address).await.transact(&message).await.unwrap();
    assert_eq!(reply.code, 250, "{}", reply.text);
    message
}

/// What a DSN says (RFC 3464): the fields of its message/delivery-status part.
fn status_of(dsn: &Arrived) -> String {
    assert_eq!(dsn.mail, "", "a report goes out with the null reverse-path");
    let message = MessageParser::default().parse(&dsn.content).expect("a report is a message");
    let kind = message.content_type().expect("a content type");
    assert_eq!((kind.ctype(), kind.subtype()), ("multipart", Some("report")));
    assert_eq!(kind.attribute("report-type"), Some("delivery-status"));
    assert!(message.header_raw("Auto-Submitted").is_some_and(|v| v.trim().starts_with("auto-")));
    let status = message.parts.iter().find(|part| {
        part.content_type().is_some_and(|t| t.ctype() == "message" && t.subtype() == Some("delivery-status"))
    });
    String::from_utf8_lossy(status.expect("a delivery-status part").contents()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_recipient_is_reported_to_the_sender() {
    let site = Site::new();
    let partner = Sink::start(Manner::clear().replying("rcpt to:<no@", "550 5.1.1 no such user here")).await;
    let home = Sink::start(Manner::clear()).await;
    let config = outbound("out", "b.test", partner.address, OPPORTUNISTIC)
        + &outbound("home", "a.test", home.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    let sent = hand_in(daemon.at("in"), "ada@a.test", &["no@b.test"]).await;
    let dsn = home.messages(1).await.remove(0);
    assert_eq!(dsn.recipients, ["ada@a.test"]);
    let status = status_of(&dsn);
    for field in
        ["Reporting-MTA: dns; gw.sealpost.test", "no@b.test", "Action: failed", "5.1.1", "no such user here"]
    {
        assert!(status.contains(field), "{field:?} is missing in {status}");
    }
    let text = String::from_utf8_lossy(&dsn.content).into_owned();
    assert!(text.contains(&format!("X-Test-Id: {}", sent.id)), "the report returns the header: {text}");
    assert!(partner.arrived().is_empty());
    daemon.queue_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_leaves_our_organisation_discloses_no_host_and_no_connector() {
    let site = Site::new();
    let partner =
        Sink::start(Manner::clear().replying("rcpt to:<no@", "550 5.1.1 unknown at inner.test")).await;
    let home = Sink::start(Manner::clear()).await;
    let config = outbound("out-of-it", "b.test", partner.address, OPPORTUNISTIC)
        + &outbound("home", "*", home.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    let port = format!(":{}", partner.address.port());
    let secrets = ["out-of-it", "inner.test", &port, "X-Test-Id"];
    for (count, from, told) in [(1, "ada@a.test", true), (2, "eve@stranger.test", false)] {
        hand_in(daemon.at("in"), from, &["no@b.test"]).await;
        let dsn = home.messages(count).await.remove(count - 1);
        assert_eq!(dsn.recipients, [from]);
        let text = String::from_utf8_lossy(&dsn.content).into_owned();
        let words = text.replace("\r\n", " ");
        assert!(words.contains("their mail server does not know this address"), "{text}");
        assert!(status_of(&dsn).contains("Status: 5.1.1"), "{text}");
        for secret in secrets {
            assert_eq!(text.contains(secret), told, "{secret} to {from}: {text}");
        }
    }
    daemon.queue_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_after_the_dot_is_for_all_recipients() {
    let site = Site::new();
    let refusing = Manner::clear().ending(crate::peer::sink::End::Reply("554 5.7.1 not this content"));
    let (partner, home) = (Sink::start(refusing).await, Sink::start(Manner::clear()).await);
    let config = outbound("out", "b.test", partner.address, OPPORTUNISTIC)
        + &outbound("home", "a.test", home.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    hand_in(daemon.at("in"), "ada@a.test", &["bob@b.test", "carol@b.test"]).await;
    // One report names both (RFC 3464 §2.3).
    let status = status_of(&home.messages(1).await[0]);
    assert!(status.contains("bob@b.test") && status.contains("carol@b.test"), "{status}");
    assert!(status.contains("5.7.1") && status.contains("not this content"), "{status}");
    daemon.queue_empty().await;
    assert_eq!(home.arrived().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_recipient_of_a_message_has_its_own_fate() {
    let site = Site::new();
    let manner = Manner::clear()
        .replying("rcpt to:<no@", "550 5.1.1 no such user")
        .replying("rcpt to:<later@", "450 4.2.1 busy");
    let partner = Sink::start(manner).await;
    let home = Sink::start(Manner::clear()).await;
    let config = QUICK.to_owned()
        + &outbound("out", "b.test", partner.address, OPPORTUNISTIC)
        + &outbound("home", "a.test", home.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    hand_in(daemon.at("in"), "ada@a.test", &["yes@b.test", "no@b.test", "later@b.test"]).await;
    let status = status_of(&home.messages(1).await[0]);
    assert!(
        status.contains("no@b.test") && !status.contains("yes@b.test") && !status.contains("later@b.test")
    );
    let row = daemon.deferred("later@b.test").await;
    assert_eq!(row["last"]["status"], "4.2.1", "{row}");
    assert_eq!(partner.arrived()[0].recipients, ["yes@b.test"]);
    partner.behave(Manner::clear());
    let arrived = partner.messages(2).await;
    assert_eq!(arrived[1].recipients, ["later@b.test"]);
    daemon.queue_empty().await;
    assert_eq!((partner.arrived().len(), home.arrived().len()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_null_reverse_path_is_never_told() {
    let site = Site::new();
    let partner = Sink::start(Manner::clear().replying("rcpt", "550 5.1.1 no such user")).await;
    let home = Sink::start(Manner::clear()).await;
    let config = outbound("out", "b.test", partner.address, OPPORTUNISTIC)
        + &outbound("rest", "*", home.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    hand_in(daemon.at("in"), "", &["no@b.test"]).await;
    partner
        .until("the refused recipient", LONG, |log| log.commands.iter().any(|c| c.starts_with("RCPT")))
        .await;
    daemon.queue_empty().await;
    assert_eq!(home.read(|log| log.sessions), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_tried_again_until_it_is_given_up() {
    let site = Site::new();
    let partner = Sink::start(Manner::clear().replying("mail", "451 4.3.0 not now")).await;
    let home = Sink::start(Manner::clear()).await;
    let short = "retry = [\"1s\"]\nexpire = \"3s\"\ndelay_dsn = \"never\"\n";
    let config = outbound("out", "b.test", partner.address, &format!("{OPPORTUNISTIC}{short}"))
        + &outbound("home", "a.test", home.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    hand_in(daemon.at("in"), "ada@a.test", &["bob@b.test"]).await;
    let status = status_of(&home.messages(1).await[0]);
    assert!(status.contains("Action: failed") && status.contains("not now"), "{status}");
    assert!(partner.read(|log| log.commands.iter().filter(|c| c.starts_with("MAIL")).count()) >= 2);
    daemon.queue_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_is_told_once() {
    let site = Site::new();
    let partner = Sink::start(Manner::clear().replying("mail", "451 4.3.0 not now")).await;
    let home = Sink::start(Manner::clear()).await;
    let short = "retry = [\"1s\"]\nexpire = \"1h\"\ndelay_dsn = \"2s\"\n";
    let config = outbound("out", "b.test", partner.address, &format!("{OPPORTUNISTIC}{short}"))
        + &outbound("home", "a.test", home.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    hand_in(daemon.at("in"), "ada@a.test", &["bob@b.test"]).await;
    let status = status_of(&home.messages(1).await[0]);
    assert!(status.contains("Action: delayed"), "{status}");
    let tried = |sink: &Sink| sink.read(|log| log.commands.iter().filter(|c| c.starts_with("MAIL")).count());
    let before = tried(&partner);
    partner
        .until("more attempts", LONG, |log| {
            log.commands.iter().filter(|c| c.starts_with("MAIL")).count() >= before + 2
        })
        .await;
    assert_eq!(home.arrived().len(), 1);
    partner.behave(Manner::clear());
    partner.messages(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_never_came_leads_to_another_attempt() {
    let site = Site::new();
    let partner = Sink::start(Manner::clear().ending(crate::peer::sink::End::Drop)).await;
    let daemon =
        site.start(&(QUICK.to_owned() + &outbound("out", "b.test", partner.address, OPPORTUNISTIC))).await;
    let sent = hand_in(daemon.at("in"), "ada@a.test", &["bob@b.test"]).await;
    daemon.deferred("bob@b.test").await;
    partner.behave(Manner::clear());
    mix::assert_same("after a drop", &sent.content, &partner.messages(1).await[0].content);
    daemon.queue_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_partner_costs_no_memory_and_holds_up_nobody() {
    let site = Site::new();
    let alive = Sink::start(Manner::clear()).await;
    let config = outbound("dead", "dead.test", free_address(), OPPORTUNISTIC)
        + &outbound("alive", "b.test", alive.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    let source = Source::clear(daemon.at("in"), 20);
    // What a process of this kind needs at all is there after the first thousand.
    source.send_all(mix::plain("warm", 1000, 4096, "ada@a.test", "bob@b.test")).await;
    alive.messages(1000).await;
    daemon.queue_empty().await;
    let before = daemon.resident();
    source.send_all(mix::plain("dead", 10_000, 4096, "ada@a.test", "bob@dead.test")).await;
    daemon.deferred_any().await;
    let grown = daemon.resident().saturating_sub(before);
    let sent_at = std::time::Instant::now();
    source.send_all(mix::plain("alive", 1, 4096, "ada@a.test", "bob@b.test")).await;
    alive.messages(1001).await;
    let took = sent_at.elapsed();
    assert!(took < Duration::from_secs(3), "a dead partner held up another for {took:?}");
    // 40 MiB of content lie in the queue; `[queue] memory` is 64 MiB by default.
    assert!(grown < 40 << 10, "10,000 queued messages cost {grown} KiB");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_in_time_and_a_restart_goes_on() {
    let site = Site::new();
    let address = free_address();
    let config = QUICK.to_owned() + &outbound("out", "b.test", address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    let sent = mix::messages("restart", 50, "ada@a.test", "bob@b.test");
    Source::clear(daemon.at("in"), 5).send_all(sent.clone()).await;
    let idle = Client::hello(daemon.at("in")).await;
    daemon.stop().await;
    let last = String::from_utf8(idle.closed().await).unwrap();
    assert!(last.starts_with("421"), "an idle session is told: {last:?}");
    let sink = Sink::start_at(&address.to_string(), Manner::clear()).await;
    let daemon = crate::peer::daemon::Daemon::start(&site.home).await;
    let arrived = sink.messages(50).await;
    for message in &sent {
        let copy = arrived.iter().find(|a| mix::id_of(&a.content).as_ref() == Some(&message.id)).unwrap();
        mix::assert_same(&message.id, &message.content, &copy.content);
    }
    eventually("an empty queue", LONG, async || daemon.queue().await.is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_recipients_on_five_hops_have_one_outcome_each_and_each_failure_is_told_once() {
    let site = Site::new();
    // Of each hundred: those whose number ends in 0 are refused, in 5 deferred once.
    let manner = |later: bool| {
        let manner = (0..100).filter(|n| n % 10 == 0).fold(Manner::clear(), |manner, n| {
            manner.replying(&format!("rcpt to:<r{n}@"), "550 5.1.1 nobody")
        });
        (0..100)
            .filter(|n| later && n % 10 == 5)
            .fold(manner, |manner, n| manner.replying(&format!("rcpt to:<r{n}@"), "450 4.2.1 later"))
    };
    let mut hops = Vec::new();
    let mut config = QUICK.to_owned();
    for hop in 0..5 {
        let sink = Sink::start(manner(true)).await;
        config += &outbound(&format!("out{hop}"), &format!("h{hop}.test"), sink.address, OPPORTUNISTIC);
        hops.push(sink);
    }
    let home = Sink::start(Manner::clear()).await;
    config += &outbound("home", "a.test", home.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    let to: Vec<String> = (0..500).map(|n| format!("r{}@h{}.test", n / 5, n % 5)).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    hand_in(daemon.at("in"), "ada@a.test", &to).await;
    for (number, hop) in hops.iter().enumerate() {
        let waits = format!("r5@h{number}.test");
        daemon.deferred(&waits).await;
        hop.behave(manner(false));
    }
    daemon.queue_empty().await;
    let mut told: HashMap<String, usize> = HashMap::new();
    for report in home.arrived() {
        let status = status_of(&report);
        for line in status.lines().filter_map(|line| line.strip_prefix("Final-Recipient: rfc822; ")) {
            *told.entry(line.trim().to_owned()).or_default() += 1;
        }
    }
    let mut taken: HashMap<String, usize> = HashMap::new();
    for arrived in hops.iter().flat_map(Sink::arrived) {
        for to in arrived.recipients {
            *taken.entry(to).or_default() += 1;
        }
    }
    for to in &to {
        let refused = to.split('@').next().unwrap().ends_with('0');
        let expected = if refused { (1, 0) } else { (0, 1) };
        let got = (told.get(*to).copied().unwrap_or(0), taken.get(*to).copied().unwrap_or(0));
        assert_eq!(got, expected, "{to}");
    }
    assert_eq!(home.arrived().len(), 1, "one report names each that failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_hundred_mebibytes_costs_little_memory() {
    let site = Site::new();
    let sink = site.good_sink().await;
    let daemon = site.start(&outbound("out", "b.test", sink.address, IDENTITY)).await;
    let source = site.source(daemon.at("in"), 1);
    // What a process of this kind needs at all is there after the first ones.
    source.send_all(mix::plain("warm", 20, 100_000, "ada@a.test", "bob@b.test")).await;
    sink.messages(20).await;
    let before = daemon.resident();
    let mut large = mix::plain("large", 1, 10, "ada@a.test", "bob@b.test").remove(0);
    large
        .content
        .extend(b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n".repeat(1_638_400));
    let sent = large.clone();
    daemon.forget_most_resident();
    let sending = tokio::spawn(async move { source.send_all(vec![sent]).await });
    sink.until("the large message", LONG * 2, |log| log.arrived.len() == 21).await;
    let most = daemon.most_resident();
    sending.await.unwrap();
    mix::assert_same("large", &large.content, &sink.arrived()[20].content);
    // One session takes it in and one hands it on, each with its own TLS and buffers.
    let grown = most.saturating_sub(before);
    assert!(grown < 4 << 10, "{grown} KiB more at the most");
}
