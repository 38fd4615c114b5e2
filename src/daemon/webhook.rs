//! Posts notices to the webhook, and keeps those that wait over a restart. A slow or dead endpoint delays nothing but notices.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::state_file;
use crate::alert::{
    AlertMail, AlertNotice, AlertSettings, NextNotice, NoticeQueue, PostAnswer, WebhookSettings, WebhookView,
};
use crate::mail::Clock;
use crate::resolver::dns::Dns;
use crate::retrieve::settings::Settings;
use crate::retrieve::{HttpUrl, Payload, PostTarget, PostTls, RetrieveFault, Retriever};

/// The notices that wait, and what became of the last one.
pub(super) struct Webhook {
    settings: Arc<ArcSwap<AlertSettings>>,
    retriever: Retriever,
    file: PathBuf,
    queue: Mutex<WebhookState>,
    trouble: Mutex<Option<String>>,
    wake: Notify,
}

#[derive(Default)]
struct WebhookState {
    queue: NoticeQueue,
    /// Whether the file does not have it.
    changed: bool,
    /// The episodes of which the endpoint has taken a notice since the desk asked.
    taken: Vec<u64>,
}

/// Why a notice could not be posted.
struct PostFault {
    answer: PostAnswer,
    words: String,
}

impl Webhook {
    /// Goes on with what waited before.
    pub(super) fn new(dns: Dns, settings: Arc<ArcSwap<AlertSettings>>, data_dir: &Path) -> Arc<Self> {
        let limits = Settings { timeout: TIMEOUT, bytes_max: ANSWER_BYTES_MAX, retry: RETRY };
        let file = data_dir.join(FILE);
        let queue = load(&file);
        Arc::new(Self {
            settings,
            retriever: Retriever::new(dns, limits),
            file,
            queue: Mutex::new(WebhookState { queue, ..WebhookState::default() }),
            trouble: Mutex::default(),
            wake: Notify::new(),
        })
    }

    /// Has a notice posted; if too many wait, the oldest is dropped.
    pub(super) fn push(&self, notice: AlertNotice) {
        let mut state = self.lock();
        state.queue.push(notice, Clock::wall());
        state.changed = true;
        self.wake.notify_one();
    }

    /// The episodes of which the endpoint has taken a notice since the last call.
    pub(super) fn taken(&self) -> Vec<u64> {
        std::mem::take(&mut self.lock().taken)
    }

    /// Posts until `stop`.
    pub(super) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut unsaved = 0_u32;
        loop {
            let next = self.next();
            // What has come is on disk before it is posted; of what was posted, a kill repeats a few.
            if unsaved == 0 || !matches!(next, NextNotice::Post(..)) {
                self.save().await;
            }
            let due = match next {
                NextNotice::Post(number, notice) => {
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = self.post(number, &notice) => {}
                    }
                    unsaved = unsaved.saturating_add(1) % POSTED_UNSAVED_MAX;
                    continue;
                }
                NextNotice::At(time) => time.since(Clock::wall()),
                NextNotice::None => LOOK_EVERY,
            };
            unsaved = 0;
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.wake.notified() => {}
                // The clock may be set.
                () = sleep(due.min(LOOK_EVERY)) => {}
            }
        }
        self.save().await;
    }

    fn next(&self) -> NextNotice {
        let mut state = self.lock();
        if self.settings.load().webhook.is_none() && !state.queue.is_empty() {
            state.queue.clear();
            state.changed = true;
        }
        state.queue.next(Clock::wall())
    }

    /// Posts a test, once.
    ///
    /// # Errors
    /// Why it could not be posted.
    pub(super) async fn test(&self, webhook: &WebhookSettings, server: &str) -> Result<(), String> {
        let now = Clock::wall();
        let test = AlertMail::test(now);
        let Some(item) = test.items.first() else { return Ok(()) };
        let tried = self.attempt(webhook, &AlertNotice::of(item, server, now)).await;
        tried.map_err(|fault| fault.words)
    }

    pub(super) fn view(&self, url: &str) -> WebhookView {
        let state = self.lock();
        WebhookView {
            url: url.to_owned(),
            waiting: state.queue.len(),
            dropped: state.queue.dropped(),
            trouble: self.trouble().clone(),
        }
    }

    async fn post(&self, number: u64, notice: &AlertNotice) {
        let settings = self.settings.load_full();
        let Some(webhook) = &settings.webhook else { return };
        let tried = self.attempt(webhook, notice).await;
        let answer = tried.as_ref().err().map_or(PostAnswer::Taken, |fault| fault.answer);
        self.tell(webhook, tried.err().map(|fault| fault.words));
        let mut state = self.lock();
        let lost = state.queue.answered((number, notice), answer, Clock::wall());
        state.changed = true;
        if answer == PostAnswer::Taken && state.taken.len() < TAKEN_MAX {
            state.taken.push(notice.episode);
        }
        drop(state);
        if let Some(AlertNotice { kind, episode, .. }) = lost {
            tracing::error!(kind, episode, "an alert was not posted to the webhook");
        }
    }

    /// Logs what hinders the webhook, once. The URL may hold a secret, so the log has the host only.
    fn tell(&self, webhook: &WebhookSettings, why: Option<String>) {
        let known = std::mem::replace(&mut *self.trouble(), why.clone());
        if let Some(why) = why.filter(|why| known.as_ref() != Some(why)) {
            let url = HttpUrl::parse_webhook(&webhook.url);
            let host = url.map_or_else(|_| String::new(), |url| url.authority());
            tracing::warn!(host, why, "an alert can't be posted to the webhook; it will be tried again");
        }
    }

    /// Writes down what waits, if that has changed.
    async fn save(&self) {
        let queue = {
            let mut state = self.lock();
            if !std::mem::take(&mut state.changed) {
                return;
            }
            state.queue.clone()
        };
        let file = self.file.clone();
        let write = move || state_file::replace_json(&file, &queue);
        let written =
            tokio::task::spawn_blocking(write).await.unwrap_or_else(|fault| Err(io::Error::other(fault)));
        if let Err(fault) = written {
            tracing::warn!(%fault, "notices for the webhook can't be written: a restart loses them");
        }
    }

    async fn attempt(&self, webhook: &WebhookSettings, notice: &AlertNotice) -> Result<(), PostFault> {
        let ours = |words: String| PostFault { answer: PostAnswer::Unavailable, words };
        let target = target(webhook).map_err(ours)?;
        let token = match &webhook.token_file {
            Some(file) => Some(token(file).await.map_err(ours)?),
            None => None,
        };
        let octets = serde_json::to_vec(notice).map_err(|fault| ours(fault.to_string()))?;
        let payload = Payload { media_type: "application/json", octets };
        let posted = self.retriever.post(&target, &payload, token.as_deref()).await;
        posted.map_err(|fault| PostFault { answer: answer_of(&fault), words: words_of(&fault) })
    }

    fn lock(&self) -> MutexGuard<'_, WebhookState> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without the file, notices are posted from now on.
fn load(file: &Path) -> NoticeQueue {
    state_file::read_json(file).unwrap_or_else(|fault| {
        tracing::error!(%fault, "notices for the webhook can't be read: those that waited are lost");
        NoticeQueue::default()
    })
}

/// Whether a fault is about one notice, or about all.
fn answer_of(fault: &RetrieveFault) -> PostAnswer {
    match fault {
        RetrieveFault::Status(status) if matches!(status.as_u16(), 408 | 429 | 502..=504) => {
            PostAnswer::Unavailable
        }
        RetrieveFault::Status(_) | RetrieveFault::Large(_) => PostAnswer::Refused,
        RetrieveFault::Url(_)
        | RetrieveFault::Dns(..)
        | RetrieveFault::NotPublic { .. }
        | RetrieveFault::Dial(..)
        | RetrieveFault::Late(_)
        | RetrieveFault::Exchange(_)
        | RetrieveFault::Redirect(_)
        | RetrieveFault::NotProved(..) => PostAnswer::Unavailable,
    }
}

/// Another URL may repeat a secret of this one.
fn words_of(fault: &RetrieveFault) -> String {
    match fault {
        RetrieveFault::Redirect(_) => "it redirects, which is not followed; write the right URL".to_owned(),
        RetrieveFault::Url(_)
        | RetrieveFault::Dns(..)
        | RetrieveFault::NotPublic { .. }
        | RetrieveFault::Dial(..)
        | RetrieveFault::Late(_)
        | RetrieveFault::Exchange(_)
        | RetrieveFault::Status(_)
        | RetrieveFault::NotProved(..)
        | RetrieveFault::Large(_) => fault.to_string(),
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
/// The retriever retries nothing by itself.
const RETRY: Duration = Duration::from_secs(1);
/// The file in `data_dir`.
const FILE: &str = "alert-notices";
/// How often the queue is looked at, at least.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Notices that are posted before the file says so.
const POSTED_UNSAVED_MAX: u32 = 20;
/// Episodes that the desk is told of together.
const TAKEN_MAX: usize = 1_000;
