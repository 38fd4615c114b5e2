//! The connector table in effect, shared by all its users, and the transactions in progress. No socket and no clock,
//! but this is the one value that changes while mail flows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, futures::Notified};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::admit::Channel;
use super::table::{Generation, Table};
use super::transit::{StaleProof, Transit};
use crate::mail::ReversePath;

/// The table in effect, and the transactions in progress, whichever table they began under.
#[derive(Debug)]
pub struct LiveTable {
    current: ArcSwap<Table>,
    replaced: Notify,
    register: Arc<Register>,
}

#[derive(Debug, Default)]
struct Register {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<RegisteredTransit>>>,
}

#[derive(Debug)]
struct RegisteredTransit {
    transit: Transit,
    /// By whose trust anchors the peer was assessed.
    assessed: Arc<Table>,
    /// Some reload waits for it already.
    claimed: AtomicBool,
    /// Ends its session.
    cut: CancellationToken,
    /// Cancelled once it is over.
    over: CancellationToken,
}

/// Held from before MAIL FROM until the transaction is over, so that a stricter table can wait for it, and end it.
#[derive(Debug)]
pub struct TransactionGuard {
    register: Arc<Register>,
    number: u64,
    over: CancellationToken,
}

impl LiveTable {
    /// Starts with this table in effect.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self { current: ArcSwap::from_pointee(table), replaced: Notify::new(), register: Arc::default() }
    }

    /// The table in effect now.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        self.current.load_full()
    }

    /// The generation of the table in effect.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.current.load().generation
    }

    /// Registers a transaction; `cut` ends its session. The caller must read the table **after** this: a swap that it
    /// misses then has seen the transaction.
    #[must_use]
    pub fn enter(&self, transit: Transit, assessed: Arc<Table>, cut: CancellationToken) -> TransactionGuard {
        let over = CancellationToken::new();
        let entry =
            RegisteredTransit { transit, assessed, claimed: AtomicBool::new(false), cut, over: over.clone() };
        let number = self.register.next.fetch_add(1, Ordering::Relaxed);
        self.register.lock().insert(number, Arc::new(entry));
        TransactionGuard { register: Arc::clone(&self.register), number, over }
    }

    /// Puts another table in effect. It waits for nobody: see [`Self::outdated`].
    pub fn replace(&self, table: impl Into<Arc<Table>>) {
        self.current.store(table.into());
        self.replaced.notify_waiters();
    }

    /// Resolves after the next [`Self::replace`], from the moment this is called.
    pub fn replaced(&self) -> Notified<'_> {
        self.replaced.notified()
    }

    /// The transactions in progress that the table in effect does not allow. To be called after a swap. Those that
    /// an earlier call has returned are its caller's affair.
    #[must_use]
    pub fn outdated(&self) -> OutdatedTransactions {
        let open: Vec<Arc<RegisteredTransit>> = self.register.lock().values().map(Arc::clone).collect();
        let table = self.table();
        let mut claimed = Vec::new();
        for entry in open.into_iter().filter(|entry| !entry.claimed.load(Ordering::SeqCst)) {
            let Some(connector) = entry.outdated_by(&table) else { continue };
            if !entry.claimed.swap(true, Ordering::SeqCst) {
                claimed.push((connector, entry));
            }
        }
        OutdatedTransactions { claimed }
    }
}

impl Register {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<RegisteredTransit>>> {
        // A map of entries stays one whatever a panicking holder did.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RegisteredTransit {
    fn outdated_by(&self, table: &Table) -> Option<Arc<str>> {
        self.transit.outdated_by(&self.assessed, table)
    }

    /// Ends the session, unless the table in effect allows the transaction again. Whether it does.
    fn is_cut(&self, live: &LiveTable) -> bool {
        loop {
            let table = live.table();
            if self.outdated_by(&table).is_some() {
                self.cut.cancel();
                return true;
            }
            // The next reload may find it outdated again. One that came in between has passed over it.
            self.claimed.store(false, Ordering::SeqCst);
            if live.generation() == table.generation || self.claimed.swap(true, Ordering::SeqCst) {
                return false;
            }
        }
    }
}

impl Drop for TransactionGuard {
    fn drop(&mut self) {
        self.register.lock().remove(&self.number);
        self.over.cancel();
    }
}

/// Transactions that the table in effect does not allow any more.
#[derive(Debug)]
pub struct OutdatedTransactions {
    /// Each with the connector that does not allow it.
    claimed: Vec<(Arc<str>, Arc<RegisteredTransit>)>,
}

/// What became of transactions that a new table did not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DrainTally {
    /// They ended by themselves, or a later table allows them again.
    pub ended: usize,
    /// Their sessions were ended.
    pub cut: usize,
    /// Their content had left before; the final reply is still awaited.
    pub answering: usize,
}

impl OutdatedTransactions {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.claimed.len()
    }

    /// The connectors that do not allow them, in order, each once.
    #[must_use]
    pub fn connectors(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self.claimed.iter().map(|(name, _)| Arc::clone(name)).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Waits for their ends, but no longer than `limit`. Then the sessions of those that the table in effect by then
    /// does not allow either are ended, except where the peer may have the whole message already.
    pub async fn drain(self, live: &LiveTable, limit: Duration) -> DrainTally {
        let over = async {
            for (_, entry) in &self.claimed {
                entry.over.cancelled().await;
            }
        };
        let all = self.claimed.len();
        if timeout(limit, over).await.is_ok() {
            return DrainTally { ended: all, ..DrainTally::default() };
        }
        let left = self.claimed.iter().map(|(_, entry)| entry).filter(|entry| !entry.over.is_cancelled());
        let cut: Vec<_> = left.filter(|entry| entry.is_cut(live)).collect();
        let gone = async {
            for entry in &cut {
                entry.over.cancelled().await;
            }
        };
        let _all_gone = timeout(CUT_WAIT, gone).await;
        let answering = cut.iter().filter(|entry| !entry.over.is_cancelled()).count();
        DrainTally {
            ended: all.saturating_sub(cut.len()),
            cut: cut.len().saturating_sub(answering),
            answering,
        }
    }
}

/// The table that one inbound session goes by: renewed at each MAIL FROM.
#[derive(Debug)]
pub struct SessionTable {
    live: Arc<LiveTable>,
    table: Arc<Table>,
    /// The table that was in effect when the session began, by whose trust anchors the client is assessed.
    first: Arc<Table>,
    cut: CancellationToken,
}

impl SessionTable {
    /// For a session that begins under `table`; `cut` ends it.
    #[must_use]
    pub fn new(live: Arc<LiveTable>, table: Arc<Table>, cut: CancellationToken) -> Self {
        Self { live, first: Arc::clone(&table), table, cut }
    }

    /// The table that the session goes by.
    #[must_use]
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Goes by the table in effect from now on. Whether that is another one.
    pub fn renew(&mut self) -> bool {
        let table = self.live.table();
        let renewed = table.generation != self.table.generation;
        self.table = table;
        renewed
    }

    /// Whether the session began under another table than the one it goes by.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.first.generation != self.table.generation
    }

    /// What the client has to prove again.
    #[must_use]
    pub fn stale_proof(&self, channel: &Channel, reverse_path: &ReversePath) -> Option<StaleProof> {
        let changed = self.has_changed();
        changed.then(|| channel.stale_proof(reverse_path, &self.first, &self.table)).flatten()
    }

    /// Registers a transaction; to be followed by [`Self::renew`].
    #[must_use]
    pub fn enter(&self, channel: &Channel, reverse_path: &ReversePath) -> TransactionGuard {
        let transit = Transit::Inbound { channel: channel.clone(), reverse_path: reverse_path.clone() };
        self.live.enter(transit, Arc::clone(&self.first), self.cut.clone())
    }
}

/// How long sessions that are ended may take for it.
const CUT_WAIT: Duration = Duration::from_secs(2);
