//! The abuse brake: a flood by one inbound connector stops that connector, and nothing else, until it is released.

use crate::peer::client::{Client, Reply};
use crate::peer::daemon::Daemon;
use crate::peer::mix;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{LISTENER, OPPORTUNISTIC, Site, outbound};
use crate::peer::{LONG, eventually};

/// Four of anything within ten minutes are a flood, from the second millisecond on.
const RULES: &str = "[brake]\nmessages = 3\nrecipients = 3\nrefused = 3\nlearn = \"1ms\"\n";

const APPS: [u8; 4] = [127, 0, 0, 2];
const OTHERS: [u8; 4] = [127, 0, 0, 3];

/// A connector for clients at this address.
fn inbound(name: &str, network: [u8; 4], more: &str) -> String {
    let [a, b, c, d] = network;
    format!(
        "[[inbound]]\nname = \"{name}\"\nfrom_domains = [\"*\"]\nfrom_networks = [\"{a}.{b}.{c}.{d}/32\"]\n\
         tls = \"opportunistic\"\nto_domains = [\"b.test\"]\n{more}\n"
    )
}

async fn start(rules: &str, more: &str) -> (Site, Sink, Daemon) {
    let (site, sink) = (Site::new(), Sink::start(Manner::clear()).await);
    let connectors = inbound("apps", APPS, more) + &inbound("others", OTHERS, "brake = \"on\"\n");
    let out = outbound("out", "b.test", sink.address, OPPORTUNISTIC);
    site.configure_all(&format!("{rules}\n{LISTENER}{connectors}{out}"));
    let daemon = Daemon::start(&site.home).await;
    (site, sink, daemon)
}

/// Sends one message to one recipient from this address. The reply to MAIL if that is refused, else to the content.
async fn send(daemon: &Daemon, from: [u8; 4]) -> Reply {
    let mut client = Client::hello_from(from, daemon.at("in")).await;
    let message = mix::plain("flood", 1, 200, "ada@a.test", "bob@b.test").remove(0);
    let reply = client.say("MAIL FROM:<ada@a.test>").await;
    if reply.code != 250 {
        return reply;
    }
    assert_eq!(client.say("RSET").await.code, 250);
    client.transact(&message).await.unwrap()
}

/// Sends until that is refused. How much was taken, and the refusal.
async fn flood(daemon: &Daemon, from: [u8; 4]) -> (usize, Reply) {
    for taken in 0..20 {
        let reply = send(daemon, from).await;
        if reply.code != 250 {
            return (taken, reply);
        }
    }
    panic!("nothing stopped it: {}", daemon.log());
}

async fn row(daemon: &Daemon, name: &str) -> serde_json::Value {
    let shown = daemon.ask(&["connectors"]).await;
    shown["connectors"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone()
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_stops_its_connector_and_no_other_until_it_is_released() {
    let (site, sink, daemon) = start(RULES, "brake = \"on\"\n").await;
    let (taken, refusal) = flood(&daemon, APPS).await;
    assert_eq!((taken, refusal.code), (4, 451), "{}", refusal.text);
    let words = "4.7.1 connector apps takes no new mail for now: 4 recipients within ten minutes, and never more than 0";
    assert!(refusal.text.contains(words), "{}", refusal.text);
    // What was accepted goes on, and so do others.
    sink.messages(4).await;
    assert_eq!(send(&daemon, OTHERS).await.code, 250);
    sink.messages(5).await;
    let alarm =
        daemon.logged("alarm kind=brake what=\"connector apps: 4 recipients within ten minutes").await;
    assert!(
        alarm.contains("the last by 127.0.0.2") && alarm.contains("`sealpost connectors release apps`"),
        "{alarm}"
    );
    let apps = row(&daemon, "apps").await;
    assert_eq!(
        (&apps["braked"]["refuses"], &apps["braked"]["last"]),
        (&true.into(), &"127.0.0.2".into()),
        "{apps}"
    );
    assert!(row(&daemon, "others").await.get("braked").is_none());
    assert!(said(&site.home.run(&["connectors"], &[])).contains("enforce, braked"));
    // Only what is braked can be released.
    let none = site.home.run(&["connectors", "release"], &["others"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(said(&none).contains("inbound connector others is not braked"), "{}", said(&none));
    let unknown = site.home.run(&["connectors", "release"], &["nobody"]);
    assert!(said(&unknown).contains("nobody"), "{}", said(&unknown));
    let released = site.home.run(&["connectors", "release"], &["apps"]);
    assert!(said(&released).contains("apps takes new mail again"), "{}", said(&released));
    assert!(row(&daemon, "apps").await.get("braked").is_none());
    assert_eq!(daemon.ask(&["connectors"]).await["alarms"], serde_json::json!([]));
    // Counting starts over, and nothing was learned.
    assert_eq!(flood(&daemon, APPS).await.0, 4);
    let usual = daemon.ask(&["connectors", "release", "apps", "--usual"]).await;
    assert_eq!(usual["accept"], true, "{usual}");
    for _ in 0..15 {
        assert_eq!(send(&daemon, APPS).await.code, 250, "ten times as much as came before");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_braked_connector_stays_so_over_stops_and_kills() {
    let (site, _sink, daemon) = start(RULES, "brake = \"on\"\n").await;
    flood(&daemon, APPS).await;
    let file = site.home.path().join("data/brakes");
    let kept = async || std::fs::read_to_string(&file).is_ok_and(|text| text.contains("since")).then_some(());
    eventually("the flood on disk", LONG, kept).await;
    daemon.kill().await;
    let daemon = Daemon::start(&site.home).await;
    assert_eq!(send(&daemon, APPS).await.code, 451);
    assert_eq!(send(&daemon, OTHERS).await.code, 250);
    daemon.logged("alarm kind=brake what=\"connector apps").await;
    daemon.stop().await;
    // Without that file everything is forgotten, and mail flows.
    let daemon = Daemon::start(&site.home).await;
    assert_eq!(send(&daemon, APPS).await.code, 451);
    daemon.stop().await;
    std::fs::write(&file, "{ no JSON").unwrap();
    let daemon = Daemon::start(&site.home).await;
    daemon.logged("brakes can't be read").await;
    assert_eq!(send(&daemon, APPS).await.code, 250);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_recipients_stop_a_connector_that_knows_its_clients() {
    let (_site, _sink, daemon) = start(RULES, "brake = \"on\"\n").await;
    let mut client = Client::hello_from(APPS, daemon.at("in")).await;
    let mut refusal = client.say("MAIL FROM:<ada@a.test>").await;
    for number in 0..15 {
        if refusal.code != 250 {
            break;
        }
        assert_eq!(client.say(&format!("RCPT TO:<u{number}@elsewhere.test>")).await.code, 550);
        // The transaction goes on; the next one may be refused.
        assert_eq!(client.say("RCPT TO:<bob@b.test>").await.code, 250);
        assert_eq!(client.say("RSET").await.code, 250);
        refusal = client.say("MAIL FROM:<ada@a.test>").await;
    }
    assert_eq!(refusal.code, 451, "{}", refusal.text);
    assert!(refusal.text.contains("refused recipients within ten minutes"), "{}", refusal.text);
    assert_eq!(send(&daemon, APPS).await.code, 451, "in another session too");
    assert_eq!(send(&daemon, OTHERS).await.code, 250);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_refuses_nothing_and_strangers_brake_nobody() {
    let (site, sink, daemon) = start(RULES, "brake = \"alarm\"\n").await;
    for _ in 0..6 {
        assert_eq!(send(&daemon, APPS).await.code, 250);
    }
    sink.messages(6).await;
    daemon.logged("alarm kind=brake what=\"connector apps").await;
    daemon.logged("its mail is still accepted").await;
    let apps = row(&daemon, "apps").await;
    assert_eq!(apps["braked"]["refuses"], false, "{apps}");
    daemon.stop().await;
    // The open connector counts nothing by itself, whatever strangers do.
    let open = "[[inbound]]\nname = \"internet\"\nfrom_domains = [\"*\"]\ntls = \"opportunistic\"\nto_domains = [\"b.test\"]\n\n";
    let out = outbound("out", "b.test", sink.address, OPPORTUNISTIC);
    site.configure_all(&format!("{RULES}\n{LISTENER}{open}{out}"));
    let daemon = Daemon::start(&site.home).await;
    for round in 0..3 {
        let mut client = Client::hello(daemon.at("in")).await;
        assert_eq!(client.say("MAIL FROM:<ada@a.test>").await.code, 250, "round {round}");
        for number in 0..5 {
            assert_eq!(client.say(&format!("RCPT TO:<u{number}@elsewhere.test>")).await.code, 550);
        }
        assert_eq!(send(&daemon, OTHERS).await.code, 250, "round {round}");
        assert_eq!(send(&daemon, OTHERS).await.code, 250, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brake_ends_by_itself_and_with_its_key() {
    let (site, sink, daemon) = start(&format!("{RULES}release = \"1s\"\n"), "brake = \"on\"\n").await;
    flood(&daemon, APPS).await;
    let taken = async || (send(&daemon, APPS).await.code == 250).then_some(());
    eventually("the release", LONG, taken).await;
    daemon.logged("a connector is released from its brake").await;
    daemon.stop().await;
    // A reload that turns it off releases it.
    let write = |brake: &str| {
        let connectors = inbound("apps", APPS, &format!("brake = \"{brake}\"\n"));
        let out = outbound("out", "b.test", sink.address, OPPORTUNISTIC);
        site.configure_all(&format!("{RULES}\n{LISTENER}{connectors}{out}"));
    };
    write("on");
    let daemon = Daemon::start(&site.home).await;
    flood(&daemon, APPS).await;
    write("off");
    daemon.ask(&["reload"]).await;
    for _ in 0..8 {
        assert_eq!(send(&daemon, APPS).await.code, 250);
    }
}
