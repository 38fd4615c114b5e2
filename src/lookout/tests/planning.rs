//! Worlds of targets whose hosts take their time, in virtual time: what is begun, and when.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// What is to end at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Found(u64),
    Tried(u64, usize),
}

/// Targets with addresses, some of them shared, and how long each takes.
struct World {
    every: Duration,
    at_once: usize,
    hosts: Vec<Vec<u8>>,
    wait: i64,
    plan: WatchPlan,
    now: i64,
    events: BinaryHeap<Reverse<(i64, Due)>>,
    looks: BTreeMap<u64, LookTarget>,
    busy: BTreeMap<(u64, usize), IpAddr>,
    last: BTreeMap<LookTarget, UnixMillis>,
    /// Every look that began.
    begun: Vec<(i64, LookTarget)>,
}

impl World {
    fn new(every: Duration, at_once: usize, hosts: Vec<Vec<u8>>, wait: i64) -> Self {
        let plan = WatchPlan::new(every, at_once);
        let mut world = Self {
            every,
            at_once,
            hosts,
            wait,
            plan,
            now: START,
            events: BinaryHeap::new(),
            looks: BTreeMap::new(),
            busy: BTreeMap::new(),
            last: BTreeMap::new(),
            begun: Vec::new(),
        };
        world.settle();
        world
    }

    fn settle(&mut self) {
        let targets = (0..self.hosts.len()).map(|number| {
            let target = target(number);
            let last = self.last.get(&target).copied();
            (target, last)
        });
        let targets: BTreeMap<_, _> = targets.collect();
        self.plan.settle((self.every, self.at_once), &targets, UnixMillis(self.now));
    }

    /// As a daemon that is started again: only what is on disk is known.
    fn restart(&mut self, after: i64) {
        self.now += after;
        self.plan = WatchPlan::new(self.every, self.at_once);
        (self.looks, self.busy, self.events) = Default::default();
        self.settle();
    }

    fn addresses(&self, target: &LookTarget) -> Vec<IpAddr> {
        let number: usize = target.connector.rsplit('-').next().unwrap().parse().unwrap();
        self.hosts[number].iter().map(|last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, *last))).collect()
    }

    fn run_until(&mut self, end: i64) {
        loop {
            while let Some(step) = self.plan.next(UnixMillis(self.now)) {
                self.begin(step);
            }
            assert!(self.busy.len() <= self.at_once);
            let different: BTreeSet<_> = self.busy.values().collect();
            assert_eq!(different.len(), self.busy.len(), "two connections to a host: {:?}", self.busy);
            let event = self.events.peek().map(|Reverse((at, _))| *at);
            let due = self.plan.next_due().map(|due| due.0).filter(|due| *due > self.now);
            let Some(next) = event.into_iter().chain(due).min() else { break };
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            while let Some(Reverse((at, due))) = self.events.peek().copied() {
                if at > self.now {
                    break;
                }
                self.events.pop();
                self.end(due);
            }
        }
        self.now = end;
    }

    fn begin(&mut self, step: LookStep) {
        match step {
            LookStep::Find { look, target } => {
                self.begun.push((self.now, target.clone()));
                self.looks.insert(look, target);
                self.events.push(Reverse((self.now + 50, Due::Found(look))));
            }
            LookStep::Try { look, number } => {
                let ip = self.addresses(&self.looks[&look])[number];
                self.busy.insert((look, number), ip);
                self.events.push(Reverse((self.now + self.wait, Due::Tried(look, number))));
            }
        }
    }

    fn end(&mut self, due: Due) {
        let (look, over) = match due {
            Due::Found(look) => {
                let addresses = self.addresses(&self.looks[&look]);
                (look, self.plan.found(look, &addresses))
            }
            Due::Tried(look, number) => {
                self.busy.remove(&(look, number));
                (look, self.plan.tried(look, number))
            }
        };
        if over {
            let target = self.looks.remove(&look).unwrap();
            self.last.insert(target, UnixMillis(self.now));
            self.plan.end(look, UnixMillis(self.now), false);
        }
    }

    /// How often each target was begun between two times.
    fn counts(&self, from: i64, to: i64) -> Vec<usize> {
        let in_time = self.begun.iter().filter(|(at, _)| (from..to).contains(at));
        let mut counts = BTreeMap::new();
        in_time.for_each(|(_, target)| *counts.entry(target.clone()).or_insert(0) += 1);
        (0..self.hosts.len()).map(|number| counts.get(&target(number)).copied().unwrap_or(0)).collect()
    }

    /// The most looks that began within so long.
    fn crowd(&self, from: i64, window: i64) -> usize {
        let times: Vec<i64> = self.begun.iter().map(|(at, _)| *at).filter(|at| *at >= from).collect();
        let within = |start: i64| times.iter().filter(|at| (start..start + window).contains(*at)).count();
        times.iter().map(|at| within(*at)).max().unwrap_or(0)
    }
}

/// The begin of a period of the calendar.
fn period(every: Duration, number: i64) -> i64 {
    let every = i64::try_from(every.as_millis()).unwrap();
    (START / every + number) * every
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Once it runs, each target is looked at once in each period, whatever hosts they share; never more at once than may be,
    /// and never two at a host (checked at every step).
    #[test]
    fn each_target_is_looked_at_once_a_period(
        hosts in prop::collection::vec(prop::collection::vec(0_u8..40, 0..4), 1..60),
        at_once in 1_usize..12,
        minutes in 10_u64..2_000,
        wait in 0_i64..1_500,
    ) {
        let hosts: Vec<Vec<u8>> = hosts.into_iter().map(|list| {
            list.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
        }).collect();
        let every = Duration::from_secs(minutes * 60);
        let mut world = World::new(every, at_once, hosts, wait);
        world.run_until(period(every, 6));
        for number in 2..6 {
            let counts = world.counts(period(every, number), period(every, number + 1));
            prop_assert!(counts.iter().all(|count| *count == 1), "{number}: {counts:?}");
        }
    }

    /// A restart, after however long, goes on where it was: nothing is looked at twice for it, nothing is left out for longer
    /// than a period and a quarter, and not all at once.
    #[test]
    fn a_restart_goes_on_where_it_was(number in 100_usize..300, minutes in 60_u64..2_000, down in 0_i64..10) {
        let every = Duration::from_secs(minutes * 60);
        let millis = i64::try_from(every.as_millis()).unwrap();
        let hosts = (0..number).map(|host| vec![u8::try_from(host % 250).unwrap()]).collect();
        let mut world = World::new(every, 8, hosts, 100);
        let stopped = period(every, 3) + millis / 3;
        world.run_until(stopped);
        world.restart(down * millis / 4);
        let started = world.now;
        world.run_until(started + millis + millis / 4 + HOUR);
        for target in (0..number).map(target) {
            let times: Vec<i64> = world.begun.iter().filter(|(_, one)| *one == target).map(|(at, _)| *at).collect();
            prop_assert!(times.windows(2).all(|two| two[1] - two[0] > millis / 5), "{target}: {times:?}");
            prop_assert!(times.iter().any(|at| *at >= started), "{target}: {times:?}");
        }
        // What was missed is spread over a quarter of the period, or an hour.
        let spread = (millis / 4).min(HOUR);
        let crowd = world.crowd(started, spread / 10);
        prop_assert!(crowd <= number / 4 + 8, "{crowd} of {number} within a tenth of {spread}");
    }
}

#[test]
fn looks_are_spread_over_the_period() {
    let every = Duration::from_secs(6 * 60 * 60);
    let hosts = (0..1_000_usize).map(|host| vec![u8::try_from(host % 250).unwrap()]).collect();
    let mut world = World::new(every, 8, hosts, 200);
    let millis = i64::try_from(every.as_millis()).unwrap();
    world.run_until(START + 5 * millis);
    // The first ones within an hour, and not at once.
    let first = world.counts(START, START + HOUR);
    assert!(first.iter().all(|count| *count == 1), "{first:?}");
    assert!(world.crowd(START, HOUR / 60) < 50);
    // Then evenly: no twentieth of the period has twice its share.
    let crowd = world.crowd(period(every, 2), millis / 20);
    assert!(crowd < 100, "{crowd} of 1000 in a twentieth of the period");
}

#[test]
fn a_thousand_partners_that_do_not_answer_are_done_within_their_hour() {
    let every = Duration::from_secs(60 * 60);
    let hosts = (0..1_000_usize).map(|host| vec![u8::try_from(host % 250).unwrap()]).collect();
    let mut world = World::new(every, 8, hosts, 20_500);
    world.run_until(period(every, 8));
    for number in 3..7 {
        let counts = world.counts(period(every, number), period(every, number + 1));
        let total: usize = counts.iter().sum();
        assert!((990..=1_010).contains(&total) && counts.iter().all(|count| *count <= 2), "{total}");
    }
}

#[test]
fn a_reload_keeps_what_is_planned_and_drops_what_is_gone() {
    let every = Duration::from_secs(60 * 60);
    let now = UnixMillis(START);
    let both = BTreeMap::from([(target(1), None), (target(2), None)]);
    let mut plan = WatchPlan::new(every, 4);
    plan.settle((every, 4), &both, now);
    let due = plan.next_due();
    plan.settle((every, 4), &both, now.plus(Duration::from_secs(60)));
    assert_eq!(plan.next_due(), due);
    plan.hasten(|_| true, now);
    let Some(LookStep::Find { look, target: first }) = plan.next(now) else { panic!("nothing begins") };
    assert!(!plan.found(look, &[IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::UNSPECIFIED)]));
    assert_eq!(plan.next(now), Some(LookStep::Try { look, number: 0 }));
    // Its connector is gone: what was not begun is not, and it is not due again.
    let rest = both.clone().into_iter().filter(|(target, _)| *target != first).collect();
    plan.settle((every, 1), &rest, now);
    assert_eq!(plan.next(now), None);
    assert!(plan.tried(look, 0));
    plan.end(look, now, true);
    assert_eq!(plan.targets().count(), 1);
}

/// Whatever a look was at when its target went, its places are free once who held them reports, and the target is looked at
/// again once it is back.
#[test]
fn a_target_that_went_and_came_back_is_looked_at_again() {
    let every = Duration::from_secs(60 * 60);
    let now = UnixMillis(START);
    let host = [IpAddr::V4(Ipv4Addr::LOCALHOST)];
    let (one, other) = (BTreeMap::from([(target(1), None)]), BTreeMap::from([(target(2), None)]));
    let find = |plan: &mut WatchPlan| {
        plan.hasten(|_| true, now);
        match plan.next(now) {
            Some(LookStep::Find { look, .. }) => look,
            step => panic!("{step:?} begins"),
        }
    };
    // Steps that were made before the target went: none, its hosts were found, one of them is tried.
    for steps in 0..3 {
        let mut plan = WatchPlan::new(every, 1);
        plan.settle((every, 1), &one, now);
        let look = find(&mut plan);
        if steps > 0 {
            assert!(!plan.found(look, &host));
        }
        if steps > 1 {
            assert_eq!(plan.next(now), Some(LookStep::Try { look, number: 0 }));
        }
        plan.settle((every, 1), &other, now);
        assert!(!plan.is_open(look), "{steps}");
        plan.settle((every, 1), &one, now);
        plan.hasten(|_| true, now);
        let is_free = match steps {
            0 => plan.next(now).is_none() && plan.found(look, &host),
            1 => true,
            _ => plan.next(now).is_none() && plan.tried(look, 0),
        };
        assert!(is_free, "{steps}");
        let again = find(&mut plan);
        assert!(again > look && !plan.found(again, &host), "{steps}");
        assert_eq!(plan.next(now), Some(LookStep::Try { look: again, number: 0 }), "{steps}");
    }
}

#[test]
fn what_may_be_over_in_a_moment_is_looked_at_again_soon() {
    let (every, now) = (Duration::from_secs(6 * 60 * 60), UnixMillis(START));
    let mut plan = WatchPlan::new(every, 4);
    plan.settle((every, 4), &BTreeMap::from([(target(1), None)]), now);
    plan.hasten(|_| true, now);
    let Some(LookStep::Find { look, .. }) = plan.next(now) else { panic!("nothing begins") };
    assert!(plan.found(look, &[]));
    plan.end(look, now, true);
    let due = plan.next_due().unwrap();
    assert!((5..=10).contains(&(due.since(now).as_secs() / 60)), "{due:?}");
}

#[test]
fn a_date_ahead_is_no_reason_to_wait_for_it() {
    let (every, now) = (Duration::from_secs(60 * 60), UnixMillis(START));
    let mut plan = WatchPlan::new(every, 4);
    plan.settle((every, 4), &BTreeMap::from([(target(1), Some(UnixMillis(START + 400 * DAY)))]), now);
    assert!(plan.next_due().unwrap().since(now) <= every);
}
