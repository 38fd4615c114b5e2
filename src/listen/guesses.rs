//! Counts guesses by network, across sessions, to slow down whoever guesses passwords or recipients. It checks
//! neither.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::mail::Network;

/// Guesses by network. Bounded; networks beyond the bound are not counted.
#[derive(Debug)]
pub struct Guesses {
    failed_max: u32,
    logins: Mutex<HashMap<Network, NetworkLogins>>,
}

#[derive(Debug)]
struct NetworkLogins {
    failed: u32,
    /// Logins being checked; each counts as failed until it turns out right.
    checking: u32,
    /// When the failures are forgotten.
    failed_until: Instant,
    /// Until when the network is known for a correct login.
    known_until: Instant,
}

/// A login being checked. Dropped without a verdict, it is not counted.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    guesses: &'a Guesses,
    network: Network,
}

impl Guesses {
    /// A network may fail `failed_max` times before it has to wait.
    #[must_use]
    pub fn new(failed_max: u32) -> Self {
        Self { failed_max, logins: Mutex::default() }
    }

    /// The rank at which a login of this network waits for its check: 0 for a known network that has not failed
    /// since. `None`: its logins are refused unchecked for now.
    pub(super) fn rank(&self, network: Network, now: Instant) -> Option<u32> {
        let logins = self.lock();
        let Some(of_network) = logins.get(&network) else { return Some(1) };
        let failed = of_network.failed_at(now);
        match (failed, now < of_network.known_until) {
            (failed, _) if failed >= self.failed_max => None,
            (0, true) => Some(0),
            (failed, _) => Some(failed.saturating_add(1)),
        }
    }

    /// Counts a login before it is checked, so that concurrent checks can't exceed the limit. `None`: it must not be
    /// checked.
    pub(super) fn begin(&self, network: Network, now: Instant) -> Option<Attempt<'_>> {
        let mut logins = self.lock();
        if logins.len() >= NETWORKS_MAX {
            logins.retain(|_, of_network| !of_network.is_over(now));
        }
        if logins.len() < NETWORKS_MAX || logins.contains_key(&network) {
            let fresh = NetworkLogins { failed: 0, checking: 0, failed_until: now, known_until: now };
            let of_network = logins.entry(network).or_insert(fresh);
            of_network.failed = of_network.failed_at(now);
            if of_network.failed.saturating_add(of_network.checking) >= self.failed_max {
                return None;
            }
            of_network.checking = of_network.checking.saturating_add(1);
        }
        Some(Attempt { guesses: self, network })
    }

    /// Counts one that was wrong, where none is counted before.
    pub(super) fn failed(&self, network: Network, now: Instant) {
        if let Some(attempt) = self.begin(network, now) {
            attempt.settle(false, now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Network, NetworkLogins>> {
        // Numbers stay numbers whatever a panicking holder did.
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NetworkLogins {
    fn failed_at(&self, now: Instant) -> u32 {
        if now < self.failed_until { self.failed } else { 0 }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.checking == 0 && now >= self.failed_until && now >= self.known_until
    }
}

impl Attempt<'_> {
    /// Records the result of the check.
    pub(super) fn settle(self, right: bool, now: Instant) {
        let mut logins = self.guesses.lock();
        let Some(of_network) = logins.get_mut(&self.network) else { return };
        if right {
            (of_network.failed, of_network.known_until) = (0, now + KNOWN_FOR);
        } else {
            of_network.failed = of_network.failed_at(now).saturating_add(1);
            of_network.failed_until = now + FORGOTTEN_AFTER;
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(of_network) = self.guesses.lock().get_mut(&self.network) {
            of_network.checking = of_network.checking.saturating_sub(1);
        }
    }
}

const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// A device logs in once a day at least.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 60 * 60);
const NETWORKS_MAX: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::NetworkBits;

    fn at(text: &str) -> Network {
        Network::of(text.parse().expect("an address"), NetworkBits::default())
    }

    fn settle(guesses: &Guesses, from: &str, right: bool, now: Instant) {
        guesses.begin(at(from), now).expect("an attempt").settle(right, now);
    }

    #[test]
    fn who_fails_too_often_waits_until_it_is_forgotten() {
        let guesses = Guesses::new(3);
        let now = Instant::now();
        let rank = |from, now| guesses.rank(at(from), now);
        for failed in 1..=3 {
            assert_eq!(rank("192.0.2.1", now), Some(failed));
            settle(&guesses, "192.0.2.1", false, now);
            settle(&guesses, "2001:db8::1", false, now);
        }
        assert!(guesses.begin(at("192.0.2.1"), now).is_none());
        assert_eq!((rank("192.0.2.1", now), rank("192.0.2.2", now)), (None, Some(1)));
        assert_eq!((rank("2001:db8::ffff:2", now), rank("2001:db8:0:1::1", now)), (None, Some(1)));
        let later = now + FORGOTTEN_AFTER;
        assert_eq!(rank("192.0.2.1", later), Some(1));
        settle(&guesses, "192.0.2.1", false, later);
        assert_eq!(rank("192.0.2.1", later), Some(2), "it counts again");
    }

    #[test]
    fn a_right_login_makes_earlier_failures_good_and_is_remembered() {
        let guesses = Guesses::new(3);
        let now = Instant::now();
        settle(&guesses, "192.0.2.2", false, now);
        settle(&guesses, "192.0.2.2", false, now);
        settle(&guesses, "192.0.2.2", true, now);
        assert_eq!(guesses.rank(at("192.0.2.2"), now), Some(0));
        settle(&guesses, "192.0.2.2", false, now);
        assert_eq!(guesses.rank(at("192.0.2.2"), now), Some(2));
        assert_eq!(guesses.rank(at("192.0.2.2"), now + KNOWN_FOR), Some(1));
    }

    #[test]
    fn attempts_count_before_they_are_checked() {
        let guesses = Guesses::new(3);
        let now = Instant::now();
        let begin = || guesses.begin(at("192.0.2.1"), now);
        let (one, two, three) = (begin(), begin(), begin());
        assert!(three.is_some() && begin().is_none());
        // One of which nobody knows how it ended counts no more.
        drop(three);
        let three = begin();
        one.expect("an attempt").settle(false, now);
        assert!(begin().is_none());
        // A right one makes good what failed, not what is still being checked.
        two.expect("an attempt").settle(true, now);
        let (four, five) = (begin(), begin());
        assert!(three.is_some() && four.is_some() && five.is_some() && begin().is_none());
        drop((three, four, five));
        assert_eq!(guesses.rank(at("192.0.2.1"), now), Some(0));
    }

    #[test]
    fn the_book_is_bounded() {
        let guesses = Guesses::new(1);
        let now = Instant::now();
        let of = |n: u32| Network::of(std::net::IpAddr::V4(n.into()), NetworkBits::default());
        for n in 0..30_000_u32 {
            guesses.begin(of(n), now).expect("an attempt").settle(false, now);
        }
        assert_eq!(guesses.lock().len(), NETWORKS_MAX);
        let later = now + FORGOTTEN_AFTER;
        guesses.begin(of(40_000), later).expect("an attempt").settle(false, later);
        assert_eq!(guesses.lock().len(), 1);
    }
}
