//! One lane: its waiting messages, whether it is open, and what it learns from outcomes. It starts no
//! carriers and asks no disk; `tend` does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::super::Way;
use super::floor::Standing;
use super::{At, longest_wait, retry};
use crate::connector::Retry;
use crate::mail::{Content, UnixMillis};
use crate::outcome::{Cause, Outcome, Scope, Trouble};
use crate::spool::{LaneKey, Leased};

/// A message that waits in memory for a carrier.
#[derive(Debug)]
pub(super) struct WaitingMessage<L> {
    pub(super) leased: Leased<L>,
    /// The lane under which the spool has it.
    pub(super) row: LaneKey,
    /// Octets charged to the memory budget.
    pub(super) charged: u64,
    /// Consecutive sessions lost while sending it.
    pub(super) lost: u32,
    /// Its round among the fresh messages; see `order`.
    pub(super) round: usize,
    /// Whether the message's other lanes wait for its first attempt; see `joined`.
    pub(super) joined: bool,
}

/// A question about a recipient that waits in a lane.
#[derive(Debug)]
pub(super) struct LaneQuestion {
    pub(super) ticket: u64,
    pub(super) way: Arc<Way>,
}

/// Messages that go the same way, and what is known of that way. The default is an open lane. There may
/// be a million lanes, so what only a busy lane needs is in [`Line`].
#[derive(Debug)]
pub(super) struct Lane<L> {
    /// Messages waiting in memory; `None` if there are none.
    pub(super) line: Option<Box<Line<L>>>,
    pub(super) in_flight: usize,
    /// Carriers that take jobs, including those on their way to the first one.
    pub(super) carriers: usize,
    /// Carriers that have not yet asked for their first job.
    pub(super) starting: usize,
    /// The way used last.
    pub(super) way: Option<Arc<Way>>,
    pub(super) state: State,
    /// Consecutive failures of the lane.
    pub(super) failures: u32,
    /// Consecutive lost sessions.
    pub(super) lost: u32,
    pub(super) trouble: Option<Arc<Trouble>>,
    /// When the first message that is only on disk is due.
    pub(super) on_disk: Option<UnixMillis>,
    /// When to look for expired messages while the lane is blocked.
    pub(super) sweep_at: Option<UnixMillis>,
    /// The deadline of the timer that is set.
    pub(super) timer: Option<UnixMillis>,
    /// When its hosts last accepted a message, or refused one for reasons of its own.
    pub(super) last_taken: Option<UnixMillis>,
    /// Until when its connector's rate limit holds it back; this is not a failure.
    pub(super) rests_until: Option<UnixMillis>,
    /// A fetch of due messages is under way.
    pub(super) fetching: bool,
    /// It waits for its turn to fetch from disk.
    pub(super) hungry: bool,
    /// A sweep for expired messages is under way.
    pub(super) sweeping: bool,
    /// It waits for an opening.
    pub(super) in_turn: bool,
    /// Whether any attempt was made.
    pub(super) tried: bool,
}

/// A lane's messages in memory, and the counters that order them.
#[derive(Debug)]
pub(super) struct Line<L> {
    /// Fresh messages first; see `order`.
    pub(super) waiting: VecDeque<WaitingMessage<L>>,
    /// Number of fresh messages.
    pub(super) fresh: usize,
    /// Questions about recipients, oldest first.
    pub(super) questions: VecDeque<LaneQuestion>,
    /// Whether a question went last, so that it is the turn of a message.
    pub(super) asked_last: bool,
    /// Counts messages, so that one in four is not fresh.
    pub(super) turn: usize,
    /// The current round of fresh messages, and how many have gone in it.
    pub(super) round: usize,
    pub(super) round_messages: usize,
    /// Since when something has been waiting without a break.
    pub(super) backlog_since: Option<UnixMillis>,
    /// Carriers its hosts were seen to accept, if fewer than the connector allows.
    pub(super) carriers_accepted: Option<usize>,
    /// Deliveries since `carriers_accepted` last changed.
    pub(super) eased: usize,
}

impl<L> Default for Lane<L> {
    fn default() -> Self {
        Self {
            line: None,
            in_flight: 0,
            carriers: 0,
            starting: 0,
            way: None,
            state: State::Open,
            failures: 0,
            lost: 0,
            trouble: None,
            on_disk: None,
            sweep_at: None,
            timer: None,
            last_taken: None,
            rests_until: None,
            fetching: false,
            hungry: false,
            sweeping: false,
            in_turn: false,
            tried: false,
        }
    }
}

impl<L> Default for Line<L> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            questions: VecDeque::new(),
            asked_last: false,
            fresh: 0,
            turn: 0,
            round: 0,
            round_messages: 0,
            backlog_since: None,
            carriers_accepted: None,
            eased: 0,
        }
    }
}

/// Whether a lane sends mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    #[default]
    Open,
    /// Not before this time.
    Blocked(UnixMillis),
    /// One message at a time, until one shows that the way is open.
    Probing,
    /// An operator has paused its connector.
    Paused,
}

/// What outcomes changed about a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lesson {
    Nothing,
    Opened,
    Blocked,
    /// Its hosts accept fewer carriers than it had; the others continue.
    Crowded,
}

impl<L> Lane<L> {
    pub(super) fn blocked_until(&self) -> Option<UnixMillis> {
        match self.state {
            State::Blocked(until) => Some(until),
            State::Open | State::Probing | State::Paused => None,
        }
    }

    /// How many messages it may lease.
    pub(super) fn window(&self, window_max: usize) -> usize {
        match self.state {
            State::Open => window_max,
            State::Probing => 1,
            State::Blocked(_) | State::Paused => 0,
        }
    }

    /// Number of messages waiting in memory.
    pub(super) fn waiting(&self) -> usize {
        self.line.as_ref().map_or(0, |line| line.waiting.len())
    }

    /// The next message to go, unless it is an older one's turn.
    pub(super) fn front(&self) -> Option<&WaitingMessage<L>> {
        self.line.as_ref().and_then(|line| line.waiting.front())
    }

    /// Its standing in the queue for openings.
    pub(super) fn standing(&self) -> Standing {
        if self.failures > 0 {
            return Standing::Doubtful;
        }
        if self.last_taken.is_some() {
            return Standing::Served;
        }
        if self.tried {
            return Standing::Doubtful;
        }
        let report = self.front().is_some_and(|waiting| waiting.leased.message.reverse_path.is_null());
        if report { Standing::Doubtful } else { Standing::Fresh }
    }

    /// Whether it has carriers, or its hosts accepted mail when last tried.
    pub(super) fn is_served(&self) -> bool {
        self.carriers > 0 || self.standing() == Standing::Served
    }

    /// Number of messages it has leased.
    pub(super) fn leased(&self) -> usize {
        self.waiting().saturating_add(self.in_flight)
    }

    /// The most carriers it may have. A way that has not yet delivered gets one.
    pub(super) fn carriers_max(&self) -> usize {
        match self.state {
            State::Open if self.last_taken.is_none() => 1,
            State::Open => {
                let allowed = self.way.as_ref().map_or(1, |way| way.connector.connections.max(1));
                let accepted = self.line.as_ref().and_then(|line| line.carriers_accepted);
                accepted.map_or(allowed, |accepted| accepted.min(allowed))
            }
            State::Probing => 1,
            State::Blocked(_) | State::Paused => 0,
        }
    }

    /// Whether questions wait for a carrier.
    pub(super) fn has_questions(&self) -> bool {
        self.line.as_ref().is_some_and(|line| !line.questions.is_empty())
    }

    /// When another carrier is worth a connection: the first at once, further ones only after the queue
    /// has been non-empty for a while. `None`: not in the current state.
    pub(super) fn wants_carrier_at(&self, now: UnixMillis) -> Option<UnixMillis> {
        let rests = self.rests_until.is_some_and(|until| until > now);
        let probed = self.state == State::Probing && self.in_flight > 0;
        let staffed = self.starting > 0 || self.carriers >= self.carriers_max();
        // A question is no message, and no rate holds it back.
        let pending = self.has_questions() || !rests && self.waiting() > 0;
        if probed || staffed || !pending {
            return None;
        }
        if self.carriers == 0 {
            return Some(now);
        }
        Some(self.line.as_ref()?.backlog_since?.plus(BACKLOG))
    }

    /// Updates the time since when something has been waiting.
    pub(super) fn note_backlog(&mut self, now: UnixMillis) {
        let Some(line) = &mut self.line else { return };
        if line.waiting.is_empty() && line.questions.is_empty() {
            line.backlog_since = None;
        } else if line.backlog_since.is_none() {
            line.backlog_since = Some(now);
        }
    }

    /// Records that more is on disk, due at this time.
    pub(super) fn mark_disk(&mut self, due: UnixMillis) {
        self.on_disk = Some(self.on_disk.map_or(due, |known| known.min(due)));
    }

    /// Learns from the outcomes of one job.
    pub(super) fn learn(&mut self, outcomes: &[Outcome], retry: &Retry, now: UnixMillis) -> Lesson {
        if self.state == State::Paused {
            return Lesson::Nothing;
        }
        let shows_open = outcomes.iter().any(|outcome| match outcome {
            Outcome::Delivered(_) => true,
            Outcome::Failed(trouble) | Outcome::Deferred(trouble) => trouble.scope == Scope::Recipient,
        });
        let answered = outcomes.iter().any(|outcome| match outcome {
            Outcome::Delivered(_) => true,
            Outcome::Failed(trouble) | Outcome::Deferred(trouble) => {
                trouble.scope == Scope::Recipient
                    && trouble.remote.as_ref().is_some_and(|r| r.reply.is_some())
            }
        });
        self.tried = true;
        if answered {
            self.last_taken = Some(now);
        }
        if shows_open {
            self.ease();
            return self.open();
        }
        let deferred = |scope| {
            outcomes.iter().find_map(move |outcome| match outcome {
                Outcome::Deferred(trouble) if trouble.scope == scope => Some(trouble),
                Outcome::Deferred(_) | Outcome::Delivered(_) | Outcome::Failed(_) => None,
            })
        };
        if let Some(trouble) = deferred(Scope::Lane) {
            if self.is_crowded(trouble, now) {
                let carriers = self.carriers;
                let line = self.line.get_or_insert_default();
                let accepted = line.carriers_accepted.unwrap_or(carriers).min(carriers);
                line.carriers_accepted = Some(accepted.saturating_sub(1).max(1));
                line.eased = 0;
                return Lesson::Crowded;
            }
            return self.block(trouble, retry, now);
        }
        let Some(trouble) = deferred(Scope::Session) else { return Lesson::Nothing };
        self.lost = self.lost.saturating_add(1);
        if self.lost < LOST_MAX { Lesson::Nothing } else { self.block(trouble, retry, now) }
    }

    /// Whether one carrier's trouble means that there are too many carriers, because the others are
    /// well served: a 421, a busy server, a refused connection. An unmet TLS requirement never does.
    fn is_crowded(&self, trouble: &Trouble, now: UnixMillis) -> bool {
        let well = self.last_taken.is_some_and(|at| at.plus(WELL_SERVED) >= now);
        let unmet = trouble.cause == Cause::Requirement;
        self.state == State::Open && self.carriers > 1 && well && !unmet
    }

    /// Counts a delivery; after enough of them one more carrier is tried.
    fn ease(&mut self) {
        let Some(line) = &mut self.line else { return };
        let Some(accepted) = line.carriers_accepted else { return };
        line.eased = line.eased.saturating_add(1);
        if line.eased >= accepted.saturating_mul(EASED_AFTER) {
            line.eased = 0;
            let allowed = self.way.as_ref().map_or(1, |way| way.connector.connections);
            let more = accepted.saturating_add(1);
            line.carriers_accepted = (more < allowed).then_some(more);
        }
    }

    /// Its host answered a question: the way is open.
    pub(super) fn heard(&mut self, now: UnixMillis) -> Lesson {
        if self.state == State::Paused {
            return Lesson::Nothing;
        }
        self.tried = true;
        self.last_taken = Some(now);
        self.open()
    }

    fn open(&mut self) -> Lesson {
        self.lost = 0;
        self.failures = 0;
        if self.state == State::Open {
            return Lesson::Nothing;
        }
        self.state = State::Open;
        self.trouble = None;
        self.sweep_at = None;
        Lesson::Opened
    }

    fn block(&mut self, trouble: &Trouble, retry: &Retry, now: UnixMillis) -> Lesson {
        self.trouble = Some(Arc::new(trouble.clone()));
        // A second carrier that meets the same trouble is not a second failure.
        if self.blocked_until().is_some() {
            return Lesson::Nothing;
        }
        self.lost = 0;
        self.failures = self.failures.saturating_add(1);
        self.state = State::Blocked(now.plus(retry::next_wait(retry, self.failures)));
        self.sweep_at = Some(now);
        Lesson::Blocked
    }

    /// When the lane next needs attention. Work that is due already is excluded: it was done, or it
    /// waits for an opening or a turn at the disk, and whatever frees that resumes it.
    pub(super) fn deadline(&self, now: UnixMillis, window_max: usize) -> Option<UnixMillis> {
        let disk = self.on_disk.filter(|_| !self.fetching && !self.hungry && self.has_room(window_max));
        let carrier = if self.in_turn { None } else { self.wants_carrier_at(now) };
        let sweep = self.sweep_at.filter(|_| self.state != State::Paused);
        let all = [self.blocked_until(), disk, carrier, sweep, self.rests_until];
        all.into_iter().flatten().min()
    }

    /// Whether to fetch more from disk: only once the window is half empty.
    pub(super) fn has_room(&self, window_max: usize) -> bool {
        let window = self.window(window_max);
        let half = window.checked_div(2).unwrap_or_default();
        window > 0 && self.leased() <= half
    }

    /// Whether the lane can be dropped without losing anything.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting() == 0
            && !self.has_questions()
            && self.in_flight == 0
            && self.carriers == 0
            && self.on_disk.is_none()
            && !self.fetching
            && !self.hungry
            && !self.sweeping
            && !self.in_turn
            && self.blocked_until().is_none()
            && self.rests_until.is_none()
    }
}

impl<L> WaitingMessage<L> {
    /// A newly arrived message and its charge to the budget. Over the budget, the content is dropped
    /// and read back when needed.
    pub(super) fn within(mut leased: Leased<L>, held: u64, held_max: u64) -> Self {
        let cost = match &leased.content {
            Some(Content::Held(bytes)) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Some(Content::Source(_)) | None => 0,
        };
        let fits = held.saturating_add(cost) <= held_max;
        if !fits {
            leased.content = None;
        }
        let row = leased.lane.clone();
        Self { leased, row, charged: if fits { cost } else { 0 }, lost: 0, round: 0, joined: false }
    }
}

/// How long a queue must be non-empty before another connection is opened.
const BACKLOG: Duration = Duration::from_millis(50);
/// How recent the last delivery must be for the other carriers to count as well served.
const WELL_SERVED: Duration = Duration::from_secs(60);
/// Deliveries per carrier after which one more is tried.
const EASED_AFTER: usize = 20;
/// Consecutive lost sessions after which the lane, or the message, is taken to be at fault.
pub(super) const LOST_MAX: u32 = 5;

/// The connector named in a lane's key.
pub(super) fn connector_of(key: &LaneKey) -> &str {
    key.0.split('/').next().unwrap_or_default()
}

/// When mail on disk is due. A time later than any connector's longest wait becomes now: the clock was
/// wrong when it was written, and must not strand mail.
pub(super) fn believed(due: UnixMillis, at: At<'_>) -> UnixMillis {
    if due > at.now().plus(longest_wait(at.table)) { at.now() } else { due }
}

/// How long to wait before asking the disk again after a fault.
pub(in crate::scheduler) const AFTER_FAULT: Duration = Duration::from_secs(10);
