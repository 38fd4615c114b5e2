//! Known replies of next hops, and handshakes that fail for a known cause, are explained wherever they are shown; and the
//! page that lists them is printed from the table.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use sealpost::outcome::{Hint, KnownReply, known_handshakes, known_replies};

use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, PROGRAM};
use crate::peer::mix;
use crate::peer::sink::{Manner, Sink, SinkTls};
use crate::peer::site::{IDENTITY, OPPORTUNISTIC, QUICK, Site, outbound};

/// A host that answers every hello with handshake_failure, as one does that has no cipher suite in common with us.
fn no_suite() -> Manner {
    Manner::new(SinkTls::Answers(&[0x15, 3, 3, 0, 2, 2, 40]))
}

/// `sealpost ARGUMENTS`, without a configuration.
fn sealpost(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).output().unwrap()
}

async fn send(daemon: &Daemon, to: &str) {
    let mut message = mix::plain("hint", 1, 200, "ada@a.test", "").remove(0);
    message.to = vec![to.to_owned()];
    assert_eq!(Client::hello(daemon.at("in")).await.transact(&message).await.unwrap().code, 250);
}

fn said(output: Output) -> String {
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_reply_is_explained_in_log_queue_validate_and_reports() {
    let site = Site::new();
    let denied =
        Manner::clear().replying("mail", "550 5.7.64 TenantAttribution; Relay Access Denied [x.eop]");
    let denies = Sink::start(denied).await;
    let slow = Manner::clear()
        .replying("rcpt", "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77)");
    let slows = Sink::start(slow).await;
    let odd = Sink::start(Manner::clear().replying("rcpt", "451 4.7.1 come back some day")).await;
    let home = Sink::start(Manner::clear()).await;
    let late = format!("{OPPORTUNISTIC}delay_dsn = \"1s\"\n");
    let config = QUICK.to_owned()
        + &outbound("denies", "d.test", denies.address, OPPORTUNISTIC)
        + &outbound("slows", "s.test", slows.address, &late)
        + &outbound("odd", "o.test", odd.address, OPPORTUNISTIC)
        + &outbound("home", "a.test", home.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    // It fails: log and report.
    send(&daemon, "bob@d.test").await;
    let report = String::from_utf8(home.messages(1).await.remove(0).content).unwrap();
    let flat = report.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        flat.contains("Hint: We must let our tenant recognise this relay: an inbound connector there"),
        "{report}"
    );
    assert!(report.contains("X-Sealpost-Hint: exo-relay-denied\r\n"), "{report}");
    let failed = daemon.logged_line(&["failed id=", "bob@d.test"]).await;
    assert!(
        failed.contains("hint=\"We must let our tenant") && failed.contains("[exo-relay-denied]"),
        "{failed}"
    );
    // It waits: log, queue in text and JSON, a report about the delay, and validate.
    send(&daemon, "bob@s.test").await;
    let row = daemon.deferred("bob@s.test").await;
    assert_eq!(row["last"]["hint"]["token"], "exo-throttled", "{row}");
    assert_eq!(row["last"]["hint"]["who"], "nobody", "{row}");
    let id = daemon.queue().await[0]["id"].as_str().unwrap().to_owned();
    let shown = said(site.home.run(&["queue", "show"], &[&id]));
    assert!(shown.contains("hint         Nobody needs to act if it passes within hours"), "{shown}");
    let deferred = daemon.logged_line(&["deferred id=", "bob@s.test"]).await;
    assert!(deferred.contains("[exo-throttled]"), "{deferred}");
    let report = String::from_utf8(home.messages(2).await.remove(1).content).unwrap();
    assert!(report.contains("X-Sealpost-Hint: exo-throttled\r\n"), "{report}");
    let validated = said(site.home.run(&["validate"], &["slows", "--to", "bob@s.test"]));
    assert!(validated.contains("hint          Nobody needs to act if it passes within hours"), "{validated}");
    let json = said(site.home.run(&["validate"], &["denies", "--to", "bob@d.test", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["hosts"][0]["hint"]["token"], "exo-relay-denied", "{json}");
    assert!(json["verdict"].as_str().unwrap().contains("We must let our tenant"), "{json}");
    // What nobody knows has no hint, and waits all the same.
    send(&daemon, "bob@o.test").await;
    let row = daemon.deferred("bob@o.test").await;
    assert!(row["last"]["hint"].is_null(), "{row}");
    assert!(!daemon.logged_line(&["deferred id=", "bob@o.test"]).await.contains("hint="));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_mail_that_failed_does_not_say_that_it_is_tried_again() {
    let site = Site::new();
    let final_text = "554 5.7.1 <bob@f.test>: Recipient address rejected: Greylisted, try again in 5 minutes";
    let fails = Sink::start(Manner::clear().replying("rcpt", final_text)).await;
    let waits = Sink::start(Manner::clear().replying("rcpt", "450 4.2.0 Greylisted, try again")).await;
    let home = Sink::start(Manner::clear()).await;
    let config = QUICK.to_owned()
        + &outbound("fails", "f.test", fails.address, OPPORTUNISTIC)
        + &outbound("waits", "w.test", waits.address, &format!("{OPPORTUNISTIC}expire = \"2s\"\n"))
        + &outbound("home", "a.test", home.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    for (count, to) in [(1, "bob@f.test"), (2, "bob@w.test")] {
        send(&daemon, to).await;
        let report = String::from_utf8(home.messages(count).await.remove(count - 1).content).unwrap();
        assert!(report.contains(&format!("<{to}>")) && report.contains("Action: failed"), "{report}");
        assert!(!report.contains("Hint:") && !report.contains("Nobody"), "{report}");
        assert!(!daemon.logged_line(&["failed id=", to]).await.contains("hint="));
    }
    // While it waited, it was so.
    assert!(daemon.logged_line(&["deferred id=", "bob@w.test"]).await.contains("[greylisted]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_without_a_common_suite_says_what_to_do() {
    let site = Site::new();
    let (forced, tolerant) = (Sink::start(no_suite()).await, Sink::start(no_suite()).await);
    let cut = Sink::start(Manner::new(SinkTls::Resets)).await;
    let config = outbound("forced", "b.test", forced.address, IDENTITY)
        + &outbound("tolerant", "c.test", tolerant.address, OPPORTUNISTIC)
        + &outbound("cut", "e.test", cut.address, IDENTITY);
    let daemon = site.start(&config).await;
    send(&daemon, "bob@b.test").await;
    let row = daemon.deferred("bob@b.test").await;
    assert_eq!(row["last"]["hint"]["token"], "tls-nothing-in-common", "{row}");
    assert!(
        row["last"]["hint"]["advice"].as_str().unwrap().contains("only with an ECDSA certificate"),
        "{row}"
    );
    let id = daemon.queue().await[0]["id"].as_str().unwrap().to_owned();
    let shown = said(site.home.run(&["queue", "show"], &[&id]));
    assert!(shown.contains("hint         Their server must offer ECDHE"), "{shown}");
    send(&daemon, "bob@e.test").await;
    assert_eq!(daemon.deferred("bob@e.test").await["last"]["hint"]["token"], "tls-cut");
    // In plaintext, where that is allowed, and with the same explanation.
    send(&daemon, "bob@c.test").await;
    tolerant.messages(1).await;
    assert!(
        daemon
            .logged_line(&["sent in plaintext", "connector=tolerant"])
            .await
            .contains("[tls-nothing-in-common]")
    );
    let probed = said(sealpost(&["probe", &forced.address.to_string()]));
    assert!(probed.contains("hint: Their server must offer ECDHE"), "{probed}");
}

#[test]
fn a_copied_reply_is_looked_up_without_a_configuration() {
    let explain = |arguments: &[&str]| sealpost(&[&["explain"], arguments].concat());
    let output = explain(&["--reply", "mx.a.test said: 550-5.7.64 TenantAttribution; Relay Access Denied"]);
    assert!(output.status.success());
    let text = said(output);
    assert!(text.contains("[exo-relay-denied]") && text.contains("who can fix it: we"), "{text}");
    let output = explain(&["--reply", "554 IP=192.0.2.1 - A problem occurred. (BL)", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said(output)).unwrap();
    assert_eq!(json["hint"]["token"], "telekom-unknown-sender", "{json}");
    let output = explain(&["--reply", "550 5.1.1 no such user"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(explain(&["--reply", "550 x", "--to", "a@b.test"]).status.code(), Some(2));
}

#[test]
fn the_page_is_printed_from_the_table() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/replies.md");
    let page = page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == page, "{} is out of date; UPDATE_GOLDEN=1 writes it", file.display());
}

fn page() -> String {
    let mut page = "# What peers say\n\n\
        Replies of next hops that are known, and what to do about them. The text after `hint` in the log, in `sealpost queue show`, in \
        `validate`, `probe` and reports is the sentence of this table, with its token in brackets. Reports give it to readers in our own \
        organisation, and to others only if the inbound connector has `reveal = \"full\"`. A hint explains a reply and never changes what \
        happens to the mail: that goes by the reply's code only.\n\n\
        `sealpost explain --reply 'TEXT'` looks up a reply that was copied from elsewhere. \
        A reply is recognised by its enhanced status code (`x`: 4 or 5), by words in its text, or by both; where several fit, the most specific \
        one counts. Addresses in the text never do, and *nobody* is named only while the mail is tried again. *We* are the administrators of this relay, *they* those of the host that answered.\n\n\
        Printed from the table in the code: `UPDATE_GOLDEN=1 cargo test --test it hints` writes it.\n"
        .to_owned();
    let mut order: Vec<&str> = Vec::new();
    for known in known_replies() {
        if !order.contains(&known.from) {
            order.push(known.from);
        }
    }
    for from in order {
        let _ = write!(
            page,
            "\n## {}\n\n| reply | what to do | who | token |\n|---|---|---|---|\n",
            capitalised(from)
        );
        for known in known_replies().filter(|known| known.from == from) {
            page += &row(&recognised(known), &known.hint);
        }
    }
    page += "\n## Handshakes\n\n| what happened | what to do | who | token |\n|---|---|---|---|\n";
    for (what, hint) in known_handshakes() {
        page += &row(what, hint);
    }
    page
}

fn capitalised(from: &str) -> String {
    match from {
        "any host" => "Any host".to_owned(),
        "block lists" => "Block lists".to_owned(),
        other => other.to_owned(),
    }
}

fn row(what: &str, hint: &Hint) -> String {
    format!("| {what} | {} | {} | `{}` |\n", hint.advice, hint.actor.word(), hint.token)
}

fn recognised(known: &KnownReply) -> String {
    let mut parts: Vec<String> = known.codes.iter().map(|codes| format!("`{codes}`")).collect();
    for mark in known.marks {
        parts.push(mark.split('|').map(|one| format!("`{}`", one.trim())).collect::<Vec<_>>().join(" or "));
    }
    parts.join("; ")
}

#[test]
fn everybody_who_can_fix_something_is_named() {
    let words: BTreeSet<&str> = known_replies().map(|known| known.hint.actor.word()).collect();
    let all = BTreeSet::from(["we", "they", "we or they", "the sender", "the recipient", "nobody"]);
    assert_eq!(words, all);
}
