//! What a lane needs now: to be opened, filled from disk, swept, or given a carrier.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::time::Duration;

use super::lane::{State, Waiting};
use super::place::{Placed, fits, place};
use super::queue::{Actions, At, Queue, Start, Sweep};
use super::settle::{Rules, Work, judge};
use super::{Way, retry};
use crate::mail::{Enhanced, QueueId, UnixMillis};
use crate::outcome::{Outcome, Scope, Trouble};
use crate::spool::{DueWindow, LaneKey};

impl Queue {
    /// Does what has come due.
    pub(super) fn tick(&mut self, at: At<'_>) -> Actions {
        let mut out = Actions::default();
        while let Some(Reverse((time, key))) = self.timers.pop() {
            if time > at.now {
                self.timers.push(Reverse((time, key)));
                break;
            }
            if let Some(lane) = self.lanes.get_mut(&key).filter(|lane| lane.timer == Some(time)) {
                lane.timer = None;
                self.tend(key, at, &mut out);
            }
        }
        out
    }

    /// Until when the loop may sleep; an earlier timer wakes it.
    pub(super) fn plan(&mut self) -> Option<UnixMillis> {
        self.planned = self.timers.peek().map(|Reverse((time, _))| *time);
        self.planned
    }

    /// Lanes that have mail on disk.
    pub(super) fn loaded(&mut self, lanes: Vec<(LaneKey, UnixMillis)>, at: At<'_>) -> Actions {
        let mut out = Actions::default();
        for (key, due) in lanes {
            self.lanes.entry(key.clone()).or_default().mark_disk(due);
            self.tend(key, at, &mut out);
        }
        out
    }

    /// Lanes whose mail is due at once, whatever happened to them before.
    pub(super) fn hasten(&mut self, keys: Vec<LaneKey>, at: At<'_>) -> Actions {
        for key in &keys {
            let lane = self.lanes.entry(key.clone()).or_default();
            if lane.blocked_until().is_some() {
                lane.state = State::Probing;
            }
        }
        self.loaded(keys.into_iter().map(|key| (key, at.now)).collect(), at)
    }

    /// Opens the blocked lanes whose connector is not as it was any more: what kept their mail may
    /// not hold by the new one. Mail that is not due stays so.
    pub(super) fn rejudge(&mut self, at: At<'_>) -> Actions {
        let stands: HashSet<_> = at.table.outbound.iter().map(|c| (&*c.name, c.revision)).collect();
        let changed = self.lanes.iter().filter(|(_, lane)| {
            let way = lane.way.as_ref().map(|way| (&*way.connector.name, way.connector.revision));
            lane.blocked_until().is_some() && way.is_some_and(|known| !stands.contains(&known))
        });
        let keys = changed.map(|(key, _)| key.clone()).collect();
        self.hasten(keys, at)
    }

    /// A lane's sweep has ended.
    pub(super) fn swept(&mut self, key: &LaneKey, at: At<'_>) -> Actions {
        let mut out = Actions::default();
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.sweeping = false;
        }
        self.tend(key.clone(), at, &mut out);
        out
    }

    /// Gives a lane what it needs.
    pub(super) fn tend(&mut self, key: LaneKey, at: At<'_>, out: &mut Actions) {
        let key = &key;
        self.heed_pause(key, at, out);
        let Some(lane) = self.lanes.get_mut(key) else { return };
        let blocked_until = lane.blocked_until();
        if blocked_until.is_some_and(|until| until <= at.now) {
            lane.state = State::Probing;
        }
        if lane.rests_until.is_some_and(|until| until <= at.now) {
            lane.rests_until = None;
        }
        if lane.sweep_at.is_some_and(|time| time <= at.now) {
            lane.sweep_at = Some(at.now.plus(SWEEP_EVERY));
            if let (false, Some(trouble), Some(way)) = (lane.sweeping, &lane.trouble, &lane.way) {
                lane.sweeping = true;
                out.sweeps.push(Sweep {
                    lane: key.clone(),
                    retry: way.connector.retry.clone(),
                    trouble: trouble.clone(),
                    blocked_until: lane.blocked_until(),
                });
            }
        }
        let due = lane.on_disk.is_some_and(|time| time <= at.now);
        if due && !lane.fetching && !self.stopped && lane.has_room(self.window_max) {
            if self.fetches < FETCHES_MAX && self.waiting < WAITING_MAX {
                self.fetches = self.fetches.saturating_add(1);
                lane.fetching = true;
                lane.on_disk = None;
                let limit = lane.window(self.window_max).saturating_sub(lane.leased());
                out.fetches.push(DueWindow {
                    lane: key.clone(),
                    now: at.now,
                    latest: UnixMillis(i64::MAX - 1),
                    limit,
                });
            } else {
                lane.on_disk = Some(at.now.plus(FETCH_LATER));
            }
        }
        self.staff(key, at, out);
        self.arm(key, out);
    }

    fn staff(&mut self, key: &LaneKey, at: At<'_>, out: &mut Actions) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        if self.stopped || lane.in_turn || !lane.wants_carrier(at.now) {
            return;
        }
        if self.seats.len() >= self.carriers_max {
            lane.in_turn = true;
            self.turn.push_back(key.clone());
            return;
        }
        while let Some(waiting) = self.pop(key, at.now) {
            let known = self.lanes.get(key).and_then(|lane| lane.way.clone());
            let way = match known.filter(|way| fits(at.table, way, &waiting.leased)) {
                Some(way) => {
                    self.push_front(key, waiting, at.now);
                    Some(way)
                }
                None => self.rehome(key, place(at.table, waiting), at, out),
            };
            if let Some(way) = way {
                self.start(key, way, at.now, out);
                break;
            }
        }
    }

    fn start(&mut self, key: &LaneKey, way: Way, now: UnixMillis, out: &mut Actions) {
        let seat = self.seat(key.clone(), way.clone());
        out.starts.push(Start { seat, way: way.clone() });
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.carriers = lane.carriers.saturating_add(1);
            lane.starting = lane.starting.saturating_add(1);
            lane.backlog_since = Some(now);
            lane.way = Some(way);
        }
    }

    /// Sets the lane's timer, or drops a lane of which nothing is left.
    fn arm(&mut self, key: &LaneKey, out: &mut Actions) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        if lane.is_idle() {
            self.lanes.remove(key);
            return;
        }
        let Some(deadline) = lane.deadline(self.window_max) else { return };
        if lane.timer.is_some_and(|known| known <= deadline) {
            return;
        }
        lane.timer = Some(deadline);
        self.timers.push(Reverse((deadline, key.clone())));
        if self.planned.is_none_or(|planned| deadline < planned) {
            self.planned = Some(deadline);
            out.wake = true;
        }
    }

    /// Puts the parts of a message where they belong. Those of `key` come back to its front, and
    /// the way they go now is the answer.
    pub(super) fn rehome(
        &mut self,
        key: &LaneKey,
        parts: Vec<Placed>,
        at: At<'_>,
        out: &mut Actions,
    ) -> Option<Way> {
        let mut stays = None;
        for Placed { waiting, home } in parts {
            match home {
                Some((home, way)) if home == *key => {
                    self.push_front(key, waiting, at.now);
                    if let Some(lane) = self.lanes.get_mut(key) {
                        lane.way = Some(way.clone());
                    }
                    stays = Some(way);
                }
                Some((home, _)) => {
                    self.admit(&home, waiting, at, out);
                    self.tend(home, at, out);
                }
                None => self.without_way(waiting, at, out),
            }
        }
        stays
    }

    /// No connector covers these recipients any more: the configuration may come back.
    fn without_way(&mut self, waiting: Waiting, at: At<'_>, out: &mut Actions) {
        self.held = self.held.saturating_sub(waiting.charged);
        let accepted_at = waiting.leased.message.accepted_at;
        let retry = retry::without_connector(accepted_at, self.started_at);
        let rules = Rules { retry: &retry, accepted_at, now: at.now, blocked_until: None, again: false };
        let verdicts = waiting.leased.recipients.into_iter().filter_map(|recipient| {
            let domain = recipient.forward_path.domain();
            let trouble = Trouble {
                status: Enhanced(4, 3, 5),
                reason: format!("no outbound connector covers {domain} any more"),
                remote: None,
                decision: None,
                scope: Scope::Recipient,
            };
            let verdict = judge(rules, &recipient, Outcome::Deferred(trouble))?;
            Some((recipient, verdict))
        });
        out.works.push(Work {
            verdicts: verdicts.collect(),
            until: retry::expires_at(&retry, accepted_at),
            message: waiting.leased.message,
            lease: waiting.leased.lease,
            content: waiting.leased.content,
            lane: waiting.row,
            together: waiting.together,
        });
    }

    /// Lets a message wait in memory, or leaves it on disk.
    pub(super) fn admit(&mut self, key: &LaneKey, waiting: Waiting, at: At<'_>, out: &mut Actions) {
        let full = self.stopped || self.waiting >= WAITING_MAX;
        let lane = self.lanes.entry(key.clone()).or_default();
        if full || !lane.has_place(&waiting, self.window_max) {
            let later = if full { at.now.plus(FETCH_LATER) } else { at.now };
            return self.forget(key, waiting, later, out);
        }
        lane.queue_up(waiting);
        lane.note_backlog(at.now);
        self.waiting = self.waiting.saturating_add(1);
    }

    /// Ends a message's lease: it is looked for on disk from `due` on.
    fn forget(&mut self, key: &LaneKey, waiting: Waiting, due: UnixMillis, out: &mut Actions) {
        self.held = self.held.saturating_sub(waiting.charged);
        let row = waiting.row.clone();
        // The lease ends before the mark: whoever asks the disk by the mark finds the message.
        drop(waiting);
        let blocked = self.lanes.get(key).and_then(super::lane::Lane::blocked_until);
        if row == *key {
            self.lanes.entry(row).or_default().mark_disk(due);
            return;
        }
        // It was moved here from a lane that the spool still has it in; from there it would come
        // again and again while this one is blocked.
        let due = blocked.unwrap_or(due.plus(MOVED_LATER));
        self.lanes.entry(row.clone()).or_default().mark_disk(due);
        self.arm(&row, out);
    }

    /// A lane that goes down holds its mail on disk alone.
    pub(super) fn forget_all(&mut self, key: &LaneKey, at: At<'_>, out: &mut Actions) {
        while let Some(waiting) = self.pop(key, at.now) {
            self.forget(key, waiting, at.now, out);
        }
    }

    /// Lets go of these messages, which an operator wants for a deed of a moment.
    pub(super) fn let_go(&mut self, ids: &[QueueId], at: At<'_>) -> Actions {
        let mut out = Actions::default();
        let mut taken = Vec::new();
        for (key, lane) in &mut self.lanes {
            taken.extend(lane.take_out(ids).into_iter().map(|waiting| (key.clone(), waiting)));
        }
        for (key, waiting) in taken {
            self.waiting = self.waiting.saturating_sub(1);
            self.forget(&key, waiting, at.now.plus(LET_GO), &mut out);
            self.tend(key, at, &mut out);
        }
        out
    }

    pub(super) fn pop(&mut self, key: &LaneKey, now: UnixMillis) -> Option<Waiting> {
        let lane = self.lanes.get_mut(key)?;
        let waiting = lane.next_up()?;
        lane.note_backlog(now);
        self.waiting = self.waiting.saturating_sub(1);
        Some(waiting)
    }

    pub(super) fn push_front(&mut self, key: &LaneKey, waiting: Waiting, now: UnixMillis) {
        if self.stopped {
            return;
        }
        let lane = self.lanes.entry(key.clone()).or_default();
        lane.queue_first(waiting);
        lane.note_backlog(now);
        self.waiting = self.waiting.saturating_add(1);
    }
}

/// How often a dead lane is asked for messages whose time has come.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Questions to the disk at the same time.
const FETCHES_MAX: usize = 16;
/// How long a question waits when there are as many as there may be.
const FETCH_LATER: Duration = Duration::from_millis(100);
/// Messages that wait in memory, over all lanes.
const WAITING_MAX: usize = 65_536;
/// How long after a fault the disk is asked again.
pub(super) const AFTER_FAULT: Duration = Duration::from_secs(10);
/// How long a moved message that found no room is left alone.
const MOVED_LATER: Duration = Duration::from_secs(30);
/// How long a message that was let go of is left alone.
const LET_GO: Duration = Duration::from_secs(2);
