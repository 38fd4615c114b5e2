//! Records that somebody has tampered with.

use std::path::Path;

use rusqlite::Connection;

use super::export::export;
use super::fault::ExportFault;
use super::package::verify_package;
use super::scope::ExportScope;
use super::summary::ExportSummary;
use super::verify::{RecordBreak, Verification};
use crate::mail::UnixMillis;
use crate::seal::{ChainBreak, Hash, KeptElsewhere};
use crate::trace::samples::{prune_all, write_days, write_overrides, write_unsealed};
use crate::trace::{STORE_FILE, TraceReader, last_stated};

/// Three days: 2026-11-20 to 22, of 8, 9 and 10 events.
const DAYS: &[(i64, usize)] = &[(20_777, 8), (20_778, 9), (20_779, 10)];

fn verified(folder: &Path) -> Verification {
    let kept =
        KeptElsewhere { last_number: last_stated(folder).expect("a file"), ..KeptElsewhere::default() };
    verified_with(folder, &kept)
}

fn verified_with(folder: &Path, kept: &KeptElsewhere) -> Verification {
    let reader = TraceReader::open(folder).expect("a store");
    Verification::of(&reader, kept, |_| true).expect("it can be read")
}

/// What is named first after somebody has run this.
fn after(sql: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    write_days(folder.path(), DAYS);
    tamper(folder.path(), sql);
    verified(folder.path()).breaks.iter().map(ToString::to_string).collect()
}

/// The same, if the relay runs again before anybody looks.
fn after_a_restart(sql: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    write_days(folder.path(), DAYS);
    tamper(folder.path(), sql);
    write_days(folder.path(), &[(20_780, 4)]);
    verified(folder.path()).breaks.iter().map(ToString::to_string).collect()
}

fn tamper(folder: &Path, sql: &str) {
    let database = Connection::open(folder.join(STORE_FILE)).expect("a database");
    database.execute_batch(sql).expect(sql);
}

#[test]
fn a_record_that_nobody_touched_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    write_days(folder.path(), DAYS);
    let found = verified(folder.path());
    assert_eq!(found.breaks, []);
    let days: Vec<_> = found.days.iter().map(|day| (day.day.as_str(), day.events, day.sealed)).collect();
    assert_eq!(days, [("2026-11-20", 8, 8), ("2026-11-21", 9, 9), ("2026-11-22", 10, 10)]);
    // Begun; a checkpoint in each day; two days closed, each with another key after it; the last checkpoint.
    assert_eq!(found.outline.statements, 1 + 3 + 2 * 2 + 1);
    write_days(folder.path(), &[(20_779, 2), (20_780, 1)]);
    let later = verified(folder.path());
    assert_eq!(later.breaks, [], "it goes on after a restart");
    assert_eq!(later.outline.first_key, found.outline.first_key);
    assert_eq!(later.days.get(2).map(|day| (day.events, day.sealed)), Some((12, 12)));
}

#[test]
fn what_was_altered_is_named() {
    let one_byte = "UPDATE event_2 SET data = replace(data, 'event 3', 'event 4') WHERE seq = 12";
    let broken = after(one_byte);
    assert_eq!(broken.len(), 1, "{broken:?}");
    assert!(broken[0].starts_with("2026-11-21: event 12 was altered: {\"seq\":12,"), "{broken:?}");
    for (sql, expected) in [
        ("UPDATE event_2 SET at = at + 1 WHERE seq = 12", "2026-11-21: event 12 was altered"),
        ("UPDATE event_2 SET kind = 4 WHERE seq = 12", "2026-11-21: event 12 was altered"),
        ("UPDATE event_2 SET id = 5 WHERE seq = 9", "2026-11-21: event 9 was altered"),
        ("UPDATE event_2 SET data = x'00' WHERE seq = 12", "2026-11-21: event 12 was altered"),
        ("UPDATE event_2 SET leaf = NULL WHERE seq = 12", "2026-11-21: event 12 was altered"),
        ("DELETE FROM event_1 WHERE seq = 3", "2026-11-20: event 3 was removed"),
        ("DELETE FROM event_1 WHERE seq IN (1, 2)", "2026-11-20: events 1 to 2 were removed"),
        ("DELETE FROM event_1 WHERE seq >= 7", "2026-11-20: events 7 to 8 were removed"),
        ("DELETE FROM event_1", "2026-11-20: events 1 to 8 were removed"),
        ("DROP TABLE event_1; DELETE FROM part WHERE part = 1", "2026-11-20: events 1 to 8 were removed"),
        ("DROP TABLE event_1", "2026-11-20: events 1 to 8 were removed"),
        ("ALTER TABLE event_1 DROP COLUMN data", "2026-11-20: events 1 to 8 were removed"),
        (
            "INSERT INTO part (part, day, first_seq, last_seq, first_at, last_at, sealed) VALUES (4, 20780, 28, 30, 0, 0, 1)",
            "2026-11-23: events 28 to 30 were removed",
        ),
        (
            "INSERT INTO part (part, day, first_seq, last_seq, first_at, last_at) VALUES (4, 20780, 28, 30, 0, 0)",
            "2026-11-23: events 28 to 30 were removed",
        ),
        (
            "INSERT INTO event_1 (seq, at, kind, data) VALUES (0, 1, 16, '{}')",
            "2026-11-20: it has event 0, which belongs to another place: days were exchanged",
        ),
        (
            "UPDATE event_2 SET seq = 100 WHERE seq = 17",
            "2026-11-21: event 100 was not there when the day was sealed",
        ),
        (
            "ALTER TABLE event_1 RENAME TO event_x; ALTER TABLE event_2 RENAME TO event_1; ALTER TABLE event_x RENAME TO event_2",
            "2026-11-20: it has events 9 to 17, which belong to another place: days were exchanged",
        ),
        (
            "UPDATE part SET day = 20778 WHERE part = 1; UPDATE part SET day = 20777 WHERE part = 2",
            "2026-11-21: statement 2 says that these events are of 2026-11-20: days were exchanged",
        ),
        (
            "UPDATE statement SET text = replace(text, '2026-11-20', '2026-11-19') WHERE number = 2",
            "statement 2 is not signed by the key of the site: it was altered",
        ),
        (
            "UPDATE statement SET signature = x'00' WHERE number = 3",
            "statement 3 is not signed by the key of the site: it was altered",
        ),
        ("UPDATE statement SET text = 'no' WHERE number = 3", "statement 3 can't be read: it was altered"),
        ("DELETE FROM statement WHERE number = 3", "statement 3 is missing"),
        ("DELETE FROM statement WHERE number >= 8", "statements 8 to 9 are missing"),
        ("DELETE FROM statement WHERE number <= 2", "statements 1 to 2 are missing"),
        (
            "UPDATE statement SET number = -1 WHERE number = 2; UPDATE statement SET number = 2 WHERE number = 3; UPDATE statement SET number = 3 WHERE number = -1",
            "statement 2 says that it is number 3: one was exchanged for the other",
        ),
    ] {
        let broken = after(sql);
        assert!(broken.first().is_some_and(|first| first.starts_with(expected)), "{sql}: {broken:?}");
    }
}

/// What stands in no statement: indexes, ends that only searches use, and what statements themselves say better.
const UNSEALED_COLUMNS: &[&str] = &[
    "part.first_seq",
    "part.last_seq",
    "part.first_at",
    "part.last_at",
    "part.sealed",
    "part.closed",
    "decision.digest",
    "decision.day",
    "statement.at",
    "statement.what",
    "statement.part",
];

#[test]
fn whatever_stands_in_a_column_is_named_and_stops_no_verification() {
    let folder = tempfile::tempdir().expect("a folder");
    write_overrides(folder.path(), &[(20_777, 3)], "bank");
    write_days(folder.path(), &DAYS[1..]);
    let whole = std::fs::read(folder.path().join(STORE_FILE)).expect("a store");
    for table in ["part", "decision", "statement", "event_1"] {
        let mut columns = Vec::new();
        let database = Connection::open(folder.path().join(STORE_FILE)).expect("a database");
        database
            .pragma(None, "table_info", table, |row| row.get(1).map(|name: String| columns.push(name)))
            .expect("its columns");
        drop(database);
        assert!(!columns.is_empty(), "{table}");
        for column in columns {
            for value in ["NULL", "-9", "9223372036854775807", "1.5", "'text'", "x'00ff'"] {
                std::fs::write(folder.path().join(STORE_FILE), &whole).expect("a copy");
                let database = Connection::open(folder.path().join(STORE_FILE)).expect("a database");
                let first = format!("rowid = (SELECT min(rowid) FROM {table})");
                // Where it can be, and is not there already.
                let sql = format!(
                    "UPDATE {table} SET {column} = {value} WHERE {first} AND {column} IS NOT {value}"
                );
                let is_altered = database.execute(&sql, []).is_ok_and(|rows| rows == 1);
                drop(database);
                let place = format!("{table}.{column}");
                let is_expected = is_altered && !UNSEALED_COLUMNS.contains(&place.as_str());
                let found = verified(folder.path());
                assert_eq!(!found.is_whole(), is_expected, "{place} = {value}: {:?}", found.breaks);
            }
        }
    }
}

#[test]
fn a_record_goes_on_whatever_was_altered_in_it() {
    for sql in [
        "UPDATE statement SET text = x'00' WHERE number = 1",
        "UPDATE statement SET text = x'00' WHERE number = 9",
        "UPDATE statement SET text = x'00'",
        "UPDATE part SET day = 'x', closed = 0 WHERE part = 1",
        "UPDATE part SET day = 'x' WHERE part = 1",
        "UPDATE part SET first_seq = 'x', last_seq = 'x' WHERE part = 2",
    ] {
        let broken = after_a_restart(sql);
        assert!(!broken.is_empty() || sql.contains("first_seq"), "{sql}");
        let folder = tempfile::tempdir().expect("a folder");
        write_days(folder.path(), DAYS);
        tamper(folder.path(), sql);
        prune_all(folder.path(), 20_777 + 91);
    }
}

/// An event refers to it.
#[test]
fn decisions_that_are_gone_are_missed() {
    let folder = tempfile::tempdir().expect("a folder");
    write_overrides(folder.path(), &[(20_777, 2)], "bank");
    tamper(folder.path(), "DROP TABLE decision");
    let found = verified(folder.path());
    assert!(
        found.breaks.iter().any(|one| one.to_string().contains("event 1 was altered")),
        "{:?}",
        found.breaks
    );
}

#[test]
fn an_event_and_its_hash_can_not_be_altered_together() {
    let folder = tempfile::tempdir().expect("a folder");
    write_days(folder.path(), DAYS);
    let mut line = String::new();
    let reader = TraceReader::open(folder.path()).expect("a store");
    let (_, parts) = reader.record().expect("parts");
    let second = *parts.get(1).expect("a second part");
    reader
        .record_lines(&second, |event| {
            if event.seq == 14 {
                line = event.line.replace("event 5", "event 6");
            }
            Ok::<(), rusqlite::Error>(())
        })
        .expect("events");
    let leaf = Hash::of_leaf(line.as_bytes());
    tamper(
        folder.path(),
        &format!(
            "UPDATE event_2 SET data = replace(data, 'event 5', 'event 6'), leaf = x'{leaf}' WHERE seq = 14"
        ),
    );
    let broken = verified(folder.path()).breaks;
    assert!(matches!(broken.as_slice(), [RecordBreak::Replaced { from: 13, to: 17, .. }]), "{broken:?}");
}

#[test]
fn what_was_kept_elsewhere_finds_a_record_that_was_written_again() {
    let (first, second) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    write_days(first.path(), DAYS);
    write_days(second.path(), DAYS);
    let known = verified(first.path());
    let kept = KeptElsewhere {
        first_key: known.outline.first_key,
        hashes: known.outline.last.iter().map(|last| last.hash).collect(),
        last_number: None,
    };
    assert_eq!(verified_with(first.path(), &kept).breaks, []);
    let broken = verified_with(second.path(), &kept).breaks;
    assert!(
        matches!(
            broken.as_slice(),
            [
                RecordBreak::Chain(ChainBreak::AnotherKey { .. }),
                RecordBreak::Chain(ChainBreak::WithoutKept(_))
            ]
        ),
        "{broken:?}"
    );
}

#[test]
fn a_store_that_is_set_aside_is_followed_by_one_that_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    write_days(folder.path(), DAYS);
    let last = verified(folder.path()).outline.last.expect("a statement").hash;
    for file in [STORE_FILE, "tracking.sqlite-wal", "tracking.sqlite-shm"] {
        let _gone = std::fs::remove_file(folder.path().join(file));
    }
    write_days(folder.path(), &[(20_780, 4)]);
    let found = verified(folder.path());
    assert_eq!(found.breaks, [RecordBreak::Chain(ChainBreak::Earlier { number: 10 })], "it says so");
    let kept = KeptElsewhere { hashes: vec![last], ..KeptElsewhere::default() };
    assert_eq!(
        verified_with(folder.path(), &kept).breaks,
        [],
        "whoever has verified the other one goes on here"
    );
    let reader = TraceReader::open(folder.path()).expect("a store");
    let (statements, _) = reader.record().expect("statements");
    assert_eq!(statements.first().map(|first| first.number), Some(10), "and goes on counting");
}

#[test]
fn a_key_that_nobody_announced_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    write_days(folder.path(), DAYS);
    std::fs::remove_file(folder.path().join("evidence/key.der")).expect("a key");
    write_days(folder.path(), &[(20_780, 4)]);
    let broken = verified(folder.path()).breaks;
    assert!(
        matches!(broken.as_slice(), [RecordBreak::Chain(ChainBreak::UnknownKey { number: 10, .. })]),
        "{broken:?}"
    );
}

/// What is exported of one day, to `package` in the folder.
fn exported(folder: &Path, day: i64) -> Result<ExportSummary, ExportFault> {
    let scope = ExportScope {
        partner: "bank".to_owned(),
        connectors: Vec::new(),
        names: ["bank".to_owned()].into(),
        from: day,
        to: day,
        made_at: UnixMillis::of_day(20_790),
    };
    let mut reader = TraceReader::open(folder).expect("a store");
    export(&mut reader, folder, &scope, &KeptElsewhere::default(), &folder.join("package"))
}

#[test]
fn what_is_broken_elsewhere_ends_no_export_and_is_in_it() {
    for (sql, expected) in [
        ("DELETE FROM event_1 WHERE seq = 3", Some(&[][..])),
        ("DELETE FROM event_2 WHERE seq = 12", None),
        (
            "DELETE FROM statement WHERE number = 3",
            Some(
                &[
                    "statement 3 is missing",
                    "statement 5 does not go on where the ones before it end: events 5 to 8",
                ][..],
            ),
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        write_days(folder.path(), DAYS);
        tamper(folder.path(), sql);
        let done = exported(folder.path(), 20_778);
        let Some(expected) = expected else {
            assert!(matches!(done, Err(ExportFault::Broken(_))), "{sql}: {done:?}");
            assert!(!folder.path().join("package").exists());
            continue;
        };
        let summary = done.expect(sql);
        assert_eq!(summary.breaks, expected, "{sql}");
        let page = std::fs::read_to_string(folder.path().join("package/index.html")).expect("a page");
        assert!(expected.iter().all(|one| page.contains(one)), "{page}");
        let found = verify_package(&folder.path().join("package"), &KeptElsewhere::default()).expect("files");
        let breaks: Vec<String> = found.breaks.iter().map(ToString::to_string).collect();
        assert_eq!(breaks, expected, "the package is as it was made: {sql}");
        assert_eq!(found.partner.as_deref(), Some("bank"), "and signed");
    }
}

#[test]
fn a_package_is_signed_by_the_key_that_the_record_announces() {
    let folder = tempfile::tempdir().expect("a folder");
    write_days(folder.path(), DAYS);
    exported(folder.path(), 20_777).expect("a package");
    let package = folder.path().join("package");
    let found = verify_package(&package, &KeptElsewhere::default()).expect("files");
    assert_eq!(found.breaks, []);
    // Without a statement nothing is proved, whatever key is expected.
    std::fs::write(package.join("statements.jsonl"), "").expect("a file");
    let kept = KeptElsewhere { first_key: found.outline.first_key, ..KeptElsewhere::default() };
    let broken = verify_package(&package, &kept).expect("files").breaks;
    assert!(broken.first().is_some_and(|one| one.to_string().contains("nothing is proved")), "{broken:?}");
    std::fs::remove_dir_all(&package).expect("a folder");
    std::fs::remove_file(folder.path().join("evidence/key.der")).expect("a key");
    let done = exported(folder.path(), 20_777);
    assert!(matches!(done, Err(ExportFault::AnotherKey)), "{done:?}");
    assert!(!package.exists());
    std::fs::write(folder.path().join("evidence/key.der"), "x").expect("a key");
    let done = exported(folder.path(), 20_777);
    assert!(matches!(done, Err(ExportFault::Key(_))), "{done:?}");
}

#[test]
fn an_override_that_began_before_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    write_overrides(folder.path(), &[(20_777, 2)], "bank");
    write_days(folder.path(), &[(20_778, 4)]);
    let shown = |day| {
        let summary = exported(folder.path(), day).expect("a package");
        let page = std::fs::read_to_string(folder.path().join("package/index.html")).expect("a page");
        std::fs::remove_dir_all(folder.path().join("package")).expect("a folder");
        (summary.overrides.iter().map(|one| one.began_before).collect::<Vec<_>>(), page)
    };
    let (before, page) = shown(20_778);
    assert_eq!(before, [true]);
    assert!(page.contains("(began before)") && !page.contains("No requirement was overridden."), "{page}");
    assert_eq!(shown(20_777).0, [false, false]);
}

#[test]
fn the_relay_signs_nothing_that_contradicts_what_it_has_signed() {
    for (sql, expected) in [
        // The end of a day that is closed, which is opened again so that it is closed again.
        (
            "DELETE FROM event_1 WHERE seq > 6; UPDATE part SET last_seq = 6, closed = 0 WHERE part = 1",
            "2026-11-20: events 7 to 8 were removed",
        ),
        (
            "UPDATE event_1 SET data = '{}' WHERE seq = 2; UPDATE part SET closed = 0 WHERE part = 1",
            "2026-11-20: event 2 was altered",
        ),
        (
            "UPDATE part SET day = 20778, closed = 0 WHERE part = 1; UPDATE part SET day = 20777, closed = 0 WHERE part = 2",
            "2026-11-21: statement 2 says that these events are of 2026-11-20: days were exchanged",
        ),
        // A day that was never there, before the first or between two.
        (
            "CREATE TABLE event_0 AS SELECT * FROM event_1; UPDATE event_0 SET seq = seq - 100;
            INSERT INTO part (part, day, first_seq, last_seq, first_at, last_at, sealed) VALUES (0, 20776, -99, -92, 0, 0, 1)",
            "2026-11-19: event 0 was not there when the day was sealed",
        ),
        (
            "CREATE TABLE event_0 AS SELECT * FROM event_1;
            INSERT INTO part (part, day, first_seq, last_seq, first_at, last_at, sealed) VALUES (0, 20776, 1, 8, 0, 0, 0)",
            "2026-11-19: events 1 to 8 were not there when the day was sealed",
        ),
        // The last day, which is still written.
        (
            "DELETE FROM event_3 WHERE seq > 25; UPDATE part SET last_seq = 25 WHERE part = 3",
            "2026-11-22: events 26 to 27 were removed",
        ),
        // Everything, so that the record begins again.
        ("DELETE FROM statement", "the record begins with statement 10: those before it are in another store"),
    ] {
        let broken = after_a_restart(sql);
        assert!(broken.iter().any(|one| one.starts_with(expected)), "{sql}: {broken:?}");
    }
}

#[test]
fn what_was_removed_by_the_rules_is_no_break_and_numbers_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    write_days(folder.path(), DAYS);
    // All of it is older than 90 days.
    prune_all(folder.path(), 21_000);
    let found = verified(folder.path());
    assert_eq!(found.breaks, []);
    assert_eq!(found.days.iter().map(|day| day.removed).sum::<u64>(), 27);
    write_days(folder.path(), &[(21_000, 5)]);
    let later = verified(folder.path());
    assert_eq!(later.breaks, [], "what is written later is no part of what is gone");
    assert_eq!(later.days.last().map(|day| (day.events, day.sealed)), Some((5, 5)));
}

#[test]
fn nobody_has_the_relay_remove_a_day_before_its_time() {
    let folder = tempfile::tempdir().expect("a folder");
    write_days(folder.path(), DAYS);
    tamper(folder.path(), "UPDATE part SET day = 0 WHERE part = 2");
    prune_all(folder.path(), 20_780);
    let broken = verified(folder.path()).breaks;
    assert!(
        matches!(broken.as_slice(), [RecordBreak::AnotherDay { .. }]),
        "the events are there: {broken:?}"
    );
}

#[test]
fn events_that_were_not_sealed_are_stated_and_shown_as_such() {
    let folder = tempfile::tempdir().expect("a folder");
    write_unsealed(folder.path(), &[(20_777, 3)]);
    write_days(folder.path(), &[(20_778, 4)]);
    write_unsealed(folder.path(), &[(20_778, 5)]);
    write_days(folder.path(), &[(20_779, 6)]);
    let found = verified(folder.path());
    assert_eq!(found.breaks, []);
    let days: Vec<_> = found.days.iter().map(|day| (day.events, day.sealed, day.waiting)).collect();
    assert_eq!(days, [(3, 0, 0), (9, 4, 0), (6, 6, 0)]);
}

#[test]
fn a_store_of_the_version_before_is_written_with_and_without_a_seal() {
    for is_sealed in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        write_unsealed(folder.path(), &[(20_777, 3)]);
        tamper(
            folder.path(),
            "DROP TABLE statement; ALTER TABLE part DROP COLUMN sealed; ALTER TABLE part DROP COLUMN closed;
            ALTER TABLE event_1 DROP COLUMN leaf; PRAGMA user_version = 1",
        );
        let reader = TraceReader::open(folder.path()).expect("it can be read before the relay has run");
        assert_eq!(reader.record().expect("a record").1.len(), 1);
        drop(reader);
        if is_sealed {
            write_days(folder.path(), &[(20_777, 4)]);
            assert_eq!(verified(folder.path()).breaks, []);
        } else {
            write_unsealed(folder.path(), &[(20_777, 4)]);
        }
        let reader = TraceReader::open(folder.path()).expect("a store");
        let (_, parts) = reader.record().expect("a record");
        let counts: Vec<u64> = parts.iter().map(|part| part.last_seq + 1 - part.first_seq).collect();
        assert_eq!(counts, [3, 4], "nothing is lost");
    }
}
