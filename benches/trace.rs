//! How long questions take with 1,000,000 tracked messages: each kind of search, and the report of 30 days.
//! `cargo bench --bench trace`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::as_conversions,
    reason = "a benchmark ends with what it can't do"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealpost::connector::{Attainment, Decision, Forced, HeaderFindings, RequiredTls, Requirement, Ruling};
use sealpost::mail::{Clock, Enhanced, Mailbox, QueueId, Reply, ReversePath};
use sealpost::outcome::{ContentRecord, DeliveryRecord};
use sealpost::seal::SealSettings;
use sealpost::trace::{EventKind, EventRecorder, TlsReport, TraceFilter, TraceReader, TraceStore};
use sealpost::tracking::{ArrivalTimes, Event, MessageFacts, Observer as _, TrackingSettings};

const MESSAGES: u64 = 1_000_000;

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings =
        TrackingSettings { enabled: true, keep: Duration::from_secs(90 * 86_400), bytes_max: 8 << 30 };
    let seal = Some(SealSettings {
        site: "gw.example".to_owned(),
        timestamp_url: None,
        rotate: Duration::from_secs(86_400),
    });
    let store = TraceStore::start(folder.path(), settings, seal, 0).expect("a thread");
    let recorder = store.recorder();
    let met: Vec<Arc<Decision>> = (0..50).map(|number| decision(&format!("partner-{number}"))).collect();
    let first = u64::try_from(Clock::wall().0).expect("a date") - MESSAGES;
    let began = Instant::now();
    for number in 0..MESSAGES {
        tell(&recorder, first, number, &met);
        if number % 20_000 == 0 {
            // No faster than it is written, or events would be dropped.
            while recorder.waiting() > 60_000 {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
    store.stop(Duration::from_secs(600));
    let spent = began.elapsed();
    let dropped = recorder.dropped().all;
    assert_eq!(dropped, 0, "all are kept");
    println!(
        "written: {MESSAGES} messages in {spent:.1?}: {:.1} us each",
        spent.as_secs_f64() * 1e6 / MESSAGES as f64
    );
    let size = std::fs::metadata(folder.path().join("tracking.sqlite")).expect("a file").len();
    println!("size: {} MiB, {} octets a message", size >> 20, size / MESSAGES);
    let mut reader = TraceReader::open(folder.path()).expect("a store");
    ask(&mut reader, first);
    let began = Instant::now();
    let today = Clock::wall().day();
    let sums = reader.sums(today - 29, today).expect("sums");
    let report = TlsReport::of(&sums, (today - 29, today));
    println!(
        "report of 30 days: {:.1?}, {} sums, {} went out",
        began.elapsed(),
        sums.len(),
        report.outbound.messages
    );
}

fn ask(reader: &mut TraceReader, first: u64) {
    let text = |value: &str| Some(value.to_owned());
    let f = TraceFilter::default;
    let questions = [
        ("queue id", TraceFilter { id: Some(QueueId::first_of(first + 1_234)), ..f() }),
        ("message-id", TraceFilter { message_id: text("7654@a.example"), ..f() }),
        ("address", TraceFilter { address: text("user77@d5.example"), ..f() }),
        ("domain", TraceFilter { domain: text("d77.example"), ..f() }),
        ("unknown address", TraceFilter { address: text("nobody@nowhere.example"), ..f() }),
        ("subject", TraceFilter { subject: vec!["word99".to_owned()], ..f() }),
        ("subject prefix", TraceFilter { subject: vec!["wor*".to_owned()], ..f() }),
        ("connector", TraceFilter { connector: text("partner-3"), ..f() }),
        (
            "two connectors, never both",
            TraceFilter { connector: text("partner-3"), kinds: vec![EventKind::Accepted], ..f() },
        ),
        ("outcome failed", TraceFilter { kinds: vec![EventKind::Failed], ..f() }),
        (
            "delivered in plaintext",
            TraceFilter { kinds: vec![EventKind::Delivered], tls: text("plaintext"), ..f() },
        ),
        ("reason", TraceFilter { reason: text("met"), ..f() }),
        ("everything", f()),
    ];
    for (name, filter) in questions {
        let began = Instant::now();
        let found = reader.search(&filter, 200).expect("an answer").len();
        println!("{name:<28} {:>9.1?}  {found} found", began.elapsed());
    }
}

fn decision(connector: &str) -> Arc<Decision> {
    Arc::new(Decision {
        connector: Some(connector.into()),
        partner: None,
        host: Some("mx.b.example [192.0.2.7]:25".to_owned()),
        required: RequiredTls::Session(Requirement::Forced(Forced::encryption())),
        attained: Attainment::NoSession,
        ruling: Ruling::Met,
    })
}

fn tell(recorder: &EventRecorder, first: u64, number: u64, met: &[Arc<Decision>]) {
    let id = QueueId::first_of(first + number);
    let from = ReversePath::parse(&format!("me{}@contoso.example", number % 5_000)).expect("a path");
    let to =
        Mailbox::parse(&format!("user{}@d{}.example", number % 199_999, number % 3_001)).expect("a mailbox");
    let (message_id, subject) =
        (format!("{number}@a.example"), format!("Your word{} of day {}", number % 50_021, number % 31));
    let message = MessageFacts {
        id,
        reverse_path: &from,
        message_id: Some(&message_id),
        subject: Some(&subject),
        size: 4_096,
        came_by: Some("exchange"),
    };
    let decision = met.get(usize::try_from(number % 50).expect("small")).expect("one");
    recorder.observe(&Event::Accepted {
        message,
        peer: "192.0.2.1".parse().expect("an address"),
        recipients: std::slice::from_ref(&to),
        times: ArrivalTimes::default(),
        findings: &HeaderFindings::default(),
        decision: met.first().expect("one"),
    });
    recorder.observe(&Event::Delivered {
        message,
        forward_path: &to,
        delivered: &DeliveryRecord {
            host: "mx.b.example [192.0.2.7]:25".to_owned(),
            reply: Reply::new(250, Enhanced(2, 0, 0), "ok"),
            decision: Arc::clone(decision),
            reports_on: false,
            content: ContentRecord::default(),
        },
        delay: Duration::from_millis(17),
        rerouted_from: None,
    });
}
