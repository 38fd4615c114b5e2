//! Turns at work that costs processor time, such as checking a password: few at a time, and a network that asks for
//! much waits behind networks that ask for little. It does none of the work.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::mail::Network;

/// Turns taken and requested.
#[derive(Debug)]
pub(super) struct Turns {
    /// Maximum number of concurrent turns.
    places: usize,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    /// The network of each turn taken.
    running: Vec<Network>,
    waiting: Vec<TurnRequest>,
    /// Number of requests so far.
    came: u64,
}

#[derive(Debug)]
struct TurnRequest {
    network: Network,
    /// The lowest is next: rank plus position in the network's own line, then order of arrival.
    order: (u64, u64),
    go: oneshot::Sender<TurnGrant>,
}

impl Line {
    /// Turns away the last in order if too many wait, so that a crowd of strangers keeps no known client out.
    fn shorten(&mut self) {
        if self.waiting.len() <= WAITING_MAX {
            return;
        }
        let last = (0..self.waiting.len()).max_by_key(|at| self.waiting.get(*at).map(|waiter| waiter.order));
        if let Some(last) = last {
            // Its sender is dropped, which ends the wait.
            self.waiting.swap_remove(last);
        }
    }
}

/// One turn; released on drop.
#[derive(Debug)]
pub(super) struct TurnGrant {
    turns: Arc<Turns>,
    network: Network,
}

impl Turns {
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { places: places.max(1), line: Mutex::default() })
    }

    /// Leaves half of the processors to everything else; at most `places_max`.
    pub(super) fn of_processors(places_max: usize) -> Arc<Self> {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::new((processors / 2).min(places_max))
    }

    /// Waits for a turn; `None` if there is none in time, or so many wait that the last one, in the order below, must go.
    ///
    /// Rank 0 is for known clients: they come first, in order of arrival. Among the others the lowest rank is next, and
    /// each request that a network already has in line adds one: a newcomer's first comes before a crowd's second.
    pub(super) async fn wait(
        self: &Arc<Self>,
        network: Network,
        rank: u32,
        limit: Duration,
    ) -> Option<TurnGrant> {
        let turn = {
            let mut line = self.lock();
            if line.running.len() < self.places {
                line.running.push(network);
                return Some(TurnGrant { turns: Arc::clone(self), network });
            }
            line.waiting.retain(|waiter| !waiter.go.is_closed());
            let waiting = line.waiting.iter().map(|waiter| &waiter.network);
            let before = waiting.chain(&line.running).filter(|other| **other == network).count();
            let before = if rank == 0 { 0 } else { u64::try_from(before).unwrap_or(u64::MAX) };
            line.came = line.came.saturating_add(1);
            let order = (u64::from(rank).saturating_add(before), line.came);
            let (go, turn) = oneshot::channel();
            line.waiting.push(TurnRequest { network, order, go });
            line.shorten();
            turn
        };
        timeout(limit, turn).await.ok()?.ok()
    }

    /// Releases a turn and grants it to the next request.
    fn hand_on(self: &Arc<Self>, network: Network) {
        let mut line = self.lock();
        if let Some(at) = line.running.iter().position(|running| *running == network) {
            line.running.swap_remove(at);
        }
        line.waiting.retain(|waiter| !waiter.go.is_closed());
        let next = (0..line.waiting.len()).min_by_key(|at| line.waiting.get(*at).map(|waiter| waiter.order));
        let Some(next) = next.map(|at| line.waiting.swap_remove(at)) else { return };
        line.running.push(next.network);
        // Without the lock: a request abandoned just now drops its turn, which hands it on.
        drop(line);
        let _given_on = next.go.send(TurnGrant { turns: Arc::clone(self), network: next.network });
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        // The lists stay valid even if a holder panicked.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TurnGrant {
    fn drop(&mut self) {
        self.turns.hand_on(self.network);
    }
}

/// Maximum number of waiting requests.
const WAITING_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::NetworkBits;

    fn at(last: u8) -> Network {
        Network::of([192, 0, 2, last].into(), NetworkBits::default())
    }

    /// In which order those are served that come in this one, network and rank, while somebody has the only turn.
    async fn served(waiting: &[(u8, u32)]) -> Vec<usize> {
        let turns = Turns::new(1);
        let long = Duration::from_secs(600);
        let first = turns.wait(at(0), 1, long).await.expect("a turn");
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let mut tasks = Vec::new();
        for (number, (network, rank)) in waiting.iter().copied().enumerate() {
            let (turns, told) = (Arc::clone(&turns), told.clone());
            let mut waits = Box::pin(async move { turns.wait(at(network), rank, long).await });
            // Once polled it is in line.
            assert!(timeout(Duration::ZERO, &mut waits).await.is_err());
            tasks.push(tokio::spawn(async move {
                let turn = waits.await;
                told.send(number).expect("somebody hears");
                drop(turn);
            }));
        }
        drop((first, told));
        let mut order = Vec::new();
        while let Some(number) = heard.recv().await {
            order.push(number);
        }
        assert!(turns.lock().running.is_empty() && turns.lock().waiting.is_empty());
        order
    }

    #[tokio::test]
    async fn a_newcomer_comes_before_a_crowd() {
        assert_eq!(served(&[(1, 1), (1, 1), (1, 1), (2, 1)]).await, [0, 3, 1, 2]);
        assert_eq!(served(&[(1, 3), (2, 1), (2, 1), (2, 1)]).await, [1, 2, 0, 3], "who failed before waits");
        assert_eq!(served(&[(0, 1), (1, 1)]).await, [1, 0], "whoever has a turn is in line already");
    }

    #[tokio::test]
    async fn who_is_known_comes_first() {
        assert_eq!(served(&[(1, 1), (2, 1), (3, 0), (3, 0)]).await, [2, 3, 0, 1]);
    }

    #[tokio::test]
    async fn a_crowd_keeps_nobody_out_who_comes_before_it() {
        let turns = Turns::new(1);
        let long = Duration::from_secs(600);
        let first = turns.wait(at(0), 1, long).await.expect("a turn");
        let wait = |network, rank| {
            let turns = Arc::clone(&turns);
            Box::pin(async move { turns.wait(at(network), rank, long).await })
        };
        let mut crowd = Vec::new();
        for _ in 0..WAITING_MAX {
            let mut waits = wait(1, 1);
            assert!(timeout(Duration::ZERO, &mut waits).await.is_err());
            crowd.push(waits);
        }
        assert!(wait(1, 1).await.is_none(), "the last of the crowd");
        let (mut known, mut newcomer) = (wait(2, 0), wait(3, 1));
        assert!(timeout(Duration::ZERO, &mut known).await.is_err(), "it waits");
        assert!(timeout(Duration::ZERO, &mut newcomer).await.is_err(), "it waits");
        for pushed_out in crowd.split_off(WAITING_MAX - 2) {
            assert!(pushed_out.await.is_none());
        }
        assert_eq!(turns.lock().waiting.len(), WAITING_MAX);
        drop(first);
        assert!(known.await.is_some());
    }

    #[tokio::test]
    async fn who_gave_up_is_passed_by() {
        let turns = Turns::new(1);
        let long = Duration::from_secs(600);
        let first = turns.wait(at(1), 1, long).await.expect("a turn");
        assert!(turns.wait(at(2), 1, Duration::from_millis(1)).await.is_none());
        let mut third = Box::pin(turns.wait(at(3), 1, long));
        assert!(timeout(Duration::ZERO, &mut third).await.is_err());
        drop(first);
        assert!(third.await.is_some());
        assert!(turns.lock().running.is_empty());
    }
}
