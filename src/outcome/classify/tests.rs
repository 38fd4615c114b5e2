//! Tests of `classify`: the outcome of each reply, fault and shortfall.

use super::*;
use crate::connector::HandshakeFault;

const AT: At<'_> = At { host: "mx[192.0.2.1]:25", decision: None };

fn line(outcome: &Outcome) -> String {
    let (word, trouble) = match outcome {
        Outcome::Delivered(_) => return "delivered".to_owned(),
        Outcome::Deferred(trouble) => ("deferred", trouble),
        Outcome::Failed(trouble) => ("failed", trouble),
    };
    format!("{word} {} {:?}", trouble.status, trouble.scope)
}

#[track_caller]
fn check(stage: Stage, code: u16, expected: &str) {
    let outcome = classify_reply(stage, &Reply::bare(code, "x"), false, &AT);
    assert_eq!(line(&outcome), expected, "{stage:?} {code}");
}

#[test]
fn a_reply_is_final_by_its_class_from_mail_on() {
    check(Stage::Mail, 550, "failed 5.0.0 Recipient");
    check(Stage::Mail, 451, "deferred 4.0.0 Recipient");
    check(Stage::Rcpt, 550, "failed 5.1.1 Recipient");
    check(Stage::Rcpt, 450, "deferred 4.2.0 Recipient");
    check(Stage::Rcpt, 551, "failed 5.3.2 Recipient");
    check(Stage::Data, 554, "failed 5.0.0 Recipient");
    check(Stage::Data, 250, "deferred 4.5.0 Recipient");
    check(Stage::End, 552, "failed 5.3.4 Recipient");
    check(Stage::End, 452, "deferred 4.3.1 Recipient");
    check(Stage::Mail, 502, "failed 5.5.1 Recipient");
}

#[test]
fn a_host_that_takes_no_mail_is_final_and_other_refusals_of_us_are_not() {
    check(Stage::Greeting, 521, "failed 5.3.2 Recipient");
    check(Stage::Greeting, 554, "failed 5.3.2 Recipient");
    check(Stage::Greeting, 550, "deferred 4.0.0 Lane");
    check(Stage::Greeting, 421, "deferred 4.3.2 Lane");
    check(Stage::Hello, 550, "deferred 4.0.0 Lane");
    check(Stage::Hello, 504, "deferred 4.5.1 Lane");
}

#[test]
fn closing_stops_the_lane_wherever_it_is_said() {
    check(Stage::Rcpt, 421, "deferred 4.3.2 Lane");
    check(Stage::End, 421, "deferred 4.3.2 Lane");
}

#[test]
fn too_many_recipients_hinder_the_transaction_alone() {
    check(Stage::Rcpt, 452, "deferred 4.5.3 Recipient");
    check(Stage::Rcpt, 552, "deferred 4.5.3 Recipient");
    let taken = |code| line(&classify_reply(Stage::Rcpt, &Reply::bare(code, "x"), true, &AT));
    assert_eq!(taken(452), "deferred 4.5.3 Session");
    assert_eq!(taken(552), "deferred 4.5.3 Session");
    assert_eq!(taken(450), "deferred 4.2.0 Recipient");
}

#[test]
fn the_peers_own_status_counts_in_the_class_of_the_outcome() {
    let reply = Reply::new(550, Enhanced(5, 7, 1), "no");
    assert_eq!(line(&classify_reply(Stage::Rcpt, &reply, false, &AT)), "failed 5.7.1 Recipient");
    let reply = Reply::new(552, Enhanced(5, 2, 2), "full");
    assert_eq!(line(&classify_reply(Stage::Rcpt, &reply, false, &AT)), "failed 5.2.2 Recipient");
}

#[test]
fn too_many_recipients_is_said_by_several_codes_and_452_says_more_than_that() {
    #[track_caller]
    fn check(reply: &str, expected: &str) {
        assert_eq!(line(&classify_reply(Stage::Rcpt, &reply_of(reply), true, &AT)), expected, "{reply}");
    }
    check("550 5.5.3", "deferred 4.5.3 Session");
    check("552 5.5.3", "deferred 4.5.3 Session");
    check("452 4.5.3", "deferred 4.5.3 Session");
    check("451 4.5.3", "deferred 4.5.3 Session");
    // A full mailbox of one recipient: trying it again at once would find it full.
    check("452 4.2.2", "deferred 4.2.2 Recipient");
    check("552 5.2.2", "failed 5.2.2 Recipient");
    check("552 5.3.4", "failed 5.3.4 Recipient");
    let alone = classify_reply(Stage::Rcpt, &reply_of("550 5.5.3"), false, &AT);
    assert_eq!(line(&alone), "deferred 4.5.3 Recipient");
}

#[test]
fn a_session_out_of_step_ends_no_message() {
    check(Stage::Mail, 503, "deferred 4.5.1 Lane");
    check(Stage::Rcpt, 503, "deferred 4.5.1 Recipient");
    check(Stage::Data, 503, "deferred 4.5.1 Recipient");
}

/// `550 5.1.1`, or the code only.
fn reply_of(text: &str) -> Reply {
    let (code, enhanced) = text.split_once(' ').unwrap_or((text, ""));
    Reply {
        code: code.parse().expect("a code"),
        enhanced: Enhanced::split(enhanced).map(|e| e.0),
        text: "x".into(),
    }
}

#[test]
fn a_used_session_is_suspected_unless_the_reply_is_about_the_message() {
    #[track_caller]
    fn check(stage: Stage, reply: &str, expected: bool) {
        assert_eq!(may_be_of_session(stage, &reply_of(reply), false), expected, "{stage:?} {reply}");
    }
    for reply in
        ["452 4.4.5", "503 5.5.1", "550", "550 5.7.1", "451", "452 4.5.3", "552", "503 5.1.1", "554 5.5.1"]
    {
        check(Stage::Mail, reply, true);
        check(Stage::Rcpt, reply, true);
        check(Stage::End, reply, true);
    }
    for reply in ["550 5.1.1", "552 5.2.2", "552 5.3.4", "554 5.6.0", "450 4.2.0", "250"] {
        check(Stage::Mail, reply, false);
        check(Stage::Rcpt, reply, false);
        check(Stage::End, reply, false);
    }
    // The rest goes in the next transaction, on the same session.
    assert!(!may_be_of_session(Stage::Rcpt, &reply_of("452 4.5.3"), true));
    assert!(may_be_of_session(Stage::Rcpt, &reply_of("452 4.3.1"), true));
}

#[track_caller]
fn check_fault(stage: Option<Stage>, fault: LinkFault, expected: &str) {
    assert_eq!(line(&classify_fault(stage, &fault, &AT)), expected, "{stage:?} {fault:?}");
}

#[test]
fn a_lost_connection_is_a_deferral() {
    let lost = || LinkFault::Lost("reset".into());
    check_fault(None, LinkFault::Unreachable("refused".into()), "deferred 4.4.1 Lane");
    check_fault(Some(Stage::Greeting), LinkFault::Silent, "deferred 4.4.2 Lane");
    check_fault(Some(Stage::Mail), lost(), "deferred 4.4.2 Lane");
    check_fault(Some(Stage::End), lost(), "deferred 4.4.2 Recipient");
    check_fault(Some(Stage::Hello), LinkFault::Garbled("?".into()), "deferred 4.5.0 Lane");
    check_fault(Some(Stage::End), LinkFault::Content("?".into()), "deferred 4.3.0 Recipient");
}

#[track_caller]
fn check_name(fault: NameFault, expected: &str) {
    assert_eq!(line(&classify_name(&fault, "b.example")), expected, "{fault:?}");
}

#[test]
fn a_name_fails_only_when_dns_said_so() {
    check_name(NameFault::NoDomain, "failed 5.1.2 Recipient");
    check_name(NameFault::NullMx, "failed 5.1.10 Recipient");
    check_name(NameFault::NoAddress, "failed 5.4.4 Recipient");
    check_name(NameFault::Ourselves, "failed 5.4.6 Recipient");
    check_name(NameFault::Unanswered("SERVFAIL".into()), "deferred 4.4.3 Lane");
}

#[track_caller]
fn check_shortfall(shortfall: Shortfall, on_failure: OnFailure, expected: &str) {
    assert_eq!(line(&classify_shortfall(&shortfall, &on_failure, &AT)), expected, "{shortfall:?}");
}

#[test]
fn an_unmet_requirement_waits_or_is_reported() {
    let broken = || Shortfall::Handshake(HandshakeFault::new("alert"));
    check_shortfall(Shortfall::NotOffered, OnFailure::Defer, "deferred 4.7.4 Lane");
    check_shortfall(Shortfall::NotOffered, OnFailure::Bounce, "failed 5.7.4 Recipient");
    check_shortfall(broken(), OnFailure::Defer, "deferred 4.7.5 Lane");
    // What may be temporary never fails at once.
    check_shortfall(broken(), OnFailure::Bounce, "deferred 4.7.5 Lane");
    let refused = |code| Shortfall::Refused(Reply::bare(code, "x"));
    check_shortfall(refused(454), OnFailure::Bounce, "deferred 4.7.4 Lane");
    check_shortfall(refused(502), OnFailure::Bounce, "failed 5.7.4 Recipient");
}

#[test]
fn several_hosts_fail_only_together() {
    let failed = || classify_reply(Stage::Greeting, &Reply::bare(521, "x"), false, &AT);
    let deferred = || classify_fault(None, &LinkFault::Unreachable("x".into()), &AT);
    let together = |outcomes| classify_together(outcomes).as_ref().map(line);
    assert_eq!(together(vec![failed(), deferred()]).as_deref(), Some("deferred 4.4.1 Lane"));
    assert_eq!(together(vec![deferred(), failed()]).as_deref(), Some("deferred 4.4.1 Lane"));
    assert_eq!(together(vec![failed(), failed()]).as_deref(), Some("failed 5.3.2 Recipient"));
    assert_eq!(together(vec![]), None);
}

#[test]
fn a_message_that_one_host_cannot_take_blocks_no_other() {
    let unsuitable = || {
        let refused = classify_reply(Stage::Mail, &Reply::bare(553, "x"), false, &AT);
        let Outcome::Failed(trouble) = refused else { return refused };
        Outcome::Failed(Trouble { cause: Cause::Unsuitable, ..trouble })
    };
    let unreached = || classify_fault(None, &LinkFault::Unreachable("x".into()), &AT);
    let together = |outcomes| classify_together(outcomes).as_ref().map(line);
    assert_eq!(together(vec![unsuitable(), unreached()]).as_deref(), Some("deferred 4.4.1 Recipient"));
    assert_eq!(together(vec![unreached(), unsuitable()]).as_deref(), Some("deferred 4.4.1 Recipient"));
    assert_eq!(together(vec![unreached(), unreached()]).as_deref(), Some("deferred 4.4.1 Lane"));
}
