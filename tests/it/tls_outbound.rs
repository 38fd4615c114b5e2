//! Outbound, one partner at a time: what comes of mail that waits for its partner's TLS.

use crate::peer::client::Client;
use crate::peer::mint::Kind;
use crate::peer::mix;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{IDENTITY, OPPORTUNISTIC, PARTNER, QUICK, Site, outbound};

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
