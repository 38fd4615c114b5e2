//! `[[raise]]`: one message asks for more than its connectors require, and never for less.

use crate::peer::client::{Client, wire};
use crate::peer::daemon::Daemon;
use crate::peer::mix::without_received;
use crate::peer::sink::Sink;
use crate::peer::site::{ANYONE, IDENTITY, LISTENER, OPPORTUNISTIC, QUICK, Site, outbound};
use crate::peer::tools;

const RULES: &str = "[[raise]]\nname = \"seal\"\nheader = \"X-Seal\"\nvalue = \"yes\"\nconnectors = [\"anyone\"]\nremove = true\n\n\
    [[raise]]\nname = \"tag\"\nsubject_tag = \"[secure]\"\nremove = true\n\n\
    [[raise]]\nname = \"label\"\nlabel = \"company-confidential\"\nto = \"identity\"\n\n";
const ENCRYPTION: &str = "tls = \"forced\"\nrequire = \"encryption\"\n";

/// Next hops that force an identity, that force encryption, and that force nothing.
struct Hops {
    identity: Sink,
    encryption: Sink,
    loose: Sink,
}

impl Hops {
    async fn start(site: &Site) -> Self {
        let (identity, encryption) = (site.good_sink().await, site.good_sink().await);
        Self { identity, encryption, loose: site.good_sink().await }
    }

    fn configure(&self, site: &Site, rules: &str) {
        let hop =
            |name: &str, sink: &Sink, tls: &str| outbound(name, &format!("{name}.test"), sink.address, tls);
        site.configure_all(&format!(
            "{QUICK}{LISTENER}{ANYONE}{rules}{}{}{}",
            hop("identity", &self.identity, IDENTITY),
            hop("encryption", &self.encryption, ENCRYPTION),
            hop("loose", &self.loose, OPPORTUNISTIC),
        ));
    }
}

async fn hand(daemon: &Daemon, to: &str, header: &str) {
    let mut client = Client::hello(daemon.at("in")).await;
    for line in ["MAIL FROM:<ada@a.test>", &format!("RCPT TO:<{to}>"), "DATA"] {
        let reply = client.say(line).await;
        assert!(reply.code < 400, "{line}: {}", reply.text);
    }
    client.write(&wire(format!("{header}\r\nX-Seal: yes\r\n").as_bytes())).await.unwrap();
    assert_eq!(client.reply().await.code, 250);
}

fn decided(row: &serde_json::Value) -> (&str, &str) {
    let decision = &row["last"]["decision"];
    (decision["token"].as_str().unwrap_or("none"), decision["required"].as_str().unwrap_or("none"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marked_message_leaves_as_its_rule_says_or_waits() {
    let site = Site::new();
    let hops = Hops::start(&site).await;
    hops.configure(&site, RULES);
    let daemon = Daemon::start(&site.home).await;
    for (number, header) in [
        "X-Seal: YES\r\nSubject: a\r\n",
        "Subject: =?utf-8?B?W1NlY3VyZV0gYQ==?=\r\n",
        "Sensitivity: Company-Confidential\r\nSubject: a\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        for hop in ["identity", "encryption", "loose"] {
            hand(&daemon, &format!("bob{number}@{hop}.test"), header).await;
        }
    }
    hand(&daemon, "plain@loose.test", "X-Seal: no\r\nSubject: [secure a\r\n").await;
    let arrived = hops.identity.messages(3).await;
    let mut bodies: Vec<String> = arrived
        .iter()
        .map(|one| String::from_utf8_lossy(without_received(&one.content).unwrap()).into_owned())
        .collect();
    bodies.sort();
    let kept = "Sensitivity: Company-Confidential\r\nSubject: a\r\n";
    let plain = "Subject: a\r\n\r\nX-Seal: yes\r\n";
    assert_eq!(
        bodies,
        [format!("{kept}\r\nX-Seal: yes\r\n"), plain.to_owned(), plain.to_owned()],
        "markers are removed, and no body"
    );
    hops.encryption.messages(2).await;
    hops.loose.messages(1).await;
    let sealed = "enforced, forced TLS (raised by ";
    for (number, rule) in ["seal", "tag"].into_iter().enumerate() {
        let row = daemon.deferred(&format!("bob{number}@loose.test")).await;
        assert_eq!(decided(&row), ("onward-not-sealed", format!("{sealed}{rule})").as_str()), "{row}");
    }
    for hop in ["encryption", "loose"] {
        let row = daemon.deferred(&format!("bob2@{hop}.test")).await;
        let required = "enforced, forced TLS that proves by name or pin who the host is (raised by label)";
        assert_eq!(decided(&row), ("onward-not-sealed", required), "{row}");
    }
    daemon.logged_times("onward=sealed raised_by=tag", 3).await;
    daemon.logged_times("onward=identity raised_by=label", 3).await;
    // It stays with the message, whatever the rules say later, and through a crash.
    daemon.kill().await;
    hops.configure(&site, "");
    let daemon = Daemon::start(&site.home).await;
    let row = daemon.deferred("bob1@loose.test").await;
    let before = row["attempts"].as_u64().unwrap();
    crate::peer::eventually("another attempt", crate::peer::LONG, async || {
        (daemon.deferred("bob1@loose.test").await["attempts"].as_u64().unwrap() > before).then_some(())
    })
    .await;
    let queue = daemon.queue().await;
    let ours = queue.iter().find(|one| one["recipients"][0]["forward_path"] == "bob1@loose.test").unwrap();
    assert_eq!(
        (ours["origin"]["onward"].as_str(), ours["origin"]["raised_by"].as_str()),
        (Some("sealed"), Some("tag"))
    );
    let shown = tools::said(&site.home.run(&["queue", "show"], &[ours["id"].as_str().unwrap()]));
    assert!(shown.contains("must leave   only over enforced, forced TLS (raised by tag)"), "{shown}");
    assert_eq!((hops.loose.arrived().len(), hops.encryption.arrived().len()), (1, 2));
    // A stricter connector is all that was missing.
    let now = hops.loose.address;
    let text = std::fs::read_to_string(site.home.config()).unwrap();
    let host = format!("next_hop = [\"[127.0.0.1]:{}\"]\ntls = ", now.port());
    std::fs::write(
        site.home.config(),
        text.replace(
            &format!("{host}\"opportunistic\""),
            &format!("{host}\"forced\"\nrequire = \"encryption\""),
        ),
    )
    .unwrap();
    let reloaded = daemon.command(&["reload"]).await;
    assert!(reloaded.status.success(), "{}", tools::said(&reloaded));
    hops.loose.messages(3).await;
    assert!(hops.loose.arrived().iter().all(|one| one.sealed));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_about_a_message_that_could_not_leave_says_which_rule() {
    let site = Site::new();
    let (home, loose) = (site.good_sink().await, site.good_sink().await);
    let config = format!(
        "[queue]\nretry = [\"1s\"]\nexpire = \"2s\"\n\n{RULES}{}{}",
        outbound("home", "a.test", home.address, IDENTITY),
        outbound("loose", "loose.test", loose.address, OPPORTUNISTIC)
    );
    let daemon = site.start(&config).await;
    hand(&daemon, "bob@loose.test", "Subject: [secure] a\r\n").await;
    let report = String::from_utf8(home.messages(1).await.remove(0).content).unwrap();
    let words = report.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("(raised by tag)") && report.contains("Status: 5.7.4"), "{report}");
    assert!(loose.arrived().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_whom_no_forced_connector_leads_to_is_told_and_nothing_of_the_message_is_repeated() {
    let site = Site::new();
    let (home, loose) = (site.good_sink().await, site.good_sink().await);
    let config = |inbound: &str, to: &str| {
        format!(
            "[queue]\nretry = [\"1s\"]\nexpire = \"4s\"\ndelay_dsn = \"2s\"\n\n{LISTENER}{inbound}\
             [[raise]]\nname = \"tag\"\nsubject_tag = \"[secure]\"\nto = \"{to}\"\n\n{}{}",
            outbound("home", "a.test", home.address, OPPORTUNISTIC),
            outbound("loose", "loose.test", loose.address, OPPORTUNISTIC)
        )
    };
    site.configure_all(&config(ANYONE, "sealed"));
    let daemon = Daemon::start(&site.home).await;
    hand(&daemon, "bob@loose.test", "Subject: [secure] biopsy\r\nX-Case: 4711\r\n").await;
    let reports = home.messages(2).await;
    for (report, action) in reports.iter().zip(["Action: delayed", "Action: failed"]) {
        let report = String::from_utf8_lossy(&report.content);
        let words = report.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(action) && words.contains("(raised by tag)"), "{report}");
        assert!(!report.contains("biopsy") && !report.contains("4711"), "{report}");
    }
    assert!(loose.arrived().is_empty());
    daemon.queue_empty().await;
    // What the connector demands of all its mail holds for reports too, whatever a rule adds, and they return the header
    // section only where nothing was added.
    drop(daemon);
    site.configure_all(&config(&ANYONE.replace("tls = ", "onward = \"sealed\"\ntls = "), "identity"));
    let daemon = Daemon::start(&site.home).await;
    hand(&daemon, "bob@loose.test", "Subject: [secure] biopsy\r\n").await;
    let row = daemon.deferred("ada@a.test").await;
    assert_eq!(decided(&row), ("onward-not-sealed", "enforced, forced TLS"), "{row}");
}

#[test]
fn explain_says_what_a_marker_comes_to() {
    let site = Site::new();
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    site.configure(&format!("{RULES}{}", outbound("loose", "loose.test", nowhere, OPPORTUNISTIC)));
    let explain = |field: &str| {
        let who =
            ["--from", "ada@a.test", "--peer-ip", "127.0.0.1", "--to", "bob@loose.test", "--header", field];
        let output = site.home.run(&["explain"], &who);
        (output.status.code(), tools::said(&output))
    };
    let (code, said) = explain("X-Seal: yes");
    assert!(
        code == Some(1) && said.contains("onward    over enforced, forced TLS (raised by seal)"),
        "{said}"
    );
    assert!(said.contains("waits     ") && said.contains("onward-not-sealed"), "{said}");
    let (code, said) = explain("X-Seal: no");
    assert!(code == Some(0) && !said.contains("raised"), "{said}");
    let (code, said) = explain("no field");
    assert!(code == Some(2) && said.contains("write a header field as"), "{said}");
}
