//! Limits concurrent sessions and handshakes, in total and per network. The last places are reserved for
//! clients named by a connector.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::mail::Network;

/// The limits of a census.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// In total.
    pub(super) all: usize,
    /// How many of these are reserved for clients named by a connector.
    pub(super) reserved: usize,
    /// For each network.
    pub(super) each: usize,
}

/// Counts the places in use.
#[derive(Debug)]
pub(super) struct Census {
    bounds: Bounds,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_network: HashMap<Network, usize>,
    /// In order of arrival. Anyone who can have a place already has one, so later arrivals never overtake a
    /// waiter for the same place.
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    guest: Guest,
    place: oneshot::Sender<Place>,
}

/// A client that asks for a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guest {
    pub(super) network: Network,
    /// How many places a connector that names the client allows its network; `None` for a stranger.
    pub(super) named: Option<usize>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crowd {
    /// The total limit is reached.
    All,
    /// The limit of this network is reached.
    Network,
}

/// One place; released on drop.
#[derive(Debug)]
pub(super) struct Place {
    census: Arc<Census>,
    network: Network,
}

impl Census {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, counts: Mutex::default() })
    }

    /// Takes a place. `named` is asked only if a stranger would get none.
    ///
    /// # Errors
    /// Which limit was reached.
    pub(super) fn enter(
        self: &Arc<Self>,
        network: Network,
        named: impl FnOnce() -> Option<usize>,
    ) -> Result<Place, Crowd> {
        let mut counts = self.lock();
        let stranger = Guest { network, named: None };
        if let Err(crowd) = self.has_place(&counts, stranger) {
            let Some(own) = named() else { return Err(crowd) };
            self.has_place(&counts, Guest { network, named: Some(own) })?;
        }
        Ok(self.take(&mut counts, network))
    }

    /// Takes a place, waiting up to `limit` for one.
    pub(super) async fn wait(self: &Arc<Self>, guest: Guest, limit: Duration) -> Option<Place> {
        let place = {
            let mut counts = self.lock();
            if self.has_place(&counts, guest).is_ok() {
                return Some(self.take(&mut counts, guest.network));
            }
            if counts.waiting.len() >= WAITING_MAX {
                counts.waiting.retain(|waiter| !waiter.place.is_closed());
            }
            if counts.waiting.len() >= WAITING_MAX {
                return None;
            }
            let (give, place) = oneshot::channel();
            counts.waiting.push_back(Waiter { guest, place: give });
            place
        };
        timeout(limit, place).await.ok()?.ok()
    }

    fn has_place(&self, counts: &Counts, guest: Guest) -> Result<(), Crowd> {
        let Bounds { all, reserved, each } = self.bounds;
        let (all, each) = match guest.named {
            None => (all.saturating_sub(reserved), each),
            Some(own) => (all, own.max(each)),
        };
        let here = counts.by_network.get(&guest.network).copied().unwrap_or_default();
        match (counts.all >= all, here >= each) {
            (_, true) => Err(Crowd::Network),
            (true, false) => Err(Crowd::All),
            (false, false) => Ok(()),
        }
    }

    fn take(self: &Arc<Self>, counts: &mut Counts, network: Network) -> Place {
        counts.all = counts.all.saturating_add(1);
        let here = counts.by_network.entry(network).or_default();
        *here = here.saturating_add(1);
        Place { census: Arc::clone(self), network }
    }

    /// Gives free places to the longest waiters. Returns the places of waiters that have gone: they must be
    /// dropped without the lock.
    fn hand_on(self: &Arc<Self>, counts: &mut Counts) -> Vec<Place> {
        let mut refused = Vec::new();
        let mut waiting = std::mem::take(&mut counts.waiting);
        waiting.retain(|waiter| !waiter.place.is_closed());
        let mut still = VecDeque::with_capacity(waiting.len());
        for waiter in waiting {
            if self.has_place(counts, waiter.guest).is_err() {
                still.push_back(waiter);
                continue;
            }
            let place = self.take(counts, waiter.guest.network);
            refused.extend(waiter.place.send(place).err());
        }
        counts.waiting = still;
        refused
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // The counts stay valid even if a holder panicked.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.census.lock();
        counts.all = counts.all.saturating_sub(1);
        if let Some(here) = counts.by_network.get_mut(&self.network) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                counts.by_network.remove(&self.network);
            }
        }
        if counts.waiting.is_empty() {
            return;
        }
        let refused = self.census.hand_on(&mut counts);
        drop(counts);
        drop(refused);
    }
}

/// Maximum number of waiters; beyond this, waiting would be in vain.
const WAITING_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::mail::NetworkBits;

    fn at(last: u8) -> Network {
        Network::of(IpAddr::from([127, 0, 0, last]), NetworkBits::default())
    }

    fn stranger(last: u8) -> Guest {
        Guest { network: at(last), named: None }
    }

    #[test]
    fn places_are_counted_and_given_back() {
        let census = Census::new(Bounds { all: 3, reserved: 0, each: 2 });
        let enter = |last| census.enter(at(last), || None);
        let first = enter(1).expect("a place");
        let _second = enter(1).expect("a place");
        assert_eq!(enter(1).err(), Some(Crowd::Network));
        let _third = enter(2).expect("a place");
        assert_eq!(enter(2).err(), Some(Crowd::All));
        drop(first);
        let _again = enter(1).expect("a place");
        assert_eq!(census.lock().by_network.len(), 2);
    }

    #[test]
    fn one_ipv6_network_counts_once() {
        let census = Census::new(Bounds { all: 10, reserved: 0, each: 2 });
        let of = |text: &str| Network::of(text.parse().expect("an address"), NetworkBits::default());
        let _first = census.enter(of("2001:db8::1"), || None).expect("a place");
        let _second = census.enter(of("2001:db8::ffff:2"), || None).expect("a place");
        assert_eq!(census.enter(of("2001:db8::3"), || None).err(), Some(Crowd::Network));
        assert!(census.enter(of("2001:db8:0:1::1"), || None).is_ok());
    }

    #[test]
    fn the_last_places_are_for_whom_a_connector_names() {
        let census = Census::new(Bounds { all: 4, reserved: 2, each: 1 });
        let named = || Some(3);
        let _strangers = [1, 2].map(|last| census.enter(at(last), || None).expect("a place"));
        assert_eq!(census.enter(at(3), || None).err(), Some(Crowd::All));
        let _named = [9, 9].map(|last| census.enter(at(last), named).expect("a place"));
        assert_eq!(census.enter(at(9), named).err(), Some(Crowd::All), "there are no more");
        let roomy = Census::new(Bounds { all: 100, reserved: 2, each: 1 });
        let _named = [9, 9, 9].map(|last| roomy.enter(at(last), named).expect("a place"));
        assert_eq!(roomy.enter(at(9), named).err(), Some(Crowd::Network), "its own limit");
    }

    #[tokio::test]
    async fn who_waited_longest_is_next() {
        let census = Census::new(Bounds { all: 2, reserved: 0, each: 1 });
        let long = Duration::from_secs(10);
        let first = census.wait(stranger(1), long).await.expect("a place");
        let second = census.wait(stranger(2), long).await.expect("a place");
        let mut same = Box::pin(census.wait(stranger(1), long));
        let mut other = Box::pin(census.wait(stranger(3), long));
        assert!(futures_pending(&mut same).await && futures_pending(&mut other).await);
        // The first waiter can't have it: its network is at its limit.
        drop(second);
        let third = other.await.expect("a place");
        assert!(futures_pending(&mut same).await);
        drop(third);
        assert!(futures_pending(&mut same).await);
        drop(first);
        let fourth = same.await.expect("a place");
        assert!(census.wait(stranger(1), Duration::from_millis(5)).await.is_none(), "it gives up");
        drop(fourth);
        let counts = census.lock();
        assert!(counts.all == 0 && counts.by_network.is_empty() && counts.waiting.is_empty());
    }

    async fn futures_pending<F: Future + Unpin>(future: &mut F) -> bool {
        timeout(Duration::ZERO, future).await.is_err()
    }
}
