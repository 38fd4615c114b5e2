//! The table in effect, shared by all who ask it. No socket and no clock here, but the one thing
//! that changes while mail flows.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::table::{Generation, Table};

/// The table in effect, and a count of the transactions that are under way in clear by it.
#[derive(Debug)]
pub struct LiveTable {
    current: ArcSwap<InForce>,
}

#[derive(Debug)]
struct InForce {
    table: Arc<Table>,
    in_clear: watch::Sender<usize>,
}

/// Held from before MAIL FROM until after the final reply of a transaction in clear, so that a
/// tighter table can wait for the last one.
#[derive(Debug)]
pub struct ClearGuard {
    under: Arc<InForce>,
}

impl LiveTable {
    /// Puts the first table in effect.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self { current: ArcSwap::from_pointee(InForce::new(table)) }
    }

    /// The table in effect now.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        Arc::clone(&self.current.load().table)
    }

    /// The generation in effect now.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.current.load().table.generation
    }

    /// Announces a transaction in clear. The caller asks for the generation **after** this: a swap
    /// that it does not see then has seen the guard, and waits for it.
    #[must_use]
    pub fn enter_clear(&self) -> ClearGuard {
        let under = self.current.load_full();
        under.in_clear.send_modify(|count| *count = count.saturating_add(1));
        ClearGuard { under }
    }

    /// Puts another table in effect, and returns once no transaction that began in clear under the
    /// last one is short of its final reply.
    pub async fn replace(&self, table: Table) {
        let last = self.current.swap(Arc::new(InForce::new(table)));
        let mut in_clear = last.in_clear.subscribe();
        // An error would mean that the sender is gone, and we hold it.
        let _ended = in_clear.wait_for(|count| *count == 0).await;
    }
}

impl InForce {
    fn new(table: Table) -> Self {
        Self { table: Arc::new(table), in_clear: watch::Sender::new(0) }
    }
}

impl Drop for ClearGuard {
    fn drop(&mut self) {
        self.under.in_clear.send_modify(|count| *count = count.saturating_sub(1));
    }
}
