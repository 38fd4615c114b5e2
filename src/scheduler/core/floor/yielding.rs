//! Decides which carriers lose their place while others wait. It only names them; the caller ends their
//! sessions.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::tally::{STANDINGS, Standing, Tally, count, count_down};
use super::{Floor, Stage, crowd_max};

/// A carrier's progress, as its shell sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) struct Pulse {
    pub(in crate::scheduler) carrier: u64,
    /// Time since its last step.
    pub(in crate::scheduler) still_for: Duration,
    /// Whether the final dot was sent and is unanswered: the message may have been delivered.
    pub(in crate::scheduler) after_dot: bool,
}

/// What is waited for, and what would be free if those already chosen gave up their places. A carrier
/// is only asked to yield if something that waits would benefit.
#[derive(Debug)]
struct SeatDemand {
    openings: Tally,
    /// Number of carriers waiting for a host.
    at_hosts: usize,
    /// Number of lanes waiting for an opening, by standing.
    lanes: [usize; 3],
    seats: Tally,
    /// Number of carriers waiting for a seat, by standing.
    asking: [usize; 3],
    /// Seats that could be given away if fewer sessions were parked.
    parking: usize,
    /// Number of carriers waiting for each host.
    hosts: BTreeMap<SocketAddr, usize>,
}

impl SeatDemand {
    /// Whether one carrier fewer at a host brings a waiting lane closer to its start.
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
    /// Returns the carriers that lose their place while others wait, worst standing and longest without
    /// progress first. A stalled seat is soon given away and its session goes on parked, as long as not
    /// too many are parked. A stalled opening, or a connection to a host that others wait for, ends. No
    /// session ends after the final dot, or if ending it would help nothing that waits.
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

    /// Whether the carrier's session ends. Losing only the seat, or moving again, just changes the
    /// stage.
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
            // Too many carriers waiting for hosts keep others from starting.
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

/// Sessions that may be parked even if there are few openings: each costs little more than a
/// descriptor.
const PARKED_MIN: usize = 256;
/// Time without progress after which a seat is given away while others wait for one.
const PARKED_AFTER: Duration = Duration::from_secs(1);
/// Time an opening may make no progress while others wait for one.
const OPENING_PATIENCE: Duration = Duration::from_secs(10);
/// Time a seated or parked session may make no progress while too many are parked.
const SEAT_PATIENCE: Duration = Duration::from_secs(15);
