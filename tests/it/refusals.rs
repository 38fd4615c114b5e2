//! What next hops say when they refuse: about the message, about the session, or about us.

use crate::peer::client::Client;
use crate::peer::daemon::Daemon;
use crate::peer::mint::Kind;
use crate::peer::mix;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, IDENTITY, LISTENER, OPPORTUNISTIC, PARTNER, Site, outbound};

/// One sink for each of the manners, for the domains d0.test, d1.test, ..
async fn sinks(manners: Vec<Manner>) -> (Vec<Sink>, String) {
    let (mut sinks, mut config) = (Vec::new(), String::new());
    for (number, manner) in manners.into_iter().enumerate() {
        let sink = Sink::start(manner).await;
        config += &outbound(&format!("d{number}"), &format!("d{number}.test"), sink.address, OPPORTUNISTIC);
        sinks.push(sink);
    }
    (sinks, config)
}

async fn send(daemon: &Daemon, from: &str, to: &[&str]) {
    let mut message = mix::plain("refusal", 1, 200, from, "").remove(0);
    message.to = to.iter().map(|&to| to.to_owned()).collect();
    assert_eq!(Client::hello(daemon.at("in")).await.transact(&message).await.unwrap().code, 250);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_session_that_is_refused_defers_and_bounces_nothing() {
    let limits = [
        "452 4.4.5 Maximum number of messages per session exceeded",
        "503 5.5.1 Bad sequence of commands",
        "550 5.7.1 Too many messages",
        "421 4.7.0 Too many messages",
    ];
    let manners = limits.map(|reply| Manner { messages_max: Some((2, reply)), ..Manner::clear() });
    let (sinks, config) = sinks(manners.to_vec()).await;
    let site = Site::new();
    // One connection at a time, so that sessions are used again; no retry comes within the test's time.
    let one = format!("{OPPORTUNISTIC}connections = 1\nretry = [\"1h\"]\n");
    let daemon = site.start(&config.replace(OPPORTUNISTIC, &one)).await;
    let mut client = Client::hello(daemon.at("in")).await;
    for number in 0..sinks.len() {
        for message in mix::plain("used", 7, 200, "ada@a.test", &format!("bob@d{number}.test")) {
            assert_eq!(client.transact(&message).await.unwrap().code, 250);
        }
    }
    for (sink, limit) in sinks.iter().zip(limits) {
        assert_eq!(sink.messages(7).await.len(), 7, "{limit}");
        assert!(sink.read(|log| log.sessions) >= 4, "{limit}");
    }
    daemon.queue_empty().await;
    let log = daemon.log();
    assert!(!log.contains("deferred id=") && !log.contains("failed id="), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_recipients_by_any_code_means_the_rest_at_once() {
    let replies = ["550 5.5.3 too many", "552 too many", "452 4.5.3 too many", "552 5.5.3 too many"];
    let manners = replies.map(|reply| Manner { recipients_max: Some((3, reply)), ..Manner::clear() });
    let (sinks, config) = sinks(manners.to_vec()).await;
    let site = Site::new();
    let daemon =
        site.start(&config.replace(OPPORTUNISTIC, &format!("{OPPORTUNISTIC}retry = [\"1h\"]\n"))).await;
    for number in 0..sinks.len() {
        let to: Vec<String> = (0..8).map(|n| format!("u{n}@d{number}.test")).collect();
        send(&daemon, "ada@a.test", &to.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    for (sink, reply) in sinks.iter().zip(replies) {
        let counts: Vec<usize> = sink.messages(3).await.iter().map(|a| a.recipients.len()).collect();
        assert_eq!(counts, [3, 3, 2], "{reply}");
    }
    daemon.queue_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_mailbox_is_reported_at_once() {
    let full = Manner::clear().replying("rcpt", "552 5.2.2 mailbox full, quota exceeded");
    let (sinks, config) = sinks(vec![full, Manner::clear()]).await;
    let site = Site::new();
    let daemon = site.start(&config).await;
    send(&daemon, "ada@d1.test", &["bob@d0.test"]).await;
    let report = String::from_utf8(sinks[1].messages(1).await.remove(0).content).unwrap();
    assert!(report.contains("Status: 5.2.2") && report.contains("the mailbox is full"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_says_in_refusing_us_is_shown() {
    let site = Site::new();
    let greets = Manner::clear().greeting("220-mx.d0.test ESMTP\r\n521 5.7.1 blocked by list.example");
    let (sinks, config) = sinks(vec![greets]).await;
    let server = site.partners.pair(&[PARTNER], Kind::Good).server();
    let refuses =
        Sink::start(Manner::sealed(server).replying("ehlo", "550 5.7.1 no PTR record for you")).await;
    let daemon = site.start(&(config + &outbound("forced", "b.test", refuses.address, IDENTITY))).await;
    send(&daemon, "ada@a.test", &["bob@d0.test"]).await;
    let row = daemon.deferred("bob@d0.test").await;
    let words = "different codes: 220 mx.d0.test ESMTP / 521 5.7.1 blocked by list.example";
    assert!(row["last"].to_string().contains(words), "{row}");
    // The host refuses us before TLS could be asked for: its words, and not a missing STARTTLS.
    send(&daemon, "ada@a.test", &["bob@b.test"]).await;
    let row = daemon.deferred("bob@b.test").await;
    assert!(row["last"].to_string().contains("answered EHLO with 550 5.7.1 no PTR record for you"), "{row}");
    assert!(row["last"]["decision"].is_null(), "{row}");
    assert!(!daemon.log().contains("starttls-not-offered"));
    let output = site.home.run(&["validate"], &["forced", "--json"]);
    let answer = String::from_utf8(output.stdout).unwrap();
    assert!(answer.contains("no PTR record for you"), "{answer}");
    drop(sinks);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_us_is_no_unknown_recipient() {
    for refusal in ["530 5.7.0 log in first", "550 5.7.1 your address is blocked", "552 5.2.2 full", "554 no"]
    {
        let (sinks, config) = sinks(vec![Manner::clear().replying("rcpt", refusal)]).await;
        let site = Site::new();
        let asking = ANYONE.trim_end().to_owned() + "\nverify_recipients = true\n\n";
        site.configure_all(&(LISTENER.to_owned() + &asking + &config));
        let daemon = Daemon::start(&site.home).await;
        let mut client = Client::hello(daemon.at("in")).await;
        assert_eq!(client.say("MAIL FROM:<ada@a.test>").await.code, 250);
        let reply = client.say("RCPT TO:<bob@d0.test>").await;
        assert_eq!(reply.code, 250, "{refusal}: {reply:?}");
        assert!(sinks[0].read(|log| log.commands.iter().any(|c| c.starts_with("RCPT"))), "it was asked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_too_long_for_the_command_follows_the_challenge() {
    let site = Site::new();
    let server = site.partners.pair(&[PARTNER], Kind::Good).server();
    // `user=ada^Aauth=Bearer ` in base64, in lower case.
    let response = "tls:dxnlcj1hzgebyxv0ad1czwfyzxig";
    let manner = Manner::sealed(server)
        .replying("tls:ehlo", "250-sink.test\r\n250 AUTH XOAUTH2")
        .replying("tls:auth", "334 ")
        .replying(response, "235 2.7.0 welcome");
    let partner = Sink::start(manner).await;
    std::fs::write(site.home.path().join("secret"), "t".repeat(1500)).unwrap();
    let login =
        format!("{IDENTITY}auth_user = \"ada\"\nauth_secret = \"secret\"\nauth_mechanism = \"xoauth2\"\n");
    let daemon = site.start(&outbound("out", "b.test", partner.address, &login)).await;
    send(&daemon, "ada@a.test", &["bob@b.test"]).await;
    partner.messages(1).await;
    let commands = partner.read(|log| log.commands.clone());
    let command = commands.iter().position(|c| c == "AUTH XOAUTH2").expect("AUTH without a response");
    assert!(commands[command + 1].len() > 2000, "{commands:?}");
    partner.assert_nothing_in_clear();
}
