//! Checked settings of alerts. It parses no configuration.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::kind::AlertKind;
use crate::mail::{Domain, Mailbox};
use crate::tls::TrustSet;

/// Who hears of what, and how.
#[derive(Debug, Clone)]
pub struct AlertSettings {
    /// Our host name.
    pub name: Domain,
    /// Who gets alerts by mail.
    pub to: Vec<Mailbox>,
    /// Who they come from.
    pub from: Mailbox,
    /// The outbound connector by which they go, if not by that of any mail for the address.
    pub via: Option<Arc<str>>,
    /// Where notices are posted.
    pub webhook: Option<WebhookSettings>,
    /// Kinds of which nobody hears.
    pub without: BTreeSet<AlertKind>,
    /// Messages in the queue that are an alert.
    pub growing_queue: u64,
    /// The age of a message in the queue that is an alert.
    pub oldest: Option<Duration>,
    /// How long a connector that does not force TLS must have failed.
    pub unforced_after: Duration,
    /// The time for which single mails are counted, and the least between two digests.
    pub digest: Duration,
}

/// Where notices are posted.
#[derive(Clone)]
pub struct WebhookSettings {
    /// The URL, as it was written.
    pub url: String,
    /// The file with the token.
    pub token_file: Option<PathBuf>,
    /// The trust anchors of the server; `None` for http.
    pub trust: Option<Arc<TrustSet>>,
}

impl std::fmt::Debug for WebhookSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookSettings").field("url", &self.url).finish_non_exhaustive()
    }
}
