//! Idle sessions, kept a few seconds for more work. Their number is bounded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::session::{Key, OpenSession};

/// Maximum number of idle connections; the oldest makes room for the next.
const IDLE_MAX: usize = 256;

pub(super) struct Pool {
    keep: Duration,
    state: Mutex<PoolState>,
}

#[derive(Default)]
struct PoolState {
    /// Oldest first.
    idle: Vec<(Instant, OpenSession)>,
    sweeping: bool,
    closed: bool,
}

impl Pool {
    pub(super) fn new(keep: Duration) -> Arc<Self> {
        Arc::new(Self { keep, state: Mutex::default() })
    }

    /// Takes the most recently used connection, so that the others can expire.
    pub(super) fn take(&self, key: &Key) -> Option<OpenSession> {
        let mut state = self.lock();
        let place = state.idle.iter().rposition(|(_, session)| session.key == *key)?;
        Some(state.idle.remove(place).1)
    }

    /// Keeps a connection until its idle time is over.
    pub(super) fn put(self: &Arc<Self>, mut session: OpenSession) {
        session.connection.rest();
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return session.connection.dismiss();
        }
        let pushed_out = (state.idle.len() >= IDLE_MAX).then(|| state.idle.remove(0).1);
        state.idle.push((Instant::now() + self.keep, session));
        if !state.sweeping {
            state.sweeping = true;
            tokio::spawn(Arc::clone(self).sweep());
        }
        drop(state);
        if let Some(session) = pushed_out {
            session.connection.dismiss();
        }
    }

    /// Closes connections that were idle too long; returns once none is left.
    async fn sweep(self: Arc<Self>) {
        while let Some(next) = self.expire() {
            sleep_until(next).await;
        }
    }

    /// Closes expired connections and returns when the next one expires.
    fn expire(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.lock();
        let past = state.idle.iter().take_while(|(until, _)| *until <= now).count();
        let ended: Vec<_> = state.idle.drain(..past).collect();
        let next = state.idle.first().map(|(until, _)| *until);
        state.sweeping = next.is_some();
        drop(state);
        ended.into_iter().for_each(|(_, session)| session.connection.dismiss());
        next
    }

    /// Closes all connections, and every one that is put back later.
    pub(super) async fn close(&self) {
        let idle = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.idle)
        };
        let mut ending = JoinSet::new();
        for (_, session) in idle {
            ending.spawn(session.connection.quit());
        }
        ending.join_all().await;
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        // The list is consistent even if a holder of the lock panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
