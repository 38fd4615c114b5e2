//! What the pages of the console are made of.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::sessions::ConsoleSessions;
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
        (tokens, pace): (Arc<ArcSwap<Tokens>>, Arc<AdminPace>),
        outlook: Arc<dyn Outlook>,
    ) -> Self {
        Self { control, tokens, pace, outlook, sessions: Arc::new(ConsoleSessions::new()) }
    }

    /// What ends soon.
    pub(super) async fn ending(&self) -> Vec<(UnixMillis, String)> {
        let outlook = Arc::clone(&self.outlook);
        tokio::task::spawn_blocking(move || outlook.ending()).await.unwrap_or_default()
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
