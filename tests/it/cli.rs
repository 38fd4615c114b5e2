//! The command line: exit codes, what it says, readiness for systemd, two daemons on one spool.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::peer::daemon::{Daemon, Home, PROGRAM};
use crate::peer::site::Site;
use crate::peer::{LONG, tools, within};

#[test]
fn check_tells_good_from_bad_by_its_exit_code() {
    let site = Site::usual();
    let good = site.home.run(&["check"], &[]);
    assert_eq!(good.status.code(), Some(0), "{}", tools::said(&good));
    let config = std::fs::read_to_string(site.home.config()).unwrap();
    std::fs::write(site.home.config(), config.replace("require = \"identity\"", "requires = \"identity\""))
        .unwrap();
    let bad = site.home.run(&["check"], &[]);
    assert_eq!(bad.status.code(), Some(78), "{}", tools::said(&bad));
    let said = tools::said(&bad);
    assert!(said.contains("requires") && said.contains("line"), "it points at the place: {said}");
}

#[test]
fn check_json_is_json() {
    let site = Site::usual();
    let output = site.home.run(&["check"], &["--json"]);
    serde_json::from_slice::<Value>(&output.stdout)
        .unwrap_or_else(|f| panic!("{f}: {}", tools::said(&output)));
}

#[test]
fn usage_is_told_apart() {
    let output = Command::new(PROGRAM).arg("no-such-verb").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let output = Command::new(PROGRAM).arg("--version").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn explain_names_connector_and_requirement() {
    let site = Site::usual();
    let from_to = ["--from", "ada@a.test", "--to", "bob@partner.test", "--peer-ip", "127.0.0.1"];
    let output = site.home.run(&["explain"], &from_to);
    let said = tools::said(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("partner") && said.contains("mail.partner.test"), "{said}");
    let output = site.home.run(&["explain"], &[&from_to[..], &["--json"]].concat());
    serde_json::from_slice::<Value>(&output.stdout)
        .unwrap_or_else(|f| panic!("{f}: {}", tools::said(&output)));
}

#[test]
fn a_bad_config_does_not_start() {
    let home = Home::new();
    home.configure("nonsense = true\n");
    let output = home.run(&["run"], &[]);
    assert_eq!(output.status.code(), Some(78), "{}", tools::said(&output));
    assert!(tools::said(&output).contains("nonsense"), "{}", tools::said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_spool_has_one_daemon() {
    let site = Site::usual();
    let daemon = Daemon::start(&site.home).await;
    let config = site.home.config();
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--config"]).arg(config).stdin(Stdio::null());
    let second = within("the end of the second daemon", LONG, tools::run(command)).await;
    assert!(!second.status.success());
    let said = tools::said(&second);
    assert!(said.contains("data"), "it names the folder: {said}");
    // The first one is none the worse.
    assert!(daemon.queue().await.is_empty());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_an_error_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let site = Site::usual();
    let config = std::fs::read_to_string(site.home.config()).unwrap();
    std::fs::write(site.home.config(), config.replace("127.0.0.1:0\"", &format!("{address}\""))).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--config"]).arg(site.home.config()).stdin(Stdio::null());
    let output = within("the end of the daemon", LONG, tools::run(command)).await;
    assert!(!output.status.success());
    assert!(tools::said(&output).contains(&address), "{}", tools::said(&output));
}

#[test]
fn queue_without_a_daemon_says_so() {
    let site = Site::usual();
    let output = site.home.run(&["queue", "list"], &[]);
    assert!(!output.status.success());
    assert!(!output.stderr.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_of_readiness_and_of_the_end() {
    let site = Site::usual();
    let path = site.home.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut command = Command::new(PROGRAM);
    command.env("NOTIFY_SOCKET", &path);
    let daemon = Daemon::start_by(&site.home, command).await;
    assert!(heard(&socket, "READY=1"));
    daemon.stop().await;
    assert!(heard(&socket, "STOPPING=1"));
}

/// Whether a datagram with this line comes.
pub(crate) fn heard(socket: &UnixDatagram, line: &str) -> bool {
    let mut buffer = [0; 1024];
    let until = Instant::now() + Duration::from_secs(30);
    while let (Ok(length), true) = (socket.recv(&mut buffer), Instant::now() < until) {
        if String::from_utf8_lossy(&buffer[..length]).lines().any(|l| l == line) {
            return true;
        }
    }
    false
}

#[test]
fn explain_judges_a_next_hop_by_the_certificate_it_would_show() {
    use crate::peer::mint::Kind;
    let site = Site::usual();
    let explain = |rest: &[&str]| {
        let output = site.home.run(&["explain", "--to", "bob@partner.test", "--json"], rest);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let token = answer["outbound"]["decisions"][0]["token"].as_str().unwrap_or("none").to_owned();
        (output.status.code(), token)
    };
    let write = |name: &str, names: &[&str], kind| {
        let (chain, _) = site.partners.pair(names, kind).write(site.home.path(), name);
        chain.to_string_lossy().into_owned()
    };
    let good = write("good", &["mail.partner.test"], Kind::Good);
    let wrong = write("wrong", &["other.test"], Kind::Good);
    let expired = write("expired", &["mail.partner.test"], Kind::Expired);
    assert_eq!(explain(&[]), (Some(0), "none".to_owned()));
    assert_eq!(explain(&["--peer-cert", &good]), (Some(0), "met".to_owned()));
    assert_eq!(explain(&["--peer-cert", &wrong]), (Some(1), "name-mismatch".to_owned()));
    assert_eq!(explain(&["--peer-cert", &expired]), (Some(1), "certificate-expired".to_owned()));
    assert_eq!(explain(&["--starttls", "not-offered"]), (Some(1), "starttls-not-offered".to_owned()));
}
