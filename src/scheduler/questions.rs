//! Questions about recipients whose answer somebody waits for. Nothing here asks them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::RecipientQuestion;
use crate::connector::{Onward, RecipientCheck};
use crate::mail::Mailbox;

/// Questions whose answer somebody waits for.
#[derive(Default)]
pub(super) struct Questions {
    last: AtomicU64,
    open: Mutex<HashMap<u64, (RecipientQuestion, oneshot::Sender<RecipientCheck>)>>,
}

impl Questions {
    pub(super) fn add(
        &self,
        mailbox: Mailbox,
        (arrives_by, onward): (Arc<str>, Onward),
    ) -> (u64, oneshot::Receiver<RecipientCheck>) {
        let ticket = self.last.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.open().insert(ticket, (RecipientQuestion { mailbox, arrives_by, onward, ticket }, sender));
        (ticket, receiver)
    }

    pub(super) fn look_up(&self, ticket: u64) -> Option<RecipientQuestion> {
        self.open().get(&ticket).map(|(question, _)| question.clone())
    }

    pub(super) fn answer(&self, ticket: u64, known: RecipientCheck) {
        if let Some((_, sender)) = self.open().remove(&ticket) {
            // An error: nobody waits any more.
            drop(sender.send(known));
        }
    }

    /// Whoever waits learns that nobody will ask. Returns whether the answer was still to come.
    pub(super) fn give_up(&self, ticket: u64) -> bool {
        self.open().remove(&ticket).is_some()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, (RecipientQuestion, oneshot::Sender<RecipientCheck>)>> {
        // Each change is one call, so the map is whole even after a panic.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
