//! How the lab judges an outbound outcome and reads a failure report.

use super::*;
use crate::connector::{
    Attainment, Decision, DecisionRecord, Forced, RequiredTls, Requirement, Ruling, Shortfall,
};
use crate::lab::LabOptions;
use crate::lab::capture::Capture;
use crate::lab::plan::{INBOUND, ON_PREMISES};

fn case(domain: &str) -> &'static OutboundCase {
    OUTBOUND.iter().find(|case| case.domain == domain).expect("a case")
}

#[track_caller]
fn check(status: &str, decision: Option<&Decision>, expected: CaseOutcome, got: &str) {
    let decision = decision.map(|decision| Box::new(DecisionRecord::from(decision)));
    let found =
        waiting(&LastTrouble { status: status.to_owned(), reason: "why".to_owned(), decision, hint: None });
    assert_eq!((found.outcome, found.got.as_str()), (expected, got));
}

#[test]
fn what_waits_is_withheld_only_where_a_connector_said_so() {
    let by = |ruling| Decision {
        connector: Some("sealed".into()),
        partner: None,
        host: None,
        required: RequiredTls::Session(Requirement::Forced(Forced::encryption())),
        attained: Attainment::Plaintext,
        ruling,
    };
    let withheld = by(Ruling::Withheld(Shortfall::NotOffered));
    check("4.7.4", Some(&withheld), CaseOutcome::Withheld, "plaintext");
    check("4.7.4", None, CaseOutcome::Deferred, "no session");
    check("4.2.1", Some(&by(Ruling::Met)), CaseOutcome::Deferred, "plaintext");
}

#[test]
fn a_copy_that_was_changed_is_told() {
    let case = case("good.lab.test");
    let mut taken = AcceptedMessage {
        reverse_path: OWN_SENDER.to_owned(),
        recipients: vec![case.to()],
        content: [b"Received: from a\r\n".as_slice(), &original(case)].concat(),
        tls: Some("TLSv1.3 X".to_owned()),
    };
    assert_eq!(delivered(case, &taken, true).wrong, None);
    taken.content.push(b'\n');
    assert!(delivered(case, &taken, true).wrong.is_some());
}

#[test]
fn a_deferral_is_final_only_where_it_is_expected() {
    assert!(!settles(case("good.lab.test"), CaseOutcome::Deferred));
    assert!(settles(case("clear.sealed.lab.test"), CaseOutcome::Withheld));
    assert!(settles(case("clear.sealed.lab.test"), CaseOutcome::DeliveredClear));
}

#[tokio::test]
async fn clear_octets_under_forced_tls_are_never_as_expected() {
    let stage = Stage::set(&LabOptions::default()).await.expect("a stage");
    let number = OUTBOUND.iter().position(|c| c.domain == "clear.sealed.lab.test").expect("a case");
    let capture: &Capture = &stage.partners[number];
    capture.heard_in_clear(b"EHLO gw\r\nQUIT\r\n");
    assert!(!leaked(&stage, number, &OUTBOUND[number]));
    capture.heard_in_clear(b"Mail From:<>\r\n");
    assert!(leaked(&stage, number, &OUTBOUND[number]));
}

#[test]
fn every_address_of_the_plan_is_there_once() {
    let mut octets: Vec<u8> = OUTBOUND.iter().map(|case| case.octet).collect();
    octets.push(ON_PREMISES.1);
    octets.sort_unstable();
    octets.dedup();
    assert_eq!(octets.len(), OUTBOUND.len() + 1);
    assert!(INBOUND.iter().all(|case| !octets.contains(&case.octet)));
}

#[track_caller]
fn check_report(diagnostic: &str, wrong: bool) {
    let report = AcceptedMessage {
        reverse_path: String::new(),
        recipients: vec![OWN_SENDER.to_owned()],
        content: format!(
            "Subject: x\r\n\r\nFinal-Recipient: rfc822; bob@nobody.lab.test\r\nDiagnostic-Code: smtp; {diagnostic}\r\nX-Sealpost-Connector: internet\r\n"
        )
        .into_bytes(),
        tls: None,
    };
    let found = reported(&report);
    assert_eq!(found.wrong.is_some(), wrong, "{found:?}");
    assert_eq!(found.connector.as_deref(), Some("internet"));
}

#[test]
fn a_report_must_say_what_the_partner_said() {
    check_report("550 5.1.1 <bob@nobody.lab.test> no such\r\n\tuser here", false);
    check_report("451 4.3.0 later", true);
}
