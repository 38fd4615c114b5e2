//! Real programs at both ends: Postfix, swaks, OpenSSL, Python's smtplib and aiosmtpd.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use crate::peer::daemon::{Daemon, NAME, free_address};
use crate::peer::mint::Kind;
use crate::peer::mix;
use crate::peer::postfix::{Postfix, Relay};
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, IDENTITY, LISTENER, OPPORTUNISTIC, PARTNER, QUICK, Site, outbound};
use crate::peer::{LONG, left_out, tools, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_messages_into_a_real_postfix_over_verified_tls() {
    if let Some(why) = Postfix::missing() {
        return left_out("real_peers::a_thousand_messages_into_a_real_postfix", why);
    }
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let relay = Relay { to: sink.address, verify: None };
    let postfix = Postfix::start(&site.partners.pair(&[PARTNER], Kind::Good), relay).await;
    let daemon =
        site.start(&(QUICK.to_owned() + &outbound("out", "b.test", postfix.address, IDENTITY))).await;
    let mut load = postfix.tool("smtp-source");
    load.args(["-m", "1000", "-s", "10", "-l", "4096", "-f", "ada@a.test", "-t", "bob@b.test"]);
    load.arg(daemon.at("in").to_string());
    let output = tools::run(load).await;
    assert!(output.status.success(), "{}", tools::said(&output));
    let arrived = sink.messages(1000).await;
    for message in &arrived {
        let text = String::from_utf8_lossy(&message.content);
        // Postfix's own account of the session it had with us.
        assert!(text.contains("(using TLSv1.3 with cipher"), "{text}");
    }
    daemon.queue_empty().await;
    assert_eq!(arrived.len(), 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_name_keeps_mail_from_a_real_postfix() {
    if let Some(why) = Postfix::missing() {
        return left_out("real_peers::a_wrong_name_keeps_mail_from_a_real_postfix", why);
    }
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let relay = Relay { to: sink.address, verify: None };
    let postfix = Postfix::start(&site.partners.pair(&["other.test"], Kind::Good), relay).await;
    let daemon =
        site.start(&(QUICK.to_owned() + &outbound("out", "b.test", postfix.address, IDENTITY))).await;
    site.source(daemon.at("in"), 1).send_all(mix::plain("w", 1, 10, "ada@a.test", "bob@b.test")).await;
    let row = daemon.deferred("bob@b.test").await;
    assert_eq!(row["last"]["decision"]["token"], "name-mismatch", "{row}");
    assert!(sink.arrived().is_empty() && !postfix.log().contains("from=<ada@a.test>"), "{}", postfix.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_postfix_submits_over_verified_tls() {
    if let Some(why) = Postfix::missing() {
        return left_out("real_peers::a_real_postfix_submits_over_verified_tls", why);
    }
    let site = Site::new();
    let sink = site.good_sink().await;
    let address = free_address();
    let listener = LISTENER.replace("127.0.0.1:0", &address.to_string());
    let out = outbound("out", "b.test", sink.address, IDENTITY);
    site.configure_all(&format!("{listener}{ANYONE}{out}"));
    let daemon = Daemon::start(&site.home).await;
    let relay = Relay { to: address, verify: Some((&site.ours, NAME)) };
    let postfix = Postfix::start(&site.partners.pair(&["postfix.test"], Kind::Good), relay).await;
    let mut load = postfix.tool("smtp-source");
    load.args(["-m", "200", "-s", "5", "-l", "4096", "-f", "ada@a.test", "-t", "bob@b.test"]);
    let output = tools::run({
        load.arg(postfix.address.to_string());
        load
    })
    .await;
    assert!(output.status.success(), "{}", tools::said(&output));
    let arrived = sink.messages(200).await;
    let text = String::from_utf8_lossy(&arrived[0].content).into_owned();
    assert!(text.contains("ESMTPS") && text.contains("TLSv1.3"), "{text}");
    daemon.queue_empty().await;
}

/// A daemon whose mail goes to a sink, and the file with the authority of its certificate.
async fn usual() -> (Site, Sink, Daemon, String) {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let daemon = site.start(&outbound("out", "b.test", sink.address, OPPORTUNISTIC)).await;
    let anchors = site.home.path().join("ours.pem");
    std::fs::write(&anchors, &site.ours.pem).unwrap();
    let anchors = anchors.to_str().unwrap().to_owned();
    (site, sink, daemon, anchors)
}

#[tokio::test(flavor = "multi_thread")]
async fn swaks_hands_in_a_message_over_tls() {
    let Some(mut swaks) = tools::swaks() else {
        return left_out("real_peers::swaks_hands_in_a_message_over_tls", "swaks was not unpacked");
    };
    let (_site, sink, daemon, anchors) = usual().await;
    let at = daemon.at("in");
    swaks.args(["--server", &at.ip().to_string(), "--port", &at.port().to_string(), "--tls", "--tls-verify"]);
    swaks.args([
        "--tls-ca-path",
        &anchors,
        "--from",
        "ada@a.test",
        "--to",
        "bob@b.test",
        "--body",
        "from swaks",
    ]);
    swaks.args(["--ehlo", "swaks.test", "--header", "X-Test-Id: swaks"]);
    swaks.stdin(Stdio::null());
    let output = tools::run(swaks).await;
    assert!(output.status.success(), "{}", tools::said(&output));
    let arrived = sink.messages(1).await.remove(0);
    let text = String::from_utf8(arrived.content).unwrap();
    assert!(text.contains("from swaks") && text.contains("ESMTPS"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_accepts_our_handshake_in_both_versions() {
    let Some(openssl) = tools::program("openssl") else {
        return left_out(
            "real_peers::openssl_accepts_our_handshake_in_both_versions",
            "openssl is not installed",
        );
    };
    let (_site, _sink, daemon, anchors) = usual().await;
    for (version, accepted) in [("-tls1_3", true), ("-tls1_2", true), ("-tls1_1", false)] {
        let mut command = Command::new(&openssl);
        command.args(["s_client", "-starttls", "smtp", "-verify_return_error", "-brief", version]);
        command.args([
            "-connect",
            &daemon.at("in").to_string(),
            "-CAfile",
            &anchors,
            "-verify_hostname",
            NAME,
        ]);
        let output = within("openssl", LONG, talk(command, "QUIT\r\n")).await;
        let said = tools::said(&output);
        assert_eq!(said.contains("Verification: OK"), accepted, "{version}: {said}");
        assert_eq!(output.status.success(), accepted, "{version}: {said}");
    }
}

/// Runs a command that is told something.
async fn talk(mut command: Command, said: &'static str) -> std::process::Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // It may be over before it listens.
        let _ = child.stdin.take().unwrap().write_all(said.as_bytes());
        child.wait_with_output().unwrap()
    })
    .await
    .unwrap()
}

const SMTPLIB: &str = "
import smtplib, ssl, sys
host, port, anchors = sys.argv[1], int(sys.argv[2]), sys.argv[3]
context = ssl.create_default_context(cafile=anchors)
client = smtplib.SMTP(host, port, local_hostname='python.test', timeout=30)
client._host = 'gw.sealpost.test'
client.starttls(context=context)
client.sendmail('ada@a.test', ['bob@b.test', 'carol@b.test'], b'Subject: hi\\r\\n\\r\\n.dot\\r\\nfrom smtplib\\r\\n')
client.quit()
";

#[tokio::test(flavor = "multi_thread")]
async fn python_smtplib_hands_in_a_message_over_tls() {
    if tools::program("python3").is_none() {
        return left_out(
            "real_peers::python_smtplib_hands_in_a_message_over_tls",
            "python3 is not installed",
        );
    }
    let (_site, sink, daemon, anchors) = usual().await;
    let at = daemon.at("in");
    let mut python = Command::new("python3");
    python.args(["-c", SMTPLIB, &at.ip().to_string(), &at.port().to_string(), &anchors]).stdin(Stdio::null());
    let output = tools::run(python).await;
    assert!(output.status.success(), "{}", tools::said(&output));
    let arrived = sink.messages(1).await.remove(0);
    assert_eq!(arrived.recipients, ["bob@b.test", "carol@b.test"]);
    assert!(arrived.content.ends_with(b"Subject: hi\r\n\r\n.dot\r\nfrom smtplib\r\n"));
}

const AIOSMTPD: &str = "
import ssl, sys, threading
from aiosmtpd.controller import Controller
class Handler:
    async def handle_DATA(self, server, session, envelope):
        sealed = session.ssl is not None
        print('GOT', sealed, envelope.mail_from, ','.join(envelope.rcpt_tos), envelope.content.hex(), flush=True)
        return '250 2.0.0 taken'
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
controller = Controller(Handler(), hostname='127.0.0.1', port=int(sys.argv[1]), tls_context=context, require_starttls=True)
controller.start()
print('READY', flush=True)
threading.Event().wait()
";

/// A child that ends with the test.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn aiosmtpd_takes_our_mail_over_verified_tls() {
    let Some(mut python) = tools::python("aiosmtpd.smtp") else {
        return left_out(
            "real_peers::aiosmtpd_takes_our_mail_over_verified_tls",
            "aiosmtpd was not unpacked",
        );
    };
    let site = Site::new();
    let (chain, key) = site.partners.pair(&[PARTNER], Kind::Good).write(site.home.path(), "aio");
    let address = free_address();
    python.args(["-c", AIOSMTPD, &address.port().to_string()]).args([chain, key]);
    python.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = Ending(python.spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let next = |mut lines: std::io::Lines<BufReader<std::process::ChildStdout>>| {
        tokio::task::spawn_blocking(move || (lines.next().unwrap().unwrap(), lines))
    };
    let (ready, rest) = within("aiosmtpd", LONG, next(lines)).await.unwrap();
    lines = rest;
    assert_eq!(ready, "READY");
    let daemon = site.start(&(QUICK.to_owned() + &outbound("out", "b.test", address, IDENTITY))).await;
    let sent = mix::messages("aio", 2, "ada@a.test", "bob@b.test").remove(1);
    site.source(daemon.at("in"), 1).send_all(vec![sent.clone()]).await;
    let (got, _lines) = within("a message at aiosmtpd", LONG, next(lines)).await.unwrap();
    let words: Vec<&str> = got.split(' ').collect();
    assert_eq!(words[..4], ["GOT", "True", "ada@a.test", "bob@b.test"]);
    let content: Vec<u8> = (0..words[4].len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&words[4][at..at + 2], 16).unwrap())
        .collect();
    mix::assert_same("aio", &sent.content, &content);
    daemon.queue_empty().await;
}
