//! Who may open a session, who may use one, and who may connect to a host. Opening a session (DNS, connect,
//! greeting, EHLO, TLS) holds an opening and not a seat; a seat is for a session that carries mail.
//!
//! Lanes that were served lately come first in three turns of four, and a quarter of the openings and seats is theirs
//! alone; lanes that fail, and reports to where nothing was ever delivered, have half at most. Every connector has a
//! minimum. Who makes no progress
//! while others wait loses the place, so that hosts which keep us waiting keep nobody else waiting.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Limits;
use crate::spool::LaneKey;

/// What is known of a lane when it wants a session; the best comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Its hosts took mail last time.
    Served,
    /// Nothing is known of it yet.
    Fresh,
    /// It failed, or has nothing but reports and was never served.
    Doubtful,
}

/// Where a carrier is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It looks for a host, or opens a session.
    Opening,
    /// It waits until the host has fewer connections.
    AtHost(SocketAddr),
    /// Its session is open, and it waits for a seat; it keeps its opening meanwhile.
    Open,
    /// It carries mail.
    Seated,
    /// It carries mail, and lost its seat because nothing moved while others waited.
    Parked,
}

#[derive(Debug)]
struct Place {
    connector: Arc<str>,
    standing: Standing,
    stage: Stage,
    /// The host that it is connected to, or may connect to.
    host: Option<SocketAddr>,
    /// Whether it has had a seat: it may hold outcomes that are not reported yet.
    carried: bool,
}

/// Places in use, and lanes that wait for one, of one connector.
#[derive(Debug, Default)]
struct Share {
    carriers: usize,
    seats: usize,
    /// Lanes that wait for an opening, by their standing.
    lanes: [VecDeque<LaneKey>; 3],
}

#[derive(Debug, Default)]
struct Host {
    used: usize,
    max: usize,
    waiting: VecDeque<u64>,
}

/// How a carrier gets on, as its shell sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) struct Pulse {
    pub(in crate::scheduler) carrier: u64,
    /// For how long nothing came from the peer and nothing went to it.
    pub(in crate::scheduler) still_for: Duration,
    /// Whether a final dot was sent that is not answered yet: the message may be delivered.
    pub(in crate::scheduler) after_dot: bool,
}

/// Whether a carrier may connect to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) enum Reach {
    /// At once.
    Go,
    /// Once it is granted.
    Wait,
}

/// Places of one kind in use, by the standing of who has them.
#[derive(Debug)]
struct Tally {
    max: usize,
    used: [usize; 3],
}

/// How many wait for each kind of place.
#[derive(Debug)]
struct Wanted {
    openings: usize,
    seats: usize,
    hosts: BTreeMap<SocketAddr, usize>,
    nothing: usize,
}

/// All places.
#[derive(Debug)]
pub(super) struct Floor {
    openings: Tally,
    seats: Tally,
    per_host_max: usize,
    places: BTreeMap<u64, Place>,
    connectors: BTreeMap<Arc<str>, Share>,
    /// Connectors of which lanes wait, in rotation.
    rotation: VecDeque<Arc<str>>,
    hosts: BTreeMap<SocketAddr, Host>,
    /// Carriers with an open session that wait for a seat, by their standing.
    asking: [VecDeque<u64>; 3],
    parked: usize,
    /// Carriers that wait for a host.
    at_hosts: usize,
    /// Lanes that wait for an opening.
    lanes: usize,
    /// Carriers that waited for a host and may connect to it now.
    admitted: Vec<u64>,
    /// Counts what was given to whoever waited.
    turns: usize,
}

impl Floor {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            openings: Tally::new(limits.openings_max),
            seats: Tally::new(limits.seats_max),
            per_host_max: limits.per_host_max.max(1),
            places: BTreeMap::new(),
            connectors: BTreeMap::new(),
            rotation: VecDeque::new(),
            hosts: BTreeMap::new(),
            asking: Default::default(),
            parked: 0,
            at_hosts: 0,
            lanes: 0,
            admitted: Vec::new(),
            turns: 0,
        }
    }

    /// Carriers of any stage.
    pub(super) fn carriers(&self) -> usize {
        self.places.len()
    }

    /// Lanes that wait for an opening.
    pub(super) fn lanes_waiting(&self) -> usize {
        self.lanes
    }

    /// Whether anybody waits for an opening, a seat or a host.
    pub(super) fn is_contended(&self) -> bool {
        self.lanes > 0 || self.at_hosts > 0 || self.asking.iter().any(|asking| !asking.is_empty())
    }

    /// Whether a carrier of such a lane may be started.
    pub(super) fn may_start(&self, connector: &str, standing: Standing) -> bool {
        let own = self.connectors.get(connector).map_or(0, |share| share.carriers);
        // Who waits for a host holds nothing but memory; a lane that was served does not wait behind them.
        let crowd = match standing {
            Standing::Served => self.openings.max.saturating_mul(2),
            Standing::Fresh | Standing::Doubtful => self.openings.max,
        };
        own < CONNECTOR_MIN || (self.openings.has_room(standing) && self.at_hosts < crowd)
    }

    /// A carrier is started: it holds an opening.
    pub(super) fn start(&mut self, carrier: u64, connector: &str, standing: Standing) {
        let connector = self.share_of(connector);
        if let Some(share) = self.connectors.get_mut(&connector) {
            share.carriers = share.carriers.saturating_add(1);
        }
        self.openings.add(standing);
        self.places.insert(
            carrier,
            Place { connector, standing, stage: Stage::Opening, host: None, carried: false },
        );
    }

    /// Lets a lane wait for an opening.
    pub(super) fn queue(&mut self, lane: LaneKey, connector: &str, standing: Standing) {
        let connector = self.share_of(connector);
        if let Some(share) = self.connectors.get_mut(&connector) {
            if share.lanes.iter().all(VecDeque::is_empty) {
                self.rotation.push_back(connector);
            }
            if let Some(lanes) = share.lanes.get_mut(row(standing)) {
                lanes.push_back(lane);
                self.lanes = self.lanes.saturating_add(1);
            }
        }
    }

    /// The next lane that waits and may have a carrier now.
    pub(super) fn next_lane(&mut self) -> Option<LaneKey> {
        if self.lanes == 0 {
            return None;
        }
        for standing in self.order() {
            for _ in 0..self.rotation.len() {
                let connector = self.rotation.pop_front()?;
                let may = self.may_start(&connector, standing);
                let share = self.connectors.get_mut(&connector);
                let lanes = share.and_then(|share| share.lanes.get_mut(row(standing)));
                let lane = lanes.filter(|_| may).and_then(VecDeque::pop_front);
                let waits =
                    self.connectors.get(&connector).is_some_and(|s| s.lanes.iter().any(|l| !l.is_empty()));
                if waits {
                    self.rotation.push_back(Arc::clone(&connector));
                }
                if let Some(lane) = lane {
                    self.lanes = self.lanes.saturating_sub(1);
                    self.turns = self.turns.wrapping_add(1);
                    return Some(lane);
                }
            }
        }
        None
    }

    /// A carrier is about to connect to a host; it is not connected to another one any more. `own_max` is what its
    /// connector allows.
    pub(super) fn reach(&mut self, carrier: u64, address: SocketAddr, own_max: usize) -> Reach {
        self.leave_host(carrier);
        let Some(place) = self.places.get_mut(&carrier) else { return Reach::Go };
        let host = self.hosts.entry(address).or_default();
        host.max = host.max.max(self.per_host_max).max(own_max);
        if host.used < host.max {
            host.used = host.used.saturating_add(1);
            place.host = Some(address);
            return Reach::Go;
        }
        host.waiting.push_back(carrier);
        self.rise(carrier);
        self.at_hosts = self.at_hosts.saturating_add(1);
        if let Some(place) = self.places.get_mut(&carrier) {
            place.stage = Stage::AtHost(address);
        }
        Reach::Wait
    }

    /// A carrier goes on with a connection that was kept: there is none more than before.
    pub(super) fn reuse(&mut self, carrier: u64, address: SocketAddr) {
        self.leave_host(carrier);
        if let Some(place) = self.places.get_mut(&carrier) {
            place.host = Some(address);
            let host = self.hosts.entry(address).or_default();
            host.used = host.used.saturating_add(1);
        }
    }

    /// A carrier's session is open. `false`: it waits for its seat.
    pub(super) fn opened(&mut self, carrier: u64) -> bool {
        let Some(place) = self.places.get_mut(&carrier) else { return true };
        match place.stage {
            Stage::Seated | Stage::Parked => return true,
            Stage::Open => return false,
            Stage::Opening | Stage::AtHost(_) => {}
        }
        let (standing, connector) = (place.standing, Arc::clone(&place.connector));
        if self.may_sit(&connector, standing) {
            self.sit(carrier);
            return true;
        }
        if let Some(place) = self.places.get_mut(&carrier) {
            place.stage = Stage::Open;
        }
        if let Some(asking) = self.asking.get_mut(row(standing)) {
            asking.push_back(carrier);
        }
        false
    }

    /// A carrier's session has ended, and it looks for another one.
    pub(super) fn reopening(&mut self, carrier: u64) {
        self.leave_host(carrier);
        self.rise(carrier);
        if let Some(place) = self.places.get_mut(&carrier) {
            place.stage = Stage::Opening;
            self.openings.add(place.standing);
        }
    }

    /// A carrier has ended.
    pub(super) fn ended(&mut self, carrier: u64) {
        self.leave_host(carrier);
        self.rise(carrier);
        let Some(place) = self.places.remove(&carrier) else { return };
        let Some(share) = self.connectors.get_mut(&place.connector) else { return };
        share.carriers = share.carriers.saturating_sub(1);
        if share.carriers == 0 && share.lanes.iter().all(VecDeque::is_empty) {
            self.connectors.remove(&place.connector);
        }
    }

    /// Carriers that have nothing under way yet.
    pub(super) fn idle(&self) -> Vec<u64> {
        let idle = self.places.iter().filter(|(_, place)| !place.carried);
        idle.map(|(carrier, _)| *carrier).collect()
    }

    /// Gives free seats and hosts to whoever waits for them, the best standing first.
    pub(super) fn grant(&mut self, granted: &mut Vec<u64>) {
        granted.append(&mut self.admitted);
        for standing in self.order() {
            let mut kept = VecDeque::new();
            while let Some(carrier) = self.asking.get_mut(row(standing)).and_then(VecDeque::pop_front) {
                let Some(place) = self.places.get(&carrier).filter(|place| place.stage == Stage::Open) else {
                    continue;
                };
                let connector = Arc::clone(&place.connector);
                if self.may_sit(&connector, standing) {
                    self.sit(carrier);
                    granted.push(carrier);
                    self.turns = self.turns.wrapping_add(1);
                    continue;
                }
                kept.push_back(carrier);
                // The others of this standing may sit only for the sake of their connector's minimum, which
                // few connectors are short of.
                if kept.len() >= ASKING_LOOK {
                    break;
                }
            }
            if let Some(asking) = self.asking.get_mut(row(standing)) {
                kept.append(asking);
                *asking = kept;
            }
        }
    }

    /// Who loses a place while others wait, those that have stood still for longest and are known worst first. A
    /// seat in which nothing moves is given to somebody else soon, and its session goes on without one, for as long
    /// as there are not too many of them; an opening, or a connection to a host that others wait for, ends. After the
    /// final dot no session ends.
    pub(super) fn inspect(&mut self, pulses: &[Pulse]) -> Vec<u64> {
        let mut still: Vec<_> = pulses
            .iter()
            .filter_map(|pulse| Some((self.places.get(&pulse.carrier)?.standing, *pulse)))
            .collect();
        still.sort_by_key(|(standing, pulse)| std::cmp::Reverse((*standing, pulse.still_for)));
        let mut wanted = self.wanted();
        still
            .into_iter()
            .filter(|(_, pulse)| self.loses(*pulse, &mut wanted))
            .map(|(_, p)| p.carrier)
            .collect()
    }

    /// Whether a carrier's session ends; one whose seat is given away, or that moves again, changes its stage.
    fn loses(&mut self, pulse: Pulse, wanted: &mut Wanted) -> bool {
        let Some(place) = self.places.get(&pulse.carrier) else { return false };
        let at_host = place.host.and_then(|host| wanted.hosts.get_mut(&host)).filter(|count| **count > 0);
        let full = self.parked >= self.openings.max.max(PARKED_MIN);
        let (place_wanted, patience) = match place.stage {
            // Too many that wait for hosts keep others from starting.
            Stage::Opening | Stage::AtHost(_) => (&mut wanted.openings, OPENING_PATIENCE),
            Stage::Parked if pulse.still_for < PARKED_AFTER => {
                self.sit(pulse.carrier);
                return false;
            }
            Stage::Seated if wanted.seats > 0 && !full && pulse.still_for >= PARKED_AFTER => {
                wanted.seats = wanted.seats.saturating_sub(1);
                self.park(pulse.carrier);
                return false;
            }
            Stage::Seated | Stage::Parked if full => (&mut wanted.seats, SEAT_PATIENCE),
            Stage::Seated | Stage::Parked => (&mut wanted.nothing, SEAT_PATIENCE),
            Stage::Open => return false,
        };
        if pulse.after_dot || pulse.still_for < patience || (*place_wanted == 0 && at_host.is_none()) {
            return false;
        }
        *place_wanted = place_wanted.saturating_sub(1);
        if let Some(count) = at_host {
            *count = count.saturating_sub(1);
        }
        true
    }

    fn wanted(&self) -> Wanted {
        let waiting = self.hosts.iter().filter(|(_, host)| !host.waiting.is_empty());
        Wanted {
            openings: self.lanes,
            seats: self.asking.iter().map(VecDeque::len).fold(0, usize::saturating_add),
            hosts: waiting.map(|(address, host)| (*address, host.waiting.len())).collect(),
            nothing: 0,
        }
    }

    /// Who comes first now: lanes that were served in three turns of four, so that nobody else waits for ever.
    fn order(&self) -> [Standing; 3] {
        match self.turns.checked_rem(8) {
            Some(3) => [Standing::Fresh, Standing::Doubtful, Standing::Served],
            Some(7) => [Standing::Doubtful, Standing::Fresh, Standing::Served],
            _ => [Standing::Served, Standing::Fresh, Standing::Doubtful],
        }
    }

    fn share_of(&mut self, connector: &str) -> Arc<str> {
        if let Some((name, _)) = self.connectors.get_key_value(connector) {
            return Arc::clone(name);
        }
        let name: Arc<str> = connector.into();
        self.connectors.insert(Arc::clone(&name), Share::default());
        name
    }

    fn may_sit(&self, connector: &str, standing: Standing) -> bool {
        let own = self.connectors.get(connector).map_or(0, |share| share.seats);
        own < CONNECTOR_MIN || self.seats.has_room(standing)
    }

    fn sit(&mut self, carrier: u64) {
        self.rise(carrier);
        let Some(place) = self.places.get_mut(&carrier) else { return };
        place.stage = Stage::Seated;
        place.carried = true;
        self.seats.add(place.standing);
        if let Some(share) = self.connectors.get_mut(&place.connector) {
            share.seats = share.seats.saturating_add(1);
        }
    }

    fn park(&mut self, carrier: u64) {
        self.rise(carrier);
        if let Some(place) = self.places.get_mut(&carrier) {
            place.stage = Stage::Parked;
            self.parked = self.parked.saturating_add(1);
        }
    }

    /// Gives back what a carrier's stage holds.
    fn rise(&mut self, carrier: u64) {
        let Some(place) = self.places.get(&carrier) else { return };
        match place.stage {
            Stage::Opening | Stage::Open => self.openings.take_back(place.standing),
            Stage::AtHost(_) => self.at_hosts = self.at_hosts.saturating_sub(1),
            Stage::Parked => self.parked = self.parked.saturating_sub(1),
            Stage::Seated => {
                self.seats.take_back(place.standing);
                if let Some(share) = self.connectors.get_mut(&place.connector) {
                    share.seats = share.seats.saturating_sub(1);
                }
            }
        }
        if let (Stage::Open, Some(asking)) = (place.stage, self.asking.get_mut(row(place.standing))) {
            asking.retain(|other| *other != carrier);
        }
    }

    fn leave_host(&mut self, carrier: u64) {
        let Some(place) = self.places.get_mut(&carrier) else { return };
        if let Stage::AtHost(address) = place.stage
            && let Some(host) = self.hosts.get_mut(&address)
        {
            host.waiting.retain(|other| *other != carrier);
            self.admit_to(address);
            return;
        }
        let Some(address) = place.host.take() else { return };
        if let Some(host) = self.hosts.get_mut(&address) {
            host.used = host.used.saturating_sub(1);
        }
        self.admit_to(address);
    }

    /// Lets carriers that wait for a host connect to it.
    fn admit_to(&mut self, address: SocketAddr) {
        let Some(host) = self.hosts.get_mut(&address) else { return };
        while host.used < host.max {
            let Some(carrier) = host.waiting.pop_front() else { break };
            let Some(place) = self.places.get_mut(&carrier) else { continue };
            host.used = host.used.saturating_add(1);
            place.stage = Stage::Opening;
            place.host = Some(address);
            self.at_hosts = self.at_hosts.saturating_sub(1);
            self.openings.add(place.standing);
            self.admitted.push(carrier);
        }
        if host.used == 0 && host.waiting.is_empty() {
            self.hosts.remove(&address);
        }
    }
}

impl Tally {
    fn new(max: usize) -> Self {
        Self { max: max.max(1), used: [0; 3] }
    }

    /// Whether there is a place for one of this standing: a quarter is for lanes that were served, and doubtful ones
    /// have half at most.
    fn has_room(&self, standing: Standing) -> bool {
        let [served, fresh, doubtful] = self.used;
        let unserved = fresh.saturating_add(doubtful);
        let less = |parts: usize| self.max.saturating_sub(self.max.checked_div(parts).unwrap_or_default());
        let own = match standing {
            Standing::Served => true,
            Standing::Fresh => unserved < less(4),
            Standing::Doubtful => unserved < less(4) && doubtful < less(2),
        };
        own && served.saturating_add(unserved) < self.max
    }

    fn add(&mut self, standing: Standing) {
        if let Some(used) = self.used.get_mut(row(standing)) {
            *used = used.saturating_add(1);
        }
    }

    fn take_back(&mut self, standing: Standing) {
        if let Some(used) = self.used.get_mut(row(standing)) {
            *used = used.saturating_sub(1);
        }
    }
}

fn row(standing: Standing) -> usize {
    match standing {
        Standing::Served => 0,
        Standing::Fresh => 1,
        Standing::Doubtful => 2,
    }
}

/// Carriers, and seats, that a connector with due mail has whatever the others do.
const CONNECTOR_MIN: usize = 2;
/// Sessions that may go on without a seat, however few openings there may be: each is a descriptor and little more.
const PARKED_MIN: usize = 256;
/// After what time without progress a seat is given away while others wait for one.
const PARKED_AFTER: Duration = Duration::from_secs(1);
/// For how long an opening may stand still while others wait for one.
const OPENING_PATIENCE: Duration = Duration::from_secs(10);
/// For how long a session without a seat may stand still while there are too many of them.
const SEAT_PATIENCE: Duration = Duration::from_secs(15);
/// Carriers that are looked at for a seat when the first ones can't have one.
const ASKING_LOOK: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    impl Floor {
        pub(in crate::scheduler::core) fn has_lane(&self, key: &LaneKey) -> bool {
            self.connectors
                .values()
                .flat_map(|share| share.lanes.iter().flatten())
                .filter(|lane| *lane == key)
                .count()
                == 1
        }

        /// Every count is what counting gives; nobody waits for what is free.
        pub(in crate::scheduler::core) fn check(
            &self,
            carriers: &std::collections::BTreeSet<u64>,
            stopped: bool,
        ) {
            assert!(self.places.keys().eq(carriers.iter()), "a place without a carrier, or the reverse");
            let count =
                |wanted: fn(&Stage) -> bool| self.places.values().filter(|p| wanted(&p.stage)).count();
            let sum = |tally: &Tally| tally.used.iter().sum::<usize>();
            assert_eq!(sum(&self.openings), count(|s| matches!(s, Stage::Opening | Stage::Open)), "openings");
            assert_eq!(sum(&self.seats), count(|s| *s == Stage::Seated), "seats");
            assert_eq!(self.parked, count(|s| *s == Stage::Parked), "parked");
            assert_eq!(self.at_hosts, count(|s| matches!(s, Stage::AtHost(_))), "at hosts");
            let lanes: usize = self.connectors.values().flat_map(|s| s.lanes.iter().map(VecDeque::len)).sum();
            assert_eq!(self.lanes, lanes, "lanes that wait");
            assert!(self.admitted.is_empty(), "admitted, and not told");
            for (address, host) in &self.hosts {
                let used = self.places.values().filter(|place| place.host == Some(*address)).count();
                assert_eq!(host.used, used, "{address}");
                assert!(
                    host.waiting.is_empty() || host.used >= host.max,
                    "{address} is free, and carriers wait"
                );
            }
            for (name, share) in &self.connectors {
                let of_it = self.places.values().filter(|place| place.connector == *name);
                assert_eq!(share.carriers, of_it.clone().count(), "carriers of {name}");
                assert_eq!(
                    share.seats,
                    of_it.filter(|place| place.stage == Stage::Seated).count(),
                    "seats of {name}"
                );
                let waits = share.lanes.iter().any(|lanes| !lanes.is_empty());
                assert_eq!(waits, self.rotation.contains(name), "{name} in rotation");
                for standing in self.order().into_iter().filter(|s| !share.lanes[row(*s)].is_empty()) {
                    assert!(stopped || !self.may_start(name, standing), "{name} could start, and waits");
                }
            }
            for standing in self.order() {
                let asking = &self.asking[row(standing)];
                assert!(
                    asking.is_empty() || stopped || !self.seats.has_room(standing),
                    "a seat is free, and {asking:?} wait"
                );
            }
        }
    }
}
