//! Checks from its own thread that the scheduler makes progress, and feeds the service manager's
//! watchdog only then.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::scheduler::Scheduler;
use crate::tracking::{Loss, Vitals};

/// The watchdog thread; a clone refers to the same one.
#[derive(Clone, Default)]
pub struct Watchdog(Arc<Mutex<Option<Weak<Scheduler>>>>);

impl Watchdog {
    /// Starts the thread. Until [`Self::look_after`], the process counts as starting.
    ///
    /// # Errors
    /// The thread can't be started.
    pub fn start(vitals: &Vitals) -> io::Result<Self> {
        let (watchdog, vitals) = (Self::default(), vitals.clone());
        let (me, life) = (watchdog.clone(), vitals.life("the watchdog"));
        thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            let _life = life;
            me.keep(&vitals);
        })?;
        Ok(watchdog)
    }

    /// From now on this scheduler must make progress.
    pub fn look_after(&self, scheduler: &Arc<Scheduler>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::downgrade(scheduler));
    }

    fn keep(&self, vitals: &Vitals) {
        let mut look = Look::new(sd_notify::watchdog_enabled());
        loop {
            thread::sleep(look.every);
            let found = look.at(self.found(vitals));
            if found.feed && look.limit.is_some() {
                // The only way to report a fault here is not to feed the watchdog.
                let _ = sd_notify::notify(&[NotifyState::Watchdog]);
            }
            let seconds = look.still_for().as_secs_f64();
            match found.word {
                Some(Word::Soon) => {
                    tracing::error!(
                        seconds,
                        "the scheduler makes no turn; the service manager's watchdog is not fed"
                    );
                }
                Some(Word::Stuck) => {
                    let why = format!("has made no turn for {seconds} s");
                    vitals.lost(Loss { what: "the scheduler".to_owned(), why });
                }
                None => {}
            }
        }
    }

    fn found(&self, vitals: &Vitals) -> WatchdogFinding {
        if vitals.is_stopping() {
            return WatchdogFinding::Ending;
        }
        let scheduler = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match scheduler.map(|scheduler| scheduler.upgrade()) {
            None => WatchdogFinding::Starting,
            Some(None) => WatchdogFinding::Ending,
            Some(Some(scheduler)) => {
                let turns = scheduler.turns();
                // Wakes an idle scheduler, so that it makes a turn before the next look.
                scheduler.prod();
                WatchdogFinding::Turns(turns)
            }
        }
    }
}

/// What one look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WatchdogFinding {
    Starting,
    /// Number of turns the scheduler has made.
    Turns(u64),
    /// The shutdown has its own time limit.
    Ending,
}

/// Something to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    /// The service manager's watchdog will expire soon.
    Soon,
    /// The process can't go on.
    Stuck,
}

#[derive(Debug, PartialEq, Eq)]
struct LookOutcome {
    feed: bool,
    word: Option<Word>,
}

/// What was seen so far. It counts looks, not time: if the process was stopped or the machine
/// slept, the looks paused too.
#[derive(Debug)]
struct Look {
    every: Duration,
    /// The service manager's own limit.
    limit: Option<Duration>,
    turns: u64,
    /// Looks without a new turn, or during the start.
    still: u32,
}

impl Look {
    fn new(limit: Option<Duration>) -> Self {
        let every = limit.map_or(EVERY, |limit| (limit / 4).clamp(EVERY_MIN, EVERY));
        Self { every, limit, turns: 0, still: 0 }
    }

    fn still_for(&self) -> Duration {
        self.every.saturating_mul(self.still)
    }

    fn at(&mut self, found: WatchdogFinding) -> LookOutcome {
        let before = self.still_for();
        let now = |look: &Self, mark: Duration| before < mark && mark <= look.still_for();
        match found {
            WatchdogFinding::Ending => LookOutcome { feed: true, word: None },
            WatchdogFinding::Starting => {
                self.still = self.still.saturating_add(1);
                LookOutcome { feed: self.still_for() <= START_MAX, word: None }
            }
            WatchdogFinding::Turns(turns) if turns != self.turns => {
                (self.turns, self.still) = (turns, 0);
                LookOutcome { feed: true, word: None }
            }
            WatchdogFinding::Turns(_) => {
                self.still = self.still.saturating_add(1);
                let soon = self.limit.is_some_and(|limit| now(self, limit / 2));
                let word = now(self, STUCK_AFTER).then_some(Word::Stuck).or(soon.then_some(Word::Soon));
                LookOutcome { feed: false, word }
            }
        }
    }
}

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(5);
const EVERY_MIN: Duration = Duration::from_millis(50);
/// The scheduler is stuck if it makes no turn for this long although it was woken each time. A disk
/// that stalls every thread of the runtime, such as storage that fails over, may take a minute, and
/// a restart would not help.
const STUCK_AFTER: Duration = Duration::from_secs(120);
/// Maximum duration of a start, as `TimeoutStartSec=` in the unit.
const START_MAX: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    /// The results of a number of looks, each as `fed`, `-`, `soon` or `stuck`.
    fn said(look: &mut Look, found: impl IntoIterator<Item = WatchdogFinding>) -> Vec<&'static str> {
        let word = |outcome: LookOutcome| match outcome {
            LookOutcome { feed: true, word: None } => "fed",
            LookOutcome { feed: false, word: None } => "-",
            LookOutcome { feed: false, word: Some(Word::Soon) } => "soon",
            LookOutcome { feed: false, word: Some(Word::Stuck) } => "stuck",
            LookOutcome { feed: true, word: Some(_) } => "both",
        };
        found.into_iter().map(|found| word(look.at(found))).collect()
    }

    #[test]
    fn it_is_fed_while_turns_are_made_and_by_nothing_else() {
        let mut look = Look::new(Some(Duration::from_secs(30)));
        let turns = [1, 2, 9, 9, 9, 9, 9, 9, 10].map(WatchdogFinding::Turns);
        assert_eq!(said(&mut look, turns), ["fed", "fed", "fed", "-", "-", "soon", "-", "-", "fed"]);
    }

    #[test]
    fn stuck_is_said_once_after_two_minutes_of_looks() {
        let mut look = Look::new(None);
        let mut expected = vec!["-"; 32];
        expected.splice(0..1, ["fed", "-"]);
        expected.splice(24..25, ["stuck"]);
        assert_eq!(said(&mut look, [WatchdogFinding::Turns(7); 33]), expected);
        assert_eq!(said(&mut look, [WatchdogFinding::Turns(8)]), ["fed"]);
    }

    #[test]
    fn a_start_is_fed_for_five_minutes_and_the_end_as_long_as_it_takes() {
        let mut look = Look::new(Some(Duration::from_secs(30)));
        let mut expected = vec!["fed"; 60];
        expected.push("-");
        assert_eq!(said(&mut look, [WatchdogFinding::Starting; 61]), expected);
        assert_eq!(
            said(&mut look, [WatchdogFinding::Turns(3), WatchdogFinding::Ending, WatchdogFinding::Ending]),
            ["fed", "fed", "fed"]
        );
    }

    #[test]
    fn it_looks_more_often_than_the_service_manager_asks_for() {
        let every = |seconds| Look::new(Some(Duration::from_secs(seconds))).every.as_secs_f32();
        assert_eq!([1, 8, 30, 600].map(every), [0.25, 2.0, 5.0, 5.0]);
    }
}
