//! Reading the tracking store for whoever asks the daemon: few at a time, and not for long.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use crate::trace::TraceReader;

/// The tracking store, for the API and the console together.
#[derive(Debug, Clone)]
pub struct TrackedStore {
    data_dir: Arc<Path>,
    readers: Arc<Semaphore>,
}

impl TrackedStore {
    /// The store in this folder.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.into(), readers: Arc::new(Semaphore::new(READERS_MAX)) }
    }

    /// Reads the tracking store, on a thread that may wait for the disk. A few read at a time, and what nobody waits for any
    /// more ends: mail needs the processors.
    ///
    /// # Errors
    /// Why there is nothing to show, in a sentence.
    pub async fn read<T: Send + 'static>(
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

/// Questions that read the tracking store at the same time.
const READERS_MAX: usize = 2;
const READ_TIME_MAX: Duration = Duration::from_secs(8);
const UNREADABLE: &str = "The tracking store can't be read, or [tracking] is off.";
const BUSY: &str = "Reading the tracking store takes too long at the moment. Ask for less, or try again.";
