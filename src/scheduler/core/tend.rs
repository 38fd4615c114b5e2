//! Gives a lane what it needs now: opens it, fills it from disk, sweeps it, or starts a carrier. It
//! returns actions and performs none.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::super::Way;
use super::lane::{Lane, State, WaitingMessage, believed, connector_of};
use super::machine::Core;
use super::place::{Placement, fits, place};
use super::settle::{Rules, Work, judge};
use super::survey::LANES_LOOK;
use super::timers::Later;
use super::{Actions, At, Fetch, Start, Sweep, Timer, retry};
use crate::mail::{Enhanced, QueueId, UnixMillis};
use crate::outcome::{Cause, Outcome, Scope, Trouble};
use crate::spool::{Divisible, LaneKey};

impl<L: Divisible> Core<L> {
    /// Handles what is due, up to a bounded number of timers. Returns whether there is more.
    pub(in crate::scheduler) fn tick(&mut self, at: At<'_>) -> (bool, Actions<L>) {
        let mut out = Actions::default();
        for _ in 0..TICK_TIMERS {
            let Some((time, timer)) = self.timers.due(at.now()) else {
                return (false, self.close(at, out));
            };
            match timer {
                Timer::Inspect => self.inspect_due(&mut out),
                Timer::Joined(id) => self.end_joined(id, &mut out),
                Timer::Lane(key) => {
                    if let Some(lane) = self.lanes.get_mut(&key).filter(|lane| lane.timer == Some(time)) {
                        lane.timer = None;
                        self.tend(&key, at, &mut out);
                    }
                }
            }
        }
        (true, self.close(at, out))
    }

    /// Until when the loop may sleep; a timer set earlier wakes it.
    pub(in crate::scheduler) fn plan(&mut self) -> Option<UnixMillis> {
        self.timers.plan()
    }

    /// Lanes that have mail on disk, due at these times.
    pub(in crate::scheduler) fn loaded(
        &mut self,
        lanes: Vec<(LaneKey, UnixMillis)>,
        at: At<'_>,
    ) -> Actions<L> {
        let mut out = Actions::default();
        for (key, due) in lanes {
            self.lane(&key).mark_disk(believed(due, at));
            self.tend(&key, at, &mut out);
        }
        self.close(at, out)
    }

    /// Makes the lanes' mail due at once, even if they are blocked.
    pub(in crate::scheduler) fn hasten(&mut self, keys: Vec<LaneKey>, at: At<'_>) -> Actions<L> {
        for key in &keys {
            let lane = self.lane(key);
            if lane.blocked_until().is_some() {
                lane.state = State::Probing;
            }
        }
        let now = at.now();
        self.loaded(keys.into_iter().map(|key| (key, now)).collect(), at)
    }

    /// Finds blocked lanes after `after` whose connector has changed or is gone: what blocked them may
    /// no longer apply. Also returns where to continue, if there are more.
    pub(in crate::scheduler) fn changed(
        &self,
        after: Option<&LaneKey>,
        at: At<'_>,
    ) -> (Vec<LaneKey>, Option<LaneKey>) {
        let stands: HashSet<_> = at.table.outbound.iter().map(|c| (&*c.name, c.revision)).collect();
        let (mut changed, mut last) = (Vec::new(), None);
        for (key, lane) in self.lanes_after(after).take(LANES_LOOK) {
            let way = lane.way.as_ref().map(|way| (&*way.connector.name, way.connector.revision));
            if lane.blocked_until().is_some() && way.is_some_and(|known| !stands.contains(&known)) {
                changed.push(key.clone());
            }
            last = Some(key);
        }
        (changed, last.cloned())
    }

    /// Tends the connector's lanes in the next batch after `after`. Returns where to continue, if there
    /// are more.
    pub(in crate::scheduler) fn tend_all(
        &mut self,
        connector: &str,
        after: Option<&LaneKey>,
        at: At<'_>,
    ) -> (Option<LaneKey>, Actions<L>) {
        let mut out = Actions::default();
        let keys: Vec<LaneKey> =
            self.lanes_after(after).take(LANES_LOOK).map(|(key, _)| key.clone()).collect();
        for key in keys.iter().filter(|key| connector_of(key) == connector) {
            self.tend(key, at, &mut out);
        }
        (keys.into_iter().next_back(), self.close(at, out))
    }

    pub(in crate::scheduler) fn swept(&mut self, key: &LaneKey, at: At<'_>) -> Actions<L> {
        let mut out = Actions::default();
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.sweeping = false;
            // Fetches made meanwhile did not see what the sweep had leased.
            lane.mark_disk(at.now());
        }
        self.tend(key, at, &mut out);
        self.close(at, out)
    }

    /// Gives a lane what it needs.
    pub(super) fn tend(&mut self, key: &LaneKey, at: At<'_>, out: &mut Actions<L>) {
        self.tend_in(key, false, at, out);
    }

    /// Tends a lane that waited for an opening and whose turn it is.
    pub(super) fn tend_in_turn(&mut self, key: &LaneKey, at: At<'_>, out: &mut Actions<L>) {
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.in_turn = false;
        }
        self.tend_in(key, true, at, out);
    }

    fn tend_in(&mut self, key: &LaneKey, its_turn: bool, at: At<'_>, out: &mut Actions<L>) {
        if self.stopped {
            return;
        }
        let now = at.now();
        self.heed_pause(key, at, out);
        let Some(lane) = self.lanes.get_mut(key) else { return };
        if lane.blocked_until().is_some_and(|until| until <= now) {
            lane.state = State::Probing;
        }
        if lane.rests_until.is_some_and(|until| until <= now) {
            lane.rests_until = None;
        }
        if lane.sweep_at.is_some_and(|time| time <= now) {
            lane.sweep_at = Some(now.plus(SWEEP_EVERY));
            if let (false, Some(trouble), Some(way)) = (lane.sweeping, &lane.trouble, &lane.way) {
                lane.sweeping = true;
                out.sweeps.push(Sweep {
                    lane: key.clone(),
                    retry: way.connector.retry.clone(),
                    trouble: Arc::clone(trouble),
                    blocked_until: lane.blocked_until(),
                });
            }
        }
        self.staff(key, its_turn, at, out);
        self.hunger(key, now);
        self.arm(key, now, out);
    }

    /// Queues a lane for the disk if mail is due there and the lane has room for it.
    fn hunger(&mut self, key: &LaneKey, now: UnixMillis) {
        let window_max = self.window_max;
        let Some(lane) = self.lanes.get_mut(key) else { return };
        let due = lane.on_disk.is_some_and(|time| time <= now);
        if !due || lane.fetching || lane.hungry || !lane.has_room(window_max) {
            return;
        }
        lane.hungry = true;
        // A served lane does not wait behind all the unknown ones.
        if lane.is_served() {
            self.hungry_served.push_back(key.clone())
        } else {
            self.hungry.push_back(key.clone())
        }
    }

    /// Lets waiting lanes fetch from disk, as many as there is room for; each answer lets the next one
    /// go.
    pub(super) fn feed(&mut self, at: At<'_>, out: &mut Actions<L>) {
        while let Some(key) = self.next_hungry() {
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            lane.hungry = false;
            let due = lane.on_disk.is_some_and(|time| time <= at.now());
            if due && !lane.fetching && lane.has_room(self.window_max) {
                lane.fetching = true;
                lane.on_disk = None;
                self.fetches = self.fetches.saturating_add(1);
                let limit = lane.window(self.window_max).saturating_sub(lane.leased());
                out.fetches.push(Fetch { lane: key, limit });
            } else {
                self.arm(&key, at.now(), out);
            }
        }
    }

    /// The next lane that may fetch from disk. Served lanes go first, and do not wait for room for the
    /// others; the others get one turn in eight regardless.
    fn next_hungry(&mut self) -> Option<LaneKey> {
        if self.fetches >= FETCHES_MAX || self.waiting >= WAITING_MAX {
            return None;
        }
        let others_turn = self.fed.checked_rem(FED_TURNS) == Some(0);
        let others_room = self.floor.lanes_waiting() < TURN_AHEAD
            && (others_turn || self.fetches < FETCHES_UNSERVED_MAX && self.waiting < WAITING_UNSERVED_MAX);
        let first = if others_turn && others_room { self.hungry.pop_front() } else { None };
        let next = first.or_else(|| self.hungry_served.pop_front());
        let next = next.or_else(|| if others_room { self.hungry.pop_front() } else { None });
        self.fed = self.fed.wrapping_add(usize::from(next.is_some()));
        next
    }

    fn staff(&mut self, key: &LaneKey, its_turn: bool, at: At<'_>, out: &mut Actions<L>) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        if lane.in_turn || lane.wants_carrier_at(at.now()).is_none_or(|time| time > at.now()) {
            return;
        }
        let standing = lane.standing();
        // No lane overtakes those that wait; any of them that may start does so before the event is
        // over.
        let others_wait = !its_turn && self.floor.lanes_waiting() > 0;
        if others_wait || !self.floor.may_start(connector_of(key), standing) {
            lane.in_turn = true;
            return self.floor.queue(key.clone(), connector_of(key), standing);
        }
        if let Some(way) = self.way_of_question(key, at, out) {
            return self.start(key, way, at.now(), out);
        }
        while let Some(waiting) = self.pop(key, at.now()) {
            let known = self.lanes.get(key).and_then(|lane| lane.way.clone());
            let way = match known.filter(|way| fits(at.table, way, &waiting.leased)) {
                Some(way) => {
                    self.push_front(key, waiting, at.now(), out);
                    Some(way)
                }
                None => self.rehome(key, place(at.table, waiting), at, out),
            };
            if let Some(way) = way {
                self.start(key, way, at.now(), out);
                break;
            }
        }
    }

    fn start(&mut self, key: &LaneKey, way: Arc<Way>, now: UnixMillis, out: &mut Actions<L>) {
        let carrier = self.enlist(key, Arc::clone(&way));
        out.starts.push(Start { carrier, way: Arc::clone(&way) });
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.carriers = lane.carriers.saturating_add(1);
            lane.starting = lane.starting.saturating_add(1);
            lane.way = Some(way);
            if let Some(line) = &mut lane.line {
                line.backlog_since = Some(now);
            }
        }
    }

    /// Sets the lane's timer, or drops the lane if it is idle.
    fn arm(&mut self, key: &LaneKey, now: UnixMillis, out: &mut Actions<L>) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        if lane.is_idle() {
            let Some(lane) = self.lanes.remove(key) else { return };
            if let Some(time) = lane.timer {
                self.timers.clear(Timer::Lane(key.clone()), time);
            }
            if let Some(time) = lane.last_taken {
                self.served.note(key.clone(), time);
            }
            return;
        }
        let Some(deadline) = lane.deadline(now, self.window_max) else { return };
        if lane.timer.is_some_and(|known| known <= deadline) {
            return;
        }
        let deadline = Later::after(now, deadline);
        let before = lane.timer.replace(deadline.time());
        out.wake |= self.timers.set(Timer::Lane(key.clone()), before, deadline);
    }

    /// Moves the parts of a message to the lanes they belong to. Parts of `key` go back to its front,
    /// and their current way is returned.
    pub(super) fn rehome(
        &mut self,
        key: &LaneKey,
        parts: Vec<Placement<L>>,
        at: At<'_>,
        out: &mut Actions<L>,
    ) -> Option<Arc<Way>> {
        let mut stays = None;
        if let Some(first) = parts.first().filter(|first| first.waiting.joined) {
            self.divided(first.waiting.leased.message.id, parts.len());
        }
        for Placement { waiting, home } in parts {
            match home {
                Some((home, way)) if home == *key => {
                    let way = Arc::new(way);
                    self.push_front(key, waiting, at.now(), out);
                    if let Some(lane) = self.lanes.get_mut(key) {
                        lane.way = Some(Arc::clone(&way));
                    }
                    stays = Some(way);
                }
                Some((home, _)) => {
                    self.admit(&home, waiting, at, out);
                    self.tend(&home, at, out);
                }
                None => self.without_way(waiting, at, out),
            }
        }
        stays
    }

    /// No connector covers these recipients any more. They are deferred, since the configuration may be
    /// corrected.
    fn without_way(&mut self, waiting: WaitingMessage<L>, at: At<'_>, out: &mut Actions<L>) {
        self.held = self.held.saturating_sub(waiting.charged);
        let message = waiting.leased.message;
        let accepted_at = at.dates.since(message.accepted_at);
        let retry = retry::without_connector(accepted_at, self.started_at);
        let rules = Rules { retry: &retry, accepted_at, now: at.now(), blocked_until: None, again: false };
        let verdicts = waiting.leased.recipients.into_iter().filter_map(|recipient| {
            let domain = recipient.forward_path.domain();
            let trouble = Trouble {
                status: Enhanced(4, 3, 5),
                cause: Cause::Settings,
                reason: format!("no outbound connector covers {domain} any more"),
                remote: None,
                decision: None,
                scope: Scope::Recipient,
                expired: false,
            };
            let verdict = judge(rules, &recipient, Outcome::Deferred(trouble))?;
            Some((recipient, verdict))
        });
        let (verdicts, id) = (verdicts.collect(), message.id);
        let work = Work {
            verdicts,
            expire: retry.expire,
            message,
            lease: waiting.leased.lease,
            content: waiting.leased.content,
            lane: waiting.row,
            told: false,
        };
        self.write(work, waiting.joined, at, out);
        if waiting.joined {
            self.part_done(id, out);
        }
    }

    /// Keeps a message waiting in memory, or leaves it on disk.
    pub(super) fn admit(
        &mut self,
        key: &LaneKey,
        waiting: WaitingMessage<L>,
        at: At<'_>,
        out: &mut Actions<L>,
    ) {
        let (stopped, waits, window_max) = (self.stopped, self.waiting, self.window_max);
        let lane = self.lane(key);
        let served = lane.is_served();
        // Each lane may hold one message as long as there is any room.
        let full = waits >= if served || lane.waiting() == 0 { WAITING_MAX } else { WAITING_UNSERVED_MAX };
        if stopped || full || !lane.has_place(&waiting, window_max) {
            return self.forget(key, waiting, at.now(), at, out);
        }
        lane.line.get_or_insert_default().queue_up(waiting);
        lane.note_backlog(at.now());
        self.waiting = self.waiting.saturating_add(1);
    }

    /// Ends a message's lease; it is fetched from disk again from `due` on.
    fn forget(
        &mut self,
        key: &LaneKey,
        waiting: WaitingMessage<L>,
        due: UnixMillis,
        at: At<'_>,
        out: &mut Actions<L>,
    ) {
        self.held = self.held.saturating_sub(waiting.charged);
        let WaitingMessage { row, leased, joined, .. } = waiting;
        // The lease ends before the mark is acted on, so that a fetch triggered by the mark finds the
        // message.
        out.released.push(leased.lease);
        if joined {
            self.part_done(leased.message.id, out);
        }
        if row == *key {
            self.lane(&row).mark_disk(due);
            return;
        }
        // It was moved here from the lane under which the spool still has it; that lane would fetch it
        // again and again while this one is blocked.
        let blocked = self.lanes.get(key).and_then(Lane::blocked_until);
        let due = blocked.unwrap_or(due.plus(MOVED_LATER));
        self.lane(&row).mark_disk(due);
        self.tend(&row, at, out);
    }

    /// Leaves a blocked lane's mail only on disk.
    pub(super) fn forget_all(&mut self, key: &LaneKey, at: At<'_>, out: &mut Actions<L>) {
        while let Some(waiting) = self.pop(key, at.now()) {
            self.forget(key, waiting, at.now(), at, out);
        }
        if let Some(lane) = self.lanes.get_mut(key) {
            let questions = lane.line.take().map(|line| line.questions).unwrap_or_default();
            out.unanswered.extend(questions.into_iter().map(|question| question.ticket));
        }
    }

    /// Releases these messages from memory in the next batch of lanes after `after`, because an
    /// operator wants to act on them. Returns where to continue, if there are more.
    pub(in crate::scheduler) fn let_go(
        &mut self,
        ids: &[QueueId],
        after: Option<&LaneKey>,
        at: At<'_>,
    ) -> (Option<LaneKey>, Actions<L>) {
        let mut out = Actions::default();
        let (mut taken, mut last) = (Vec::new(), None);
        let keys: Vec<LaneKey> =
            self.lanes_after(after).take(LANES_LOOK).map(|(key, _)| key.clone()).collect();
        for key in keys {
            if let Some(line) = self.lanes.get_mut(&key).and_then(|lane| lane.line.as_mut()) {
                taken.extend(line.take_out(ids).into_iter().map(|waiting| (key.clone(), waiting)));
            }
            last = Some(key);
        }
        for (key, waiting) in taken {
            self.waiting = self.waiting.saturating_sub(1);
            self.forget(&key, waiting, at.now().plus(LET_GO), at, &mut out);
            self.tend(&key, at, &mut out);
        }
        (last, self.close(at, out))
    }

    pub(super) fn pop(&mut self, key: &LaneKey, now: UnixMillis) -> Option<WaitingMessage<L>> {
        let lane = self.lanes.get_mut(key)?;
        let waiting = lane.line.as_mut()?.next_up()?;
        lane.note_backlog(now);
        self.waiting = self.waiting.saturating_sub(1);
        Some(waiting)
    }

    pub(super) fn push_front(
        &mut self,
        key: &LaneKey,
        waiting: WaitingMessage<L>,
        now: UnixMillis,
        out: &mut Actions<L>,
    ) {
        if self.stopped {
            out.released.push(waiting.leased.lease);
            return;
        }
        let lane = self.lane(key);
        lane.line.get_or_insert_default().queue_first(waiting);
        lane.note_backlog(now);
        self.waiting = self.waiting.saturating_add(1);
    }
}

/// Timers handled in one tick; between two ticks others can lock the core.
const TICK_TIMERS: usize = 256;
/// How often a blocked lane is searched for expired messages.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Fetches from disk at the same time.
const FETCHES_MAX: usize = 16;
/// Fetches at the same time for lanes that were not served recently.
const FETCHES_UNSERVED_MAX: usize = 12;
/// Lanes waiting for an opening beyond which only served lanes are filled from disk.
const TURN_AHEAD: usize = 1_024;
/// Messages waiting in memory, over all lanes.
const WAITING_MAX: usize = 65_536;
/// One fetch in this many is for lanes that were not served recently, if any wait.
const FED_TURNS: usize = 8;
/// Messages waiting in memory beyond which one more is kept only if its lane is served, or has none in
/// memory.
const WAITING_UNSERVED_MAX: usize = 49_152;
/// How long a moved message that found no room stays on disk.
const MOVED_LATER: Duration = Duration::from_secs(30);
/// How long a released message stays on disk.
const LET_GO: Duration = Duration::from_secs(2);
