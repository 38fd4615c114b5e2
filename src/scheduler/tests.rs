//! Tests of the scheduler's tasks, with a spool in memory and a carrier controlled by the local part.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::samples::{deferred, delivered, failed, leased, outbound};
use super::settings::{Settings, samples};
use super::{Carrier, Errand, Jobs, Scheduler, Way};
use crate::connector::{Generation, LiveTable, Table};
use crate::mail::{Clock, Content, QueueId, ReversePath, UnixMillis};
use crate::outcome::Scope;
use crate::spool::{
    BodyWriter, CountPart, Divisible, Due, DueWindow, Filter, HastenedLanes, HoldResult, LaneCount, LaneKey,
    LeaseBook, Leased, ListPage, NewContent, NewMessage, Part, Pending, Place, QueuedMessage,
    RecipientResult, Removal, Settlement, Spool, SpoolFault, Stats,
};
use crate::tracking::Journal;

struct Memory {
    settled: mpsc::UnboundedSender<Settlement>,
    overdue: Mutex<Vec<Leased>>,
    ids: Mutex<i64>,
    /// Never answers which lanes there are.
    mute: AtomicBool,
}

fn answer<T: Send + 'static>(value: T) -> Pending<Result<T, SpoolFault>> {
    Box::pin(std::future::ready(Ok(value)))
}

impl Spool for Memory {
    fn new_id(&self, _now: UnixMillis) -> QueueId {
        let mut ids = self.ids.lock().unwrap();
        *ids += 1;
        QueueId::from_number(*ids)
    }
    fn begin_body(&self, _id: QueueId) -> Result<Box<dyn BodyWriter>, SpoolFault> {
        Err(SpoolFault::Failed("no files in memory".to_owned()))
    }
    fn put_with(
        &self,
        _message: NewMessage,
        _answer: Option<NewMessage>,
    ) -> Pending<Result<Vec<Leased>, SpoolFault>> {
        answer(Vec::new())
    }
    fn settle(&self, settlement: Settlement) -> Pending<Result<Vec<Leased>, SpoolFault>> {
        let _test_is_over = self.settled.send(settlement);
        answer(Vec::new())
    }
    fn due(&self, _window: DueWindow) -> Pending<Result<Due, SpoolFault>> {
        answer(Due { leased: Vec::new(), next_at: None })
    }
    fn overdue(
        &self,
        _lane: LaneKey,
        _dates: crate::spool::Overdue,
        _after: Option<Place>,
        _limit: usize,
    ) -> Pending<Result<Part<Vec<Leased>>, SpoolFault>> {
        answer(Part { found: std::mem::take(&mut *self.overdue.lock().unwrap()), next: None })
    }

    fn claim(&self, _id: QueueId) -> Pending<Result<crate::spool::Claim, SpoolFault>> {
        Box::pin(std::future::ready(Ok(crate::spool::Claim::Unknown)))
    }
    fn read(&self, _id: QueueId) -> Pending<Result<Content, SpoolFault>> {
        answer(Content::Held(b"Subject: read back\r\n\r\n".as_slice().into()))
    }
    fn lanes(
        &self,
        _after: Option<LaneKey>,
        _limit: usize,
    ) -> Pending<Result<Vec<(LaneKey, UnixMillis)>, SpoolFault>> {
        if self.mute.load(Ordering::Relaxed) {
            return Box::pin(std::future::pending());
        }
        answer(Vec::new())
    }
    fn list(
        &self,
        _filter: Filter,
        _after: Option<QueueId>,
        _limit: usize,
    ) -> Pending<Result<ListPage, SpoolFault>> {
        answer(ListPage { messages: Vec::new(), next: None })
    }

    fn count(&self, _filter: Filter, _after: Option<QueueId>) -> Pending<Result<CountPart, SpoolFault>> {
        answer(CountPart { messages: 0, next: None })
    }

    fn top(&self, _limit: usize) -> Pending<Result<Vec<LaneCount>, SpoolFault>> {
        answer(Vec::new())
    }
    fn show(&self, _id: QueueId) -> Pending<Result<Option<QueuedMessage>, SpoolFault>> {
        answer(None)
    }
    fn hasten(&self, _id: QueueId, _now: UnixMillis) -> Pending<Result<HastenedLanes, SpoolFault>> {
        answer((Vec::new(), 0))
    }
    fn hasten_all(
        &self,
        _after: Option<Place>,
        _now: UnixMillis,
    ) -> Pending<Result<Part<HastenedLanes>, SpoolFault>> {
        answer(Part { found: (Vec::new(), 0), next: None })
    }
    fn remove(&self, _id: QueueId) -> Pending<Result<Removal, SpoolFault>> {
        answer(Removal::Unknown)
    }
    fn hold(&self, _id: QueueId, _reason: String) -> Pending<Result<HoldResult, SpoolFault>> {
        answer(HoldResult::Unknown)
    }

    fn release(&self, _id: QueueId, _now: UnixMillis) -> Pending<Result<bool, SpoolFault>> {
        answer(false)
    }

    fn stats(&self) -> Pending<Result<Stats, SpoolFault>> {
        answer(Stats::default())
    }
    fn broken(&self) -> Pending<SpoolFault> {
        Box::pin(std::future::pending())
    }
}

/// "after" waits until an "x" was reported.
struct Obedient(tokio::sync::Semaphore);

impl Carrier for Obedient {
    fn carry(self: Arc<Self>, _way: Way, jobs: Arc<dyn Jobs>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            while let Some(Errand::Deliver(job)) = jobs.next().await {
                if job.recipients.iter().any(|r| r.forward_path.local_part().starts_with("after")) {
                    self.0.acquire().await.unwrap().forget();
                }
                let outcomes = job.recipients.iter().map(|r| match r.forward_path.local_part() {
                    "ok" | "after-ok" => delivered(),
                    "later" => deferred(Scope::Recipient),
                    "dead" => deferred(Scope::Lane),
                    _ => failed(),
                });
                jobs.report(&job, outcomes.collect());
                if job.recipients.iter().any(|r| r.forward_path.local_part() == "x") {
                    self.0.add_permits(1);
                }
            }
        })
    }
}

struct Stage {
    scheduler: Arc<Scheduler>,
    spool: Arc<Memory>,
    settled: mpsc::UnboundedReceiver<Settlement>,
    book: Arc<LeaseBook>,
}

impl Stage {
    fn leased(&self, number: i64, to: &[&str]) -> Leased {
        leased(&self.book, Clock::wall(), number, to)
    }
}

fn stage() -> Stage {
    let (sender, settled) = mpsc::unbounded_channel();
    let spool = Arc::new(Memory {
        settled: sender,
        overdue: Mutex::default(),
        ids: Mutex::new(1000),
        mute: AtomicBool::new(false),
    });
    let settings = Settings { memory_bytes_max: 100_000, ..samples::settings(10) };
    let table = Table::new(Generation(1), Vec::new(), vec![outbound("out", "*")]);
    let live = Arc::new(LiveTable::new(table));
    let scheduler = Scheduler::new(
        settings,
        live,
        spool.clone(),
        Arc::new(Obedient(tokio::sync::Semaphore::new(0))),
        Arc::new(Journal::default()),
        Clock::start(),
    );
    Stage { scheduler, spool, settled, book: Arc::default() }
}

fn with_reverse_path(mut leased: Leased, path: &str, age_s: i64) -> Leased {
    let message = Arc::get_mut(&mut leased.message).unwrap();
    message.reverse_path = ReversePath::parse(path).unwrap();
    message.accepted_at = UnixMillis(message.accepted_at.0 - age_s * 1000);
    leased
}

fn text(report: &NewMessage) -> String {
    assert!(report.envelope.reverse_path.is_null());
    match &report.content {
        NewContent::Held(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        NewContent::Stored(_) => panic!("a report is held"),
    }
}

fn in_words(settlement: &Settlement) -> String {
    let words = settlement.recipients.iter().map(|(_, settled)| match settled {
        RecipientResult::Done => "done",
        RecipientResult::Deferred { delay_told: false, .. } => "deferred",
        RecipientResult::Deferred { delay_told: true, .. } => "deferred, told",
    });
    format!("{}; {} reports", words.collect::<Vec<_>>().join(", "), settlement.reports.len())
}

/// Offers one message of this age; checks what is settled, as text, and returns the report.
async fn check(to: &[&str], path: &str, age_s: i64, told: bool, expected: &str) -> Option<String> {
    let mut stage = stage();
    let mut leased = with_reverse_path(stage.leased(1, to), path, age_s);
    leased.recipients.iter_mut().for_each(|recipient| recipient.delay_told = told);
    stage.scheduler.offer(vec![leased]);
    let settlement = stage.settled.recv().await.unwrap();
    assert_eq!(in_words(&settlement), expected, "{to:?} from <{path}>");
    settlement.reports.first().map(text)
}

#[tokio::test]
async fn one_report_names_each_failed_recipient() {
    let to = ["ok@b.example", "x@b.example", "y@b.example", "later@b.example"];
    let report = check(&to, "ann@contoso.example", 0, false, "done, done, done, deferred; 1 reports").await;
    let report = report.unwrap();
    for (recipient, count) in [("x@", 1), ("y@", 1), ("ok@", 0), ("later@", 0)] {
        let line = format!("Final-Recipient: rfc822; {recipient}b.example");
        assert_eq!(report.matches(&line).count(), count, "{report}");
    }
    check(&["x@b.example"], "", 0, false, "done; 0 reports").await;
    check(&["ok@b.example"], "ann@contoso.example", 0, false, "done; 0 reports").await;
}

#[tokio::test]
async fn a_delay_is_told_once_and_an_end_is_told_last() {
    let to = ["later@b.example"];
    let path = "ann@contoso.example";
    check(&to, path, 0, false, "deferred; 0 reports").await;
    let report = check(&to, path, 20, false, "deferred, told; 1 reports").await.unwrap();
    assert!(report.contains("Action: delayed\r\n"), "{report}");
    check(&to, path, 20, true, "deferred, told; 0 reports").await;
    let report = check(&to, path, 100, true, "done; 1 reports").await.unwrap();
    assert!(report.contains("Action: failed\r\nStatus: 5.4.7\r\n"), "{report}");
}

#[tokio::test]
async fn mail_of_a_dead_lane_ends_without_an_attempt_of_its_own() {
    let mut stage = stage();
    let old = with_reverse_path(stage.leased(2, &["ok@b.example"]), "ann@contoso.example", 100);
    stage.spool.overdue.lock().unwrap().push(Leased { content: None, ..old });
    let probe = stage.leased(1, &["dead@b.example"]);
    stage.scheduler.offer(vec![probe]);
    let mut settled = [stage.settled.recv().await.unwrap(), stage.settled.recv().await.unwrap()];
    settled.sort_by_key(|settlement| settlement.message);
    assert_eq!(in_words(&settled[0]), "deferred; 0 reports");
    assert_eq!(in_words(&settled[1]), "done; 1 reports");
    let report = text(&settled[1].reports[0]);
    assert!(report.contains("no answer") && report.contains("Subject: read back"), "{report}");
}

#[tokio::test]
async fn after_the_stop_nothing_is_handed_out() {
    let mut stage = stage();
    let stop = CancellationToken::new();
    stop.cancel();
    Arc::clone(&stage.scheduler).run(stop).await;
    let leased = stage.leased(1, &["ok@b.example"]);
    stage.scheduler.offer(vec![leased]);
    assert!(stage.settled.try_recv().is_err());
    assert_eq!(stage.book.count(), 0, "the disk has it");
}

/// Offers one message to two domains; returns, as text, what is settled until nothing is left.
async fn settled_of(first: &[&str], second: &[&str]) -> Vec<(String, Vec<String>)> {
    let mut stage = stage();
    let to = [first, second].concat();
    let mut all = with_reverse_path(stage.leased(1, &to), "ann@contoso.example", 0);
    let numbers: Vec<u32> = (first.len()..to.len()).map(|n| u32::try_from(n).unwrap()).collect();
    let rest = Leased {
        message: Arc::clone(&all.message),
        recipients: all.recipients.split_off(first.len()),
        lane: LaneKey("out/c.example".into()),
        content: all.content.clone(),
        lease: all.lease.split_off(&numbers),
    };
    stage.scheduler.offer(vec![all, rest]);
    let (mut left, mut told) = (to.len(), Vec::new());
    while left > 0 {
        let settlement = stage.settled.recv().await.unwrap();
        left -= settlement.recipients.len();
        told.push((in_words(&settlement), settlement.reports.iter().map(text).collect()));
        let leased: Vec<u32> = settlement.lease.recipients().to_vec();
        assert!(settlement.recipients.iter().all(|(number, _)| leased.contains(number)));
    }
    told
}

#[tokio::test]
async fn one_report_names_who_failed_in_several_lanes() {
    let told = settled_of(&["x@b.example", "ok@b.example"], &["after@c.example", "after-ok@c.example"]).await;
    let words: Vec<&str> = told.iter().map(|(words, _)| words.as_str()).collect();
    assert_eq!(words, ["done; 0 reports", "done; 0 reports", "done, done; 1 reports"]);
    let report = &told[2].1[0];
    for name in ["x@b.example", "after@c.example"] {
        assert_eq!(report.matches(&format!("Final-Recipient: rfc822; {name}")).count(), 1, "{report}");
    }
    // A delayed recipient holds up no report.
    let told = settled_of(&["x@b.example"], &["later@c.example"]).await;
    let mut words: Vec<&str> = told.iter().map(|(words, _)| words.as_str()).collect();
    words.sort_unstable();
    assert_eq!(words, ["deferred; 0 reports", "done; 1 reports"]);
}

#[tokio::test]
async fn turns_are_made_however_long_the_disk_takes() {
    let stage = stage();
    stage.spool.mute.store(true, Ordering::Relaxed);
    let stop = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&stage.scheduler).run(stop.clone()));
    for turns in 1..=5 {
        stage.scheduler.prod();
        for _ in 0..1_000 {
            if stage.scheduler.turns() >= turns {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert!(stage.scheduler.turns() >= turns, "it stopped after {} turns", stage.scheduler.turns());
    }
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn the_loop_ends_once_its_state_is_in_doubt() {
    let stage = stage();
    let running = tokio::spawn(Arc::clone(&stage.scheduler).run(CancellationToken::new()));
    let scheduler = Arc::clone(&stage.scheduler);
    let event = tokio::spawn(async move {
        scheduler.with_core(|_, _| {
            assert!(scheduler.turns() == u64::MAX, "an event that goes wrong");
            super::core::Actions::default()
        });
    });
    assert!(event.await.is_err());
    stage.scheduler.prod();
    running.await.unwrap();
    // A scheduler in an inconsistent state hands out nothing.
    let offered = leased(&stage.book, Clock::wall(), 1, &["ok@b.example"]);
    stage.scheduler.offer(vec![offered]);
    assert_eq!((stage.scheduler.snapshot().await.carriers, stage.book.count()), (0, 0));
    stage.scheduler.wind_up().await;
}
