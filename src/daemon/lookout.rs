//! Looks at partners' hosts while no mail goes there, by the code that delivers, and reports what changes. When and
//! what, `lookout` decides.

mod memory;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use self::memory::LookMemory;
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
    HostChange, LookHost, LookResult, LookRules, LookStep, LookTarget, Sight, WatchPlan, WatchedWay,
    watched_ways,
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
    memory: Arc<LookMemory>,
    running: JoinSet<StepEnd>,
    /// What each task of `running` does, so that one that panics gives its place back.
    under_way: HashMap<Id, RunningStep>,
    looks: BTreeMap<u64, OpenTarget>,
    waiting: Vec<OpenAsk>,
    /// The table that the plan was made for.
    known: Generation,
    prune_at: UnixMillis,
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
    /// What it saw; `None` if a step of it was lost, so that it says nothing.
    result: Option<LookResult>,
}

/// What the connections of one look share.
struct RunningLook {
    courier: Arc<Courier>,
    trial: Trial,
    hosts: Vec<TrialHost>,
}

/// A step under way.
enum RunningStep {
    Find(u64),
    Try(u64, usize),
    Keep(u64, LookTarget),
}

/// A step that is over. What it found is `None` if it was lost: it panicked.
enum StepEnd {
    Found(u64, Option<Box<FoundHosts>>),
    Tried(u64, usize, Option<Box<(LookHost, Sight)>>),
    /// What a look saw is kept, or not; whether it may be over in a moment.
    Kept(u64, LookTarget, bool),
}

/// What there is to try, or why nothing.
struct FoundHosts {
    look: Option<RunningLook>,
    result: LookResult,
}

impl RunningStep {
    fn lost(self) -> StepEnd {
        match self {
            Self::Find(look) => StepEnd::Found(look, None),
            Self::Try(look, number) => StepEnd::Tried(look, number, None),
            Self::Keep(look, target) => StepEnd::Kept(look, target, false),
        }
    }
}

/// Who waits for looks.
struct OpenAsk {
    /// Looks from this number on count.
    from: u64,
    left: BTreeSet<LookTarget>,
    looked_at: usize,
    done: oneshot::Sender<Result<usize, String>>,
}

impl LookoutLoop {
    fn new(parts: LookoutParts, asked: mpsc::Receiver<Ask>) -> Self {
        let memory = Arc::new(LookMemory::new(parts.reloader.base().data_dir.clone()));
        Self {
            parts,
            asked,
            plan: WatchPlan::new(Duration::from_secs(1), 1),
            watched: None,
            memory,
            running: JoinSet::new(),
            under_way: HashMap::new(),
            looks: BTreeMap::new(),
            waiting: Vec::new(),
            known: Generation(0),
            prune_at: UnixMillis::default(),
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
                Some(done) = self.running.join_next_with_id() => self.ended(done),
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
            self.let_go();
            return;
        }
        let memory = Arc::clone(&self.memory);
        let last = tokio::task::spawn_blocking(move || memory.last_looks()).await.unwrap_or_default();
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
        self.let_go();
    }

    /// Forgets the looks at what is not watched any more, and waits for none of them.
    fn let_go(&mut self) {
        self.looks.retain(|look, _| self.plan.is_open(*look));
        let watched = self.watched.as_ref();
        for ask in &mut self.waiting {
            ask.left.retain(|target| watched.is_some_and(|watched| watched.ways.contains_key(target)));
        }
        for ask in self.waiting.extract_if(.., |ask| ask.left.is_empty()) {
            let answer = if ask.looked_at > 0 { Ok(ask.looked_at) } else { Err(LET_GO.to_owned()) };
            let _gone = ask.done.send(answer);
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
                        self.plan.end(look, now, false);
                        continue;
                    };
                    let partner = way.connector.partner.clone();
                    self.looks.insert(look, OpenTarget { target, partner, look: None, result: None });
                    let (way, config, trial) =
                        (way.clone(), Arc::clone(&watched.config), Arc::clone(&watched.trial));
                    let task = self.running.spawn(async move {
                        StepEnd::Found(look, Some(Box::new(find(&way, &config, &trial).await)))
                    });
                    self.under_way.insert(task.id(), RunningStep::Find(look));
                }
                LookStep::Try { look, number } => {
                    let running = self.looks.get(&look).and_then(|open| open.look.clone());
                    let task = self.running.spawn(async move {
                        let seen = match running {
                            Some(running) => Some(Box::new(running.try_host(number).await)),
                            None => None,
                        };
                        StepEnd::Tried(look, number, seen)
                    });
                    self.under_way.insert(task.id(), RunningStep::Try(look, number));
                }
            }
        }
        if self.prune_at <= now {
            self.prune_at = now.plus(PRUNE_EVERY);
            self.prune(now).await;
        }
        self.plan.next_due().map_or(REST, |due| due.since(Clock::wall()).clamp(LEAST, REST))
    }

    async fn prune(&self, now: UnixMillis) {
        let Some(watched) = &self.watched else { return };
        let known: BTreeSet<LookTarget> = watched.ways.keys().cloned().collect();
        let (memory, before) = (Arc::clone(&self.memory), now.before(watched.settings.keep));
        let _done = tokio::task::spawn_blocking(move || memory.prune(before, &known)).await;
    }

    fn ended(&mut self, done: Result<(Id, StepEnd), JoinError>) {
        let done = match done {
            Ok((id, done)) => {
                self.under_way.remove(&id);
                done
            }
            Err(fault) => {
                tracing::error!(%fault, "a step of a look at a partner was lost");
                let Some(step) = self.under_way.remove(&fault.id()) else { return };
                step.lost()
            }
        };
        match done {
            StepEnd::Found(look, found) => {
                let mut addresses = Vec::new();
                if let (Some(open), Some(found)) = (self.looks.get_mut(&look), found) {
                    let FoundHosts { look: running, result } = *found;
                    open.result = Some(result);
                    open.look = running.map(Arc::new);
                    let hosts = open.look.iter().flat_map(|running| &running.hosts);
                    addresses.extend(hosts.map(|host| host.address().ip()));
                }
                if self.plan.found(look, &addresses) {
                    self.conclude(look);
                }
            }
            StepEnd::Tried(look, number, seen) => {
                if let Some(open) = self.looks.get_mut(&look) {
                    match (&mut open.result, seen) {
                        (Some(LookResult::Hosts(all, _)), Some(seen)) => all.push(*seen),
                        (result, _) => *result = None,
                    }
                }
                if self.plan.tried(look, number) {
                    self.conclude(look);
                }
            }
            StepEnd::Kept(look, target, unsure) => {
                self.plan.end(look, Clock::wall(), unsure);
                self.answer(look, &target);
            }
        }
    }

    /// All of a target was looked at: what changed is kept, and then reported.
    fn conclude(&mut self, look: u64) {
        // What a configuration says that is no longer in effect is no change of the partner: that look is gone.
        let Some(OpenTarget { target, partner, result, .. }) = self.looks.remove(&look) else { return };
        let every = self.watched.as_ref().map_or(Duration::ZERO, |watched| watched.settings.every);
        let rules = LookRules { turns: every.saturating_mul(4).max(DAY), addresses: DAY.saturating_mul(30) };
        let (memory, journal) = (Arc::clone(&self.memory), Arc::clone(&self.parts.journal));
        let of = target.clone();
        let task = self.running.spawn_blocking(move || {
            let unsure = result.is_some_and(|result| {
                let name = partner.as_deref().map(|partner| &*partner.name);
                let (changes, unsure) = memory.keep((&target, name), result, rules);
                tell(&journal, (&target, partner.as_deref()), &changes);
                unsure
            });
            StepEnd::Kept(look, target, unsure)
        });
        self.under_way.insert(task.id(), RunningStep::Keep(look, of));
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
        self.waiting.push(OpenAsk { from: self.plan.next_look(), looked_at: 0, left, done });
    }

    /// A look is over: whoever waited for it gets an answer once it was the last one.
    fn answer(&mut self, look: u64, target: &LookTarget) {
        let mut again = false;
        for ask in &mut self.waiting {
            if look >= ask.from {
                ask.looked_at = ask.looked_at.saturating_add(usize::from(ask.left.remove(target)));
            } else {
                again |= ask.left.contains(target);
            }
        }
        if again {
            self.plan.hasten(|one| one == target, Clock::wall());
        }
        for ask in self.waiting.extract_if(.., |ask| ask.left.is_empty()) {
            let _gone = ask.done.send(Ok(ask.looked_at));
        }
    }
}

/// Reports what changed.
fn tell(journal: &Journal, (target, partner): (&LookTarget, Option<&Partner>), changes: &[HostChange]) {
    let domain = target.domain.as_ref().map(|domain| domain.as_str());
    for one in changes {
        let (connector, host) = (&*target.connector, one.host.to_string());
        journal.record(&Event::PartnerChanged {
            connector,
            partner,
            domain,
            host: &host,
            change: &one.change,
        });
    }
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

/// How long each step with an address may take.
const LOOK_LIMIT: Duration = Duration::from_secs(20);
/// Addresses of one target that are looked at.
const ADDRESSES_MAX: usize = 32;
/// The answer to an operator whose looks are not to be made any more.
const LET_GO: &str = "the configuration has changed: what was to be looked at is not watched any more";
/// Operators who may wait to be heard.
const ASKS_MAX: usize = 16;
/// The wall clock is looked at that often: it may step.
const REST: Duration = Duration::from_secs(60);
const LEAST: Duration = Duration::from_millis(100);
/// How long nothing begins once mail waits for connections.
const CROWDED: Duration = Duration::from_secs(5);
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
