//! Tests of the echo mailbox: whom it answers, how often, and golden answers.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::connector::samples::{certificate, identity, tls};
use crate::connector::{
    Attainment, Attribution, ChainVerdict, Decision, EchoMailbox, Inbound, InboundTls, Mode, PeerCertificate,
    Profile, RequiredTls, Requirement, Reveal, Ruling, Shortfall, TlsFacts, TlsVersion, UnmetCondition,
};
use crate::mail::{Domain, Mailbox, QueueId, ReversePath, UnixMillis};

const NOW: UnixMillis = UnixMillis(1_795_469_756_000);

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).expect("a mailbox")
}

fn echo() -> EchoMailbox {
    EchoMailbox { address: mailbox("echo@gw.contoso.example"), per_hour: 2, per_day: 3 }
}

#[track_caller]
fn check(reverse_path: &str, header: &str, expected: &str) {
    let path = ReversePath::parse(reverse_path).expect("a path");
    let call = EchoCall::read(echo().address, header.as_bytes());
    let found = call.answerable(&echo(), &path);
    let found = found.map_or_else(|silence| silence.token().to_owned(), ToString::to_string);
    assert_eq!(found, expected, "{reverse_path} {header}");
}

#[test]
fn programs_and_lists_are_not_answered() {
    let person = "bob@fabrikam.example";
    check(person, "Subject: hello\r\n", person);
    check("", "Subject: hello\r\n", "echo-null-path");
    check("ECHO@gw.contoso.example", "", "echo-own-address");
    check(person, "auto-submitted: auto-replied\r\n", "echo-automatic");
    check(person, "Auto-Submitted: auto-generated; x=y\r\n", "echo-automatic");
    check(person, "Auto-Submitted: No (really)\r\n", person);
    check(person, "Auto-Submitted:\r\n", "echo-automatic");
    check(person, "Precedence: Bulk\r\n", "echo-bulk");
    check(person, "Precedence:\r\n list\r\n", "echo-bulk");
    check(person, "Precedence: first-class\r\n", person);
    check(person, "List-Id: <a.example>\r\n", "echo-list");
    check(person, "list-unsubscribe: x\r\n", "echo-list");
    check(
        person,
        "Content-Type: multipart/report; report-type=disposition-notification\r\n",
        "echo-automatic",
    );
    check(person, "Content-Type: multipart/mixed\r\n", person);
    check(person, "Precedence: bulk\r\nAuto-Submitted: no\r\n", "echo-bulk");
    for robot in [
        "MAILER-DAEMON",
        "no-reply",
        "noreply",
        "do_not_reply",
        "bounces+ada=a.example",
        "owner-list",
        "list-request",
        "prvs=123=ada",
        "nobody",
        "SRS0=x=y=a.example=ada",
    ] {
        check(&format!("{robot}@fabrikam.example"), "", "echo-robot");
    }
    check("postmaster@fabrikam.example", "", "postmaster@fabrikam.example");
    check("request@fabrikam.example", "", "request@fabrikam.example");
}

#[test]
fn of_a_message_only_what_looks_like_an_id_and_a_date_is_taken() {
    let read = |header: &str| {
        let call = EchoCall::read(echo().address, header.as_bytes());
        (call.message_id.unwrap_or_default(), call.date.unwrap_or_default())
    };
    let both = |id: &str, date: &str| (id.to_owned(), date.to_owned());
    let (id, date) = ("<a.1@fabrikam.example>", "Mon, 23 Nov 2026 21:35:56 +0000");
    assert_eq!(read(&format!("Message-ID: {id}\r\nDate: {date}\r\nSubject: x\r\n")), both(id, date));
    assert_eq!(read(&format!("Message-ID:\r\n {id}\r\nDate: \r\n {date}\r\n")), both(id, date));
    for odd in ["<a b@c>", "<a@b> buy this", "a@b", "<a>", "<a@b\u{e4}>", "<<a@b>"] {
        assert_eq!(read(&format!("Message-ID: {odd}\r\n")), both("", ""), "{odd}");
    }
    assert_eq!(read(&format!("Message-ID: <{}@b>\r\n", "a".repeat(300))), both("", ""));
    for odd in ["today, http://spam.example/now", "Mon (buy this now)", &"1".repeat(60)] {
        assert_eq!(read(&format!("Date: {odd}\r\n")), both("", ""), "{odd}");
    }
}

#[test]
fn answers_are_limited_for_each_domain_and_in_all() {
    let mut quota = EchoQuota::default();
    let mut take = |address: &str, minutes: u64| {
        let now = NOW.plus(Duration::from_secs(60 * minutes));
        quota.take(&echo(), mailbox(address).domain(), now).err().map(Silence::token)
    };
    assert_eq!(take("a@one.example", 0), None);
    assert_eq!(take("b@ONE.example", 1), None);
    assert_eq!(take("a@one.example", 2), Some("echo-hour-full"));
    assert_eq!(take("a@two.example", 3), None);
    assert_eq!(take("a@three.example", 4), Some("echo-day-full"));
    assert_eq!(take("a@one.example", 61), Some("echo-day-full"));
    assert_eq!(take("a@one.example", 60 * 24), None);
    // A clock that is set back does not silence it.
    assert_eq!(take("a@one.example", 60), None);
}

/// What a test says of the session.
struct Session {
    connector: Inbound,
    tls: Option<TlsFacts>,
    ruling: Ruling,
    requirement: Requirement,
    profile: Option<Profile>,
}

fn answered(session: Session) -> String {
    let Session { connector, tls, ruling, requirement, profile } = session;
    let header = "Message-ID: <1@fabrikam.example>\r\nDate: Mon, 23 Nov 2026 21:35:50 +0000\r\n";
    let call = EchoCall::read(echo().address, header.as_bytes());
    let decision = Decision {
        connector: Some(Arc::clone(&connector.name)),
        partner: None,
        host: None,
        required: RequiredTls::Client { tls: connector.forced().cloned(), login: false },
        attained: Attainment::Client { tls: tls.map(Arc::new), user: None },
        ruling,
    };
    let (name, to) =
        (Domain::parse("gw.contoso.example").expect("a domain"), mailbox("bob@fabrikam.example"));
    let ours = certificate(&["gw.contoso.example"], ChainVerdict::Trusted);
    let content = compose(&EchoAnswer {
        id: QueueId::first_of(1_795_469_756_000),
        name: &name,
        from: &echo().address,
        to: &to,
        call: &call,
        now: NOW,
        peer: "192.0.2.7".parse().expect("an address"),
        connector: &connector,
        decision: &decision,
        listener: Some(OwnListener { tls: "STARTTLS is offered", profile, certificates: vec![&ours] }),
        expected: ExpectedTls { ehlo: &name, requirement, certificate: profile.map(|_| &ours) },
    });
    let text = String::from_utf8(content).expect("ASCII");
    assert!(text.is_ascii() && text.len() < 8_192, "{text}");
    assert!(text.split("\r\n").all(|line| line.len() < 79), "{text}");
    text
}

fn forced(mode: Mode) -> Inbound {
    let tls = InboundTls::Forced(identity(&["mail.fabrikam.example"]));
    Inbound { tls, mode, ..Inbound::new("fabrikam-in", Vec::new()) }
}

/// Compares with a golden file, or writes it if `UPDATE_GOLDEN` is set.
#[track_caller]
fn golden(name: &str, text: &str) {
    let file =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/echo/golden").join(format!("{name}.txt"));
    let text = text.replace("\r\n", "\n");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &text).expect("a golden file");
    }
    assert_eq!(text, std::fs::read_to_string(&file).unwrap_or_default(), "{}", file.display());
}

#[test]
fn an_answer_says_what_was_seen_what_is_missing_and_what_to_expect() {
    let shown =
        PeerCertificate::Shown(Box::new(certificate(&["mail.fabrikam.example"], ChainVerdict::Trusted)));
    golden(
        "met",
        &answered(Session {
            connector: forced(Mode::Enforce),
            tls: Some(tls(TlsVersion::V13, shown.clone())),
            ruling: Ruling::Attributed(Attribution::Certificate),
            requirement: Requirement::Forced(identity(&["mail.fabrikam.example", "mx.fabrikam.example"])),
            profile: Some(Profile::Nl2025),
        }),
    );
    golden(
        "audit",
        &answered(Session {
            connector: forced(Mode::Audit),
            tls: Some(tls(TlsVersion::V12, PeerCertificate::NotShown)),
            ruling: Ruling::WaivedClient(UnmetCondition::Tls(Shortfall::NoCertificate)),
            requirement: Requirement::Audit(identity(&["mail.fabrikam.example"])),
            profile: None,
        }),
    );
    golden(
        "plaintext",
        &answered(Session {
            connector: Inbound::new("fabrikam-in", Vec::new()),
            tls: None,
            ruling: Ruling::Attributed(Attribution::Network),
            requirement: Requirement::Opportunistic(None),
            profile: None,
        }),
    );
    golden(
        "discreet",
        &answered(Session {
            connector: Inbound { reveal: Reveal::Code, ..forced(Mode::Enforce) },
            tls: Some(tls(TlsVersion::V13, shown)),
            ruling: Ruling::Attributed(Attribution::Certificate),
            requirement: Requirement::Forced(identity(&["mail.fabrikam.example"])),
            profile: None,
        }),
    );
}

#[test]
fn names_in_certificates_can_neither_forge_lines_nor_fill_the_answer() {
    let mut odd = certificate(&["mail.fabrikam.example"], ChainVerdict::Trusted);
    odd.subject = format!("CN=a\r\n.\r\nSubject: forged\u{e4} {}", "long ".repeat(500));
    let text = answered(Session {
        connector: forced(Mode::Enforce),
        tls: Some(tls(TlsVersion::V13, PeerCertificate::Shown(Box::new(odd)))),
        ruling: Ruling::Attributed(Attribution::Certificate),
        requirement: Requirement::Off,
        profile: None,
    });
    assert!(!text.contains("\r\nSubject: forged") && text.matches("long").count() < 100, "{text}");
}
