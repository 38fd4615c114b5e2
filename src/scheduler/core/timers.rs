//! The deadlines of everything that has one. A deadline that is not in the future can't be set, so no
//! event can loop without time passing.

use std::collections::BTreeSet;

use super::Timer;
use crate::mail::UnixMillis;

/// A time after now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Later(UnixMillis);

impl Later {
    /// The deadline itself, or the next millisecond if it has passed. The second case means that due
    /// work was left undone: the property tests count it.
    pub(super) fn after(now: UnixMillis, deadline: UnixMillis) -> Self {
        Self(if deadline > now { deadline } else { UnixMillis(now.0.saturating_add(1)) })
    }

    pub(super) fn time(self) -> UnixMillis {
        self.0
    }
}

/// The deadlines of everything that has one, each once.
#[derive(Debug, Default)]
pub(super) struct Timers {
    set: BTreeSet<(UnixMillis, Timer)>,
    /// Until when the loop sleeps.
    planned: Option<UnixMillis>,
}

impl Timers {
    /// Sets a deadline, replacing `before` if there was one. Returns whether the loop must be woken for
    /// it.
    pub(super) fn set(&mut self, timer: Timer, before: Option<UnixMillis>, deadline: Later) -> bool {
        let timer = match before {
            Some(before) => {
                let entry = (before, timer);
                self.set.remove(&entry);
                entry.1
            }
            None => timer,
        };
        self.set.insert((deadline.0, timer));
        let sooner = self.planned.is_none_or(|planned| deadline.0 < planned);
        if sooner {
            self.planned = Some(deadline.0);
        }
        sooner
    }

    pub(super) fn clear(&mut self, timer: Timer, deadline: UnixMillis) {
        self.set.remove(&(deadline, timer));
    }

    /// Takes the first timer that is due.
    pub(super) fn due(&mut self, now: UnixMillis) -> Option<(UnixMillis, Timer)> {
        let first = self.set.first()?;
        if first.0 > now { None } else { self.set.pop_first() }
    }

    /// When the next timer is due. From now on, setting an earlier one wakes the loop.
    pub(super) fn plan(&mut self) -> Option<UnixMillis> {
        self.planned = self.set.first().map(|(time, _)| *time);
        self.planned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Timers {
        pub(in crate::scheduler::core) fn first(&self) -> Option<UnixMillis> {
            self.set.first().map(|(time, _)| *time)
        }

        pub(in crate::scheduler::core) fn has(&self, timer: &Timer, deadline: UnixMillis) -> bool {
            self.set.contains(&(deadline, timer.clone()))
        }
    }
}
