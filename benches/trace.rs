//! How long questions take with 1,000,000 tracked messages: each kind of search, the report of 30 days, and the
//! verification of the sealed record.
//! `cargo bench --bench trace`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::as_conversions,
    unreachable_pub,
    reason = "a benchmark ends with what it can't do"
)]

#[path = "support/tracked.rs"]
mod tracked;

use std::time::Instant;

use sealpost::evidence::Verification;
use sealpost::mail::{Clock, QueueId};
use sealpost::seal::KeptElsewhere;
use sealpost::trace::{EventKind, TlsReport, TraceFilter, TraceReader};

const MESSAGES: u64 = 1_000_000;

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let began = Instant::now();
    let first = tracked::write(folder.path(), MESSAGES);
    let spent = began.elapsed();
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
    let began = Instant::now();
    let found = Verification::of(&reader, &KeptElsewhere::default(), |_| true).expect("an answer");
    assert!(found.is_whole(), "{:?}", found.breaks);
    let events: u64 = found.days.iter().map(|day| day.events).sum();
    println!("evidence verified: {events} events in {:.1?}", began.elapsed());
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
