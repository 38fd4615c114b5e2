//! Converts between schedule times and dates, even if the host's clock is set at any time. It reads no clock.

use std::time::Duration;

use super::UnixMillis;

/// Two matching clock readings, steady time (used by schedules) and the host's date, with the offsets between
/// them since the process started.
///
/// Schedule times ("steady") stay in memory. What is written to disk or shown is a date ("wall").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dates {
    now: UnixMillis,
    wall: UnixMillis,
    offsets: Offsets,
}

impl Dates {
    /// Pairs readings of both clocks. `offsets` are those seen before; the current one is added here.
    #[must_use]
    pub fn new(now: UnixMillis, wall: UnixMillis, offsets: Offsets) -> Self {
        let offset = wall.0.saturating_sub(now.0);
        Self { now, wall, offsets: offsets.noting(offset).unwrap_or(offsets) }
    }

    /// Readings of a host whose clock was never set: both times are equal.
    #[must_use]
    pub const fn agreeing(now: UnixMillis) -> Self {
        Self { now, wall: now, offsets: Offsets::start(0) }
    }

    /// The steady time now: it never steps, and it keeps running while the host is suspended.
    #[must_use]
    pub const fn now(&self) -> UnixMillis {
        self.now
    }

    /// The host's date now.
    #[must_use]
    pub const fn wall(&self) -> UnixMillis {
        self.wall
    }

    /// Converts a steady time to a date, by the current offset.
    #[must_use]
    pub const fn to_wall(&self, steady: UnixMillis) -> UnixMillis {
        UnixMillis(steady.0.saturating_add(self.wall.0.saturating_sub(self.now.0)))
    }

    /// Converts a date that was read to steady time, by the current offset. The writer's clock may have been
    /// wrong: bound the result by the longest wait that makes sense.
    #[must_use]
    pub const fn to_steady(&self, wall: UnixMillis) -> UnixMillis {
        UnixMillis(wall.0.saturating_sub(self.wall.0.saturating_sub(self.now.0)))
    }

    /// The age of something dated when it was accepted: the smallest non-negative age by any clock offset
    /// this process has seen. So nothing looks old because the clock jumped forwards, and what was accepted
    /// while the clock was ahead does not look new for that long. Zero if the date lies ahead by every
    /// offset.
    #[must_use]
    pub fn age(&self, accepted_at: UnixMillis) -> Duration {
        let present = self.wall.0.saturating_sub(self.now.0);
        let offsets = self.offsets.seen.into_iter().chain([present]);
        let ages = offsets.map(|offset| self.now.0.saturating_add(offset).saturating_sub(accepted_at.0));
        let youngest = ages.filter(|age| *age >= 0).min().unwrap_or(0);
        Duration::from_millis(u64::try_from(youngest).unwrap_or(0))
    }

    /// The steady time at which something was accepted, by [`Self::age`].
    #[must_use]
    pub fn since(&self, accepted_at: UnixMillis) -> UnixMillis {
        self.now.before(self.age(accepted_at))
    }
}

/// The last few offsets of the host's date from the steady time, in milliseconds, latest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    seen: [i64; OFFSETS_MAX],
}

impl Offsets {
    /// Starts with one offset.
    #[must_use]
    pub const fn start(offset: i64) -> Self {
        Self { seen: [offset; OFFSETS_MAX] }
    }

    /// Adds an offset; `None` if it is not worth noting. One close to a known offset is a slewed clock: it
    /// replaces that offset and becomes the latest. Any other is a step, and the oldest is forgotten.
    #[must_use]
    pub fn noting(&self, offset: i64) -> Option<Self> {
        let [latest, ..] = self.seen;
        if latest.abs_diff(offset) <= JITTER_MS {
            return None;
        }
        let mut seen = self.seen;
        let known = seen.iter().position(|known| known.abs_diff(offset) <= SLEW_MS);
        let upto = known.unwrap_or(OFFSETS_MAX.saturating_sub(1));
        seen.get_mut(..=upto)?.rotate_right(1);
        *seen.first_mut()? = offset;
        Some(Self { seen })
    }

    /// The most recent offset, in milliseconds.
    #[must_use]
    pub const fn latest(&self) -> i64 {
        let [latest, ..] = self.seen;
        latest
    }
}

/// Number of offsets kept.
const OFFSETS_MAX: usize = 8;
/// An offset this close to a known one is the same clock, slewed.
const SLEW_MS: u64 = 1_000;
/// The clocks are read one after the other: a difference this small is ignored.
const JITTER_MS: u64 = 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400_000;

    /// A host: a steady time, and a clock that can be set.
    struct Host {
        now: i64,
        offset: i64,
        offsets: Offsets,
    }

    impl Host {
        fn new() -> Self {
            Self { now: 1_000 * DAY, offset: 0, offsets: Offsets::start(0) }
        }

        fn look(&mut self) -> Dates {
            let dates = Dates::new(UnixMillis(self.now), UnixMillis(self.now + self.offset), self.offsets);
            self.offsets = dates.offsets;
            dates
        }
    }

    #[test]
    fn a_clock_that_jumps_ahead_makes_nothing_old() {
        let mut host = Host::new();
        let accepted_at = host.look().wall();
        host.offset = 10 * DAY;
        host.now += 5_000;
        assert_eq!(host.look().age(accepted_at), Duration::from_secs(5));
        assert_eq!(host.look().since(accepted_at), UnixMillis(host.now - 5_000));
    }

    #[test]
    fn what_came_while_the_clock_was_ahead_ages_once_it_is_right() {
        let mut host = Host::new();
        host.look();
        host.offset = -DAY;
        host.now += 60_000;
        // Accepted before the correction.
        let accepted_at = UnixMillis(host.now - 60_000);
        assert_eq!(host.look().age(accepted_at), Duration::from_secs(60));
    }

    #[test]
    fn what_lies_ahead_by_every_clock_has_just_come() {
        let mut host = Host::new();
        let ahead = UnixMillis(host.now + DAY);
        assert_eq!(host.look().age(ahead), Duration::ZERO);
        assert_eq!(host.look().since(ahead), UnixMillis(host.now));
    }

    #[test]
    fn slewing_replaces_and_a_step_is_kept() {
        let start = Offsets::start(0);
        assert_eq!(start.noting(20), None);
        let slewed = start.noting(900).expect("noted");
        assert_eq!(slewed.seen, [900, 0, 0, 0, 0, 0, 0, 0]);
        let stepped = slewed.noting(DAY).expect("noted");
        assert_eq!(stepped.seen, [DAY, 900, 0, 0, 0, 0, 0, 0]);
        let back = stepped.noting(0).expect("noted");
        assert_eq!(back.seen, [0, DAY, 0, 0, 0, 0, 0, 0]);
    }

    fn steps() -> impl Strategy<Value = Vec<(i64, i64)>> {
        prop::collection::vec((0..DAY, -400 * DAY..400 * DAY), 0..7)
    }

    proptest! {
        /// With up to seven steps of any size, in either direction, an age is never negative and never
        /// exceeds the true one by more than slew; and dates survive a round trip.
        #[test]
        fn no_step_makes_anything_older_than_it_is(steps in steps(), at in 0_usize..7) {
            let mut host = Host::new();
            let mut accepted = (host.now, host.look().wall());
            for (number, (pass, offset)) in steps.into_iter().enumerate() {
                host.now += pass;
                host.offset = offset;
                let dates = host.look();
                if number == at {
                    accepted = (host.now, dates.wall());
                }
                let age = i64::try_from(dates.age(accepted.1).as_millis()).expect("small");
                prop_assert!(age <= host.now - accepted.0 + 1_000, "{age} of {}", host.now - accepted.0);
                prop_assert!(dates.since(accepted.1) <= dates.now());
                prop_assert_eq!(dates.to_wall(dates.now()), dates.wall());
                prop_assert_eq!(dates.to_steady(dates.to_wall(UnixMillis(accepted.0))).0, accepted.0);
            }
        }

        /// While the clock is not set, everything ages, whatever offsets were seen before.
        #[test]
        fn a_clock_at_rest_lets_everything_age(steps in steps(), wait in 0..30 * DAY) {
            let mut host = Host::new();
            for (pass, offset) in steps {
                host.now += pass;
                host.offset = offset;
                host.look();
            }
            let accepted_at = host.look().wall();
            let before = host.look().age(accepted_at);
            host.now += wait;
            prop_assert!(host.look().age(accepted_at) <= before + Duration::from_millis(wait.unsigned_abs()));
            host.now += 800 * DAY;
            prop_assert!(host.look().age(accepted_at) > Duration::ZERO);
        }

        #[test]
        fn nothing_overflows(now: i64, wall: i64, seen: i64, time: i64) {
            let dates = Dates::new(UnixMillis(now), UnixMillis(wall), Offsets::start(seen));
            let _ = (dates.age(UnixMillis(time)), dates.since(UnixMillis(time)));
            let _ = (dates.to_wall(UnixMillis(time)), dates.to_steady(UnixMillis(time)));
        }
    }
}
