//! Posts notices to the webhook, one after the other. A slow or dead endpoint delays nothing but the next notice.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::alert::{AlertMail, AlertNotice, AlertSettings, WebhookSettings, WebhookView};
use crate::mail::Clock;
use crate::resolver::dns::Dns;
use crate::retrieve::settings::Settings;
use crate::retrieve::{HttpUrl, Payload, PostTarget, PostTls, Retriever};

/// The notices that wait, and what became of the last one.
pub(super) struct Webhook {
    settings: Arc<ArcSwap<AlertSettings>>,
    retriever: Retriever,
    waiting: Mutex<VecDeque<AlertNotice>>,
    /// Notices that are being posted.
    under_way: AtomicUsize,
    dropped: AtomicU64,
    /// How many of them no notice has told of yet.
    untold: AtomicU64,
    trouble: Mutex<Option<String>>,
    wake: Notify,
}

impl Webhook {
    pub(super) fn new(dns: Dns, settings: Arc<ArcSwap<AlertSettings>>) -> Arc<Self> {
        let limits = Settings { timeout: TIMEOUT, bytes_max: ANSWER_BYTES_MAX, retry: FIRST_WAIT };
        Arc::new(Self {
            settings,
            retriever: Retriever::new(dns, limits),
            waiting: Mutex::default(),
            under_way: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            untold: AtomicU64::new(0),
            trouble: Mutex::default(),
            wake: Notify::new(),
        })
    }

    /// Has a notice posted; if too many wait, the oldest is dropped.
    pub(super) fn push(&self, notice: AlertNotice) {
        let mut waiting = self.lock();
        if waiting.len() >= WAITING_MAX {
            waiting.pop_front();
            self.drop_one();
        }
        waiting.push_back(notice);
        self.wake.notify_one();
    }

    /// Posts until `stop`.
    pub(super) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified() => {}
            }
            loop {
                let next = self.lock().pop_front();
                let Some(notice) = next else { break };
                self.under_way.store(1, Ordering::Relaxed);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.post(notice) => {}
                }
                self.under_way.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Posts a test, once.
    ///
    /// # Errors
    /// Why it could not be posted.
    pub(super) async fn test(&self, webhook: &WebhookSettings, server: &str) -> Result<(), String> {
        let now = Clock::wall();
        let test = AlertMail::test(now);
        let Some(item) = test.items.first() else { return Ok(()) };
        self.attempt(webhook, &AlertNotice::of(item, server, now)).await
    }

    pub(super) fn view(&self, url: &str) -> WebhookView {
        WebhookView {
            url: url.to_owned(),
            waiting: self.lock().len().saturating_add(self.under_way.load(Ordering::Relaxed)),
            dropped: self.dropped.load(Ordering::Relaxed),
            trouble: self.trouble().clone(),
        }
    }

    async fn post(&self, mut notice: AlertNotice) {
        let mut wait = FIRST_WAIT;
        for _ in 0..ATTEMPTS_MAX {
            let settings = self.settings.load_full();
            let Some(webhook) = &settings.webhook else { break };
            let untold = self.untold.load(Ordering::Relaxed);
            notice.dropped = untold;
            match self.attempt(webhook, &notice).await {
                Ok(()) => {
                    self.untold.fetch_sub(untold, Ordering::Relaxed);
                    *self.trouble() = None;
                    return;
                }
                Err(why) => {
                    let known = self.trouble().replace(why.clone());
                    if known.as_ref() != Some(&why) {
                        tracing::warn!(
                            url = webhook.url,
                            why,
                            "an alert can't be posted to the webhook; it will be tried again"
                        );
                    }
                }
            }
            sleep(wait).await;
            wait = wait.saturating_mul(2).min(LAST_WAIT);
        }
        self.drop_one();
        tracing::error!(
            kind = notice.kind,
            episode = notice.episode,
            "an alert was not posted to the webhook"
        );
    }

    async fn attempt(&self, webhook: &WebhookSettings, notice: &AlertNotice) -> Result<(), String> {
        let target = target(webhook)?;
        let token = match &webhook.token_file {
            Some(file) => Some(token(file).await?),
            None => None,
        };
        let octets = serde_json::to_vec(notice).map_err(|fault| fault.to_string())?;
        let payload = Payload { media_type: "application/json", octets };
        let posted = self.retriever.post(&target, &payload, token.as_deref()).await;
        posted.map_err(|fault| fault.to_string())
    }

    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        self.untold.fetch_add(1, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<AlertNotice>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn target(webhook: &WebhookSettings) -> Result<PostTarget, String> {
    let url = HttpUrl::parse_webhook(&webhook.url).map_err(|fault| fault.to_string())?;
    let tls = match &webhook.trust {
        Some(trust) => Some(Arc::new(PostTls::new(&url, trust).map_err(|fault| fault.to_string())?)),
        None if url.secure => return Err("no trust anchors are known for it".to_owned()),
        None => None,
    };
    Ok(PostTarget { url, tls })
}

async fn token(file: &Path) -> Result<String, String> {
    let read = tokio::fs::read_to_string(file).await;
    let text = read.map_err(|fault| format!("{} can't be read: {fault}", file.display()))?;
    let token = text.trim();
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
        return Err(format!("{} has no token, or one that is too long", file.display()));
    }
    Ok(token.to_owned())
}

const TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 << 10;
const TOKEN_BYTES_MAX: usize = 8 << 10;
/// The wait after the first failure; it doubles, up to the last.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_secs(300);
/// Attempts at one notice: about half an hour.
const ATTEMPTS_MAX: u32 = 14;
/// Notices that wait.
const WAITING_MAX: usize = 1_000;
