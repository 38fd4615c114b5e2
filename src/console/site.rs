//! What the pages of the console are made of.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::outlook::{Outlook, WatchHistory};
use super::sessions::{ConsoleSessions, SessionKey};
use crate::admin::{AdminPace, Control, Tokens};
use crate::mail::UnixMillis;
use crate::trace::TraceReader;

/// What the pages are made of.
#[derive(Clone)]
pub struct Console {
    /// What an operator sees and does.
    pub(super) control: Control,
    /// The tokens in effect.
    pub(super) tokens: Arc<ArcSwap<Tokens>>,
    /// How much may be asked.
    pub(super) pace: Arc<AdminPace>,
    /// What the daemon knows besides.
    pub(super) outlook: Arc<dyn Outlook>,
    judge: Arc<Semaphore>,
    lookers: Arc<Semaphore>,
    trials: Arc<Semaphore>,
    /// The sessions that have one under way.
    trying: Arc<Mutex<HashSet<SessionKey>>>,
    pub(super) sessions: Arc<ConsoleSessions>,
}

impl Console {
    /// The console of a daemon.
    #[must_use]
    pub fn new(
        control: Control,
        (tokens, pace): (Arc<ArcSwap<Tokens>>, Arc<AdminPace>),
        outlook: Arc<dyn Outlook>,
    ) -> Self {
        Self {
            control,
            tokens,
            pace,
            outlook,
            judge: Arc::new(Semaphore::new(1)),
            lookers: Arc::new(Semaphore::new(LOOKERS_MAX)),
            trials: Arc::new(Semaphore::new(TRIALS_MAX)),
            trying: Arc::default(),
            sessions: Arc::new(ConsoleSessions::new()),
        }
    }

    /// What ends soon.
    pub(super) async fn ending(&self) -> Vec<(UnixMillis, String)> {
        let outlook = Arc::clone(&self.outlook);
        tokio::task::spawn_blocking(move || outlook.ending()).await.unwrap_or_default()
    }

    /// Does what only takes a processor, on a thread that may take its time. One at a time: mail needs the processors.
    ///
    /// # Errors
    /// What it says, or that there is no place for it.
    pub(super) async fn judging<T: Send + 'static>(
        &self,
        judge: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        in_turn(&self.judge, judge).await
    }

    /// A place for a validation of this session, until it is dropped; `None`: it has one under way, or there are too many.
    pub(super) fn begin_trial(&self, key: SessionKey) -> Option<TrialPlace> {
        let place = Arc::clone(&self.trials).try_acquire_owned().ok()?;
        let trying = Arc::clone(&self.trying);
        let is_first = trying.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        // A place that is dropped is free again: it must not be made for one who gets none.
        is_first.then(|| TrialPlace { key, trying, _place: place })
    }

    /// What `[watch]` has seen of a connector since a time.
    ///
    /// # Errors
    /// Why there is nothing to show, in a sentence.
    pub(super) async fn watched(&self, connector: &str, since: UnixMillis) -> Result<WatchHistory, String> {
        let (outlook, connector) = (Arc::clone(&self.outlook), connector.to_owned());
        in_turn(&self.lookers, move || outlook.watched(&connector, since)).await
    }

    /// Reads the tracking store.
    ///
    /// # Errors
    /// Why there is nothing to show, in a sentence.
    pub(super) async fn tracked<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut TraceReader) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, &'static str> {
        self.control.tracked.read(read).await
    }
}

/// Does something on a thread that may take its time, once there is a place for it.
async fn in_turn<T: Send + 'static>(
    places: &Arc<Semaphore>,
    job: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let place = tokio::time::timeout(TURN_TIME_MAX, Arc::clone(places).acquire_owned());
    let Ok(Ok(place)) = place.await else { return Err(BUSY_JUDGE.to_owned()) };
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        job()
    });
    done.await.unwrap_or_else(|_| Err(BUSY_JUDGE.to_owned()))
}

/// The place of a validation that is under way.
pub(super) struct TrialPlace {
    key: SessionKey,
    trying: Arc<Mutex<HashSet<SessionKey>>>,
    _place: OwnedSemaphorePermit,
}

impl Drop for TrialPlace {
    fn drop(&mut self) {
        self.trying.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

pub(super) const BUSY_JUDGE: &str = "Another question is being answered. Try again.";
/// How long a question waits for its turn.
const TURN_TIME_MAX: Duration = Duration::from_secs(8);
/// Pages that read what was watched at the same time.
const LOOKERS_MAX: usize = 2;
/// Validations at the same time.
const TRIALS_MAX: usize = 4;
