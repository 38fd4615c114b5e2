//! Decides which carrier may open a session, use one, or connect to a host; it opens none itself.
//! Opening a session (DNS, connect, greeting, EHLO, TLS) takes an opening, not a seat; a seat is for a
//! session that carries mail.
//!
//! Recently served lanes go first in three turns of four, and a quarter of the openings and seats is
//! reserved for them. Failing lanes, and lanes that hold only reports and never delivered anything, get
//! at most half. Every connector has a minimum. A carrier that makes no progress while others wait
//! loses its place (`yielding`), so that slow hosts delay only their own mail.

mod tally;
mod yielding;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use self::tally::{STANDINGS, Tally, count, count_down, count_up, row};
use super::Limits;
use super::share::ConnectorShares;
use crate::spool::LaneKey;

pub(super) use self::tally::Standing;
pub(in crate::scheduler) use self::yielding::Pulse;

/// What a carrier is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Looking for a host, or opening a session.
    Opening,
    /// Waiting until the host has fewer connections.
    AtHost(SocketAddr),
    /// The session is open and waits for a seat; it keeps its opening meanwhile.
    Open,
    /// Carrying mail.
    Seated,
    /// Carrying mail, but its seat was taken because nothing moved while others waited.
    Parked,
}

#[derive(Debug)]
struct Place {
    connector: Arc<str>,
    standing: Standing,
    stage: Stage,
    /// The host it is connected to, or may connect to.
    host: Option<SocketAddr>,
    /// Whether it has had a seat: it may hold outcomes that are not reported yet.
    carried: bool,
}

/// One connector's places in use, and its lanes that wait for one.
#[derive(Debug, Default)]
struct Share {
    carriers: usize,
    seats: usize,
    /// Lanes that wait for an opening, by standing.
    lanes: [VecDeque<LaneKey>; 3],
}

#[derive(Debug, Default)]
struct Host {
    used: usize,
    max: usize,
    waiting: VecDeque<u64>,
}

/// Whether a carrier may connect to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) enum Reach {
    /// It may connect now.
    Go,
    /// It must wait until granted.
    Wait,
}

/// All places: openings, seats and host connections.
#[derive(Debug)]
pub(super) struct Floor {
    openings: Tally,
    seats: Tally,
    per_host_max: usize,
    places: BTreeMap<u64, Place>,
    connectors: BTreeMap<Arc<str>, Share>,
    /// Connectors with waiting lanes, in rotation.
    rotation: VecDeque<Arc<str>>,
    /// Connectors in `rotation` with fewer carriers than their minimum.
    short: BTreeSet<Arc<str>>,
    hosts: BTreeMap<SocketAddr, Host>,
    /// Carriers with an open session that wait for a seat, by standing.
    asking: [VecDeque<u64>; 3],
    parked: usize,
    /// Connectors that gave up a seat and may now be below their minimum.
    vacated: Vec<Arc<str>>,
    /// Number of carriers waiting for a host.
    at_hosts: usize,
    /// Number of lanes waiting for an opening, by standing.
    lanes: [usize; 3],
    /// Carriers that waited for a host and may connect now.
    admitted: Vec<u64>,
    /// Counts the places given to those that waited.
    turns: usize,
    /// Nothing more is granted.
    stopped: bool,
}

/// What happens to the carriers at the stop. Those that carry mail finish it.
#[derive(Debug, Default)]
pub(super) struct StopSummary {
    /// Nothing under way yet: they end at once.
    pub(super) dismissed: Vec<u64>,
    /// Have carried mail and are looking for another session: they report what they have.
    pub(super) recalled: Vec<u64>,
    /// Have carried mail and hold another open session.
    pub(super) granted: Vec<u64>,
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
            short: BTreeSet::new(),
            hosts: BTreeMap::new(),
            asking: Default::default(),
            parked: 0,
            vacated: Vec::new(),
            at_hosts: 0,
            lanes: [0; 3],
            admitted: Vec::new(),
            turns: 0,
            stopped: false,
        }
    }

    /// Number of carriers in any stage.
    pub(super) fn carriers(&self) -> usize {
        self.places.len()
    }

    /// Adds what each connector's carriers are doing.
    pub(super) fn note_shares(&self, shares: &mut ConnectorShares) {
        for place in self.places.values() {
            let share = shares.entry(Arc::clone(&place.connector)).or_default();
            let count = match place.stage {
                Stage::Opening => &mut share.opening,
                Stage::AtHost(_) | Stage::Open => &mut share.queued,
                Stage::Seated => &mut share.seated,
                Stage::Parked => &mut share.parked,
            };
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn lanes_waiting(&self) -> usize {
        self.lanes.iter().copied().fold(0, usize::saturating_add)
    }

    /// Whether anything waits for an opening, a seat or a host.
    pub(super) fn is_contended(&self) -> bool {
        self.is_crowded() || self.at_hosts > 0
    }

    /// Whether anything waits for an opening or a seat.
    pub(super) fn is_crowded(&self) -> bool {
        self.lanes_waiting() > 0 || self.asking.iter().any(|asking| !asking.is_empty())
    }

    /// Whether a carrier may be started for a lane of this connector and standing.
    pub(super) fn may_start(&self, connector: &str, standing: Standing) -> bool {
        self.is_short(connector) || self.may_open(standing)
    }

    fn is_short(&self, connector: &str) -> bool {
        self.connectors.get(connector).is_none_or(|share| share.carriers < CONNECTOR_MIN)
    }

    fn may_open(&self, standing: Standing) -> bool {
        self.openings.has_room(standing) && self.at_hosts < crowd_max(&self.openings, standing)
    }

    /// Records whether the connector has waiting lanes and is below its minimum of carriers.
    fn note_short(&mut self, connector: &Arc<str>) {
        let short = self.waits(connector) && self.is_short(connector);
        if !short {
            self.short.remove(connector);
        } else if !self.short.contains(connector) {
            self.short.insert(Arc::clone(connector));
        }
    }

    /// Registers a started carrier; it holds an opening.
    pub(super) fn start(&mut self, carrier: u64, connector: &str, standing: Standing) {
        let connector = self.share_of(connector);
        if let Some(share) = self.connectors.get_mut(&connector) {
            share.carriers = share.carriers.saturating_add(1);
        }
        self.note_short(&connector);
        self.openings.add(standing);
        self.places.insert(
            carrier,
            Place { connector, standing, stage: Stage::Opening, host: None, carried: false },
        );
    }

    /// Queues a lane for an opening.
    pub(super) fn queue(&mut self, lane: LaneKey, connector: &str, standing: Standing) {
        let connector = self.share_of(connector);
        if let Some(share) = self.connectors.get_mut(&connector) {
            if share.lanes.iter().all(VecDeque::is_empty) {
                self.rotation.push_back(Arc::clone(&connector));
            }
            if let Some(lanes) = share.lanes.get_mut(row(standing)) {
                lanes.push_back(lane);
                count_up(&mut self.lanes, standing);
            }
        }
        self.note_short(&connector);
    }

    /// The next waiting lane that may have a carrier now.
    pub(super) fn next_lane(&mut self) -> Option<LaneKey> {
        for standing in self.order() {
            if count(&self.lanes, standing) == 0 || !self.may_open(standing) {
                continue;
            }
            for _ in 0..self.rotation.len() {
                let connector = self.rotation.pop_front()?;
                let lane = self.next_of(&connector, standing);
                if self.waits(&connector) {
                    self.rotation.push_back(connector);
                }
                if lane.is_some() {
                    return lane;
                }
            }
        }
        let short = self.short.first().cloned()?;
        let lane = self.order().into_iter().find_map(|standing| self.next_of(&short, standing));
        if !self.waits(&short) {
            self.rotation.retain(|other| *other != short);
        }
        lane
    }

    fn waits(&self, connector: &str) -> bool {
        self.connectors.get(connector).is_some_and(|share| share.lanes.iter().any(|lanes| !lanes.is_empty()))
    }

    fn next_of(&mut self, connector: &Arc<str>, standing: Standing) -> Option<LaneKey> {
        let lane = self.connectors.get_mut(connector)?.lanes.get_mut(row(standing))?.pop_front()?;
        count_down(&mut self.lanes, standing);
        self.turns = self.turns.wrapping_add(1);
        self.note_short(connector);
        Some(lane)
    }

    /// A carrier is about to connect to a host, and has left the previous one. `own_max` is the limit
    /// of its connector.
    pub(super) fn reach(&mut self, carrier: u64, address: SocketAddr, own_max: usize) -> Reach {
        self.leave_host(carrier);
        let Some(place) = self.places.get_mut(&carrier) else { return Reach::Go };
        let host = self.hosts.entry(address).or_default();
        host.max = host.max.max(self.per_host_max).max(own_max);
        if host.used < host.max && !self.stopped {
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

    /// A carrier reuses a cached connection, so the number of connections stays the same.
    pub(super) fn reuse(&mut self, carrier: u64, address: SocketAddr) {
        self.leave_host(carrier);
        if let Some(place) = self.places.get_mut(&carrier) {
            place.host = Some(address);
            let host = self.hosts.entry(address).or_default();
            host.used = host.used.saturating_add(1);
        }
    }

    /// A carrier's session is open. `false`: it must wait for a seat, which after the stop never comes.
    pub(super) fn opened(&mut self, carrier: u64) -> bool {
        let Some(place) = self.places.get_mut(&carrier) else { return true };
        match place.stage {
            Stage::Seated | Stage::Parked => return true,
            Stage::Open => return false,
            Stage::Opening | Stage::AtHost(_) => {}
        }
        let (standing, connector, carried) = (place.standing, Arc::clone(&place.connector), place.carried);
        if self.may_sit(&connector, standing) && (!self.stopped || carried) {
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

    /// A carrier's session has ended and it looks for another. `false`: it may not open one after the
    /// stop.
    pub(super) fn reopening(&mut self, carrier: u64) -> bool {
        self.leave_host(carrier);
        if self.stopped {
            return false;
        }
        self.rise(carrier);
        if let Some(place) = self.places.get_mut(&carrier) {
            place.stage = Stage::Opening;
            self.openings.add(place.standing);
        }
        true
    }

    pub(super) fn ended(&mut self, carrier: u64) {
        self.leave_host(carrier);
        self.rise(carrier);
        let Some(place) = self.places.remove(&carrier) else { return };
        let Some(share) = self.connectors.get_mut(&place.connector) else { return };
        share.carriers = share.carriers.saturating_sub(1);
        if share.carriers == 0 && share.lanes.iter().all(VecDeque::is_empty) {
            self.connectors.remove(&place.connector);
        }
        self.note_short(&place.connector);
    }

    /// Grants nothing more. Unlike [`Self::stop`] it does not read the state, which may be
    /// inconsistent.
    pub(super) fn distrust(&mut self) {
        self.stopped = true;
    }

    /// Grants nothing more, and sorts the carriers by what they have to do now.
    pub(super) fn stop(&mut self) -> StopSummary {
        self.stopped = true;
        let mut stopped = StopSummary::default();
        for (carrier, place) in &self.places {
            match place.stage {
                _ if !place.carried => stopped.dismissed.push(*carrier),
                Stage::Opening | Stage::AtHost(_) => stopped.recalled.push(*carrier),
                Stage::Open => stopped.granted.push(*carrier),
                Stage::Seated | Stage::Parked => {}
            }
        }
        for carrier in &stopped.granted {
            self.sit(*carrier);
        }
        stopped
    }

    /// Grants free seats and hosts to those that wait, best standing first.
    pub(super) fn grant(&mut self, granted: &mut Vec<u64>) {
        if self.stopped {
            return;
        }
        granted.append(&mut self.admitted);
        for connector in std::mem::take(&mut self.vacated) {
            while let Some(carrier) = self.first_short_of_seats(&connector) {
                self.sit(carrier);
                granted.push(carrier);
            }
        }
        for standing in self.order() {
            while self.seats.has_room(standing)
                && let Some(carrier) = self.asking.get_mut(row(standing)).and_then(VecDeque::pop_front)
            {
                self.sit(carrier);
                granted.push(carrier);
                self.turns = self.turns.wrapping_add(1);
            }
        }
    }

    /// The connector's first carrier that waits for a seat, if the connector is below its minimum of
    /// seats.
    fn first_short_of_seats(&self, connector: &str) -> Option<u64> {
        let seats = self.connectors.get(connector)?.seats;
        let of_it =
            |carrier: &&u64| self.places.get(carrier).is_some_and(|place| &*place.connector == connector);
        self.asking.iter().flatten().find(of_it).copied().filter(|_| seats < CONNECTOR_MIN)
    }

    /// The order of standings for this turn. Served lanes go first in three turns of four, so that the
    /// others are not starved.
    fn order(&self) -> [Standing; 3] {
        match self.turns.checked_rem(8) {
            Some(3) => [Standing::Fresh, Standing::Doubtful, Standing::Served],
            Some(7) => [Standing::Doubtful, Standing::Fresh, Standing::Served],
            _ => STANDINGS,
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

    /// Gives back what the carrier's stage holds.
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
                    if share.seats < CONNECTOR_MIN {
                        self.vacated.push(Arc::clone(&place.connector));
                    }
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

    /// Admits carriers that wait for a host while it has connections left.
    fn admit_to(&mut self, address: SocketAddr) {
        let Some(host) = self.hosts.get_mut(&address) else { return };
        while host.used < host.max && !self.stopped {
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

/// Number of carriers that may wait for hosts before a lane of this standing must wait too. A carrier
/// that waits for a host holds only memory, and a served lane does not queue behind them.
fn crowd_max(openings: &Tally, standing: Standing) -> usize {
    match standing {
        Standing::Served => openings.max.saturating_mul(2),
        Standing::Fresh | Standing::Doubtful => openings.max,
    }
}

/// Carriers, and seats, guaranteed to each connector with due mail.
const CONNECTOR_MIN: usize = 2;

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

        /// Recounts every counter, and checks that nothing waits for a free place.
        pub(in crate::scheduler::core) fn check(
            &self,
            carriers: &std::collections::BTreeSet<u64>,
            stopped: bool,
        ) {
            assert!(self.places.keys().eq(carriers.iter()), "a place without a carrier, or the reverse");
            let at_stage =
                |wanted: fn(&Stage) -> bool| self.places.values().filter(|p| wanted(&p.stage)).count();
            let sum = |tally: &Tally| tally.used.iter().sum::<usize>();
            assert_eq!(
                sum(&self.openings),
                at_stage(|s| matches!(s, Stage::Opening | Stage::Open)),
                "openings"
            );
            assert_eq!(sum(&self.seats), at_stage(|s| *s == Stage::Seated), "seats");
            assert_eq!(self.parked, at_stage(|s| *s == Stage::Parked), "parked");
            assert_eq!(self.at_hosts, at_stage(|s| matches!(s, Stage::AtHost(_))), "at hosts");
            for standing in STANDINGS {
                let lanes: usize = self.connectors.values().map(|s| s.lanes[row(standing)].len()).sum();
                assert_eq!(count(&self.lanes, standing), lanes, "{standing:?} lanes that wait");
            }
            assert!(self.admitted.is_empty(), "admitted, and not told");
            for (address, host) in &self.hosts {
                let used = self.places.values().filter(|place| place.host == Some(*address)).count();
                assert_eq!(host.used, used, "{address}");
                assert!(
                    stopped || host.waiting.is_empty() || host.used >= host.max,
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
                let short = waits && share.carriers < CONNECTOR_MIN;
                assert_eq!(short, self.short.contains(name), "{name} is short");
                for standing in self.order().into_iter().filter(|s| !share.lanes[row(*s)].is_empty()) {
                    assert!(stopped || !self.may_start(name, standing), "{name} could start, and waits");
                }
            }
            for standing in STANDINGS {
                let asking = &self.asking[row(standing)];
                assert!(
                    asking.is_empty() || stopped || !self.seats.has_room(standing),
                    "a seat is free, and {asking:?} wait"
                );
                for carrier in asking.iter().filter(|_| !stopped) {
                    assert!(!self.may_sit(&self.places[carrier].connector, standing), "{carrier} may sit");
                }
            }
        }
    }
}
