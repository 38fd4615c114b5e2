//! The life of the process: how it ends, whatever hangs.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, PROGRAM, free_address};
use crate::peer::site::{ANYONE, LISTENER, OPPORTUNISTIC, QUICK, Site, outbound};
use crate::peer::{LONG, eventually, within};

fn site() -> Site {
    let site = Site::new();
    let out = outbound("out", "b.test", free_address(), OPPORTUNISTIC);
    site.configure_all(&format!("{QUICK}{LISTENER}{ANYONE}{out}"));
    site
}

async fn logged(daemon: &Daemon, text: &str) {
    eventually(text, LONG, async || daemon.log().contains(text).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sigterm_ends_it_at_once() {
    let site = site();
    let mut daemon = Daemon::start(&site.home).await;
    // A message under way keeps the stop from being over at once.
    let mut client = Client::hello(daemon.at("in")).await;
    assert_eq!(client.say("MAIL FROM:<ada@a.test>").await.code, 250);
    assert_eq!(client.say("RCPT TO:<bob@b.test>").await.code, 250);
    assert_eq!(client.say("DATA").await.code, 354);
    daemon.signal("TERM");
    logged(&daemon, "stopping").await;
    daemon.signal("INT");
    let status = within("the end", Duration::from_secs(3), daemon.ended()).await;
    assert_eq!(status.signal(), Some(2), "{status}\n{}", daemon.log());
    assert!(daemon.log().contains("asked twice to stop"), "{}", daemon.log());
    assert!(!daemon.log().contains("stopped"), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_hangs_is_forced_and_says_at_what() {
    let site = site();
    // The thread that would stop it in order reads this, and nobody writes.
    let data = site.home.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    assert!(Command::new("mkfifo").arg(data.join("paused")).status().unwrap().success());
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--config"]).arg(site.home.config()).stdin(Stdio::null());
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the control socket", LONG, async || data.join("control.sock").exists().then_some(())).await;
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let ended = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap());
    let output = within("the end", LONG, ended).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(70), "{said}");
    assert!(said.contains("the stop has taken 10 s (the start): ending now"), "{said}");
}
