//! Inbound: who may hand in mail under a forced connector, and that nobody else relays.

use std::sync::Arc;

use rustls::ClientConfig;

use crate::peer::client::{Client, Reply};
use crate::peer::daemon::{Daemon, NAME};
use crate::peer::mint::{Authority, Kind, Pair};
use crate::peer::mix;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, LISTENER, OPPORTUNISTIC, Site, outbound};

const BANK: &str = "[[inbound]]\nname = \"bank\"\nfrom_domains = [\"bank.test\"]\ntls = \"forced\"\n\
    peer_names = [\"mail.bank.test\"]\ntrust = [\"partners\"]\nto_domains = [\"b.test\"]\n\n";

/// A daemon with a forced inbound connector beside one for everyone, and where its mail goes.
async fn bank() -> (Site, Sink, Daemon) {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    site.configure_all(&format!(
        "{LISTENER}{ANYONE}{BANK}{}",
        outbound("out", "*", sink.address, OPPORTUNISTIC)
    ));
    let daemon = Daemon::start(&site.home).await;
    (site, sink, daemon)
}

fn showing(site: &Site, pair: Option<&Pair>) -> Arc<ClientConfig> {
    site.ours.client(pair)
}

#[track_caller]
fn check(reply: &Reply, expected: &str) {
    assert!(reply.text.starts_with(expected), "expected {expected}: {}", reply.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_domain_is_refused_in_clear_and_the_session_goes_on() {
    let (_site, sink, daemon) = bank().await;
    let mut client = Client::hello(daemon.at("in")).await;
    check(&client.say("MAIL FROM:<ada@bank.test>").await, "550 5.7.10");
    let reply = client.transact(&mix::plain("other", 1, 10, "ada@a.test", "bob@b.test")[0]).await.unwrap();
    check(&reply, "250");
    assert_eq!(sink.messages(1).await[0].mail, "ada@a.test");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_does_not_fit_is_refused() {
    let (site, _sink, daemon) = bank().await;
    let stranger = Authority::new("stranger");
    let cases = [
        ("none", None),
        ("wrong name", Some(site.partners.pair(&["mail.other.test"], Kind::Good))),
        ("wrong authority", Some(stranger.pair(&["mail.bank.test"], Kind::Good))),
        ("self-signed", Some(Pair::self_signed(&["mail.bank.test"]))),
        ("expired", Some(site.partners.pair(&["mail.bank.test"], Kind::Expired))),
        ("not yet valid", Some(site.partners.pair(&["mail.bank.test"], Kind::NotYet))),
    ];
    for (case, pair) in cases {
        let config = showing(&site, pair.as_ref());
        let mut client = Client::sealed(daemon.at("in"), &config, NAME).await;
        let reply = client.say("MAIL FROM:<ada@bank.test>").await;
        assert!(reply.text.starts_with("550 5.7.1 "), "{case}: {}", reply.text);
        assert!(reply.text.contains("bank"), "{case}: the connector is named: {}", reply.text);
        // A session that was refused is not over, and says nothing of other domains.
        check(&client.say("MAIL FROM:<ada@a.test>").await, "250");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_fits_is_taken() {
    let (site, sink, daemon) = bank().await;
    for (number, kind) in [Kind::Good, Kind::ServerOnly, Kind::ClientOnly].into_iter().enumerate() {
        let config = showing(&site, Some(&site.partners.pair(&["mail.bank.test"], kind)));
        let mut client = Client::sealed(daemon.at("in"), &config, NAME).await;
        let message = mix::plain("bank", 1, 10, "ada@bank.test", "bob@b.test").remove(0);
        check(&client.transact(&message).await.unwrap(), "250");
        sink.messages(number + 1).await;
        // Its `to_domains` alone count.
        check(&client.say("MAIL FROM:<ada@bank.test>").await, "250");
        check(&client.say("RCPT TO:<eve@elsewhere.test>").await, "550 5.7.1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_does_not_relay() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let office = "[[inbound]]\nname = \"office\"\nfrom_domains = [\"*\"]\nfrom_networks = [\"192.0.2.0/24\"]\n\
                  tls = \"opportunistic\"\nto_domains = [\"*\"]\n\n";
    site.configure_all(&format!("{LISTENER}{office}{}", outbound("out", "*", sink.address, OPPORTUNISTIC)));
    let daemon = Daemon::start(&site.home).await;
    let mut client = Client::hello(daemon.at("in")).await;
    for from in ["<ada@a.test>", "<>", "<postmaster@gw.sealpost.test>"] {
        let mail = client.say(&format!("MAIL FROM:{from}")).await;
        check(&mail, "550 5.7.1");
        assert_ne!(client.say("RCPT TO:<bob@b.test>").await.code, 250);
        assert_ne!(client.say("DATA").await.code, 354);
    }
    assert_eq!(sink.read(|log| log.sessions), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_outbound_connector_is_said_at_rcpt() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let daemon = site.start(&outbound("out", "b.test", sink.address, OPPORTUNISTIC)).await;
    let mut client = Client::hello(daemon.at("in")).await;
    check(&client.say("MAIL FROM:<ada@a.test>").await, "250");
    check(&client.say("RCPT TO:<bob@nowhere.test>").await, "550");
    check(&client.say("RCPT TO:<bob@b.test>").await, "250");
}

#[tokio::test(flavor = "multi_thread")]
async fn octets_behind_starttls_end_the_session() {
    let (site, sink, daemon) = bank().await;
    let mut client = Client::hello(daemon.at("in")).await;
    client.write(b"STARTTLS\r\nMAIL FROM:<eve@a.test>\r\n").await.unwrap();
    let rest = String::from_utf8_lossy(&client.closed().await).into_owned();
    assert!(!rest.contains("220"), "no handshake may follow: {rest:?}");
    assert!(!rest.contains("250"), "the planted command was answered: {rest:?}");
    // After a handshake nothing said before counts.
    let mut client = Client::hello(daemon.at("in")).await;
    check(&client.say("MAIL FROM:<ada@a.test>").await, "250");
    check(&client.say("STARTTLS").await, "220");
    let mut client = client.handshake(&showing(&site, None), NAME).await.unwrap();
    assert_ne!(client.say("RCPT TO:<bob@b.test>").await.code, 250);
    let offer = client.say("EHLO client.test").await;
    assert!(!offer.text.contains("STARTTLS"), "{}", offer.text);
    assert_eq!(sink.read(|log| log.sessions), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_that_require_or_begin_with_tls() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let listeners = LISTENER.replace("\"in\"", "\"strict\"").replace("\"starttls\"", "\"required\"")
        + &LISTENER.replace("\"in\"", "\"wrapped\"").replace("\"starttls\"", "\"implicit\"");
    site.configure_all(&format!("{listeners}{ANYONE}{}", outbound("out", "*", sink.address, OPPORTUNISTIC)));
    let daemon = Daemon::start(&site.home).await;
    let mut strict = Client::hello(daemon.at("strict")).await;
    check(&strict.say("MAIL FROM:<ada@a.test>").await, "530 5.7.0");
    check(&strict.say("NOOP").await, "250");
    let config = showing(&site, None);
    let mut strict = Client::sealed(daemon.at("strict"), &config, NAME).await;
    check(&strict.say("MAIL FROM:<ada@a.test>").await, "250");
    let mut wrapped = Client::wrapped(daemon.at("wrapped"), &config, NAME).await;
    check(&wrapped.greeting, "220");
    check(&wrapped.say("EHLO client.test").await, "250");
    check(&wrapped.say("MAIL FROM:<ada@a.test>").await, "250");
}
