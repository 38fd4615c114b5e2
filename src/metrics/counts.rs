//! The counters of each connector and listener, found by name. The connectors are those of one table.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use super::tally::{ReasonTally, VersionTally};
use super::timing::{ACCEPT, DELIVERY, HANDSHAKE, Timing};
use crate::connector::{Generation, Partner, Table};

/// What is counted of an inbound connector.
#[derive(Debug)]
pub(super) struct InboundCounts {
    pub(super) messages: VersionTally,
    pub(super) recipients: AtomicU64,
    pub(super) octets: AtomicU64,
    pub(super) waived: ReasonTally,
    pub(super) accept: Timing,
}

impl Default for InboundCounts {
    fn default() -> Self {
        Self {
            messages: VersionTally::default(),
            recipients: AtomicU64::new(0),
            octets: AtomicU64::new(0),
            waived: ReasonTally::default(),
            accept: Timing::new(ACCEPT),
        }
    }
}

/// What is counted of an outbound connector.
#[derive(Debug)]
pub(super) struct OutboundCounts {
    pub(super) delivered: VersionTally,
    pub(super) delivery: Timing,
    /// When, in milliseconds of Unix time; 0: not yet.
    pub(super) last_delivery: AtomicI64,
    pub(super) deferred: ReasonTally,
    pub(super) failed: ReasonTally,
    pub(super) rerouted: ReasonTally,
    pub(super) plaintext: ReasonTally,
    pub(super) waived: ReasonTally,
    pub(super) handshakes: HandshakeCounts,
    pub(super) post_quantum_omitted: AtomicU64,
}

impl Default for OutboundCounts {
    fn default() -> Self {
        Self {
            delivered: VersionTally::default(),
            delivery: Timing::new(DELIVERY),
            last_delivery: AtomicI64::new(0),
            deferred: ReasonTally::default(),
            failed: ReasonTally::default(),
            rerouted: ReasonTally::default(),
            plaintext: ReasonTally::default(),
            waived: ReasonTally::default(),
            handshakes: HandshakeCounts::default(),
            post_quantum_omitted: AtomicU64::new(0),
        }
    }
}

/// What is counted of handshakes.
#[derive(Debug)]
pub(super) struct HandshakeCounts {
    /// By version.
    pub(super) completed: VersionTally,
    /// By cause.
    pub(super) failed: ReasonTally,
    /// Only the completed ones.
    pub(super) took: Timing,
}

impl Default for HandshakeCounts {
    fn default() -> Self {
        Self {
            completed: VersionTally::default(),
            failed: ReasonTally::default(),
            took: Timing::new(HANDSHAKE),
        }
    }
}

/// A connector's counters, and the partner it belongs to.
#[derive(Debug)]
pub(super) struct NamedCounts<T> {
    pub(super) partner: Option<Arc<Partner>>,
    pub(super) counts: Arc<T>,
}

impl<T> NamedCounts<T> {
    /// The label of the partner; empty without one.
    pub(super) fn partner(&self) -> &str {
        self.partner.as_ref().map_or("", |partner| &partner.name)
    }
}

/// The connectors of one direction. What is counted under a name that the table no longer has goes to the one
/// without a name, so that nothing grows with what was ever configured.
#[derive(Debug)]
pub(super) struct DirectionCounts<T> {
    named: HashMap<Arc<str>, NamedCounts<T>>,
    unnamed: Arc<T>,
}

impl<T: Default> DirectionCounts<T> {
    fn empty() -> Self {
        Self { named: HashMap::new(), unnamed: Arc::default() }
    }

    /// These connectors, with the counters that they had before.
    fn following<'a>(
        &self,
        connectors: impl Iterator<Item = (&'a Arc<str>, &'a Option<Arc<Partner>>)>,
    ) -> Self {
        let entry = |(name, partner): (&Arc<str>, &Option<Arc<Partner>>)| {
            let counts = self.named.get(name).map_or_else(Arc::default, |known| Arc::clone(&known.counts));
            (Arc::clone(name), NamedCounts { partner: partner.clone(), counts })
        };
        Self { named: connectors.map(entry).collect(), unnamed: Arc::clone(&self.unnamed) }
    }

    /// The counters of a connector.
    pub(super) fn of(&self, name: Option<&str>) -> &T {
        let entry = name.and_then(|name| self.named.get(name));
        entry.map_or(&self.unnamed, |entry| &entry.counts)
    }

    /// Every connector by name, and at last the one without.
    pub(super) fn all(&self) -> Vec<(&str, &str, &T)> {
        let mut all: Vec<_> =
            self.named.iter().map(|(name, entry)| (&**name, entry.partner(), &*entry.counts)).collect();
        all.sort_unstable_by_key(|(name, _, _)| *name);
        all.push(("", "", &self.unnamed));
        all
    }

    /// The label of a connector's partner; `None` if there is no such connector.
    pub(super) fn partner_of(&self, name: &str) -> Option<&str> {
        self.named.get(name).map(NamedCounts::partner)
    }
}

/// The counters of both directions, under one table.
#[derive(Debug)]
pub(super) struct CountsBook {
    pub(super) generation: Generation,
    pub(super) inbound: DirectionCounts<InboundCounts>,
    pub(super) outbound: DirectionCounts<OutboundCounts>,
}

impl CountsBook {
    pub(super) fn of(table: &Table) -> Self {
        let empty = Self {
            generation: table.generation,
            inbound: DirectionCounts::empty(),
            outbound: DirectionCounts::empty(),
        };
        empty.following(table)
    }

    /// The same counters under another table.
    pub(super) fn following(&self, table: &Table) -> Self {
        Self {
            generation: table.generation,
            inbound: self.inbound.following(table.inbound.iter().map(|c| (&c.name, &c.partner))),
            outbound: self.outbound.following(table.outbound.iter().map(|c| (&c.name, &c.partner))),
        }
    }
}
