//! The alert desk: takes in what the observer saw, keeps the episodes over a restart, and has mails queued and notices posted.
//! What is an alert, `alert` decides.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::incidents::Incidents;
use super::state_file;
use super::webhook::Webhook;
use crate::admin::{AlertOffice, AlertTestAnswer};
use crate::alert::{
    AlertFact, AlertInbox, AlertInput, AlertMail, AlertMailEnd, AlertNotice, AlertRoute, AlertSettings,
    AlertTestReport, AlertTestResult, AlertWatcher, AlertsView, EpisodeBook, EpisodeView, PeerMarks,
    alert_routes,
};
use crate::connector::LiveTable;
use crate::mail::{Clock, Mailbox, QueueId, UnixMillis};
use crate::resolver::dns::Dns;
use crate::scheduler::Scheduler;
use crate::spool::Spool;
use crate::tracking::{Journal, Observer, Vitals};

/// What is kept over a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct AlertMemory {
    book: EpisodeBook,
    peers: PeerMarks,
}

/// The episodes, and what is needed to tell of them.
pub(super) struct AlertDesk {
    pub(super) settings: Arc<ArcSwap<AlertSettings>>,
    book: Mutex<EpisodeBook>,
    file: PathBuf,
    watcher: Arc<AlertWatcher>,
    pub(super) live: Arc<LiveTable>,
    pub(super) spool: Arc<dyn Spool>,
    pub(super) scheduler: Arc<Scheduler>,
    webhook: Arc<Webhook>,
    pub(super) journal: Arc<Journal>,
    /// Mails that go by another connector now, and are to be removed.
    withdrawn: Mutex<Vec<QueueId>>,
    /// Who waits for what becomes of a test.
    tests: Mutex<HashMap<QueueId, oneshot::Sender<AlertMailEnd>>>,
    /// Spool faults before this start.
    faults: u32,
    /// When mails are queued again, after the spool could not take one.
    mails_at: AtomicI64,
}

/// What alerts need before anything can happen.
pub(super) struct AlertStart {
    memory: AlertMemory,
    data_dir: PathBuf,
    watcher: Arc<AlertWatcher>,
    inbox: AlertInbox,
}

/// A desk, and what it is to take in.
pub(super) struct OpenDesk {
    pub(super) desk: Arc<AlertDesk>,
    inbox: AlertInbox,
}

impl AlertStart {
    /// Goes on with what is in `data_dir`.
    pub(super) fn of(data_dir: &Path) -> Self {
        let memory = AlertMemory::load(&data_dir.join(FILE));
        let (watcher, inbox) = AlertWatcher::new(&memory.peers);
        Self { memory, data_dir: data_dir.to_owned(), watcher, inbox }
    }

    /// What is to be told of each event.
    pub(super) fn observer(&self) -> Arc<dyn Observer> {
        Arc::<AlertWatcher>::clone(&self.watcher)
    }

    /// The desk; `faults` are those of the spool before this start.
    pub(super) fn open(
        self,
        (faults, dns): (u32, Dns),
        (settings, journal): (&Arc<ArcSwap<AlertSettings>>, &Arc<Journal>),
        (live, spool, scheduler): (&Arc<LiveTable>, &Arc<dyn Spool>, &Arc<Scheduler>),
    ) -> OpenDesk {
        let desk = Arc::new(AlertDesk {
            settings: Arc::clone(settings),
            book: Mutex::new(self.memory.book),
            file: self.data_dir.join(FILE),
            watcher: self.watcher,
            live: Arc::clone(live),
            spool: Arc::clone(spool),
            scheduler: Arc::clone(scheduler),
            webhook: Webhook::new(dns, Arc::clone(settings), &self.data_dir),
            journal: Arc::clone(journal),
            withdrawn: Mutex::default(),
            tests: Mutex::default(),
            faults,
            mails_at: AtomicI64::new(i64::MIN),
        });
        OpenDesk { desk, inbox: self.inbox }
    }
}

impl OpenDesk {
    /// Tells of what goes wrong, by mail and webhook, until `stop`.
    pub(super) fn keep(self, vitals: &Vitals, stop: &CancellationToken) {
        let posting = Arc::clone(&self.desk.webhook).keep(stop.clone());
        drop(vitals.watch("the webhook of alerts", posting));
        drop(vitals.watch("the alert desk", self.desk.keep(self.inbox, stop.clone())));
    }
}

impl AlertMemory {
    /// Without the file the relay still runs, and remembers from now on.
    fn load(file: &Path) -> Self {
        state_file::read_json(file).unwrap_or_else(|fault| {
            tracing::error!(%fault, "alerts can't be read: what was reported before is forgotten");
            Self::default()
        })
    }
}

impl AlertDesk {
    /// Works until `stop`.
    async fn keep(self: Arc<Self>, mut inbox: AlertInbox, stop: CancellationToken) {
        self.begin();
        let mut pace = interval(LOOK_EVERY);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut peers = self.watcher.peers();
        loop {
            self.work().await;
            // The clock may be set: nothing sleeps longer than until the next look.
            let due = self.book().due_at().map_or(LOOK_EVERY, |due| due.since(Clock::wall()));
            let due = if self.withdrawn().is_empty() { due } else { due.min(WITHDRAW_EVERY) };
            tokio::select! {
                () = stop.cancelled() => break,
                _ = pace.tick() => {
                    self.look().await;
                    let known = self.watcher.peers();
                    if known != peers {
                        peers = known;
                        self.save().await;
                    }
                }
                fact = inbox.next() => match fact {
                    Some(fact) => {
                        self.note(fact);
                        // What came with it is written down with it.
                        (1..FACTS_TOGETHER).map_while(|_| inbox.try_next()).for_each(|fact| self.note(fact));
                    }
                    None => break,
                },
                () = sleep(due) => self.book().tick(Clock::wall()),
            }
        }
        self.save().await;
    }

    fn begin(&self) {
        let now = Clock::wall();
        self.rule();
        let mut book = self.book();
        book.resume(now);
        if self.faults > 0 {
            book.take(AlertInput::Failing(Incidents::restart(self.faults)), now);
        }
    }

    fn rule(&self) {
        let settings = self.settings.load();
        self.book().rule(settings.without.clone(), settings.digest);
    }

    /// Takes in a fact.
    fn note(&self, fact: AlertFact) {
        let (table, settings, now) = (self.live.table(), self.settings.load_full(), Clock::wall());
        let incidents = Incidents { table: &table, settings: &settings, watcher: &self.watcher };
        match &fact {
            // What is no alert, as a test is, says so to whoever waits for it.
            AlertFact::OwnMail { id, end, .. } if !self.hears(*id, end, now) => return,
            AlertFact::Reloaded { .. } => self.rule(),
            AlertFact::OwnMail { .. }
            | AlertFact::Failed(_)
            | AlertFact::Delivered { .. }
            | AlertFact::Refused { .. }
            | AlertFact::Accepted { .. }
            | AlertFact::Alarm { .. }
            | AlertFact::Happened(..)
            | AlertFact::Worsened { .. } => {}
        }
        let mut book = self.book();
        for input in incidents.of(fact) {
            book.take(input, now);
        }
    }

    /// Hears what became of a mail of ours. Returns whether it is an alert that somebody should get.
    fn hears(&self, id: QueueId, end: &AlertMailEnd, now: UnixMillis) -> bool {
        match end {
            AlertMailEnd::Delivered(_) => {}
            AlertMailEnd::Deferred(why) => tracing::warn!(%id, %why, "an alert is delayed"),
            AlertMailEnd::HandedOn(to) => tracing::warn!(%id, %to, "an alert goes by another connector"),
            AlertMailEnd::Failed(why) => tracing::error!(%id, %why, "an alert could not be delivered"),
        }
        if let Some(waiter) = self.tests().remove(&id) {
            // Whoever waited may have gone.
            let _gone = waiter.send(end.clone());
        }
        self.book().hear(id, end, now)
    }

    /// Looks at the queue.
    async fn look(&self) {
        let settings = self.settings.load_full();
        let now = Clock::wall();
        if let Ok(stats) = self.spool.stats().await {
            let input = Incidents::queue_length(stats.messages, settings.growing_queue);
            input.into_iter().for_each(|input| self.book().take(input, now));
        }
        if let Some(limit) = settings.oldest
            && let Ok(since) = self.spool.oldest_waiting().await
        {
            self.book().take(Incidents::queue_age(since, limit, now), now);
        }
    }

    /// Sends what is to be sent, and writes down what has changed.
    async fn work(&self) {
        let dropped = self.watcher.take_dropped();
        if dropped > 0 {
            tracing::warn!(dropped, "failures were too many to look at each for alerts");
        }
        self.watcher.set_failing(self.book().failing());
        self.note_taken();
        let (settings, now) = (self.settings.load_full(), Clock::wall());
        let posts = self.book().posts();
        for item in posts {
            let notice = AlertNotice::of(&item, settings.name.as_str(), now);
            if item.episode.kind.is_found_here() {
                tracing::info!(
                    event = item.occasion.word(),
                    kind = item.episode.kind.word(),
                    connector = item.episode.connector,
                    what = %item.episode.words,
                    "alert"
                );
            }
            if settings.webhook.is_some() {
                self.webhook.push(notice);
            }
        }
        let mails_at = self.mails_at.load(Ordering::Relaxed);
        // The clock may be set back.
        let is_waiting = mails_at > now.0 && mails_at <= now.plus(AGAIN_AFTER).0;
        if !is_waiting {
            self.look_after_mails().await;
        }
        let changed = self.book().take_changed();
        if changed {
            self.save().await;
        }
    }

    async fn send_mails(&self) {
        loop {
            let mail = self.book().next_mail().cloned();
            let Some(mail) = mail else { return };
            if let Err(fault) = self.send(&mail).await {
                // The disk may be full.
                tracing::error!(%fault, "an alert can't be queued; it will be tried again");
                self.mails_at.store(Clock::wall().plus(AGAIN_AFTER).0, Ordering::Relaxed);
                return;
            }
            self.book().mailed(mail.number);
        }
    }

    /// Notes which episodes the webhook has taken.
    fn note_taken(&self) {
        let (taken, now) = (self.webhook.taken(), Clock::wall());
        let mut book = self.book();
        taken.into_iter().for_each(|number| book.reported(number, now));
    }

    async fn look_after_mails(&self) {
        self.send_mails().await;
        if let Err(fault) = self.hand_on().await {
            tracing::error!(%fault, "an alert can't be handed to another connector; it will be tried again");
            self.mails_at.store(Clock::wall().plus(AGAIN_AFTER).0, Ordering::Relaxed);
        }
    }

    /// Writes down the episodes. A kill between a mail and this repeats the mail.
    async fn save(&self) {
        let memory = AlertMemory { book: self.book().clone(), peers: self.watcher.peers() };
        let file = self.file.clone();
        let write = move || state_file::replace_json(&file, &memory);
        let written =
            tokio::task::spawn_blocking(write).await.unwrap_or_else(|fault| Err(io::Error::other(fault)));
        if let Err(fault) = written {
            tracing::warn!(%fault, "alerts can't be written: a restart may repeat some");
        }
    }

    pub(super) fn withdrawn(&self) -> MutexGuard<'_, Vec<QueueId>> {
        self.withdrawn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn book(&self) -> MutexGuard<'_, EpisodeBook> {
        // Each change is complete even if a holder of the lock panicked.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tests(&self) -> MutexGuard<'_, HashMap<QueueId, oneshot::Sender<AlertMailEnd>>> {
        self.tests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tests every way of a mail to an address.
    async fn test_mails(&self, to: &Mailbox) -> Vec<AlertTestResult> {
        let (table, settings) = (self.live.table(), self.settings.load_full());
        let routes = alert_routes(&table, to, settings.via.as_deref());
        if routes.is_empty() {
            let words = "no outbound connector serves this address".to_owned();
            return vec![AlertTestResult { to: to.to_string(), connector: None, id: None, ok: false, words }];
        }
        let mut results = Vec::new();
        for route in routes {
            results.push(self.test_mail(to, route).await);
        }
        results
    }

    async fn test_mail(&self, to: &Mailbox, route: AlertRoute) -> AlertTestResult {
        let (send, receive) = oneshot::channel();
        let mail = AlertMail::test(Clock::wall());
        let connector = Some(route.connector.name.to_string());
        let note = |id| drop(self.tests().insert(id, send));
        let id = match self.queue((&mail, &BTreeMap::new()), to, route, note).await {
            Ok(id) => id,
            Err(fault) => {
                let words = format!("it can't be queued: {fault}");
                return AlertTestResult { to: to.to_string(), connector, id: None, ok: false, words };
            }
        };
        let (ok, words) = match timeout(TEST_WAIT, receive).await {
            Ok(Ok(AlertMailEnd::Delivered(said))) => (true, said),
            Ok(Ok(AlertMailEnd::Deferred(why))) => (false, format!("it waits: {why}")),
            Ok(Ok(AlertMailEnd::HandedOn(to))) => {
                (false, format!("its requirement is not met, so it went on to connector {to}"))
            }
            Ok(Ok(AlertMailEnd::Failed(why))) => (false, format!("it has failed: {why}")),
            Ok(Err(_)) | Err(_) => {
                drop(self.tests().remove(&id));
                (
                    false,
                    format!("nothing happened for {} s; see `sealpost queue show {id}`", TEST_WAIT.as_secs()),
                )
            }
        };
        AlertTestResult { to: to.to_string(), connector, id: Some(id.to_string()), ok, words }
    }

    async fn test_ways(&self) -> AlertTestReport {
        let settings = self.settings.load_full();
        let mut ways = Vec::new();
        for to in settings.to.iter().take(TESTED_MAX) {
            ways.extend(self.test_mails(to).await);
        }
        if let Some(webhook) = &settings.webhook {
            let (ok, words) = match self.webhook.test(webhook, settings.name.as_str()).await {
                Ok(()) => (true, "it was accepted".to_owned()),
                Err(why) => (false, why),
            };
            ways.push(AlertTestResult { to: webhook.url.clone(), connector: None, id: None, ok, words });
        }
        AlertTestReport { ways }
    }
}

impl AlertOffice for AlertDesk {
    fn alerts(&self) -> AlertsView {
        self.note_taken();
        let settings = self.settings.load();
        let book = self.book();
        AlertsView {
            open: book.open().map(EpisodeView::of).collect(),
            ended: book.ended().map(EpisodeView::of).collect(),
            to: settings.to.iter().map(ToString::to_string).collect(),
            mails_waiting: book.mails(),
            dropped: book.dropped,
            webhook: settings.webhook.as_ref().map(|webhook| self.webhook.view(&webhook.url)),
        }
    }

    fn test(self: Arc<Self>) -> AlertTestAnswer {
        Box::pin(async move { self.test_ways().await })
    }
}

/// The file in `data_dir`.
const FILE: &str = "alerts";
/// How often the queue is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long after a failure the spool is asked again.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// Facts that are taken in before anything is sent.
const FACTS_TOGETHER: usize = 256;
/// How often the spool is asked to remove what is being attempted.
const WITHDRAW_EVERY: Duration = Duration::from_secs(1);
/// How long a test waits for its mail.
const TEST_WAIT: Duration = Duration::from_secs(20);
/// Addresses that a test tries.
const TESTED_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_that_is_damaged_is_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(FILE);
        assert!(AlertMemory::load(&file).peers.is_empty());
        std::fs::write(&file, "{ no JSON").expect("written");
        assert!(AlertMemory::load(&file).peers.is_empty());
        std::fs::write(&file, "{\"peers\":{\"a\":[1,2]},\"later\":1}").expect("written");
        assert_eq!(AlertMemory::load(&file).peers["a"], [1, 2]);
    }
}
