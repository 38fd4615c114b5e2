//! Every row by its example, and replies of the real world.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::connector::{
    Attainment, HandshakeCause, HandshakeFault, OnFailure, RequiredTls, Requirement, SecuringFault,
};
use crate::mail::Enhanced;
use crate::outcome::{At, Outcome, Scope, Stage, classify_reply, classify_shortfall};

/// A reply as it is written in a log: lines are separated by line feeds.
fn read(text: &str) -> Reply {
    let (code, rest) = text.split_once(' ').expect("a code and a text");
    let code = code.parse().expect("a code");
    match Enhanced::split(rest) {
        Some((enhanced, rest)) => Reply::new(code, enhanced, rest.to_owned()),
        None => Reply::bare(code, rest.to_owned()),
    }
}

#[track_caller]
fn check(text: &str, expected: Option<&str>) {
    assert_eq!(hint_on_reply(&read(text)).map(|hint| hint.token), expected, "{text}");
}

#[test]
fn each_row_is_found_by_its_own_example_and_hides_no_later_one() {
    let wrong: Vec<String> = known_replies()
        .filter_map(|known| {
            let found = hint_on_reply(&read(known.example)).map(|hint| hint.token);
            (found != Some(known.hint.token)).then(|| format!("{}: {found:?}", known.hint.token))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn tokens_are_unique_and_found_again_and_marks_are_lower_case() {
    let mut seen = BTreeSet::new();
    let all = known_replies().map(|known| &known.hint).chain(known_handshakes().iter().map(|(_, hint)| hint));
    for hint in all {
        assert!(seen.insert(hint.token), "{} twice", hint.token);
        assert_eq!(hint_named(hint.token), Some(hint));
        assert!(hint.advice.ends_with('.') && !hint.advice.contains(". "), "one sentence: {}", hint.advice);
        assert!(hint.advice.is_ascii(), "{}", hint.advice);
    }
    for known in known_replies() {
        assert!(known.marks.iter().all(|mark| **mark == mark.to_lowercase()), "{}", known.hint.token);
        assert!(known.codes.is_some() || !known.marks.is_empty(), "{} matches everything", known.hint.token);
    }
    assert!(seen.len() > 100, "{}", seen.len());
    assert_eq!(hint_named("nobody-has-this"), None);
}

#[test]
fn replies_of_the_real_world_are_known() {
    // learn.microsoft.com/answers and logs that administrators published; addresses are replaced.
    check(
        "550 5.7.64 TenantAttribution; Relay Access Denied [MW2NAM10FT040.eop-nam10.prod.protection.outlook.com]",
        Some("exo-relay-denied"),
    );
    check("550 5.7.64 TenantAttribution; Relay Access Denied SMTP", Some("exo-relay-denied"));
    check(
        "450 4.4.317 Cannot connect to remote server [Message=SubjectMismatch Expected Subject: CN=mail.a.example] \
         [LastAttemptedServerName=mail.a.example]",
        Some("exo-subject-mismatch"),
    );
    check(
        "450 4.4.317 Cannot connect to remote server [Message=UntrustedRoot] [LastAttemptedIP=192.0.2.1:25]",
        Some("exo-untrusted-root"),
    );
    check(
        "450 4.4.317 Cannot connect to remote server [Message=451 5.7.3 STARTTLS is required to send mail]",
        Some("starttls-demanded"),
    );
    check("550 5.4.317 Message expired, cannot connect to remote server", Some("exo-cannot-connect"));
    check(
        "451 4.4.0 Primary target IP address responded with: \"454 4.7.0 Failed to establish appropriate TLS channel: \
         UntrustedRoot: Access Denied.\" Attempted failover to alternate host, but that did not succeed.",
        Some("exo-untrusted-root"),
    );
    check("451 5.7.3 Must issue a STARTTLS command first", Some("starttls-demanded"));
    check("530 5.7.0 Must issue a STARTTLS command first.", Some("starttls-demanded"));
    check("451 4.7.0 Temporary server error. Please try again later. PRX2", Some("exchange-proxy"));
    check(
        "451 4.7.651 The mail server [192.0.2.1] has been temporarily rate limited (AS843)",
        Some("exo-throttled"),
    );
    check("550 5.7.649 Access denied, banned sending IP [192.0.2.1]", Some("exo-banned-ip"));
    check("550 5.7.650 no such range", None);
    check(
        "550 SC-001 (COL0-MC4-F44) Unfortunately, messages from 192.0.2.1 weren't sent. Please contact your Internet \
           service provider since part of their network is on our block list.",
        Some("outlook-block-list"),
    );
    check(
        "553 5.7.1 [BL23] Connections not accepted from IP addresses on Spamhaus XBL",
        Some("yahoo-block-list"),
    );
    check(
        "421 4.16.55 [TS01] Messages from 192.0.2.1 temporarily deferred due to user complaints",
        Some("yahoo-deferred"),
    );
    check(
        "554 IP=192.0.2.1 - None/bad reputation. Ask your postmaster for help or to contact tobr@rx.t-online.de for \
           reset. (NOWL)",
        Some("telekom-unknown-sender"),
    );
    check("550 Blocked", None);
    check(
        "550 5.1.1 <bob@fabrikam.example>: Recipient address rejected: User unknown in virtual mailbox table",
        None,
    );
    check("550 5.7.1 Message contains spam", None);
    check("250 2.0.0 Ok: queued, greylisted before", None);
    check("354 greylisted", None);
}

#[test]
fn gmail_is_known_by_its_signature_only() {
    check("421 4.7.28 slow down - gsmtp", Some("gmail-rate"));
    check("421 4.7.28 slow down", Some("mail-flood"));
    check("550 5.7.27 SPF authentication didn't pass - gsmtp", Some("gmail-spf"));
    check("550 5.7.27 Sender address has null MX", Some("sender-null-mx"));
}

#[test]
fn what_a_peer_writes_neither_changes_a_hint_nor_costs_much() {
    // Only whole marks count, in any case, over lines; and only so much of the text is looked at.
    check("550 5.7.1 TENANTattribution;\nrelay ACCESS denied", Some("exo-relay-denied"));
    let long = format!("550 5.7.1 {}greylisted", "x".repeat(5000));
    check(&long, None);
    let odd = "550 5.7.1 \u{130}\u{130} \u{1b}[2J greylisted";
    check(odd, Some("greylisted"));
}

fn at() -> At<'static> {
    At { host: "mx [192.0.2.7]:25", decision: None }
}

#[test]
fn a_hint_changes_no_classification() {
    // Each example is classified as the same reply is with a text that nobody knows.
    for known in known_replies() {
        let reply = read(known.example);
        let plain = Reply { text: "no".into(), ..reply.clone() };
        for stage in [Stage::Greeting, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::End] {
            let classes = [&reply, &plain].map(|reply| match classify_reply(stage, reply, false, &at()) {
                Outcome::Deferred(t) => (4, t.status, t.cause, t.scope),
                Outcome::Failed(t) => (5, t.status, t.cause, t.scope),
                Outcome::Delivered(_) => panic!("delivered"),
            });
            assert_eq!(classes[0], classes[1], "{}", known.hint.token);
        }
    }
}

fn decided(ruling: Ruling) -> Decision {
    Decision {
        connector: Some("out".into()),
        partner: None,
        host: None,
        required: RequiredTls::Session(Requirement::Opportunistic(None)),
        attained: Attainment::NoSession,
        ruling,
    }
}

#[test]
fn a_handshake_is_explained_by_its_cause() {
    use HandshakeCause as C;
    let causes = [
        (C::NothingInCommon, Some("tls-nothing-in-common")),
        (C::Version, Some("tls-version")),
        (C::Cut, Some("tls-cut")),
        (C::NotTls, Some("tls-not-tls")),
        (C::NameUnknown, Some("tls-name-unknown")),
        (C::Unproved, Some("tls-unproved")),
        (C::OursMissing, Some("tls-ours-missing")),
        (C::OursUnsuited, Some("tls-ours-unsuited")),
        (C::OursUnknown, Some("tls-ours-unknown")),
        (C::OursExpired, Some("tls-ours-expired")),
        (C::OursRefused, Some("tls-ours-refused")),
        (C::Other, None),
    ];
    for (cause, expected) in causes {
        let fault = HandshakeFault::of(cause, "why");
        let rulings = [
            Ruling::Withheld(Shortfall::Handshake(fault.clone())),
            Ruling::Waived(SecuringFault::Handshake(fault.clone()).shortfall()),
            Ruling::Plaintext(ClearCause::HandshakeBroken(fault.clone())),
        ];
        for ruling in rulings {
            assert_eq!(hint_on_decision(&decided(ruling)).map(|hint| hint.token), expected, "{cause:?}");
        }
    }
    let refused = |text: &str| decided(Ruling::Withheld(Shortfall::Refused(read(text))));
    let token = |decision: &Decision| hint_on_decision(decision).map(|hint| hint.token);
    assert_eq!(token(&refused("454 4.7.0 TLS not available due to local problem")), Some("tls-unavailable"));
    assert_eq!(token(&refused("502 5.5.1 no")), Some("starttls-refused"));
    assert_eq!(token(&decided(Ruling::Met)), None);
    assert_eq!(token(&decided(Ruling::Plaintext(ClearCause::NotOffered))), None);
}

#[test]
fn a_trouble_is_explained_by_the_reply_or_else_by_the_decision() {
    let fault = Shortfall::Handshake(HandshakeFault::of(HandshakeCause::Version, "old"));
    let decision = Arc::new(decided(Ruling::Withheld(fault.clone())));
    let at = At { host: "mx", decision: Some(&decision) };
    let Outcome::Deferred(trouble) = classify_shortfall(&fault, &OnFailure::Defer, &at) else {
        panic!("deferred")
    };
    assert_eq!(trouble.hint().map(|hint| hint.token), Some("tls-version"));
    assert_eq!(trouble.scope, Scope::Lane);
    let reply = read("550 5.7.64 TenantAttribution; Relay Access Denied");
    let Outcome::Failed(trouble) = classify_reply(Stage::Mail, &reply, false, &at) else { panic!("failed") };
    assert_eq!(trouble.hint().map(|hint| hint.token), Some("exo-relay-denied"));
}
