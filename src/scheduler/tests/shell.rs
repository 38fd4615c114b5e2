//! The tasks, with a spool in memory and a carrier that does what the local part says.

use std::pin::Pin;
use std::sync::Mutex;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::super::{Carrier, Jobs, Scheduler, Way};
use super::*;
use crate::connector::LiveTable;
use crate::mail::Clock;
use crate::spool::{
    BodyWriter, DueWindow, Filter, Holding, LaneCount, Listed, NewContent, NewMessage, Pending,
    QueuedMessage, Removal, Settlement, Spool, SpoolFault, Stats,
};
use crate::tracking::Journal;

struct Memory {
    settled: mpsc::UnboundedSender<Settlement>,
    overdue: Mutex<Vec<Leased>>,
    ids: Mutex<i64>,
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
    fn put(&self, _message: NewMessage) -> Pending<Result<Vec<Leased>, SpoolFault>> {
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
        _limit: usize,
    ) -> Pending<Result<Vec<Leased>, SpoolFault>> {
        answer(std::mem::take(&mut *self.overdue.lock().unwrap()))
    }

    fn claim(&self, _id: QueueId) -> Pending<Result<crate::spool::Claim, SpoolFault>> {
        Box::pin(std::future::ready(Ok(crate::spool::Claim::Unknown)))
    }
    fn read(&self, _id: QueueId) -> Pending<Result<Content, SpoolFault>> {
        answer(Content::Held(b"Subject: read back\r\n\r\n".as_slice().into()))
    }
    fn lanes(&self) -> Pending<Result<Vec<(LaneKey, UnixMillis)>, SpoolFault>> {
        answer(Vec::new())
    }
    fn list(
        &self,
        _filter: Filter,
        _after: Option<QueueId>,
        _limit: usize,
    ) -> Pending<Result<Listed, SpoolFault>> {
        answer(Listed { messages: Vec::new(), next: None })
    }

    fn top(&self, _limit: usize) -> Pending<Result<Vec<LaneCount>, SpoolFault>> {
        answer(Vec::new())
    }
    fn show(&self, _id: QueueId) -> Pending<Result<Option<QueuedMessage>, SpoolFault>> {
        answer(None)
    }
    fn hasten(
        &self,
        _id: Option<QueueId>,
        _now: UnixMillis,
    ) -> Pending<Result<(Vec<LaneKey>, usize), SpoolFault>> {
        answer((Vec::new(), 0))
    }
    fn remove(&self, _id: QueueId) -> Pending<Result<Removal, SpoolFault>> {
        answer(Removal::Unknown)
    }
    fn hold(&self, _id: QueueId, _reason: String) -> Pending<Result<Holding, SpoolFault>> {
        answer(Holding::Unknown)
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

struct Obedient;

impl Carrier for Obedient {
    fn carry(self: Arc<Self>, _way: Way, jobs: Arc<dyn Jobs>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            while let Some(job) = jobs.next().await {
                let outcomes = job.recipients.iter().map(|r| match r.forward_path.local_part() {
                    "ok" => delivered(),
                    "later" => deferred(Scope::Recipient),
                    "dead" => deferred(Scope::Lane),
                    _ => failed(),
                });
                jobs.report(&job, outcomes.collect());
            }
        })
    }
}

struct Stage {
    scheduler: Arc<Scheduler>,
    spool: Arc<Memory>,
    settled: mpsc::UnboundedReceiver<Settlement>,
    world: World,
}

fn stage() -> Stage {
    let (sender, settled) = mpsc::unbounded_channel();
    let spool = Arc::new(Memory { settled: sender, overdue: Mutex::default(), ids: Mutex::new(1000) });
    let mut world = World::new(10, 10);
    let clock = Clock::start();
    world.now = clock.now();
    let settings = Settings {
        name: Domain::parse("gw1.contoso.example").unwrap(),
        postmaster: Mailbox::parse("postmaster@contoso.example").unwrap(),
        double_bounces: false,
        null_sender_expire: None,
        archive: None,
        carriers_max: 10,
        memory_bytes_max: 100_000,
        window_max: 10,
    };
    let table = Table::new(Generation(1), Vec::new(), vec![outbound("out", "*")]);
    let live = Arc::new(LiveTable::new(table));
    let scheduler =
        Scheduler::new(settings, live, spool.clone(), Arc::new(Obedient), Arc::new(Journal), clock);
    Stage { scheduler, spool, settled, world }
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
        Settled::Done => "done",
        Settled::Deferred { delay_told: false, .. } => "deferred",
        Settled::Deferred { delay_told: true, .. } => "deferred, told",
    });
    format!("{}; {} reports", words.collect::<Vec<_>>().join(", "), settlement.reports.len())
}

/// Offers one message of this age; what is settled, in words, and the report.
async fn check(to: &[&str], path: &str, age_s: i64, told: bool, expected: &str) -> Option<String> {
    let mut stage = stage();
    let mut leased = with_reverse_path(stage.world.leased(1, to), path, age_s);
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
    let old = with_reverse_path(stage.world.leased(2, &["ok@b.example"]), "ann@contoso.example", 100);
    stage.spool.overdue.lock().unwrap().push(Leased { content: None, ..old });
    let probe = stage.world.leased(1, &["dead@b.example"]);
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
    let leased = stage.world.leased(1, &["ok@b.example"]);
    stage.scheduler.offer(vec![leased]);
    assert!(stage.settled.try_recv().is_err());
    assert_eq!(stage.world.book.count(), 0, "the disk has it");
}
