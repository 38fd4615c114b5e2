//! `[watch]`: partners whose hosts change, and what is told of it. The daemon looks when it is asked to, so nothing here
//! waits for a clock.
#![cfg(test)]

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use hickory_proto::rr::RecordType;
use serde_json::Value;

use crate::peer::daemon::{Daemon, free_address};
use crate::peer::dns::Dns;
use crate::peer::mint::Kind;
use crate::peer::sink::{Manner, SILENCE, Sink};
use crate::peer::site::{IDENTITY, OPPORTUNISTIC, PARTNER, Site, outbound};
use crate::peer::town;
use crate::peer::{LONG, eventually, tools, within};

const WATCH: &str = "[watch]\nmode = \"on\"\n\n";

/// Has the daemon look; how many targets it looked at.
async fn look(daemon: &Daemon) -> u64 {
    let answer = within("a look", LONG * 3, daemon.ask(&["watch", "now"])).await;
    answer["targets"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

/// What was kept, by the verb, which needs no daemon.
fn report(site: &Site, rest: &[&str]) -> Value {
    let output = site.home.run(&["watch", "report"], &[rest, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|f| panic!("{f}: {}", tools::said(&output)))
}

/// The words for what has changed.
fn changed(site: &Site) -> Vec<String> {
    let answer = report(site, &["--changes"]);
    let changes = answer["changes"].as_array().unwrap();
    changes
        .iter()
        .map(|one| format!("{} {}", one["connector"].as_str().unwrap(), one["change"].as_str().unwrap()))
        .collect()
}

fn good(site: &Site) -> Manner {
    Manner::sealed(site.partners.pair(&[PARTNER], Kind::Good).server())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_is_told_exactly_once() {
    let site = Site::new();
    let sink = Sink::start(good(&site)).await;
    let partner =
        "[[partner]]\nname = \"fabrikam\"\ndomains = [\"partner.test\"]\ncontact = \"mail@partner.test\"\n\n";
    let asked = WATCH.replace("\n\n", "\nrecipients = [\"postmaster@partner.test\"]\n\n");
    let connector = outbound("bank", "partner.test", sink.address, IDENTITY)
        .replace("domains = [\"partner.test\"]", "partner = \"fabrikam\"");
    let daemon = site.start(&format!("{asked}{partner}{connector}")).await;
    // The postmaster's connector is watched too, and nobody listens there.
    assert_eq!(look(&daemon).await, 2);
    assert_eq!(look(&daemon).await, 2);
    assert_eq!(changed(&site), Vec::<String>::new());
    let before = report(&site, &["--partner", "fabrikam"])["hosts"][0].clone();
    assert_eq!((&before["ok"], &before["recipient"]), (&true.into(), &"taken".into()), "{before}");

    sink.behave(good(&site));
    assert_eq!(look(&daemon).await, 2);
    assert_eq!(look(&daemon).await, 2);
    assert_eq!(changed(&site), ["bank certificate"]);
    daemon.logged_times("partner changed", 1).await;
    let words = ["connector=bank", "partner=fabrikam", "change=certificate", "another key"];
    daemon.logged_line(&[&["partner changed"][..], &words].concat()).await;
    let after = report(&site, &["--partner", "bank"])["hosts"][0].clone();
    assert_ne!(before["certificate_sha256"], after["certificate_sha256"]);
    assert_eq!(before["since"], after["since"], "mail may be sent there all the time");
    // Never content, and no line that says that something was sent.
    assert!(sink.read(|log| {
        log.commands.iter().any(|command| command.starts_with("RCPT TO:<postmaster@partner.test>"))
    }));
    assert!(sink.read(|log| !log.commands.iter().any(|command| command.eq_ignore_ascii_case("data"))));
    assert!(sink.arrived().is_empty());
    sink.assert_nothing_in_clear();

    // It is refused for its name now, with whom to ask.
    sink.behave(Manner::sealed(site.partners.pair(&["mail.elsewhere.test"], Kind::Good).server()));
    look(&daemon).await;
    assert_eq!(changed(&site), ["bank certificate", "bank certificate", "bank unmet"]);
    daemon.logged_line(&["partner changed", "change=unmet", "contact=mail@partner.test"]).await;
    daemon.stop().await;
    let text = |rest: &[&str]| {
        let output = site.home.run(&["watch", "report"], rest);
        assert!(output.status.success(), "{}", tools::said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let words = text(&[]);
    assert!(words.contains("partner fabrikam") && words.contains("mail.elsewhere.test"), "{words}");
    assert!(words.contains("mail would be refused there now"), "{words}");
    let csv = text(&["--csv", "--partner", "fabrikam"]);
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("partner,connector,domain,host,address,"), "{csv}");
    assert!(lines[1].starts_with("fabrikam,bank,"), "{csv}");
    assert_eq!(text(&["--csv", "--changes"]).lines().count(), 4);
    assert_eq!(site.home.run(&["watch", "report"], &["--partner", "nobody"]).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_vanishes_is_told_after_two_looks_and_over_a_restart() {
    let site = Site::new();
    let address = free_address();
    let sink = Sink::start_at(&address.to_string(), good(&site)).await;
    let config = format!("{WATCH}{}", outbound("bank", "partner.test", address, IDENTITY));
    let daemon = site.start(&config).await;
    look(&daemon).await;
    drop(sink);
    look(&daemon).await;
    assert_eq!(changed(&site), Vec::<String>::new());
    daemon.kill().await;
    let daemon = Daemon::start(&site.home).await;
    look(&daemon).await;
    look(&daemon).await;
    assert_eq!(changed(&site), ["bank unanswered"]);
    daemon.logged_times("partner changed", 1).await;
    let _sink = Sink::start_at(&address.to_string(), good(&site)).await;
    look(&daemon).await;
    assert_eq!(changed(&site), ["bank unanswered", "bank answered", "bank certificate"]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exchangers_come_and_go_and_tls_may_go_away() {
    let site = Site::new();
    let dns = Dns::start().await;
    let town = Sink::town([(11, good(&site)), (12, Manner::clear())]).await;
    let port = town.address.port();
    dns.mx("partner.test", 10, "mx1.partner.test").a("mx1.partner.test", Ipv4Addr::new(127, 11, 0, 1));
    let rest = format!(
        "{WATCH}[dns]\nservers = [\"{}\"]\n\n[[outbound]]\nname = \"bank\"\ndomains = [\"partner.test\"]\nnext_hop = \"mx\"\nport = {port}\n{OPPORTUNISTIC}\n",
        dns.address
    );
    let daemon = site.start(&rest).await;
    look(&daemon).await;
    // Another exchanger, which offers no TLS: mail goes there all the same, in plaintext.
    dns.mx("partner.test", 20, "mx2.partner.test").a("mx2.partner.test", Ipv4Addr::new(127, 12, 0, 1));
    let seen = |site: &Site, change: &str| changed(site).iter().any(|one| one == change);
    // DNS answers are kept for their time, one second here.
    within("a new host", LONG, async {
        while !seen(&site, "bank host-added") {
            look(&daemon).await;
        }
    })
    .await;
    let hosts = report(&site, &["--partner", "bank"])["hosts"].clone();
    let second =
        hosts.as_array().unwrap().iter().find(|one| one["host"] == "mx2.partner.test").unwrap().clone();
    assert_eq!((&second["ok"], &second["tls_suite"]), (&true.into(), &"plaintext".into()), "{second}");
    assert!(!daemon.log().contains("sent in plaintext"), "nothing was sent");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connectors_in_audit_are_judged_and_those_off_or_left_out_are_not_looked_at() {
    let site = Site::new();
    let wrong =
        Sink::start(Manner::sealed(site.partners.pair(&["mail.elsewhere.test"], Kind::Good).server())).await;
    let (off, left_out) = (site.good_sink().await, site.good_sink().await);
    let audit = format!("{IDENTITY}mode = \"audit\"\n");
    let is_off = format!("{IDENTITY}mode = \"off\"\n");
    let rest = [
        outbound("audit", "audit.test", wrong.address, &audit),
        outbound("off", "off.test", off.address, &is_off),
        outbound("left-out", "left.test", left_out.address, IDENTITY),
    ]
    .concat();
    let daemon = site.start(&rest).await;
    // Off by default, and switched on by a reload.
    let refused = daemon.command(&["watch", "now"]).await;
    assert!(
        tools::said(&refused).contains("write mode = \\\"on\\\" in [watch]"),
        "{}",
        tools::said(&refused)
    );
    let on = WATCH.replace("\n\n", "\nexcept_connectors = [\"left-out\", \"to-postmaster\"]\n\n");
    site.configure(&format!("{on}{rest}"));
    daemon.ask(&["reload"]).await;
    assert_eq!(look(&daemon).await, 1);
    let hosts = report(&site, &[])["hosts"].clone();
    assert_eq!(hosts.as_array().unwrap().len(), 1, "{hosts}");
    let host = &hosts[0];
    assert_eq!((&host["connector"], &host["ok"]), (&"audit".into(), &false.into()), "{host}");
    assert_eq!(host["token"], "name-mismatch");
    for sink in [&off, &left_out] {
        assert_eq!(sink.read(|log| log.sessions), 0);
    }
    let other = daemon.command(&["watch", "now", "left-out"]).await;
    assert!(
        tools::said(&other).contains("there is no watched outbound connector"),
        "{}",
        tools::said(&other)
    );
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connectors_are_looked_at_few_at_a_time() {
    let site = Site::new();
    let quarter = 13;
    let town = Sink::town([(quarter, good(&site))]).await;
    let port = town.address.port();
    let mut rest = WATCH.replace("\n\n", "\nevery = \"1h\"\nexcept_connectors = [\"to-postmaster\"]\n\n");
    for number in 0..1_000 {
        let host = town::host(quarter, number % 200);
        let tls = if number % 10 == 0 { IDENTITY } else { OPPORTUNISTIC };
        write!(
            rest,
            "[[outbound]]\nname = \"p{number}\"\ndomains = [\"d{number}.test\"]\nnext_hop = [\"[{host}]:{port}\"]\n{tls}\n"
        )
        .unwrap();
    }
    let daemon = site.start(&rest).await;
    assert_eq!(look(&daemon).await, 1_000);
    let hosts = report(&site, &[])["hosts"].clone();
    let hosts = hosts.as_array().unwrap();
    assert_eq!(hosts.len(), 1_000);
    assert!(
        hosts.iter().all(|host| host["ok"] == true),
        "{:?}",
        hosts.iter().find(|host| host["ok"] != true)
    );
    assert_eq!(town.read(|log| log.sessions), 1_000, "each of them once");
    assert!(town.arrived().is_empty());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reload_takes_away_and_brings_back_is_looked_at_again() {
    let (site, dns) = (Site::new(), Dns::start().await);
    // Both are at one address, where looks go one after the other.
    let (slow, good) = (Sink::start(Manner::clear().greeting(SILENCE)).await, site.good_sink().await);
    dns.a("mx.bank.test", Ipv4Addr::LOCALHOST);
    let first = outbound("slow", "slow.test", slow.address, IDENTITY);
    let bank = outbound("bank", "bank.test", good.address, IDENTITY).replace("[127.0.0.1]", "mx.bank.test");
    let head = format!("{WATCH}[dns]\nservers = [\"{}\"]\n\n{first}", dns.address);
    let daemon = site.start(&format!("{head}{bank}")).await;
    let of_slow = daemon.ask(&["watch", "now", "slow"]);
    let meanwhile = async {
        slow.until("a session", LONG, |log| log.sessions >= 1).await;
        let reloads = async {
            let asked = async || (dns.asked("mx.bank.test", RecordType::A) > 0).then_some(());
            eventually("a look at the bank", LONG, asked).await;
            site.configure(&head);
            daemon.ask(&["reload"]).await;
        };
        let (of_bank, ()) = tokio::join!(daemon.command(&["watch", "now", "bank"]), reloads);
        let words = tools::said(&of_bank);
        assert!(!of_bank.status.success() && words.contains("is not watched any more"), "{words}");
        site.configure(&format!("{head}{bank}"));
        daemon.ask(&["reload"]).await;
        assert_eq!(good.read(|log| log.sessions), 0, "it waits for the address");
        drop(slow);
        assert_eq!(daemon.ask(&["watch", "now", "bank"]).await["targets"], 1);
        assert_eq!(good.read(|log| log.sessions), 1);
    };
    let (of_slow, ()) = within("the looks", LONG, async { tokio::join!(of_slow, meanwhile) }).await;
    assert_eq!(of_slow["targets"], 1, "{of_slow}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_damaged_is_set_aside_and_looks_go_on() {
    let site = Site::new();
    let sink = site.good_sink().await;
    let config = format!("{WATCH}{}", outbound("bank", "partner.test", sink.address, IDENTITY));
    site.configure(&config);
    let file = site.home.path().join("data/watch.sqlite");
    let damage = "no database at all, and longer than a header of one hundred octets".repeat(4);
    std::fs::write(&file, &damage).unwrap();
    let reader = site.home.run(&["watch", "report"], &[]);
    assert!(
        !reader.status.success() && tools::said(&reader).contains("watch.sqlite"),
        "{}",
        tools::said(&reader)
    );
    let daemon = Daemon::start(&site.home).await;
    look(&daemon).await;
    sink.behave(good(&site));
    look(&daemon).await;
    assert_eq!(changed(&site), ["bank certificate"]);
    let set_aside = "the database of [watch] can't be used: it is set aside";
    daemon.logged_times(set_aside, 1).await;
    // So is one that is damaged while it is used.
    let written = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&written, damage.as_bytes(), 0).unwrap();
    look(&daemon).await;
    assert_eq!(changed(&site).len(), 0, "{}", daemon.log());
    daemon.logged_times(set_aside, 2).await;
    daemon.stop().await;
    let doctor = tools::said(&site.home.run(&["doctor"], &["--timeout", "2"]));
    let lines = doctor.lines().filter(|line| line.contains("watch.sqlite.bad-")).count();
    assert_eq!(lines, 2, "{doctor}");
}
