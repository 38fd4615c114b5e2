//! Every row by its example, and replies of the real world.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::connector::{
    Attainment, Forced, HandshakeCause, HandshakeFault, OnFailure, Require, RequiredTls, Requirement,
    SecuringFault, TlsVersion,
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
fn only_what_is_tried_again_needs_nobody_to_act() {
    check(
        "554 5.7.1 <u@g.test>: Recipient address rejected: Greylisted, please try again in 5 minutes",
        None,
    );
    check("550 5.5.3 Too many recipients", None);
    check("452 4.5.3 Too many recipients", Some("too-many-recipients"));
    for known in known_replies() {
        let hint = &known.hint;
        let promises = hint.advice.contains("tried again") || hint.advice.contains("Nobody");
        assert!(!promises || hint.actor == Actor::Nobody, "{}", hint.token);
        let mut failed = read(known.example);
        failed.code = 550;
        assert!(hint_on_reply(&failed).is_none_or(|hint| hint.actor != Actor::Nobody), "{}", hint.token);
    }
    // A deferral that lasted until the message expired, and one that was made final, have failed.
    let reply = read("450 4.2.0 Greylisted, try again");
    let Outcome::Deferred(trouble) = classify_reply(Stage::Rcpt, &reply, false, &at()) else {
        panic!("deferred")
    };
    assert_eq!(trouble.hint().map(|hint| hint.token), Some("greylisted"));
    assert_eq!(Trouble { expired: true, ..trouble.clone() }.hint(), None);
    assert_eq!(trouble.made_final().hint(), None);
}

#[test]
fn what_a_reply_repeats_is_not_its_reason() {
    check(
        "550 5.1.1 <abuse@spamhaus.org>: Recipient address rejected: User unknown in local recipient table",
        None,
    );
    check("550 5.1.1 <bob@dmarc.example>: Recipient address rejected: User unknown", None);
    check("550 5.1.1 <info@blocklist.de>: User unknown", None);
    check("550 <bob@abusix.com>: User unknown", None);
    check("550 5.7.1 User unknown; mimecast@rejected.example", None);
    check("550 5.1.1 <t@toosmall.example> \"authentication required\" for alias", None);
    check("550 5.7.1 Message rejected: your message contains the word blacklist", None);
    check("421 4.3.0 mx.dmarc.example is busy", None);
    let zen = "Recipient address rejected: blocked using zen.spamhaus.org";
    check(&format!("554 5.7.1 <bob@mydomain.example>: {zen}"), Some("spamhaus-listed"));
    check(&format!("554 5.7.1 {zen} (ask the domain's postmaster)"), Some("spamhaus-listed"));
    check("550 5.7.1 SPF check failed, see blocklist policy", Some("spf"));
    check("554 5.7.5 permanent error evaluating DMARC policy", Some("dmarc"));
    check(
        "454 4.7.0 Failed to establish appropriate TLS channel: Access Denied",
        Some("exchange-tls-channel"),
    );
    check("421 4.3.2 Service not available", Some("exchange-not-active"));
    check("421 4.3.2 System not accepting network messages", Some("exchange-not-active"));
    let many = "421 4.3.2 The maximum number of concurrent server connections has exceeded a per-source limit, closing \
                transmission channel";
    check(many, Some("exo-connections"));
    check("550 5.4.1 All recipient addresses rejected : Access denied", Some("exo-unknown-recipient"));
    check("535 5.7.3 Authentication unsuccessful", Some("exchange-login-refused"));
}

proptest! {
    #[test]
    fn no_hint_depends_on_what_stands_in_an_address(
        before in "(550 5\\.7\\.1|554 5\\.1\\.1|450 4\\.2\\.0|454 4\\.7\\.0|421 4\\.3\\.2|550) (Rejected|blocked using|no) ",
        word in 0_usize..400,
        shape in 0_usize..5,
        after in "(: User unknown| is not here| tls)?",
    ) {
        let marks: Vec<&str> = known_replies().flat_map(|known| known.marks).flat_map(|mark| mark.split('|')).collect();
        let mark = marks[word % marks.len()];
        let atom: String = mark.chars().map(|one| if one.is_ascii_alphanumeric() { one } else { '-' }).collect();
        let quoted = mark.replace(['"', '\\'], "");
        let address = |atom: &str, quoted: &str| match shape {
            0 => format!("<{atom}@x.example>"),
            1 => format!("{atom}@x.example"),
            2 => format!("<\"{quoted}\"@x.example>"),
            3 => format!("[bob@{atom}.example]"),
            _ => format!("\"{quoted}\"@x.example"),
        };
        let hint = |address: String| hint_on_reply(&read(&format!("{before}{address}{after}"))).map(|hint| hint.token);
        prop_assert_eq!(hint(address(&atom, &quoted)), hint(address("bob", "bob")), "{}", mark);
    }
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
    let long = format!("450 4.7.1 {}greylisted", "x".repeat(5000));
    check(&long, None);
    let odd = "450 4.7.1 \u{130}\u{130} \u{1b}[2J greylisted";
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
        (C::OutsideProfile, Some("tls-outside-profile")),
        (C::NoMasterSecret, Some("tls-no-master-secret")),
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
    let strict = Forced { min_version: TlsVersion::V13, ..Forced::new(Require::Encryption) };
    let fault = Shortfall::Handshake(HandshakeFault::of(C::Version, "why"));
    let required = RequiredTls::Session(Requirement::Forced(strict));
    let strict = Decision { required, ..decided(Ruling::Withheld(fault)) };
    assert_eq!(hint_on_decision(&strict).map(|hint| hint.token), Some("tls-version-13"));
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
