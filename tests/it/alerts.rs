//! Alerts by mail and webhook: once for each episode, by a way that does not fail with it, over restarts, and never a flood.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, NAME, free_address};
use crate::peer::mint::Kind;
use crate::peer::mix;
use crate::peer::sink::{Arrived, Manner, Sink};
use crate::peer::site::{ANYONE, IDENTITY, LISTENER, OPPORTUNISTIC, PARTNER, Site, outbound};
use crate::peer::web::{Page, Web};
use crate::peer::{LONG, eventually, tools};

mod ways;

/// Retries come each second, and each of them opens a session of its own.
const QUICK: &str = "[queue]\nretry = [\"1s\"]\n\n[limits]\nmessages_per_connection = 1\n\n";

const TO_OPS: &str = "[alerts]\nto = [\"ops@ops.test\"]\n";

/// A site whose partner "bank" has a certificate of another name, and a mailbox that another connector serves.
struct Town {
    site: Site,
    bank: Sink,
    ops: Sink,
}

impl Town {
    async fn start() -> Self {
        let site = Site::new();
        let bank = Sink::start(sealed(&site, "other.test")).await;
        Self { site, bank, ops: Sink::start(Manner::clear()).await }
    }

    fn connectors(&self) -> String {
        let partner =
            "[[partner]]\nname = \"the-bank\"\ndomains = [\"bank.test\"]\ncontact = \"mail@bank.test\"\n\n";
        let bank = outbound("bank", "bank.test", self.bank.address, IDENTITY);
        let bank = bank.replace("domains = [\"bank.test\"]", "partner = \"the-bank\"");
        format!("{partner}{bank}{}", outbound("to-ops", "ops.test", self.ops.address, OPPORTUNISTIC))
    }

    fn configure(&self, alerts: &str) {
        self.site.configure(&format!("{QUICK}{alerts}\n{}", self.connectors()));
    }

    async fn run(&self, alerts: &str) -> Daemon {
        self.configure(alerts);
        Daemon::start(&self.site.home).await
    }
}

fn sealed(site: &Site, name: &str) -> Manner {
    Manner::sealed(site.partners.pair(&[name], Kind::Good).server())
}

async fn send(daemon: &Daemon, id: &str, to: &str) {
    let message = mix::plain(id, 1, 200, "ada@a.test", to).remove(0);
    let reply = Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    assert_eq!(reply.code, 250, "{}", reply.text);
}

fn text(mail: &Arrived) -> String {
    String::from_utf8_lossy(&mail.content).replace("\r\n ", " ").replace("\r\n", "\n")
}

/// The alerts that arrived, each as `kind event connector`.
fn alerts(sink: &Sink) -> Vec<String> {
    let mut found = Vec::new();
    for mail in sink.arrived() {
        for line in text(&mail).lines().filter_map(|line| line.strip_prefix("X-Sealpost-Alert: ")) {
            let value = |name: &str| {
                let start = format!("{name}=");
                line.split("; ").find_map(|part| part.strip_prefix(&start)).unwrap_or("-").to_owned()
            };
            found.push([value("kind"), value("event"), value("connector")].join(" "));
        }
    }
    found
}

async fn until(sink: &Sink, alert: &str) -> Arrived {
    let has = || alerts(sink).iter().any(|one| one == alert);
    eventually(alert, LONG, async || has().then_some(())).await;
    let fields = alert.split(' ').take(2).collect::<Vec<_>>();
    let start = format!("X-Sealpost-Alert: kind={}; event={};", fields[0], fields[1]);
    sink.arrived().into_iter().find(|mail| text(mail).contains(&start)).unwrap()
}

fn deferrals(daemon: &Daemon) -> usize {
    daemon.log().lines().filter(|line| line.contains(" deferred ")).count()
}

async fn more_deferrals(daemon: &Daemon, count: usize) {
    let before = deferrals(daemon);
    eventually("more deferrals", LONG, async || (deferrals(daemon) >= before + count).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_breaks_his_certificate_is_one_mail_and_his_recovery_another_over_restarts() {
    let town = Town::start().await;
    town.bank.behave(sealed(&town.site, PARTNER));
    let daemon = town.run(TO_OPS).await;
    send(&daemon, "well", "bob@bank.test").await;
    town.bank.messages(1).await;
    daemon.queue_empty().await;
    // He breaks it in the running site.
    town.bank.behave(sealed(&town.site, "other.test"));
    send(&daemon, "one", "bob@bank.test").await;
    let mail = until(&town.ops, "partner-tls began bank").await;
    let said = text(&mail);
    assert_eq!(mail.mail, "", "the reverse-path is null");
    for part in [
        "Subject: [sealpost gw.sealpost.test] the-bank: mail is waiting",
        "Auto-Submitted: auto-generated",
        "From: \"Sealpost on gw.sealpost.test\" <postmaster@sealpost.test>",
        "connector=bank; partner=the-bank",
        "other.test",
        "Waiting: 1 recipient, the oldest since",
        "Contact: mail@bank.test (the-bank)",
        "`sealpost validate bank`",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    more_deferrals(&daemon, 3).await;
    send(&daemon, "two", "carl@bank.test").await;
    daemon.kill().await;
    let daemon = Daemon::start(&town.site.home).await;
    more_deferrals(&daemon, 3).await;
    assert_eq!(alerts(&town.ops), ["partner-tls began bank"]);
    let list = daemon.ask(&["alert", "list"]).await;
    assert_eq!(
        (&list["open"][0]["kind"], &list["open"][0]["connector"]),
        (&"partner-tls".into(), &"bank".into()),
        "{list}"
    );
    assert!(list["open"][0]["failures"].as_u64().unwrap() >= 3, "{list}");
    daemon.stop().await;
    let daemon = Daemon::start(&town.site.home).await;
    town.bank.behave(sealed(&town.site, PARTNER));
    let over = until(&town.ops, "partner-tls ended bank").await;
    assert!(text(&over).contains("the-bank: over, mail is delivered again"), "{}", text(&over));
    assert!(text(&over).contains("It lasted "), "{}", text(&over));
    daemon.queue_empty().await;
    assert_eq!(alerts(&town.ops), ["partner-tls began bank", "partner-tls ended bank"]);
    let list = daemon.ask(&["alert", "list"]).await;
    assert_eq!(
        (&list["open"], &list["ended"][0]["kind"]),
        (&Value::Array(Vec::new()), &"partner-tls".into()),
        "{list}"
    );
    town.bank.assert_nothing_in_clear();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_never_goes_by_the_connector_that_it_is_about() {
    let town = Town::start().await;
    let other = Sink::start(sealed(&town.site, PARTNER)).await;
    let safe = outbound("safe", "safe.test", other.address, IDENTITY);
    let to_bank = "[alerts]\nto = [\"admin@bank.test\"]\n";
    town.site.configure(&format!("{QUICK}{to_bank}via = \"safe\"\n\n{}{safe}", town.connectors()));
    let daemon = Daemon::start(&town.site.home).await;
    send(&daemon, "one", "bob@bank.test").await;
    until(&other, "partner-tls began bank").await;
    // An alert about that other connector takes the usual way, which works again.
    other.behave(sealed(&town.site, "wrong.test"));
    town.bank.behave(sealed(&town.site, PARTNER));
    send(&daemon, "two", "eve@safe.test").await;
    until(&town.bank, "partner-tls began safe").await;
    other.assert_nothing_in_clear();
    daemon.stop().await;

    // With one way only, `check` warns, and the log says what nobody got.
    town.site.configure(&format!("{QUICK}{to_bank}\n{}", town.connectors()));
    let said = tools::said(&town.site.home.run(&["check"], &[]));
    assert!(
        said.contains("all alerts go by connector bank, so nobody gets mail when this one fails"),
        "{said}"
    );
    town.bank.behave(sealed(&town.site, "other.test"));
    std::fs::remove_file(town.site.home.path().join("data/alerts")).unwrap();
    let daemon = Daemon::start(&town.site.home).await;
    send(&daemon, "three", "bob@bank.test").await;
    daemon
        .logged("an alert can't be mailed: the only way to this address is the connector that it is about")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_partners_that_fail_at_once_are_a_digest() {
    let town = Town::start().await;
    let partners: String = (0..50)
        .map(|n| outbound(&format!("p{n}"), &format!("p{n}.test"), town.bank.address, IDENTITY))
        .collect();
    town.site.configure(&format!("{QUICK}{TO_OPS}digest = \"15s\"\n\n{partners}{}", town.connectors()));
    let daemon = Daemon::start(&town.site.home).await;
    let mut message = mix::plain("many", 1, 200, "ada@a.test", "bob@p0.test").remove(0);
    message.to = (0..50).map(|n| format!("bob@p{n}.test")).collect();
    let reply = Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    assert_eq!(reply.code, 250, "{}", reply.text);
    let all = |sink: &Sink| alerts(sink).into_iter().collect::<BTreeSet<_>>().len();
    eventually("all fifty", LONG, async || (all(&town.ops) == 50).then_some(())).await;
    let mails = town.ops.arrived();
    assert!(mails.len() <= 8, "{} mails", mails.len());
    assert_eq!(alerts(&town.ops).len(), 50, "each once");
    let digest = mails.iter().find(|mail| text(mail).contains(" alerts\n")).unwrap();
    assert!(text(digest).contains("Much happened in a short time"), "{}", text(digest));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_reload_is_reported_and_what_becomes_weaker() {
    let town = Town::start().await;
    let daemon = town.run(TO_OPS).await;
    let good = std::fs::read_to_string(town.site.home.config()).unwrap();
    std::fs::write(town.site.home.config(), good.replace("tls = \"forced\"", "tls = \"farced\"")).unwrap();
    daemon.command(&["reload"]).await;
    let mail = until(&town.ops, "reload began -").await;
    assert!(text(&mail).contains("farced"), "{}", text(&mail));
    let weaker = good.replace(
        "require = \"identity\"\npeer_names = [\"mail.partner.test\"]\ntrust = [\"partners\"]",
        "require = \"encryption\"",
    );
    assert_ne!(weaker, good);
    std::fs::write(town.site.home.config(), weaker).unwrap();
    daemon.ask(&["reload"]).await;
    until(&town.ops, "reload ended -").await;
    let mail = until(&town.ops, "weaker began -").await;
    assert!(text(&mail).contains("bank.test"), "{}", text(&mail));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_watching_finds_names_the_partner_and_whom_to_ask() {
    let (town, web) = (Town::start().await, Web::start().await);
    web.page("/hook", Page::Body(b"ok".to_vec()));
    town.bank.behave(sealed(&town.site, PARTNER));
    let hook = format!("{TO_OPS}webhook = \"{}\"\n", web.url("/hook"));
    let daemon = town.run(&format!("[watch]\nmode = \"on\"\n\n{hook}")).await;
    daemon.ask(&["watch", "now"]).await;
    town.bank.behave(sealed(&town.site, "other.test"));
    daemon.ask(&["watch", "now"]).await;
    let said = text(&until(&town.ops, "watch began bank").await);
    for part in [
        "Subject: [sealpost gw.sealpost.test] the-bank: a host of the partner is worse than before",
        "connector=bank; partner=the-bank",
        "A host of the partner is worse than before (partner the-bank, connector bank).",
        "What happened: host 127.0.0.1:",
        "other.test",
        "Contact: mail@bank.test (the-bank)",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    let posted = web.until_posted("what watching found", |body| body["kind"] == "watch").await;
    assert_eq!(
        (&posted["connector"], &posted["partner"], &posted["contact"]),
        (&"bank".into(), &"the-bank".into(), &"mail@bank.test".into()),
        "{posted}"
    );
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brake_and_a_full_disk_are_reported_by_mail_and_webhook() {
    let (site, web) = (Site::new(), Web::start().await);
    web.page("/hook", Page::Body(b"ok".to_vec()));
    let ops = Sink::start(Manner::clear()).await;
    let inbound = "[[inbound]]\nname = \"apps\"\nfrom_domains = [\"*\"]\nfrom_networks = [\"127.0.0.1/32\"]\n\
         tls = \"opportunistic\"\nto_domains = [\"ops.test\"]\nbrake = \"on\"\n\n";
    let rules = "[brake]\nmessages = 3\nrecipients = 3\nrefused = 3\nlearn = \"1ms\"\n\n";
    let hook = format!("{TO_OPS}webhook = \"{}\"\n\n", web.url("/hook"));
    let to_ops = outbound("to-ops", "ops.test", ops.address, OPPORTUNISTIC);
    site.configure_all(&format!("{QUICK}{rules}{hook}{LISTENER}{inbound}{to_ops}"));
    let daemon = Daemon::start(&site.home).await;
    for number in 0..20 {
        let message = mix::plain(&format!("m{number}"), 1, 200, "ada@a.test", "bob@ops.test").remove(0);
        let reply = Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
        if reply.code != 250 {
            break;
        }
    }
    until(&ops, "brake began -").await;
    web.until_posted("the brake", |body| body["kind"] == "brake" && body["event"] == "began").await;
    daemon.ask(&["connectors", "release", "apps"]).await;
    until(&ops, "brake ended -").await;
    daemon.stop().await;

    site.configure_all(&format!(
        "{QUICK}free_disk = \"1000000TiB\"\n\n{rules}{hook}{LISTENER}{inbound}{to_ops}"
    ));
    let daemon = Daemon::start(&site.home).await;
    web.until_posted("the disk", |body| body["kind"] == "disk" && body["event"] == "began").await;
    until(&ops, "disk began -").await;
    let list = daemon.ask(&["alert", "list"]).await;
    assert_eq!(list["open"][0]["kind"], "disk", "{list}");
    assert_eq!(daemon.ask(&["connectors"]).await["alarms"][0]["kind"], "disk");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_gets_json_over_tls_with_a_token_and_only_if_it_proves_its_name() {
    let town = Town::start().await;
    let web = Web::start_with(Some(town.site.partners.pair(&["127.0.0.1"], Kind::Good).server())).await;
    web.page("/hook", Page::Status("204 No Content"));
    std::fs::write(town.site.home.path().join("token"), "s3cret\n").unwrap();
    let hook = |trust: &str| {
        format!(
            "[alerts]\nwebhook = \"https://{}/hook\"\nwebhook_trust = \"{trust}\"\nwebhook_token_file = \"token\"\n",
            web.address
        )
    };
    let daemon = town.run(&hook("partners")).await;
    send(&daemon, "one", "bob@bank.test").await;
    let began = web.until_posted("the beginning", |body| body["event"] == "began").await;
    assert_eq!(
        (
            &began["version"],
            &began["kind"],
            &began["connector"],
            &began["partner"],
            &began["contact"],
            &began["server"]
        ),
        (
            &1.into(),
            &"partner-tls".into(),
            &"bank".into(),
            &"the-bank".into(),
            &"mail@bank.test".into(),
            &NAME.into()
        ),
        "{began}"
    );
    let (head, _) = web.posted().remove(0);
    assert!(head.to_lowercase().contains("authorization: bearer s3cret\r\n"), "{head}");
    town.bank.behave(sealed(&town.site, PARTNER));
    let ended = web.until_posted("the end", |body| body["event"] == "ended").await;
    assert_eq!(ended["episode"], began["episode"]);
    daemon.stop().await;

    // Another authority: nothing is posted, mail and the daemon go on.
    let others = crate::peer::mint::Authority::new("others");
    let trust = town.site.home.trust("others", &others);
    let posted = web.posted().len();
    town.bank.behave(sealed(&town.site, "other.test"));
    std::fs::remove_file(town.site.home.path().join("data/alerts")).unwrap();
    town.configure(&format!("{trust}{}", hook("others")));
    let daemon = Daemon::start(&town.site.home).await;
    send(&daemon, "two", "bob@bank.test").await;
    daemon.logged("an alert can't be posted to the webhook").await;
    let test = daemon.ask(&["alert", "test"]).await;
    assert_eq!(test["ways"][0]["ok"], false, "{test}");
    assert!(test["ways"][0]["words"].as_str().unwrap().contains("does not prove to be 127.0.0.1"), "{test}");
    let list = daemon.ask(&["alert", "list"]).await;
    assert_eq!(list["webhook"]["waiting"], 1, "{list}");
    assert_eq!(web.posted().len(), posted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_says_what_became_of_it_on_every_way() {
    let town = Town::start().await;
    let web = Web::start().await;
    web.page("/hook", Page::Body(b"ok".to_vec()));
    let alerts_to = "[alerts]\nto = [\"ops@ops.test\", \"dead@dead.test\"]\n";
    let dead = outbound("to-dead", "dead.test", free_address(), OPPORTUNISTIC);
    let daemon = town.run(&format!("{alerts_to}webhook = \"{}\"\n\n{dead}", web.url("/hook"))).await;
    let report = daemon.ask(&["alert", "test"]).await;
    let ways = report["ways"].as_array().unwrap();
    let shown: Vec<_> =
        ways.iter().map(|way| (way["to"].as_str().unwrap(), way["ok"].as_bool().unwrap())).collect();
    assert_eq!(
        shown,
        [("ops@ops.test", true), ("dead@dead.test", false), (&*web.url("/hook"), true)],
        "{report}"
    );
    assert_eq!(ways[0]["connector"], "to-ops");
    assert!(ways[1]["words"].as_str().unwrap().contains("it waits: no connection to"), "{report}");
    let mail = until(&town.ops, "other test -").await;
    assert!(text(&mail).contains("This is a test."), "{}", text(&mail));
    web.until_posted("the test", |body| body["event"] == "test").await;
    // A mail of ours that fails is no alert.
    assert_eq!(daemon.ask(&["alert", "list"]).await["open"], Value::Array(Vec::new()));
    daemon.logged("an alert is delayed").await;
    let said = tools::said(&town.site.home.run(&["alert", "test"], &[]));
    assert!(said.contains("ok      ops@ops.test by connector to-ops as "), "{said}");
    assert!(said.contains("FAILED  dead@dead.test by connector to-dead"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_of_a_partner_that_is_refused_is_reported_and_claims_of_strangers_are_not() {
    let (site, ops) = (Site::new(), Sink::start(Manner::clear()).await);
    let demands = "tls = \"forced\"\npeer_names = [\"mail.partner.test\"]\ntrust = [\"partners\"]\nto_domains = [\"ops.test\"]\n";
    let inbound = |name: &str, domain: &str| {
        format!("[[inbound]]\nname = \"{name}\"\nfrom_domains = [\"{domain}\"]\n{demands}\n")
    };
    let to_ops = outbound("to-ops", "ops.test", ops.address, OPPORTUNISTIC);
    let (bank, shop) = (inbound("bank-in", "bank.test"), inbound("shop-in", "shop.test"));
    site.configure_all(&format!("{QUICK}{TO_OPS}\n{LISTENER}{ANYONE}{bank}{shop}{to_ops}"));
    let daemon = Daemon::start(&site.home).await;
    let from = |domain: &str| mix::plain(domain, 1, 200, &format!("eve@{domain}"), "bob@ops.test").remove(0);
    let good = site.ours.client(Some(&site.partners.pair(&[PARTNER], Kind::Good)));
    let bad = site.ours.client(Some(&site.partners.pair(&["other.test"], Kind::Good)));
    let say = async |config: &std::sync::Arc<rustls::ClientConfig>, domain: &str| {
        Client::sealed(daemon.at("in"), config, NAME).await.transact(&from(domain)).await.unwrap().code
    };
    // The bank is known; nobody of the shop was ever here.
    assert_eq!(say(&good, "bank.test").await, 250);
    assert_eq!(say(&bad, "shop.test").await, 550);
    assert_eq!(say(&bad, "bank.test").await, 550);
    let mail = until(&ops, "inbound-tls began bank-in").await;
    assert!(
        text(&mail).contains("other.test") && text(&mail).contains("(client 127.0.0.1)"),
        "{}",
        text(&mail)
    );
    assert_eq!(say(&good, "bank.test").await, 250);
    until(&ops, "inbound-tls ended bank-in").await;
    assert_eq!(alerts(&ops), ["inbound-tls began bank-in", "inbound-tls ended bank-in"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_loses_its_tls_is_reported_until_it_is_back() {
    let (site, ops) = (Site::new(), Sink::start(Manner::clear()).await);
    let host = Sink::start(sealed(&site, PARTNER)).await;
    let shop = outbound("shop", "shop.test", host.address, "tls = \"opportunistic\"\nremember_tls = true\n");
    let to_ops = outbound("to-ops", "ops.test", ops.address, OPPORTUNISTIC);
    let daemon = site.start(&format!("{QUICK}{TO_OPS}\n{shop}{to_ops}")).await;
    send(&daemon, "one", "bob@shop.test").await;
    host.messages(1).await;
    host.behave(Manner::clear());
    send(&daemon, "two", "bob@shop.test").await;
    until(&ops, "fallback began shop").await;
    host.behave(sealed(&site, PARTNER));
    until(&ops, "fallback ended shop").await;
    assert_eq!(alerts(&ops), ["fallback began shop", "fallback ended shop"]);
    host.assert_nothing_in_clear();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_growing_queue_is_reported_and_muted_kinds_are_only_listed() {
    let town = Town::start().await;
    let waiting = format!("{TO_OPS}without = [\"partner-tls\"]\ngrowing_queue = 1\noldest = \"1ms\"\n");
    let daemon = town.run(&waiting).await;
    send(&daemon, "one", "bob@bank.test").await;
    daemon.deferred("bob@bank.test").await;
    eventually("the episode", LONG, async || {
        (daemon.ask(&["alert", "list"]).await["open"][0]["kind"] == "partner-tls").then_some(())
    })
    .await;
    assert!(alerts(&town.ops).is_empty());
    // The queue is looked at when the daemon starts, and each minute.
    daemon.stop().await;
    let daemon = Daemon::start(&town.site.home).await;
    until(&town.ops, "backlog began -").await;
    eventually("both", LONG, async || (alerts(&town.ops).len() >= 2).then_some(())).await;
    assert!(alerts(&town.ops).iter().all(|one| one == "backlog began -"));
    drop(daemon);
}
