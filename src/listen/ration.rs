//! Limits the log lines a network can cause by being refused. Lines beyond the limit are counted and only
//! their number is logged, so that no flood fills a disk or hides what matters.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::mail::Network;

/// The log lines of the last minute.
#[derive(Debug, Default)]
pub(super) struct Ration {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    by_network: HashMap<Network, Account>,
    /// All networks that do not fit into `by_network`.
    others: Option<Account>,
}

#[derive(Debug)]
struct Account {
    /// When this minute ends.
    until: Instant,
    asked: u64,
}

/// A number of lines that were not logged.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OmittedLines {
    /// The network; `None` if there were many.
    pub(super) network: Option<Network>,
    pub(super) count: u64,
}

impl Ration {
    /// Whether a line about this network may be logged; counts it.
    pub(super) fn allows(&self, network: Network, now: Instant) -> bool {
        let mut book = self.lock();
        let known = book.by_network.contains_key(&network);
        let (account, lines_max) = if known || book.by_network.len() < NETWORKS_MAX {
            (book.by_network.entry(network).or_insert_with(|| Account::new(now)), LINES_MAX)
        } else {
            (book.others.get_or_insert_with(|| Account::new(now)), LINES_OF_OTHERS_MAX)
        };
        account.asked = account.asked.saturating_add(1);
        account.asked <= lines_max
    }

    /// The lines omitted in minutes that have ended; call it every few seconds.
    pub(super) fn settle(&self, now: Instant) -> Vec<OmittedLines> {
        let mut book = self.lock();
        let mut omitted = Vec::new();
        book.by_network.retain(|network, account| {
            let over = account.until <= now;
            if over {
                omitted.extend(OmittedLines::of(Some(*network), account, LINES_MAX));
            }
            !over
        });
        if let Some(account) = book.others.take_if(|account| account.until <= now) {
            omitted.extend(OmittedLines::of(None, &account, LINES_OF_OTHERS_MAX));
        }
        omitted
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn new(now: Instant) -> Self {
        Self { until: now + MINUTE, asked: 0 }
    }
}

impl OmittedLines {
    fn of(network: Option<Network>, account: &Account, lines_max: u64) -> Option<Self> {
        let count = account.asked.saturating_sub(lines_max);
        (count > 0).then_some(Self { network, count })
    }
}

pub(super) const MINUTE: Duration = Duration::from_secs(60);
/// Lines per minute about one network.
const LINES_MAX: u64 = 600;
/// Lines per minute about all networks beyond `NETWORKS_MAX`.
const LINES_OF_OTHERS_MAX: u64 = 6_000;
/// Networks tracked: at some 100 octets each, a megabyte.
const NETWORKS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::mail::NetworkBits;

    fn at(number: u32) -> Network {
        Network::of(IpAddr::V4(number.into()), NetworkBits::default())
    }

    #[test]
    fn a_flood_is_logged_up_to_its_ration_and_then_counted() {
        let ration = Ration::default();
        let now = Instant::now();
        assert_eq!((0..1_000).filter(|_| ration.allows(at(1), now)).count(), 600);
        assert!(ration.allows(at(2), now), "others have their own");
        assert_eq!(ration.settle(now + MINUTE / 2), []);
        assert_eq!(ration.settle(now + MINUTE), [OmittedLines { network: Some(at(1)), count: 400 }]);
        assert!(ration.allows(at(1), now + MINUTE) && ration.lock().by_network.len() == 1);
    }

    #[test]
    fn the_book_is_bounded() {
        let ration = Ration::default();
        let now = Instant::now();
        let logged = (0..20_000).filter(|number| ration.allows(at(*number), now)).count();
        assert_eq!(logged, 16_000);
        assert_eq!(ration.settle(now + MINUTE), [OmittedLines { network: None, count: 4_000 }]);
    }
}
