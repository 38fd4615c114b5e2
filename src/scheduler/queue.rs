//! What is due and who carries it: the state that the scheduler's tasks share. `now` and the
//! connector table are arguments; what is to be done outside comes back as [`Actions`].

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::Way;
use super::lane::{LOST_MAX, Lane, Learned, State, Waiting};
use super::place::{fits, place};
use super::rate::Rates;
use super::settings::Settings;
use super::settle::{Rules, Work, judge, of_session, to_session, unreported};
use super::together::{Offered, Together};
use super::{Job, retry};
use crate::connector::{Outbound, Retry, Table};
use crate::mail::{Content, UnixMillis};
use crate::outcome::{Outcome, Trouble};
use crate::spool::{Due, DueWindow, LaneKey, Leased, QueuedRecipient, StoredMessage};

/// The shared state: lanes, carriers, and what they carry.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) lanes: HashMap<LaneKey, Lane>,
    pub(super) seats: HashMap<u64, Seat>,
    flights: HashMap<u64, Flight>,
    numbers: u64,
    /// Octets of content held.
    pub(super) held: u64,
    pub(super) held_max: u64,
    /// Messages that wait in memory.
    pub(super) waiting: usize,
    pub(super) window_max: usize,
    pub(super) carriers_max: usize,
    /// Lanes that want a carrier while there are as many as there may be.
    pub(super) turn: VecDeque<LaneKey>,
    pub(super) fetches: usize,
    pub(super) timers: BinaryHeap<Reverse<(UnixMillis, LaneKey)>>,
    /// How much went out by connectors that have a rate.
    pub(super) rates: Rates,
    /// Connectors that stand still.
    pub(super) paused: BTreeSet<Arc<str>>,
    null_sender_expire: Option<Duration>,
    /// Until when the loop sleeps.
    pub(super) planned: Option<UnixMillis>,
    pub(super) stopped: bool,
    /// When the process started.
    pub(super) started_at: UnixMillis,
}

/// A carrier at work.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) lane: LaneKey,
    pub(super) way: Way,
    pub(super) starting: bool,
    /// Whether it counts among the lane's carriers: not any more once it was told that there is
    /// nothing for it.
    pub(super) enlisted: bool,
    handed: usize,
    flights: Vec<u64>,
}

/// A message that a carrier holds.
#[derive(Debug)]
struct Flight {
    seat: u64,
    waiting: Waiting,
    connector: Arc<Outbound>,
    /// Whether its outcomes come from an attempt, and so tell something of the lane.
    attempted: bool,
}

/// The table in force and the time.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) table: &'a Table,
    pub(super) now: UnixMillis,
}

/// What is to be done outside.
#[derive(Debug, Default)]
pub(super) struct Actions {
    pub(super) starts: Vec<Start>,
    pub(super) fetches: Vec<DueWindow>,
    pub(super) sweeps: Vec<Sweep>,
    pub(super) works: Vec<Work>,
    /// The loop sleeps too long.
    pub(super) wake: bool,
}

/// A carrier to be started.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) seat: u64,
    pub(super) way: Way,
}

/// Messages whose time may have come in a dead lane.
#[derive(Debug, Clone)]
pub(super) struct Sweep {
    pub(super) lane: LaneKey,
    pub(super) retry: Retry,
    pub(super) trouble: Trouble,
    pub(super) blocked_until: Option<UnixMillis>,
}

/// A job but for content that must be read first.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) ticket: u64,
    pub(super) message: Arc<StoredMessage>,
    pub(super) recipients: Arc<[QueuedRecipient]>,
    pub(super) content: Option<Content>,
}

impl Taken {
    pub(super) fn into_job(self, content: Content) -> Job {
        Job { message: self.message, recipients: self.recipients, content, ticket: self.ticket }
    }
}

impl Queue {
    pub(super) fn new(settings: &Settings, started_at: UnixMillis) -> Self {
        Self {
            lanes: HashMap::new(),
            seats: HashMap::new(),
            flights: HashMap::new(),
            numbers: 0,
            held: 0,
            held_max: u64::try_from(settings.memory_bytes_max).unwrap_or(u64::MAX),
            waiting: 0,
            window_max: settings.window_max.max(1),
            carriers_max: settings.carriers_max.max(1),
            turn: VecDeque::new(),
            fetches: 0,
            timers: BinaryHeap::new(),
            rates: Rates::default(),
            paused: BTreeSet::new(),
            null_sender_expire: settings.null_sender_expire,
            planned: None,
            stopped: false,
            started_at,
        }
    }

    /// A name that was not used before.
    pub(super) fn number(&mut self) -> u64 {
        self.numbers = self.numbers.saturating_add(1);
        self.numbers
    }

    /// Takes over what was just accepted.
    pub(super) fn offer(&mut self, offered: impl IntoIterator<Item = Offered>, at: At<'_>) -> Actions {
        let mut out = Actions::default();
        for (leased, together) in offered {
            self.receive(leased, together, at, &mut out);
        }
        out
    }

    fn receive(&mut self, leased: Leased, together: Option<Arc<Together>>, at: At<'_>, out: &mut Actions) {
        let key = leased.lane.clone();
        let waiting = Waiting { together, ..Waiting::within(leased, self.held, self.held_max) };
        self.held = self.held.saturating_add(waiting.charged);
        self.admit(&key, waiting, at, out);
        self.tend(key, at, out);
    }

    /// Takes over what the disk had due.
    pub(super) fn fetched(&mut self, key: &LaneKey, due: Option<Due>, at: At<'_>) -> Actions {
        let mut out = Actions::default();
        self.fetches = self.fetches.saturating_sub(1);
        let lane = self.lanes.entry(key.clone()).or_default();
        lane.fetching = false;
        match due {
            Some(due) => {
                if let Some(next_at) = due.next_at {
                    lane.mark_disk(next_at);
                }
                for leased in due.leased {
                    self.receive(leased, None, at, &mut out);
                }
            }
            None => lane.mark_disk(at.now.plus(super::tend::AFTER_FAULT)),
        }
        self.tend(key.clone(), at, &mut out);
        out
    }

    /// The next message for a carrier.
    pub(super) fn take(&mut self, number: u64, at: At<'_>) -> (Option<Taken>, Actions) {
        let mut out = Actions::default();
        let Some(key) = self.seats.get(&number).map(|seat| seat.lane.clone()) else { return (None, out) };
        let may = self.may_take(number, &key) && !self.rests(number, &key, at.now);
        let taken = if may { self.take_front(number, &key, at, &mut out) } else { None };
        if taken.is_some() {
            self.note_rate(number, at.now);
        }
        if taken.is_none() {
            self.leave(number);
        }
        self.tend(key, at, &mut out);
        (taken, out)
    }

    fn may_take(&mut self, number: u64, key: &LaneKey) -> bool {
        let (Some(seat), Some(lane)) = (self.seats.get_mut(&number), self.lanes.get_mut(key)) else {
            return false;
        };
        if std::mem::take(&mut seat.starting) {
            lane.starting = lane.starting.saturating_sub(1);
        }
        if !seat.enlisted {
            if lane.carriers >= lane.carriers_max() {
                return false;
            }
            seat.enlisted = true;
            lane.carriers = lane.carriers.saturating_add(1);
        }
        // Where lanes wait for a carrier, a long queue gives its own up from time to time.
        if self.stopped || (seat.handed >= TURN_JOBS && !self.turn.is_empty()) {
            return false;
        }
        match lane.state {
            State::Open => true,
            State::Probing => lane.in_flight == 0,
            State::Blocked(_) | State::Paused => false,
        }
    }

    fn take_front(&mut self, number: u64, key: &LaneKey, at: At<'_>, out: &mut Actions) -> Option<Taken> {
        loop {
            let waiting = self.pop(key, at.now)?;
            let way = &self.seats.get(&number)?.way;
            if fits(at.table, way, &waiting.leased) {
                return self.hand_out(number, key, waiting);
            }
            // Its way has changed; one that keeps the lane, but not the connector's settings, is
            // for a carrier that starts by the new ones.
            let stays = place(at.table, waiting);
            if self.rehome(key, stays, at, out).is_some() {
                return None;
            }
        }
    }

    fn hand_out(&mut self, number: u64, key: &LaneKey, waiting: Waiting) -> Option<Taken> {
        let ticket = self.number();
        let lane = self.lanes.get_mut(key)?;
        lane.in_flight = lane.in_flight.saturating_add(1);
        let seat = self.seats.get_mut(&number)?;
        seat.handed = seat.handed.saturating_add(1);
        seat.flights.push(ticket);
        let taken = Taken {
            ticket,
            message: Arc::clone(&waiting.leased.message),
            recipients: waiting.leased.recipients.as_slice().into(),
            content: waiting.leased.content.clone(),
        };
        let connector = Arc::clone(&seat.way.connector);
        self.flights.insert(ticket, Flight { seat: number, waiting, connector, attempted: true });
        Some(taken)
    }

    /// What a job came to.
    pub(super) fn report(&mut self, ticket: u64, outcomes: Vec<Outcome>, at: At<'_>) -> Actions {
        let mut out = Actions::default();
        let Some(flight) = self.flights.remove(&ticket) else { return out };
        if let Some(seat) = self.seats.get_mut(&flight.seat) {
            seat.flights.retain(|known| *known != ticket);
        }
        self.conclude(flight, outcomes, at, &mut out);
        out
    }

    /// A job that can't be given to its carrier; it is no fault of the lane.
    pub(super) fn set_aside(&mut self, ticket: u64, trouble: &Trouble, at: At<'_>) -> Actions {
        let Some(flight) = self.flights.get_mut(&ticket) else { return Actions::default() };
        flight.attempted = false;
        let count = flight.waiting.leased.recipients.len();
        self.report(ticket, vec![Outcome::Deferred(trouble.clone()); count], at)
    }

    fn conclude(&mut self, flight: Flight, mut outcomes: Vec<Outcome>, at: At<'_>, out: &mut Actions) {
        let Flight { mut waiting, connector, attempted, .. } = flight;
        let key = waiting.leased.lane.clone();
        let missing = waiting.leased.recipients.len().saturating_sub(outcomes.len());
        outcomes.extend(std::iter::repeat_with(|| Outcome::Deferred(unreported())).take(missing));
        let lane = self.lanes.entry(key.clone()).or_default();
        lane.in_flight = lane.in_flight.saturating_sub(1);
        let learned =
            if attempted { lane.learn(&outcomes, &connector.retry, at.now) } else { Learned::Nothing };
        if learned == Learned::Crowded {
            outcomes.iter_mut().for_each(to_session);
        }
        let blocked_until = lane.blocked_until();
        if learned == Learned::Blocked {
            self.forget_all(&key, at, out);
        }
        let progress = outcomes.iter().any(|outcome| !of_session(outcome));
        waiting.lost = if progress { 0 } else { waiting.lost.saturating_add(1) };
        let accepted_at = waiting.leased.message.accepted_at;
        let again = waiting.lost < LOST_MAX || self.stopped;
        let path = &waiting.leased.message.reverse_path;
        let retry = retry::for_message(&connector.retry, self.null_sender_expire, path);
        let rules = Rules { retry: &retry, accepted_at, now: at.now, blocked_until, again };
        let (mut verdicts, mut kept) = (Vec::with_capacity(outcomes.len()), Vec::new());
        for (recipient, outcome) in std::mem::take(&mut waiting.leased.recipients).into_iter().zip(outcomes) {
            match judge(rules, &recipient, outcome) {
                Some(verdict) => verdicts.push((recipient, verdict)),
                None => kept.push(recipient),
            }
        }
        if verdicts.is_empty() {
            waiting.leased.recipients = kept;
            self.push_front(&key, waiting, at.now);
            return self.tend(key, at, out);
        }
        let numbers: Vec<u32> = verdicts.iter().map(|(recipient, _)| recipient.number).collect();
        let done = waiting.part(&numbers).leased;
        let until = retry::expires_at(&retry, accepted_at);
        let Leased { message, lease, content, .. } = done;
        let together = waiting.together.clone();
        out.works.push(Work { message, lease, content, lane: key.clone(), until, verdicts, together });
        if kept.is_empty() {
            self.held = self.held.saturating_sub(waiting.charged);
        } else {
            waiting.leased.recipients = kept;
            self.push_front(&key, waiting, at.now);
        }
        self.tend(key, at, out);
    }

    /// A carrier has ended; what it did not report goes back.
    pub(super) fn ended(&mut self, number: u64, at: At<'_>) -> Actions {
        let mut out = Actions::default();
        self.leave(number);
        let Some(seat) = self.seats.remove(&number) else { return out };
        for ticket in seat.flights {
            if let Some(flight) = self.flights.remove(&ticket) {
                self.conclude(flight, Vec::new(), at, &mut out);
            }
        }
        self.tend(seat.lane, at, &mut out);
        while self.seats.len() < self.carriers_max {
            let Some(key) = self.turn.pop_front() else { break };
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.in_turn = false;
            }
            self.tend(key, at, &mut out);
        }
        out
    }

    /// A carrier takes no more jobs of its lane for now.
    fn leave(&mut self, number: u64) {
        let Some(seat) = self.seats.get_mut(&number) else { return };
        seat.handed = 0;
        let (enlisted, starting) = (std::mem::take(&mut seat.enlisted), std::mem::take(&mut seat.starting));
        if let Some(lane) = self.lanes.get_mut(&seat.lane) {
            lane.carriers = lane.carriers.saturating_sub(usize::from(enlisted));
            lane.starting = lane.starting.saturating_sub(usize::from(starting));
        }
    }

    pub(super) fn seat(&mut self, lane: LaneKey, way: Way) -> u64 {
        let number = self.number();
        let seat = Seat { lane, way, starting: true, enlisted: true, handed: 0, flights: Vec::new() };
        self.seats.insert(number, seat);
        number
    }

    /// Hands out nothing any more, and forgets what waits; the disk has it.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
        for lane in self.lanes.values_mut() {
            lane.waiting.clear();
            lane.fresh = 0;
        }
        self.waiting = 0;
    }
}

/// Jobs that a carrier is given in a row while other lanes wait for one.
const TURN_JOBS: usize = 50;
