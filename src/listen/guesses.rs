//! Counts wrong guesses by network, across sessions, to slow down whoever guesses passwords or recipients. It checks
//! neither.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::mail::Network;

/// Failed logins by network. Bounded; networks beyond the bound are not counted.
#[derive(Debug)]
pub struct Guesses {
    failed_max: u32,
    failed: Mutex<HashMap<Network, FailedLogins>>,
}

#[derive(Debug)]
struct FailedLogins {
    count: u32,
    /// When the count expires.
    until: Instant,
}

impl Guesses {
    /// A network may fail `failed_max` times before it has to wait.
    #[must_use]
    pub fn new(failed_max: u32) -> Self {
        Self { failed_max, failed: Mutex::default() }
    }

    /// Whether logins of this network are refused unchecked for now.
    #[must_use]
    pub fn bars(&self, network: Network, now: Instant) -> bool {
        let failed = self.lock();
        failed.get(&network).is_some_and(|failed| failed.count >= self.failed_max && now < failed.until)
    }

    /// Counts a failed login.
    pub fn failed(&self, network: Network, now: Instant) {
        let mut all = self.lock();
        if all.len() >= NETWORKS_MAX {
            all.retain(|_, failed| now < failed.until);
        }
        if all.len() >= NETWORKS_MAX && !all.contains_key(&network) {
            return;
        }
        let fresh = FailedLogins { count: 0, until: now };
        let failed = all.entry(network).or_insert(fresh);
        failed.count = if now < failed.until { failed.count.saturating_add(1) } else { 1 };
        failed.until = now + FORGOTTEN_AFTER;
    }

    /// Clears the count after a successful login.
    pub fn succeeded(&self, network: Network) {
        self.lock().remove(&network);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Network, FailedLogins>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
const NETWORKS_MAX: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::NetworkBits;

    #[test]
    fn who_fails_too_often_waits_until_it_is_forgotten() {
        let guesses = Guesses::new(3);
        let now = Instant::now();
        let at = |text: &str| Network::of(text.parse().expect("an address"), NetworkBits::default());
        for _ in 0..3 {
            assert!(!guesses.bars(at("192.0.2.1"), now));
            guesses.failed(at("192.0.2.1"), now);
            guesses.failed(at("2001:db8::1"), now);
        }
        assert!(guesses.bars(at("192.0.2.1"), now) && !guesses.bars(at("192.0.2.2"), now));
        assert!(guesses.bars(at("2001:db8::ffff:2"), now) && !guesses.bars(at("2001:db8:0:1::1"), now));
        let later = now + FORGOTTEN_AFTER;
        assert!(!guesses.bars(at("192.0.2.1"), later));
        guesses.failed(at("192.0.2.1"), later);
        assert!(!guesses.bars(at("192.0.2.1"), later), "it counts again");
        guesses.failed(at("192.0.2.2"), now);
        guesses.failed(at("192.0.2.2"), now);
        guesses.succeeded(at("192.0.2.2"));
        guesses.failed(at("192.0.2.2"), now);
        assert!(!guesses.bars(at("192.0.2.2"), now));
    }

    #[test]
    fn the_book_is_bounded() {
        let guesses = Guesses::new(1);
        let now = Instant::now();
        let at = |n: u32| Network::of(std::net::IpAddr::V4(n.into()), NetworkBits::default());
        for n in 0..30_000_u32 {
            guesses.failed(at(n), now);
        }
        assert_eq!(guesses.lock().len(), NETWORKS_MAX);
        guesses.failed(at(40_000), now + FORGOTTEN_AFTER);
        assert_eq!(guesses.lock().len(), 1);
    }
}
