//! `on_failure = "reroute:NAME"`: mail that can't be sent under its connector's requirement goes by another connector, under
//! that one's own; in the log, the report, `queue show` and `explain` both legs are named.

use serde_json::Value;

use crate::peer::client::{Client, wire};
use crate::peer::daemon::{Daemon, free_address};
use crate::peer::mint::Kind;
use crate::peer::mix;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, IDENTITY, LISTENER, OPPORTUNISTIC, PARTNER, QUICK, Site, outbound};
use crate::peer::tools;

const PORTAL: &str = "tls = \"forced\"\npeer_names = [\"portal.test\"]\ntrust = [\"partners\"]\n";

struct Town {
    site: Site,
    bank: Sink,
    portal: Sink,
    home: Sink,
}

impl Town {
    async fn start() -> Self {
        let site = Site::new();
        let portal = site.partners.pair(&["portal.test"], Kind::Good).server();
        let bank = Sink::start(Manner::clear()).await;
        let portal = Sink::start(Manner::sealed(portal)).await;
        Self { site, bank, portal, home: Sink::start(Manner::clear()).await }
    }

    fn sealed(&self, name: &str) -> Manner {
        Manner::sealed(self.site.partners.pair(&[name], Kind::Good).server())
    }

    /// The bank's mail goes to a portal if the bank's host can't take it.
    fn configure(&self, on_failure: &str) {
        self.configure_bank(&format!("{IDENTITY}on_failure = \"{on_failure}\"\n"), "");
    }

    fn configure_bank(&self, bank: &str, rules: &str) {
        let portal = outbound("portal", "portal.test", self.portal.address, PORTAL);
        // One that takes over needs no domains of its own, and may stay when it does no longer.
        let portal = portal.replace("\"portal.test\"]\nnext", "]\nnext");
        let config = [
            QUICK,
            "[limits]\nmessages_per_connection = 1\n\n",
            rules,
            &outbound("bank", "bank.test", self.bank.address, bank),
            &portal,
            &outbound("home", "a.test", self.home.address, OPPORTUNISTIC),
        ];
        self.site.configure(&config.concat());
    }
}

async fn send(daemon: &Daemon, id: &str) {
    let message = mix::plain(id, 1, 200, "ada@a.test", "bob@bank.test").remove(0);
    let reply = Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    assert_eq!(reply.code, 250, "{}", reply.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_partner_can_not_take_goes_to_the_portal_and_later_mail_to_the_partner_again() {
    let town = Town::start().await;
    town.configure("reroute:portal");
    let daemon = Daemon::start(&town.site.home).await;
    send(&daemon, "one").await;
    assert!(town.portal.messages(1).await[0].sealed);
    daemon.queue_empty().await;
    let rerouted = daemon.logged(" rerouted ").await;
    for part in ["to=portal", "status=5.7.4", "connector=bank", "token=starttls-not-offered"] {
        assert!(rerouted.contains(part), "{part}: {rerouted}");
    }
    let delivered = daemon.logged(" delivered ").await;
    assert!(
        delivered.contains("rerouted_from=bank") && delivered.contains("connector=portal"),
        "{delivered}"
    );
    assert!(town.home.arrived().is_empty(), "nobody is told of anything");
    // The partner is tried first each time.
    town.bank.behave(town.sealed(PARTNER));
    send(&daemon, "two").await;
    assert!(town.bank.messages(1).await[0].sealed);
    assert_eq!(town.portal.arrived().len(), 1);
    town.bank.assert_nothing_in_clear();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stays_with_the_portal_over_a_restart_until_the_configuration_says_otherwise() {
    let town = Town::start().await;
    town.configure("reroute:portal");
    town.portal.behave(Manner::clear());
    let daemon = Daemon::start(&town.site.home).await;
    send(&daemon, "one").await;
    let of_portal = async |daemon: &Daemon| {
        crate::peer::eventually("a deferral by the portal", crate::peer::LONG, async || {
            let queue = daemon.queue().await;
            let row = queue.first()?["recipients"][0].clone();
            (row["last"]["decision"]["connector"] == "portal").then_some(row)
        })
        .await
    };
    let row: Value = of_portal(&daemon).await;
    assert_eq!(
        (&row["rerouted"]["from"], &row["rerouted"]["to"]),
        (&"bank".into(), &"portal".into()),
        "{row}"
    );
    assert_eq!((&row["rerouted"]["status"], &row["lane"]), (&"5.7.4".into(), &"portal/".into()), "{row}");
    daemon.stop().await;
    // The partner could take it now, but it was handed on.
    town.bank.behave(town.sealed(PARTNER));
    let daemon = Daemon::start(&town.site.home).await;
    of_portal(&daemon).await;
    assert!(town.bank.arrived().is_empty());
    town.portal.assert_nothing_in_clear();
    // The connector hands nothing on any more: it goes by its own again.
    town.configure("defer");
    assert_eq!(daemon.ask(&["reload"]).await["generation"], 2);
    assert!(town.bank.messages(1).await[0].sealed);
    daemon.queue_empty().await;
    town.portal.assert_nothing_in_clear();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_report_names_both_legs() {
    let town = Town::start().await;
    town.configure("reroute:portal");
    town.portal.behave(town.sealed("portal.test").replying("RCPT", "550 5.1.1 nobody of this name"));
    let daemon = Daemon::start(&town.site.home).await;
    send(&daemon, "one").await;
    let report = String::from_utf8(town.home.messages(1).await.remove(0).content).unwrap();
    // The reader is one of us: a.test is a domain of ours.
    let told = report.replace("\r\n    ", " ");
    for part in [
        "First: connector bank could not send it",
        "STARTTLS is not offered",
        "Then: it was handed to connector portal.",
        "Status: 5.1.1",
        "X-Sealpost-Rerouted: from bank to portal; 5.7.4",
    ] {
        assert!(told.contains(part), "{part}: {report}");
    }
    let failed = daemon.logged(" failed ").await;
    assert!(failed.contains("rerouted_from=bank"), "{failed}");
    daemon.queue_empty().await;
    assert_eq!(town.home.arrived().len(), 1);
}

#[test]
fn explain_says_where_it_would_go() {
    let site = Site::new();
    let dead = free_address();
    let bank = format!("{IDENTITY}on_failure = \"reroute:portal\"\n");
    let config = [
        LISTENER.to_owned(),
        ANYONE.to_owned(),
        outbound("bank", "bank.test", dead, &bank),
        outbound("portal", "portal.test", dead, PORTAL),
    ];
    site.configure_all(&config.concat());
    let explain = |rest: &[&str]| {
        let all = [&["--to", "bob@bank.test"], rest].concat();
        tools::said(&site.home.run(&["explain"], &all))
    };
    let said = explain(&["--starttls", "not-offered"]);
    for part in [
        "  unmet     handed to connector portal, next hop ",
        "            required there: TLSv1.2 or later, a chain to partners, the name portal.test",
        "    then    handed to connector portal",
    ] {
        assert!(said.contains(part), "{said}");
    }
    // A handshake that fails may succeed next time: that waits.
    assert!(!explain(&["--starttls", "broken"]).contains("    then "));
    let answer: Value = serde_json::from_str(&explain(&["--json"])).unwrap();
    assert_eq!(answer["outbound"]["rerouted_to"]["connector"], "portal", "{answer}");
}

const SECRET: &str = "[[raise]]\nname = \"secret\"\nsubject_tag = \"[secret]\"\nto = \"identity\"\n\n";

/// The bank's host is good, and its connector proves no name.
fn unnamed(on_failure: &str) -> String {
    format!("tls = \"forced\"\nrequire = \"encryption\"\non_failure = \"{on_failure}\"\n")
}

async fn send_secret(daemon: &Daemon) {
    let mut client = Client::hello(daemon.at("in")).await;
    for line in ["MAIL FROM:<ada@a.test>", "RCPT TO:<bob@bank.test>", "DATA"] {
        let reply = client.say(line).await;
        assert!(reply.code < 400, "{line}: {}", reply.text);
    }
    client.write(&wire(b"Subject: [secret] results\r\n\r\nx\r\n")).await.unwrap();
    assert_eq!(client.reply().await.code, 250);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_asks_for_more_than_its_connector_requires_goes_to_the_portal() {
    let town = Town::start().await;
    town.bank.behave(town.sealed(PARTNER));
    town.configure_bank(&unnamed("reroute:portal"), SECRET);
    let daemon = Daemon::start(&town.site.home).await;
    send_secret(&daemon).await;
    assert!(town.portal.messages(1).await[0].sealed);
    daemon.queue_empty().await;
    let rerouted = daemon.logged(" rerouted ").await;
    assert!(rerouted.contains("token=onward-not-sealed") && rerouted.contains("to=portal"), "{rerouted}");
    assert!(town.bank.arrived().is_empty(), "the bank's connector proves nothing");
    let who = ["--from", "ada@a.test", "--peer-ip", "127.0.0.1", "--to", "bob@bank.test"];
    let with = [&who[..], &["--header", "Subject: [secret] results"]].concat();
    let said = tools::said(&town.site.home.run(&["explain"], &with));
    assert!(said.contains("    then    handed to connector portal") && !said.contains("  waits "), "{said}");
}

#[test]
fn explain_says_that_mail_waits_which_the_portal_may_not_send_either() {
    let site = Site::new();
    let dead = free_address();
    let portal = "tls = \"forced\"\nrequire = \"encryption\"\n";
    let config = [
        LISTENER.to_owned(),
        ANYONE.to_owned(),
        SECRET.to_owned(),
        outbound("bank", "bank.test", dead, &unnamed("reroute:portal")),
        outbound("portal", "portal.test", dead, portal),
    ];
    site.configure_all(&config.concat());
    let who = ["--from", "ada@a.test", "--peer-ip", "127.0.0.1", "--to", "bob@bank.test"];
    let with = [&who[..], &["--header", "Subject: [secret] results"]].concat();
    let said = tools::said(&site.home.run(&["explain"], &with));
    assert!(said.contains("  waits     ") && !said.contains("handed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_went_back_to_the_partner_is_not_said_to_be_handed_on() {
    let town = Town::start().await;
    town.configure("reroute:portal");
    town.portal.behave(Manner::clear());
    let daemon = Daemon::start(&town.site.home).await;
    send(&daemon, "one").await;
    let decided_by = async |connector: &str| {
        crate::peer::eventually("a deferral", crate::peer::LONG, async || {
            let queue = daemon.queue().await;
            let row = queue.first()?["recipients"][0].clone();
            (row["last"]["decision"]["connector"] == connector).then_some(row)
        })
        .await
    };
    assert_eq!(decided_by("portal").await["rerouted"]["to"], "portal");
    town.configure("defer");
    assert_eq!(daemon.ask(&["reload"]).await["generation"], 2);
    let row: Value = decided_by("bank").await;
    assert!(row["rerouted"].is_null(), "{row}");
}
