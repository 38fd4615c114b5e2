//! Tests of the spool on a real database in a temporary folder.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::reader::WantedRecipients;
use super::*;
use crate::connector::{Onward, OnwardDemand, Rerouting};
use crate::mail::{BodyType, Domain, Envelope, Mailbox, ReversePath};
use crate::spool::recover::RecoveryReport;
use crate::spool::{LastTrouble, NewContent, Origin, RecipientResult, StoredBody};

mod lanes;
mod room;
mod salvage;
mod upkeep;

const NOW: UnixMillis = UnixMillis(1_780_000_000_000);
/// A limit that no due time exceeds, as if no clock was ever wrong.
const LATEST: UnixMillis = UnixMillis(i64::MAX - 1);

fn open(folder: &Path) -> (Arc<SqliteSpool>, RecoveryReport) {
    SqliteSpool::open(Settings { data_dir: folder.to_owned(), ..Settings::default() }).expect("it opens")
}

fn lane(name: &str) -> LaneKey {
    LaneKey(name.into())
}

/// A message to one recipient in each named lane, accepted `late` milliseconds after [`NOW`].
fn message(id: QueueId, lanes: &[&str], late: i64) -> NewMessage {
    let path = |number| Mailbox::parse(&format!("r{number}@b.example")).expect("a mailbox");
    NewMessage {
        id,
        envelope: Envelope {
            reverse_path: ReversePath::parse("s@a.example").expect("a path"),
            recipients: (0..lanes.len()).map(path).map(crate::mail::Recipient::from).collect(),
            body: BodyType::EightBitMime,
            utf8: false,
            dsn: crate::mail::MessageDsn::default(),
        },
        lanes: lanes.iter().map(|name| lane(name)).collect(),
        content: NewContent::Held(format!("content of {id}\r\n").into_bytes().into()),
        accepted_at: UnixMillis(NOW.0 + late),
        origin: Origin {
            connector: Some("from-a".into()),
            sealed: true,
            onward: OnwardDemand {
                level: Onward::Identity,
                raised_by: Some("tag, label".into()),
                own: Onward::Sealed,
            },
            originator: Some(Domain::parse("contoso.example").expect("a domain")),
            message_id: Some("<1@a>".into()),
            subject: Some("one".to_owned()),
        },
        rerouted: None,
    }
}

async fn put(spool: &SqliteSpool, lanes: &[&str], late: i64) -> (QueueId, Vec<Leased>) {
    let id = spool.new_id(NOW);
    (id, spool.put(message(id, lanes, late)).await.expect("room"))
}

fn trouble() -> LastTrouble {
    LastTrouble { status: "4.4.1".into(), reason: "no answer".into(), decision: None, hint: None }
}

fn rerouting() -> Rerouting {
    let (status, reason) = ("5.7.4".to_owned(), "no STARTTLS".to_owned());
    Rerouting { from: "bank".into(), to: "portal".into(), status, reason, alert: false }
}

fn deferred(late: i64, to: &str) -> RecipientResult {
    let next_at = UnixMillis(NOW.0 + late);
    RecipientResult::Deferred {
        attempts: 1,
        next_at,
        delay_told: true,
        lane: lane(to),
        last: trouble(),
        rerouted: Some(rerouting()),
    }
}

fn settlement(leased: Leased, settled: &RecipientResult) -> Settlement {
    Settlement {
        message: leased.message.id,
        recipients: leased.recipients.iter().map(|r| (r.number, settled.clone())).collect(),
        lease: leased.lease,
        reports: Vec::new(),
        left_sealed: false,
    }
}

async fn settle(spool: &SqliteSpool, leased: Leased, settled: &RecipientResult) {
    spool.settle(settlement(leased, settled)).await.expect("room");
}

async fn due(spool: &SqliteSpool, name: &str, late: i64, limit: usize) -> Due {
    let window = DueWindow { lane: lane(name), now: UnixMillis(NOW.0 + late), latest: LATEST, limit };
    spool.due(window).await.expect("readable")
}

/// What is due in a lane, as `position:recipients`, and when the next one is due after [`NOW`].
async fn told_due(spool: &SqliteSpool, ids: &[QueueId], name: &str, late: i64, limit: usize) -> String {
    let due = due(spool, name, late, limit).await;
    let one = |leased: &Leased| {
        let position = ids.iter().position(|id| *id == leased.message.id).expect("one of ours");
        let numbers: Vec<_> = leased.recipients.iter().map(|r| r.number.to_string()).collect();
        format!("{position}:{}", numbers.join("+"))
    };
    let leased: Vec<_> = due.leased.iter().map(one).collect();
    format!("{} next {:?}", leased.join(" "), due.next_at.map(|at| at.0 - NOW.0))
}

/// Makes everything due, part by part.
async fn hasten_all(spool: &SqliteSpool) -> HastenedLanes {
    let (mut lanes, mut count, mut after) = (Vec::new(), 0, None);
    for _ in 0..1_000 {
        let part = spool.hasten_all(after, NOW).await.expect("room");
        lanes.extend(part.found.0);
        count += part.found.1;
        after = part.next;
        if after.is_none() {
            lanes.dedup();
            return (lanes, count);
        }
    }
    panic!("it does not end");
}

fn bytes(content: &Content) -> Vec<u8> {
    let mut buffer = vec![0; usize::try_from(content.len()).expect("small")];
    assert_eq!(content.read_at(&mut buffer, 0).expect("readable"), buffer.len());
    buffer
}

async fn in_file(spool: &SqliteSpool, text: &[u8]) -> StoredBody {
    let mut writer = spool.begin_body(spool.new_id(NOW)).expect("a file");
    writer.write_all(text).expect("room");
    writer.finish().await.expect("flushed")
}

/// A message whose content is in a file.
async fn put_file(spool: &SqliteSpool, text: &[u8]) -> (QueueId, Vec<Leased>) {
    let stored = in_file(spool, text).await;
    let id = stored.id;
    let new = NewMessage { content: NewContent::Stored(stored), ..message(id, &["x"], 0) };
    (id, spool.put(new).await.expect("room"))
}

#[tokio::test]
async fn a_message_reads_back_as_it_was_put_and_goes_when_it_is_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let (id, leased) = put(&spool, &["x", "y", "x"], 0).await;
    let shape: Vec<_> =
        leased.iter().map(|l| (&*l.lane.0, l.recipients.len(), l.content.is_some())).collect();
    assert_eq!(shape, [("x", 2, true), ("y", 1, true)]);
    let text = format!("content of {id}\r\n").into_bytes();
    assert_eq!(bytes(&spool.read(id).await.expect("readable")), text);

    let put_message = Arc::clone(&leased[0].message);
    drop(leased);
    let mut again = due(&spool, "x", 0, 9).await.leased;
    assert_eq!((again.len(), &*again[0].message), (1, &*put_message));
    assert_eq!(spool.stats().await.expect("open"), Stats { messages: 1, recipients: 3, held: 0 });

    settle(&spool, again.remove(0), &RecipientResult::Done).await;
    assert_eq!(spool.stats().await.expect("open"), Stats { messages: 1, recipients: 1, held: 0 });
    let last = due(&spool, "y", 0, 9).await.leased.remove(0);
    settle(&spool, last, &RecipientResult::Done).await;
    assert_eq!(spool.stats().await.expect("open"), Stats::default());
    assert!(spool.show(id).await.expect("readable").is_none());
    assert!(matches!(spool.read(id).await, Err(SpoolFault::Failed(_))));
}

#[tokio::test]
async fn a_file_is_handed_over_and_goes_with_its_message() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let (id, mut leased) = put_file(&spool, b"large").await;
    let path = folder.path().join("body").join(id.to_string());
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
    assert_eq!(bytes(leased[0].content.as_ref().expect("handed over")), b"large");
    assert_eq!(bytes(&spool.read(id).await.expect("readable")), b"large");
    settle(&spool, leased.remove(0), &RecipientResult::Done).await;
    drop(spool);
    assert!(!path.exists());
}

#[tokio::test]
async fn due_gives_the_longest_due_first_and_says_when_to_come_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let mut ids = Vec::new();
    for (lanes, late) in [(&["x", "x"][..], 20), (&["x"], 10), (&["y", "x"], 30), (&["x"], 50)] {
        ids.push(put(&spool, lanes, late).await.0);
    }
    assert_eq!(told_due(&spool, &ids, "x", 40, 9).await, "1:0 0:0+1 2:1 next Some(50)");
    assert_eq!(told_due(&spool, &ids, "x", 40, 1).await, "1:0 next Some(20)");
    assert_eq!(told_due(&spool, &ids, "x", 0, 9).await, " next Some(10)");
    assert_eq!(told_due(&spool, &ids, "y", 99, 9).await, "2:0 next None");
    assert_eq!(told_due(&spool, &ids, "z", 99, 9).await, " next None");

    // What is leased is neither returned nor counted as next, until the lease ends.
    let held = due(&spool, "x", 15, 9).await;
    assert_eq!(told_due(&spool, &ids, "x", 15, 9).await, " next Some(20)");
    drop(held);
    assert_eq!(told_due(&spool, &ids, "x", 15, 9).await, "1:0 next Some(20)");

    let lanes = spool.lanes(None, 9).await.expect("readable");
    let lanes: Vec<_> = lanes.iter().map(|(key, at)| (&*key.0, at.0 - NOW.0)).collect();
    assert_eq!(lanes, [("x", 10), ("y", 30)]);
}

#[tokio::test]
async fn a_deferral_moves_the_recipient_and_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let (id, mut leased) = put(&spool, &["x"], 0).await;
    settle(&spool, leased.remove(0), &deferred(60, "y")).await;
    assert_eq!(told_due(&spool, &[id], "x", 99, 9).await, " next None");
    assert_eq!(told_due(&spool, &[id], "y", 59, 9).await, " next Some(60)");
    let due = due(&spool, "y", 60, 9).await;
    assert_eq!((due.leased[0].recipients[0].attempts, due.leased[0].recipients[0].delay_told), (1, true));

    let shown = spool.show(id).await.expect("readable").expect("queued");
    assert_eq!((shown.recipients[0].leased, &shown.recipients[0].last), (true, &Some(trouble())));
    drop(due);
    let listed = spool.list(Filter::default(), None, 9).await.expect("readable").messages;
    assert_eq!((listed.len(), listed[0].recipients[0].leased), (1, false));
    assert!(spool.list(Filter::default(), Some(id), 9).await.expect("readable").messages.is_empty());
}

#[tokio::test]
async fn overdue_finds_what_is_past_a_date() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let (old, mut leased) = put(&spool, &["x"], 0).await;
    settle(&spool, leased.remove(0), &deferred(1000, "x")).await;
    let (young, _) = put(&spool, &["x"], 50).await;
    let overdue = async |delay: Option<i64>, expire: i64, limit| {
        let at = |late| UnixMillis(NOW.0 + late);
        let found = spool
            .overdue(
                lane("x"),
                crate::spool::Overdue { delay: delay.map(at), expire: at(expire), null_expire: None },
                None,
                limit,
            )
            .await
            .expect("readable");
        found.found.iter().map(|l| l.message.id).collect::<Vec<_>>()
    };
    assert!(overdue(None, 0, 9).await.is_empty());
    assert_eq!(overdue(None, 1, 9).await, [old]);
    // The delay of the old one was reported to its sender.
    assert_eq!(overdue(Some(51), 0, 9).await, [young]);
    assert_eq!(overdue(Some(51), 1, 9).await.len(), 2);
    assert_eq!(overdue(Some(51), 1, 1).await.len(), 1);
}

#[tokio::test]
async fn reports_come_with_the_settlement_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let (taken, _) = put(&spool, &["z"], 0).await;
    let (id, mut leased) = put(&spool, &["x"], 0).await;
    let mut bad = settlement(leased.remove(0), &RecipientResult::Done);
    bad.reports = vec![message(spool.new_id(NOW), &["r"], 0), message(taken, &["r"], 0)];
    assert!(matches!(spool.settle(bad).await, Err(SpoolFault::Failed(_))));
    assert_eq!(spool.stats().await.expect("open").messages, 2);

    let leased = due(&spool, "x", 0, 9).await.leased.remove(0);
    let report = spool.new_id(NOW);
    let mut good = settlement(leased, &RecipientResult::Done);
    good.reports = vec![message(report, &["r"], 0)];
    let reports = spool.settle(good).await.expect("room");
    assert_eq!((reports.len(), reports[0].message.id), (1, report));
    assert_eq!(told_due(&spool, &[report], "r", 0, 9).await, " next None", "it is leased");
    assert!(spool.show(id).await.expect("readable").is_none());
}

#[tokio::test]
async fn an_answer_is_stored_with_its_message_or_neither_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let (taken, leased) = put(&spool, &["x"], 0).await;
    drop(leased);
    // The message is written first, and the answer's name is in use.
    let spoilt = spool.put_with(message(spool.new_id(NOW), &["x"], 0), Some(message(taken, &["r"], 0)));
    assert!(matches!(spoilt.await, Err(SpoolFault::Failed(_))));
    assert_eq!(spool.stats().await.expect("open"), Stats { messages: 1, recipients: 1, held: 0 });
    let (id, answer) = (spool.new_id(NOW), spool.new_id(NOW));
    let both = spool.put_with(message(id, &["x"], 0), Some(message(answer, &["r"], 0)));
    let leased: Vec<QueueId> = both.await.expect("room").iter().map(|one| one.message.id).collect();
    assert_eq!(leased, [id, answer]);
    assert_eq!(spool.stats().await.expect("open"), Stats { messages: 3, recipients: 3, held: 0 });
}

#[tokio::test]
async fn a_name_in_use_spoils_nothing_else_in_its_group() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let (taken, leased) = put(&spool, &["x"], 0).await;
    assert!(matches!(spool.put(message(taken, &["x"], 0)).await, Err(SpoolFault::Failed(_))), "leased");
    drop(leased);
    let before = spool.put(message(spool.new_id(NOW), &["x"], 0));
    let twice = spool.put(message(taken, &["x"], 0));
    let after = spool.put(message(spool.new_id(NOW), &["x"], 0));
    let (before, twice, after) = tokio::join!(before, twice, after);
    assert!(before.is_ok() && after.is_ok());
    assert!(matches!(twice, Err(SpoolFault::Failed(_))));
    assert_eq!(spool.stats().await.expect("open"), Stats { messages: 3, recipients: 3, held: 0 });
}

#[tokio::test]
async fn hasten_and_remove_leave_what_is_being_attempted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let (id, mut leased) = put(&spool, &["x"], 0).await;
    assert_eq!(spool.remove(id).await, Ok(Removal::Leased));
    settle(&spool, leased.remove(0), &deferred(60, "x")).await;
    let (other, mut leased) = put(&spool, &["y"], 0).await;
    settle(&spool, leased.remove(0), &deferred(60, "y")).await;

    assert_eq!(spool.hasten(id, NOW).await, Ok((vec![lane("x")], 1)));
    assert_eq!(told_due(&spool, &[id], "x", 0, 9).await, "0:0 next None");
    assert_eq!(hasten_all(&spool).await, (vec![lane("x"), lane("y")], 2));
    assert_eq!(told_due(&spool, &[other], "y", 0, 9).await, "0:0 next None");

    assert_eq!(spool.remove(id).await, Ok(Removal::Removed));
    assert_eq!(spool.remove(id).await, Ok(Removal::Unknown));
    assert_eq!(spool.stats().await.expect("open"), Stats { messages: 1, recipients: 1, held: 0 });
}

#[tokio::test]
async fn a_settlement_for_what_is_gone_is_no_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let lease = spool.shared.book.lease(QueueId::from_number(9), &[0]).expect("free");
    let gone = Settlement {
        message: QueueId::from_number(9),
        lease,
        recipients: vec![(0, RecipientResult::Done)],
        reports: Vec::new(),
        left_sealed: false,
    };
    assert!(spool.settle(gone).await.expect("no error").is_empty());
    assert_eq!((spool.stats().await, spool.shared.book.count()), (Ok(Stats::default()), 0));
}

#[tokio::test]
async fn that_a_recipient_got_it_under_forced_tls_is_kept_while_others_wait() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    for left_sealed in [false, true] {
        let (id, mut leased) = put(&spool, &["x", "y"], 0).await;
        let done = settlement(leased.remove(0), &RecipientResult::Done);
        spool.settle(Settlement { left_sealed, ..done }).await.expect("room");
        settle(&spool, leased.remove(0), &deferred(60, "y")).await;
        let shown = spool.show(id).await.expect("readable").expect("it waits");
        assert_eq!((shown.left_sealed, shown.recipients.len()), (left_sealed, 1));
    }
}

#[tokio::test]
async fn what_was_settled_after_it_was_found_is_not_handed_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let (id, mut leased) = put(&spool, &["x", "x", "x"], 0).await;
    let mut first = settlement(leased.remove(0), &RecipientResult::Done);
    first.recipients = vec![(0, RecipientResult::Done), (1, deferred(60, "x"))];
    spool.settle(first).await.expect("room");

    // As if an older snapshot had shown all three as due.
    let lease = spool.shared.book.lease(id, &[0, 1, 2]).expect("free");
    let confirm = move |reader: &Reader| {
        reader.confirm(&lane("x"), vec![(id, lease)], WantedRecipients::Due { now: NOW, latest: LATEST })
    };
    let confirmed = spool.ask_reader(confirm).await.expect("readable");
    let numbers: Vec<_> = confirmed[0].recipients.iter().map(|r| r.number).collect();
    assert_eq!((numbers, confirmed[0].lease.recipients()), (vec![2], &[2][..]));
    assert!(!spool.shared.book.holds(id, 1), "the lease of the deferred one has ended");
}

#[tokio::test]
async fn a_list_looks_at_a_part_of_the_queue_and_says_where_to_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let mut waiting = Vec::new();
    for _ in 0..5_001 {
        waiting.push(spool.put(message(spool.new_id(NOW), &["out/b.example"], 0)));
    }
    let last = waiting.len();
    for pending in waiting {
        pending.await.expect("room");
    }
    let rare = message(spool.new_id(NOW), &["out/b.example", "rare/c.example"], 0);
    let id = rare.id;
    spool.put(rare).await.expect("room");
    let filter = Filter { connector: Some("rare".to_owned()), ..Filter::default() };
    let first = spool.list(filter.clone(), None, 10).await.expect("readable");
    assert!(first.messages.is_empty() && first.next.is_some());
    let rest = spool.list(filter, first.next, 10).await.expect("readable");
    assert_eq!((rest.messages.len(), rest.messages[0].id, rest.next), (1, id, None));
    let top = spool.top(1).await.expect("readable");
    assert_eq!(
        (top[0].lane.clone(), top[0].recipients),
        (lane("out/b.example"), u64::try_from(last).expect("small") + 1)
    );
    assert_eq!(top.len(), 1);
    let waiting = async |name: &str| {
        let found = spool.waiting(name.into(), 100).await.expect("readable");
        (found.recipients, found.oldest)
    };
    assert_eq!(waiting("out").await, (100, Some(NOW)));
    assert_eq!((waiting("rare").await, waiting("ou").await), ((1, Some(NOW)), (0, None)));
    assert_eq!(spool.oldest().await.expect("readable"), Some(NOW));
}

#[tokio::test]
async fn held_messages_hide_no_older_one_that_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    assert_eq!(spool.oldest_waiting().await.expect("readable"), None);
    for number in 0..50 {
        let mut one = message(spool.new_id(NOW), &["x"], 0);
        let id = one.id;
        one.accepted_at = UnixMillis(NOW.0 + number);
        drop(spool.put(one).await.expect("taken"));
        spool.hold(id, "by the operator".to_owned()).await.expect("held");
    }
    assert_eq!(spool.oldest_waiting().await.expect("readable"), None);
    let mut last = message(spool.new_id(NOW), &["x"], 0);
    last.accepted_at = UnixMillis(NOW.0 + 1_000);
    drop(spool.put(last).await.expect("taken"));
    assert_eq!(spool.oldest_waiting().await.expect("readable"), Some(UnixMillis(NOW.0 + 1_000)));
    assert_eq!(spool.oldest().await.expect("readable"), Some(NOW));
}

#[tokio::test]
async fn what_has_no_sender_has_a_date_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let mut report = message(spool.new_id(NOW), &["x"], 0);
    report.envelope.reverse_path = ReversePath::NULL;
    let id = report.id;
    drop(spool.put(report).await.expect("taken"));
    let other = message(spool.new_id(NOW), &["x"], 0);
    drop(spool.put(other).await.expect("taken"));
    let at = UnixMillis(i64::MAX / 2);
    let none = UnixMillis(i64::MIN);
    let found = async |null_expire| {
        let dates = crate::spool::Overdue { delay: None, expire: none, null_expire };
        let found = spool.overdue(lane("x"), dates, None, 9).await.expect("readable");
        found.found.iter().map(|leased| leased.message.id).collect::<Vec<_>>()
    };
    assert_eq!(found(None).await, []);
    assert_eq!(found(Some(at)).await, [id]);
}

#[tokio::test]
async fn a_whole_message_is_claimed_or_nothing_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let new = message(spool.new_id(NOW), &["x", "y"], 0);
    let id = new.id;
    let leased = spool.put(new).await.expect("taken");
    assert!(matches!(spool.claim(id).await, Ok(Claim::Busy)));
    drop(leased);
    spool.hold(id, "by a test".to_owned()).await.expect("held");
    let claimed = spool.claim(id).await.expect("readable");
    let Claim::Whole(claimed) = claimed else { panic!("{claimed:?}") };
    assert_eq!(claimed.recipients.len(), 2, "held or not");
    assert!(matches!(spool.claim(id).await, Ok(Claim::Busy)));
    assert!(matches!(spool.claim(QueueId::from_number(1)).await, Ok(Claim::Unknown)));
}
