//! Which clients are asked for a certificate, and which trust anchor sets its chain must be assessed by before a
//! transaction is admitted. Assessing costs a processor, so no other set is looked at.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::super::facts::TrustId;
use super::super::pattern::Specificity;
use super::super::requirement::Forced;
use super::super::table::{ClientKind, Inbound, Mode, Table};
use super::{Channel, covering, levels, named_by_peer, shows_who};
use crate::mail::ReversePath;

/// The trust anchor sets that [`super::admit`] would ask about and that the client's chain was not assessed by yet.
///
/// They are those of the connectors that could be attributed: our own, then the closest levels, down to the first that
/// binds; and not where the client's address or listener rules a connector out.
#[must_use]
pub fn unassessed(table: &Table, channel: &Channel, reverse_path: &ReversePath) -> Vec<TrustId> {
    let Some(certificate) = channel.tls.as_ref().and_then(|facts| facts.certificate()) else {
        return Vec::new();
    };
    let mut wanted = BTreeSet::new();
    let mut decides = |here: &[&Arc<Inbound>]| {
        let candidates =
            here.iter().filter(|connector| connector.is_open_to(channel.listener.as_deref(), channel.peer));
        wanted.extend(candidates.flat_map(|connector| connector.trust()).cloned());
        here.iter().any(|connector| connector.is_enforced())
    };
    let own: Vec<&Arc<Inbound>> = table.inbound.iter().filter(|c| c.kind == ClientKind::Own).collect();
    decides(&own);
    let domain = reverse_path.mailbox().and_then(|mailbox| mailbox.domain_name());
    let named = reverse_path.is_null() && decides(&named_by_peer(table, channel));
    if !named && reverse_path.is_null() {
        let by_user = |c: &&Arc<Inbound>| c.users.is_some() && c.has_login(channel);
        // A login binds nobody.
        decides(&table.inbound.iter().filter(by_user).collect::<Vec<_>>());
    }
    if !named {
        // `*` binds nobody.
        let binds = |level: &Specificity| {
            decides(&covering(table, domain, *level)) && !matches!(level, Specificity::Any)
        };
        let _binding = levels(table, domain).find(binds);
    }
    wanted.into_iter().filter(|set| !certificate.chain.contains_key(set)).collect()
}

impl Table {
    /// Whether a client of this listener and address is asked for a certificate: some connector that it could use needs
    /// one.
    #[must_use]
    pub fn wants_certificate_of(&self, listener: &str, peer: IpAddr) -> bool {
        let could = |connector: &Inbound| connector.is_open_to(Some(listener), peer);
        self.inbound.iter().any(|connector| connector.wants_certificate() && could(connector))
    }
}

impl Table {
    /// Whether a client shows the certificate of a connector that promotes cross-premises header fields. Its chain may not
    /// be assessed yet.
    #[must_use]
    pub fn may_promote(&self, channel: &Channel) -> bool {
        let could = |connector: &Inbound| {
            connector.is_open_to(channel.listener.as_deref(), channel.peer) && shows_who(connector, channel)
        };
        channel.tls.is_some() && self.index.promoting.iter().any(|connector| could(connector))
    }

    /// Whether mail for some domain leaves by a connector that promotes.
    #[must_use]
    pub fn promotes_onward(&self) -> bool {
        self.index.promotes_onward
    }
}

impl Inbound {
    /// Whether clients must present a certificate.
    #[must_use]
    pub fn wants_certificate(&self) -> bool {
        self.mode != Mode::Off && self.forced().is_some_and(Forced::needs_certificate)
    }

    /// The trust anchor sets that it names.
    #[must_use]
    pub fn trust(&self) -> &[TrustId] {
        self.forced().map_or(&[], Forced::trust)
    }

    /// Whether clients of this listener and address can use it, if they meet what else it requires.
    pub(super) fn is_open_to(&self, listener: Option<&str>, peer: IpAddr) -> bool {
        let in_network = self.from_networks.admit(peer);
        self.mode != Mode::Off && self.takes_on(listener) && in_network
    }
}
