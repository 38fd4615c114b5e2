//! Tests of concurrency, of a full disk, and of shutdown.

use std::collections::BTreeSet;
use std::sync::mpsc;

use super::super::ops::Op;
use super::super::tidy::Upkeep;
use super::super::writer::{Wake, Writer};
use super::*;
use crate::spool::body::Bodies;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_lose_nothing_and_deliver_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let work = async |spool: Arc<SqliteSpool>, task: usize| {
        let mut left = Vec::new();
        for round in 0..40 {
            let (id, leased) = put(&spool, &["x", "y"], 0).await;
            for (index, leased) in leased.into_iter().enumerate() {
                match (round + index + task) % 3 {
                    0 => left.push((id, leased.recipients[0].number)),
                    1 => settle(&spool, leased, &RecipientResult::Done).await,
                    _ => {
                        left.push((id, leased.recipients[0].number));
                        settle(&spool, leased, &deferred(0, "z")).await;
                    }
                }
            }
        }
        left
    };
    let tasks: Vec<_> = (0..16).map(|task| tokio::spawn(work(Arc::clone(&spool), task))).collect();
    let mut expected = BTreeSet::new();
    for task in tasks {
        expected.extend(task.await.expect("it ends"));
    }
    let before = spool.stats().await.expect("open");
    drop(spool);

    let (spool, recovered) = open(folder.path());
    assert_eq!(recovered.stats, before);
    let mut found = BTreeSet::new();
    for name in ["x", "y", "z"] {
        let due = due(&spool, name, 0, usize::MAX).await;
        assert_eq!(due.next_at, None);
        for leased in due.leased {
            found.extend(leased.recipients.iter().map(|r| (leased.message.id, r.number)));
        }
    }
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settled_recipient_is_never_leased_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    for _ in 0..200 {
        drop(put(&spool, &["x"], 0).await);
    }
    let work = async |spool: Arc<SqliteSpool>| {
        let mut done = Vec::new();
        loop {
            let due = due(&spool, "x", 0, 3).await;
            if due.leased.is_empty() && due.next_at.is_none() {
                return done;
            }
            for leased in due.leased {
                done.push(leased.message.id);
                // Not awaited, so that leasing and settling overlap.
                drop(spool.settle(settlement(leased, &RecipientResult::Done)));
            }
        }
    };
    let tasks: Vec<_> = (0..4).map(|_| tokio::spawn(work(Arc::clone(&spool)))).collect();
    let mut done = Vec::new();
    for task in tasks {
        done.extend(task.await.expect("it ends"));
    }
    assert_eq!((done.len(), done.iter().collect::<BTreeSet<_>>().len()), (200, 200));
}

/// A writer driven by hand, on a database whose size can be limited.
struct Bench {
    writer: Writer,
    ops: mpsc::Sender<Op>,
    shared: Arc<SpoolState>,
    folder: tempfile::TempDir,
}

fn bench() -> Bench {
    bench_in(tempfile::tempdir().expect("a folder"), |_| None)
}

/// `found`: the recipients that the mark lists as done.
fn bench_in(folder: tempfile::TempDir, found: impl FnOnce(&SpoolState) -> Option<Vec<Op>>) -> Bench {
    let (connection, _) =
        super::super::schema::open_writer(&folder.path().join("spool.sqlite")).expect("new");
    let bodies = Bodies::below(folder.path()).expect("folders");
    let shared = Arc::new(SpoolState::new(
        bodies,
        Stats::default(),
        (crate::spool::mark::Marker::new(folder.path()), 0),
    ));
    let (ops, ops_in) = mpsc::channel();
    let upkeep = Upkeep { data_dir: folder.path().to_owned(), free_disk: 0, secure: false };
    let writer = Writer::new(connection, Arc::clone(&shared), ops_in, (found(&shared), upkeep));
    Bench { writer, ops, shared, folder }
}

type Answered<T> = oneshot::Receiver<Result<T, SpoolFault>>;

impl Bench {
    fn put(&self, number: i64, octets: usize) -> (Op, Answered<Vec<Leased>>) {
        let mut new = message(QueueId::from_number(number), &["x"], 0);
        new.content = NewContent::Held(vec![b'x'; octets].into());
        let fresh = Fresh::prepare(new, &self.shared.book, &self.shared.bodies).expect("valid");
        let (answer, answered) = oneshot::channel();
        (Op::Put { fresh, beside: None, answer }, answered)
    }

    fn settle(&self, leased: Leased, reports: Vec<NewMessage>) -> (Op, Answered<Vec<Leased>>) {
        let (answer, answered) = oneshot::channel();
        let Settlement { message, lease, recipients, left_sealed, .. } =
            settlement(leased, &RecipientResult::Done);
        let prepare = |new| Fresh::prepare(new, &self.shared.book, &self.shared.bodies).expect("valid");
        let reports = reports.into_iter().map(prepare).collect();
        (Op::Settle(Settle { message, lease, recipients, reports, left_sealed, answer }), answered)
    }

    fn limit(&self, pages: i64) {
        let set = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        self.writer.connection.pragma_update_and_check(None, "max_page_count", pages, set).expect("a limit");
    }
}

#[test]
fn a_full_disk_refuses_messages_and_forgets_no_settlement() {
    let mut bench = bench();
    let (op, mut answered) = bench.put(1, 10);
    bench.writer.commit(vec![op]);
    let leased = answered.try_recv().expect("answered").expect("room").remove(0);

    bench.limit(1);
    let mut report = message(QueueId::from_number(2), &["r"], 0);
    report.content = NewContent::Held(vec![b'r'; 100_000].into());
    let (settle, mut settled) = bench.settle(leased, vec![report]);
    let (put, mut refused) = bench.put(3, 100_000);
    bench.writer.commit(vec![settle, put]);
    assert!(matches!(refused.try_recv().expect("at once"), Err(SpoolFault::Full(_))));
    assert!(settled.try_recv().is_err(), "it is kept");
    assert!(bench.shared.book.holds(QueueId::from_number(1), 0), "and so is its lease");
    bench.writer.retry();
    assert!(settled.try_recv().is_err(), "there is still no room");

    // Retried although others wait, but not before its time.
    let (waits, _answered) = bench.put(4, 100_000);
    bench.ops.send(waits).expect("a writer");
    let Some(Wake::Op(op)) = bench.writer.first() else { panic!("its time has not come") };
    bench.ops.send(op).expect("a writer");
    bench.writer.retry_at = std::time::Instant::now();
    assert!(matches!(bench.writer.first(), Some(Wake::Retry)));

    bench.limit(1_000_000);
    bench.writer.retry();
    assert_eq!(settled.try_recv().expect("answered").expect("room").len(), 1);
    assert_eq!(bench.shared.stats(), Stats { messages: 1, recipients: 1, held: 0 });
    let (op, mut answered) = bench.put(3, 100_000);
    bench.writer.commit(vec![op]);
    assert!(answered.try_recv().expect("answered").is_ok(), "service goes on");
    assert_eq!(bench.shared.fault(), None);
}

#[test]
fn the_mark_stays_until_all_that_it_names_is_written() {
    let mut bench = bench();
    let ids = [1, 2, 3];
    for (number, octets) in ids.into_iter().zip([10, 100_000, 10]) {
        let (op, mut answered) = bench.put(number, octets);
        bench.writer.commit(vec![op]);
        assert!(answered.try_recv().expect("answered").is_ok());
    }
    let Bench { writer, folder, .. } = bench;
    drop(writer);
    // A damaged page in the second content, so that each is written separately.
    let path = folder.path().join("spool.sqlite");
    let mut octets = fs::read(&path).expect("a file");
    let page = octets.chunks_mut(8_192).find(|page| page[4..].iter().all(|octet| *octet == b'x'));
    page.expect("a page of content")[..4].fill(0xA5);
    fs::write(&path, octets).expect("room");

    let marker = crate::spool::mark::Marker::new(folder.path());
    ids.iter().for_each(|id| marker.done(QueueId::from_number(*id), &[0]));
    let found = |shared: &SpoolState| {
        let settle = |number| {
            let message = QueueId::from_number(number);
            let mut report = super::message(QueueId::from_number(number + 10), &["r"], 0);
            report.content = NewContent::Held(vec![b'r'; 100_000].into());
            // The third one finds no room.
            let reports = (number == 3).then(|| Fresh::prepare(report, &shared.book, &shared.bodies));
            let reports = reports.into_iter().map(|report| report.expect("valid")).collect();
            let lease = shared.book.lease(message, &[0]).expect("free");
            let (recipients, (answer, _)) = (vec![(0, RecipientResult::Done)], oneshot::channel());
            Op::Settle(Settle { message, lease, recipients, reports, left_sealed: true, answer })
        };
        Some(ids.map(settle).into())
    };
    let mut bench = bench_in(folder, found);
    let read = |bench: &Bench| Mark::read(bench.folder.path(), "").expect("readable");
    bench.limit(1);
    bench.writer.retry();
    let left: i64 = bench
        .writer
        .connection
        .query_row("SELECT COUNT(*) FROM recipient", [], |row| row.get(0))
        .expect("readable");
    assert_eq!(left, 1, "the third one waits");
    assert_eq!(read(&bench).map(|mark| mark.done.len()), Some(3));
    bench.limit(1_000_000);
    bench.writer.retry();
    assert_eq!(read(&bench), None);
    assert_eq!(bench.shared.fault(), None);
}

#[test]
fn those_that_wait_are_committed_together() {
    let bench = bench();
    let mut answers = Vec::new();
    let (first, answered) = bench.put(0, 10);
    answers.push(answered);
    for number in 1..5000 {
        let (op, answered) = bench.put(number, 10);
        answers.push(answered);
        bench.ops.send(op).expect("a writer");
    }
    assert_eq!(bench.writer.gather(first).len(), 1024);
    let (large, _answered) = bench.put(9000, 8 * 1024 * 1024);
    assert_eq!(bench.writer.gather(large).len(), 1);
}

#[test]
fn once_broken_everything_is_refused() {
    let bench = bench();
    // The database refuses writes, which no later attempt may gloss over.
    bench.writer.connection.execute_batch("PRAGMA query_only = ON").expect("a setting");
    let (first, first_answer) = bench.put(1, 10);
    let (later, later_answer) = bench.put(2, 10);
    let Bench { writer, ops, shared, folder } = bench;
    ops.send(first).expect("a writer");
    let thread = std::thread::spawn(|| writer.run());
    assert!(matches!(first_answer.blocking_recv().expect("answered"), Err(SpoolFault::Broken(_))));
    assert!(shared.fault().is_some());
    ops.send(later).expect("it still listens");
    drop(ops);
    thread.join().expect("it ends");
    assert!(matches!(later_answer.blocking_recv().expect("answered"), Err(SpoolFault::Broken(_))));
    let log = fs::metadata(folder.path().join("spool.sqlite-wal")).expect("the log stays for start-up");
    assert!(log.len() > 0);
}

#[tokio::test]
async fn a_broken_engine_says_so_to_everybody() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    drop(put(&spool, &["x"], 0).await);
    let broken = spool.broken();
    spool.shared.set_broken(SpoolFault::Broken("a flush failed".into()));
    spool.shared.set_broken(SpoolFault::Broken("later".into()));
    let expected = SpoolFault::Broken("a flush failed".into());
    assert_eq!(broken.await, expected);
    let window = DueWindow { lane: lane("x"), now: NOW, latest: LATEST, limit: 1 };
    assert_eq!(spool.due(window).await.err(), Some(expected.clone()));
    assert_eq!(spool.stats().await, Err(expected.clone()));
    assert_eq!(spool.begin_body(spool.new_id(NOW)).err(), Some(expected));
}
