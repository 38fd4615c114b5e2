//! Outbound, one partner at a time: what comes of mail that waits for its partner's TLS.

use crate::peer::client::Client;
use crate::peer::daemon::PROGRAM;
use crate::peer::mint::Kind;
use crate::peer::one_thing::{Leaf, Leaves};
use crate::peer::sink::{Manner, Sink, SinkTls};
use crate::peer::site::{IDENTITY, OPPORTUNISTIC, PARTNER, QUICK, Site, outbound};
use crate::peer::{LONG, mix, tools};

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_comes_right_gets_its_mail_sealed() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let daemon = site.start(&(QUICK.to_owned() + &outbound("out", "b.test", sink.address, IDENTITY))).await;
    let message = mix::plain("later", 1, 200, "ada@a.test", "bob@b.test").remove(0);
    Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    let row = daemon.deferred("bob@b.test").await;
    assert_eq!(row["last"]["status"], "4.7.4", "{row}");
    sink.behave(Manner::sealed(site.partners.pair(&[PARTNER], Kind::Good).server()));
    assert!(sink.messages(1).await[0].sealed);
    sink.assert_nothing_in_clear();
}

/// Nobody here signs with SHA-1 any more: the certificate only says so, which is what is looked at first.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_signed_with_sha_1_is_told_in_words() {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    let (site, leaves) = (Site::new(), Leaves::new());
    let mut pair = leaves.shown(Leaf::Rsa2048).clone();
    let mut der = pair.chain_der().remove(0).to_vec();
    let sha_256 = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0b];
    let places: Vec<usize> = (0..der.len()).filter(|at| der[*at..].starts_with(&sha_256)).collect();
    places.iter().for_each(|at| der[at + 8] = 5);
    let text = BASE64_STANDARD.encode(&der);
    pair.chain = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    std::fs::write(site.home.path().join("roots.pem"), leaves.anchors()).unwrap();
    let sink = Sink::start(Manner::sealed(pair.server())).await;
    let keys = "tls = \"forced\"\nrequire = \"chain\"\ntrust = [\"roots\"]\n";
    let config = format!(
        "[trust.roots]\nanchors = \"roots.pem\"\n\n{}",
        outbound("out", "b.test", sink.address, keys)
    );
    let daemon = site.start(&config).await;
    let message = mix::plain("old", 1, 200, "ada@a.test", "bob@b.test").remove(0);
    Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    let row = daemon.deferred("bob@b.test").await.to_string();
    assert!(row.contains("signed with RSA PKCS#1 v1.5 with SHA-1, which is not accepted"), "{row}");
    assert!(!row.contains("Context"), "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bounce_at_once_says_what_was_wanted_and_got() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let home = Sink::start(Manner::clear()).await;
    let config = outbound("out", "b.test", sink.address, &format!("{IDENTITY}on_failure = \"bounce\"\n"))
        + &outbound("home", "a.test", home.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    let message = mix::plain("bounce", 1, 200, "ada@a.test", "bob@b.test").remove(0);
    Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    let dsn = String::from_utf8(home.messages(1).await.remove(0).content).unwrap();
    assert!(dsn.contains("5.7.4") && dsn.contains("bob@b.test"), "{dsn}");
    // The connector is named, and what it demands.
    assert!(dsn.contains("out") && dsn.contains(PARTNER), "{dsn}");
    sink.assert_nothing_in_clear();
}

#[tokio::test(flavor = "multi_thread")]
async fn we_show_our_certificate_when_asked() {
    let site = Site::new();
    let own = site.partners.pair(&[PARTNER], Kind::Good);
    let server = site.ours.demanding_server(&own);
    let sink = Sink::start(Manner::sealed(server)).await;
    let tls = format!("{IDENTITY}client_certificate = \"gw\"\n");
    let daemon = site.start(&outbound("out", "b.test", sink.address, &tls)).await;
    let message = mix::plain("asked", 1, 200, "ada@a.test", "bob@b.test").remove(0);
    Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    assert!(sink.messages(1).await[0].client_certificate.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_demands_a_certificate_that_we_do_not_have_gets_nothing_in_clear_and_the_reason_says_so() {
    let site = Site::new();
    let own = site.partners.pair(&[PARTNER], Kind::Good);
    let wanted = "it wants a client certificate, and none is configured";
    let (mut sinks, mut config) = (Vec::new(), String::new());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for tls in [OPPORTUNISTIC, IDENTITY] {
            let server = site.ours.demanding_server_speaking(&own, &[version]);
            let (number, sink) = (sinks.len(), Sink::start(Manner::sealed(server)).await);
            config += &outbound(&format!("d{number}"), &format!("d{number}.test"), sink.address, tls);
            sinks.push(sink);
        }
    }
    let daemon = site.start(&config).await;
    let mut client = Client::hello(daemon.at("in")).await;
    for (number, sink) in sinks.iter().enumerate() {
        let to = format!("bob@d{number}.test");
        let message = mix::plain("demanded", 1, 200, "ada@a.test", &to).remove(0);
        client.transact(&message).await.unwrap();
        let last = daemon.deferred(&to).await["last"].to_string();
        assert!(last.contains(wanted) && last.contains("handshake-broken"), "{number}: {last}");
        let output = site.home.run(&["validate"], &[&format!("d{number}"), "--json"]);
        let validated = String::from_utf8(output.stdout).unwrap();
        assert!(validated.contains(wanted), "{number}: {validated}");
        let mut probe = std::process::Command::new(PROGRAM);
        let host = format!("[{}]:{}", sink.address.ip(), sink.address.port());
        probe.args(["probe", &host, "--json"]).stdin(std::process::Stdio::null());
        let probed = tools::said(&tools::run(probe).await);
        assert!(probed.contains(wanted), "{number}: {probed}");
        sink.assert_nothing_in_clear();
        assert!(sink.arrived().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_version_is_held_to() {
    let site = Site::new();
    let old = site.partners.pair(&[PARTNER], Kind::Good).server_speaking(&[&rustls::version::TLS12]);
    let sink = Sink::start(Manner::sealed(old)).await;
    let tls = format!("{IDENTITY}min_version = \"1.3\"\n");
    let daemon = site.start(&(QUICK.to_owned() + &outbound("out", "b.test", sink.address, &tls))).await;
    let message = mix::plain("old", 1, 200, "ada@a.test", "bob@b.test").remove(0);
    Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    let row = daemon.deferred("bob@b.test").await;
    let token = row["last"]["decision"]["token"].as_str().unwrap_or_default().to_owned();
    assert!(["version-too-old", "handshake-broken"].contains(&token.as_str()), "{row}");
    sink.assert_nothing_in_clear();
    assert!(sink.arrived().is_empty());
}

/// Each way in which TLS breaks a session that works in plaintext.
fn breaking(site: &Site) -> [(&'static str, Manner); 4] {
    let sealed = Manner::sealed(site.partners.pair(&[PARTNER], Kind::Good).server());
    [
        ("clear-refused", Manner::new(SinkTls::RefusesAndCloses("454 4.7.0 TLS not available"))),
        ("clear-refused", Manner::new(SinkTls::RefusesAndCloses("421 4.7.0 TLS not available"))),
        ("clear-handshake-broken", Manner::new(SinkTls::Closes).replying("starttls", "close")),
        ("clear-tls-session-lost", sealed.replying("tls:ehlo", "close")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn opportunistic_mail_gets_through_where_tls_breaks_the_session() {
    let site = Site::new();
    let (mut sinks, mut config) = (Vec::new(), QUICK.to_owned());
    for (number, (token, manner)) in breaking(&site).into_iter().enumerate() {
        let sink = Sink::start(manner).await;
        for (kind, tls) in [("o", OPPORTUNISTIC), ("f", "tls = \"forced\"\nrequire = \"encryption\"\n")] {
            config +=
                &outbound(&format!("{kind}{number}"), &format!("{kind}{number}.test"), sink.address, tls);
        }
        sinks.push((token, sink));
    }
    let daemon = site.start(&config).await;
    for number in 0..sinks.len() {
        for kind in ["f", "o"] {
            let to = format!("bob@{kind}{number}.test");
            let message = mix::plain(&format!("{kind}{number}"), 1, 200, "ada@a.test", &to).remove(0);
            Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
        }
    }
    for (number, (token, sink)) in sinks.iter().enumerate() {
        let arrived = sink.messages(1).await.remove(0);
        assert_eq!((arrived.sealed, arrived.recipients), (false, vec![format!("bob@o{number}.test")]));
        let row = daemon.deferred(&format!("bob@f{number}.test")).await;
        assert!(row["last"]["status"].as_str().is_some_and(|status| status.starts_with("4.")), "{row}");
        let connector = format!("connector=o{number}");
        daemon.logged_line(&["message: sent in plaintext", &connector]).await;
        daemon.logged(token).await;
        let log = daemon.log();
        let of_it = |line: &&str| line.contains("message: sent in plaintext") && line.contains(&connector);
        assert_eq!(log.lines().filter(of_it).count(), 1, "{token}: {log}");
        assert_eq!(sink.arrived().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_client_hello_is_not_held_against_the_host() {
    use rustls::crypto::aws_lc_rs::kx_group;
    let site = Site::new();
    let server = site.partners.pair(&[PARTNER], Kind::Good).server_agreeing(&[kx_group::X25519]);
    let sink = Sink::start(Manner::new(SinkTls::SmallHello(700, server))).await;
    let forced = "tls = \"forced\"\nrequire = \"encryption\"\n";
    let config = QUICK.to_owned()
        + &outbound("o", "o.test", sink.address, OPPORTUNISTIC)
        + &outbound("f", "f.test", sink.address, forced)
        + &outbound("q", "q.test", sink.address, &format!("{forced}key_exchange = \"post-quantum\"\n"));
    let daemon = site.start(&config).await;
    for to in ["bob@q.test", "bob@o.test", "bob@f.test"] {
        let message = mix::plain(to, 1, 200, "ada@a.test", to).remove(0);
        Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    }
    assert!(sink.messages(2).await.iter().all(|message| message.sealed));
    sink.assert_nothing_in_clear();
    let row = daemon.deferred("bob@q.test").await;
    assert_eq!(row["last"]["decision"]["token"], "key-exchange", "{row}");
    // Each connector says it once, however many attempts there are; the one that demands it raises an alarm.
    sink.until("more attempts", LONG, |log| log.sessions >= 8).await;
    let log = daemon.log();
    let count = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    assert_eq!(
        (count("post-quantum omitted"), count("fails with a post-quantum key share")),
        (3, 1),
        "{log}"
    );
}
