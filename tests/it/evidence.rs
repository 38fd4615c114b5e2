//! The sealed record of the shipped daemon: verified, tampered with, and exported for an auditor, who verifies it without
//! the program.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::Value;

use crate::peer::client::Client;
use crate::peer::daemon::Daemon;
use crate::peer::mint::Kind;
use crate::peer::mix;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, IDENTITY, LISTENER, OPPORTUNISTIC, PARTNER, QUICK, Site, outbound};
use crate::peer::web::{Page, Web};
use crate::peer::{LONG, eventually, left_out, tools};

/// A site that has mailed a bank, and a shop beside it.
async fn recorded() -> Site {
    recorded_with("").await
}

async fn recorded_with(more: &str) -> Site {
    let (site, daemon) = recording(more).await;
    daemon.stop().await;
    site
}

async fn recording(more: &str) -> (Site, Daemon) {
    let site = Site::new();
    let bank = Sink::start(Manner::sealed(site.partners.pair(&[PARTNER], Kind::Good).server())).await;
    let shop = Sink::start(Manner::clear()).await;
    let ways = [
        outbound("bank", "bank.test", bank.address, IDENTITY),
        outbound("shop", "shop.test", shop.address, OPPORTUNISTIC),
    ];
    site.configure_all(&format!("{QUICK}{more}{LISTENER}{ANYONE}{}", ways.concat()));
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
    (site, daemon)
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
    exported_of(site, "bank", "package")
}

fn exported_of(site: &Site, partner: &str, folder: &str) -> (PathBuf, Value) {
    let folder = site.home.path().join(folder);
    let days = ["--from", "2020-01-01", "--to", "2099-12-31", "--json", "--output", folder.to_str().unwrap()];
    let output = site.home.run(&["evidence", "export", "--partner", partner], &days);
    assert!(output.status.success(), "{}", tools::said(&output));
    (folder, serde_json::from_slice(&output.stdout).unwrap())
}

/// What the package's own script says of it.
fn by_script(folder: &Path, key: &str) -> Output {
    by_script_with(folder, &[key])
}

fn by_script_with(folder: &Path, args: &[&str]) -> Output {
    Command::new("python3").arg("-B").arg(folder.join("verify.py")).args(args).output().unwrap()
}

/// Both verifiers find that a package is broken, and the script says so in words.
#[track_caller]
fn is_broken(site: &Site, folder: &Path, key: &str, what: &str) -> (String, String) {
    let (theirs, ours) = (
        by_script(folder, key),
        site.home.run(&["evidence", "verify", "--package", folder.to_str().unwrap(), "--key", key], &[]),
    );
    let said = (tools::said(&theirs), tools::said(&ours));
    assert_eq!(theirs.status.code(), Some(1), "{what}: {}", said.0);
    assert_eq!(ours.status.code(), Some(1), "{what}: {}", said.1);
    assert!(said.0.contains("BROKEN: ") && !said.0.contains("Traceback"), "{what}: {}", said.0);
    assert!(said.1.contains("BROKEN."), "{what}: {}", said.1);
    said
}

/// The files of a package, with what they have.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), std::fs::read(path).unwrap()));
        }
    }
    found.sort();
    found
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
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
    tamper(&site, "UPDATE event_1 SET data = replace(data, 'bank.test', 'bank.tess') WHERE seq = 2");
    let said = tools::said(&site.home.run(&["evidence", "verify"], &[]));
    assert!(
        said.contains("BROKEN. The first place:\n") && said.contains("event 2 was altered: {\"seq\":2,"),
        "{said}"
    );
    tamper(&site, "DELETE FROM event_1 WHERE seq = 2");
    let (_, after) = verified(&site, &[]);
    assert!(after["breaks"][0].as_str().unwrap().ends_with("event 2 was removed"), "{after}");
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

/// Whoever relies on the record learns when nothing could be recorded.
#[tokio::test(flavor = "multi_thread")]
async fn a_package_says_when_the_relay_ran_and_which_run_did_not_end_in_order() {
    let site = recorded().await;
    let daemon = Daemon::start(&site.home).await;
    eventually("the start in the store", LONG, async || {
        let starts = daemon.command(&["trace", "--event", "started"]).await;
        let lines = String::from_utf8(starts.stdout).unwrap();
        (lines.matches("\"event\":\"started\"").count() >= 2).then_some(())
    })
    .await;
    daemon.kill().await;
    Daemon::start(&site.home).await.stop().await;
    let (folder, summary) = exported(&site);
    let runs = summary["runs"].as_array().unwrap();
    let told: Vec<_> =
        runs.iter().map(|one| (one["event"].as_str().unwrap(), one["after_stop"].as_bool())).collect();
    assert_eq!(
        told,
        [
            ("started", None),
            ("stopped", None),
            ("started", Some(true)),
            ("started", Some(false)),
            ("stopped", None)
        ],
        "{summary}"
    );
    let page = std::fs::read_to_string(folder.join("index.html")).unwrap();
    assert_eq!(page.matches("the run before was not stopped in order").count(), 1, "{page}");
    assert!(page.contains(&format!("started: Sealpost {}", env!("CARGO_PKG_VERSION"))), "{page}");
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
    assert!(said.contains(" events as sealed."), "{said}");
    // Without the Python package "cryptography", openssl verifies; without both, that is what is said.
    let script = |path: Option<&str>| {
        let mut command = Command::new("python3");
        command.args(["-S", "-B"]).arg(folder.join("verify.py")).arg(&key);
        path.into_iter().for_each(|path| {
            command.env("PATH", path);
        });
        command.output()
    };
    let by_openssl = script(None).unwrap();
    assert!(by_openssl.status.success(), "{}", tools::said(&by_openssl));
    if let Ok(without) = script(Some("/nowhere")) {
        let said = tools::said(&without);
        assert!(!without.status.success() && said.contains("openssl is missing"), "{said}");
    }
    assert!(!by_script(&folder, &"ab".repeat(32)).status.success());
    let package = ["evidence", "verify", "--package", folder.to_str().unwrap()];
    let ours = site.home.run(&package, &["--key", &key]);
    assert!(ours.status.success(), "{}", tools::said(&ours));
    // Each break is named.
    for (file, from, to, named) in [
        ("events.jsonl", "bob@bank.test", "rob@bank.test", "is not what was sealed"),
        (
            "events.jsonl",
            "\"path\":[\"",
            "\"path\":[\"0000000000000000000000000000000000000000000000000000000000000000\",\"",
            "is not what was sealed",
        ),
        ("decisions.jsonl", "TLSv1.3", "TLSv1.2", "is not in decisions.jsonl as it was"),
        ("statements.jsonl", "gw.sealpost", "gx.sealpost", "is not signed by the key of the site"),
        ("manifest.json", "gw.sealpost", "gx.sealpost", "manifest.json is not signed by the key"),
        ("summary.json", "\"over_tls\": 2", "\"over_tls\": 9", "summary.json is not what was exported"),
    ] {
        let path = folder.join(file);
        let before = std::fs::read_to_string(&path).unwrap();
        let after = before.replacen(from, to, 1);
        assert_ne!(before, after, "{file} has no {from}: {before}");
        std::fs::write(&path, after).unwrap();
        let (theirs, ours) = is_broken(&site, &folder, &key, file);
        assert!(theirs.contains(named) && ours.contains(named), "{named}: {theirs} {ours}");
        std::fs::write(&path, before).unwrap();
    }
    assert!(by_script(&folder, &key).status.success(), "it is whole again");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_altered_in_a_package_both_verifiers_find_it() {
    if tools::python("hashlib").is_none() || tools::program("openssl").is_none() {
        return left_out(
            "whatever_is_altered_in_a_package_both_verifiers_find_it",
            "python3 or openssl is missing",
        );
    }
    let site = recorded().await;
    let (folder, summary) = exported(&site);
    let key = summary["first_key"].as_str().unwrap().to_owned();
    let whole = files(&folder);
    assert_eq!(whole.len(), 9, "{whole:?}");
    assert_eq!(mode(&folder), 0o700);
    for (path, before) in &whole {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(mode(path), 0o600, "{name}");
        // In the description of the script, so that it still runs.
        let place = if name == "verify.py" { 40 } else { before.len() / 2 };
        let mut altered = before.clone();
        altered[place] ^= 1;
        let first = before.iter().position(|octet| *octet == b'\n').map_or(before.len(), |end| end + 1);
        let doubled = [&before[..first], before].concat();
        let cut = before.len()
            - before.strip_suffix(b"\n").unwrap_or(before).rsplit(|o| *o == b'\n').next().unwrap().len();
        let cut = &before[..cut.saturating_sub(1)];
        let mut changes = vec![
            ("altered", altered),
            ("without its first line", before[first..].to_vec()),
            ("doubled", doubled),
        ];
        if name != "verify.py" {
            changes.push(("without its end", cut.to_vec()));
        }
        for (how, after) in changes {
            std::fs::write(path, after).unwrap();
            is_broken(&site, &folder, &key, &format!("{name} {how}"));
        }
        if name != "verify.py" {
            std::fs::remove_file(path).unwrap();
            let (theirs, ours) = is_broken(&site, &folder, &key, &format!("{name} removed"));
            assert!(theirs.contains(name) && ours.contains(&format!("{name} is missing")), "{theirs} {ours}");
        }
        std::fs::write(path, before).unwrap();
    }
    for (name, octets) in [("more.csv", &b"x"[..]), ("stamps/1.json", b"{}"), ("events.csv\n\x1b[2J", b"")] {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, octets).unwrap();
        let (theirs, ours) = is_broken(&site, &folder, &key, name);
        assert!(theirs.contains("is not part of the package"), "{theirs}");
        assert!(ours.contains("is not part of the package"), "{ours}");
        assert!(!theirs.contains('\x1b') && !ours.contains('\x1b'), "{theirs} {ours}");
        std::fs::remove_file(path).unwrap();
    }
    std::fs::remove_dir(folder.join("stamps")).unwrap();
    // Lines that are no objects, or not such objects.
    for line in ["nonsense\n", "[]\n", "{}\n", "{\"n\":\"x\",\"text\":1}\n", "\n", "\"\\ud800\"\n"] {
        for name in ["statements.jsonl", "decisions.jsonl", "events.jsonl", "manifest.json"] {
            std::fs::write(folder.join(name), line).unwrap();
            is_broken(&site, &folder, &key, &format!("{name} is {line}"));
            let before = &whole.iter().find(|(path, _)| path.ends_with(name)).unwrap().1;
            std::fs::write(folder.join(name), before).unwrap();
        }
    }
    // What was kept elsewhere.
    let (hash, another) = (summary["last"]["hash"].as_str().unwrap(), "ab".repeat(32));
    assert!(by_script_with(&folder, &[&key, hash]).status.success());
    assert!(by_script_with(&folder, &[]).status.success());
    for args in [&[&*key, &*another][..], &[&another], &[&another, hash], &["--help"]] {
        let said = tools::said(&by_script_with(&folder, args));
        assert!(!by_script_with(&folder, args).status.success() && !said.contains("Traceback"), "{said}");
    }
    is_broken(&site, &folder, &another, "another key");
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_contradict_each_other_are_found_without_the_program() {
    if tools::python("hashlib").is_none() || tools::program("openssl").is_none() {
        return left_out(
            "statements_that_contradict_each_other_are_found_without_the_program",
            "python3 or openssl is missing",
        );
    }
    let site = recorded().await;
    // Whoever has the key says that the events of today were removed by the rules.
    let document = std::fs::read(site.home.path().join("data/evidence/key.der")).unwrap();
    let key = aws_lc_rs::signature::Ed25519KeyPair::from_pkcs8(&document).unwrap();
    let database = Connection::open(site.home.path().join("data/tracking.sqlite")).unwrap();
    let (number, text): (i64, String) = database
        .query_row("SELECT number, text FROM statement ORDER BY number DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let mut statement: Value = serde_json::from_str(&text).unwrap();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let hash: String = hash.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
    statement["n"] = (number + 1).into();
    statement["previous"] = hash.into();
    statement["what"] = "removed".into();
    statement["why"] = "age".into();
    statement["keep"] = 0.into();
    let text = statement.to_string();
    let signature = key.sign(text.as_bytes());
    database
        .execute(
            "INSERT INTO statement (number, at, what, part, text, signature) VALUES (?1, 0, 4, 1, ?2, ?3)",
            rusqlite::params![number + 1, text, signature.as_ref()],
        )
        .unwrap();
    let (folder, summary) = exported(&site);
    let theirs = by_script(&folder, summary["first_key"].as_str().unwrap());
    let said = tools::said(&theirs);
    let expected = format!("BROKEN: statement {} removes events that are not the oldest", number + 1);
    assert!(!theirs.status.success() && said.contains(&expected), "{said}");
    assert_eq!(said.matches("BROKEN").count(), 1, "all else is as exported: {said}");
}

/// A partner with a connector in each direction.
fn partner(name: &str, hop: SocketAddr) -> String {
    format!(
        "[[partner]]\nname = \"{name}\"\ndomains = [\"{name}.test\"]\n\n\
         [[inbound]]\nname = \"{name}-in\"\npartner = \"{name}\"\nfrom_networks = [\"127.0.0.0/8\"]\n\
         tls = \"opportunistic\"\nto_domains = [\"*\"]\n\n\
         [[outbound]]\nname = \"{name}-out\"\npartner = \"{name}\"\nnext_hop = [\"[{}]:{}\"]\n{OPPORTUNISTIC}\n",
        hop.ip(),
        hop.port()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_has_nothing_of_another_partner() {
    let site = Site::new();
    let (bank, shop, home) = (
        Sink::start(Manner::clear()).await,
        Sink::start(Manner::clear()).await,
        Sink::start(Manner::clear()).await,
    );
    let config = |partners: &str| {
        format!(
            "{QUICK}{LISTENER}{partners}{ANYONE}{}",
            outbound("home", "a.test", home.address, OPPORTUNISTIC)
        )
    };
    let both = format!("{}{}", partner("bank", bank.address), partner("shop", shop.address));
    site.configure_all(&config(&both));
    let daemon = Daemon::start(&site.home).await;
    for (name, from, to) in [
        ("one", "ada@a.test", &["bob@bank.test"][..]),
        ("two", "ada@a.test", &["eve@shop.test"]),
        ("both", "ada@a.test", &["bob@bank.test", "eve@shop.test"]),
        ("in", "bob@bank.test", &["ada@a.test"]),
        ("through", "eve@shop.test", &["bob@bank.test"]),
        ("onward", "ben@bank.test", &["ada@a.test"]),
    ] {
        let mut message = mix::plain(name, 1, 200, from, to[0]).remove(0);
        message.to = to.iter().map(|one| (*one).to_owned()).collect();
        let reply = Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
        assert_eq!(reply.code, 250, "{}", reply.text);
    }
    daemon.queue_empty().await;
    daemon.stop().await;
    let (folder, summary) = exported(&site);
    assert_eq!(summary["inbound"]["plaintext"], 3, "two of the bank's, and one to it: {summary}");
    assert_eq!(summary["outbound"]["plaintext"], 3, "{summary}");
    assert_eq!(summary["left_out"]["arrivals"], 2, "one went to the shop too, one is the shop's: {summary}");
    assert_eq!(summary["left_out"]["of_others"], 2, "our own deliveries of the bank's mail: {summary}");
    // That a message came by the shop's connector is in the event of its delivery to the bank.
    for (path, octets) in files(&folder).iter().filter(|(path, _)| !path.ends_with("verify.py")) {
        let text = String::from_utf8_lossy(octets)
            .replace("\"came_by\":\"shop-in\"", "")
            .replace("eve@shop.test", "");
        let text = text.replace("\\\"came_by\\\":\\\"shop-in\\\"", "");
        assert!(!text.contains("shop"), "{path:?} names another partner: {text}");
        assert!(!text.contains("home"), "{path:?} names a connector of ours: {text}");
    }
    // A partner that is not configured any more is found by its name, and one that has its name as a connector is not.
    site.configure_all(&config(&partner("shop", shop.address)));
    let (_, later) = exported_of(&site, "bank", "later");
    assert_eq!(later["events"], summary["events"], "{later}");
    let nobody = exported_of(&site, "bank-out", "nobody").1;
    assert_eq!(nobody["events"], 0, "what it decided was the bank's: {nobody}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_that_is_gone_is_found_by_its_name() {
    let site = recorded().await;
    let (_, before) = exported(&site);
    let config = std::fs::read_to_string(site.home.config()).unwrap();
    std::fs::write(site.home.config(), config.replace("name = \"bank\"", "name = \"fabrikam\"")).unwrap();
    let (_, after) = exported_of(&site, "bank", "later");
    assert_eq!((&after["events"], &after["outbound"]), (&before["events"], &before["outbound"]), "{after}");
    assert_eq!(after["connectors"].as_array().unwrap().len(), 0, "{after}");
}

/// A time-stamping authority in this folder: its certificate in `tsa.pem`, and what answers a question.
fn authority(folder: &Path) -> impl Fn(&[u8]) -> Vec<u8> + Send + Sync + use<> {
    std::fs::write(folder.join("tsa.cnf"), AUTHORITY).unwrap();
    std::fs::write(folder.join("serial"), "01\n").unwrap();
    let folder = folder.to_owned();
    let openssl = move |arguments: &str| {
        let done = Command::new("openssl").args(arguments.split(' ')).current_dir(&folder).output().unwrap();
        assert!(done.status.success(), "openssl {arguments}: {}", tools::said(&done));
        folder.clone()
    };
    openssl("req -x509 -newkey rsa:2048 -nodes -keyout tsa.key -out tsa.pem -days 30 -config tsa.cnf");
    move |question| {
        let folder = openssl("version");
        std::fs::write(folder.join("question"), question).unwrap();
        openssl(
            "ts -reply -config tsa.cnf -section tsa -queryfile question -signer tsa.pem -inkey tsa.key -out answer",
        );
        std::fs::read(folder.join("answer")).unwrap()
    }
}

const AUTHORITY: &str = "[req]
distinguished_name = dn
prompt = no
x509_extensions = ext
[dn]
CN = Time of Tests
[ext]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[tsa]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
";

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_stamps_what_closes_a_day() {
    if tools::program("openssl").is_none() {
        return left_out("an_authority_stamps_what_closes_a_day", "openssl is missing");
    }
    let (web, folder) = (Web::start().await, tempfile::tempdir().unwrap());
    web.page("/busy", Page::Status("503 Service Unavailable"));
    web.page("/time", Page::Made(Arc::new(authority(folder.path()))));
    let (site, daemon) =
        recording(&format!("[evidence]\ntimestamp_url = \"{}\"\n\n", web.url("/busy"))).await;
    eventually("the last event in the store", LONG, async || {
        let output = daemon.command(&["trace", "--event", "delivered"]).await;
        (tools::said(&output).matches("\"delivered\"").count() >= 4).then_some(())
    })
    .await;
    // Before anything was stated of it, the day is over.
    daemon.kill().await;
    tamper(&site, "UPDATE part SET day = day - 1");
    let mut daemon = Daemon::start(&site.home).await;
    eventually("a warning", LONG, async || daemon.log().contains("waits for its time stamp").then_some(()))
        .await;
    daemon.stop().await;
    let config = std::fs::read_to_string(site.home.config()).unwrap();
    std::fs::write(site.home.config(), config.replace("/busy", "/time")).unwrap();
    daemon = Daemon::start(&site.home).await;
    eventually("a time stamp", LONG, async || daemon.log().contains("has its time stamp").then_some(()))
        .await;
    daemon.stop().await;
    let (is_whole, found) = verified(&site, &[]);
    assert!(is_whole && found["stamped"] == 1, "{found}");
    let (package, _) = exported(&site);
    let stamp = std::fs::read_dir(package.join("stamps")).unwrap().next().unwrap().unwrap().path();
    let (stamp, data) = (stamp.with_extension("tsr"), stamp.with_extension("json"));
    let openssl = |data: &Path| {
        let mut command = Command::new("openssl");
        command
            .args(["ts", "-verify", "-data"])
            .arg(data)
            .arg("-in")
            .arg(&stamp)
            .arg("-CAfile")
            .arg(folder.path().join("tsa.pem"));
        command.output().unwrap()
    };
    assert!(openssl(&data).status.success(), "{}", tools::said(&openssl(&data)));
    assert!(!openssl(&package.join("summary.json")).status.success());
    // A time stamp of something else does not pass for it.
    tamper(
        &site,
        "UPDATE statement SET stamp = (SELECT stamp FROM statement WHERE stamp IS NOT NULL) WHERE number = 1",
    );
    let (_, found) = verified(&site, &[]);
    let first = found["breaks"][0].as_str().unwrap();
    assert!(first.starts_with("the time stamp of statement 1 is about something else"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_can_not_be_sealed_is_an_alarm_and_is_sealed_later() {
    let site = Site::new();
    site.configure_all(&format!("{LISTENER}{ANYONE}"));
    std::fs::write(site.home.path().join("data/evidence"), "in the way").unwrap();
    let daemon = Daemon::start(&site.home).await;
    eventually("an alarm", LONG, async || {
        let answer = daemon.ask(&["connectors"]).await;
        answer["alarms"].to_string().contains("can't be sealed").then_some(())
    })
    .await;
    daemon.stop().await;
    std::fs::remove_file(site.home.path().join("data/evidence")).unwrap();
    let daemon = Daemon::start(&site.home).await;
    daemon.stop().await;
    let (is_whole, found) = verified(&site, &[]);
    assert!(is_whole && found["days"][0]["events"] == found["days"][0]["sealed"], "{found}");
}
