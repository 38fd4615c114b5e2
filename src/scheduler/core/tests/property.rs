//! Random events under random settings; the invariants hold after each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::super::super::{QuestionEnd, Way};
use super::super::floor::{Pulse, Reach};
use super::*;
use crate::connector::{Arrival, Forced, OnFailure, OutboundTls, choose};
use crate::mail::Mailbox;

/// One event; the numbers select what it applies to.
#[derive(Debug, Clone)]
enum Step {
    Offer { domain: u8, also: Option<u8>, report: bool },
    Take(u8),
    Report(u8, Vec<u8>),
    Ask(u8),
    Answer(u8, u8),
    Withdraw(u8),
    Open(u8),
    Reach(u8, u8),
    Reuse(u8, u8),
    Reopen(u8),
    End(u8),
    Fetch { full: bool, fault: bool },
    Sweep,
    Inspect(u8),
    Hasten(u8),
    Pause(u8, bool),
    LetGo(u8),
    Pass(u32),
    Clock(i32),
    Retable(bool),
    Stop,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..12_u8, prop::option::of(0..12_u8), any::<bool>())
            .prop_map(|(domain, also, report)| Step::Offer { domain, also, report }),
        10 => any::<u8>().prop_map(Step::Take),
        8 => (any::<u8>(), prop::collection::vec(any::<u8>(), 2)).prop_map(|(n, o)| Step::Report(n, o)),
        4 => (0..12_u8).prop_map(Step::Ask),
        4 => (any::<u8>(), any::<u8>()).prop_map(|(n, end)| Step::Answer(n, end)),
        1 => any::<u8>().prop_map(Step::Withdraw),
        4 => any::<u8>().prop_map(Step::Open),
        4 => (any::<u8>(), 0..3_u8).prop_map(|(n, host)| Step::Reach(n, host)),
        1 => (any::<u8>(), 0..3_u8).prop_map(|(n, host)| Step::Reuse(n, host)),
        2 => any::<u8>().prop_map(Step::Reopen),
        4 => any::<u8>().prop_map(Step::End),
        5 => (any::<bool>(), prop::bool::weighted(0.1)).prop_map(|(full, fault)| Step::Fetch { full, fault }),
        1 => Just(Step::Sweep),
        2 => any::<u8>().prop_map(Step::Inspect),
        1 => (0..12_u8).prop_map(Step::Hasten),
        1 => (0..3_u8, any::<bool>()).prop_map(|(c, p)| Step::Pause(c, p)),
        1 => any::<u8>().prop_map(Step::LetGo),
        6 => prop_oneof![0..60_u32, 900..20_000_u32, 60_000..4_000_000_u32].prop_map(Step::Pass),
        1 => (-90_000_000..90_000_000_i32).prop_map(Step::Clock),
        1 => any::<bool>().prop_map(Step::Retable),
        1 => prop::bool::weighted(0.05).prop_map(|stop| if stop { Step::Stop } else { Step::Sweep }),
    ]
}

#[derive(Debug, Clone)]
struct Setting {
    places: usize,
    window: usize,
    per_host: usize,
    rate: Option<u32>,
    connections: usize,
}

fn any_setting() -> impl Strategy<Value = Setting> {
    let places = prop_oneof![1..6_usize, 6..40_usize, Just(1_000)];
    let rate = prop::option::weighted(0.3, 1..200_u32);
    (places, 1..12_usize, 1..4_usize, rate, 1..5_usize).prop_map(
        |(places, window, per_host, rate, connections)| Setting {
            places,
            window,
            per_host,
            rate,
            connections,
        },
    )
}

fn table(setting: &Setting, other: bool) -> Table {
    let connector = |name: &str, pattern: &str| {
        let mut connector = outbound(name, pattern);
        connector.connections = setting.connections;
        connector.sending.messages_per_minute_max = setting.rate.filter(|_| name == "out");
        connector.revision = Revision([u8::from(other); 8]);
        connector
    };
    let mut own = connector("own", if other { "d2.example" } else { "d1.example" });
    own.on_failure = OnFailure::Reroute("portal".into());
    let mut portal = connector("portal", "portal.example");
    portal.tls = OutboundTls::Forced(Forced::encryption());
    Table::new(Generation(1), Vec::new(), vec![connector("out", "*"), own, portal])
}

/// The core, and what the world outside knows of it.
struct Random {
    world: World,
    setting: Setting,
    carriers: Vec<u64>,
    flights: BTreeMap<u64, Vec<(u64, usize)>>,
    /// Questions that are neither answered nor given up, with their lanes.
    questions: BTreeMap<u64, LaneKey>,
    /// Those of them that a carrier has taken.
    in_hand: BTreeMap<u64, Vec<u64>>,
    /// Carriers that wait to be granted something.
    halted: BTreeSet<u64>,
    wall_ahead: i64,
    offsets: crate::mail::Offsets,
    number: i64,
    settled: BTreeSet<(i64, u32)>,
}

impl Random {
    fn new(setting: Setting) -> Self {
        let mut world = World::new(setting.window, setting.places);
        world.core = Core::new(
            &Limits { per_host_max: setting.per_host, ..limits(setting.window, setting.places) },
            world.now,
        );
        world.table = table(&setting, false);
        Self {
            world,
            setting,
            carriers: Vec::new(),
            flights: BTreeMap::new(),
            questions: BTreeMap::new(),
            in_hand: BTreeMap::new(),
            halted: BTreeSet::new(),
            wall_ahead: 0,
            offsets: crate::mail::Offsets::start(0),
            number: 0,
            settled: BTreeSet::new(),
        }
    }

    fn ask<T>(&mut self, event: impl FnOnce(&mut Core<Lease>, At<'_>) -> (T, Actions<Lease>)) -> T {
        let wall = UnixMillis(self.world.now.0 + self.wall_ahead);
        let dates = Dates::new(self.world.now, wall, self.offsets);
        self.offsets = self.offsets.noting(self.wall_ahead).unwrap_or(self.offsets);
        let at = At { table: &self.world.table, dates: &dates };
        let (answer, actions) = event(&mut self.world.core, at);
        self.act(actions);
        answer
    }

    fn act(&mut self, actions: Actions<Lease>) {
        let out = &mut self.world.out;
        out.fetches.extend(actions.fetches);
        out.sweeps.extend(actions.sweeps);
        self.carriers.extend(actions.starts.iter().map(|start| start.carrier));
        for carrier in actions.granted {
            assert!(self.halted.remove(&carrier), "granted what was not asked for");
        }
        for ticket in actions.unanswered {
            assert!(self.questions.remove(&ticket).is_some(), "given up, and not asked or answered before");
        }
        for lease in actions.released {
            drop(lease);
        }
        for work in actions.works {
            let id = work.message.id.to_number();
            for (recipient, verdict) in &work.verdicts {
                assert!(work.lease.recipients().contains(&recipient.number), "settled without a lease");
                match verdict {
                    RecipientVerdict::Deferred { .. } | RecipientVerdict::Rerouted { .. } => {}
                    RecipientVerdict::Delivered(_) | RecipientVerdict::Failed(_) => {
                        assert!(self.settled.insert((id, recipient.number)), "{id} settled twice");
                    }
                }
            }
        }
    }

    fn pick(&self, number: u8) -> Option<u64> {
        let free: Vec<u64> = self.carriers.iter().copied().filter(|c| !self.halted.contains(c)).collect();
        free.get(usize::from(number) % free.len().max(1)).copied()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Offer { domain, also, report } => self.offer(domain, also, report),
            Step::Take(number) => {
                let Some(carrier) = self.pick(number) else { return };
                match self.ask(|core, at| core.take(carrier, at)) {
                    Some(HandedWork::Job(taken)) => {
                        self.flights.entry(carrier).or_default().push((taken.ticket, taken.recipients.len()));
                    }
                    Some(HandedWork::Question(ticket)) => {
                        self.in_hand.entry(carrier).or_default().push(ticket)
                    }
                    None => self.end(carrier),
                }
            }
            Step::Report(number, kinds) => {
                let Some(carrier) = self.pick(number) else { return };
                let Some((ticket, count)) = self.flights.get_mut(&carrier).and_then(Vec::pop) else { return };
                let kinds = kinds.iter().cycle().take(count);
                let outcomes = kinds.map(|kind| match kind % 9 {
                    0..=3 => delivered(),
                    4 => failed(),
                    8 => withheld(),
                    5 => deferred(Scope::Recipient),
                    6 => deferred(Scope::Lane),
                    _ => deferred(Scope::Session),
                });
                let outcomes = outcomes.collect();
                self.ask(|core, at| ((), core.report(ticket, outcomes, at)));
            }
            Step::Ask(domain) => {
                self.number += 1;
                let ticket = u64::try_from(self.number).unwrap();
                let mailbox = Mailbox::parse(&format!("a@d{domain}.example")).unwrap();
                let choice = choose(&self.world.table, mailbox.domain_name(), Arrival::Ours).unwrap();
                let key = LaneKey::of(&choice.connector, mailbox.domain());
                let way = Arc::new(Way::new(Arc::clone(&choice.connector), mailbox.domain()));
                self.questions.insert(ticket, key.clone());
                if !self.ask(|core, at| core.ask(&key, way, ticket, at)) {
                    self.questions.remove(&ticket);
                }
            }
            Step::Answer(number, end) => {
                let Some(carrier) = self.pick(number) else { return };
                let Some(ticket) = self.in_hand.get_mut(&carrier).and_then(Vec::pop) else { return };
                self.answer(
                    carrier,
                    ticket,
                    match end % 4 {
                        0 => QuestionEnd::Unasked,
                        1 => QuestionEnd::Hindered(trouble(Scope::Lane)),
                        2 => QuestionEnd::Hindered(trouble(Scope::Session)),
                        _ => QuestionEnd::ByHost,
                    },
                );
            }
            Step::Withdraw(number) => {
                let place = usize::from(number) % self.questions.len().max(1);
                let Some((ticket, key)) = self.questions.iter().nth(place) else { return };
                let (ticket, key) = (*ticket, key.clone());
                if !self.in_hand.values().flatten().any(|known| *known == ticket) {
                    self.questions.remove(&ticket);
                }
                self.ask(|core, at| ((), core.withdraw(&key, ticket, at)));
            }
            Step::Open(number) => {
                let Some(carrier) = self.pick(number) else { return };
                if !self.ask(|core, at| core.opened(carrier, at)) {
                    self.halted.insert(carrier);
                }
            }
            Step::Reach(number, host) => {
                let Some(carrier) = self.pick(number) else { return };
                // Like a real carrier, it looks for a host only while it has no session.
                self.ask(|core, at| core.reopening(carrier, at));
                let address = SocketAddr::from(([127, 0, 0, host], 25));
                if self.ask(|core, at| core.reach(carrier, address, at)) == Reach::Wait {
                    self.halted.insert(carrier);
                }
            }
            Step::Reuse(number, host) => {
                let Some(carrier) = self.pick(number) else { return };
                let address = SocketAddr::from(([127, 0, 0, host], 25));
                self.ask(|core, at| ((), core.reuse(carrier, address, at)));
            }
            Step::Reopen(number) => {
                let Some(carrier) = self.pick(number) else { return };
                self.ask(|core, at| core.reopening(carrier, at));
            }
            Step::End(number) => {
                let Some(carrier) = self.carriers.get(usize::from(number) % self.carriers.len().max(1))
                else {
                    return;
                };
                self.end(*carrier);
            }
            Step::Fetch { full, fault } => self.fetch(full, fault),
            Step::Sweep => {
                if let Some(sweep) = self.world.out.sweeps.pop() {
                    self.ask(|core, at| ((), core.swept(&sweep.lane, at)));
                }
            }
            Step::Inspect(still) => {
                let still_for = Duration::from_secs(u64::from(still));
                let pulse = |carrier: &u64| Pulse {
                    carrier: *carrier,
                    still_for,
                    after_dot: carrier.is_multiple_of(2),
                };
                let pulses: Vec<Pulse> = self.carriers.iter().map(pulse).collect();
                self.ask(|core, at| ((), core.inspected(&pulses, at)));
            }
            Step::Hasten(domain) => {
                let lane = LaneKey(format!("out/d{domain}.example").into());
                self.ask(|core, at| ((), core.hasten(vec![lane], at)));
            }
            Step::Pause(connector, paused) => {
                let name = if connector == 0 { "own" } else { "out" };
                self.world.core.pause(name, paused);
                self.ask(|core, at| core.tend_all(name, None, at));
            }
            Step::LetGo(number) => {
                let ids = [QueueId::from_number(i64::from(number))];
                self.ask(|core, at| core.let_go(&ids, None, at));
            }
            Step::Pass(ms) => {
                self.world.now = UnixMillis(self.world.now.0 + i64::from(ms));
                self.tick();
            }
            Step::Clock(ms) => {
                self.wall_ahead += i64::from(ms);
                self.ask(|_, _| ((), Actions::default()));
            }
            Step::Retable(other) => self.world.table = table(&self.setting, other),
            Step::Stop => {
                self.ask(|core, _| ((), core.stop()));
            }
        }
    }

    fn tick(&mut self) {
        // If no time passes, each timer fires at most once.
        let most = self.world.core.lanes.len() + 10;
        for _ in 0..=most {
            if !self.ask(Core::tick) {
                return;
            }
        }
        panic!("it loops");
    }

    fn offer(&mut self, domain: u8, also: Option<u8>, report: bool) {
        self.number += 1;
        let name = |domain: u8| format!("a@d{domain}.example");
        let to: Vec<String> =
            [Some(domain), also.filter(|also| *also != domain)].into_iter().flatten().map(name).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let mut all = self.world.leased(self.number, &to);
        let message = Arc::get_mut(&mut all.message).unwrap();
        message.accepted_at = UnixMillis(message.accepted_at.0 + self.wall_ahead);
        if report {
            message.reverse_path = ReversePath::NULL;
        }
        let mut parts = vec![all];
        if to.len() > 1 {
            let numbers = [1];
            let lease = crate::spool::Divisible::split_off(&mut parts[0].lease, &numbers);
            let recipients = parts[0].recipients.split_off(1);
            let lane = LaneKey(format!("out/{}", recipients[0].forward_path.domain()).into());
            let message = Arc::clone(&parts[0].message);
            parts.push(Leased { message, recipients, lane, content: None, lease });
        }
        self.ask(|core, at| ((), core.offer(parts, at)));
    }

    fn fetch(&mut self, full: bool, fault: bool) {
        let Some(fetch) = self.world.out.fetches.pop() else { return };
        let mut leased = Vec::new();
        if full && !fault {
            for _ in 0..fetch.limit.min(5) {
                self.number += 1;
                let domain = fetch.lane.0.split('/').nth(1).unwrap_or("d1.example").to_owned();
                let mut one = self.world.leased(self.number, &[&format!("a@{domain}")]);
                one.lane = fetch.lane.clone();
                one.content = None;
                one.recipients[0].attempts = 1;
                leased.push(one);
            }
        }
        let next_at = full.then_some(UnixMillis(self.world.now.0 + 1_000_000_000));
        let due = (!fault).then_some((leased, next_at));
        self.ask(|core, at| ((), core.fetched(&fetch.lane, due, at)));
    }

    fn end(&mut self, carrier: u64) {
        self.carriers.retain(|known| *known != carrier);
        self.halted.remove(&carrier);
        self.flights.remove(&carrier);
        self.in_hand.remove(&carrier);
        self.ask(|core, at| ((), core.ended(carrier, at)));
    }

    fn answer(&mut self, carrier: u64, ticket: u64, end: QuestionEnd) {
        assert!(self.questions.remove(&ticket).is_some(), "answered, and not asked or given up before");
        self.ask(|core, at| ((), core.answered(carrier, ticket, end, at)));
    }

    fn check(&self) {
        let wall = UnixMillis(self.world.now.0 + self.wall_ahead);
        let dates = Dates::new(self.world.now, wall, self.offsets);
        self.world.core.check(At { table: &self.world.table, dates: &dates });
    }

    /// Ends everything, and checks that nothing is left behind.
    fn wind_up(&mut self) {
        for _ in 0..200 {
            while let Some(sweep) = self.world.out.sweeps.pop() {
                self.ask(|core, at| ((), core.swept(&sweep.lane, at)));
            }
            while !self.world.out.fetches.is_empty() {
                let fetch = self.world.out.fetches.remove(0);
                self.ask(|core, at| ((), core.fetched(&fetch.lane, Some((Vec::new(), None)), at)));
            }
            for carrier in self.carriers.clone() {
                if self.halted.contains(&carrier) {
                    continue;
                }
                for ticket in self.in_hand.remove(&carrier).unwrap_or_default() {
                    self.answer(carrier, ticket, QuestionEnd::ByHost);
                }
                for (ticket, count) in self.flights.remove(&carrier).unwrap_or_default() {
                    self.ask(|core, at| ((), core.report(ticket, vec![delivered(); count], at)));
                }
                match self.ask(|core, at| core.take(carrier, at)) {
                    Some(HandedWork::Job(taken)) => {
                        let outcomes = vec![delivered(); taken.recipients.len()];
                        self.ask(|core, at| ((), core.report(taken.ticket, outcomes, at)));
                    }
                    Some(HandedWork::Question(ticket)) => {
                        self.in_hand.entry(carrier).or_default().push(ticket)
                    }
                    None => self.end(carrier),
                }
            }
            self.world.now = UnixMillis(self.world.now.0 + 4_000_000);
            self.tick();
            self.check();
        }
        let core = &self.world.core;
        assert!(core.lanes.is_empty(), "lanes are left: {:?}", core.lanes);
        assert_eq!((core.waiting, core.held, core.carriers.len(), core.joined().messages()), (0, 0, 0, 0));
        assert_eq!(self.world.book.count(), 0, "leases are left");
        assert!(self.questions.is_empty(), "questions are left");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// After every event each deadline lies in the future, work that can be done is under way or has a
    /// deadline, no lane is forgotten, and leases and carriers are counted once; at the end nothing is
    /// left.
    #[test]
    fn the_invariants_hold_after_every_event(
        setting in any_setting(),
        steps in prop::collection::vec(any_step(), 1..150),
    ) {
        let mut random = Random::new(setting);
        for step in steps {
            random.step(step);
            random.check();
        }
        for name in ["own", "out"] {
            random.step(Step::Pause(u8::from(name == "out"), false));
        }
        if !random.world.core.stopped {
            random.wind_up();
        }
    }
}
