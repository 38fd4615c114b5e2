//! The connector table in effect, shared by all its users. No socket and no clock, but this is the one value
//! that changes while mail flows.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::table::{Generation, Table};

/// The table in effect, and a count of the plaintext transactions in progress.
#[derive(Debug)]
pub struct LiveTable {
    current: ArcSwap<InForce>,
}

#[derive(Debug)]
struct InForce {
    table: Arc<Table>,
    in_clear: watch::Sender<usize>,
}

/// Held from before MAIL FROM until after the final reply of a plaintext transaction, so that a stricter
/// table can wait for the last one.
#[derive(Debug)]
pub struct ClearGuard {
    under: Arc<InForce>,
}

impl LiveTable {
    /// Starts with this table in effect.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self { current: ArcSwap::from_pointee(InForce::new(table)) }
    }

    /// The table in effect now.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        Arc::clone(&self.current.load().table)
    }

    /// The generation of the table in effect.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.current.load().table.generation
    }

    /// Registers a plaintext transaction. The caller must read the generation **after** this: a swap it
    /// misses then has seen the guard and waits for it.
    #[must_use]
    pub fn enter_clear(&self) -> ClearGuard {
        let under = self.current.load_full();
        under.in_clear.send_modify(|count| *count = count.saturating_add(1));
        ClearGuard { under }
    }

    /// Puts another table in effect, and returns once every plaintext transaction begun under the old one has
    /// its final reply.
    pub async fn replace(&self, table: Table) {
        let last = self.current.swap(Arc::new(InForce::new(table)));
        let mut in_clear = last.in_clear.subscribe();
        // An error would mean that the sender is gone, but we hold it.
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
