//! The store as a whole: events in, answers out, on a real disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::samples::decision;
use super::*;
use crate::connector::samples;
use crate::connector::{Attainment, ChainVerdict, Ruling, Shortfall};
use crate::mail::{Enhanced, Mailbox, QueueId, Reply, ReversePath, UnixMillis};
use crate::outcome::{Cause, ContentRecord, DeliveryRecord, Remote, Scope, Trouble};
use crate::seal::SealSettings;
use crate::tracking::{
    AlarmTopic, ArrivalTimes, Event, MessageFacts, Observer as _, QueueHandling, TrackingSettings,
};

fn settings() -> TrackingSettings {
    TrackingSettings { enabled: true, keep: Duration::from_secs(90 * 24 * 3_600), bytes_max: 1 << 30 }
}

fn seal() -> SealSettings {
    SealSettings { site: "gw.example".to_owned(), timestamp_url: None, rotate: Duration::from_secs(86_400) }
}

fn store(folder: &Path) -> TraceStore {
    TraceStore::start(folder, settings(), Some(seal()), 0).expect("a thread")
}

/// A message that is accepted, deferred once, and delivered.
fn tell(recorder: &EventRecorder, number: u64, subject: &str) -> QueueId {
    let id = QueueId::first_of(1_795_469_756_000 + number);
    let from = ReversePath::parse(&format!("Ada{number}@a.example")).expect("a path");
    let to = Mailbox::parse("bob@b.example").expect("a mailbox");
    let mid = format!("{number}@a.example");
    let message = MessageFacts {
        id,
        reverse_path: &from,
        message_id: Some(&mid),
        subject: Some(subject),
        size: 4_096,
        came_by: Some("exchange"),
    };
    let tls = Attainment::Tls(Arc::new(samples::shown(&["mx.b.example"], ChainVerdict::Trusted)));
    let met = decision("bank", Ruling::Met, tls);
    recorder.observe(&Event::Accepted {
        message,
        peer: "192.0.2.1".parse().expect("an address"),
        recipients: std::slice::from_ref(&to),
        times: ArrivalTimes::default(),
        findings: &crate::connector::HeaderFindings::default(),
        decision: &decision("exchange", Ruling::Sealed, Attainment::Plaintext),
    });
    let withheld = decision("bank", Ruling::Withheld(Shortfall::NotOffered), Attainment::Plaintext);
    let trouble = Trouble {
        status: Enhanced(4, 7, 4),
        cause: Cause::Requirement,
        reason: "TLS is required\r\nand not offered".to_owned(),
        remote: Some(Remote { host: "mx.b.example [192.0.2.7]:25".to_owned(), reply: None }),
        decision: Some(withheld),
        scope: Scope::Lane,
        expired: false,
    };
    recorder.observe(&Event::Deferred {
        message,
        forward_path: &to,
        outbound: "bank",
        trouble: &trouble,
        next_at: UnixMillis(1_795_469_756_000),
        rerouted_from: None,
    });
    recorder.observe(&Event::Delivered {
        message,
        forward_path: &to,
        delivered: &DeliveryRecord {
            host: "mx.b.example [192.0.2.7]:25".to_owned(),
            reply: Reply::new(250, Enhanced(2, 0, 0), "ok"),
            decision: met,
            reports_on: false,
            content: ContentRecord::default(),
        },
        delay: Duration::from_millis(17),
        rerouted_from: None,
    });
    id
}

fn done(store: TraceStore) {
    store.stop(Duration::from_secs(30));
}

#[track_caller]
fn found(reader: &mut TraceReader, filter: TraceFilter, expected: &[&str]) {
    let events = reader.search(&filter, 100).expect("an answer");
    let kinds: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(kinds, expected, "{filter:?}");
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

#[test]
fn each_property_finds_its_events() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let id = tell(&store.recorder(), 1, "Rechnung für März 2026");
    tell(&store.recorder(), 2, "Lunch?");
    done(store);
    let mut reader = TraceReader::open(folder.path()).expect("a store");
    let all = ["delivered", "deferred", "accepted"];
    let f = TraceFilter::default;
    found(&mut reader, TraceFilter { id: Some(id), ..f() }, &all);
    found(&mut reader, TraceFilter { message_id: text("<1@a.example>"), ..f() }, &all);
    found(&mut reader, TraceFilter { address: text("ada1@A.example"), ..f() }, &all);
    found(&mut reader, TraceFilter { from: text("ada1@a.example"), to: text("@b.example"), ..f() }, &all);
    found(&mut reader, TraceFilter { from: text("bob@b.example"), ..f() }, &[]);
    found(&mut reader, TraceFilter { subject: vec!["rechn*".to_owned(), "MÄRZ".to_owned()], ..f() }, &all);
    found(&mut reader, TraceFilter { subject: vec!["rechn".to_owned()], ..f() }, &[]);
    found(
        &mut reader,
        TraceFilter { subject: vec!["lunch".to_owned()], connector: text("bank"), ..f() },
        &["delivered", "deferred"],
    );
    let kinds = vec![EventKind::Delivered];
    found(&mut reader, TraceFilter { kinds, connector: text("bank"), ..f() }, &["delivered", "delivered"]);
    found(
        &mut reader,
        TraceFilter { reason: text("starttls-not-offered"), ..f() },
        &["deferred", "deferred"],
    );
    found(&mut reader, TraceFilter { tls: text("TLSv1.3"), id: Some(id), ..f() }, &["delivered"]);
    found(
        &mut reader,
        TraceFilter { host: text("192.0.2.7"), id: Some(id), ..f() },
        &["delivered", "deferred"],
    );
    found(
        &mut reader,
        TraceFilter { host: text("mx.b.example"), id: Some(id), ..f() },
        &["delivered", "deferred"],
    );
    found(&mut reader, TraceFilter { until: Some(UnixMillis(1)), ..f() }, &[]);
    found(&mut reader, TraceFilter { since: Some(UnixMillis(1)), id: Some(id), ..f() }, &all);
    let timeline = reader.timeline(id).expect("a timeline");
    let (first, last) = (timeline.first().expect("one"), timeline.last().expect("one"));
    assert_eq!(
        (first.event.as_str(), first.facts.subject.as_deref()),
        ("accepted", Some("Rechnung für März 2026"))
    );
    assert_eq!(last.facts.delay_ms, Some(17));
    let tls = last.decision.as_ref().and_then(|decision| decision.tls.as_ref()).expect("a handshake");
    assert_eq!(tls.get("version").and_then(|version| version.as_str()), Some("TLSv1.3"));
}

#[test]
fn what_came_since_is_told_in_order_and_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = store(folder.path());
    tell(&first.recorder(), 1, "one");
    done(first);
    let mut reader = TraceReader::open(folder.path()).expect("a store");
    let seen = reader.last_seq().expect("a place");
    let second = store(folder.path());
    let id = tell(&second.recorder(), 2, "two");
    second.recorder().observe(&Event::Handled { id, handling: QueueHandling::Held, by: "root (uid 0)" });
    done(second);
    let new = reader.after(seen, &TraceFilter::default(), 100).expect("an answer");
    let kinds: Vec<&str> = new.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(kinds, ["accepted", "deferred", "delivered", "handled"]);
    assert!(new.iter().all(|event| event.id == Some(id.to_string())));
    let last = reader.last_seq().expect("a place");
    assert_eq!(reader.after(last, &TraceFilter::default(), 100).expect("an answer"), []);
}

/// What is about no message, and others cause, takes no place from messages; and a row needs few events.
#[test]
fn a_crowd_pushes_no_message_out_of_what_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let recorder = store.recorder();
    let ids: Vec<QueueId> = (0..3).map(|number| tell(&recorder, number, "an invoice")).collect();
    for number in 0..20 {
        recorder.observe(&Event::Alarm { topic: AlarmTopic::Other, what: &format!("alarm {number}") });
    }
    done(store);
    let mut reader = TraceReader::open(folder.path()).expect("a store");
    let mut search =
        |filter: &TraceFilter, limit| TracedMessages::search(&mut reader, filter, limit).expect("an answer");
    let all = search(&TraceFilter::default(), 10);
    assert_eq!((all.messages.len(), all.others.len(), all.is_cut), (3, 10, true));
    let some = search(&TraceFilter { kinds: vec![EventKind::Delivered], ..TraceFilter::default() }, 3);
    assert_eq!((some.messages.len(), some.others.len(), some.is_cut), (3, 0, false));
    let two = search(&TraceFilter { domain: text("b.example"), ..TraceFilter::default() }, 2);
    assert_eq!((two.messages, two.is_cut), (vec![ids[2], ids[1]], true));

    let outline = reader.outline(ids[0]).expect("an answer");
    let row = outline.row();
    assert_eq!(
        (row[0].as_str(), row[2].as_str(), row[4].as_str()),
        (&*ids[0].to_string(), "<Ada0@a.example>", "delivered")
    );
    assert_eq!((row[5].as_str(), row[6].as_str()), ("bank", "an invoice"));
    assert_eq!(outline.into_first().map(|event| event.event), text("accepted"));
}

#[test]
fn sums_tell_messages_and_sessions_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    tell(&store.recorder(), 1, "one");
    tell(&store.recorder(), 2, "two");
    done(store);
    let reader = TraceReader::open(folder.path()).expect("a store");
    let sums = reader.sums(0, i64::MAX).expect("an answer");
    let delivered: Vec<_> = sums.iter().filter(|(key, _)| key.kind == EventKind::Delivered).collect();
    let [(key, sum)] = delivered.as_slice() else { panic!("{delivered:?}") };
    assert_eq!((&*key.connector, &*key.domain, &*key.reason), ("bank", "b.example", "met"));
    assert_eq!((key.requirement, &*key.version), (RequiredQuality::Forced, "TLSv1.3"));
    assert_eq!((sum.messages, sum.sessions, sum.octets), (2, 2, 8_192));
}

#[test]
fn what_is_too_much_goes_oldest_first() {
    let folder = tempfile::tempdir().expect("a folder");
    // Of a sealed one, what was stated of it counts.
    let store = |folder: &Path| TraceStore::start(folder, settings(), None, 0).expect("a thread");
    let first = store(folder.path());
    tell(&first.recorder(), 1, "one");
    done(first);
    // As if it had been written long ago.
    let path = folder.path().join(STORE_FILE);
    let old = rusqlite::Connection::open(&path).expect("a database");
    old.execute_batch(
        "UPDATE part SET day = 1, first_at = 86400000, last_at = 86400001; UPDATE event_1 SET at = 86400000",
    )
    .expect("changed");
    drop(old);
    let second = store(folder.path());
    let id = tell(&second.recorder(), 2, "two");
    done(second);
    let mut reader = TraceReader::open(folder.path()).expect("a store");
    let all = reader.search(&TraceFilter::default(), 100).expect("an answer");
    assert!(all.iter().all(|event| event.id == Some(id.to_string())), "{all:?}");
    assert_eq!(all.len(), 3);
}

#[test]
fn a_damaged_store_is_set_aside_and_mail_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(STORE_FILE), "no database, but something that somebody wrote here")
        .expect("written");
    let store = store(folder.path());
    tell(&store.recorder(), 1, "one");
    done(store);
    let names: Vec<String> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(names.iter().any(|name| name.starts_with("tracking.sqlite.bad-")), "{names:?}");
    let mut reader = TraceReader::open(folder.path()).expect("a store");
    assert_eq!(reader.search(&TraceFilter::default(), 100).expect("an answer").len(), 3);
}

#[test]
fn kinds_have_words_and_numbers_of_their_own() {
    let words: std::collections::BTreeSet<_> = EventKind::ALL.iter().map(|(_, word, _)| word).collect();
    let numbers: std::collections::BTreeSet<_> = EventKind::ALL.iter().map(|(.., number)| number).collect();
    assert_eq!((words.len(), numbers.len()), (EventKind::ALL.len(), EventKind::ALL.len()));
    for &(kind, word, number) in EventKind::ALL {
        assert_eq!((EventKind::named(word), EventKind::numbered(number)), (Some(kind), Some(kind)));
    }
}

#[test]
fn a_session_is_counted_once_whatever_is_told_of_it_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let cause = crate::connector::ClearCause::NotOffered;
    let plain = decision("out", Ruling::Plaintext(cause), Attainment::Plaintext);
    let (from, to) = (ReversePath::parse("a@a.example"), Mailbox::parse("b@b.example"));
    let (from, to) = (from.expect("a path"), to.expect("a mailbox"));
    let recorder = store.recorder();
    recorder.observe(&Event::ClearFallback { host: "mx.b.example", decision: &plain });
    for number in 0..3 {
        let id = QueueId::first_of(number);
        let message =
            MessageFacts { id, reverse_path: &from, message_id: None, subject: None, size: 1, came_by: None };
        let delivered = DeliveryRecord {
            host: "mx.b.example".to_owned(),
            reply: Reply::new(250, Enhanced(2, 0, 0), "ok"),
            decision: Arc::clone(&plain),
            reports_on: false,
            content: ContentRecord::default(),
        };
        let (delivered, delay, forward_path) = (&delivered, Duration::ZERO, &to);
        recorder.observe(&Event::Delivered { message, forward_path, delivered, delay, rerouted_from: None });
    }
    done(store);
    let sums = TraceReader::open(folder.path()).expect("a store").sums(0, i64::MAX).expect("sums");
    let report = TlsReport::of(&sums, (0, 1));
    let share = (report.outbound.messages, report.outbound.connections, report.outbound.connections_over_tls);
    assert_eq!(share, (3, 1, 0));
}

#[test]
fn whoever_follows_misses_nothing_however_much_comes_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    for number in 0..50 {
        tell(&store.recorder(), number, "one of many");
    }
    done(store);
    let mut reader = TraceReader::open(folder.path()).expect("a store");
    let (mut last, mut seen) = (0, 0);
    loop {
        let events = reader.after(last, &TraceFilter::default(), 40).expect("an answer");
        assert!(events.iter().is_sorted_by_key(|event| event.seq));
        let Some(end) = events.last() else { break };
        (last, seen) = (end.seq, seen + events.len());
    }
    assert_eq!(seen, 150);
}

#[test]
fn a_store_that_is_removed_while_it_is_written_is_begun_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    done(store(folder.path()));
    let second = store(folder.path());
    std::fs::remove_file(folder.path().join(STORE_FILE)).expect("removed");
    let id = tell(&second.recorder(), 2, "two");
    done(second);
    let mut reader = TraceReader::open(folder.path()).expect("a store");
    assert_eq!(reader.timeline(id).expect("a timeline").len(), 3);
}

#[test]
fn what_is_set_aside_keeps_what_was_committed_last() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(STORE_FILE);
    let newer = rusqlite::Connection::open(&path).expect("a database");
    newer
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE note (text TEXT); INSERT INTO note VALUES ('of a newer version'); \
             PRAGMA user_version = 99",
        )
        .expect("written, and not yet in the file itself");
    done(store(folder.path()));
    let entries =
        std::fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
    let is_aside = |path: &std::path::PathBuf| {
        let name = path.to_string_lossy().into_owned();
        name.contains(".bad-") && !name.ends_with("-wal") && !name.ends_with("-shm")
    };
    let aside = entries.into_iter().find(is_aside).expect("set aside");
    drop(newer);
    let old = rusqlite::Connection::open(aside).expect("a database");
    let text: String = old.query_row("SELECT text FROM note", [], |row| row.get(0)).expect("a row");
    assert_eq!(text, "of a newer version");
}
