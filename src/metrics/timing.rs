//! A histogram of durations that many threads add to without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts durations by upper bounds.
#[derive(Debug)]
pub(super) struct Timing {
    /// Upper bounds in microseconds, ascending.
    bounds: &'static [u64],
    /// One for each bound, and one for what is longer.
    counts: Box<[AtomicU64]>,
    micros: AtomicU64,
}

/// What a [`Timing`] has counted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TimingCounts {
    /// Upper bound in seconds, and how many are not above it but above the one before.
    pub(super) buckets: Vec<(f64, u64)>,
    /// The sum in seconds.
    pub(super) sum: f64,
    /// How many there are.
    pub(super) count: u64,
}

impl Timing {
    pub(super) fn new(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, micros: AtomicU64::new(0) }
    }

    pub(super) fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = self.bounds.partition_point(|bound| *bound < micros);
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        // One that is absurdly long must not turn the sum around.
        self.micros.fetch_add(micros.min(MICROS_MAX), Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> TimingCounts {
        let bounds = self.bounds.iter().map(|bound| seconds(*bound)).chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| *count).fold(0, u64::saturating_add);
        TimingCounts { buckets, sum: seconds(self.micros.load(Ordering::Relaxed)), count }
    }
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

/// A month; no wait is longer.
const MICROS_MAX: u64 = 31 * 86_400 * 1_000_000;

/// From half a millisecond to five seconds: what a disk takes.
pub(super) const ACCEPT: &[u64] =
    &[500, 1_000, 2_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000];
/// From two milliseconds to half a minute.
pub(super) const HANDSHAKE: &[u64] = &[
    2_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000,
];
/// From 50 milliseconds to a day.
pub(super) const DELIVERY: &[u64] = &[
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    1_800_000_000,
    3_600_000_000,
    21_600_000_000,
    86_400_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_below_their_bound() {
        let timing = Timing::new(&[1_000, 2_000]);
        for micros in [0, 1_000, 1_001, 2_000, 2_001, u64::MAX] {
            timing.add(Duration::from_micros(micros));
        }
        let read = timing.read();
        assert_eq!(read.buckets, [(0.001, 2), (0.002, 2), (f64::INFINITY, 2)]);
        assert_eq!(read.count, 6);
        assert!((read.sum - (0.006_002 + seconds(MICROS_MAX))).abs() < 1e-3, "{read:?}");
    }

    #[test]
    fn bounds_ascend() {
        for bounds in [ACCEPT, HANDSHAKE, DELIVERY] {
            assert!(bounds.is_sorted_by(|one, next| one < next), "{bounds:?}");
        }
    }
}
