//! Where statements wait for time stamps, and time stamps for the thread that writes. Whoever asks an authority takes from
//! here; the thread never waits for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::seal::Hash;

/// A desk between the thread that states and whoever asks an authority. Clones share it.
#[derive(Clone, Default)]
pub struct StampDesk(Arc<StampState>);

#[derive(Default)]
struct StampState {
    waiting: Mutex<StampQueues>,
    /// Signalled when there is something to ask for.
    filled: Notify,
}

#[derive(Default)]
struct StampQueues {
    wanted: VecDeque<WantedStamp>,
    made: Vec<(WantedStamp, Vec<u8>)>,
}

/// A statement that waits for a time stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedStamp {
    /// Its number.
    pub statement: u64,
    /// Its hash, which is what is stamped.
    pub hash: Hash,
}

impl StampDesk {
    /// Waits for a statement. It stays first until it is stamped.
    pub async fn next(&self) -> WantedStamp {
        loop {
            let filled = self.0.filled.notified();
            if let Some(first) = self.lock().wanted.front() {
                return *first;
            }
            filled.await;
        }
    }

    /// Hands in the time stamp of a statement (`TimeStampResp`, RFC 3161).
    pub fn made(&self, wanted: WantedStamp, stamp: Vec<u8>) {
        let mut queues = self.lock();
        queues.wanted.retain(|one| *one != wanted);
        queues.made.push((wanted, stamp));
    }

    /// Has a statement wait no more: the authority has refused it.
    pub fn give_up(&self, wanted: WantedStamp) {
        self.lock().wanted.retain(|one| *one != wanted);
    }

    /// Has a statement wait; if too many do, the oldest is left without.
    pub(super) fn want(&self, wanted: WantedStamp) {
        let mut queues = self.lock();
        if queues.wanted.contains(&wanted) {
            return;
        }
        if queues.wanted.len() >= WANTED_MAX {
            queues.wanted.pop_front();
        }
        queues.wanted.push_back(wanted);
        drop(queues);
        self.0.filled.notify_one();
    }

    /// What has come.
    pub(super) fn take_made(&self) -> Vec<(WantedStamp, Vec<u8>)> {
        std::mem::take(&mut self.lock().made)
    }

    fn lock(&self) -> MutexGuard<'_, StampQueues> {
        // Each change is complete even if the thread that made it panicked later.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Statements that wait: a year of days.
const WANTED_MAX: usize = 366;
