//! What the pages of the console are made of.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;

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
    pub(super) sessions: Arc<ConsoleSessions>,
}

/// What the console asks of the daemon that no verb asks.
pub trait Outlook: Send + Sync {
    /// What ends within 60 days, the soonest first. It reads files.
    fn ending(&self) -> Vec<(UnixMillis, String)>;

    /// Our own certificates.
    fn certificates(&self) -> Vec<OwnCertificate>;

    /// A login had no valid token.
    fn refused(&self);
}

/// A certificate of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnCertificate {
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
        Self { control, tokens, outlook, data_dir: data_dir.into(), sessions: Arc::default() }
    }

    /// What ends soon.
    pub(super) async fn ending(&self) -> Vec<(UnixMillis, String)> {
        let outlook = Arc::clone(&self.outlook);
        tokio::task::spawn_blocking(move || outlook.ending()).await.unwrap_or_default()
    }

    /// Reads the tracking store, on a thread that may wait for the disk. `None`: there is none, or it can't be read.
    pub(super) async fn tracked<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut TraceReader) -> Option<T> + Send + 'static,
    ) -> Option<T> {
        let data_dir = Arc::clone(&self.data_dir);
        let read = move || TraceReader::open(&data_dir).ok().and_then(|mut reader| read(&mut reader));
        tokio::task::spawn_blocking(read).await.ok().flatten()
    }
}
