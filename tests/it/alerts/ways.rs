//! The way of an alert when connectors fail, its own one among them; and who hears of that.

use serde_json::json;

use super::*;

/// A connector of a partner at which nobody answers.
fn dead_end() -> String {
    outbound("safe", "safe.test", free_address(), IDENTITY)
}

const VIA_SAFE: &str = "[alerts]\nto = [\"ops@ops.test\"]\nvia = \"safe\"\n";

async fn open_episodes(daemon: &Daemon) -> Vec<(String, bool)> {
    let list = daemon.ask(&["alert", "list"]).await;
    let open = list["open"].as_array().unwrap().iter();
    open.map(|one| (one["connector"].as_str().unwrap_or("-").to_owned(), one["reported"].is_string()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_goes_by_no_connector_that_is_known_to_fail() {
    let town = Town::start().await;
    let daemon = town.run(&format!("{VIA_SAFE}\n{}", dead_end())).await;
    send(&daemon, "one", "eve@safe.test").await;
    until(&town.ops, "partner-connection began safe").await;
    // It is not about the dead connector, which would be its way.
    send(&daemon, "two", "bob@bank.test").await;
    until(&town.ops, "partner-tls began bank").await;
    assert!(!daemon.log().contains("an alert is delayed"), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_whose_way_fails_is_handed_to_another_one_and_that_is_an_alert_too() {
    let town = Town::start().await;
    let daemon = town.run(&format!("{VIA_SAFE}\n{}", dead_end())).await;
    send(&daemon, "one", "bob@bank.test").await;
    until(&town.ops, "partner-tls began bank").await;
    let own = until(&town.ops, "partner-connection began safe").await;
    assert!(text(&own).contains("What happened: an alert can't be delivered: "), "{}", text(&own));
    more_deferrals(&daemon, 3).await;
    let mut arrived = alerts(&town.ops);
    arrived.sort();
    assert_eq!(arrived, ["partner-connection began safe", "partner-tls began bank"], "each once");
    // Nothing of it waits where it could not go.
    let waits = |one: &Value| one.to_string().contains("ops@ops.test");
    eventually("the first copy is gone", LONG, async || {
        (!daemon.queue().await.iter().any(waits)).then_some(())
    })
    .await;
    daemon.logged("an alert goes by another connector").await;
    eventually("both are reported", LONG, async || {
        let mut open = open_episodes(&daemon).await;
        open.sort();
        (open == [("bank".to_owned(), true), ("safe".to_owned(), true)]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_tries_the_usual_way_as_well_as_via() {
    let town = Town::start().await;
    let daemon = town.run(&format!("{VIA_SAFE}\n{}", dead_end())).await;
    let report = daemon.ask(&["alert", "test"]).await;
    let ways = report["ways"].as_array().unwrap().iter();
    let shown: Vec<_> = ways.map(|way| (way["connector"].as_str().unwrap(), way["ok"] == true)).collect();
    assert_eq!(shown, [("safe", false), ("to-ops", true)], "{report}");
    // Whoever tests sees it.
    assert_eq!(open_episodes(&daemon).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_refuses_one_message_after_the_other_is_reported() {
    let town = Town::start().await;
    let refusing = sealed(&town.site, PARTNER).replying("mail from:", "550 5.7.1 you are on our list");
    town.bank.behave(refusing);
    let daemon = town.run(TO_OPS).await;
    let failed = |count: usize| {
        let log = daemon.log();
        (log.lines().filter(|line| line.contains(" failed ")).count() >= count).then_some(())
    };
    send(&daemon, "one", "bob@bank.test").await;
    eventually("a refusal", LONG, async || failed(1)).await;
    send(&daemon, "two", "bob@bank.test").await;
    let mail = until(&town.ops, "partner-refusal began bank").await;
    assert!(text(&mail).contains("answered MAIL with 550 5.7.1"), "{}", text(&mail));
    town.bank.behave(sealed(&town.site, PARTNER));
    send(&daemon, "three", "bob@bank.test").await;
    until(&town.ops, "partner-refusal ended bank").await;
    let of_bank = alerts(&town.ops).into_iter().filter(|one| one.ends_with("bank")).collect::<Vec<_>>();
    assert_eq!(of_bank, ["partner-refusal began bank", "partner-refusal ended bank"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_the_webhook_is_posted_after_a_restart() {
    let (town, web) = (Town::start().await, Web::start().await);
    web.page("/s3cret", Page::Status("503 Service Unavailable"));
    let daemon = town.run(&format!("[alerts]\nwebhook = \"{}\"\n", web.url("/s3cret"))).await;
    send(&daemon, "one", "bob@bank.test").await;
    web.until_posted("an attempt", |body| body["event"] == "began").await;
    daemon.logged("an alert can't be posted to the webhook").await;
    assert!(!daemon.log().contains("s3cret"), "{}", daemon.log());
    assert_eq!(open_episodes(&daemon).await, [("bank".to_owned(), false)]);
    daemon.stop().await;
    let before = web.posted().len();
    web.page("/s3cret", Page::Body(b"ok".to_vec()));
    let daemon = Daemon::start(&town.site.home).await;
    let again = |log: &[(String, Value)]| log.iter().skip(before).any(|(_, body)| body["event"] == "began");
    eventually("it is posted", LONG, async || again(&web.posted()).then_some(())).await;
    eventually("it is reported", LONG, async || {
        (open_episodes(&daemon).await == [("bank".to_owned(), true)]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_of_the_running_site_is_no_alert_and_counts_nowhere() {
    let (site, ops) = (Site::new(), Sink::start(Manner::clear()).await);
    let bank = "[[inbound]]\nname = \"bank-in\"\nfrom_domains = [\"bank.test\"]\nfrom_networks = [\"127.0.0.0/8\"]\n\
         tls = \"forced\"\npeer_names = [\"mail.partner.test\"]\ntrust = [\"partners\"]\nto_domains = [\"ops.test\"]\n\n";
    let to_ops = outbound("to-ops", "ops.test", ops.address, OPPORTUNISTIC);
    site.configure_all(&format!("{QUICK}{TO_OPS}\n{LISTENER}{bank}{to_ops}"));
    let daemon = Daemon::start(&site.home).await;
    // It refuses the tests.
    daemon.command(&["assure"]).await;
    daemon.logged("sealpost::message: refused ").await;
    let list = daemon.ask(&["connectors"]).await;
    let bank = list["connectors"].as_array().unwrap().iter().find(|one| one["name"] == "bank-in").unwrap();
    assert_eq!((&bank["refused"], &list["refused_by_none"]), (&json!({}), &json!({})), "{list}");
    // A client that comes from there is one.
    let message = mix::plain("real", 1, 200, "eve@bank.test", "bob@ops.test").remove(0);
    let reply = Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    assert_eq!(reply.code, 550, "{}", reply.text);
    let mail = until(&ops, "inbound-tls began bank-in").await;
    assert!(!text(&mail).contains("seen "), "only that one: {}", text(&mail));
    let list = daemon.ask(&["alert", "list"]).await;
    assert_eq!(list["open"][0]["failures"], 1, "{list}");
}
