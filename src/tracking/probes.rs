//! The sessions that `assure` makes with our own listeners. What happens in them is logged, and nobody else is told, since no
//! partner had anything to do with it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::event::Event;
use crate::mail::UnixMillis;

/// The addresses that tests come from. Each was announced over the control socket by whoever holds its port, and stands for one
/// session: so nobody can take it for another one, and nothing that a client says can make a session a test.
#[derive(Debug, Default)]
pub struct ProbeBook {
    /// The length of `places`.
    count: AtomicUsize,
    places: Mutex<HashMap<SocketAddr, ProbePlace>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProbePlace {
    /// Its session may begin until then.
    Announced(UnixMillis),
    /// Its session goes on.
    Open,
}

/// A session that is a test; it is over when this is dropped.
#[derive(Debug)]
pub struct ProbeSession {
    book: Arc<ProbeBook>,
    address: SocketAddr,
}

impl ProbeBook {
    /// The next session from this address is a test, if it comes soon. `false`: too many are announced.
    pub fn announce(&self, address: SocketAddr, now: UnixMillis) -> bool {
        let mut places = self.lock();
        places.retain(|_, place| place.may_begin(now) || *place == ProbePlace::Open);
        let address = canonical(address);
        let may = places.len() < PLACES_MAX || places.contains_key(&address);
        if may {
            places.entry(address).or_insert(ProbePlace::Announced(now.plus(SOON)));
        }
        self.count.store(places.len(), Ordering::Release);
        may
    }

    /// A session begins; whether it is a test.
    #[must_use]
    pub fn enter(self: &Arc<Self>, address: SocketAddr, now: UnixMillis) -> Option<ProbeSession> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let address = canonical(address);
        let mut places = self.lock();
        let place = places.get_mut(&address).filter(|place| place.may_begin(now))?;
        *place = ProbePlace::Open;
        Some(ProbeSession { book: Arc::clone(self), address })
    }

    /// Whether an event is of a session that is a test.
    #[must_use]
    pub(super) fn covers(&self, event: &Event<'_>) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let peer = match event {
            Event::Refused { peer, .. }
            | Event::RefusedAgain { peer, .. }
            | Event::SessionEnded { peer, .. }
            | Event::Handshake { peer, .. } => *peer,
            Event::Accepted { .. }
            | Event::Omitted { .. }
            | Event::Delivered { .. }
            | Event::Deferred { .. }
            | Event::Rerouted { .. }
            | Event::Failed { .. }
            | Event::Reported { .. }
            | Event::ClearFallback { .. }
            | Event::KeySharesOmitted { .. }
            | Event::Waived { .. }
            | Event::Held { .. }
            | Event::Started { .. }
            | Event::Stopped
            | Event::Handled { .. }
            | Event::Reloaded { .. }
            | Event::Override { .. }
            | Event::Validated { .. }
            | Event::AlarmChanged { .. }
            | Event::PartnerChanged { .. }
            | Event::LinesDropped { .. }
            | Event::RefusalCounted { .. }
            | Event::Alarm { .. } => return false,
        };
        self.lock().get(&canonical(peer)) == Some(&ProbePlace::Open)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, ProbePlace>> {
        // Each change is complete even if a holder of the lock panicked.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProbePlace {
    fn may_begin(self, now: UnixMillis) -> bool {
        // If the clock is set back, an announcement lasts no longer.
        matches!(self, Self::Announced(until) if now <= until && until <= now.plus(SOON))
    }
}

impl Drop for ProbeSession {
    fn drop(&mut self) {
        let mut places = self.book.lock();
        places.remove(&self.address);
        self.book.count.store(places.len(), Ordering::Release);
    }
}

/// As listeners see it.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// How long after its announcement a session may begin.
const SOON: Duration = Duration::from_secs(10);
/// Addresses that are announced or open at the same time.
const PLACES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    fn from(address: &str) -> SocketAddr {
        address.parse().expect("an address")
    }

    fn ended(peer: SocketAddr) -> Event<'static> {
        Event::SessionEnded { peer, reason: "no" }
    }

    #[test]
    fn only_the_session_that_was_announced_is_a_test() {
        let book = Arc::<ProbeBook>::default();
        let (mine, other) = (from("127.0.0.1:4000"), from("127.0.0.1:4001"));
        assert!(book.enter(mine, NOW).is_none());
        assert!(book.announce(from("[::ffff:127.0.0.1]:4000"), NOW));
        // An announcement alone hides nothing.
        assert!(!book.covers(&ended(mine)));
        assert!(book.enter(other, NOW).is_none());
        let session = book.enter(mine, NOW).expect("a test");
        assert!(book.enter(mine, NOW).is_none(), "one session for each announcement");
        assert!(book.covers(&ended(mine)) && !book.covers(&ended(other)));
        drop(session);
        assert!(!book.covers(&ended(mine)) && book.enter(mine, NOW).is_none());
        assert_eq!(book.count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn an_announcement_does_not_last_and_their_number_is_bounded() {
        let book = Arc::<ProbeBook>::default();
        let mine = from("127.0.0.1:4000");
        assert!(book.announce(mine, NOW));
        assert!(book.enter(mine, NOW.plus(SOON + Duration::from_millis(1))).is_none());
        assert!(book.enter(mine, UnixMillis(NOW.0 - 1)).is_none(), "the clock was set back");
        let announced = |book: &ProbeBook, now| {
            (1..=2_000)
                .filter(|port| book.announce(SocketAddr::new([127, 0, 0, 2].into(), *port), now))
                .count()
        };
        assert_eq!(announced(&book, NOW), PLACES_MAX - 1);
        assert_eq!(announced(&book, NOW.plus(SOON * 2)), PLACES_MAX);
    }
}
