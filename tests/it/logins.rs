//! Clients that log in (RFC 4954), by real programs and by one that guesses.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, NAME, PROGRAM};
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{LISTENER, OPPORTUNISTIC, Site, outbound};
use crate::peer::{left_out, tools};

/// Whoever has logged in may send to everyone.
pub(crate) const USERS: &str = "[[inbound]]\nname = \"users\"\nfrom_domains = [\"*\"]\nusers_file = \"users\"\n\
     tls = \"opportunistic\"\nto_domains = [\"*\"]\n\n";

/// The line that `sealpost user ada` prints.
pub(crate) fn line_of_user() -> String {
    let mut child = Command::new(PROGRAM)
        .args(["user", "ada"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"open sesame\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(line.starts_with("ada:$argon2id$"), "{line}");
    line
}

async fn usual() -> (Site, Sink, Daemon, String) {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    std::fs::write(site.home.path().join("users"), line_of_user()).unwrap();
    let out = outbound("out", "b.test", sink.address, OPPORTUNISTIC);
    site.configure_all(&format!("[limits]\nfailed_logins = 2\n\n{LISTENER}{USERS}{out}"));
    let daemon = Daemon::start(&site.home).await;
    let anchors = site.home.path().join("ours.pem");
    std::fs::write(&anchors, &site.ours.pem).unwrap();
    let anchors = anchors.to_str().unwrap().to_owned();
    (site, sink, daemon, anchors)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_lets_mail_in_and_guessing_ends() {
    let (site, sink, daemon, _) = usual().await;
    let at = daemon.at("in");
    let config = site.ours.client(None);
    let mut clear = Client::hello(at).await;
    assert_eq!(clear.say("AUTH PLAIN AGFkYQBvcGVuIHNlc2FtZQ==").await.code, 538);
    let mut client = Client::sealed(at, &config, NAME).await;
    assert_eq!(client.say("MAIL FROM:<ada@a.test>").await.code, 530, "nobody relays without a login");
    assert_eq!(client.say("AUTH PLAIN AGFkYQB3cm9uZw==").await.code, 535);
    assert_eq!(client.say("AUTH PLAIN AGFkYQBvcGVuIHNlc2FtZQ==").await.code, 235);
    assert_eq!(client.say("MAIL FROM:<ada@a.test>").await.code, 250);
    assert_eq!(client.say("RCPT TO:<bob@b.test>").await.code, 250);
    assert_eq!(client.say("DATA").await.code, 354);
    assert_eq!(client.say("Subject: in\r\n\r\nx\r\n.").await.code, 250);
    let arrived = sink.messages(1).await.remove(0);
    let text = String::from_utf8(arrived.content).unwrap();
    assert!(text.contains("with ESMTPSA"), "{text}");

    // The one that was right has made the first failure good; two more are too many.
    let mut guesses = Client::sealed(at, &config, NAME).await;
    for _ in 0..2 {
        assert_eq!(guesses.say("AUTH PLAIN AGFkYQB3cm9uZw==").await.code, 535);
    }
    let mut again = Client::sealed(at, &config, NAME).await;
    let late = again.say("AUTH PLAIN AGFkYQBvcGVuIHNlc2FtZQ==").await;
    assert_eq!(late.code, 454, "not even what is right is checked now: {late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_guesses_are_no_more_than_may_fail() {
    let (site, _sink, daemon, _) = usual().await;
    let (at, config) = (daemon.at("in"), site.ours.client(None));
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(Client::sealed(at, &config, NAME).await);
    }
    for client in &mut clients {
        client.write(b"AUTH PLAIN AGFkYQB3cm9uZw==\r\n").await.unwrap();
    }
    // Somebody elsewhere, whom the crowd does not concern.
    let mut elsewhere = Client::try_connect_from([127, 0, 0, 2].into(), at).await.unwrap();
    assert_eq!(elsewhere.say("EHLO client.test").await.code, 250);
    assert_eq!(elsewhere.say("STARTTLS").await.code, 220);
    let mut elsewhere = elsewhere.handshake(&config, NAME).await.unwrap();
    assert_eq!(elsewhere.say("EHLO client.test").await.code, 250);
    assert_eq!(elsewhere.say("AUTH PLAIN AGFkYQBvcGVuIHNlc2FtZQ==").await.code, 235);
    let mut codes = Vec::new();
    for client in &mut clients {
        codes.push(client.reply().await.code);
    }
    codes.sort_unstable();
    assert_eq!(codes, [454, 454, 454, 454, 535, 535], "failed_logins is 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_an_address_logs_in_however_it_is_quoted() {
    let (site, _sink, daemon, _) = usual().await;
    let users = site.home.path().join("users");
    let line = std::fs::read_to_string(&users).unwrap().replace("ada:", "ada@a.test:");
    std::fs::write(&users, line).unwrap();
    assert!(daemon.command(&["reload"]).await.status.success());
    let mut client = Client::sealed(daemon.at("in"), &site.ours.client(None), NAME).await;
    // "ada"@A.test
    let said = client.say("AUTH PLAIN ACJhZGEiQEEudGVzdABvcGVuIHNlc2FtZQ==").await;
    assert_eq!(said.code, 235, "{said:?}");
}

const SMTPLIB: &str = "
import smtplib, ssl, sys
host, port, anchors = sys.argv[1], int(sys.argv[2]), sys.argv[3]
for mechanism in ('PLAIN', 'LOGIN'):
    client = smtplib.SMTP(host, port, local_hostname='python.test', timeout=30)
    client._host = 'gw.sealpost.test'
    client.starttls(context=ssl.create_default_context(cafile=anchors))
    client.ehlo()
    client.esmtp_features['auth'] = mechanism
    client.login('ada', 'open sesame')
    client.sendmail('ada@a.test', ['bob@b.test'], b'Subject: ' + mechanism.encode() + b'\\r\\n\\r\\nx\\r\\n')
    client.quit()
";

#[tokio::test(flavor = "multi_thread")]
async fn python_smtplib_logs_in() {
    if tools::program("python3").is_none() {
        return left_out("logins::python_smtplib_logs_in", "python3 is not installed");
    }
    let (_site, sink, daemon, anchors) = usual().await;
    let at = daemon.at("in");
    let mut python = Command::new("python3");
    python.args(["-c", SMTPLIB, &at.ip().to_string(), &at.port().to_string(), &anchors]).stdin(Stdio::null());
    let output = tools::run(python).await;
    assert!(output.status.success(), "{}", tools::said(&output));
    assert_eq!(sink.messages(2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn swaks_logs_in() {
    if tools::swaks().is_none() {
        return left_out("logins::swaks_logs_in", "swaks was not unpacked");
    }
    let (_site, sink, daemon, anchors) = usual().await;
    let at = daemon.at("in");
    let (ip, port) = (at.ip().to_string(), at.port().to_string());
    for mechanism in ["PLAIN", "LOGIN"] {
        let mut swaks = tools::swaks().unwrap();
        swaks.args(["--server", &ip, "--port", &port, "--tls", "--tls-verify", "--tls-ca-path", &anchors]);
        swaks.args(["--ehlo", "swaks.test", "--from", "ada@a.test", "--to", "bob@b.test", "--body", "x"]);
        swaks.args(["--auth", mechanism, "--auth-user", "ada", "--auth-password", "open sesame"]);
        swaks.stdin(Stdio::null());
        let output = tools::run(swaks).await;
        assert!(output.status.success(), "{mechanism}: {}", tools::said(&output));
    }
    assert_eq!(sink.messages(2).await.len(), 2);
}
