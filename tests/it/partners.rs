//! Partners: one object for both directions, whose contact our own people learn, and nobody else.

use std::fs;

use serde_json::Value;

use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, NAME};
use crate::peer::mint::Kind;
use crate::peer::mix;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{LISTENER, OPPORTUNISTIC, QUICK, Site, outbound};
use crate::peer::tools::said;
use crate::peer::{LONG, eventually};

const CONTACT: &str = "mail@fabrikam.test, +49 30 1";

/// The partner, a forced connector in each direction, and the rest of the world at the same host.
fn table(sink: &Sink) -> String {
    let hop = sink.address;
    format!(
        "{QUICK}[[partner]]\nname = \"fabrikam\"\ndomains = [\"fabrikam.test\"]\ndomains_file = \"fabrikam.txt\"\n\
         contact = \"{CONTACT}\"\nnote = \"contract 12\"\nreview = \"2999-01-31\"\n\n\
         [[inbound]]\nname = \"fabrikam-in\"\npartner = \"fabrikam\"\ntls = \"forced\"\n\
         peer_names = [\"mail.fabrikam.test\"]\ntrust = [\"partners\"]\nto_domains = [\"a.test\"]\n\n\
         [[outbound]]\nname = \"fabrikam-out\"\npartner = \"fabrikam\"\nnext_hop = [\"[{}]:{}\"]\ntls = \"forced\"\n\
         peer_names = [\"mail.fabrikam.test\"]\ntrust = [\"partners\"]\non_failure = \"bounce\"\n\n{}",
        hop.ip(),
        hop.port(),
        outbound("rest", "*", hop, OPPORTUNISTIC)
    )
}

async fn start(site: &Site, sink: &Sink) -> Daemon {
    fs::write(site.home.path().join("fabrikam.txt"), "# more\n*.fabrikam.test\n").unwrap();
    site.start(&table(sink)).await
}

fn explained(site: &Site, rest: &[&str]) -> (Value, String) {
    let output = |more: &[&str]| site.home.run(&["explain"], &[rest, more].concat());
    let json = output(&["--json"]);
    (serde_json::from_slice(&json.stdout).unwrap(), said(&output(&[])))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_gives_both_directions_its_domains_and_names_its_contact() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let daemon = start(&site, &sink).await;
    for domain in ["fabrikam.test", "sub.fabrikam.test"] {
        let (json, text) = explained(&site, &["--from", &format!("eve@{domain}")]);
        let decision = &json["inbound"]["decision"];
        assert_eq!(
            (&decision["partner"], &decision["contact"]),
            (&"fabrikam".into(), &CONTACT.into()),
            "{json}"
        );
        assert!(text.contains(&format!("  partner   fabrikam ({CONTACT})\n")), "{text}");
        let (json, text) = explained(&site, &["--to", &format!("eve@{domain}")]);
        let served = &json["outbound"];
        assert_eq!(
            (&served["connector"], &served["partner"]),
            (&"fabrikam-out".into(), &"fabrikam".into()),
            "{json}"
        );
        assert!(text.contains(&format!("  partner   fabrikam ({CONTACT})\n")), "{text}");
    }
    // A stranger in the partner's name: it is refused without the contact, which the log has.
    let mut client = Client::hello(daemon.at("in")).await;
    let reply = client.say("MAIL FROM:<eve@sub.fabrikam.test>").await;
    assert!(reply.text.starts_with("550 5.7.10") && !reply.text.contains("+49"), "{}", reply.text);
    let log = eventually("the refusal in the log", LONG, async || {
        daemon.log().lines().find(|line| line.contains("refused")).map(str::to_owned)
    })
    .await;
    assert!(log.contains(&format!("connector=fabrikam-in partner=fabrikam contact=\"{CONTACT}\"")), "{log}");
    // A reader in the postmaster's domain learns whom to ask about mail that is withheld.
    let message = mix::plain("one", 1, 200, "ada@staff.sealpost.test", "bob@fabrikam.test").remove(0);
    Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    let report = sink.messages(1).await.remove(0);
    let report = String::from_utf8_lossy(&report.content).replace("\r\n", " ");
    assert!(report.contains(&format!("({CONTACT})")), "{report}");
    assert!(report.contains("  Partner: fabrikam"), "{report}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_partner_learns_the_contact_of_another_whatever_it_may_send() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    fs::write(site.home.path().join("fabrikam.txt"), "# more\n*.fabrikam.test\n").unwrap();
    let woodgrove = "[[partner]]\nname = \"woodgrove\"\ndomains = [\"woodgrove.test\"]\n\n\
         [[inbound]]\nname = \"woodgrove-in\"\npartner = \"woodgrove\"\nfrom_networks = [\"127.0.0.0/8\"]\n\
         tls = \"off\"\nto_domains = [\"*\"]\nreveal = \"code\"\n\n";
    let daemon = site.start(&(table(&sink) + woodgrove)).await;
    // Who only sends through us has the details of its mail; a partner has codes.
    for (from, has) in [("eve@woodgrove.test", [false, false]), ("ada@a.test", [true, false])] {
        let message = mix::plain("one", 1, 200, from, "bob@fabrikam.test").remove(0);
        Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
        let report = eventually("the report", LONG, async || {
            let all = sink.messages(1).await;
            all.into_iter()
                .find(|one| String::from_utf8_lossy(&one.content).contains(&format!("To: <{from}>")))
        })
        .await;
        let report = String::from_utf8_lossy(&report.content).replace("\r\n", " ");
        let found = ["Connector: fabrikam-out", "+49 30 1"].map(|words| report.contains(words));
        assert_eq!(found, has, "{report}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partners_list_of_domains_counts_as_soon_as_it_changes() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let daemon = start(&site, &sink).await;
    fs::write(site.home.path().join("fabrikam.txt"), "fabrikam-too.test\n").unwrap();
    eventually("both connectors have the domain", LONG, async || {
        let answer = daemon.ask(&["connectors"]).await;
        let has = |name: &str| {
            answer["connectors"].as_array().unwrap().iter().any(|one| {
                one["name"] == name
                    && one["domains"] == serde_json::json!(["fabrikam.test", "fabrikam-too.test"])
            })
        };
        (has("fabrikam-in") && has("fabrikam-out")).then_some(())
    })
    .await;
    // A list that is damaged changes nothing.
    fs::write(site.home.path().join("fabrikam.txt"), "a@fabrikam.test\n").unwrap();
    let refused = daemon.command(&["reload"]).await;
    assert!(said(&refused).contains("fabrikam.txt, line 1"), "{}", said(&refused));
    let mut client = Client::hello(daemon.at("in")).await;
    let reply = client.say("MAIL FROM:<eve@fabrikam-too.test>").await;
    assert!(reply.text.starts_with("550 5.7.10"), "{}", reply.text);
    let pair = site.partners.pair(&["mail.fabrikam.test"], Kind::Good);
    let mut partner = Client::sealed(daemon.at("in"), &site.ours.client(Some(&pair)), NAME).await;
    assert_eq!(partner.say("MAIL FROM:<eve@fabrikam-too.test>").await.code, 250);
    daemon.stop().await;
}

/// The connectors as `connectors --json` has them, once a look at them shows what is expected.
async fn shown(daemon: &Daemon, what: &str, look: impl Fn(&Value) -> bool) -> Value {
    eventually(what, LONG, async || {
        let answer = daemon.ask(&["connectors"]).await;
        look(&answer).then_some(answer)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn connectors_and_doctor_show_a_partner_as_one_unit() {
    let site = Site::new();
    let pair = site.partners.pair(&["mail.fabrikam.test"], Kind::Good);
    let sink = Sink::start(Manner::sealed(pair.server())).await;
    let daemon = start(&site, &sink).await;
    // Mail in both directions, one client that is refused, and mail that waits.
    let mut partner = Client::sealed(daemon.at("in"), &site.ours.client(Some(&pair)), NAME).await;
    let message = mix::plain("in", 1, 200, "eve@fabrikam.test", "ada@a.test").remove(0);
    assert_eq!(partner.transact(&message).await.unwrap().code, 250);
    sink.messages(1).await;
    let message = mix::plain("out", 1, 200, "ada@a.test", "eve@fabrikam.test").remove(0);
    Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    sink.messages(2).await;
    let refused = Client::hello(daemon.at("in")).await.say("MAIL FROM:<eve@fabrikam.test>").await;
    assert_eq!(refused.code, 550);
    daemon.command(&["queue", "pause", "fabrikam-out"]).await;
    Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    let of_partner = |answer: &Value| answer["partners"][0].clone();
    let answer = shown(&daemon, "mail that waits", |answer| {
        let one = of_partner(answer);
        one["outbound"][0]["waiting"] == 1 && one["inbound"][0]["seen"][0].is_object()
    })
    .await;
    let one = of_partner(&answer);
    assert_eq!(
        (&one["name"], &one["contact"], &one["lacks"]),
        (&"fabrikam".into(), &CONTACT.into(), &serde_json::json!([]))
    );
    assert_eq!((&one["note"], &one["review"]), (&"contract 12".into(), &"2999-01-31T00:00:00Z".into()));
    for (direction, name, paused) in [("inbound", "fabrikam-in", false), ("outbound", "fabrikam-out", true)] {
        let way = &one[direction][0];
        assert_eq!((&way["connector"], &way["paused"]), (&name.into(), &paused.into()), "{way}");
        assert_eq!((&way["tls"], &way["mode"]), (&"forced".into(), &"enforce".into()), "{way}");
        let seen = &way["seen"][0];
        assert!(seen["issuer"].as_str().unwrap().contains("partners"), "{seen}");
        assert!(seen["not_after"].as_str().unwrap().ends_with('Z'), "{seen}");
    }
    assert_eq!(one["inbound"][0]["refused"], serde_json::json!({ "tls-required": 1 }));
    let text = said(&site.home.run(&["connectors"], &[]));
    assert!(
        text.contains(&format!("partner fabrikam ({CONTACT}), review 2999-01-31T00:00:00Z: contract 12\n")),
        "{text}"
    );
    assert!(text.contains("  inbound   fabrikam-in (tls forced, mode enforce): "), "{text}");
    assert!(text.contains("  outbound  fabrikam-out (tls forced, mode enforce, paused): "), "{text}");
    assert!(text.contains("; 1 recipient waits"), "{text}");
    assert!(text.contains("; refused 1 tls-required"), "{text}");
    let doctor = said(&site.home.run(&["doctor"], &["--timeout", "1"]));
    let line = doctor
        .lines()
        .find(|line| line.contains(&format!("partner fabrikam ({CONTACT})")))
        .unwrap_or_default();
    assert!(line.starts_with("ok "), "{doctor}");
    for part in ["inbound: fabrikam-in", "outbound: fabrikam-out", "paused", "showed one of"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_counted_by_connector_and_reason_however_many() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    fs::write(site.home.path().join("fabrikam.txt"), "*.fabrikam.test\n").unwrap();
    site.configure_all(&format!(
        "{LISTENER}[limits]\nerrors = 1000\n\n[[inbound]]\nname = \"internet-in\"\nfrom_domains = [\"*\"]\n\
         except_domains = [\"a.test\"]\ntls = \"opportunistic\"\nto_domains = [\"a.test\"]\n\n{}",
        table(&sink)
    ));
    let daemon = Daemon::start(&site.home).await;
    let mut stranger = Client::hello(daemon.at("in")).await;
    // More than the log has one by one.
    for _ in 0..50 {
        let reply = stranger.say("MAIL FROM:<bob@a.test>").await;
        assert!(reply.text.starts_with("550 5.7.1"), "{}", reply.text);
    }
    stranger.say("MAIL FROM:<eve@fabrikam.test>").await;
    stranger.say("MAIL FROM:<joe@world.test>").await;
    for to in ["x@other.test", "y@other.test"] {
        assert_eq!(stranger.say(&format!("RCPT TO:<{to}>")).await.code, 550);
    }
    stranger.say("FOO").await;
    let answer = daemon.ask(&["connectors"]).await;
    let of = |name: &str| {
        let all = answer["connectors"].as_array().unwrap().iter();
        all.filter(|one| one["name"] == name).map(|one| one["refused"].clone()).next().unwrap()
    };
    assert_eq!(of("internet-in"), serde_json::json!({ "excepted-domain": 50, "rcpt-550": 2 }));
    assert_eq!(of("fabrikam-in"), serde_json::json!({ "tls-required": 1 }));
    assert_eq!(answer["refused_by_none"], serde_json::json!({ "command-500": 1 }));
    let text = said(&site.home.run(&["connectors"], &[]));
    let since = answer["refused_since"].as_str().unwrap();
    assert!(
        text.contains(&format!("internet-in refused since {since}: 50 excepted-domain, 2 rcpt-550\n")),
        "{text}"
    );
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_that_was_due_is_an_alarm_with_the_contact() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    fs::write(site.home.path().join("fabrikam.txt"), "*.fabrikam.test\n").unwrap();
    let daemon = site.start(&table(&sink).replace("2999-01-31", "2020-01-31")).await;
    let answer = shown(&daemon, "the alarm", |answer| !answer["alarms"].as_array().unwrap().is_empty()).await;
    let words = format!(
        "the review of fabrikam ({CONTACT}) was due on 2020-01-31: check with it what is agreed, and write the next date"
    );
    assert_eq!(answer["alarms"][0]["what"], words.as_str(), "{answer}");
    assert_eq!(answer["alarms"][0]["connectors"], serde_json::json!(["fabrikam-out"]));
    assert_eq!(answer["partners"][0]["lacks"], serde_json::json!([words]));
    daemon.stop().await;
}
