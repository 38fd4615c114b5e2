//! `doctor` knows the present: whether the daemon runs and answers, what waits for TLS, and what is wrong now.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, PROGRAM, free_address};
use crate::peer::mint::Kind;
use crate::peer::mix;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, IDENTITY, LISTENER, PARTNER, Site, outbound};
use crate::peer::{LONG, eventually, tools};

/// Its lines that begin so.
fn lines(site: &Site, start: &str) -> Vec<String> {
    let told = tools::said(&site.home.run(&["doctor"], &["--timeout", "2"]));
    told.lines().filter(|line| line.contains(start)).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_is_wrong_now() {
    let site = Site::new();
    let bank = Sink::start(Manner::clear()).await;
    let partner = "[[partner]]\nname = \"bank\"\ndomains = [\"b.test\"]\ncontact = \"tls@b.test\"\n\n";
    let out = outbound("bank", "b.test", bank.address, IDENTITY);
    let out = out.replace("domains = [\"b.test\"]", "partner = \"bank\"");
    site.configure_all(&format!("{partner}{LISTENER}{ANYONE}{out}"));
    let before = lines(&site, " daemon: ");
    assert!(before[0].starts_with("warn"), "it has never run: {before:?}");
    let daemon = Daemon::start(&site.home).await;
    assert!(lines(&site, " daemon: ")[0].starts_with("ok    daemon: it runs; 0 messages"), "{before:?}");
    let message = mix::plain("one", 1, 200, "ada@a.test", "bob@b.test").remove(0);
    Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    daemon.deferred("bob@b.test").await;
    let waiting = lines(&site, "recipients wait for TLS");
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    for part in ["FAIL  connector bank: 1 recipients", "STARTTLS is not offered", "ask tls@b.test"] {
        assert!(waiting[0].contains(part), "{part}: {waiting:?}");
    }
    let output = site.home.run(&["doctor"], &["--timeout", "2"]);
    assert_eq!(output.status.code(), Some(1));
    bank.behave(Manner::sealed(site.partners.pair(&[PARTNER], Kind::Good).server()));
    daemon.command(&["queue", "retry", "--all"]).await;
    daemon.queue_empty().await;
    assert!(lines(&site, "recipients wait for TLS").is_empty());
    daemon.stop().await;
    assert!(lines(&site, " daemon: ")[0].starts_with("FAIL"), "it is down");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_goes_on_and_that_a_daemon_hangs() {
    let site = Site::new();
    let gone = outbound("bank", "b.test", free_address(), IDENTITY);
    let daemon = site.start(&gone).await;
    assert!(lines(&site, " alert ").is_empty());
    let message = mix::plain("one", 1, 200, "ada@a.test", "bob@b.test").remove(0);
    Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    eventually("the episode", LONG, async || {
        (daemon.ask(&["alert", "list"]).await["open"][0]["kind"] == "partner-connection").then_some(())
    })
    .await;
    let told = lines(&site, " alert ");
    assert_eq!(told.len(), 1, "{told:?}");
    for part in ["FAIL  alert partner-connection bank: since ", "`sealpost validate bank` shows more"] {
        assert!(told[0].contains(part), "{part}: {told:?}");
    }
    daemon.signal("STOP");
    let output = site.home.run(&["doctor"], &["--timeout", "1"]);
    daemon.signal("CONT");
    let said = tools::said(&output);
    assert!(said.contains("FAIL  daemon: the daemon does not answer"), "{said}");
    assert_eq!(output.status.code(), Some(1));
    assert!(!said.contains("nothing is accepted or delivered"), "{said}");
    daemon.stop().await;
}

/// Another user's `doctor` doesn't call a daemon down that runs.
#[tokio::test(flavor = "multi_thread")]
async fn it_says_who_may_ask_the_daemon() {
    let site = Site::new();
    let daemon = site.start("").await;
    let home = site.home.path();
    // The folders above the program need not be open to others.
    let program = home.join("sealpost");
    std::fs::copy(PROGRAM, &program).unwrap();
    let mut command = Command::new(&program);
    command.args(["doctor", "--timeout", "1", "--config"]).arg(site.home.config()).stdin(Stdio::null());
    std::fs::set_permissions(home, Permissions::from_mode(0o755)).unwrap();
    for entry in std::fs::read_dir(home).unwrap().filter_map(Result::ok).filter(|one| one.path().is_file()) {
        std::fs::set_permissions(entry.path(), Permissions::from_mode(0o755)).unwrap();
    }
    if tools::am_root() {
        command.uid(65_534).gid(65_534);
    } else {
        std::fs::set_permissions(home.join("data"), Permissions::from_mode(0o000)).unwrap();
    }
    let output = command.output().unwrap();
    std::fs::set_permissions(home.join("data"), Permissions::from_mode(0o700)).unwrap();
    let said = tools::said(&output);
    assert!(said.contains("warn  daemon: this user may not ask the daemon over "), "{said}");
    assert!(said.contains("runuser -u sealpost"), "{said}");
    daemon.stop().await;
}
