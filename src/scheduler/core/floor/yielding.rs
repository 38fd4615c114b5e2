//! Who loses a place while others wait for one.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::tally::{STANDINGS, Standing, Tally, count, count_down};
use super::{Floor, Stage, crowd_max};

/// How a carrier gets on, as its shell sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) struct Pulse {
    pub(in crate::scheduler) carrier: u64,
    /// For how long it has made no step.
    pub(in crate::scheduler) still_for: Duration,
    /// Whether a final dot was sent that is not answered yet: the message may be delivered.
    pub(in crate::scheduler) after_dot: bool,
}

/// What is waited for, and what there would be if those already chosen gave way: nobody gives way for nobody.
#[derive(Debug)]
struct SeatDemand {
    openings: Tally,
    /// Carriers that wait for a host.
    at_hosts: usize,
    /// Lanes that wait for an opening.
    lanes: [usize; 3],
    seats: Tally,
    /// Carriers that wait for a seat.
    asking: [usize; 3],
    /// Seats that could be given away if there were fewer sessions without one.
    parking: usize,
    /// Carriers that wait for each host.
    hosts: BTreeMap<SocketAddr, usize>,
}

impl SeatDemand {
    /// Whether a lane is nearer to its start if one carrier less waits for a host.
    fn passes_on_a_wait(&mut self) -> bool {
        let kept_out = |to: &Standing| {
            let crowd = crowd_max(&self.openings, *to);
            count(&self.lanes, *to) > 0 && self.at_hosts >= crowd && self.openings.has_room(*to)
        };
        let Some(next) = STANDINGS.into_iter().find(kept_out) else { return false };
        self.at_hosts = self.at_hosts.saturating_sub(1);
        if self.at_hosts < crowd_max(&self.openings, next) {
            count_down(&mut self.lanes, next);
            self.openings.add(next);
        }
        true
    }

    fn passes_on_the_host(&mut self, host: Option<SocketAddr>) -> bool {
        let waiting = host.and_then(|host| self.hosts.get_mut(&host)).filter(|count| **count > 0);
        waiting.map(|count| *count = count.saturating_sub(1)).is_some()
    }

    fn passes_on_parking(&mut self) -> bool {
        let wanted = self.parking > 0;
        self.parking = self.parking.saturating_sub(1);
        wanted
    }
}

impl Floor {
    /// Who loses a place while others wait, those that have stood still for longest and are known worst first. A
    /// seat in which nothing moves is given to somebody else soon, and its session goes on without one, for as long
    /// as there are not too many of them; an opening, or a connection to a host that others wait for, ends. After the
    /// final dot no session ends, and none where its end would help nobody.
    pub(in crate::scheduler::core) fn inspect(&mut self, pulses: &[Pulse]) -> Vec<u64> {
        let mut still: Vec<_> = pulses
            .iter()
            .filter_map(|pulse| Some((self.places.get(&pulse.carrier)?.standing, *pulse)))
            .collect();
        still.sort_by_key(|(standing, pulse)| Reverse((*standing, pulse.still_for)));
        let mut wanted = self.wanted();
        still
            .into_iter()
            .filter(|(_, pulse)| self.loses(*pulse, &mut wanted))
            .map(|(_, p)| p.carrier)
            .collect()
    }

    /// Whether a carrier's session ends; one whose seat is given away, or that moves again, changes its stage.
    fn loses(&mut self, pulse: Pulse, wanted: &mut SeatDemand) -> bool {
        let Some(place) = self.places.get(&pulse.carrier) else { return false };
        let (stage, standing, host) = (place.stage, place.standing, place.host);
        if stage == Stage::Parked && pulse.still_for < PARKED_AFTER {
            self.sit(pulse.carrier);
            return false;
        }
        let full = self.parked >= self.openings.max.max(PARKED_MIN);
        let parks = stage == Stage::Seated && !full && pulse.still_for >= PARKED_AFTER;
        if parks && wanted.seats.pass_on(standing, &mut wanted.asking) {
            self.park(pulse.carrier);
            return false;
        }
        let patience = match stage {
            Stage::Opening | Stage::AtHost(_) => OPENING_PATIENCE,
            Stage::Seated | Stage::Parked => SEAT_PATIENCE,
            Stage::Open => return false,
        };
        if pulse.after_dot || pulse.still_for < patience {
            return false;
        }
        let for_place = match stage {
            Stage::Opening => wanted.openings.pass_on(standing, &mut wanted.lanes),
            // Too many that wait for hosts keep others from starting.
            Stage::AtHost(_) => wanted.passes_on_a_wait(),
            Stage::Seated => full && wanted.seats.pass_on(standing, &mut wanted.asking),
            Stage::Parked => full && wanted.passes_on_parking(),
            Stage::Open => false,
        };
        wanted.passes_on_the_host(host) || for_place
    }

    fn wanted(&self) -> SeatDemand {
        let waiting = self.hosts.iter().filter(|(_, host)| !host.waiting.is_empty());
        let asking = self.asking.each_ref().map(std::collections::VecDeque::len);
        SeatDemand {
            openings: self.openings.clone(),
            at_hosts: self.at_hosts,
            lanes: self.lanes,
            seats: self.seats.clone(),
            asking,
            parking: asking.iter().copied().fold(0, usize::saturating_add),
            hosts: waiting.map(|(address, host)| (*address, host.waiting.len())).collect(),
        }
    }
}

/// Sessions that may go on without a seat, however few openings there may be: each is a descriptor and little more.
const PARKED_MIN: usize = 256;
/// After what time without progress a seat is given away while others wait for one.
const PARKED_AFTER: Duration = Duration::from_secs(1);
/// For how long an opening may stand still while others wait for one.
const OPENING_PATIENCE: Duration = Duration::from_secs(10);
/// For how long a session without a seat may stand still while there are too many of them.
const SEAT_PATIENCE: Duration = Duration::from_secs(15);
