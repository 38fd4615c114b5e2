//! The fetched revocation lists of a trust set: where they come from, and those that are there. It fetches
//! nothing itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::crl::RevocationList;
use crate::mail::UnixMillis;

/// Keys of intermediate authorities remembered per trust set.
const KEYS_MAX: usize = 64;
/// Distribution points of one certificate that are used.
const POINTS_MAX: usize = 2;
/// A longer URL is not fetched.
const URL_BYTES_MAX: usize = 1024;

/// Where a trust set's lists may be fetched from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListSources {
    /// URLs from the configuration.
    pub urls: Vec<Arc<str>>,
    /// Also fetch from the distribution points of chains that were verified.
    pub from_chains: bool,
    /// Addresses outside the public internet are allowed.
    pub private: bool,
    /// Maximum number of URLs taken from chains.
    pub urls_max: usize,
}

/// The fetched lists of one trust set.
#[derive(Debug, Default)]
pub struct ListShelf {
    sources: ListSources,
    lists: ArcSwap<BTreeMap<Arc<str>, Arc<RevocationList>>>,
    /// When a list was last put there, in milliseconds.
    changed: AtomicI64,
    state: Mutex<ShelfState>,
}

#[derive(Debug, Default)]
struct ShelfState {
    /// URLs from verified chains, and when they were last presented.
    presented: BTreeMap<Arc<str>, UnixMillis>,
    /// Some URL found no room.
    full: bool,
    /// Keys of the intermediate authorities of verified chains.
    keys: VecDeque<Vec<u8>>,
}

impl ListShelf {
    /// An empty one.
    #[must_use]
    pub fn new(sources: ListSources) -> Self {
        Self { sources, ..Self::default() }
    }

    /// What was configured.
    #[must_use]
    pub fn sources(&self) -> &ListSources {
        &self.sources
    }

    /// Whether lists are fetched at all.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.sources.from_chains || !self.sources.urls.is_empty()
    }

    /// Every URL to fetch from.
    #[must_use]
    pub fn urls(&self) -> Vec<Arc<str>> {
        let mut urls = self.sources.urls.clone();
        urls.extend(self.lock().presented.keys().filter(|url| !self.sources.urls.contains(url)).cloned());
        urls
    }

    /// The URLs from verified chains, and when they were last presented.
    #[must_use]
    pub fn presented(&self) -> Vec<(Arc<str>, UnixMillis)> {
        self.lock().presented.iter().map(|(url, seen)| (Arc::clone(url), *seen)).collect()
    }

    /// Whether chains named more URLs than there is room for.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.lock().full
    }

    /// Drops URLs that no chain has presented since a time.
    pub fn forget_before(&self, since: UnixMillis) {
        let mut state = self.lock();
        state.presented.retain(|_, seen| *seen >= since);
        state.full = false;
        drop(state);
        let urls = self.urls();
        let lists = self.lists.load();
        if lists.keys().any(|url| !urls.contains(url)) {
            let kept = lists.iter().filter(|(url, _)| urls.contains(url));
            let kept = kept.map(|(url, list)| (Arc::clone(url), Arc::clone(list))).collect();
            self.lists.store(Arc::new(kept));
        }
    }

    /// Notes a URL that a verified chain presented; a full shelf takes no new one.
    pub fn present(&self, url: &str, now: UnixMillis) {
        let mut state = self.lock();
        if let Some(seen) = state.presented.get_mut(url) {
            *seen = now.max(*seen);
        } else if state.presented.len() < self.sources.urls_max {
            state.presented.insert(url.into(), now);
        } else {
            state.full = true;
        }
    }

    /// Notes the key (a SubjectPublicKeyInfo) of an authority of a verified chain.
    pub fn note_key(&self, spki: &[u8]) {
        let mut state = self.lock();
        if state.keys.iter().any(|known| known == spki) {
            return;
        }
        if state.keys.len() >= KEYS_MAX {
            state.keys.pop_front();
        }
        state.keys.push_back(spki.to_vec());
    }

    /// The noted key that signed a list.
    pub(super) fn signer(&self, list: &RevocationList) -> Option<Vec<u8>> {
        self.lock().keys.iter().find(|key| list.signed_by(key)).cloned()
    }

    /// The list of a URL.
    #[must_use]
    pub fn list(&self, url: &str) -> Option<Arc<RevocationList>> {
        self.lists.load().get(url).cloned()
    }

    /// Whether a list was put there at this time or later: a chain that was assessed before may be worth less now.
    #[must_use]
    pub fn has_changed_since(&self, then: UnixMillis) -> bool {
        then.0 <= self.changed.load(Ordering::Acquire)
    }

    /// Puts a list that was fetched at `now` in the place of its URL.
    pub fn put(&self, url: &str, list: Arc<RevocationList>, now: UnixMillis) {
        self.lists.rcu(|lists| {
            let mut lists = BTreeMap::clone(lists);
            lists.insert(url.into(), Arc::clone(&list));
            lists
        });
        self.changed.fetch_max(now.0, Ordering::AcqRel);
    }

    /// All lists that are there.
    pub(super) fn lists(&self) -> Vec<Arc<RevocationList>> {
        self.lists.load().values().cloned().collect()
    }

    /// Takes over what another shelf of the same set has: lists of URLs that are still named, keys, and what chains
    /// presented.
    pub fn inherit(&self, other: &Self) {
        if !self.is_active() {
            return;
        }
        if self.sources.from_chains {
            other.presented().iter().for_each(|(url, seen)| self.present(url, *seen));
        }
        let keys: Vec<_> = other.lock().keys.iter().cloned().collect();
        keys.iter().for_each(|key| self.note_key(key));
        let urls = self.urls();
        for (url, list) in other.lists.load().iter().filter(|(url, _)| urls.contains(url)) {
            let newer = self.list(url).is_none_or(|ours| ours.this_update() < list.this_update());
            if newer {
                self.put(url, Arc::clone(list), UnixMillis(other.changed.load(Ordering::Acquire)));
            }
        }
    }

    /// Notes what a certificate of a verified path says of its lists, and whether some list is still missing.
    pub(super) fn asks(&self, points: &[&str], issuer: &[u8], now: UnixMillis) -> bool {
        if !self.is_active() {
            return false;
        }
        self.note_key(issuer);
        let lists = self.lists.load();
        let mut missing = self.sources.urls.iter().any(|url| !lists.contains_key(url));
        let usable = |point: &&&str| point.starts_with(HTTP) && point.len() <= URL_BYTES_MAX;
        if self.sources.from_chains {
            for point in points.iter().filter(usable).take(POINTS_MAX) {
                self.present(point, now);
                missing |= !lists.contains_key(*point);
            }
        }
        missing
    }

    fn lock(&self) -> MutexGuard<'_, ShelfState> {
        // Each entry is complete whatever a panicking holder did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// RFC 5280 §4.2.1.13: lists are fetched over plain HTTP, since they are signed themselves.
const HTTP: &str = "http://";
