//! Reads the levels that metrics show, when they are asked for, and says whether all is well. It counts nothing.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::outlook::ConsoleOutlook;
use super::reload::Reloader;
use super::{StartFault, ends, guard, process};
use crate::admin::{AdminListener, AdminPace, AdminSite, AlarmKind, Control, MonitoringSource};
use crate::config::Config;
use crate::connector::LiveTable;
use crate::console::Console;
use crate::listen::ListenerState;
use crate::mail::{Clock, UnixMillis};
use crate::metrics::{LaneReadings, Metrics, PageFormat, ProcessReadings, QueueReadings, Readings};
use crate::scheduler::Scheduler;
use crate::spool::Spool;
use crate::trace::EventRecorder;
use crate::tracking::Vitals;

/// What a page is read from.
pub(super) struct Monitor {
    metrics: Arc<Metrics>,
    listening: Arc<ListenerState>,
    scheduler: Arc<Scheduler>,
    reloader: Arc<Reloader>,
    vitals: Vitals,
    /// Of the tracking store, if there is one.
    recorder: Option<EventRecorder>,
    lanes: Mutex<PacedLanes>,
    since: UnixMillis,
}

/// The lanes as they were read last. Reading them takes as long as there are lanes, so it is done again only once a hundred
/// times as long has passed.
#[derive(Default)]
struct PacedLanes {
    last: Option<(Instant, Duration, Arc<LaneReadings>)>,
}

impl PacedLanes {
    async fn read(&mut self, scheduler: &Scheduler, spool: &dyn Spool) -> Arc<LaneReadings> {
        if let Some((at, took, lanes)) = &self.last
            && at.elapsed() < took.saturating_mul(PACE)
        {
            return Arc::clone(lanes);
        }
        let begun = Instant::now();
        let shares = scheduler.shares().await;
        let mut waiting = BTreeMap::new();
        for name in shares.iter().filter(|(_, share)| share.has_lanes()).map(|(name, _)| name) {
            let Ok(found) = spool.waiting(Arc::clone(name), WAITING_MAX).await else { break };
            waiting.insert(Arc::clone(name), found);
        }
        let lanes = Arc::new(LaneReadings { shares, waiting });
        self.last = Some((Instant::now(), begun.elapsed(), Arc::clone(&lanes)));
        lanes
    }
}

/// The counters, if anybody may read them.
pub(super) fn metrics_of(config: &Config, live: &Arc<LiveTable>) -> Option<Arc<Metrics>> {
    let listeners = config.listen.listeners.iter().map(|listener| listener.name.clone());
    config.admin.as_ref().map(|_| Arc::new(Metrics::new(Arc::clone(live), listeners)))
}

/// Binds the admin listener, if there is one.
pub(super) fn bind(config: &Config) -> Result<Option<AdminListener>, StartFault> {
    let admin = config.admin.as_ref();
    Ok(admin.map(AdminListener::bind).transpose()?)
}

impl Monitor {
    pub(super) fn new(
        metrics: Arc<Metrics>,
        listening: Arc<ListenerState>,
        scheduler: &Arc<Scheduler>,
        reloader: &Arc<Reloader>,
        (vitals, recorder): (&Vitals, Option<EventRecorder>),
    ) -> Self {
        Self {
            metrics,
            listening,
            scheduler: Arc::clone(scheduler),
            reloader: Arc::clone(reloader),
            vitals: vitals.clone(),
            recorder,
            lanes: Mutex::default(),
            since: Clock::wall(),
        }
    }

    /// Serves the admin listener until `stop`. The tracker has all that is left to end then.
    pub(super) fn serve(
        self,
        listener: AdminListener,
        control: Control,
        stop: &CancellationToken,
    ) -> TaskTracker {
        let (vitals, tokens, reloader) =
            (self.vitals.clone(), self.reloader.tokens(), Arc::clone(&self.reloader));
        let monitored: Arc<dyn MonitoringSource> = Arc::new(self);
        let outlook = Arc::new(ConsoleOutlook { reloader, monitored: Arc::clone(&monitored) });
        let pace = Arc::new(AdminPace::new());
        let console = Console::new(control.clone(), (Arc::clone(&tokens), Arc::clone(&pace)), outlook);
        let site = AdminSite { tokens, monitored: Arc::clone(&monitored), control, pace };
        let (tracker, loops) = listener.serve(&site.router(console.router()), &monitored, stop);
        loops.into_iter().for_each(|one| vitals.adopt("the admin listener", one));
        tracker
    }

    async fn queue(&self) -> (QueueReadings, ProcessReadings) {
        let (spool, settings) = (&self.listening.spool, &self.listening.settings);
        let (data_dir, since) = (self.reloader.data_dir(), self.since);
        let system = move || (guard::disk(&data_dir).ok(), process::read(since));
        let system = tokio::task::spawn_blocking(system).await;
        let (disk, process) = system.unwrap_or_else(|_| (None, ProcessReadings::default()));
        let queue = QueueReadings {
            stats: spool.stats().await.ok(),
            oldest: spool.oldest().await.ok().flatten(),
            messages_max: settings.reserve.queued_max,
            extent: spool.extent().await.unwrap_or_default(),
            disk_free: disk.map(|(octets, _)| octets),
            disk_reserve: settings.reserve.free_disk,
            fullness: self.listening.room.fullness(),
        };
        (queue, process)
    }

    async fn readings(&self) -> Readings {
        // One page at a time: however many ask, the daemon has work to do.
        let mut paced = self.lanes.lock().await;
        let lanes = paced.read(&self.scheduler, &*self.listening.spool).await;
        let (queue, process) = self.queue().await;
        let (now, table) = (Clock::wall(), self.listening.live.table());
        let (in_use, alarms) = (self.reloader.in_use.load(), self.reloader.alarms.list());
        let count = |kind: AlarmKind| alarms.iter().filter(|alarm| alarm.kind == kind).count();
        let counted = |kind: AlarmKind| (kind.word(), u64::try_from(count(kind)).unwrap_or(u64::MAX));
        let connections_max = self.listening.settings.limits.connections_max;
        Readings {
            now,
            refusals: self.listening.seen.refusals.list(),
            sessions: (self.listening.open.list(), u64::try_from(connections_max).unwrap_or(u64::MAX)),
            queue,
            lanes,
            paused: self.scheduler.paused(),
            overrides: self.reloader.overrides().list(),
            braked: self.listening.brakes.braked(&table),
            alarms: AlarmKind::ALL.into_iter().map(counted).collect(),
            certificates: ends::certificates(&in_use.identities, &in_use.staged),
            anchors: ends::anchors(&in_use.trust),
            lists: ends::lists(&in_use.trust, now),
            pins: ends::pins(&table, now),
            presented: self.listening.seen.partners.next_expiry(now),
            reload_successful: count(AlarmKind::Reload) == 0,
            dropped_lines: self.vitals.dropped_log_lines(),
            dropped_records: self.recorder.as_ref().map_or(0, |recorder| recorder.dropped().all),
            process,
            table,
        }
    }
}

impl MonitoringSource for Monitor {
    fn page(self: Arc<Self>, format: PageFormat) -> Pin<Box<dyn Future<Output = String> + Send>> {
        Box::pin(async move {
            let (readings, metrics) = (self.readings().await, Arc::clone(&self.metrics));
            // With a thousand connectors there are some ten thousand lines.
            let write = move || metrics.page(&readings, format);
            tokio::task::spawn_blocking(write).await.unwrap_or_default()
        })
    }

    fn health(self: Arc<Self>) -> Pin<Box<dyn Future<Output = Result<(), &'static str>> + Send>> {
        Box::pin(async move {
            if self.vitals.is_stopping() {
                return Err("stopping");
            }
            self.listening.spool.stats().await.map(drop).map_err(|_| "the spool has failed")
        })
    }

    fn refused(&self) {
        self.metrics.refuse_request();
    }

    fn limited(&self) {
        self.metrics.limit_request();
    }

    fn crowded(&self) {
        self.metrics.close_connection();
    }
}

/// How many times as long as reading them took the lanes are not read again.
const PACE: u32 = 100;
/// Recipients of a connector that are counted: a few milliseconds of the thread for long listings.
const WAITING_MAX: usize = 10_000;
