//! What the pages of the console are made of.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, oneshot};

use super::sessions::ConsoleSessions;
use crate::admin::{Control, Tokens};
use crate::mail::UnixMillis;
use crate::trace::TraceReader;

/// What the pages are made of.
#[derive(Clone)]
pub struct Console {
    /// What an operator sees and does.
    pub(super) control: Control,
    /// The tokens in effect.
    pub(super) tokens: Arc<ArcSwap<Tokens>>,
    /// What the daemon knows besides.
    pub(super) outlook: Arc<dyn Outlook>,
    /// Where the tracking store is.
    data_dir: Arc<Path>,
    readers: Arc<Semaphore>,
    pub(super) sessions: Arc<ConsoleSessions>,
}

/// What the console asks of the daemon that no verb asks.
pub trait Outlook: Send + Sync {
    /// What ends within 60 days, the soonest first. It reads files.
    fn ending(&self) -> Vec<(UnixMillis, String)>;

    /// Our own certificates.
    fn certificates(&self) -> Vec<SiteCertificate>;

    /// A login had no valid token.
    fn refused(&self);
}

/// A certificate of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteCertificate {
    /// The ID of its section.
    pub id: String,
    /// The names that it presents.
    pub names: Vec<String>,
    /// Its issuer.
    pub issuer: String,
    /// When it begins to be valid.
    pub not_before: UnixMillis,
    /// When it expires.
    pub not_after: UnixMillis,
    /// Its SHA-256 fingerprint.
    pub sha256: String,
    /// The SHA-256 of its public key (RFC 7469), in Base64: what a partner pins.
    pub pin: String,
}

impl Console {
    /// The console of a daemon.
    #[must_use]
    pub fn new(
        control: Control,
        tokens: Arc<ArcSwap<Tokens>>,
        outlook: Arc<dyn Outlook>,
        data_dir: &Path,
    ) -> Self {
        Self {
            control,
            tokens,
            outlook,
            data_dir: data_dir.into(),
            readers: Arc::new(Semaphore::new(READERS_MAX)),
            sessions: Arc::new(ConsoleSessions::new()),
        }
    }

    /// What ends soon.
    pub(super) async fn ending(&self) -> Vec<(UnixMillis, String)> {
        let outlook = Arc::clone(&self.outlook);
        tokio::task::spawn_blocking(move || outlook.ending()).await.unwrap_or_default()
    }

    /// Reads the tracking store, on a thread that may wait for the disk. A few read at a time, and what nobody waits for any
    /// more ends: mail needs the processors.
    ///
    /// # Errors
    /// Why there is nothing to show, in a sentence.
    pub(super) async fn tracked<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut TraceReader) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, &'static str> {
        let place = tokio::time::timeout(READ_TIME_MAX, Arc::clone(&self.readers).acquire_owned());
        let Ok(Ok(place)) = place.await else { return Err(BUSY) };
        let data_dir = Arc::clone(&self.data_dir);
        let (begun, reading) = oneshot::channel();
        let read = tokio::task::spawn_blocking(move || {
            let _place = place;
            let mut reader = TraceReader::open(&data_dir).map_err(|_| UNREADABLE)?;
            // Whoever asked may be gone.
            begun.send(EndOfReading(reader.interrupter())).map_err(|_| BUSY)?;
            read(&mut reader).map_err(|fault| {
                let is_ended = fault.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted);
                if is_ended { BUSY } else { UNREADABLE }
            })
        });
        let end = reading.await;
        match tokio::time::timeout(READ_TIME_MAX, read).await {
            Ok(done) => {
                drop(end);
                done.unwrap_or(Err(UNREADABLE))
            }
            Err(_) => Err(BUSY),
        }
    }
}

/// Ends what is read once nobody waits for it.
struct EndOfReading(rusqlite::InterruptHandle);

impl Drop for EndOfReading {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

/// Pages that read the tracking store at the same time.
const READERS_MAX: usize = 2;
const READ_TIME_MAX: Duration = Duration::from_secs(8);
const UNREADABLE: &str = "The tracking store can't be read, or [tracking] is off.";
const BUSY: &str = "Reading the tracking store takes too long at the moment. Ask for less, or try again.";
