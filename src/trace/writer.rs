//! The thread that writes events: in batches, one commit each. It never makes anyone wait, and what it can't write is
//! counted.

use std::io;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::aside::{is_damage, set_aside};
use super::ledger::keep_stamps;
use super::record::NewEvent;
use super::recorder::{EventBatch, EventRecorder};
use super::schema::{self, STORE_FILE, TraceFault};
use super::stamps::StampDesk;
use super::store::Store;
use super::sums::{BatchSums, DoorSums};
use crate::mail::Clock;
use crate::seal::SealSettings;
use crate::tracking::TrackingSettings;

/// The store of events, with the thread that writes it.
pub struct TraceStore {
    recorder: EventRecorder,
    stamps: StampDesk,
    thread: Option<JoinHandle<()>>,
}

impl TraceStore {
    /// Opens the store in `data_dir` and starts its thread. A store that is damaged is set aside, and a new one begun.
    /// `free_bytes` must stay free on the disk, or only what happens to accepted mail is written. Without `seal` the record
    /// is not sealed.
    ///
    /// # Errors
    /// The thread can't be started.
    pub fn start(
        data_dir: &Path,
        settings: TrackingSettings,
        seal: Option<SealSettings>,
        free_bytes: u64,
    ) -> io::Result<Self> {
        let (recorder, stamps) = (EventRecorder::default(), StampDesk::default());
        let mut writer = TraceWriter {
            path: data_dir.join(STORE_FILE),
            settings,
            seal,
            stamps: stamps.clone(),
            free_bytes,
            recorder: recorder.clone(),
            store: None,
            kept: Vec::new(),
            door: DoorSums::default(),
            pruned: None,
            is_behind: false,
            seal_failed: None,
        };
        let thread = thread::Builder::new().name("tracking".to_owned()).spawn(move || writer.run())?;
        Ok(Self { recorder, stamps, thread: Some(thread) })
    }

    /// Where events are handed in.
    #[must_use]
    pub fn recorder(&self) -> EventRecorder {
        self.recorder.clone()
    }

    /// Where statements wait for time stamps.
    #[must_use]
    pub fn stamps(&self) -> StampDesk {
        self.stamps.clone()
    }

    /// Writes what waits, and ends. Waits at most `patience`.
    pub fn stop(mut self, patience: Duration) {
        self.recorder.end();
        let until = Instant::now().checked_add(patience);
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() {
            if until.is_none_or(|until| Instant::now() >= until) {
                tracing::warn!("the tracking store did not end in time; its last second may be missing");
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        if thread.join().is_err() {
            tracing::warn!("the tracking store has ended before the relay did");
        }
    }
}

struct TraceWriter {
    path: PathBuf,
    settings: TrackingSettings,
    seal: Option<SealSettings>,
    stamps: StampDesk,
    free_bytes: u64,
    recorder: EventRecorder,
    store: Option<Store>,
    /// What happened to accepted mail and could not be written yet.
    kept: Vec<NewEvent>,
    /// Refusals that are only counted, and could not be written yet.
    door: DoorSums,
    pruned: Option<Instant>,
    /// There is more to prune.
    is_behind: bool,
    /// When the record could not be sealed.
    seal_failed: Option<Instant>,
}

/// Marks the store as failing, however the thread ends.
struct EndGuard(EventRecorder);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.set_failing(true);
    }
}

impl TraceWriter {
    fn run(&mut self) {
        let _end = EndGuard(self.recorder.clone());
        self.open();
        // What a crash has left unstated, and a day that ended meanwhile.
        self.seal(false);
        loop {
            let idle = match (self.kept.is_empty() && self.door.is_empty(), self.is_behind) {
                (false, _) => RETRY,
                (true, true) => PAUSE,
                (true, false) => IDLE,
            };
            let Some(batch) = self.recorder.take(idle) else { break };
            let is_idle = batch.is_empty() && self.kept.is_empty() && self.door.is_empty();
            if !is_idle {
                self.write(batch);
            }
            self.seal(false);
            self.look_after(is_idle);
        }
        if !self.kept.is_empty() || !self.door.is_empty() {
            self.write(EventBatch::default());
            self.recorder.drop_events(&self.kept);
        }
        self.seal(true);
    }

    /// States what the store holds, where that is due. What can't be stated now is stated later: the hashes are there.
    fn seal(&mut self, is_end: bool) {
        let (Some(settings), Some(store)) = (&self.seal, &mut self.store) else { return };
        if self.seal_failed.is_some_and(|at| at.elapsed() < SEAL_RETRY && !is_end) {
            return;
        }
        let (now, folder) = (Clock::wall(), self.path.parent().unwrap_or(&self.path));
        let stamps = self.stamps.take_made();
        if let Err(fault) = keep_stamps(&store.connection, &stamps) {
            tracing::warn!(%fault, "time stamps of statements can't be kept; they are asked for again after a restart");
        }
        if store.ledger.is_some() && !store.is_seal_due(now, is_end) {
            return;
        }
        let mut done = store.open_ledger((settings, &self.stamps), folder, now);
        if done.is_ok() {
            done = store.seal(now, self.recorder.dropped().facts, is_end);
        }
        self.recorder.set_unsealed(done.is_err());
        match done {
            Ok(()) => {
                if self.seal_failed.take().is_some() {
                    tracing::info!("the record of events is sealed again");
                }
            }
            Err(fault) => {
                if self.seal_failed.replace(Instant::now()).is_none() {
                    tracing::error!(%fault, "the record of events can't be sealed; its hashes are kept, and this is tried again");
                }
            }
        }
    }

    /// Opens the store. One that can't be used is set aside: the events of today are worth more than those that can't be
    /// read any more.
    fn open(&mut self) {
        if self.store.is_some() {
            return;
        }
        let opened = Store::open(&self.path, self.seal.is_some()).or_else(|fault| {
            if is_lasting(&fault) {
                self.set_aside(&fault);
                return Store::open(&self.path, self.seal.is_some());
            }
            Err(fault)
        });
        match opened {
            Ok(store) => self.store = Some(store),
            Err(fault) if !self.recorder.is_failing() => {
                tracing::error!(%fault, "the tracking store can't be opened; events are kept in memory meanwhile");
            }
            Err(_) => {}
        }
    }

    fn set_aside(&self, fault: &TraceFault) {
        match set_aside(&self.path) {
            Ok(aside) => {
                tracing::error!(%fault, aside = %aside.display(), "the tracking store can't be used: it is set aside, and a new one is begun");
            }
            Err(why) => {
                tracing::error!(%fault, %why, "the tracking store can't be used, and not be set aside")
            }
        }
    }

    fn write(&mut self, batch: EventBatch) {
        self.notice_loss();
        self.open();
        let mut events = std::mem::take(&mut self.kept);
        events.extend(batch.events);
        self.door.add(batch.door);
        let free = room(&self.path);
        if free < self.free_bytes {
            let (facts, others): (Vec<_>, Vec<_>) =
                events.into_iter().partition(|event| event.kind.is_fact());
            self.recorder.drop_events(&others);
            events = facts;
        }
        let mut sums = BatchSums::default();
        sums.add_door(&self.door);
        let Some(store) = &mut self.store else { return self.keep(events) };
        match store.write(&events, sums) {
            Ok(()) => {
                self.door = DoorSums::default();
                self.recorder.set_failing(false);
            }
            Err(error) => {
                store.forget();
                if !self.recorder.is_failing() {
                    tracing::error!(fault = %error, "events can't be written to the tracking store; they are kept in memory meanwhile");
                }
                if is_damage(&error) {
                    self.store = None;
                    self.set_aside(&TraceFault::Database(self.path.clone(), error));
                }
                self.keep(events);
            }
        }
    }

    /// Whether the file that is open is still the one at its place. One that was removed or replaced would take what is
    /// written with it.
    fn notice_loss(&mut self) {
        let Some(store) = &self.store else { return };
        if schema::identity(&self.path) != store.identity {
            tracing::error!(path = %self.path.display(), "the tracking store was removed or replaced while it was written: a new one is begun, or the other one is used");
            self.store = None;
        }
    }

    /// Keeps what can't be written now, up to a number.
    fn keep(&mut self, events: Vec<NewEvent>) {
        self.recorder.set_failing(true);
        let (mut facts, others): (Vec<_>, Vec<_>) =
            events.into_iter().partition(|event| event.kind.is_fact());
        self.recorder.drop_events(&others);
        if facts.len() > KEPT_MAX {
            self.recorder.drop_events(facts.get(KEPT_MAX..).unwrap_or_default());
            facts.truncate(KEPT_MAX);
        }
        self.kept = facts;
    }

    /// Removes what is too old or too much, one part at a time, and gives its space back.
    fn look_after(&mut self, idle: bool) {
        let pause = if idle { PRUNE_IDLE } else { PRUNE_BUSY };
        if self.pruned.is_some_and(|at| at.elapsed() < pause) {
            return;
        }
        let Some(store) = &mut self.store else { return };
        let done = store.prune(self.settings, Clock::wall());
        match done {
            Ok(more) => {
                self.is_behind = more;
                self.pruned = if more { None } else { Some(Instant::now()) };
            }
            Err(error) => {
                (self.is_behind, self.pruned) = (false, Some(Instant::now()));
                tracing::warn!(fault = %error, "the tracking store can't be pruned");
            }
        }
    }
}

/// Octets left on the disk; without an answer there is room.
fn room(path: &Path) -> u64 {
    let folder = path.parent().unwrap_or(path);
    rustix::fs::statvfs(folder).map_or(u64::MAX, |found| found.f_bavail.saturating_mul(found.f_frsize))
}

fn is_lasting(fault: &TraceFault) -> bool {
    matches!(fault, TraceFault::Newer(..))
        || matches!(fault, TraceFault::Database(_, error) if is_damage(error))
}

/// Facts that are kept in memory while the store can't be written.
const KEPT_MAX: usize = 65_536;
/// How often the size and the age are looked at while nothing, or something, is written.
const PRUNE_IDLE: Duration = Duration::from_secs(60);
const PRUNE_BUSY: Duration = Duration::from_secs(120);
/// How long nothing may come before the store is looked after.
const IDLE: Duration = Duration::from_secs(60);
/// How long until what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long until the record is sealed again after that has failed.
const SEAL_RETRY: Duration = Duration::from_secs(60);
/// How long nothing may come before the next step of pruning.
const PAUSE: Duration = Duration::from_millis(50);
