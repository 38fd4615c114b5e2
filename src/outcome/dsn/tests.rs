//! Tests of `dsn`: the composed reports, compared with golden files.

use std::sync::Arc;

use mail_parser::MimeHeaders;

use super::*;
use crate::connector::samples::identity;
use crate::connector::{
    Attainment, ChainFault, ClearCause, Decision, HandshakeFault, Partner, RequiredTls, Requirement,
    Rerouting, Ruling, Shortfall, TlsVersion,
};
use crate::mail::{Domain, Enhanced, Mailbox, RecipientDsn, Reply, UnixMillis};
use crate::outcome::{Cause, ContentRecord, DeliveryRecord, Remote, Scope, Stage};

const NOW: UnixMillis = UnixMillis(1_795_469_756_000);

fn unmet() -> Trouble {
    Trouble {
        status: Enhanced(5, 7, 4),
        cause: Cause::Requirement,
        reason: "TLS is required, and the next hop does not offer STARTTLS".to_owned(),
        remote: Some(Remote { host: "mx1.fabrikam.example [192.0.2.7]:25".to_owned(), reply: None }),
        decision: Some(Arc::new(Decision {
            connector: Some("fabrikam-out".into()),
            partner: None,
            host: None,
            required: RequiredTls::Session(Requirement::Forced(identity(&["mail.fabrikam.example"]))),
            attained: Attainment::Plaintext,
            ruling: Ruling::Withheld(Shortfall::NotOffered),
        })),
        scope: Scope::Lane,
        expired: false,
    }
}

fn refused(text: &'static str) -> Trouble {
    Trouble {
        status: Enhanced(5, 1, 1),
        cause: Cause::Refused(Stage::Rcpt),
        reason: "the next hop refused the recipient".to_owned(),
        remote: Some(Remote {
            host: "mx1.fabrikam.example [192.0.2.7]:25".to_owned(),
            reply: Some(Reply::new(550, Enhanced(5, 1, 1), text)),
        }),
        decision: None,
        scope: Scope::Recipient,
        expired: false,
    }
}

fn composed(kind: Kind, troubles: &[Trouble], header: &[u8]) -> Vec<u8> {
    let fates: Vec<Fate<'_>> = troubles.iter().map(Fate::Trouble).collect();
    composed_for(kind, (Addressee::Sender, Detail::Full), &fates, header)
}

fn composed_of(message: &[u8], whole: bool, fates: &[Fate<'_>]) -> Vec<u8> {
    composed_with((Kind::Failed, whole), (Addressee::Sender, Detail::Full), fates, message)
}

fn composed_for(kind: Kind, whom: (Addressee, Detail), fates: &[Fate<'_>], header: &[u8]) -> Vec<u8> {
    composed_with((kind, false), whom, fates, header)
}

fn composed_with(
    kind: (Kind, bool),
    whom: (Addressee, Detail),
    fates: &[Fate<'_>],
    header: &[u8],
) -> Vec<u8> {
    composed_after(None, kind, whom, fates, header)
}

fn composed_after(
    rerouted: Option<&Rerouting>,
    (kind, whole): (Kind, bool),
    whom: (Addressee, Detail),
    fates: &[Fate<'_>],
    header: &[u8],
) -> Vec<u8> {
    let path = |text: &str| Mailbox::parse(text).unwrap();
    let (addressee, detail) = whom;
    let recipients: Vec<Mailbox> =
        (0..fates.len()).map(|n| path(&format!("r{n}@fabrikam.example"))).collect();
    let dsn = RecipientDsn::default();
    let reported: Vec<ReportedRecipient<'_>> = recipients
        .iter()
        .zip(fates)
        .map(|(forward_path, fate)| ReportedRecipient { forward_path, dsn: &dsn, rerouted, fate: *fate })
        .collect();
    compose(&Report {
        discreet: false,
        kind,
        id: QueueId::first_of(1_795_469_756_001),
        about: QueueId::first_of(1_795_469_756_000),
        reporting_mta: &Domain::parse("gw1.contoso.example").unwrap(),
        postmaster: &path("postmaster@contoso.example"),
        to: &path("ann@contoso.example"),
        addressee,
        detail,
        names_contacts: detail == Detail::Full,
        arrived_at: UnixMillis(NOW.0 - 86_400_000),
        now: NOW,
        recipients: &reported,
        envid: None,
        message: header,
        whole,
    })
}

const HEADER: &[u8] = b"Received: from pc7.corp.example ([10.0.0.7])\r\n\tby exchange.corp.example\r\n\
    Subject: Offer\r\n..dotted: kept\r\nFrom: <ann@contoso.example>\r\n\r\nbody\r\n";

/// The whole report, with only the subject of its header.
fn shown(kind: Kind, whom: (Addressee, Detail), fates: &[Fate<'_>]) -> String {
    let text = String::from_utf8(composed_for(kind, whom, fates, HEADER)).unwrap();
    let (header, parts) = text.split_once("\r\n\r\n").unwrap();
    let subject = header.lines().find(|line| line.starts_with("Subject:")).unwrap();
    format!("{subject}\n\n{}", parts.replace("\r\n", "\n"))
}

/// Compares with a golden file, or writes it if `UPDATE_GOLDEN` is set.
#[track_caller]
fn golden(name: &str, text: &str) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/outcome/dsn/golden");
    let file = folder.join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, expected, "{name}\n{text}");
}

fn with(ruling: Ruling, status: Enhanced) -> Trouble {
    let scope = if status.0 == 5 { Scope::Recipient } else { Scope::Lane };
    let decision =
        unmet().decision.map(|decision| Arc::new(Decision { ruling, ..Decision::clone(&decision) }));
    Trouble { decision, status, scope, ..unmet() }
}

fn name_mismatch() -> Ruling {
    let (wanted, got) = ("mail.fabrikam.example".to_owned(), "other.example".to_owned());
    Ruling::Withheld(Shortfall::Name { wanted, got })
}

fn chain(fault: ChainFault) -> Ruling {
    Ruling::Withheld(Shortfall::Chain { fault, words: "why".to_owned() })
}

fn without_reply(cause: Cause, status: Enhanced, reason: &str) -> Trouble {
    let remote = Some(Remote { host: "mx1.fabrikam.example [192.0.2.7]:25".to_owned(), reply: None });
    Trouble {
        status,
        cause,
        reason: reason.to_owned(),
        remote,
        decision: None,
        scope: Scope::Recipient,
        expired: false,
    }
}

fn expired(trouble: Trouble) -> Trouble {
    Trouble { expired: true, ..trouble }
}

fn without_host(cause: Cause, status: Enhanced, reason: &str) -> Trouble {
    Trouble { remote: None, ..without_reply(cause, status, reason) }
}

fn answered(code: u16, status: Enhanced, text: &'static str) -> Trouble {
    let host = "mx1.fabrikam.example [192.0.2.7]:25";
    Trouble {
        status,
        cause: Cause::Refused(Stage::End),
        reason: format!("{host} answered the content with {code} {status} {text}"),
        remote: Some(Remote { host: host.to_owned(), reply: Some(Reply::new(code, status, text)) }),
        decision: None,
        scope: Scope::Recipient,
        expired: false,
    }
}

const INSIDE: (Addressee, Detail) = (Addressee::Sender, Detail::Full);
const OUTSIDE: (Addressee, Detail) = (Addressee::Sender, Detail::Codes);

#[test]
fn each_kind_of_ending_is_put_in_plain_words() {
    let failed = |name: &str, trouble: &Trouble| {
        golden(name, &shown(Kind::Failed, INSIDE, &[Fate::Trouble(trouble)]));
    };
    let delayed = |name: &str, trouble: &Trouble| {
        let until = UnixMillis(NOW.0 + 3_600_000);
        golden(name, &shown(Kind::Delayed { until }, INSIDE, &[Fate::Trouble(trouble)]));
    };
    failed("tls-not-offered", &Trouble { scope: Scope::Recipient, ..unmet() });
    failed("tls-not-offered-for-a-day", &Trouble { expired: true, ..unmet() });
    failed(
        "tls-handshake-failed",
        &with(Ruling::Withheld(Shortfall::Handshake(HandshakeFault::new("why"))), Enhanced(5, 7, 5)),
    );
    failed("tls-too-weak", &with(Ruling::Withheld(Shortfall::Version(TlsVersion::V12)), Enhanced(5, 7, 5)));
    failed("certificate-does-not-match", &with(name_mismatch(), Enhanced(5, 7, 5)));
    failed("certificate-expired", &with(chain(ChainFault::Expired), Enhanced(5, 7, 5)));
    failed("certificate-untrusted", &with(chain(ChainFault::UnknownIssuer), Enhanced(5, 7, 5)));
    failed("refused", &answered(554, Enhanced(5, 7, 1), "we do not like it"));
    let known = answered(550, Enhanced(5, 7, 64), "TenantAttribution; Relay Access Denied");
    failed("refused-with-a-known-reply", &known);
    let outside = shown(Kind::Failed, OUTSIDE, &[Fate::Trouble(&known)]);
    assert!(!outside.contains("Hint") && !outside.contains("exo-relay-denied"), "{outside}");
    failed("unknown-mailbox", &answered(550, Enhanced(5, 1, 1), "no such user"));
    failed(
        "no-such-domain",
        &without_host(Cause::NoSuchDomain, Enhanced(5, 1, 2), "x has no mail exchanger and no address"),
    );
    failed("too-large", &without_reply(Cause::Unsuitable, Enhanced(5, 3, 4), "the next hop takes 10 octets"));
    failed("mailbox-full", &answered(552, Enhanced(5, 2, 2), "over quota"));
    let lasted = |why: &str| format!("not delivered within 1 d: {why}");
    failed(
        "expired-unreachable",
        &expired(without_reply(Cause::Silent, Enhanced(5, 4, 7), &lasted("no connection"))),
    );
    let later = answered(451, Enhanced(4, 3, 0), "try later");
    failed("expired-refused", &expired(Trouble { status: Enhanced(5, 4, 7), ..later.clone() }));
    failed(
        "given-up",
        &without_host(Cause::Operator, Enhanced(5, 3, 0), "the operator has given the message up"),
    );
    delayed("delayed-tls", &with(Ruling::Withheld(Shortfall::NotOffered), Enhanced(4, 7, 4)));
    delayed("delayed-refused", &later);
    delayed("delayed-greylisted", &answered(450, Enhanced(4, 2, 0), "greylisted"));
    delayed("delayed-unreachable", &without_reply(Cause::Unreachable, Enhanced(4, 4, 1), "no connection"));
    delayed(
        "delayed-ours",
        &without_host(Cause::Settings, Enhanced(4, 3, 5), "no outbound connector covers it any more"),
    );
    let taken = delivered();
    golden("relayed", &shown(Kind::Relayed, INSIDE, &[Fate::Relayed(&taken)]));
}

fn delivered() -> DeliveryRecord {
    DeliveryRecord {
        host: "mx1.fabrikam.example [192.0.2.7]:25".to_owned(),
        reply: Reply::new(250, Enhanced(2, 0, 0), "queued on exchange.corp.example"),
        decision: unmet().decision.unwrap(),
        reports_on: false,
        content: ContentRecord::default(),
    }
}

#[test]
fn a_report_that_leaves_discloses_codes_only() {
    let refused = answered(550, Enhanced(5, 1, 1), "unknown at exchange.corp.example");
    let expired = with(chain(ChainFault::Expired), Enhanced(5, 7, 5));
    let fates = [Fate::Trouble(&refused), Fate::Trouble(&expired)];
    let failed = shown(Kind::Failed, OUTSIDE, &fates);
    golden("outside-failed", &failed);
    let taken = delivered();
    let relayed = shown(Kind::Relayed, OUTSIDE, &[Fate::Relayed(&taken)]);
    golden("outside-relayed", &relayed);
    for secret in
        ["corp.example", "mx1.", "192.0.2.7", "fabrikam-out", "mail.fabrikam", "certificate", "10.0.0.7"]
    {
        assert!(!failed.contains(secret) && !relayed.contains(secret), "{secret}\n{failed}\n{relayed}");
    }
}

#[test]
fn the_postmaster_reads_what_nobody_else_can_be_told() {
    let unknown = answered(550, Enhanced(5, 1, 1), "no such user");
    golden(
        "postmaster",
        &shown(
            Kind::Failed,
            (Addressee::Postmaster(NoSender::Null), Detail::Full),
            &[Fate::Trouble(&unknown)],
        ),
    );
}

#[test]
fn recipients_with_the_same_fate_are_named_together() {
    let first = answered(554, Enhanced(5, 7, 1), "no");
    let second = answered(554, Enhanced(5, 7, 1), "go away");
    let unknown = answered(550, Enhanced(5, 1, 1), "no such user");
    let mut fates = vec![Fate::Trouble(&first), Fate::Trouble(&unknown), Fate::Trouble(&second)];
    golden("several", &shown(Kind::Failed, INSIDE, &fates));
    fates = vec![Fate::Trouble(&unknown); 12];
    let text = shown(Kind::Failed, INSIDE, &fates).replace('\n', " ");
    assert!(text.contains("r9@fabrikam.example and 2 more, named below, because"), "{text}");
    assert_eq!(text.matches("Who can fix it").count(), 1);
}

#[test]
fn a_whole_report() {
    let report = composed(Kind::Failed, &[unmet(), refused("no such user\nreally")], HEADER);
    let text = String::from_utf8(report).unwrap();
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    golden("whole", &text.replace("\r\n", "\n"));
    assert!(text.is_ascii());
}

#[test]
fn a_report_reads_back_as_three_parts() {
    let report = composed(Kind::Failed, &[unmet(), refused("no")], b"Subject: Offer\r\n\r\n");
    let message = MessageParser::default().parse(&report).unwrap();
    let kind = message.content_type().unwrap();
    assert_eq!((kind.ctype(), kind.subtype()), ("multipart", Some("report")));
    assert_eq!(kind.attribute("report-type"), Some("delivery-status"));
    let types: Vec<String> = message
        .parts
        .iter()
        .skip(1)
        .filter_map(|part| part.content_type())
        .map(|t| format!("{}/{}", t.ctype(), t.subtype().unwrap_or_default()))
        .collect();
    assert_eq!(types, ["text/plain", "message/delivery-status", "text/rfc822-headers"]);
    let status = String::from_utf8_lossy(message.parts[2].contents()).into_owned();
    assert_eq!(status.matches("Final-Recipient:").count(), 2);
    assert_eq!(message.parts[3].contents().trim_ascii(), b"Subject: Offer");
}

#[test]
fn a_delay_report_says_until_when() {
    let late = Trouble { status: Enhanced(4, 7, 4), ..unmet() };
    let report = composed(Kind::Delayed { until: UnixMillis(NOW.0 + 3_600_000) }, &[late], b"");
    let text = String::from_utf8(report).unwrap();
    assert!(text.contains("Action: delayed\r\nStatus: 4.7.4\r\n"), "{text}");
    assert!(text.contains("Will-Retry-Until: Mon, 23 Nov 2026 22:35:56 +0000\r\n"), "{text}");
    assert!(text.replace("\r\n", " ").contains("You need not send it again."), "{text}");
}

#[test]
fn a_discreet_report_repeats_nothing_of_the_message_nor_of_what_was_said_of_it() {
    let path = |text: &str| Mailbox::parse(text).unwrap();
    let (refused, unmet) = (refused("spam: Offer"), unmet());
    let rerouting = Rerouting {
        from: "one".into(),
        to: "two".into(),
        status: "4.7.1".to_owned(),
        reason: "said: Offer".to_owned(),
        alert: false,
    };
    let (bob, dsn) = (path("bob@fabrikam.example"), RecipientDsn::default());
    let told = [Fate::Trouble(&refused), Fate::Trouble(&unmet)].map(|fate| ReportedRecipient {
        forward_path: &bob,
        dsn: &dsn,
        rerouted: Some(&rerouting),
        fate,
    });
    let composed = |discreet, whole| {
        let report = compose(&Report {
            kind: Kind::Failed,
            id: QueueId::first_of(1_795_469_756_001),
            about: QueueId::first_of(1_795_469_756_000),
            reporting_mta: &Domain::parse("gw1.contoso.example").unwrap(),
            postmaster: &path("postmaster@contoso.example"),
            to: &path("ann@contoso.example"),
            addressee: Addressee::Sender,
            detail: Detail::Full,
            discreet,
            names_contacts: true,
            arrived_at: UnixMillis(NOW.0 - 86_400_000),
            now: NOW,
            recipients: &told,
            envid: None,
            message: HEADER,
            whole,
        });
        String::from_utf8(report).unwrap()
    };
    assert_eq!(composed(false, false).matches("Offer").count(), 6);
    for whole in [false, true] {
        let report = composed(true, whole);
        assert!(!report.contains("Offer") && !report.contains("dotted"), "{report}");
        assert!(report.contains("X-Sealpost-Decision: "), "what we decided is ours to say: {report}");
        assert!(report.contains("First: connector one could not send it (4.7.1)."), "{report}");
    }
}

#[test]
fn what_a_peer_said_breaks_nothing() {
    let long = "x".repeat(3000);
    let odd = Trouble {
        reason: format!("ünï\r\n.\r\n{long}"),
        ..refused("evil\r\n.\r\n\r\n--=_01M855CHK0000\u{e9}")
    };
    let mut header = b"Subject: \xe9\r\nX: ".to_vec();
    header.extend_from_slice(&vec![b'y'; 2000]);
    header.extend_from_slice(b"\r\n..\r\nlast: cut");
    let report = composed(Kind::Failed, &[odd], &header);
    assert!(report.is_ascii());
    for line in report.split_inclusive(|b| *b == b'\n') {
        assert!(line.ends_with(b"\r\n") && line.len() <= 1000, "{}", String::from_utf8_lossy(line));
        assert!(line != b".\r\n", "a lone dot would end the message");
    }
    let message = MessageParser::default().parse(&report).unwrap();
    assert_eq!(message.parts.len(), 4);
}

#[test]
fn a_report_is_printable_ascii_whatever_it_tells() {
    let check = |message: &[u8], whole: bool, expected: [&str; 2]| {
        let report = composed_of(message, whole, &[Fate::Trouble(&refused("Bo\u{ee}te pleine"))]);
        let text = String::from_utf8(report).unwrap();
        for line in text.split_inclusive('\n') {
            let line = line.strip_suffix("\r\n").unwrap();
            assert!(line.len() < 998 && line.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')), "{line}");
        }
        let parts = MessageParser::default().parse(text.as_bytes()).unwrap();
        let read = parts.parts.get(1).and_then(|part| part.text_contents()).unwrap().to_owned();
        assert!(read.contains("Bo\u{ee}te pleine"), "{read}");
        for part in expected {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    };
    let eight = b"Subject: caf\xe9\r\nX-Long: \x01\r\n\r\n\xe9\r\n";
    let returned = "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: quoted-printable\r\n";
    check(eight, false, [returned, "Subject: caf=E9\r\nX-Long: =01\r\n"]);
    check(eight, true, [returned, "Subject: caf=E9\r\nX-Long: =01\r\n"]);
    let utf8 = "Subject: caf\u{e9}\r\n\r\nx\r\n".as_bytes();
    check(utf8, false, ["Content-Type: message/global-headers\r\nContent-", "Subject: caf=C3=A9\r\n"]);
    check(b"A: b\r\n\r\n..x\r\n", true, ["Content-Type: message/rfc822\r\n\r\nA: b", "\r\n\r\n..x\r\n"]);
}

#[test]
fn a_report_that_is_not_taken_gets_smaller_twice() {
    let long = refused(Box::leak("word ".repeat(50).into_boxed_str()));
    let fates = vec![Fate::Trouble(&long); 3];
    let report = composed_of(&[HEADER, &b"x\r\n".repeat(10)].concat(), true, &fates);
    let first = shortened(&report).unwrap();
    let (first_text, second) = (String::from_utf8(first.clone()).unwrap(), shortened(&first).unwrap());
    assert!(first_text.contains("It said: 550") && !first_text.contains("message/rfc822"), "{first_text}");
    assert_eq!(MessageParser::default().parse(&first).unwrap().parts.len(), 3);
    golden("shortened", &String::from_utf8(second.clone()).unwrap().replace("\r\n", "\n"));
    assert_eq!(MessageParser::default().parse(&second).unwrap().parts.len(), 3);
    assert_eq!(shortened(&second), None);
    assert_eq!(shortened(b"Subject: x\r\n\r\nbody\r\n"), None);
}

#[test]
fn which_refusals_of_a_report_are_about_its_form() {
    let check = |trouble: Trouble, expected| assert_eq!(is_refused_for_its_form(&trouble), expected);
    let at = |stage, code, status| Trouble { cause: Cause::Refused(stage), ..answered(code, status, "no") };
    check(without_reply(Cause::Unsuitable, Enhanced(5, 3, 4), "the next hop takes 10 octets"), true);
    check(without_reply(Cause::Unsuitable, Enhanced(5, 6, 3), "8-bit"), true);
    check(at(Stage::Mail, 552, Enhanced(5, 0, 0)), true);
    check(at(Stage::End, 554, Enhanced(5, 7, 1)), true);
    check(at(Stage::Rcpt, 550, Enhanced(5, 1, 1)), false);
    check(at(Stage::Rcpt, 552, Enhanced(5, 2, 2)), false);
    check(at(Stage::Mail, 550, Enhanced(5, 7, 1)), false);
    check(expired(at(Stage::End, 451, Enhanced(5, 4, 7))), false);
    check(unmet(), false);
}

#[test]
fn a_remote_host_has_no_port() {
    let check = |host: &str, expected: &str| assert_eq!(host_name(host), expected);
    check("mx1.fabrikam.example[192.0.2.7]:25", "mx1.fabrikam.example");
    check("mx1.fabrikam.example [192.0.2.7]:25", "mx1.fabrikam.example");
    check("[192.0.2.7]:25", "[192.0.2.7]");
    check("[2001:db8::7]:25", "[IPv6:2001:db8::7]");
    check("mx1.fabrikam.example:25", "mx1.fabrikam.example");
}

#[test]
fn the_header_is_cut_at_a_whole_line() {
    let mut wire = Vec::new();
    while wire.len() <= HEADER_BYTES_MAX {
        wire.extend_from_slice(b"Received: 0123456789\r\n");
    }
    let kept = header_section(&wire, Detail::Full);
    assert!(kept.len() <= HEADER_BYTES_MAX && kept.ends_with(b"9\r\n"));
}

#[test]
fn many_recipients_share_the_room_for_what_peers_said() {
    let check = |count: usize, per_recipient_max: usize| {
        let text: &'static str = Box::leak("word ".repeat(1000).into_boxed_str());
        let size = composed(Kind::Failed, &vec![refused(text); count], b"").len();
        assert!(size / count < per_recipient_max, "{count} recipients: {size} octets");
        assert!(size / count > per_recipient_max / 2, "{count} recipients: {size} octets");
    };
    check(50, 10_000);
    check(51, 2_200);
}

#[test]
fn who_can_fix_it_follows_from_the_reason_where_the_status_says_too_little() {
    let by = |ruling: Ruling| {
        let trouble = with(ruling, Enhanced(5, 7, 4));
        let text = String::from_utf8(composed(Kind::Failed, &[trouble], b"")).unwrap();
        text.replace("\r\n", " ")
    };
    let partner = "Who can fix it: the administrators of the recipient's mail system";
    assert!(by(Ruling::Withheld(Shortfall::NotOffered)).contains(partner));
    let ours = "Who can fix it: our administrators, <postmaster@contoso.example>.";
    assert!(by(Ruling::Onward).contains(ours) && !by(Ruling::Onward).contains(partner));
    assert!(by(Ruling::Remembered(ClearCause::NotOffered)).contains("used to offer encryption"));
}

#[test]
fn only_our_own_people_learn_whom_to_ask_at_a_partner() {
    let contact = Some("mail@fabrikam.example, +49 30 1".into());
    let partner = Some(Arc::new(Partner { contact, ..Partner::new("fabrikam", Vec::new()) }));
    let decision = unmet().decision.map(|one| Arc::new(Decision { partner, ..Decision::clone(&one) }));
    let trouble = Trouble { decision, ..unmet() };
    let told = |detail| shown(Kind::Failed, (Addressee::Sender, detail), &[Fate::Trouble(&trouble)]);
    let ours = told(Detail::Full);
    let who = "Who can fix it: the administrators of the recipient's mail system\n(mail@fabrikam.example, +49 30 1).";
    assert!(ours.contains(who), "{ours}");
    assert!(ours.contains("  Partner: fabrikam (mail@fabrikam.example, +49 30 1)\n"), "{ours}");
    let strangers = told(Detail::Codes);
    assert!(!strangers.contains("fabrikam (") && !strangers.contains("+49"), "{strangers}");
}

#[test]
fn what_our_connector_for_mail_handed_on_can_not_send_is_ours_to_fix() {
    let rerouting = Rerouting {
        from: "bank".into(),
        to: "portal".into(),
        status: "5.7.4".to_owned(),
        reason: "no STARTTLS".to_owned(),
        alert: false,
    };
    let letter = |trouble: &Trouble, detail: Detail| {
        let whom = (Addressee::Sender, detail);
        let fates = [Fate::Trouble(trouble)];
        let report = composed_after(Some(&rerouting), (Kind::Failed, false), whom, &fates, HEADER);
        let text = String::from_utf8(report).unwrap();
        let text = text.split("Details for administrators").next().unwrap().to_owned();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let full = Trouble { status: Enhanced(5, 3, 0), ..refused("not now") };
    for (trouble, what) in [
        (with(name_mismatch(), Enhanced(5, 7, 5)), "the connection to {} could not be made safe"),
        (full, "{} does not accept it"),
        (Trouble { cause: Cause::Unreachable, expired: true, ..unmet() }, "{} could not be reached"),
        (refused("nobody"), "{} does not know this address"),
    ] {
        for (detail, whose) in [
            (Detail::Full, "the mail server of our connector portal"),
            (Detail::Codes, "a mail server on our side"),
        ] {
            let said = letter(&trouble, detail);
            assert!(said.contains(&what.replace("{}", whose)), "{said}");
            assert!(said.contains("our administrators, <postmaster@contoso.example>."), "{said}");
            assert!(
                !said.contains("their mail server") && !said.contains("recipient's mail system"),
                "{said}"
            );
        }
    }
}
