//! What a connector says beside its requirement: TLS that is remembered, mail that stays sealed,
//! audit, limits of its own.

use tokio::time::Instant;

use crate::peer::LONG;
use crate::peer::client::Client;
use crate::peer::mint::Kind;
use crate::peer::mix;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{IDENTITY, LISTENER, OPPORTUNISTIC, PARTNER, QUICK, Site, outbound};

fn inbound(more: &str) -> String {
    format!(
        "[[inbound]]\nname = \"anyone\"\nfrom_domains = [\"*\"]\nfrom_networks = [\"127.0.0.0/8\"]\n\
         tls = \"opportunistic\"\nto_domains = [\"*\"]\n{more}\n"
    )
}

fn token(row: &serde_json::Value) -> &str {
    row["last"]["decision"]["token"].as_str().unwrap_or("none")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_had_tls_is_not_served_in_clear_at_once() {
    let site = Site::new();
    let sink = site.good_sink().await;
    let tls = format!("{OPPORTUNISTIC}remember_tls = true\n");
    let config = format!(
        "{QUICK}[limits]\nmessages_per_connection = 1\n\n{}",
        outbound("out", "b.test", sink.address, &tls)
    );
    let daemon = site.start(&config).await;
    let send = async |id: &str| {
        let message = mix::plain(id, 1, 200, "ada@a.test", "bob@b.test").remove(0);
        Client::hello(daemon.at("in")).await.transact(&message).await.unwrap()
    };
    send("first").await;
    assert!(sink.messages(1).await[0].sealed);
    sink.behave(Manner::clear());
    send("second").await;
    let row = daemon.deferred("bob@b.test").await;
    assert_eq!((token(&row), &row["last"]["status"]), ("tls-remembered", &"4.7.4".into()), "{row}");
    sink.assert_nothing_in_clear();
    sink.behave(Manner::sealed(site.partners.pair(&[PARTNER], Kind::Good).server()));
    assert!(sink.messages(2).await[1].sealed);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_must_stay_sealed_waits_where_tls_is_not_enforced() {
    let site = Site::new();
    let (forced, loose) = (site.good_sink().await, site.good_sink().await);
    let audited = site.good_sink().await;
    site.configure_all(&format!(
        "{QUICK}{LISTENER}{}{}{}{}",
        inbound("onward = \"sealed\"\n"),
        outbound("forced", "forced.test", forced.address, IDENTITY),
        outbound("loose", "loose.test", loose.address, OPPORTUNISTIC),
        outbound("audited", "audited.test", audited.address, &format!("{IDENTITY}mode = \"audit\"\n")),
    ));
    let daemon = crate::peer::daemon::Daemon::start(&site.home).await;
    for domain in ["forced.test", "loose.test", "audited.test"] {
        let message = mix::plain(domain, 1, 200, "ada@a.test", &format!("bob@{domain}")).remove(0);
        Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    }
    assert!(forced.messages(1).await[0].sealed);
    for domain in ["loose.test", "audited.test"] {
        let row = daemon.deferred(&format!("bob@{domain}")).await;
        assert_eq!(token(&row), "onward-not-sealed", "{row}");
    }
    assert!(loose.arrived().is_empty() && audited.arrived().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbound_connector_has_limits_of_its_own() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let limits = "recipients = 1\nmessage_size = \"2KiB\"\nconnections = 1\n";
    site.configure_all(&format!(
        "{LISTENER}{}{}",
        inbound(limits),
        outbound("out", "*", sink.address, OPPORTUNISTIC)
    ));
    let daemon = crate::peer::daemon::Daemon::start(&site.home).await;
    let mut first = Client::hello(daemon.at("in")).await;
    let say = async |client: &mut Client, line: &str| client.say(line).await.text;
    assert!(say(&mut first, "MAIL FROM:<a@a.test> SIZE=4000").await.starts_with("552"));
    assert!(say(&mut first, "MAIL FROM:<a@a.test>").await.starts_with("250"));
    assert!(say(&mut first, "RCPT TO:<b@b.test>").await.starts_with("250"));
    assert!(say(&mut first, "RCPT TO:<c@b.test>").await.starts_with("452"));
    let mut second = Client::hello(daemon.at("in")).await;
    assert!(say(&mut second, "MAIL FROM:<a@a.test>").await.starts_with("451 4.3.2"));
    // The first session ends, and makes room for the second.
    first.say("QUIT").await;
    first.closed().await;
    let deadline = Instant::now() + LONG;
    while !say(&mut second, "MAIL FROM:<a@a.test>").await.starts_with("250") {
        assert!(Instant::now() < deadline, "no room was made");
        tokio::task::yield_now().await;
    }
}
