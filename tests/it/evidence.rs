//! The sealed record of the shipped daemon: verified, tampered with, and exported for an auditor, who verifies it without
//! the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rusqlite::Connection;
use serde_json::Value;

use crate::peer::client::Client;
use crate::peer::daemon::Daemon;
use crate::peer::mint::Kind;
use crate::peer::mix;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, IDENTITY, LISTENER, OPPORTUNISTIC, PARTNER, QUICK, Site, outbound};
use crate::peer::{left_out, tools};

/// A site that has mailed a bank, and a shop beside it.
async fn recorded() -> Site {
    let site = Site::new();
    let bank = Sink::start(Manner::sealed(site.partners.pair(&[PARTNER], Kind::Good).server())).await;
    let shop = Sink::start(Manner::clear()).await;
    let ways = [
        outbound("bank", "bank.test", bank.address, IDENTITY),
        outbound("shop", "shop.test", shop.address, OPPORTUNISTIC),
    ];
    site.configure_all(&format!("{QUICK}{LISTENER}{ANYONE}{}", ways.concat()));
    let daemon = Daemon::start(&site.home).await;
    for (name, to) in [
        ("one", &["bob@bank.test"][..]),
        ("two", &["eve@shop.test"]),
        ("both", &["bob@bank.test", "eve@shop.test"]),
    ] {
        let mut message = mix::plain(name, 1, 200, "ada@a.test", to[0]).remove(0);
        message.to = to.iter().map(|one| (*one).to_owned()).collect();
        let reply = Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
        assert_eq!(reply.code, 250, "{}", reply.text);
    }
    daemon.queue_empty().await;
    daemon.stop().await;
    site
}

fn verified(site: &Site, more: &[&str]) -> (bool, Value) {
    let output = site.home.run(&["evidence", "verify"], &[&["--json"], more].concat());
    let answer: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", tools::said(&output)));
    assert_eq!(answer["is_whole"], output.status.success(), "{answer}");
    (output.status.success(), answer)
}

fn tamper(site: &Site, sql: &str) {
    let database = Connection::open(site.home.path().join("data/tracking.sqlite")).unwrap();
    database.execute_batch(sql).unwrap();
}

/// What is exported of the bank's mail, and where.
fn exported(site: &Site) -> (PathBuf, Value) {
    let folder = site.home.path().join("package");
    let days = ["--from", "2020-01-01", "--to", "2099-12-31", "--json", "--output", folder.to_str().unwrap()];
    let output = site.home.run(&["evidence", "export", "--partner", "bank"], &days);
    assert!(output.status.success(), "{}", tools::said(&output));
    (folder, serde_json::from_slice(&output.stdout).unwrap())
}

/// What the package's own script says of it.
fn by_script(folder: &Path, key: &str) -> Output {
    Command::new("python3").arg(folder.join("verify.py")).arg(key).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_daemon_recorded_is_whole_until_somebody_touches_it() {
    let site = recorded().await;
    let (is_whole, before) = verified(&site, &[]);
    assert!(is_whole, "{before}");
    let day = &before["days"][0];
    assert_eq!(day["events"], day["sealed"], "the stop seals what was there: {before}");
    let (key, hash) = (before["first_key"].as_str().unwrap(), before["last"]["hash"].as_str().unwrap());
    assert!(verified(&site, &["--key", key, "--statement", hash]).0);
    let another = "ab".repeat(32);
    assert!(!verified(&site, &["--key", &another]).0);
    assert!(!verified(&site, &["--statement", &another]).0);
    // The same record goes on after a restart.
    let daemon = Daemon::start(&site.home).await;
    daemon.stop().await;
    assert!(verified(&site, &["--key", key, "--statement", hash]).0);
    let said = tools::said(&site.home.run(&["evidence", "verify"], &[]));
    assert!(said.contains("Nothing was altered, removed or exchanged."), "{said}");
    tamper(&site, "UPDATE event_1 SET data = replace(data, 'bank.test', 'bank.tess') WHERE seq = 1");
    let said = tools::said(&site.home.run(&["evidence", "verify"], &[]));
    assert!(
        said.contains("BROKEN. The first place:\n") && said.contains("event 1 was altered: {\"seq\":1,"),
        "{said}"
    );
    tamper(&site, "DELETE FROM event_1 WHERE seq = 1");
    let (_, after) = verified(&site, &[]);
    assert!(after["breaks"][0].as_str().unwrap().ends_with("event 1 was removed"), "{after}");
    let refused = site.home.run(
        &["evidence", "export", "--partner", "bank"],
        &[
            "--from",
            "2020-01-01",
            "--to",
            "2099-12-31",
            "--output",
            site.home.path().join("no").to_str().unwrap(),
        ],
    );
    assert_eq!(refused.status.code(), Some(1), "{}", tools::said(&refused));
    assert!(!site.home.path().join("no").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_verifies_a_package_without_the_program() {
    if tools::python("hashlib").is_none() || tools::program("openssl").is_none() {
        return left_out(
            "an_auditor_verifies_a_package_without_the_program",
            "python3 or openssl is missing",
        );
    }
    let site = recorded().await;
    let (folder, summary) = exported(&site);
    let key = summary["first_key"].as_str().unwrap().to_owned();
    assert_eq!(summary["messages"], 2, "{summary}");
    assert_eq!(summary["outbound"]["over_tls"], 2, "{summary}");
    assert_eq!(summary["inbound"]["plaintext"], 1, "{summary}");
    assert_eq!(summary["left_out"]["arrivals"], 1, "the other one names the shop: {summary}");
    assert!(summary["connectors"][0]["requirement"].as_str().unwrap().contains(PARTNER), "{summary}");
    for file in
        ["index.html", "events.csv", "events.jsonl", "decisions.jsonl", "statements.jsonl", "summary.json"]
    {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        assert!(!text.contains("shop"), "{file} names another partner: {text}");
        assert!(!text.is_empty(), "{file}");
    }
    let said = tools::said(&by_script(&folder, &key));
    assert!(said.contains(" events are what was sealed"), "{said}");
    assert!(!by_script(&folder, &"ab".repeat(32)).status.success());
    let package = ["evidence", "verify", "--package", folder.to_str().unwrap()];
    let ours = site.home.run(&package, &["--key", &key]);
    assert!(ours.status.success(), "{}", tools::said(&ours));
    for (file, from, to) in [
        ("events.jsonl", "bob@bank.test", "rob@bank.test"),
        (
            "events.jsonl",
            "\"path\":[\"",
            "\"path\":[\"0000000000000000000000000000000000000000000000000000000000000000\",\"",
        ),
        ("decisions.jsonl", "TLSv1.3", "TLSv1.2"),
        ("statements.jsonl", "gw.sealpost", "gx.sealpost"),
    ] {
        let path = folder.join(file);
        let before = std::fs::read_to_string(&path).unwrap();
        let after = before.replacen(from, to, 1);
        assert_ne!(before, after, "{file} has no {from}: {before}");
        std::fs::write(&path, after).unwrap();
        let (theirs, ours) = (by_script(&folder, &key), site.home.run(&package, &[]));
        assert_eq!(theirs.status.code(), Some(1), "{file}: {}", tools::said(&theirs));
        assert_eq!(ours.status.code(), Some(1), "{file}: {}", tools::said(&ours));
        std::fs::write(&path, before).unwrap();
    }
    assert!(by_script(&folder, &key).status.success(), "it is whole again");
}
