//! How a message came to us, as far as its outbound connector depends on it. It knows no connector.

use std::collections::HashMap;
use std::sync::Arc;

/// How a message came to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arrival<'a> {
    /// Nobody sent it: a report of ours, or a question of an operator's.
    Ours,
    /// By the inbound connector of this name, be it that of a program on this machine.
    By(&'a str),
}

impl<'a> Arrival<'a> {
    /// By the inbound connector of this name; `None`: the message is ours.
    #[must_use]
    pub fn of(connector: Option<&'a Arc<str>>) -> Self {
        connector.map_or(Self::Ours, |name| Self::By(name))
    }

    /// The inbound connector, if it came by one.
    #[must_use]
    pub fn name(self) -> Option<&'a str> {
        match self {
            Self::Ours => None,
            Self::By(name) => Some(name),
        }
    }
}

/// What serves one pattern.
#[derive(Debug)]
pub(super) struct PatternServers<C> {
    /// Connectors that name inbound connectors, for mail that arrives by each.
    by_arrival: HashMap<Arc<str>, Arc<C>>,
    /// For all other mail.
    rest: Option<Arc<C>>,
}

impl<C> Default for PatternServers<C> {
    fn default() -> Self {
        Self { by_arrival: HashMap::new(), rest: None }
    }
}

impl<C> PatternServers<C> {
    /// The connector for mail of this arrival; one that names it comes first.
    pub(super) fn of(&self, arrival: Arrival<'_>) -> Option<&Arc<C>> {
        let named = match arrival {
            Arrival::Ours => None,
            Arrival::By(name) => self.by_arrival.get(name),
        };
        named.or(self.rest.as_ref())
    }

    /// Adds a connector for these arrivals, or for all mail if there are none; it takes the place of earlier ones.
    pub(super) fn insert(&mut self, arrivals: &[Arc<str>], connector: &Arc<C>) {
        if arrivals.is_empty() {
            self.rest = Some(Arc::clone(connector));
        }
        for name in arrivals {
            self.by_arrival.insert(Arc::clone(name), Arc::clone(connector));
        }
    }
}
