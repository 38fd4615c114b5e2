//! The scheduler against a world in virtual time: clients, a disk, peers of every kind, restarts, a
//! clock that steps. Each seed is one world; a failing seed is printed, and `SEALPOST_SEED=N` runs only
//! that one.
//!
//! It checks that no acknowledged message is lost, that each recipient has one outcome, that nothing
//! leaves in plaintext under a forced requirement, that a healthy partner does not wait for the others,
//! and that no event loops.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use super::super::floor::{Pulse, Reach};
use super::super::place::fits;
use super::super::{Fetch, Sweep, longest_wait, retry};
use super::*;
use crate::connector::{
    Attained, ChainVerdict, Forced, Observed, OnFailure, OutboundTls, Require, Requirement, Rerouting,
    SessionId, TlsFacts, Verdict as Judged, judge, samples,
};
use crate::mail::{BodyType, Mailbox, MessageDsn, Offsets, RecipientDsn};
use crate::scheduler::Way;
use crate::spool::{Divisible, Origin, StoredMessage};

mod carriers;
mod disk;
mod pieces;

use pieces::*;

struct Sea {
    dice: Dice,
    now: i64,
    ahead: i64,
    offsets: Offsets,
    core: Core<Token>,
    limits: Limits,
    table: Table,
    future: BinaryHeap<Reverse<(i64, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    serial: u64,
    disk: BTreeMap<i64, Stored>,
    leases: BTreeSet<(i64, u32)>,
    disk_fails: bool,
    carriers: BTreeMap<u64, Sim>,
    kinds: Vec<Kind>,
    hosts: Vec<SocketAddr>,
    forced: usize,
    /// Whether the forced connector hands on what it can't send.
    reroutes: bool,
    ids: i64,
    arrivals: u64,
    ends: BTreeMap<(i64, u32), usize>,
    acknowledged: BTreeSet<(i64, u32)>,
    delivered: BTreeMap<(i64, u32), usize>,
    accepted: BTreeMap<i64, i64>,
    waits: Vec<i64>,
    /// Whether the process, its disk and its clock stay free of faults.
    calm: bool,
    faults: usize,
    facts: Arc<TlsFacts>,
    /// Whether it prints what happens.
    traced: bool,
}

const HOUR: i64 = 3_600_000;
/// When each world begins.
const START: i64 = 1_000_000_000;

impl Sea {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let domains = 2 + dice.roll(6);
        let kinds: Vec<Kind> = (0..domains)
            .map(|n| match dice.roll(10) {
                _ if n == 0 => Kind::Healthy,
                0 | 1 => Kind::Mute,
                2 => Kind::Stalls,
                3 => Kind::Silent,
                4 => Kind::Refuses(dice.one_in(2)),
                5 => Kind::Drops,
                6 => Kind::Slow,
                7 => Kind::Strips,
                _ => Kind::Healthy,
            })
            .collect();
        let shared = dice.one_in(3);
        let host = |n: u64| SocketAddr::from(([127, 0, 0, u8::try_from(n).unwrap()], 25));
        let hosts = (0..domains).map(|n| host(if shared && n > 0 { 1 } else { n })).collect();
        let places = [1, 2, 3, 5, 20, 1_000][usize::try_from(dice.roll(6)).unwrap()];
        let limits = Limits {
            held_bytes_max: 5_000,
            window_max: 1 + usize::try_from(dice.roll(6)).unwrap(),
            seats_max: places,
            openings_max: places,
            per_host_max: 1 + usize::try_from(dice.roll(3)).unwrap(),
            null_sender_expire: None,
        };
        let forced = usize::try_from(dice.roll(domains)).unwrap();
        let reroutes = dice.one_in(2);
        let now = START;
        let mut sea = Self {
            table: Table::new(Generation(1), Vec::new(), Vec::new()),
            core: Core::new(&limits, UnixMillis(now)),
            now,
            ahead: 0,
            offsets: Offsets::start(0),
            limits,
            future: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            serial: 0,
            disk: BTreeMap::new(),
            leases: BTreeSet::new(),
            disk_fails: false,
            carriers: BTreeMap::new(),
            kinds,
            hosts,
            forced,
            reroutes,
            ids: 0,
            arrivals: 4 + dice.roll(8),
            ends: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            delivered: BTreeMap::new(),
            accepted: BTreeMap::new(),
            waits: Vec::new(),
            calm: true,
            faults: 0,
            traced: false,
            facts: Arc::new(samples::shown(&["mx.example"], ChainVerdict::Trusted)),
            dice,
        };
        sea.retable(false);
        sea.at(0, Happening::Arrive);
        sea.disturb();
        sea
    }

    /// In two worlds out of three something happens to the process, the disk, the clock or the table.
    fn disturb(&mut self) {
        let kind = self.dice.roll(9);
        let delay = i64::try_from(self.dice.roll(30_000)).unwrap();
        match kind {
            0 => self.at(delay, Happening::Restart),
            1 => {
                self.at(delay, Happening::Disk(true));
                self.at(delay + 15_000, Happening::Disk(false));
            }
            2 => self.at(delay, Happening::StepClock(24 * HOUR)),
            3 => self.at(delay, Happening::StepClock(-24 * HOUR)),
            4 => self.at(delay, Happening::Retable),
            5 => {
                self.at(delay, Happening::StepClock(24 * HOUR));
                self.at(delay + 5_000, Happening::Restart);
                self.at(delay + 9_000, Happening::StepClock(-24 * HOUR));
            }
            _ => return,
        }
        self.calm = kind == 4;
    }

    fn retable(&mut self, tighter: bool) {
        let connector = |name: &str, pattern: &str| {
            let mut connector = outbound(name, pattern);
            connector.retry.waits = [1, 5, 20].map(Duration::from_secs).to_vec();
            connector.retry.expire = Duration::from_secs(60);
            connector.retry.delay_dsn = None;
            connector
        };
        let mut own = connector("forced", &format!("d{}.example", self.forced));
        own.tls = OutboundTls::Forced(Forced::new(Require::Encryption));
        own.revision = Revision([1; 8]);
        let mut out = connector("out", "*");
        if tighter {
            out.tls = OutboundTls::Forced(Forced::new(Require::Encryption));
            out.revision = Revision([2; 8]);
        }
        let generation = Generation(self.table.generation.0 + 1);
        let mut portal = connector("portal", "portal.example");
        portal.domains.clear();
        portal.tls = OutboundTls::Forced(Forced::new(Require::Encryption));
        portal.revision = Revision([3; 8]);
        if self.reroutes {
            own.on_failure = OnFailure::Reroute("portal".into());
        }
        self.table = Table::new(generation, Vec::new(), vec![out, own, portal]);
    }

    fn at(&mut self, delay: i64, happening: Happening) {
        self.serial += 1;
        self.future.push(Reverse((self.now + delay, self.serial)));
        self.happenings.insert(self.serial, happening);
    }

    fn wall(&self) -> i64 {
        self.now + self.ahead
    }

    fn dates(&self) -> Dates {
        Dates::new(UnixMillis(self.now), UnixMillis(self.wall()), self.offsets)
    }

    fn ask<T>(&mut self, event: impl FnOnce(&mut Core<Token>, At<'_>) -> (T, Actions<Token>)) -> T {
        let dates = self.dates();
        self.offsets = self.offsets.noting(self.ahead).unwrap_or(self.offsets);
        let (answer, actions) = event(&mut self.core, At { table: &self.table, dates: &dates });
        self.act(actions);
        answer
    }

    fn act(&mut self, actions: Actions<Token>) {
        for Token(id, numbers) in actions.released {
            self.free(id, &numbers);
        }
        for start in actions.starts {
            let sim = Sim {
                way: start.way,
                phase: Phase::Taking,
                step: 0,
                moved: self.now,
                job: None,
                session: false,
                plaintext: false,
                halted: false,
            };
            self.carriers.insert(start.carrier, sim);
            self.at(0, Happening::Carrier(start.carrier, 0));
        }
        for fetch in actions.fetches {
            let delay = 1 + i64::try_from(self.dice.roll(5)).unwrap();
            self.at(delay, Happening::Fetched(fetch));
        }
        for sweep in actions.sweeps {
            self.at(2, Happening::Swept(sweep));
        }
        for work in actions.works {
            let delay = 1 + i64::try_from(self.dice.roll(20)).unwrap();
            self.at(delay, Happening::Written(Box::new(work)));
        }
        for carrier in actions.granted {
            let sim = self.carriers.get_mut(&carrier).expect("a carrier that waits");
            assert!(std::mem::take(&mut sim.halted), "granted what was not asked for");
            self.go_on(carrier, 0, None);
        }
        assert!(actions.recalled.is_empty(), "a world ends by a crash");
        for carrier in actions.evicted {
            self.displace(carrier);
        }
        if actions.inspect {
            let now = self.now;
            let pulse = |(carrier, sim): (&u64, &Sim)| Pulse {
                carrier: *carrier,
                still_for: Duration::from_millis(u64::try_from(now - sim.moved).unwrap()),
                after_dot: sim.phase == Phase::AfterDot,
            };
            let pulses: Vec<Pulse> = self.carriers.iter().map(pulse).collect();
            self.ask(|core, at| ((), core.inspected(&pulses, at)));
        }
    }

    fn free(&mut self, id: i64, numbers: &[u32]) {
        for number in numbers {
            assert!(self.leases.remove(&(id, *number)), "{id}/{number} was not leased");
        }
    }

    fn lease(&mut self, id: i64, numbers: Vec<u32>) -> Token {
        for number in &numbers {
            assert!(self.leases.insert((id, *number)), "{id}/{number} is leased twice");
        }
        Token(id, numbers)
    }

    /// Runs the world to its end.
    fn play(&mut self) {
        let mut same = 0;
        for _ in 0..200_000 {
            let timer = self.core.plan().map(|time| time.0);
            let next = self.future.peek().map(|Reverse((time, _))| *time);
            let Some(time) = [timer, next].into_iter().flatten().min() else {
                return self.check_end();
            };
            same = if time > self.now { 0 } else { same + 1 };
            assert!(same < 20_000, "it loops without time passing");
            self.now = self.now.max(time);
            if timer.is_some_and(|timer| timer <= self.now) {
                for turn in 0.. {
                    assert!(turn < 1_000, "it loops without time passing");
                    if !self.ask(Core::tick) {
                        break;
                    }
                }
                let first = self.core.timers.first();
                assert!(first.is_none_or(|first| first.0 > self.now), "a deadline in the past");
                continue;
            }
            let Some(Reverse((_, serial))) = self.future.pop() else { continue };
            if let Some(happening) = self.happenings.remove(&serial) {
                self.happen(happening);
            }
        }
        panic!("it never ends");
    }

    fn happen(&mut self, happening: Happening) {
        if self.traced {
            eprintln!("{:>9} {happening:?}", self.now - START);
            for (number, sim) in &self.carriers {
                let domain = sim.way.domain.as_ref().map(ToString::to_string).unwrap_or_default();
                eprintln!("{number:>15} {domain} {:?} {:?} halted: {}", sim.phase, sim.job, sim.halted);
            }
        }
        match happening {
            Happening::Arrive => self.arrive(),
            Happening::Accepted(id) => self.accepted(id),
            Happening::Fetched(fetch) => self.fetched(&fetch),
            Happening::Swept(sweep) => self.swept(&sweep),
            Happening::Written(work) => self.written(*work),
            Happening::Carrier(carrier, step) => {
                if self.carriers.get(&carrier).is_some_and(|sim| sim.step == step && !sim.halted) {
                    self.step(carrier);
                }
            }
            Happening::Restart => self.restart(),
            Happening::StepClock(by) => {
                self.ahead += by;
                self.ask(|_, _| ((), Actions::default()));
            }
            Happening::Disk(fails) => {
                self.disk_fails = fails;
                self.faults += 1;
            }
            Happening::Retable => {
                self.retable(true);
                let dates = self.dates();
                let (changed, _) = self.core.changed(None, At { table: &self.table, dates: &dates });
                self.ask(|core, at| ((), core.hasten(changed, at)));
            }
        }
    }

    fn arrive(&mut self) {
        self.arrivals -= 1;
        if self.arrivals > 0 {
            let delay = i64::try_from(self.dice.roll(3_000)).unwrap();
            self.at(delay, Happening::Arrive);
        }
        let domains = u64::try_from(self.kinds.len()).unwrap();
        let count = if self.dice.one_in(3) { 2 } else { 1 };
        let to: Vec<usize> = (0..count).map(|_| usize::try_from(self.dice.roll(domains)).unwrap()).collect();
        let from = if self.dice.one_in(5) { "" } else { "ann@contoso.example" };
        self.store(from, &to);
    }

    /// The process is killed and restarts from what is on disk; its clock starts from the wall clock.
    fn restart(&mut self) {
        self.faults += 1;
        self.leases.clear();
        self.carriers.clear();
        let kept = |happening: &Happening| match happening {
            Happening::Arrive | Happening::StepClock(_) | Happening::Disk(_) | Happening::Retable => true,
            Happening::Restart
            | Happening::Accepted(_)
            | Happening::Fetched(_)
            | Happening::Swept(_)
            | Happening::Written(_)
            | Happening::Carrier(..) => false,
        };
        self.happenings.retain(|_, happening| kept(happening));
        self.offsets = Offsets::start(self.ahead);
        self.core = Core::new(&self.limits, UnixMillis(self.now));
        let dates = self.dates();
        let mut lanes: BTreeMap<LaneKey, i64> = BTreeMap::new();
        for row in self.disk.values().flat_map(|stored| stored.rows.values()) {
            let first = lanes.entry(row.lane.clone()).or_insert(row.next_at);
            *first = row.next_at.min(*first);
        }
        let lanes = lanes.into_iter().map(|(lane, time)| (lane, dates.to_steady(UnixMillis(time)))).collect();
        self.ask(|core, at| ((), core.loaded(lanes, at)));
    }

    fn check_end(&self) {
        assert!(self.disk.is_empty(), "left on disk and forgotten: {:?}", self.disk);
        assert!(self.leases.is_empty(), "leases are left: {:?}", self.leases);
        assert!(self.carriers.is_empty(), "carriers are left: {:?}", self.carriers);
        assert!(self.core.lanes.is_empty(), "lanes are left: {:?}", self.core.lanes);
        for recipient in &self.acknowledged {
            assert_eq!(self.ends.get(recipient), Some(&1), "{recipient:?} was acknowledged: outcomes");
        }
        for (recipient, times) in &self.delivered {
            assert!(*times <= 1 + self.faults, "{recipient:?} was delivered {times} times");
        }
        // A carrier that waits for places held by others goes once they have used up their patience, as
        // many at a time as there are places, but at least two.
        let others = i64::try_from(self.kinds.len()).unwrap();
        let places = i64::try_from(self.limits.openings_max.max(2)).unwrap();
        let most = PATIENCE_MS * (2 + others / places);
        for wait in &self.waits {
            assert!(*wait <= most, "a healthy partner waited {wait} ms, more than {most}");
        }
    }
}

/// How long a place may make no progress while others wait for it, plus the time until the next check.
const PATIENCE_MS: i64 = 10_600;
const SEEDS: u64 = 100_000;

fn play(seed: u64) {
    let done = std::panic::catch_unwind(|| Sea::new(seed).play());
    assert!(done.is_ok(), "seed {seed} fails; SEALPOST_SEED={seed} plays it alone");
}

#[test]
fn a_hundred_thousand_worlds_lose_nothing() {
    if let Ok(seed) = std::env::var("SEALPOST_SEED") {
        let mut sea = Sea::new(seed.parse().expect("a number"));
        sea.traced = true;
        eprintln!("{:?} forced: {}, hosts {:?}, {:?}", sea.kinds, sea.forced, sea.hosts, sea.limits);
        return sea.play();
    }
    let threads = u64::try_from(std::thread::available_parallelism().map_or(1, usize::from)).unwrap();
    std::thread::scope(|scope| {
        let worlds =
            |first: u64| move || (first..SEEDS).step_by(usize::try_from(threads).unwrap()).for_each(play);
        let players: Vec<_> = (0..threads).map(|first| scope.spawn(worlds(first))).collect();
        let failed = players.into_iter().filter_map(|player| player.join().err()).count();
        assert_eq!(failed, 0, "worlds that fail; see above");
    });
}
