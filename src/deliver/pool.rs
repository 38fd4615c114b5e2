//! Sessions that wait for more work: a few seconds, and no more than a bounded number.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::session::{Key, OpenSession};

/// Connections kept at the same time; the oldest makes room for the next.
const IDLE_MAX: usize = 256;

pub(super) struct Pool {
    keep: Duration,
    state: Mutex<PoolState>,
}

#[derive(Default)]
struct PoolState {
    /// In the order in which they became idle.
    idle: Vec<(Instant, OpenSession)>,
    sweeping: bool,
    closed: bool,
}

impl Pool {
    pub(super) fn new(keep: Duration) -> Arc<Self> {
        Arc::new(Self { keep, state: Mutex::default() })
    }

    /// The connection used last, so that the others may end.
    pub(super) fn take(&self, key: &Key) -> Option<OpenSession> {
        let mut state = self.lock();
        let place = state.idle.iter().rposition(|(_, session)| session.key == *key)?;
        Some(state.idle.remove(place).1)
    }

    /// Keeps a connection for a while.
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

    /// Ends what has been idle for too long; goes when nothing is left.
    async fn sweep(self: Arc<Self>) {
        while let Some(next) = self.expire() {
            sleep_until(next).await;
        }
    }

    /// Ends what is past its time and says when the next one will be.
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

    /// Ends everything, and everything that is put from now on.
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
        // The list stays whole whatever a panicking holder did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
