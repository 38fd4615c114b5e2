//! What the client presented in the handshake, and whether what was said of it still holds.

use std::sync::Arc;

use crate::connector::TlsFacts;
use crate::mail::UnixMillis;
use crate::tls::ClientChain;

/// A client's chain, and what is known of it.
pub(super) struct Presentation {
    pub(super) facts: Arc<TlsFacts>,
    pub(super) chain: ClientChain,
    /// When the chain was first assessed by any of the trust anchor sets that the facts name.
    assessed_at: Option<UnixMillis>,
}

impl Presentation {
    pub(super) fn new(facts: Arc<TlsFacts>, chain: ClientChain) -> Self {
        Self { facts, chain, assessed_at: None }
    }

    /// Takes what an assessment that began at `now` added.
    pub(super) fn assessed(&mut self, facts: Arc<TlsFacts>, now: UnixMillis) {
        self.facts = facts;
        self.assessed_at.get_or_insert(now);
    }

    /// The facts without what trust anchor sets said, if a revocation list was fetched since.
    pub(super) fn renew(&mut self) -> Option<Arc<TlsFacts>> {
        let then = self.assessed_at?;
        if !self.chain.has_new_lists_since(&self.facts, then) {
            return None;
        }
        self.assessed_at = None;
        self.facts = Arc::new(self.facts.unassessed());
        Some(Arc::clone(&self.facts))
    }
}
