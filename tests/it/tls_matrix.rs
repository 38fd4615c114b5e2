//! Outbound: every kind of partner against every kind of connector. Under forced TLS not one octet of
//! an envelope or of content may reach a partner that does not meet the requirement.

use crate::peer::client::Client;
use crate::peer::daemon::Daemon;
use crate::peer::mint::{Authority, Kind, Pair};
use crate::peer::sink::{Manner, Sink, SinkTls};
use crate::peer::site::{IDENTITY, OPPORTUNISTIC, PARTNER, QUICK, Site, outbound};
use crate::peer::{LONG, mix};

const CHAIN: &str = "tls = \"forced\"\nrequire = \"chain\"\ntrust = [\"partners\"]\n";
const ENCRYPTION: &str = "tls = \"forced\"\nrequire = \"encryption\"\n";

/// The kinds of connector, in the order of the expectations below.
const CONNECTORS: [(&str, &str); 4] =
    [("identity", IDENTITY), ("chain", CHAIN), ("encryption", ENCRYPTION), ("opportunistic", OPPORTUNISTIC)];

/// One partner and what each kind of connector makes of it: `sealed`, `clear`, the machine word
/// under which the mail is deferred, or `*` for anything but `sealed`.
struct Row {
    partner: &'static str,
    manner: Manner,
    expected: [&'static str; 4],
}

fn rows(site: &Site, stranger: &Authority) -> Vec<Row> {
    let good = site.partners.pair(&[PARTNER], Kind::Good);
    let row = |partner, manner, expected| Row { partner, manner, expected };
    let shows = |pair: &Pair| Manner::sealed(pair.server());
    let works = || good.server();
    let same = |word| [word; 4];
    let chain_fault = |word| [word, word, "sealed", "sealed"];
    let broken = |word| [word, word, word, "clear"];
    vec![
        row("good", shows(&good), same("sealed")),
        row("tls12", Manner::sealed(good.server_speaking(&[&rustls::version::TLS12])), same("sealed")),
        row("tls13", Manner::sealed(good.server_speaking(&[&rustls::version::TLS13])), same("sealed")),
        row("wildcard", shows(&site.partners.pair(&["*.partner.test"], Kind::Good)), same("sealed")),
        row(
            "wrong-name",
            shows(&site.partners.pair(&["mail.elsewhere.test"], Kind::Good)),
            ["name-mismatch", "sealed", "sealed", "sealed"],
        ),
        row(
            "expired",
            shows(&site.partners.pair(&[PARTNER], Kind::Expired)),
            chain_fault("certificate-expired"),
        ),
        row(
            "not-yet",
            shows(&site.partners.pair(&[PARTNER], Kind::NotYet)),
            chain_fault("certificate-not-yet-valid"),
        ),
        row("stranger", shows(&stranger.pair(&[PARTNER], Kind::Good)), chain_fault("unknown-issuer")),
        row("self-signed", shows(&Pair::self_signed(&[PARTNER])), chain_fault("unknown-issuer")),
        row("ca-as-leaf", shows(&site.partners.as_leaf()), chain_fault("ca-as-end-entity")),
        row(
            "for-clients",
            shows(&site.partners.pair(&[PARTNER], Kind::ClientOnly)),
            chain_fault("wrong-purpose"),
        ),
        row("no-starttls", Manner::clear(), broken("starttls-not-offered")),
        row("starttls-454", Manner::new(SinkTls::Refuses("454 4.7.0 not now")), broken("starttls-refused")),
        row("starttls-502", Manner::new(SinkTls::Refuses("502 5.5.1 what?")), broken("starttls-refused")),
        row("no-ehlo", Manner::clear().replying("ehlo", "502 5.5.1 what?"), broken("starttls-not-offered")),
        row("garbage", Manner::new(SinkTls::Garbage), broken("handshake-broken")),
        row("closes", Manner::new(SinkTls::Closes), broken("handshake-broken")),
        row("injects", Manner::new(SinkTls::Injects(works())), ["*", "*", "*", "*"]),
        // Refused over a certificate, even opportunistic TLS does not go on in clear.
        row("demands", Manner::sealed(site.partners.demanding_server(&good)), same("handshake-broken")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_partner_against_every_connector() {
    let (site, stranger) = (Site::new(), Authority::new("stranger"));
    let mut config = QUICK.to_owned();
    let mut cells = Vec::new();
    for row in rows(&site, &stranger) {
        for ((kind, tls), expected) in CONNECTORS.iter().zip(row.expected) {
            let sink = Sink::start(row.manner.clone()).await;
            let name = format!("{}-{kind}", row.partner);
            config += &outbound(&name, &format!("{name}.test"), sink.address, tls);
            cells.push((name, sink, expected, *kind));
        }
    }
    let daemon = site.start(&config).await;
    for (name, ..) in &cells {
        let message = mix::plain(name, 1, 200, "ada@a.test", &format!("bob@{name}.test")).remove(0);
        let reply = Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
        assert_eq!(reply.code, 250, "{}", reply.text);
    }
    let mut faults = Vec::new();
    for (name, sink, expected, kind) in &cells {
        let came = outcome(&daemon, name, sink, expected).await;
        let wrong = if *expected == "*" { came == "sealed" } else { *expected != came };
        if wrong {
            faults.push(format!("{name}: expected {expected}, came {came}"));
        }
        if *kind != "opportunistic" {
            sink.assert_nothing_in_clear();
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What became of a message: waits for its arrival or its deferral, whichever is expected.
async fn outcome(daemon: &Daemon, name: &str, sink: &Sink, expected: &str) -> String {
    let arrival = sink.until("an arrival", LONG * 2, |log| !log.arrived.is_empty());
    let to = format!("bob@{name}.test");
    if matches!(expected, "sealed" | "clear") {
        // A deferral may come first: opportunistic mail goes in clear after every host was tried.
        arrival.await;
    } else {
        tokio::select! {
            () = arrival => {}
            row = daemon.deferred(&to) => {
                return row["last"]["decision"]["token"].as_str().unwrap_or("no token").to_owned();
            }
        }
    }
    let first = sink.arrived().remove(0);
    if first.sealed { "sealed".to_owned() } else { "clear".to_owned() }
}

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
