//! The state of the queue and the events that change it. It does no I/O: each event returns the actions
//! to take.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::super::{Job, Way};
use super::floor::{Floor, Pulse, Reach, StopSummary};
use super::joined::{FailureTiming, JoinedReports};
use super::lane::{LOST_MAX, Lane, Lesson, State, WaitingMessage, believed, connector_of};
use super::place::{fits, place, rerouted};
use super::rate::Rates;
use super::served::ServedLanes;
use super::settle::{Rules, Work, judge, of_session, to_session, unreported};
use super::timers::{Later, Timers};
use super::{AFTER_FAULT, Actions, At, Limits, Notice, Timer, retry};
use crate::connector::Outbound;
use crate::mail::{Content, QueueId, UnixMillis};
use crate::outcome::{Outcome, Trouble};
use crate::spool::{Divisible, LaneKey, Leased, QueuedRecipient, StoredMessage};

/// What waits, which carriers hold it, and what is due.
#[derive(Debug)]
pub(in crate::scheduler) struct Core<L> {
    pub(super) lanes: BTreeMap<LaneKey, Lane<L>>,
    pub(super) carriers: BTreeMap<u64, Carrier>,
    flights: BTreeMap<u64, Flight<L>>,
    numbers: u64,
    pub(super) floor: Floor,
    /// Octets of content held in memory.
    pub(super) held: u64,
    held_max: u64,
    /// Messages waiting in memory.
    pub(super) waiting: usize,
    pub(super) window_max: usize,
    /// Fetches under way, and the lanes waiting to fetch.
    pub(super) fetches: usize,
    pub(super) hungry: VecDeque<LaneKey>,
    /// Waiting lanes that are being served, or were recently.
    pub(super) hungry_served: VecDeque<LaneKey>,
    /// Counts the fetches.
    pub(super) fed: usize,
    pub(super) timers: Timers,
    /// When the carriers' progress is checked next.
    inspect_at: Option<UnixMillis>,
    /// Messages sent by connectors that have a rate limit.
    rates: Rates,
    /// Connectors that are paused.
    pub(super) paused: BTreeSet<Arc<str>>,
    joined: JoinedReports<L>,
    /// Dropped lanes whose hosts accepted mail.
    pub(super) served: ServedLanes,
    null_sender_expire: Option<Duration>,
    pub(super) stopped: bool,
    pub(super) started_at: UnixMillis,
}

#[derive(Debug)]
pub(super) struct Carrier {
    pub(super) lane: LaneKey,
    pub(super) way: Arc<Way>,
    starting: bool,
    /// Whether it counts among the lane's carriers: no longer once it was told there is nothing for it.
    enlisted: bool,
    pub(super) handed: usize,
    pub(super) flights: Vec<u64>,
    /// Questions that it took and has not answered.
    pub(super) questions: Vec<u64>,
}

/// A message held by a carrier.
#[derive(Debug)]
struct Flight<L> {
    carrier: u64,
    waiting: WaitingMessage<L>,
    connector: Arc<Outbound>,
    /// Whether its outcomes come from an attempt, and so say something about the lane.
    attempted: bool,
}

/// A job whose content may still have to be read.
#[derive(Debug)]
pub(in crate::scheduler) struct LeasedJob {
    pub(in crate::scheduler) ticket: u64,
    pub(in crate::scheduler) message: Arc<StoredMessage>,
    pub(in crate::scheduler) recipients: Arc<[QueuedRecipient]>,
    pub(in crate::scheduler) content: Option<Content>,
}

/// What a carrier is handed.
#[derive(Debug)]
pub(in crate::scheduler) enum HandedWork {
    Job(LeasedJob),
    /// A question about a recipient, by its ticket.
    Question(u64),
}

impl LeasedJob {
    pub(in crate::scheduler) fn into_job(self, content: Content) -> Job {
        Job { message: self.message, recipients: self.recipients, content, ticket: self.ticket }
    }
}

impl<L: Divisible> Core<L> {
    pub(in crate::scheduler) fn new(limits: &Limits, started_at: UnixMillis) -> Self {
        Self {
            lanes: BTreeMap::new(),
            carriers: BTreeMap::new(),
            flights: BTreeMap::new(),
            numbers: 0,
            floor: Floor::new(limits),
            held: 0,
            held_max: limits.held_bytes_max,
            waiting: 0,
            window_max: limits.window_max.max(1),
            fetches: 0,
            hungry: VecDeque::new(),
            hungry_served: VecDeque::new(),
            fed: 0,
            timers: Timers::default(),
            inspect_at: None,
            rates: Rates::default(),
            paused: BTreeSet::new(),
            joined: JoinedReports::default(),
            served: ServedLanes::default(),
            null_sender_expire: limits.null_sender_expire,
            stopped: false,
            started_at,
        }
    }

    /// A number that was not used before.
    fn number(&mut self) -> u64 {
        self.numbers = self.numbers.saturating_add(1);
        self.numbers
    }

    /// Takes over newly accepted messages; the parts of one message are adjacent.
    pub(in crate::scheduler) fn offer(&mut self, mut leased: Vec<Leased<L>>, at: At<'_>) -> Actions<L> {
        let mut out = Actions::default();
        while let Some(id) = leased.first().map(|first| first.message.id) {
            let parts = leased.iter().take_while(|part| part.message.id == id).count();
            let joined = parts > 1 && self.joined.begin(id, parts);
            for part in leased.drain(..parts) {
                self.receive(part, joined, at, &mut out);
            }
        }
        self.close(at, out)
    }

    /// The lane of this key, created if missing.
    pub(super) fn lane(&mut self, key: &LaneKey) -> &mut Lane<L> {
        let served = &self.served;
        self.lanes
            .entry(key.clone())
            .or_insert_with(|| Lane { last_taken: served.recall(key), ..Lane::default() })
    }

    fn receive(&mut self, leased: Leased<L>, joined: bool, at: At<'_>, out: &mut Actions<L>) {
        let key = leased.lane.clone();
        let waiting = WaitingMessage { joined, ..WaitingMessage::within(leased, self.held, self.held_max) };
        self.held = self.held.saturating_add(waiting.charged);
        self.admit(&key, waiting, at, out);
        self.tend(&key, at, out);
    }

    /// Takes over the messages due on disk in a lane, and when the next one is due. `None`: the disk
    /// could not be read.
    pub(in crate::scheduler) fn fetched(
        &mut self,
        key: &LaneKey,
        due: Option<(Vec<Leased<L>>, Option<UnixMillis>)>,
        at: At<'_>,
    ) -> Actions<L> {
        let mut out = Actions::default();
        self.fetches = self.fetches.saturating_sub(1);
        let lane = self.lane(key);
        lane.fetching = false;
        match due {
            Some((leased, next_at)) => {
                if let Some(next_at) = next_at {
                    lane.mark_disk(believed(next_at, at));
                }
                for leased in leased {
                    self.receive(leased, false, at, &mut out);
                }
            }
            None => lane.mark_disk(at.now().plus(AFTER_FAULT)),
        }
        self.tend(key, at, &mut out);
        self.close(at, out)
    }

    pub(in crate::scheduler) fn take(&mut self, number: u64, at: At<'_>) -> (Option<HandedWork>, Actions<L>) {
        let mut out = Actions::default();
        let Some(key) = self.carriers.get(&number).map(|carrier| carrier.lane.clone()) else {
            return (None, out);
        };
        let may = self.may_take(number, &key);
        let question = if may { self.take_question(number, &key, at) } else { None };
        let taken = match question {
            Some(ticket) => Some(HandedWork::Question(ticket)),
            None if may && !self.rests(number, &key, at.now()) => {
                self.take_front(number, &key, at, &mut out).map(HandedWork::Job)
            }
            None => None,
        };
        match (&taken, self.carriers.get(&number)) {
            (None, _) => self.leave(number),
            (Some(HandedWork::Job(_)), Some(carrier)) => self.rates.note(&carrier.way.connector, at.now()),
            (Some(_), _) => {}
        }
        self.tend(&key, at, &mut out);
        (taken, self.close(at, out))
    }

    fn may_take(&mut self, number: u64, key: &LaneKey) -> bool {
        let contended = self.floor.is_contended();
        let (Some(carrier), Some(lane)) = (self.carriers.get_mut(&number), self.lanes.get_mut(key)) else {
            return false;
        };
        if std::mem::take(&mut carrier.starting) {
            lane.starting = lane.starting.saturating_sub(1);
        }
        if !carrier.enlisted {
            if lane.carriers >= lane.carriers_max() {
                return false;
            }
            carrier.enlisted = true;
            lane.carriers = lane.carriers.saturating_add(1);
        }
        // While others wait for a carrier, one with a long queue gives up its place from time to time.
        if self.stopped || (carrier.handed >= TURN_JOBS && contended) {
            return false;
        }
        match lane.state {
            State::Open => true,
            State::Probing => lane.in_flight == 0,
            State::Blocked(_) | State::Paused => false,
        }
    }

    /// Whether the carrier's lane must wait for its connector's rate limit.
    fn rests(&mut self, number: u64, key: &LaneKey, now: UnixMillis) -> bool {
        let Some(carrier) = self.carriers.get(&number) else { return false };
        let until = self.rates.wait(&carrier.way.connector, now);
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.rests_until = until;
        }
        until.is_some()
    }

    fn take_front(
        &mut self,
        number: u64,
        key: &LaneKey,
        at: At<'_>,
        out: &mut Actions<L>,
    ) -> Option<LeasedJob> {
        loop {
            let waiting = self.pop(key, at.now())?;
            let way = &self.carriers.get(&number)?.way;
            if fits(at.table, way, &waiting.leased) {
                return self.hand_out(number, key, waiting);
            }
            // The way has changed. A message that stays in the lane under changed connector settings
            // goes to a carrier started with the new ones.
            let stays = place(at.table, waiting);
            if self.rehome(key, stays, at, out).is_some() {
                return None;
            }
        }
    }

    fn hand_out(&mut self, number: u64, key: &LaneKey, waiting: WaitingMessage<L>) -> Option<LeasedJob> {
        let ticket = self.number();
        let lane = self.lanes.get_mut(key)?;
        lane.in_flight = lane.in_flight.saturating_add(1);
        let carrier = self.carriers.get_mut(&number)?;
        carrier.handed = carrier.handed.saturating_add(1);
        carrier.flights.push(ticket);
        let taken = LeasedJob {
            ticket,
            message: Arc::clone(&waiting.leased.message),
            recipients: waiting.leased.recipients.as_slice().into(),
            content: waiting.leased.content.clone(),
        };
        let connector = Arc::clone(&carrier.way.connector);
        self.flights.insert(ticket, Flight { carrier: number, waiting, connector, attempted: true });
        Some(taken)
    }

    /// Takes over the outcomes of a job.
    pub(in crate::scheduler) fn report(
        &mut self,
        ticket: u64,
        outcomes: Vec<Outcome>,
        at: At<'_>,
    ) -> Actions<L> {
        let mut out = Actions::default();
        let Some(flight) = self.flights.remove(&ticket) else { return out };
        if let Some(carrier) = self.carriers.get_mut(&flight.carrier) {
            carrier.flights.retain(|known| *known != ticket);
        }
        self.conclude(flight, outcomes, at, &mut out);
        self.close(at, out)
    }

    /// A job that can't be given to its carrier; the lane is not at fault.
    pub(in crate::scheduler) fn set_aside(
        &mut self,
        ticket: u64,
        trouble: &Trouble,
        at: At<'_>,
    ) -> Actions<L> {
        let Some(flight) = self.flights.get_mut(&ticket) else { return Actions::default() };
        flight.attempted = false;
        let count = flight.waiting.leased.recipients.len();
        self.report(ticket, vec![Outcome::Deferred(trouble.clone()); count], at)
    }

    fn conclude(&mut self, flight: Flight<L>, mut outcomes: Vec<Outcome>, at: At<'_>, out: &mut Actions<L>) {
        let Flight { mut waiting, connector, attempted, .. } = flight;
        let key = waiting.leased.lane.clone();
        let missing = waiting.leased.recipients.len().saturating_sub(outcomes.len());
        outcomes.extend(std::iter::repeat_with(|| Outcome::Deferred(unreported())).take(missing));
        let lane = self.lane(&key);
        lane.in_flight = lane.in_flight.saturating_sub(1);
        let learned =
            if attempted { lane.learn(&outcomes, &connector.retry, at.now()) } else { Lesson::Nothing };
        if learned == Lesson::Crowded {
            outcomes.iter_mut().for_each(to_session);
        }
        let blocked_until = lane.blocked_until();
        if learned == Lesson::Blocked {
            self.forget_all(&key, at, out);
        }
        let progress = outcomes.iter().any(|outcome| !of_session(outcome));
        waiting.lost = if progress { 0 } else { waiting.lost.saturating_add(1) };
        let message = Arc::clone(&waiting.leased.message);
        let accepted_at = at.dates.since(message.accepted_at);
        let again = waiting.lost < LOST_MAX || self.stopped;
        let retry = retry::for_message(&connector.retry, self.null_sender_expire, &message.reverse_path);
        let rules = Rules { retry: &retry, accepted_at, now: at.now(), blocked_until, again };
        let (mut verdicts, mut kept) = (Vec::with_capacity(outcomes.len()), Vec::new());
        let recipients = std::mem::take(&mut waiting.leased.recipients);
        for (mut recipient, outcome) in recipients.into_iter().zip(outcomes) {
            let whose = (&mut recipient, &message.origin);
            let verdict = match rerouted(at.table, &connector, whose, outcome, at.now()) {
                Ok(verdict) => Some(verdict),
                Err(outcome) => judge(rules, &recipient, outcome),
            };
            match verdict {
                Some(verdict) => verdicts.push((recipient, verdict)),
                None => kept.push(recipient),
            }
        }
        let expire = retry.expire;
        if verdicts.is_empty() {
            waiting.leased.recipients = kept;
            self.push_front(&key, waiting, at.now(), out);
            return self.tend(&key, at, out);
        }
        let joined = waiting.joined;
        let charged = waiting.charged;
        let (lease, content, kept) = if kept.is_empty() {
            (waiting.leased.lease, waiting.leased.content, None)
        } else {
            let numbers: Vec<u32> = verdicts.iter().map(|(recipient, _)| recipient.number).collect();
            waiting.leased.recipients = kept;
            let lease = waiting.leased.lease.split_off(&numbers);
            (lease, waiting.leased.content.clone(), Some(waiting))
        };
        let work = Work { message, lease, content, lane: key.clone(), expire, verdicts, told: false };
        let id = work.message.id;
        self.write(work, joined, at, out);
        match kept {
            Some(waiting) => self.push_front(&key, waiting, at.now(), out),
            None => {
                self.held = self.held.saturating_sub(charged);
                if joined {
                    self.part_done(id, out);
                }
            }
        }
        self.tend(&key, at, out);
    }

    /// Queues an outcome for writing. Failures wait while other lanes of the message are still to be
    /// tried.
    pub(super) fn write(&mut self, mut work: Work<L>, joined: bool, at: At<'_>, out: &mut Actions<L>) {
        if joined && let Some(mut failed) = work.split_failed() {
            let verdicts = failed.verdicts.clone();
            let (message, lane) = (Arc::clone(&failed.message), failed.lane.clone());
            failed.told = true;
            match self.joined.keep(failed, at.now()) {
                FailureTiming::No(failed) => out.works.push(Work { told: false, ..*failed }),
                FailureTiming::Added => out.notices.push(Notice { message, lane, verdicts }),
                FailureTiming::Until(until) => {
                    let timer = Timer::Joined(message.id);
                    out.wake |= self.timers.set(timer, None, Later::after(at.now(), until));
                    out.notices.push(Notice { message, lane, verdicts });
                }
            }
        }
        if work.verdicts.is_empty() {
            out.released.push(work.lease);
        } else {
            out.works.push(work);
        }
    }

    /// A part of a message no longer has its first attempt ahead of it.
    pub(super) fn part_done(&mut self, id: QueueId, out: &mut Actions<L>) {
        if let Some((work, until)) = self.joined.part_done(id) {
            self.timers.clear(Timer::Joined(id), until);
            out.works.push(work);
        }
    }

    /// The deadline of a joined report has passed.
    pub(super) fn end_joined(&mut self, id: QueueId, out: &mut Actions<L>) {
        out.works.extend(self.joined.end(id).map(|(work, _)| work));
    }

    /// A message was split: a joined report waits for each additional part.
    pub(super) fn divided(&mut self, id: QueueId, parts: usize) {
        for _ in 1..parts {
            self.joined.one_more(id);
        }
    }

    /// A carrier is about to connect to a host.
    pub(in crate::scheduler) fn reach(
        &mut self,
        number: u64,
        address: SocketAddr,
        at: At<'_>,
    ) -> (Reach, Actions<L>) {
        let own = self.carriers.get(&number).map_or(1, |carrier| carrier.way.connector.connections);
        let reach = self.floor.reach(number, address, own);
        (reach, self.close(at, Actions::default()))
    }

    /// A carrier reuses a cached connection.
    pub(in crate::scheduler) fn reuse(&mut self, number: u64, address: SocketAddr, at: At<'_>) -> Actions<L> {
        self.floor.reuse(number, address);
        self.close(at, Actions::default())
    }

    /// A carrier's session is open. `false`: it waits until it is granted a seat.
    pub(in crate::scheduler) fn opened(&mut self, number: u64, at: At<'_>) -> (bool, Actions<L>) {
        let seated = self.floor.opened(number);
        (seated, self.close(at, Actions::default()))
    }

    /// A carrier's session has ended and it looks for another. `false`: it may not open one after the
    /// stop.
    pub(in crate::scheduler) fn reopening(&mut self, number: u64, at: At<'_>) -> (bool, Actions<L>) {
        let goes_on = self.floor.reopening(number);
        (goes_on, self.close(at, Actions::default()))
    }

    /// The carriers' progress, as requested by [`Actions::inspect`].
    pub(in crate::scheduler) fn inspected(&mut self, pulses: &[Pulse], at: At<'_>) -> Actions<L> {
        let evicted = self.floor.inspect(pulses);
        self.close(at, Actions { evicted, ..Actions::default() })
    }

    /// A carrier has ended; unreported messages go back to the queue.
    pub(in crate::scheduler) fn ended(&mut self, number: u64, at: At<'_>) -> Actions<L> {
        let mut out = Actions::default();
        self.leave(number);
        self.floor.ended(number);
        let Some(carrier) = self.carriers.remove(&number) else { return out };
        self.drop_questions(&carrier.lane, carrier.questions, &mut out);
        for ticket in carrier.flights {
            if let Some(flight) = self.flights.remove(&ticket) {
                self.conclude(flight, Vec::new(), at, &mut out);
            }
        }
        self.tend(&carrier.lane, at, &mut out);
        self.close(at, out)
    }

    /// Ends every event: anything that waited for what is free now continues.
    pub(super) fn close(&mut self, at: At<'_>, mut out: Actions<L>) -> Actions<L> {
        if self.stopped {
            return out;
        }
        self.floor.grant(&mut out.granted);
        while let Some(key) = self.floor.next_lane() {
            self.tend_in_turn(&key, at, &mut out);
        }
        self.feed(at, &mut out);
        if self.floor.is_contended() && self.inspect_at.is_none() {
            let time = at.now().plus(INSPECT_EVERY);
            self.inspect_at = Some(time);
            out.wake |= self.timers.set(Timer::Inspect, None, Later::after(at.now(), time));
        }
        out
    }

    /// It is time to check the carriers' progress.
    pub(super) fn inspect_due(&mut self, out: &mut Actions<L>) {
        self.inspect_at = None;
        out.inspect = self.floor.is_contended();
    }

    /// A carrier takes no more jobs of its lane for now.
    fn leave(&mut self, number: u64) {
        let Some(carrier) = self.carriers.get_mut(&number) else { return };
        let enlisted = std::mem::take(&mut carrier.enlisted);
        let starting = std::mem::take(&mut carrier.starting);
        if let Some(lane) = self.lanes.get_mut(&carrier.lane) {
            lane.carriers = lane.carriers.saturating_sub(usize::from(enlisted));
            lane.starting = lane.starting.saturating_sub(usize::from(starting));
        }
    }

    /// Registers a carrier for a lane, on its way to its first job.
    pub(super) fn enlist(&mut self, lane: &LaneKey, way: Arc<Way>) -> u64 {
        let number = self.number();
        let standing = self.lanes.get(lane).map_or(super::floor::Standing::Fresh, Lane::standing);
        self.floor.start(number, connector_of(lane), standing);
        let (lane, flights, questions) = (lane.clone(), Vec::new(), Vec::new());
        let carrier = Carrier { lane, way, starting: true, enlisted: true, handed: 0, flights, questions };
        self.carriers.insert(number, carrier);
        number
    }

    /// Hands out nothing more and drops what waits, which is also on disk. Carriers that have carried
    /// nothing yet end. Failures held for a joined report are written now.
    pub(in crate::scheduler) fn stop(&mut self) -> Actions<L> {
        let mut out = Actions::default();
        self.stopped = true;
        for lane in self.lanes.values_mut() {
            let Some(line) = lane.line.take() else { continue };
            out.released.extend(line.waiting.into_iter().map(|waiting| waiting.leased.lease));
            out.unanswered.extend(line.questions.into_iter().map(|question| question.ticket));
        }
        self.waiting = 0;
        out.works = self.joined.end_all();
        let StopSummary { dismissed, recalled, granted } = self.floor.stop();
        Actions { dismissed, recalled, granted, ..out }
    }

    /// After a panic in the middle of an event the state may be inconsistent: nothing more is handed
    /// out.
    pub(in crate::scheduler) fn distrust(&mut self) {
        self.stopped = true;
        self.floor.distrust();
    }

    pub(in crate::scheduler) fn paused(&self) -> Vec<Arc<str>> {
        self.paused.iter().cloned().collect()
    }

    /// Number of carriers, messages waiting in memory, and octets of content held.
    pub(in crate::scheduler) fn counts(&self) -> (usize, usize, u64) {
        (self.floor.carriers(), self.waiting, self.held)
    }

    pub(super) fn lanes_after(
        &self,
        after: Option<&LaneKey>,
    ) -> impl Iterator<Item = (&LaneKey, &Lane<L>)> + use<'_, L> {
        let from = after.map_or(Bound::Unbounded, |key| Bound::Excluded(key.clone()));
        self.lanes.range((from, Bound::Unbounded))
    }
}

/// Jobs a carrier is given in a row while others wait for one.
const TURN_JOBS: usize = 50;
/// How often the carriers' progress is checked while others wait.
const INSPECT_EVERY: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    impl<L> Core<L> {
        pub(in crate::scheduler::core) fn flights_count(&self) -> usize {
            self.flights.len()
        }

        pub(in crate::scheduler::core) fn joined(&self) -> &JoinedReports<L> {
            &self.joined
        }
    }

    impl Carrier {
        pub(in crate::scheduler::core) fn is_enlisted(&self) -> bool {
            self.enlisted
        }
    }
}
