//! Keeps the fetched revocation lists of all trust sets fresh, in the background: no mail waits for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::get::{Retrieval, Retriever};
use super::refresh;
use crate::connector::TrustId;
use crate::mail::{Clock, UnixMillis, rfc3339};
use crate::tls::{FetchedListFault, ListCache, PresentedUrl, TrustSet};

/// The trust sets in effect.
pub type TrustById = BTreeMap<TrustId, Arc<TrustSet>>;

/// Keeps lists fresh until it is stopped.
pub struct ListKeeper {
    retriever: Retriever,
    sets: Arc<ArcSwap<TrustById>>,
    cache: ListCache,
    plan: BTreeMap<ListKey, FetchState>,
    running: JoinSet<FinishedFetch>,
    /// The sets that the plan was made for.
    known: Arc<TrustById>,
    /// What is on disk of presented URLs.
    written: Vec<PresentedUrl>,
}

/// A trust set and a URL.
type ListKey = (TrustId, Arc<str>);

/// A fetch that is over: for which of the sets, and what came of it.
struct FinishedFetch {
    key: ListKey,
    set: Arc<TrustSet>,
    outcome: Result<(), String>,
}

/// One URL's state.
#[derive(Debug, Default)]
struct FetchState {
    due: UnixMillis,
    running: bool,
    failures: u32,
    cause: Option<String>,
}

/// Something to see to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListTrouble {
    /// Whose lists.
    pub trust: TrustId,
    /// In a sentence.
    pub words: String,
}

impl ListKeeper {
    /// One for the sets that are in effect, now and later.
    #[must_use]
    pub fn new(retriever: Retriever, sets: Arc<ArcSwap<TrustById>>, cache: ListCache) -> Self {
        let known = Arc::default();
        let written = cache.presented();
        Self { retriever, sets, cache, plan: BTreeMap::new(), running: JoinSet::new(), known, written }
    }

    /// Fetches what is due until `stop`. After each turn that may have changed something, `report` gets all that needs
    /// attention.
    pub async fn keep(mut self, report: impl Fn(Vec<ListTrouble>) + Send, stop: CancellationToken) {
        let mut pace = interval(TURN);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next_round = UnixMillis::default();
        loop {
            let changed = tokio::select! {
                () = stop.cancelled() => return,
                Some(done) = self.running.join_next() => {
                    if let Ok(done) = done {
                        self.finish(done);
                    }
                    true
                }
                _ = pace.tick() => false,
            };
            let now = Clock::wall();
            let round = refresh::is_round(next_round, now);
            let sets = self.sets.load_full();
            let reloaded = !Arc::ptr_eq(&sets, &self.known);
            let grown = self.settle(&sets, reloaded, now);
            if round || reloaded || grown {
                next_round = later(now, refresh::ROUND);
                self.tidy(&sets, now).await;
            }
            self.begin(&sets, now);
            if changed || round || reloaded {
                report(self.troubles(&sets, now));
            }
        }
    }

    /// Fits the plan to the sets, and says whether there is a new URL.
    fn settle(&mut self, sets: &Arc<TrustById>, reloaded: bool, now: UnixMillis) -> bool {
        let mut named = BTreeMap::new();
        for (id, set) in sets.iter().filter(|(_, set)| set.shelf().is_active()) {
            for url in set.shelf().urls() {
                named.insert((id.clone(), url), set);
            }
        }
        self.plan.retain(|key, _| named.contains_key(key));
        let before = self.plan.len();
        for ((id, url), set) in named {
            let key = (id, Arc::clone(&url));
            let due = set.shelf().list(&key.1).map(|list| first_due(list.next_update(), now));
            let fetch = self
                .plan
                .entry(key)
                .or_insert_with(|| FetchState { due: due.unwrap_or(now), ..FetchState::default() });
            // Whoever reloads may know of a new list, or have repaired what failed.
            if reloaded && (due.is_none() || fetch.failures > 0 || set.shelf().sources().urls.contains(&url))
            {
                fetch.due = now;
            }
            // After a step of the clock nothing may be due in a far future.
            fetch.due = fetch.due.min(later(now, DUE_MAX));
        }
        self.known = Arc::clone(sets);
        self.plan.len() > before
    }

    /// Starts what is due, as far as there is room.
    fn begin(&mut self, sets: &TrustById, now: UnixMillis) {
        for ((id, url), fetch) in &mut self.plan {
            if self.running.len() >= AT_ONCE {
                return;
            }
            let Some(set) = sets.get(id).filter(|_| !fetch.running && fetch.due <= now) else { continue };
            fetch.running = true;
            let (retriever, cache, set) = (self.retriever.clone(), self.cache.clone(), Arc::clone(set));
            let key = (id.clone(), Arc::clone(url));
            self.running.spawn(async move {
                let outcome = fetch_one(&retriever, &cache, &set, &key).await;
                FinishedFetch { key, set, outcome }
            });
        }
    }

    fn finish(&mut self, FinishedFetch { key, set, outcome }: FinishedFetch) {
        let (now, jitter) = (Clock::wall(), fastrand::f64());
        let retry = self.retriever.settings().retry;
        let Some(fetch) = self.plan.get_mut(&key) else { return };
        fetch.running = false;
        match outcome {
            Ok(()) => {
                fetch.failures = 0;
                fetch.cause = None;
                let list = set.shelf().list(&key.1);
                let next = list.and_then(|list| list.next_update());
                fetch.due = later(now, refresh::after_success(next, now, jitter));
                // A reload meanwhile may have left the list behind with the set that it was fetched for.
                let sets = self.sets.load();
                if sets.get(&key.0).is_none_or(|set_now| !set_now.shelf().is_one_with(set.shelf())) {
                    fetch.due = now;
                }
            }
            Err(cause) => {
                fetch.failures = fetch.failures.saturating_add(1);
                tracing::info!(trust = %key.0, url = %key.1, %cause, "a revocation list could not be fetched");
                fetch.cause = Some(cause);
                fetch.due = later(now, refresh::after_failures(retry, fetch.failures, jitter));
            }
        }
    }

    /// Forgets URLs that no chain presents any more, and keeps the others on disk.
    async fn tidy(&mut self, sets: &TrustById, now: UnixMillis) {
        let mut presented = Vec::new();
        for (id, set) in sets.iter().filter(|(_, set)| set.shelf().is_active()) {
            set.shelf().forget_before(UnixMillis(now.0.saturating_sub(FORGET_MILLIS)));
            let urls = set.shelf().presented().into_iter();
            presented.extend(urls.map(|(url, seen)| PresentedUrl {
                trust: id.to_string(),
                url: url.to_string(),
                seen,
            }));
        }
        let named: Vec<(String, String)> =
            self.plan.keys().map(|(id, url)| (id.to_string(), url.to_string())).collect();
        let write = presented != self.written;
        let (cache, urls) = (self.cache.clone(), presented.clone());
        let done = tokio::task::spawn_blocking(move || {
            if write {
                cache.write_presented(&urls)?;
            }
            cache.retain(&named)
        });
        match done.await {
            Ok(Ok(())) => self.written = presented,
            Ok(Err(fault)) => tracing::warn!(%fault, "the folder of revocation lists can't be kept"),
            Err(_) => {}
        }
    }

    /// What needs attention: lists that are missing or near their end and can't be fetched.
    fn troubles(&self, sets: &TrustById, now: UnixMillis) -> Vec<ListTrouble> {
        let mut found = Vec::new();
        for ((id, url), fetch) in &self.plan {
            let (Some(cause), Some(set)) = (&fetch.cause, sets.get(id)) else { continue };
            let list = set.shelf().list(url);
            let state = match list.as_ref().map(|list| (list.end(now), list.next_update())) {
                None => "there is none yet".to_owned(),
                Some((Some(_), Some(end))) if end <= now => format!("the last one ended on {}", rfc3339(end)),
                Some((Some(_), Some(end))) => format!("the last one ends on {}", rfc3339(end)),
                Some(_) => continue,
            };
            let words = format!("[trust.{id}]: the revocation list {url} can't be fetched: {cause}; {state}");
            found.push(ListTrouble { trust: id.clone(), words });
        }
        for (id, set) in sets.iter().filter(|(_, set)| set.shelf().is_full()) {
            let words = format!(
                "[trust.{id}]: chains name more than {} revocation lists, and the rest is not fetched; a set of its own for some \
                 partners has room of its own",
                set.shelf().sources().urls_max
            );
            found.push(ListTrouble { trust: id.clone(), words });
        }
        found
    }
}

async fn fetch_one(
    retriever: &Retriever,
    cache: &ListCache,
    set: &Arc<TrustSet>,
    (id, url): &ListKey,
) -> Result<(), String> {
    let private = set.shelf().sources().private;
    let what = Retrieval { url, private, payload: None };
    let octets = retriever.retrieve(what).await.map_err(|fault| fault.to_string())?;
    let (cache, set, key) = (cache.clone(), Arc::clone(set), (id.to_string(), Arc::clone(url)));
    // Reading and verifying a large list takes a while.
    let taken = tokio::task::spawn_blocking(move || {
        let taken = set.take_fetched(&key.1, octets, Clock::wall)?;
        let Some(list) = taken else { return Ok(false) };
        if let Err(fault) = cache.write(&key.0, &key.1, &list) {
            tracing::warn!(url = %key.1, %fault, "a revocation list can't be kept for the next start");
        }
        Ok::<_, FetchedListFault>(true)
    });
    let taken = taken.await.map_err(|fault| fault.to_string())?;
    let new = taken.map_err(|fault| fault.to_string())?;
    if new {
        tracing::info!(trust = %id, %url, "a revocation list was fetched");
    }
    Ok(())
}

/// When a list that was there at the start is fetched again.
fn first_due(next_update: Option<UnixMillis>, now: UnixMillis) -> UnixMillis {
    let soon = Duration::from_millis(u64::from(fastrand::u16(..)));
    match next_update {
        // It may have been fetched long ago.
        Some(next) if now < next => later(now, soon),
        Some(_) | None => now,
    }
}

fn later(now: UnixMillis, wait: Duration) -> UnixMillis {
    UnixMillis(now.0.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
}

const TURN: Duration = Duration::from_secs(1);
const DUE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Thirty days.
const FORGET_MILLIS: i64 = 30 * 24 * 60 * 60 * 1_000;
/// Fetches at the same time, over all sets.
const AT_ONCE: usize = 8;
