//! Takes events as they happen and hands them to the thread that writes them. Callers only copy; they never wait.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::record::NewEvent;
use super::sums::{DoorSums, SumKey, refusal_key};
use crate::mail::Clock;
use crate::tracking::{Event, Observer};

/// Where events wait to be written. Clones share it.
#[derive(Clone, Default)]
pub struct EventRecorder(Arc<RecorderState>);

#[derive(Default)]
struct RecorderState {
    backlog: Mutex<EventBacklog>,
    /// Signalled when there is something to write, or enough of it.
    filled: Condvar,
    dropped: AtomicU64,
    dropped_facts: AtomicU64,
    /// The writer has ended, or can't write.
    failing: AtomicBool,
    /// What is written can't be sealed.
    unsealed: AtomicBool,
}

/// What waits.
#[derive(Default)]
struct EventBacklog {
    events: Vec<NewEvent>,
    /// Refusals that are only counted, by reason.
    door: DoorSums,
    /// What events that are no facts may still take, refilled with time.
    budget: Budget,
    is_over: bool,
}

/// What the writer takes at once.
#[derive(Default)]
pub(super) struct EventBatch {
    pub(super) events: Vec<NewEvent>,
    pub(super) door: DoorSums,
}

impl EventBatch {
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.door.is_empty()
    }
}

/// How many events were not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DroppedEvents {
    /// All of them.
    pub all: u64,
    /// Those that tell what happened to accepted mail.
    pub facts: u64,
}

impl EventRecorder {
    /// How many events were not kept since the start.
    #[must_use]
    pub fn dropped(&self) -> DroppedEvents {
        DroppedEvents {
            all: self.0.dropped.load(Ordering::Relaxed),
            facts: self.0.dropped_facts.load(Ordering::Relaxed),
        }
    }

    /// How many events wait to be written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().events.len()
    }

    /// Whether events can't be written at the moment.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.0.failing.load(Ordering::Relaxed)
    }

    /// Whether the record can't be sealed at the moment.
    #[must_use]
    pub fn is_unsealed(&self) -> bool {
        self.0.unsealed.load(Ordering::Relaxed)
    }

    pub(super) fn set_unsealed(&self, unsealed: bool) {
        self.0.unsealed.store(unsealed, Ordering::Relaxed);
    }

    pub(super) fn set_failing(&self, failing: bool) {
        self.0.failing.store(failing, Ordering::Relaxed);
    }

    /// Counts events that can't be written.
    pub(super) fn drop_events(&self, events: &[NewEvent]) {
        let facts = events.iter().filter(|event| event.kind.is_fact()).count();
        self.count(u64_of(events.len()), u64_of(facts));
    }

    fn count(&self, all: u64, facts: u64) {
        self.0.dropped.fetch_add(all, Ordering::Relaxed);
        self.0.dropped_facts.fetch_add(facts, Ordering::Relaxed);
    }

    /// Ends the writer once it has written what waits.
    pub(super) fn end(&self) {
        self.lock().is_over = true;
        self.0.filled.notify_all();
    }

    /// Waits until something is there, and then a moment for more. `None`: it is over, and nothing waits.
    pub(super) fn take(&self, idle: Duration) -> Option<EventBatch> {
        let waiting = |backlog: &mut EventBacklog| backlog.is_empty() && !backlog.is_over;
        let (backlog, _) = self
            .0
            .filled
            .wait_timeout_while(self.lock(), idle, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        if backlog.is_empty() {
            return if backlog.is_over { None } else { Some(EventBatch::default()) };
        }
        let few = |backlog: &mut EventBacklog| backlog.events.len() < BATCH && !backlog.is_over;
        let (mut backlog, _) =
            self.0.filled.wait_timeout_while(backlog, GATHER, few).unwrap_or_else(PoisonError::into_inner);
        Some(EventBatch {
            events: std::mem::take(&mut backlog.events),
            door: std::mem::take(&mut backlog.door),
        })
    }

    fn count_refusal(&self, key: SumKey) {
        let mut backlog = self.lock();
        let is_first = backlog.is_empty();
        backlog.door.count(key);
        drop(backlog);
        if is_first {
            self.0.filled.notify_one();
        }
    }

    /// Keeps an event, if there is room for its kind.
    fn push(&self, event: NewEvent) {
        let mut backlog = self.lock();
        if !event.kind.is_fact() {
            let room = backlog.events.len() < OTHERS_MAX && backlog.budget.take(Instant::now());
            if !room {
                drop(backlog);
                return self.count(1, 0);
            }
        } else if backlog.events.len() >= FACTS_MAX {
            drop(backlog);
            return self.count(1, 1);
        }
        backlog.events.push(event);
        let length = backlog.events.len();
        drop(backlog);
        // The writer waits for the first, and then for enough; others need not wake it.
        if length == 1 || length == BATCH {
            self.0.filled.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, EventBacklog> {
        // Each change is complete even if the thread that made it panicked later.
        self.0.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for EventRecorder {
    fn observe(&self, event: &Event<'_>) {
        // A flood costs the store nothing but a number for each of its reasons, and no refusal is left out of that.
        if let Event::RefusalCounted { code, decision } = event {
            return self.count_refusal(refusal_key(Clock::wall(), *code, *decision));
        }
        if let Some(event) = NewEvent::of(event, Clock::wall()) {
            self.push(event);
        }
    }
}

impl EventBacklog {
    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.door.is_empty()
    }
}

/// What a crowd at the door may take of the store: a burst, and so many a second in the long run.
#[derive(Debug)]
struct Budget {
    left: f64,
    at: Option<Instant>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: OTHERS_BURST, at: None }
    }
}

impl Budget {
    fn take(&mut self, now: Instant) -> bool {
        let passed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.at = Some(now);
        self.left = passed.as_secs_f64().mul_add(OTHERS_A_SECOND, self.left).min(OTHERS_BURST);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

fn u64_of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// How long the writer waits for more before it writes: what a crash may lose.
const GATHER: Duration = Duration::from_millis(800);
/// Enough to be written at once.
const BATCH: usize = 16_384;
/// While this many wait, refusals and the like are not kept.
const OTHERS_MAX: usize = 32_768;
/// While this many wait, nothing is kept: about 128 MiB.
const FACTS_MAX: usize = 131_072;
/// Of events that are no facts, this many are kept at once, and then this many a second: 430,000 a day, or 130 MiB.
const OTHERS_BURST: f64 = 10_000.0;
const OTHERS_A_SECOND: f64 = 5.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::UnixMillis;
    use crate::trace::record::{EventFacts, EventKind};

    fn event(kind: EventKind) -> NewEvent {
        NewEvent { at: UnixMillis(1), kind, id: None, facts: EventFacts::default(), decision: None }
    }

    #[test]
    fn facts_are_kept_when_a_crowd_is_not() {
        let recorder = EventRecorder::default();
        for _ in 0..12_000 {
            recorder.observe(&Event::RefusalCounted { code: 550, decision: None });
            recorder.push(event(EventKind::Refused));
        }
        recorder.push(event(EventKind::Delivered));
        let dropped = recorder.dropped();
        assert!(dropped.all >= 1_990, "{dropped:?}");
        assert_eq!(dropped.facts, 0);
        let batch = recorder.take(Duration::ZERO).expect("something");
        assert_eq!(batch.events.last().map(|event| event.kind), Some(EventKind::Delivered));
        assert_eq!(batch.door.0.values().sum::<u64>(), 12_000, "all are counted");
    }

    #[test]
    fn memory_is_bounded_and_what_is_dropped_is_counted() {
        let recorder = EventRecorder::default();
        for _ in 0..FACTS_MAX + 3 {
            recorder.push(event(EventKind::Delivered));
        }
        assert_eq!(recorder.dropped(), DroppedEvents { all: 3, facts: 3 });
        recorder.end();
        assert_eq!(recorder.take(Duration::ZERO).expect("a batch").events.len(), FACTS_MAX);
        assert!(recorder.take(Duration::ZERO).is_none(), "it is over");
    }
}
