//! The scheduler's tasks: the loop, the carriers, what is written after an attempt.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::queue::{Actions, At, Queue, Start, Sweep};
use super::settings::Settings;
use super::settle::{Rules, Work, judge_overdue};
use super::snapshot::{LaneView, Snapshot};
use super::{Carrier, Job, Jobs, retry, tend, together};
use crate::connector::LiveTable;
use crate::mail::{Clock, Enhanced, QueueId, UnixMillis};
use crate::outcome::{Outcome, Scope, Trouble};
use crate::spool::{DueWindow, LaneKey, Leased, Spool, SpoolFault};
use crate::tracking::{Event, Journal};

/// Hands messages to carriers when they are due, and writes what became of them.
pub struct Scheduler {
    queue: Mutex<Queue>,
    pub(super) settings: Settings,
    pub(super) live: Arc<LiveTable>,
    pub(super) spool: Arc<dyn Spool>,
    pub(super) carrier: Arc<dyn Carrier>,
    pub(super) journal: Arc<Journal>,
    pub(super) clock: Clock,
    wake: Notify,
    pub(super) tasks: TaskTracker,
    /// What waits in [`Together`].
    pub(super) together_room: Arc<Semaphore>,
    /// What sweeps write at the same time, over all lanes.
    sweep_reports: Arc<Semaphore>,
    /// Ends the carriers that did not end by themselves.
    end: CancellationToken,
    pub(super) me: Weak<Self>,
}

impl Scheduler {
    /// A scheduler that waits for [`Self::run`]; offers are carried from now on.
    #[must_use]
    pub fn new(
        settings: Settings,
        live: Arc<LiveTable>,
        spool: Arc<dyn Spool>,
        carrier: Arc<dyn Carrier>,
        journal: Arc<Journal>,
        clock: Clock,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            queue: Mutex::new(Queue::new(&settings, clock.now())),
            settings,
            live,
            spool,
            carrier,
            journal,
            clock,
            wake: Notify::new(),
            tasks: TaskTracker::new(),
            together_room: Arc::new(Semaphore::new(together::RECIPIENTS_MAX)),
            sweep_reports: Arc::new(Semaphore::new(SWEEP_REPORTS_MAX)),
            end: CancellationToken::new(),
            me: me.clone(),
        })
    }

    /// Takes over messages that were just accepted. Must be called within the runtime.
    pub fn offer(&self, leased: Vec<Leased>) {
        let offered = together::offered(leased, &self.me);
        self.with_queue(|queue, at| queue.offer(offered, at));
    }

    /// Keeps the schedule until `stop`; then hands out nothing more and gives the carriers a few
    /// seconds to end.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut read_lanes_at = self.clock.now();
        loop {
            if read_lanes_at <= self.clock.now() {
                let wait = if self.read_lanes().await { READ_LANES_EVERY } else { tend::AFTER_FAULT };
                read_lanes_at = self.clock.now().plus(wait);
            }
            self.with_queue(Queue::tick);
            let planned = self.lock().plan();
            let until = planned.map_or(read_lanes_at, |time| time.min(read_lanes_at));
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(self.clock.until(until)) => {}
            }
        }
        self.lock().stop();
        self.tasks.close();
        if tokio::time::timeout(GRACE, self.tasks.wait()).await.is_err() {
            self.end.cancel();
        }
    }

    /// To be called once another table is in force: lanes that are blocked by a connector that has
    /// changed or gone try anew.
    pub fn table_replaced(&self) {
        self.with_queue(Queue::rejudge);
    }

    /// The lanes as they are now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.lock().snapshot()
    }

    /// Those of the lanes named that are blocked, in the order given. It costs a look-up for each
    /// name, however many lanes there are.
    #[must_use]
    pub fn blocked(&self, lanes: &[LaneKey]) -> Vec<LaneView> {
        self.lock().blocked(lanes)
    }

    /// Asks the disk which lanes have mail: at the start, and from time to time, so that no
    /// message waits for a mark that a fault kept from being made.
    async fn read_lanes(&self) -> bool {
        let mut after = None;
        loop {
            match self.spool.lanes(after, LANES_MAX).await {
                Ok(lanes) => {
                    let full = lanes.len() >= LANES_MAX;
                    after = lanes.last().map(|(lane, _)| lane.clone());
                    self.with_queue(|queue, at| queue.loaded(lanes, at));
                    if !full {
                        return true;
                    }
                }
                Err(fault) => {
                    self.alarm(&fault);
                    return false;
                }
            }
        }
    }

    fn alarm(&self, fault: &SpoolFault) {
        self.journal.record(&Event::Alarm { what: &fault.to_string() });
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn with_queue(&self, change: impl FnOnce(&mut Queue, At<'_>) -> Actions) {
        let table = self.live.table();
        let at = At { table: &table, now: self.clock.now() };
        let actions = change(&mut self.lock(), at);
        self.act(actions);
    }

    fn act(&self, actions: Actions) {
        let Some(me) = self.me.upgrade() else { return };
        for start in actions.starts {
            self.start(&me, start);
        }
        for window in actions.fetches {
            self.tasks.spawn(Arc::clone(&me).fetch(window));
        }
        for sweep in actions.sweeps {
            self.tasks.spawn(Arc::clone(&me).sweep(sweep));
        }
        for work in actions.works {
            self.settle(&me, work);
        }
        if actions.wake {
            self.wake.notify_one();
        }
    }

    fn start(&self, me: &Arc<Self>, Start { seat, way }: Start) {
        let seated = Seated { scheduler: Arc::clone(me), seat };
        let ending = Ending { scheduler: Arc::clone(me), seat };
        let (carrier, end) = (Arc::clone(&self.carrier), self.end.clone());
        self.tasks.spawn(async move {
            let _ending = ending;
            tokio::select! {
                () = end.cancelled() => {}
                () = carrier.carry(way, Arc::new(seated)) => {}
            }
        });
    }

    async fn fetch(self: Arc<Self>, window: DueWindow) {
        let lane = window.lane.clone();
        let due = self.spool.due(window).await;
        if let Err(fault) = &due {
            self.alarm(fault);
        }
        self.with_queue(|queue, at| queue.fetched(&lane, due.ok(), at));
    }

    fn settle(&self, me: &Arc<Self>, mut work: Work) {
        let now = self.clock.now();
        self.tell_verdicts(&work, now);
        if let Some(together) = work.together.take()
            && let Some(failed) = work.split_failed()
        {
            if let Some(failed) = together.keep(failed) {
                self.tasks.spawn(Arc::clone(me).finish(failed));
            }
            if work.verdicts.is_empty() {
                return;
            }
        }
        if work.is_plain() {
            // Under way from the call on; nobody waits for it.
            drop(self.spool.settle(work.into_settlement(Vec::new())));
            return;
        }
        self.tasks.spawn(Arc::clone(me).finish(work));
    }

    pub(super) async fn finish(self: Arc<Self>, work: Work) {
        if work.failed().next().is_some() {
            self.keep_copy(&work).await;
        }
        let reports = self.reports(&work, self.clock.now()).await;
        let (id, lane, next_at) = (work.message.id, work.lane.clone(), work.next_at());
        match self.spool.settle(work.into_settlement(reports.messages)).await {
            Ok(leased) => {
                for (kind, report) in reports.told {
                    self.journal.record(&Event::Reported { id, kind, report });
                }
                self.offer(leased);
                // Marked only now: before, the lease would have hidden it from whoever looks.
                if let Some(next_at) = next_at {
                    self.with_queue(|queue, at| queue.loaded(vec![(lane, next_at)], at));
                }
            }
            Err(fault) => {
                self.alarm(&fault);
                let later = self.clock.now().plus(tend::AFTER_FAULT);
                self.with_queue(|queue, at| queue.loaded(vec![(lane, later)], at));
            }
        }
    }

    /// Tells senders of a dead lane's mail whose time has come, a part at a time.
    async fn sweep(self: Arc<Self>, sweep: Sweep) {
        let _swept = Swept { scheduler: Arc::clone(&self), lane: sweep.lane.clone() };
        loop {
            let now = self.clock.now();
            let null = self.settings.null_sender_expire;
            let dates = retry::cutoffs(&sweep.retry, null, now);
            let overdue = self.spool.overdue(sweep.lane.clone(), dates, SWEEP_MESSAGES_MAX).await;
            let leased = match overdue {
                Ok(leased) => leased,
                Err(fault) => return self.alarm(&fault),
            };
            let full = leased.len() >= SWEEP_MESSAGES_MAX;
            let mut writing = JoinSet::new();
            for work in leased.into_iter().map(|one| overdue_work(&sweep, null, one, now)) {
                if work.failed().next().is_none() && work.late().next().is_none() {
                    continue;
                }
                // Each report is composed in memory. The permit is refused only once closed: never.
                let permit = Arc::clone(&self.sweep_reports).acquire_owned().await;
                self.tell_verdicts(&work, now);
                let finish = Arc::clone(&self).finish(work);
                writing.spawn(async move {
                    finish.await;
                    drop(permit);
                });
            }
            let progress = !writing.is_empty();
            while writing.join_next().await.is_some() {}
            if !full || !progress {
                return;
            }
        }
    }
}

fn overdue_work(sweep: &Sweep, null: Option<Duration>, leased: Leased, now: UnixMillis) -> Work {
    let Leased { message, recipients, lane, content, lease } = leased;
    let accepted_at = message.accepted_at;
    let blocked_until = sweep.blocked_until;
    let retry = &*retry::for_message(&sweep.retry, null, &message.reverse_path);
    let rules = Rules { retry, accepted_at, now, blocked_until, again: false };
    let verdicts = recipients.into_iter().map(|recipient| {
        let verdict = judge_overdue(rules, &recipient, &sweep.trouble);
        (recipient, verdict)
    });
    let verdicts = verdicts.collect();
    let until = retry::expires_at(retry, accepted_at);
    Work { message, lease, content, lane, until, verdicts, together: None }
}

/// The jobs of a lane, for one carrier.
struct Seated {
    scheduler: Arc<Scheduler>,
    seat: u64,
}

impl Seated {
    async fn next_job(&self) -> Option<Job> {
        loop {
            let mut taken = None;
            self.scheduler.with_queue(|queue, at| {
                let (job, actions) = queue.take(self.seat, at);
                taken = job;
                actions
            });
            let mut job = taken?;
            if let Some(content) = job.content.take() {
                return Some(job.into_job(content));
            }
            let id = job.message.id;
            match self.scheduler.spool.read(id).await {
                Ok(content) => return Some(job.into_job(content)),
                Err(fault) => self.scheduler.set_aside(id, job.ticket, &fault),
            }
        }
    }
}

impl Scheduler {
    fn set_aside(&self, id: QueueId, ticket: u64, fault: &SpoolFault) {
        let reason = format!("the message can't be read: {fault}");
        self.journal.record(&Event::Held { id, reason: &reason });
        let trouble = Trouble {
            status: Enhanced(4, 3, 0),
            reason,
            remote: None,
            decision: None,
            scope: Scope::Recipient,
        };
        self.with_queue(|queue, at| queue.set_aside(ticket, &trouble, at));
    }
}

impl Jobs for Seated {
    fn next(&self) -> Pin<Box<dyn Future<Output = Option<Job>> + Send + '_>> {
        Box::pin(self.next_job())
    }

    fn report(&self, job: &Job, outcomes: Vec<Outcome>) {
        self.scheduler.with_queue(|queue, at| queue.report(job.ticket, outcomes, at));
    }
}

/// Gives a carrier's place back however it ended.
struct Ending {
    scheduler: Arc<Scheduler>,
    seat: u64,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.scheduler.with_queue(|queue, at| queue.ended(self.seat, at));
    }
}

/// Lets the lane be swept again however its sweep ended.
struct Swept {
    scheduler: Arc<Scheduler>,
    lane: LaneKey,
}

impl Drop for Swept {
    fn drop(&mut self) {
        self.scheduler.with_queue(|queue, at| queue.swept(&self.lane, at));
    }
}

/// How often the disk is asked for all lanes.
const READ_LANES_EVERY: Duration = Duration::from_secs(600);
/// How long carriers may go on after the stop.
const GRACE: Duration = Duration::from_secs(4);
const SWEEP_MESSAGES_MAX: usize = 500;
/// Lanes in one question.
const LANES_MAX: usize = 5_000;
const SWEEP_REPORTS_MAX: usize = 16;
