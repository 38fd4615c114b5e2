//! Tests of restarting, and of what startup finds.

use std::time::Instant;

use rusqlite::Connection;

use super::*;
use crate::spool::mark::Marker;
use crate::spool::recover::RecoveryReport;

fn edit(folder: &Path, sql: &str) {
    Connection::open(folder.join("spool.sqlite")).expect("a database").execute_batch(sql).expect("valid SQL");
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, recovered) = open(folder.path());
    assert_eq!(recovered, RecoveryReport::default());
    let (id, leased) = put(&spool, &["x"], 0).await;
    let far = QueueId::first_of(1_790_000_000_000);
    drop(spool.put(message(far, &["x"], 1)).await.expect("room"));
    drop((spool, leased));

    let (spool, recovered) = open(folder.path());
    assert_eq!(recovered.stats, Stats { messages: 2, recipients: 2, held: 0 });
    assert_eq!(told_due(&spool, &[id, far], "x", 1, 9).await, "0:0 1:0 next None");
    assert!(spool.new_id(NOW) > far, "a clock that was set back gives no name twice");
}

#[tokio::test]
async fn one_process_has_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("new");
    let (spool, _) = open(&data_dir);
    let second = SqliteSpool::open(Settings { data_dir: data_dir.clone(), ..Settings::default() })
        .err()
        .expect("it is locked");
    assert!(matches!(&second, OpenFault::Locked(path) if *path == data_dir.join("lock")), "{second}");
    for (name, mode) in [("", 0o700), ("body", 0o700), ("tmp", 0o700), ("spool.sqlite", 0o600)] {
        let found = fs::metadata(data_dir.join(name)).expect("it exists").permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name}");
    }
    drop(spool);
    open(&data_dir);
}

/// Undoes the steps after the third version.
const SINCE_THE_THIRD: &str = "ALTER TABLE message DROP COLUMN held_until_whole; \
    ALTER TABLE message DROP COLUMN left_sealed; \
    ALTER TABLE message DROP COLUMN raised_by; ALTER TABLE message DROP COLUMN originator; \
    ALTER TABLE recipient DROP COLUMN rerouted; ALTER TABLE message DROP COLUMN onward_own; \
    ALTER TABLE message DROP COLUMN subject;";

#[tokio::test]
async fn a_schema_is_brought_up_to_date_but_never_down() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()));
    let path = folder.path().join("spool.sqlite");
    let read = |pragma: &str| {
        let database = Connection::open(&path).expect("a database");
        database.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).expect("a number")
    };
    assert_eq!((read("user_version"), read("page_size")), (9, 8192));
    // As the first version left it.
    edit(
        folder.path(),
        &format!(
            "ALTER TABLE message DROP COLUMN onward_sealed; ALTER TABLE message DROP COLUMN utf8; \
             ALTER TABLE message DROP COLUMN ret; ALTER TABLE message DROP COLUMN envid; \
             ALTER TABLE recipient DROP COLUMN notify; ALTER TABLE recipient DROP COLUMN orcpt; \
             {SINCE_THE_THIRD} PRAGMA user_version = 1"
        ),
    );
    drop(open(folder.path()));
    assert_eq!(read("user_version"), 9);
    edit(folder.path(), "PRAGMA user_version = 10");
    let fault = SqliteSpool::open(Settings { data_dir: folder.path().to_owned(), ..Settings::default() })
        .err()
        .expect("newer");
    assert!(matches!(fault, OpenFault::Newer { version: 10, known: 9, .. }), "{fault}");
    assert_eq!(read("user_version"), 10);
}

#[tokio::test]
async fn what_an_earlier_version_raised_holds_for_reports_as_it_did() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let (id, _) = put(&spool, &["x"], 0).await;
    let onward =
        async |spool: &SqliteSpool| spool.show(id).await.expect("readable").expect("queued").origin.onward;
    let demand = onward(&spool).await;
    assert_eq!((demand.level, demand.own), (Onward::Identity, Onward::Sealed));
    drop(spool);
    edit(folder.path(), "UPDATE message SET onward_own = NULL");
    let demand = onward(&open(folder.path()).0).await;
    assert_eq!((demand.level, demand.own), (Onward::Identity, Onward::Identity));
}

#[tokio::test]
async fn what_a_crash_left_is_set_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let mut ids = Vec::new();
    for text in ["whole", "short", "missing"] {
        ids.push(put_file(&spool, text.as_bytes()).await.0);
    }
    drop(spool);
    let path = |id: QueueId| folder.path().join("body").join(id.to_string());
    let orphan = path(QueueId::from_number(3));
    fs::write(&orphan, "never acknowledged").expect("a file");
    fs::write(folder.path().join("tmp/part"), "unfinished").expect("a file");
    fs::write(path(ids[1]), "shor").expect("a file");
    fs::remove_file(path(ids[2])).expect("a file");

    let (spool, recovered) = open(folder.path());
    assert_eq!((recovered.removed, orphan.exists()), (2, false));
    assert_eq!(recovered.held.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids[1..]);
    assert_eq!(recovered.stats, Stats { messages: 3, recipients: 3, held: 2 });
    assert_eq!(told_due(&spool, &ids, "x", 99, 9).await, "0:0 next None");
    assert_eq!(hasten_all(&spool).await.1, 1);
    let far = UnixMillis(i64::MAX);
    assert_eq!(
        spool
            .overdue(
                lane("x"),
                crate::spool::Overdue { delay: None, expire: far, null_expire: None },
                None,
                9
            )
            .await
            .expect("readable")
            .found
            .len(),
        1
    );
    let shown = spool.show(ids[2]).await.expect("readable").expect("queued");
    assert!(shown.held.expect("held").contains("missing"));
    assert_eq!(spool.remove(ids[1]).await, Ok(Removal::Removed));
    assert_eq!(spool.stats().await.expect("open").held, 1);
    drop(spool);

    // Once the file is back, the message is released.
    fs::write(path(ids[2]), "missing").expect("a file");
    let (spool, recovered) = open(folder.path());
    assert_eq!((recovered.released, recovered.stats.held), (vec![ids[2]], 0));
    assert_eq!(told_due(&spool, &ids, "x", 99, 9).await, "0:0 2:0 next None");
}

#[tokio::test]
async fn what_somebody_holds_stays_held_until_it_is_released() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let text = vec![b'x'; 70_000];
    let (held, _) = put_file(&spool, &text).await;
    let (both, _) = put_file(&spool, &text).await;
    assert_eq!(spool.hold(held, "by an operator".into()).await, Ok(HoldResult::Held));
    let path = folder.path().join("body").join(both.to_string());
    fs::remove_file(&path).expect("a file");
    assert!(spool.read(both).await.is_err());
    assert_eq!(spool.hold(both, "by an operator".into()).await, Ok(HoldResult::Held));
    fs::write(&path, &text).expect("room");
    drop(spool);

    let (spool, recovered) = open(folder.path());
    assert_eq!((recovered.released, recovered.stats.held), (Vec::new(), 2));
    for id in [held, both] {
        let shown = spool.show(id).await.expect("readable").expect("queued");
        assert_eq!(shown.held.as_deref(), Some("by an operator"));
    }
    assert_eq!(told_due(&spool, &[held, both], "x", 99, 9).await, " next None");
    for id in [held, both] {
        assert_eq!(spool.release(id, NOW).await, Ok(true));
    }
    // Once released, it is held again only for its file.
    fs::remove_file(&path).expect("a file");
    assert!(spool.read(both).await.is_err());
    drop(spool);
    fs::write(&path, &text).expect("room");
    let (_, recovered) = open(folder.path());
    assert_eq!((recovered.released, recovered.stats.held), (vec![both], 0));
}

#[tokio::test]
async fn what_an_older_version_held_for_its_file_is_released_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(put_file(&spool, b"large").await.0);
    }
    drop(spool);
    let hold = |id: QueueId, reason: &str| {
        format!("UPDATE message SET held = '{reason}' WHERE id = {};", id.to_number())
    };
    let holds = [
        hold(ids[0], "its content is missing: /var/spool/x"),
        hold(ids[1], "the content should have 5 octets, and is missing or of another size"),
        hold(ids[2], "held by an operator"),
    ];
    let older = format!("{SINCE_THE_THIRD} PRAGMA user_version = 3");
    edit(folder.path(), &format!("{}{older}", holds.concat()));
    let (_, recovered) = open(folder.path());
    assert_eq!((recovered.released, recovered.stats.held), (ids[..2].to_vec(), 1));
}

#[tokio::test]
async fn one_row_that_can_not_be_read_is_held() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let (bad, _) = put(&spool, &["x"], 0).await;
    let (good, _) = put(&spool, &["x"], 1).await;
    drop(spool);
    edit(
        folder.path(),
        &format!("UPDATE recipient SET forward_path = '?' WHERE message = {}", bad.to_number()),
    );

    let (spool, _) = open(folder.path());
    assert_eq!(told_due(&spool, &[bad, good], "x", 9, 9).await, "1:0 next Some(9)");
    // The writer has its turn before it answers this.
    spool.hasten(good, NOW).await.expect("room");
    assert_eq!(told_due(&spool, &[bad, good], "x", 9, 9).await, "1:0 next None");
    assert_eq!(spool.stats().await.expect("open").held, 1);
    let reason = spool.show(bad).await.expect("readable").expect("queued").held.expect("held");
    assert!(reason.contains("forward-path of recipient 0"), "{reason}");
}

#[tokio::test]
async fn content_that_is_gone_holds_its_message_through_a_deferral() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let (id, mut leased) = put_file(&spool, b"large").await;
    fs::remove_file(folder.path().join("body").join(id.to_string())).expect("a file");
    assert!(matches!(spool.read(id).await, Err(SpoolFault::Failed(_))));
    settle(&spool, leased.remove(0), &deferred(1, "x")).await;
    assert_eq!(told_due(&spool, &[id], "x", 99, 9).await, " next None");
    assert!(spool.lanes(None, 9).await.expect("readable").is_empty());
    assert_eq!(spool.stats().await.expect("open").held, 1);
}

#[tokio::test]
async fn questions_about_a_lane_are_answered_from_the_index() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()));
    let database = Connection::open(folder.path().join("spool.sqlite")).expect("a database");
    for sql in [
        super::super::reader::DUE,
        super::super::reader::OVERDUE,
        super::super::lists::NEXT_LANE,
        super::super::lists::WAITING,
        super::super::long::ROWS,
    ] {
        let mut plan = database.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("valid SQL");
        let count = plan.parameter_count();
        let steps: Vec<String> = plan
            .query_map(rusqlite::params_from_iter(vec![1; count]), |row| row.get(3))
            .expect("a plan")
            .collect::<Result<_, _>>()
            .expect("a plan");
        let plan = steps.join("; ");
        let keyed = ["(lane", "((lane"].map(|key| format!("COVERING INDEX recipient_due {key}"));
        assert!(keyed.iter().any(|text| plan.contains(text)), "{plan}");
        assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN recipient"), "{plan}");
    }
    let mut plan =
        database.prepare(&format!("EXPLAIN QUERY PLAN {}", super::super::lists::TOP)).expect("SQL");
    let step: String = plan.query_row([1], |row| row.get(3)).expect("a plan");
    assert!(step.contains("COVERING INDEX recipient_due"), "{step}");
}

#[tokio::test]
async fn deleted_content_is_overwritten_where_that_is_asked_for() {
    for secure_delete in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings { secure_delete, ..settings(folder.path()) };
        let (spool, _) = SqliteSpool::open(settings).expect("it opens");
        let (kept, _) = put(&spool, &["x"], 0).await;
        let (gone, mut leased) = put(&spool, &["x"], 0).await;
        settle(&spool, leased.remove(0), &RecipientResult::Done).await;
        drop((spool, leased));
        let file = fs::read(folder.path().join("spool.sqlite")).expect("a file");
        let found =
            |id: QueueId| memchr::memmem::find(&file, format!("content of {id}").as_bytes()).is_some();
        assert_eq!((found(kept), found(gone)), (true, !secure_delete));
    }
}

fn settings(folder: &Path) -> Settings {
    Settings { data_dir: folder.to_owned(), ..Settings::default() }
}

#[tokio::test]
async fn deleted_content_goes_from_the_log_too_once_nobody_wants_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings { secure_delete: true, ..settings(folder.path()) };
    let (spool, _) = SqliteSpool::open(settings).expect("it opens");
    let (gone, mut leased) = put(&spool, &["x"], 0).await;
    settle(&spool, leased.remove(0), &RecipientResult::Done).await;
    let text = format!("content of {gone}");
    let found = || {
        ["spool.sqlite", "spool.sqlite-wal"].iter().any(|name| {
            let octets = fs::read(folder.path().join(name)).expect("a file");
            memchr::memmem::find(&octets, text.as_bytes()).is_some()
        })
    };
    assert!(found(), "the log has it until then");
    let until = Instant::now() + std::time::Duration::from_secs(30);
    while found() {
        assert!(Instant::now() < until, "it is still there");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (kept, _) = put(&spool, &["x"], 0).await;
    assert!(!spool.read(kept).await.expect("readable").is_empty());
}

#[tokio::test]
async fn what_a_mark_says_is_written_down_by_the_start_where_there_was_no_room_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let (done, _) = put(&spool, &["x"], 0).await;
    let (waits, _) = put(&spool, &["x"], 0).await;
    drop(spool);
    Marker::new(folder.path()).done(done, &[0]);
    let (spool, _) = open(folder.path());
    assert_eq!(told_due(&spool, &[done, waits], "x", 9, 9).await, "1:0 next None");
    drop(spool);
    assert_eq!(Mark::read(folder.path(), "").expect("readable"), None);
    let (_, recovered) = open(folder.path());
    assert_eq!(recovered.stats, Stats { messages: 1, recipients: 1, held: 0 });
}

#[tokio::test]
async fn a_file_that_is_nearly_empty_shrinks_when_nobody_wants_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let mut waiting = Vec::new();
    for _ in 0..400 {
        let id = spool.new_id(NOW);
        let content = NewContent::Held(vec![b'x'; 40_000].into());
        waiting.push(spool.put(NewMessage { content, ..message(id, &["x"], 0) }).await.expect("room"));
    }
    let rest = waiting.split_off(398);
    for leased in waiting.into_iter().flatten() {
        settle(&spool, leased, &RecipientResult::Done).await;
    }
    let full = spool.extent().await.expect("readable");
    assert!(full.file > 14 << 20 && full.free > 13 << 20, "{full:?}");
    let path = folder.path().join("spool.sqlite");
    while fs::metadata(&path).expect("a file").len() > 1 << 20 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let left = spool.extent().await.expect("readable");
    assert!(left.file < 1 << 20, "{left:?}");
    assert_eq!(spool.read(rest[0][0].message.id).await.expect("readable").len(), 40_000);
}

#[tokio::test]
async fn what_was_done_and_could_not_be_written_is_not_delivered_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let (both, mut of_both) = put(&spool, &["x", "y"], 0).await;
    let (one, mut of_one) = put(&spool, &["x"], 0).await;
    let (waits, mut of_waits) = put(&spool, &["x"], 0).await;
    spool.shared.set_broken(SpoolFault::Broken("a flush failed".into()));
    // Attempts under way still finish, and find no spool.
    for (leased, settled) in [
        (of_both.remove(1), RecipientResult::Done),
        (of_one.remove(0), RecipientResult::Done),
        (of_waits.remove(0), deferred(9, "x")),
    ] {
        let result = spool.settle(settlement(leased, &settled)).await;
        assert!(matches!(result, Err(SpoolFault::Broken(_))));
    }
    drop((of_both, spool));

    let mark = Mark::read(folder.path(), "").expect("readable").expect("a mark");
    assert_eq!((mark.count, mark.done.keys().copied().collect::<Vec<_>>()), (1, vec![both, one]));
    let tried = SqliteSpool::try_again(&settings(folder.path()), &mark).expect("a sound disk");
    assert_eq!(tried, Trial::Passed);
    assert_eq!(Mark::read(folder.path(), "").expect("readable"), None);
    let (spool, recovered) = open(folder.path());
    assert_eq!(recovered.stats, Stats { messages: 2, recipients: 2, held: 0 });
    assert_eq!(told_due(&spool, &[both, one, waits], "x", 9, 9).await, "0:0 2:0 next None");
    drop(spool);
    let left = SqliteSpool::inspect(folder.path()).expect("nobody has it");
    assert!(left.findings.is_empty(), "{:?}", left.findings);
}

#[tokio::test]
async fn what_ends_until_the_spool_is_closed_is_handed_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let (id, mut leased) = put(&spool, &["x"], 0).await;
    // Nothing can be written to the mark.
    fs::create_dir(folder.path().join(crate::spool::mark::NAME)).expect("room");
    spool.shared.set_broken(SpoolFault::Broken("a flush failed".into()));
    let unwritten = spool.unwritten();
    drop(spool.settle(settlement(leased.remove(0), &RecipientResult::Done)));
    drop(spool);
    let unwritten = unwritten();
    assert!(unwritten.contains(&format!("done {id} 0 .")), "{unwritten}");
}

#[test]
fn faults_in_a_row_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings { faults: 4, ..settings(folder.path()) };
    let (spool, _) = SqliteSpool::open(settings).expect("it opens");
    spool.shared.set_broken(SpoolFault::Broken("once more".into()));
    spool.shared.set_broken(SpoolFault::Broken("and so on".into()));
    let mark = Mark::read(folder.path(), "").expect("readable").expect("a mark");
    assert_eq!((mark.count, mark.faults.len()), (5, 1));
}

#[tokio::test]
#[allow(clippy::panic, reason = "the subject of this test")]
async fn a_thread_that_panics_is_lost_by_its_name_and_leaves_a_mark() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let answer: Result<(), _> = spool.ask_desk(|_| panic!("a fault of ours")).await;
    assert!(answer.is_err(), "whoever waited is answered");
    assert_eq!(spool.broken().await, SpoolFault::Lost("spool-desk"));
    drop(spool);
    assert!(Mark::read(folder.path(), "").expect("readable").is_some());
}

#[tokio::test]
async fn a_spool_that_is_closed_has_lost_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let shared = Arc::clone(&spool.shared);
    drop(spool);
    assert_eq!(shared.fault(), None);
    assert_eq!(Mark::read(folder.path(), "").expect("readable"), None);
}
