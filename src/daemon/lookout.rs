//! Looks at partners' hosts while no mail goes there, by the code that delivers, and reports what changes. When and
//! what, `lookout` decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::prove::{BEHIND, TrialWays, enforced, trial_courier, within};
use super::reload::Reloader;
use super::setups;
use crate::admin::{LookAnswer, Watchman};
use crate::config::{Config, unknown_name};
use crate::connector::{Generation, LiveTable, Partner};
use crate::deliver::settings::Settings as Delivering;
use crate::deliver::{Courier, HostReport, RecipientReply, Trial, TrialHost, WaitList};
use crate::lookout::settings::Settings;
use crate::lookout::{
    LookHost, LookResult, LookRules, LookStep, LookTarget, Sight, TargetRecord, WatchFault, WatchPlan,
    WatchStore, WatchedWay, watched_ways,
};
use crate::mail::{Clock, ReversePath, UnixMillis};
use crate::resolver::dns::Dns;
use crate::scheduler::{Scheduler, Way};
use crate::tracking::{Event, Journal};

/// Who looks at partners, as the control socket sees them.
pub(super) struct Lookout {
    asks: mpsc::Sender<Ask>,
}

/// What an operator wants looked at.
struct Ask {
    connector: Option<String>,
    done: oneshot::Sender<Result<usize, String>>,
}

/// What looking needs of the daemon.
pub(super) struct LookoutParts {
    pub(super) reloader: Arc<Reloader>,
    pub(super) live: Arc<LiveTable>,
    pub(super) scheduler: Arc<Scheduler>,
    pub(super) journal: Arc<Journal>,
    pub(super) dns: Dns,
    /// Our own listeners, which are never looked at.
    pub(super) ourselves: Vec<std::net::SocketAddr>,
}

impl Lookout {
    /// The asking side, and the side that looks until `stop`.
    pub(super) fn new(parts: LookoutParts) -> (Arc<Self>, LookoutLoop) {
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        (Arc::new(Self { asks }), LookoutLoop::new(parts, asked))
    }
}

impl Watchman for Lookout {
    fn look_now(self: Arc<Self>, connector: Option<String>) -> LookAnswer {
        Box::pin(async move {
            let (done, answer) = oneshot::channel();
            let gone = || "the daemon is stopping".to_owned();
            self.asks.send(Ask { connector, done }).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        })
    }
}

/// Keeps the schedule.
pub(super) struct LookoutLoop {
    parts: LookoutParts,
    asked: mpsc::Receiver<Ask>,
    plan: WatchPlan,
    /// What is watched under the configuration in effect.
    watched: Option<WatchScope>,
    store: Option<Arc<Mutex<WatchStore>>>,
    running: JoinSet<StepEnd>,
    looks: BTreeMap<u64, OpenTarget>,
    waiting: Vec<OpenAsk>,
    /// The table that the plan was made for.
    known: Generation,
    prune_at: UnixMillis,
    /// Whether the last attempt to use the database failed.
    is_broken: bool,
}

/// What is watched, and in what.
struct WatchScope {
    settings: Settings,
    config: Arc<Config>,
    ways: BTreeMap<LookTarget, WatchedWay>,
    trial: Arc<TrialWays>,
}

/// A look under way.
struct OpenTarget {
    target: LookTarget,
    partner: Option<Arc<Partner>>,
    look: Option<Arc<RunningLook>>,
    result: LookResult,
}

/// What the connections of one look share.
struct RunningLook {
    courier: Arc<Courier>,
    trial: Trial,
    hosts: Vec<TrialHost>,
}

/// A step that is over.
enum StepEnd {
    Found(u64, Box<FoundHosts>),
    Tried(u64, usize, Box<(LookHost, Sight)>),
    /// It is kept, or not, what a look saw.
    Kept(u64, LookTarget, bool),
}

/// What there is to try, or why nothing.
struct FoundHosts {
    look: Option<RunningLook>,
    result: LookResult,
}

/// Who waits for looks.
struct OpenAsk {
    /// Looks from this number on count.
    from: u64,
    left: BTreeSet<LookTarget>,
    count: usize,
    done: oneshot::Sender<Result<usize, String>>,
}

impl LookoutLoop {
    fn new(parts: LookoutParts, asked: mpsc::Receiver<Ask>) -> Self {
        Self {
            parts,
            asked,
            plan: WatchPlan::new(Duration::from_secs(1), 1),
            watched: None,
            store: None,
            running: JoinSet::new(),
            looks: BTreeMap::new(),
            waiting: Vec::new(),
            known: Generation(0),
            prune_at: UnixMillis::default(),
            is_broken: false,
        }
    }

    /// Looks at what is due until `stop`.
    pub(super) async fn keep(mut self, stop: CancellationToken) {
        let live = Arc::clone(&self.parts.live);
        loop {
            // Registered before the generation is read, so that no reload is missed.
            let replaced = live.replaced();
            if live.generation() != self.known {
                self.settle(live.generation()).await;
            }
            let until = self.begin().await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = replaced => {}
                Some(done) = self.running.join_next() => {
                    if let Ok(done) = done {
                        self.ended(done).await;
                    }
                }
                Some(ask) = self.asked.recv() => self.ask(ask),
                () = tokio::time::sleep(until) => {}
            }
        }
    }

    /// Fits the plan to the configuration in effect. Overrides lower what mail needs for a time, and not what is looked for.
    async fn settle(&mut self, generation: Generation) {
        self.known = generation;
        let config = self.parts.reloader.base();
        let settings = config.watch.clone();
        if !settings.on {
            self.watched = None;
            self.plan.settle((settings.every, settings.at_once_max), &BTreeMap::new(), Clock::wall());
            return;
        }
        let last = self.last_looks().await;
        let made = tokio::task::spawn_blocking(move || {
            let table = config.table(Generation(1));
            let (ways, left_out) = watched_ways(&settings, &table);
            (settings, config, ways, left_out, table)
        });
        let Ok((settings, config, ways, left_out, table)) = made.await else { return };
        for (connector, domains) in left_out {
            tracing::warn!(%connector, domains, "some of its domains are not watched: it names too many");
        }
        let ways: BTreeMap<_, _> = ways.into_iter().map(|way| (way.target.clone(), way)).collect();
        let targets = ways.keys().map(|target| (target.clone(), last.get(target).copied())).collect();
        self.plan.settle((settings.every, settings.at_once_max), &targets, Clock::wall());
        let trial = TrialWays {
            live: Arc::new(LiveTable::new(table)),
            dns: self.parts.dns.clone(),
            ourselves: self.parts.ourselves.clone(),
        };
        self.watched = Some(WatchScope { settings, config, ways, trial: Arc::new(trial) });
    }

    /// When each target was looked at last. Without the database everything is new.
    async fn last_looks(&mut self) -> BTreeMap<LookTarget, UnixMillis> {
        if self.store.is_none() {
            let data_dir = self.parts.reloader.base().data_dir.clone();
            let opened = tokio::task::spawn_blocking(move || WatchStore::open(&data_dir)).await;
            self.store =
                opened.ok().and_then(|opened| self.sound(opened)).map(|one| Arc::new(Mutex::new(one)));
        }
        let Some(store) = self.store.clone() else { return BTreeMap::new() };
        let read = tokio::task::spawn_blocking(move || lock(&store).last_looks()).await;
        read.ok().and_then(|read| self.sound(read)).unwrap_or_default()
    }

    /// Reports the first of several faults of the database in a row.
    fn sound<T>(&mut self, result: Result<T, WatchFault>) -> Option<T> {
        match result {
            Ok(value) => {
                self.is_broken = false;
                Some(value)
            }
            Err(fault) => {
                if !std::mem::replace(&mut self.is_broken, true) {
                    tracing::error!(%fault, "what was seen of partners can't be kept or read");
                }
                None
            }
        }
    }

    /// Begins what may begin now, and says how long nothing else is due.
    async fn begin(&mut self) -> Duration {
        let Some(watched) = &self.watched else { return REST };
        // Mail needs the connections more.
        if self.parts.scheduler.is_crowded() {
            return CROWDED;
        }
        let now = Clock::wall();
        while let Some(step) = self.plan.next(now) {
            match step {
                LookStep::Find { look, target } => {
                    let Some(way) = watched.ways.get(&target) else {
                        self.plan.found(look, &[]);
                        self.plan.end(look, now, (false, false));
                        continue;
                    };
                    let partner = way.connector.partner.clone();
                    let result = LookResult::Lost(String::new());
                    self.looks.insert(look, OpenTarget { target, partner, look: None, result });
                    let (way, config, trial) =
                        (way.clone(), Arc::clone(&watched.config), Arc::clone(&watched.trial));
                    self.running.spawn(async move {
                        StepEnd::Found(look, Box::new(find(&way, &config, &trial).await))
                    });
                }
                LookStep::Try { look, number } => {
                    let running = self.looks.get(&look).and_then(|open| open.look.clone());
                    let Some(running) = running else { continue };
                    self.running.spawn(async move {
                        StepEnd::Tried(look, number, Box::new(running.try_host(number).await))
                    });
                }
            }
        }
        if self.prune_at <= now {
            self.prune_at = now.plus(PRUNE_EVERY);
            self.prune(now).await;
        }
        self.plan.next_due().map_or(REST, |due| due.since(Clock::wall()).clamp(LEAST, REST))
    }

    async fn prune(&mut self, now: UnixMillis) {
        if self.store.is_none() {
            // It may work by now.
            self.last_looks().await;
        }
        let (Some(store), Some(watched)) = (self.store.clone(), &self.watched) else { return };
        let known: BTreeSet<LookTarget> = watched.ways.keys().cloned().collect();
        let before = now.before(watched.settings.keep);
        let prune = move || lock(&store).prune(before, |target| known.contains(target));
        if let Ok(done) = tokio::task::spawn_blocking(prune).await {
            let _done = self.sound(done);
        }
    }

    async fn ended(&mut self, done: StepEnd) {
        match done {
            StepEnd::Found(look, found) => {
                let Some(open) = self.looks.get_mut(&look) else { return };
                let FoundHosts { look: running, result } = *found;
                open.result = result;
                open.look = running.map(Arc::new);
                let hosts = open.look.iter().flat_map(|running| &running.hosts);
                let addresses: Vec<_> = hosts.map(|host| host.address().ip()).collect();
                if self.plan.found(look, &addresses) {
                    self.conclude(look);
                }
            }
            StepEnd::Tried(look, number, seen) => {
                if let Some(open) = self.looks.get_mut(&look)
                    && let LookResult::Hosts(all, _) = &mut open.result
                {
                    all.push(*seen);
                }
                if self.plan.tried(look, number) {
                    self.conclude(look);
                }
            }
            StepEnd::Kept(look, target, unsure) => {
                let wanted = self.watched.as_ref().is_some_and(|watched| watched.ways.contains_key(&target));
                self.plan.end(look, Clock::wall(), (unsure, wanted));
                self.answer(look, &target);
            }
        }
    }

    /// All of a target was looked at: what changed is kept, and then reported.
    fn conclude(&mut self, look: u64) {
        let Some(OpenTarget { target, partner, result, .. }) = self.looks.remove(&look) else { return };
        let every = self.watched.as_ref().map_or(Duration::ZERO, |watched| watched.settings.every);
        let rules = LookRules { turns: every.saturating_mul(4).max(DAY), addresses: DAY.saturating_mul(30) };
        let (store, journal) = (self.store.clone(), Arc::clone(&self.parts.journal));
        // What a configuration says that is no longer in effect is no change of the partner.
        let is_current = self.watched.as_ref().is_some_and(|watched| watched.ways.contains_key(&target));
        self.running.spawn_blocking(move || {
            let kept =
                is_current.then(|| keep((&target, partner.as_deref()), result, (store, &journal), rules));
            StepEnd::Kept(look, target, kept.unwrap_or_default())
        });
    }

    fn ask(&mut self, Ask { connector, done }: Ask) {
        let Some(watched) = &self.watched else {
            let words = "nothing is watched: write mode = \"on\" in [watch], and reload";
            let _gone = done.send(Err(words.to_owned()));
            return;
        };
        let chosen = |target: &LookTarget| connector.as_deref().is_none_or(|name| name == &*target.connector);
        let left: BTreeSet<LookTarget> =
            watched.ways.keys().filter(|target| chosen(target)).cloned().collect();
        if left.is_empty() {
            let known: BTreeSet<&str> = watched.ways.keys().map(|target| &*target.connector).collect();
            let known: Vec<&str> = known.into_iter().collect();
            let name = connector.unwrap_or_default();
            let _gone = done.send(Err(unknown_name("watched outbound connector", &name, &known)));
            return;
        }
        self.plan.hasten(|target| left.contains(target), Clock::wall());
        self.waiting.push(OpenAsk { from: self.plan.next_look(), count: left.len(), left, done });
    }

    /// A look is over: whoever waited for it gets an answer once it was the last one.
    fn answer(&mut self, look: u64, target: &LookTarget) {
        let mut again = false;
        for ask in &mut self.waiting {
            if look >= ask.from {
                ask.left.remove(target);
            } else {
                again |= ask.left.contains(target);
            }
        }
        if again {
            self.plan.hasten(|one| one == target, Clock::wall());
        }
        for ask in self.waiting.extract_if(.., |ask| ask.left.is_empty()) {
            let _gone = ask.done.send(Ok(ask.count));
        }
    }
}

/// Keeps what a look saw and reports what changed; whether it may be over in a moment. What can't be kept is reported all
/// the same, and again at the next look.
fn keep(
    (target, partner): (&LookTarget, Option<&Partner>),
    result: LookResult,
    (store, journal): (Option<Arc<Mutex<WatchStore>>>, &Journal),
    rules: LookRules,
) -> bool {
    let Some(store) = store else { return false };
    let mut store = lock(&store);
    let complain = |fault: WatchFault| tracing::warn!(%fault, "what was seen of a partner can't be kept");
    let before = store.record(target).unwrap_or_else(|fault| {
        complain(fault);
        None
    });
    let (record, changes) = TargetRecord::after(before, result, Clock::wall(), rules);
    let name = partner.map(|partner| &*partner.name);
    if let Err(fault) = store.keep(target, name, &record, &changes) {
        complain(fault);
    }
    let domain = target.domain.as_ref().map(|domain| domain.as_str());
    for one in &changes {
        let (connector, host) = (&*target.connector, one.host.to_string());
        journal.record(&Event::PartnerChanged {
            connector,
            partner,
            domain,
            host: &host,
            change: &one.change,
        });
    }
    record.is_unsure()
}

/// The addresses of a target, and who tries them.
async fn find(way: &WatchedWay, config: &Config, ways: &TrialWays) -> FoundHosts {
    let nothing = |why: String| FoundHosts { look: None, result: LookResult::Lost(why) };
    let connector = enforced(&way.connector);
    let delivering = Delivering {
        timeouts: within(LOOK_LIMIT),
        addresses_max: config.deliver.addresses_max.max(ADDRESSES_MAX),
        ..config.deliver.clone()
    };
    let tls = setups::client_settings(config, &connector);
    let courier = match trial_courier(&connector, tls, delivering, ways) {
        Ok(courier) => courier,
        Err(fault) => return nothing(fault.to_string()),
    };
    let postmaster = config.listen.postmaster.clone();
    let envelope = way.recipient.clone().map(|to| (ReversePath::new(postmaster), to));
    let to = Way { connector: Arc::new(connector), domain: way.domain.clone(), literal: None };
    let limit = LOOK_LIMIT.saturating_add(BEHIND);
    let trial = Trial { way: to, envelope, limit, waits: WaitList::default() };
    match courier.trial_hosts(&trial).await {
        Err(trouble) => nothing(trouble.reason),
        Ok(found) => {
            let missing = found.missing.iter().map(|one| {
                let key = LookHost { name: one.host.clone(), address: String::new() };
                (key, Sight::failed(Clock::wall(), &one.reason))
            });
            let result = LookResult::Hosts(missing.collect(), found.left);
            FoundHosts { look: Some(RunningLook { courier, trial, hosts: found.list }), result }
        }
    }
}

impl RunningLook {
    async fn try_host(&self, number: usize) -> (LookHost, Sight) {
        let Some(host) = self.hosts.get(number) else {
            return (LookHost::all(), Sight::failed(Clock::wall(), ""));
        };
        let name = host.name().map_or_else(String::new, |name| name.as_str().to_owned());
        let key = LookHost { name, address: host.address().to_string() };
        let seen = self.courier.try_host(&self.trial, host).await;
        (key, sight(&seen))
    }
}

fn sight(seen: &HostReport) -> Sight {
    let recipient = seen.recipient.as_ref().map(|reply| match reply {
        RecipientReply::Taken => None,
        RecipientReply::Refused(reply) => Some(reply),
    });
    Sight::of(Clock::wall(), (seen.ok, &seen.reason), seen.decision.as_deref(), recipient)
}

fn lock(store: &Mutex<WatchStore>) -> std::sync::MutexGuard<'_, WatchStore> {
    // A transaction that a panic interrupted was rolled back.
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long each step with an address may take.
const LOOK_LIMIT: Duration = Duration::from_secs(20);
/// Addresses of one target that are looked at.
const ADDRESSES_MAX: usize = 32;
/// Operators who may wait to be heard.
const ASKS_MAX: usize = 16;
/// The wall clock is looked at that often: it may step.
const REST: Duration = Duration::from_secs(60);
const LEAST: Duration = Duration::from_millis(100);
/// How long nothing begins once mail waits for connections.
const CROWDED: Duration = Duration::from_secs(5);
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
