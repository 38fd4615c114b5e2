//! The scheduler's tasks: the loop that keeps time, the carriers, the disk queries.
//! [`core`](super::core) decides what is to be done.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::core::{
    AFTER_FAULT, Actions, At, ConnectorShares, Core, Fetch, LaneView, Limits, Pulse, Rules, Survey, Sweep,
    Work, judge_overdue, longest_wait,
};
use super::questions::Questions;
use super::settings::Settings;
use super::{Carrier, Progress, retry};
use crate::connector::LiveTable;
use crate::mail::{Clock, Dates, UnixMillis};
use crate::spool::{DueWindow, LaneKey, Lease, Leased, Part, Spool, SpoolFault};
use crate::tracking::{AlarmTopic, Event, Journal};

/// Hands due messages to carriers, and writes their outcomes.
pub struct Scheduler {
    core: Mutex<Core<Lease>>,
    /// Each running carrier's progress.
    carriers: Mutex<HashMap<u64, Arc<Progress>>>,
    pub(super) settings: Settings,
    pub(super) live: Arc<LiveTable>,
    pub(super) spool: Arc<dyn Spool>,
    pub(super) carrier: Arc<dyn Carrier>,
    pub(super) journal: Arc<Journal>,
    pub(super) clock: Clock,
    pub(super) questions: Questions,
    wake: Notify,
    turns: AtomicU64,
    pub(super) tasks: TaskTracker,
    /// Limits concurrent writes by sweeps, over all lanes.
    sweep_reports: Arc<Semaphore>,
    /// Ends the carriers that did not end by themselves.
    pub(super) end: CancellationToken,
    pub(super) me: Weak<Self>,
}

/// The scheduler's state at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The lanes: failing ones first, then the longest.
    pub lanes: Vec<LaneView>,
    /// Number of lanes not included in `lanes`.
    pub more: usize,
    /// Carriers that are running.
    pub carriers: usize,
    /// Messages waiting in memory.
    pub waiting: usize,
    /// Octets of content held in memory.
    pub held_bytes: u64,
}

impl Scheduler {
    /// A scheduler whose loop starts with [`Self::run`]; offered messages are carried from now on.
    #[must_use]
    pub fn new(
        settings: Settings,
        live: Arc<LiveTable>,
        spool: Arc<dyn Spool>,
        carrier: Arc<dyn Carrier>,
        journal: Arc<Journal>,
        clock: Clock,
    ) -> Arc<Self> {
        let limits = Limits {
            held_bytes_max: u64::try_from(settings.memory_bytes_max).unwrap_or(u64::MAX),
            window_max: settings.window_max,
            seats_max: settings.sessions_max,
            openings_max: settings.openings_max,
            per_host_max: settings.sessions_per_host_max,
            null_sender_expire: settings.null_sender_expire,
        };
        Arc::new_cyclic(|me| Self {
            core: Mutex::new(Core::new(&limits, clock.now())),
            carriers: Mutex::default(),
            settings,
            live,
            spool,
            carrier,
            journal,
            clock,
            questions: Questions::default(),
            wake: Notify::new(),
            turns: AtomicU64::new(0),
            tasks: TaskTracker::new(),
            sweep_reports: Arc::new(Semaphore::new(SWEEP_REPORTS_MAX)),
            end: CancellationToken::new(),
            me: me.clone(),
        })
    }

    /// Takes over newly accepted messages. Must be called within the runtime.
    pub fn offer(&self, leased: Vec<Leased>) {
        self.with_core(|core, at| core.offer(leased, at));
    }

    /// Keeps the schedule until `stop`, then hands out nothing more and gives the carriers a few
    /// seconds to end.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut read_lanes_at = self.clock.now();
        // Runs beside the loop, which must go on however long the disk takes.
        let mut reading: Option<Pin<Box<dyn Future<Output = bool> + Send>>> = None;
        while !stop.is_cancelled() {
            self.turns.fetch_add(1, Ordering::Relaxed);
            if self.core.is_poisoned() {
                // The state in memory can't be trusted any more; the disk can.
                tracing::error!("the scheduler's state is in doubt after a panic");
                return;
            }
            if reading.is_none() && read_lanes_at <= self.clock.now() {
                reading = Some(Box::pin(Arc::clone(&self).read_lanes()));
            }
            if self.ask_core(Core::tick) {
                tokio::task::yield_now().await;
                continue;
            }
            let planned = self.lock().plan();
            let until = planned.into_iter().chain(reading.is_none().then_some(read_lanes_at)).min();
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = self.sleep_until(until) => {}
                done = if_some(reading.as_mut()) => {
                    reading = None;
                    read_lanes_at = self.clock.now().plus(if done { READ_LANES_EVERY } else { AFTER_FAULT });
                }
            }
        }
        self.wind_up().await;
    }

    /// Hands out nothing more, and gives the carriers a few seconds to end. A second call waits for the
    /// same.
    pub async fn wind_up(&self) {
        if !self.core.is_poisoned() {
            self.with_core(|core, _| core.stop());
        }
        self.tasks.close();
        if tokio::time::timeout(GRACE, self.tasks.wait()).await.is_err() {
            self.end.cancel();
            self.tasks.wait().await;
        }
    }

    async fn sleep_until(&self, time: Option<UnixMillis>) {
        match time {
            Some(time) => self.clock.sleep_until(time).await,
            None => std::future::pending().await,
        }
    }

    /// Number of iterations of the loop: a watchdog uses it to see that the schedule is kept.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Whether mail waits for an opening or a seat.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.lock().is_crowded()
    }

    /// Makes the loop run once.
    pub fn prod(&self) {
        self.wake.notify_one();
    }

    /// Call this once another table is in effect: lanes blocked under a connector that has changed or
    /// gone try again.
    pub async fn table_replaced(&self) {
        let mut after: Option<LaneKey> = None;
        loop {
            let table = self.live.table();
            let dates = self.clock.dates();
            let at = At { table: &table, dates: &dates };
            let (changed, next) = self.lock().changed(after.as_ref(), at);
            self.hasten(changed).await;
            if next.is_none() {
                return;
            }
            after = next;
            tokio::task::yield_now().await;
        }
    }

    /// The current state of the lanes, read in batches.
    pub async fn snapshot(&self) -> Snapshot {
        let mut survey = Survey::default();
        while self.lock().survey(&mut survey) {
            tokio::task::yield_now().await;
        }
        let (names, more) = survey.finish();
        let core = self.lock();
        let lanes = core.views(&names, &self.clock.dates());
        let (carriers, waiting, held_bytes) = core.counts();
        Snapshot { lanes, more, carriers, waiting, held_bytes }
    }

    /// Lanes and places by connector, read in batches: it takes as long as there are lanes.
    pub async fn shares(&self) -> ConnectorShares {
        let (mut shares, mut after) = (ConnectorShares::new(), None);
        loop {
            after = self.lock().note_shares(after.as_ref(), &mut shares);
            if after.is_none() {
                return shares;
            }
            tokio::task::yield_now().await;
        }
    }

    /// The blocked ones among these lanes, in the order given. It costs one look-up per name, however
    /// many lanes there are.
    #[must_use]
    pub fn blocked(&self, lanes: &[LaneKey]) -> Vec<LaneView> {
        self.lock().blocked(lanes, &self.clock.dates())
    }

    /// Asks the disk which lanes have mail, at the start and periodically, so that no message is
    /// forgotten because a fault prevented its mark.
    async fn read_lanes(self: Arc<Self>) -> bool {
        let mut after = None;
        loop {
            let lanes = match self.spool.lanes(after, LANES_PIECE).await {
                Ok(lanes) => lanes,
                Err(fault) => {
                    self.alarm(&fault);
                    return false;
                }
            };
            let full = lanes.len() >= LANES_PIECE;
            after = lanes.last().map(|(lane, _)| lane.clone());
            let dates = self.clock.dates();
            let lanes = lanes.into_iter().map(|(lane, due)| (lane, dates.to_steady(due))).collect();
            self.with_core(|core, at| core.loaded(lanes, at));
            if !full {
                return true;
            }
        }
    }

    /// Makes lanes due at once, in batches.
    pub(super) async fn hasten(&self, mut lanes: Vec<LaneKey>) {
        while !lanes.is_empty() {
            let rest = lanes.split_off(lanes.len().min(LANES_PIECE));
            self.with_core(|core, at| core.hasten(lanes, at));
            lanes = rest;
            tokio::task::yield_now().await;
        }
    }

    /// Passes the core an event that concerns all lanes, in batches: others can lock the core in
    /// between.
    pub(super) async fn for_all_lanes(
        &self,
        mut event: impl FnMut(&mut Core<Lease>, Option<&LaneKey>, At<'_>) -> (Option<LaneKey>, Actions<Lease>),
    ) {
        let mut after = None;
        loop {
            after = self.ask_core(|core, at| event(core, after.as_ref(), at));
            if after.is_none() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    fn alarm(&self, fault: &SpoolFault) {
        self.journal.record(&Event::Alarm { topic: AlarmTopic::Other, what: &fault.to_string() });
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Core<Lease>> {
        self.core.lock().unwrap_or_else(|poisoned| {
            let mut core = poisoned.into_inner();
            core.distrust();
            core
        })
    }

    pub(super) fn carriers(&self) -> MutexGuard<'_, HashMap<u64, Arc<Progress>>> {
        self.carriers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes the core an event, and performs the actions that follow.
    pub(super) fn with_core(&self, event: impl FnOnce(&mut Core<Lease>, At<'_>) -> Actions<Lease>) {
        self.ask_core(|core, at| ((), event(core, at)));
    }

    /// Like [`Self::with_core`], for an event that returns an answer.
    pub(super) fn ask_core<T>(
        &self,
        event: impl FnOnce(&mut Core<Lease>, At<'_>) -> (T, Actions<Lease>),
    ) -> T {
        let table = self.live.table();
        let dates = self.clock.dates();
        let at = At { table: &table, dates: &dates };
        let mut core = self.lock();
        let (answer, mut actions) = event(&mut core, at);
        // Released while the core is locked: a fetch triggered by a mark made here finds them free.
        actions.released.clear();
        drop(core);
        self.act(actions, &dates);
        answer
    }

    fn act(&self, actions: Actions<Lease>, dates: &Dates) {
        let Some(me) = self.me.upgrade() else { return };
        // Carriers with nothing under way end first, so that they start nothing.
        if !actions.dismissed.is_empty() {
            let carriers = self.carriers();
            actions.dismissed.iter().filter_map(|number| carriers.get(number)).for_each(|one| one.dismiss());
        }
        for ticket in &actions.unanswered {
            self.questions.give_up(*ticket);
        }
        for notice in &actions.notices {
            self.tell_verdicts((&notice.message, &notice.lane), &notice.verdicts, dates);
        }
        for work in actions.works {
            self.settle(&me, work, dates);
        }
        for start in actions.starts {
            self.start(&me, start);
        }
        for fetch in actions.fetches {
            self.tasks.spawn(Arc::clone(&me).fetch(fetch));
        }
        for sweep in actions.sweeps {
            self.tasks.spawn(Arc::clone(&me).sweep(sweep));
        }
        if !(actions.granted.is_empty() && actions.evicted.is_empty() && actions.recalled.is_empty()) {
            let carriers = self.carriers();
            actions.granted.iter().filter_map(|number| carriers.get(number)).for_each(|one| one.grant());
            actions.evicted.iter().filter_map(|number| carriers.get(number)).for_each(|one| one.evict());
            actions.recalled.iter().filter_map(|number| carriers.get(number)).for_each(|one| one.recall());
        }
        if actions.inspect {
            let pulses = self.pulses();
            self.with_core(|core, at| core.inspected(&pulses, at));
        }
        if actions.wake {
            self.wake.notify_one();
        }
    }

    fn pulses(&self) -> Vec<Pulse> {
        let pulse = |(carrier, progress): (&u64, &Arc<Progress>)| Pulse {
            carrier: *carrier,
            still_for: progress.still_for(),
            after_dot: progress.is_after_dot(),
        };
        self.carriers().iter().map(pulse).collect()
    }

    pub(super) fn leave(&self, carrier: u64) {
        self.carriers().remove(&carrier);
        self.with_core(|core, at| core.ended(carrier, at));
    }

    async fn fetch(self: Arc<Self>, Fetch { lane, limit }: Fetch) {
        let mut answer = Answer { scheduler: Arc::clone(&self), lane: lane.clone(), due: None };
        let now = self.clock.dates().wall();
        let latest = now.plus(longest_wait(&self.live.table()));
        match self.spool.due(DueWindow { lane, now, latest, limit }).await {
            Ok(due) => {
                let dates = self.clock.dates();
                let next_at = due.next_at.map(|time| dates.to_steady(time));
                answer.due = Some((due.leased, next_at));
            }
            Err(fault) => self.alarm(&fault),
        }
    }

    fn settle(&self, me: &Arc<Self>, work: Work<Lease>, dates: &Dates) {
        if !work.told {
            self.tell_verdicts((&work.message, &work.lane), &work.verdicts, dates);
        }
        if work.is_plain() {
            // Under way from the call on; nothing waits for it.
            drop(self.spool.settle(work.into_settlement(Vec::new(), dates)));
            return;
        }
        self.tasks.spawn(Arc::clone(me).finish(work));
    }

    pub(super) async fn finish(self: Arc<Self>, work: Work<Lease>) {
        if work.failed().next().is_some() {
            self.keep_copy(&work).await;
        }
        let dates = self.clock.dates();
        let reports = self.reports(&work, &dates).await;
        let (id, lane, due) = (work.message.id, work.lane.clone(), work.due());
        match self.spool.settle(work.into_settlement(reports.messages, &dates)).await {
            Ok(leased) => {
                for (kind, report) in reports.told {
                    self.journal.record(&Event::Reported { id, kind, report });
                }
                self.offer(leased);
                // Marked only now: earlier, the lease would have hidden it from a fetch.
                if !due.is_empty() {
                    self.with_core(|core, at| core.loaded(due, at));
                }
            }
            Err(fault) => {
                self.alarm(&fault);
                let later = self.clock.now().plus(AFTER_FAULT);
                self.with_core(|core, at| core.loaded(vec![(lane, later)], at));
            }
        }
    }

    /// Reports delays and expiry for a blocked lane's mail, in batches.
    async fn sweep(self: Arc<Self>, sweep: Sweep) {
        let _swept = SweepGuard { scheduler: Arc::clone(&self), lane: sweep.lane.clone() };
        let mut after = None;
        loop {
            let null = self.settings.null_sender_expire;
            let cutoffs = retry::cutoffs(&sweep.retry, null, self.clock.dates().wall());
            let lane = sweep.lane.clone();
            let Part { found: leased, next } =
                match self.spool.overdue(lane, cutoffs, after, SWEEP_MESSAGES_MAX).await {
                    Ok(part) => part,
                    Err(fault) => return self.alarm(&fault),
                };
            let dates = self.clock.dates();
            let mut writing = JoinSet::new();
            for work in leased.into_iter().map(|one| overdue_work(&sweep, null, one, &dates)) {
                if work.failed().next().is_none() && work.late().next().is_none() {
                    continue;
                }
                // Each report is composed in memory. Acquiring fails only once the semaphore is closed,
                // which never happens.
                let permit = Arc::clone(&self.sweep_reports).acquire_owned().await;
                self.tell_verdicts((&work.message, &work.lane), &work.verdicts, &dates);
                let finish = Arc::clone(&self).finish(work);
                writing.spawn(async move {
                    finish.await;
                    drop(permit);
                });
            }
            while writing.join_next().await.is_some() {}
            after = next;
            if after.is_none() {
                return;
            }
        }
    }
}

/// Awaits the future if there is one, otherwise never completes.
async fn if_some<F: Future + Unpin>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

fn overdue_work(sweep: &Sweep, null: Option<Duration>, leased: Leased, dates: &Dates) -> Work<Lease> {
    let Leased { message, recipients, lane, content, lease } = leased;
    let accepted_at = dates.since(message.accepted_at);
    let blocked_until = sweep.blocked_until;
    let retry = &*retry::for_message(&sweep.retry, null, &message.reverse_path);
    let rules = Rules { retry, accepted_at, now: dates.now(), blocked_until, again: false };
    let verdicts = recipients.into_iter().map(|recipient| {
        let verdict = judge_overdue(rules, &recipient, &sweep.trouble);
        (recipient, verdict)
    });
    let verdicts = verdicts.collect();
    Work { message, lease, content, lane, expire: retry.expire, verdicts, told: true }
}

/// The disk's answer to a lane, delivered however the query ended, because the lane waits for it.
struct Answer {
    scheduler: Arc<Scheduler>,
    lane: LaneKey,
    /// `None`: the disk could not be read.
    due: Option<(Vec<Leased>, Option<UnixMillis>)>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        let due = self.due.take();
        self.scheduler.with_core(|core, at| core.fetched(&self.lane, due, at));
    }
}

/// Lets the lane be swept again, however its sweep ended.
struct SweepGuard {
    scheduler: Arc<Scheduler>,
    lane: LaneKey,
}

impl Drop for SweepGuard {
    fn drop(&mut self) {
        self.scheduler.with_core(|core, at| core.swept(&self.lane, at));
    }
}

/// How often the disk is asked for all lanes.
const READ_LANES_EVERY: Duration = Duration::from_secs(600);
/// Lanes passed to the core in one batch.
const LANES_PIECE: usize = 512;
/// How long carriers may continue after the stop. What else ends after them needs a part of the five seconds.
const GRACE: Duration = Duration::from_secs(3);
const SWEEP_MESSAGES_MAX: usize = 500;
const SWEEP_REPORTS_MAX: usize = 16;
