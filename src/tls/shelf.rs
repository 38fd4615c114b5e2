//! The fetched revocation lists of a trust set: where they come from, and those that are there. It fetches
//! nothing itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::crl::RevocationList;
use crate::mail::UnixMillis;

/// Keys of authorities remembered per trust set, beside one for each URL.
const KEYS_SPARE: usize = 64;
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
    /// Shared with the set's successor if that has the same sources: sessions and fetches that began before a reload go
    /// on with what is fetched after it.
    contents: ArcSwap<ShelfContents>,
}

#[derive(Debug, Default)]
struct ShelfContents {
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
    /// The authorities of verified chains, and when each was last of use.
    keys: BTreeMap<AuthorityKey, u64>,
    /// Counts uses.
    turn: u64,
}

/// An authority: its name in DER, and its SubjectPublicKeyInfo.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct AuthorityKey {
    name: Vec<u8>,
    spki: Vec<u8>,
}

impl ShelfState {
    /// Notes that an authority was of use; the one that was so least recently gives way.
    fn used(&mut self, key: AuthorityKey, keys_max: usize) {
        self.turn = self.turn.saturating_add(1);
        if self.keys.len() >= keys_max && !self.keys.contains_key(&key) {
            let oldest = self.keys.iter().min_by_key(|(_, turn)| **turn).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| self.keys.remove(&oldest));
        }
        self.keys.insert(key, self.turn);
    }
}

impl ListShelf {
    /// An empty one.
    #[must_use]
    pub fn new(sources: ListSources) -> Self {
        Self { sources, ..Self::default() }
    }

    /// A shelf with the same lists, whose notes nobody reads.
    pub(super) fn set_aside(&self) -> Self {
        let copy = Self::new(self.sources.clone());
        copy.contents.load().lists.store(self.contents.load().lists.load_full());
        copy
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
        let contents = self.contents.load();
        let state = contents.lock();
        urls.extend(state.presented.keys().filter(|url| !self.sources.urls.contains(url)).cloned());
        urls
    }

    /// The URLs from verified chains, and when they were last presented.
    #[must_use]
    pub fn presented(&self) -> Vec<(Arc<str>, UnixMillis)> {
        self.contents.load().lock().presented.iter().map(|(url, seen)| (Arc::clone(url), *seen)).collect()
    }

    /// Whether chains named more URLs than there is room for.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.contents.load().lock().full
    }

    /// Drops URLs that no chain has presented since a time.
    pub fn forget_before(&self, since: UnixMillis) {
        let contents = self.contents.load();
        let mut state = contents.lock();
        state.presented.retain(|_, seen| *seen >= since);
        state.full = false;
        drop(state);
        let urls = self.urls();
        let lists = contents.lists.load();
        if lists.keys().any(|url| !urls.contains(url)) {
            let kept = lists.iter().filter(|(url, _)| urls.contains(url));
            let kept = kept.map(|(url, list)| (Arc::clone(url), Arc::clone(list))).collect();
            contents.lists.store(Arc::new(kept));
        }
    }

    /// Notes a URL that a verified chain presented; a full shelf takes no new one.
    pub fn present(&self, url: &str, now: UnixMillis) {
        let contents = self.contents.load();
        let mut state = contents.lock();
        if let Some(seen) = state.presented.get_mut(url) {
            *seen = now.max(*seen);
        } else if state.presented.len() < self.sources.urls_max {
            state.presented.insert(url.into(), now);
        } else {
            state.full = true;
        }
    }

    /// Notes the name, in DER, and the key (a SubjectPublicKeyInfo) of an authority of a verified chain.
    pub(super) fn note_key(&self, name: &[u8], spki: &[u8]) {
        let key = AuthorityKey { name: name.to_vec(), spki: spki.to_vec() };
        self.contents.load().lock().used(key, self.keys_max());
    }

    /// Each URL may have a list of another authority.
    fn keys_max(&self) -> usize {
        self.sources.urls.len().saturating_add(self.sources.urls_max).saturating_add(KEYS_SPARE)
    }

    /// The key of the noted authority that a list names, if it signed it.
    pub(super) fn signer(&self, list: &RevocationList) -> Option<Vec<u8>> {
        let contents = self.contents.load();
        let named = |key: &&AuthorityKey| list.names_issuer(&key.name);
        // A signature takes a while to verify, and nobody has to wait for that.
        let candidates: Vec<_> = contents.lock().keys.keys().filter(named).cloned().collect();
        let signer = candidates.into_iter().find(|key| list.signed_by(&key.spki))?;
        contents.lock().used(signer.clone(), self.keys_max());
        Some(signer.spki)
    }

    /// The list of a URL.
    #[must_use]
    pub fn list(&self, url: &str) -> Option<Arc<RevocationList>> {
        self.contents.load().lists.load().get(url).cloned()
    }

    /// Whether a list was put there at this time or later: a chain that was assessed before may be worth less now.
    #[must_use]
    pub fn has_changed_since(&self, then: UnixMillis) -> bool {
        then.0 <= self.contents.load().changed.load(Ordering::Acquire)
    }

    /// Whether what is put on one of them is on the other.
    #[must_use]
    pub fn is_one_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.contents.load(), &other.contents.load())
    }

    /// Puts a list in the place of its URL. The clock is read once it is there: until then chains are assessed without
    /// it, and these must not count as newer.
    pub fn put(&self, url: &str, list: Arc<RevocationList>, clock: impl FnOnce() -> UnixMillis) {
        let contents = self.contents.load();
        contents.lists.rcu(|lists| {
            let mut lists = BTreeMap::clone(lists);
            lists.insert(url.into(), Arc::clone(&list));
            lists
        });
        contents.changed.fetch_max(clock().0, Ordering::AcqRel);
    }

    /// All lists that are there.
    pub(super) fn lists(&self) -> Vec<Arc<RevocationList>> {
        self.contents.load().lists.load().values().cloned().collect()
    }

    /// Takes over what another shelf of the same set has: everything, from now on, if the sources are the same; otherwise
    /// lists of URLs that are still named, keys, and what chains presented.
    pub fn inherit(&self, other: &Self) {
        if !self.is_active() {
            return;
        }
        let theirs = other.contents.load_full();
        if self.sources == other.sources {
            return self.contents.store(theirs);
        }
        if self.sources.from_chains {
            other.presented().iter().for_each(|(url, seen)| self.present(url, *seen));
        }
        let mut keys: Vec<_> = theirs.lock().keys.iter().map(|(key, turn)| (*turn, key.clone())).collect();
        keys.sort_unstable();
        keys.iter().for_each(|(_, key)| self.note_key(&key.name, &key.spki));
        let urls = self.urls();
        for (url, list) in theirs.lists.load().iter().filter(|(url, _)| urls.contains(url)) {
            let newer = self.list(url).is_none_or(|ours| ours.this_update() < list.this_update());
            if newer {
                self.put(url, Arc::clone(list), || UnixMillis(theirs.changed.load(Ordering::Acquire)));
            }
        }
    }

    /// Notes what a certificate of a verified path says of its lists, and whether some list is still missing.
    pub(super) fn asks(&self, points: &[&str], (name, spki): (&[u8], &[u8]), now: UnixMillis) -> bool {
        if !self.is_active() {
            return false;
        }
        self.note_key(name, spki);
        let contents = self.contents.load();
        let lists = contents.lists.load();
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
}

impl ShelfContents {
    fn lock(&self) -> MutexGuard<'_, ShelfState> {
        // Each entry is complete whatever a panicking holder did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// RFC 5280 §4.2.1.13: lists are fetched over plain HTTP, since they are signed themselves.
const HTTP: &str = "http://";
