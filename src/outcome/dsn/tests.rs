use std::sync::Arc;

use mail_parser::MimeHeaders;

use super::*;
use crate::connector::samples::identity;
use crate::connector::{Attainment, ClearCause, Decision, Required, Requirement, Ruling, Shortfall};
use crate::mail::Reply;
use crate::outcome::{Cause, Remote, Scope, Stage};

const NOW: UnixMillis = UnixMillis(1_795_469_756_000);

fn unmet() -> Trouble {
    Trouble {
        status: Enhanced(5, 7, 4),
        cause: Cause::Requirement,
        reason: "TLS is required, and the next hop does not offer STARTTLS".to_owned(),
        remote: Some(Remote { host: "mx1.fabrikam.example [192.0.2.7]:25".to_owned(), reply: None }),
        decision: Some(Arc::new(Decision {
            connector: Some("fabrikam-out".into()),
            host: None,
            required: Required::Session(Requirement::Forced(identity(&["mail.fabrikam.example"]))),
            attained: Attainment::Plaintext,
            ruling: Ruling::Withheld(Shortfall::NotOffered),
        })),
        scope: Scope::Lane,
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
    }
}

fn composed(kind: Kind, troubles: &[Trouble], header: &[u8]) -> Composed {
    let path = |text: &str| Mailbox::parse(text).unwrap();
    let recipients: Vec<Mailbox> =
        (0..troubles.len()).map(|n| path(&format!("r{n}@fabrikam.example"))).collect();
    let dsn = RecipientDsn::default();
    let told: Vec<Told<'_>> = recipients
        .iter()
        .zip(troubles)
        .map(|(forward_path, trouble)| Told { forward_path, dsn: &dsn, what: What::Trouble(trouble) })
        .collect();
    compose(&Report {
        kind,
        id: QueueId::first_of(1_795_469_756_001),
        about: QueueId::first_of(1_795_469_756_000),
        reporting_mta: &Domain::parse("gw1.contoso.example").unwrap(),
        postmaster: &path("postmaster@contoso.example"),
        to: &path("ann@contoso.example"),
        arrived_at: UnixMillis(NOW.0 - 86_400_000),
        now: NOW,
        recipients: &told,
        envid: None,
        message: header,
        whole: false,
    })
}

#[test]
fn a_whole_report() {
    let report = composed(
        Kind::Failed,
        &[unmet(), refused("no such user\nreally")],
        b"Subject: Offer\r\n..dotted: kept\r\nFrom: <ann@contoso.example>\r\n\r\nbody\r\n",
    );
    let text = String::from_utf8(report.content).unwrap();
    let golden = include_str!("golden.txt").replace('\n', "\r\n");
    assert_eq!(text, golden, "\n{text}");
    assert_eq!(report.body, BodyType::SevenBit);
}

#[test]
fn a_report_reads_back_as_three_parts() {
    let report = composed(Kind::Failed, &[unmet(), refused("no")], b"Subject: Offer\r\n\r\n");
    let message = MessageParser::default().parse(&report.content).unwrap();
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
    let text = String::from_utf8(report.content).unwrap();
    assert!(text.contains("Action: delayed\r\nStatus: 4.7.4\r\n"), "{text}");
    assert!(text.contains("Will-Retry-Until: Mon, 23 Nov 2026 22:35:56 +0000\r\n"), "{text}");
    assert!(text.contains("You need not send it again"), "{text}");
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
    assert_eq!(report.body, BodyType::EightBitMime);
    for line in report.content.split_inclusive(|b| *b == b'\n') {
        assert!(line.ends_with(b"\r\n") && line.len() <= 1000, "{}", String::from_utf8_lossy(line));
        assert!(line != b".\r\n", "a lone dot would end the message");
    }
    let message = MessageParser::default().parse(&report.content).unwrap();
    assert_eq!(message.parts.len(), 4);
}

#[test]
fn the_header_is_cut_at_a_whole_line() {
    let mut wire = Vec::new();
    while wire.len() <= HEADER_BYTES_MAX {
        wire.extend_from_slice(b"X-Filler: 0123456789\r\n");
    }
    let kept = header_section(&wire);
    assert!(kept.len() <= HEADER_BYTES_MAX && kept.ends_with(b"9\r\n"));
}

#[test]
fn many_recipients_share_the_room_for_what_peers_said() {
    let check = |count: usize, per_recipient_max: usize| {
        let text: &'static str = Box::leak("word ".repeat(1000).into_boxed_str());
        let size = composed(Kind::Failed, &vec![refused(text); count], b"").content.len();
        assert!(size / count < per_recipient_max, "{count} recipients: {size} octets");
        assert!(size / count > per_recipient_max / 2, "{count} recipients: {size} octets");
    };
    check(50, 10_000);
    check(51, 2_200);
}

#[test]
fn who_can_mend_it_follows_from_the_reason_where_the_status_says_too_little() {
    let by = |ruling: Ruling| {
        let decision =
            unmet().decision.map(|decision| Arc::new(Decision { ruling, ..Decision::clone(&decision) }));
        let trouble = Trouble { decision, ..unmet() };
        let text = String::from_utf8(composed(Kind::Failed, &[trouble], b"").content).unwrap();
        text.replace("\r\n", " ")
    };
    let partner =
        "The administrator of the recipient's mail system can mend this: its encryption is not what";
    assert!(by(Ruling::Withheld(Shortfall::NotOffered)).contains(partner));
    let ours = "Our administrator <postmaster@contoso.example> can arrange that";
    assert!(by(Ruling::Onward).contains(ours) && !by(Ruling::Onward).contains(partner));
    assert!(
        by(Ruling::Remembered(ClearCause::NotOffered)).contains("had encryption before and has none now")
    );
}
