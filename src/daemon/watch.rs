//! Polls the configuration files and the expiry of certificates while mail flows. The reload itself
//! is in `reload`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::print::{Print, print};
use super::reload::{Reloader, Trigger};
use crate::mail::Clock;
use crate::trace::EventRecorder;
use crate::tracking::Vitals;

/// Until `stop`: reloads when the files have changed, and reports certificates about to expire and
/// dropped log lines.
pub(super) async fn keep(
    reloader: Arc<Reloader>,
    (vitals, recorder): (Vitals, Option<EventRecorder>),
    stop: CancellationToken,
) {
    let mut pace = interval(POLL_EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut polls: u64 = 0;
    let mut watch = Watch::default();
    let mut handed_over = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = pace.tick() => {}
        }
        reloader.tell_dropped(vitals.drops_log_lines());
        if let Some(recorder) = &recorder {
            reloader.tell_tracking(recorder);
        }
        if polls.checked_rem(EXPIRY_EVERY_POLLS) == Some(0) {
            reloader.tell_expiry();
        }
        polls = polls.saturating_add(1);
        let due = reloader.next_handover().filter(|from| *from <= Clock::wall());
        if due.is_some() && due != handed_over {
            // Once per handover: if a file is invalid meanwhile, fixing it triggers the next
            // attempt.
            handed_over = due;
            tokio::select! {
                () = stop.cancelled() => return,
                _told = Arc::clone(&reloader).reload_by(Trigger::Asked) => {}
            }
        }
        let (known, failed) = reloader.known();
        let files: Vec<PathBuf> = known.keys().cloned().collect();
        // A file system that does not answer must not block the tasks that carry mail.
        let Ok(seen) = tokio::task::spawn_blocking(move || print(&files)).await else { continue };
        if let Some(trigger) = watch.step(seen, &known, failed) {
            tokio::select! {
                () = stop.cancelled() => return,
                _told = Arc::clone(&reloader).reload_by(trigger) => {}
            }
        }
    }
}

/// What the last polls saw.
#[derive(Debug, Default)]
struct Watch {
    last: Print,
    /// Polls since the last failed attempt, with no change in between.
    since_failure: u32,
}

impl Watch {
    /// What one more poll leads to. `known` is the state of the files before the last attempt.
    fn step(&mut self, seen: Print, known: &Print, failed: bool) -> Option<Trigger> {
        if seen != *known {
            self.since_failure = 0;
            // A writer may not be done yet: the files must look the same twice.
            let settled = seen == self.last;
            self.last = seen;
            return settled.then_some(Trigger::Change);
        }
        self.last = seen;
        if !failed {
            self.since_failure = 0;
            return None;
        }
        self.since_failure = self.since_failure.saturating_add(1);
        // A renewal writes chain and key one after the other, so an error that is gone after a few
        // polls is not an alarm. Files that the invalid files name are not watched, so everything
        // is read again now and then.
        let again = self.since_failure == ALARM_AFTER_POLLS
            || self.since_failure.checked_rem(AGAIN_EVERY_POLLS) == Some(0);
        again.then_some(Trigger::StillBroken)
    }
}

const POLL_EVERY: Duration = Duration::from_secs(2);
const ALARM_AFTER_POLLS: u32 = 2;
const AGAIN_EVERY_POLLS: u32 = 15;
/// One hour.
const EXPIRY_EVERY_POLLS: u64 = 1_800;

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(length: u64) -> Print {
        Print::from([(PathBuf::from("f"), Some((length, 1, 1, 1)))])
    }

    #[track_caller]
    fn check(watch: &mut Watch, (now, known, failed): (u64, u64, bool), expected: Option<Trigger>) {
        assert_eq!(watch.step(seen(now), &seen(known), failed), expected);
    }

    #[test]
    fn a_change_counts_once_it_has_settled() {
        let mut watch = Watch::default();
        check(&mut watch, (1, 1, false), None);
        check(&mut watch, (2, 1, false), None);
        check(&mut watch, (3, 1, false), None);
        check(&mut watch, (3, 1, false), Some(Trigger::Change));
        check(&mut watch, (3, 3, false), None);
        check(&mut watch, (3, 3, false), None);
    }

    #[test]
    fn what_stays_broken_is_told_two_polls_later() {
        let mut watch = Watch::default();
        check(&mut watch, (2, 1, false), None);
        check(&mut watch, (2, 1, false), Some(Trigger::Change));
        check(&mut watch, (2, 2, true), None);
        check(&mut watch, (2, 2, true), Some(Trigger::StillBroken));
        check(&mut watch, (2, 2, true), None);
        check(&mut watch, (3, 2, true), None);
        check(&mut watch, (3, 2, true), Some(Trigger::Change));
        check(&mut watch, (3, 3, false), None);
    }
}
