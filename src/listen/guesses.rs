//! Who guesses passwords: failed logins by address, over sessions.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failed logins of each address. Bounded; what is too many for it is not counted.
#[derive(Debug)]
pub struct Guesses {
    failed_max: u32,
    failed: Mutex<HashMap<IpAddr, Failed>>,
}

#[derive(Debug)]
struct Failed {
    count: u32,
    /// When they are forgotten.
    until: Instant,
}

impl Guesses {
    /// A book in which an address may fail so often before it has to wait.
    #[must_use]
    pub fn new(failed_max: u32) -> Self {
        Self { failed_max, failed: Mutex::default() }
    }

    /// Whether nothing that this address says is checked for now.
    #[must_use]
    pub fn bars(&self, address: IpAddr, now: Instant) -> bool {
        let failed = self.lock();
        failed
            .get(&whose(address))
            .is_some_and(|failed| failed.count >= self.failed_max && now < failed.until)
    }

    /// A login failed.
    pub fn failed(&self, address: IpAddr, now: Instant) {
        let mut all = self.lock();
        if all.len() >= ADDRESSES_MAX {
            all.retain(|_, failed| now < failed.until);
        }
        let address = whose(address);
        if all.len() >= ADDRESSES_MAX && !all.contains_key(&address) {
            return;
        }
        let fresh = Failed { count: 0, until: now };
        let failed = all.entry(address).or_insert(fresh);
        failed.count = if now < failed.until { failed.count.saturating_add(1) } else { 1 };
        failed.until = now + FORGOTTEN_AFTER;
    }

    /// A login was right.
    pub fn succeeded(&self, address: IpAddr) {
        self.lock().remove(&whose(address));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Failed>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A site has all of its /64.
fn whose(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(network).into()
        }
    }
}

const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
const ADDRESSES_MAX: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_too_often_waits_until_it_is_forgotten() {
        let guesses = Guesses::new(3);
        let now = Instant::now();
        let at = |text: &str| -> IpAddr { text.parse().expect("an address") };
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
        assert!(!guesses.bars(at("192.0.2.1"), later), "it counts anew");
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
        for n in 0..30_000_u32 {
            guesses.failed(IpAddr::V4(n.into()), now);
        }
        assert_eq!(guesses.lock().len(), ADDRESSES_MAX);
        guesses.failed(IpAddr::V4(40_000.into()), now + FORGOTTEN_AFTER);
        assert_eq!(guesses.lock().len(), 1);
    }
}
