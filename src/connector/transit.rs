//! A transaction in progress, and whether another table still allows it. Transactions are registered in `live`.

use std::net::IpAddr;
use std::sync::Arc;

use super::admit::{Admission, Channel, admit};
use super::arrival::Arrival;
use super::facts::{PeerCertificate, TlsFacts, TrustId};
use super::judge::Observed;
use super::requirement::Requirement;
use super::reroute::{Rerouting, choose_again};
use super::table::{
    ClientKind, Inbound, InboundTls, Mode, NextHop, Outbound, Revision, SmartHostName, Table,
};
use super::trusted::TrustSets;
use crate::mail::{Domain, ReversePath};

/// A transaction in progress: all that a table decides by.
#[derive(Debug, Clone)]
pub enum Transit {
    /// A client hands us mail.
    Inbound {
        /// What is known of the client.
        channel: Channel,
        /// Its MAIL FROM.
        reverse_path: ReversePath,
    },
    /// We hand mail to a host.
    Outbound(OutboundTransit),
}

/// A transaction with a host.
#[derive(Debug, Clone)]
pub struct OutboundTransit {
    /// The connector that it goes by.
    pub connector: Arc<str>,
    /// The revision of the connector.
    pub revision: Revision,
    /// The recipient domains (`None` is an address literal), each with how its recipients were handed on before.
    pub domains: Vec<(Option<Domain>, Option<Rerouting>)>,
    /// The inbound connector by which the message came; `None` if it is ours.
    pub arrived_by: Option<Arc<str>>,
    /// The name of the host, if it has one.
    pub host: Option<Domain>,
    /// The address of the host.
    pub address: IpAddr,
    /// What the session has shown.
    pub observed: Observed,
}

impl Transit {
    /// The connector of `now` that does not allow the transaction to go on; `None` if it may. `assessed` is the table
    /// by whose trust anchors the peer's chain was assessed: only anchors that were removed since then count, so that a
    /// new revocation list interrupts nobody.
    #[must_use]
    pub fn outdated_by(&self, assessed: &Table, now: &Table) -> Option<Arc<str>> {
        match self {
            Self::Inbound { channel, reverse_path } => {
                let tls = channel.tls.as_ref().map(|facts| narrowed(facts, &assessed.trust, &now.trust));
                match admit(now, &Channel { tls, ..channel.clone() }, reverse_path) {
                    Admission::Admitted(_) => None,
                    Admission::Refused(refused) => {
                        Some(refused.decision.connector.clone().unwrap_or_else(|| NO_CONNECTOR.into()))
                    }
                }
            }
            Self::Outbound(outbound) => outbound.domains.iter().find_map(|(domain, rerouted)| {
                let to = (domain.as_ref(), Arrival::of(outbound.arrived_by.as_ref()));
                let connector = choose_again(now, to, rerouted.as_ref())?.connector;
                let is_met = outbound.meets(&connector, domain.as_ref(), (assessed, now));
                (!is_met).then(|| Arc::clone(&connector.name))
            }),
        }
    }
}

impl OutboundTransit {
    fn meets(
        &self,
        connector: &Outbound,
        domain: Option<&Domain>,
        (assessed, now): (&Table, &Table),
    ) -> bool {
        if connector.name == self.connector && connector.revision == self.revision {
            return true;
        }
        let host = match &connector.next_hop {
            NextHop::Mx { .. } => None,
            NextHop::SmartHosts(_) => Some(match &self.host {
                Some(name) => SmartHostName::Name(name.clone()),
                None => SmartHostName::Ip(self.address),
            }),
        };
        let forced = match connector.requirement(domain, host.as_ref()) {
            Requirement::Off | Requirement::Opportunistic(_) | Requirement::Audit(_) => return true,
            Requirement::Forced(forced) => forced,
        };
        match &self.observed {
            Observed::Established(facts) => {
                forced.unmet_by(&narrowed(facts, &assessed.trust, &now.trust)).is_none()
            }
            Observed::EstablishedAfter(..)
            | Observed::NotTried
            | Observed::NotOffered
            | Observed::Refused(_)
            | Observed::Broken(_)
            | Observed::ClearAfterBroken(_) => false,
        }
    }
}

/// The facts without the verdicts of trust anchor sets that have lost anchors.
fn narrowed(facts: &Arc<TlsFacts>, assessed: &TrustSets, now: &TrustSets) -> Arc<TlsFacts> {
    let lost = |id: &TrustId| match (assessed.get(id), now.get(id)) {
        (Some(before), Some(after)) => !before.anchors.is_subset(&after.anchors),
        (None, _) | (_, None) => false,
    };
    let PeerCertificate::Shown(certificate) = &facts.peer else { return Arc::clone(facts) };
    if !certificate.chain.keys().any(lost) {
        return Arc::clone(facts);
    }
    let mut certificate = certificate.clone();
    certificate.chain.retain(|id, _| !lost(id));
    certificate.paths.retain(|id, _| !lost(id));
    certificate.revocation.retain(|id, _| !lost(id));
    Arc::new(TlsFacts { peer: PeerCertificate::Shown(certificate), ..TlsFacts::clone(facts) })
}

/// Why what a client proved at its handshake, or with its login, must be proved again before its next transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleProof {
    /// Its certificate was assessed by other trust anchors or revocation lists than those of an inbound connector now.
    Certificate,
    /// No inbound connector knows the name and the password that it has logged in with any more.
    Login,
}

impl Channel {
    /// What of the channel `now` can't rely on for mail of this reverse-path, where the client's chain was assessed by
    /// the trust sets of `assessed`.
    #[must_use]
    pub fn stale_proof(&self, path: &ReversePath, assessed: &Table, now: &Table) -> Option<StaleProof> {
        let shown = self.tls.as_ref().is_some_and(|facts| facts.certificate().is_some());
        let changed = |id: &TrustId| match (assessed.trust.get(id), now.trust.get(id)) {
            (Some(before), Some(after)) => before.digest != after.digest,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        let domain = path.mailbox().and_then(|mailbox| mailbox.domain_name());
        let open = || now.inbound.iter().filter(|connector| connector.mode != Mode::Off);
        // Any forced connector may be the one that a client without a reverse-path means.
        let asked = |connector: &&Arc<Inbound>| {
            path.is_null() || connector.kind == ClientKind::Own || connector.covers(domain).is_some()
        };
        if shown && open().filter(asked).any(|connector| trust_of(connector).iter().any(changed)) {
            return Some(StaleProof::Certificate);
        }
        let user = self.user.as_ref()?;
        let known = open().filter_map(|connector| connector.users.as_ref()).any(|users| users.has(user));
        (!known).then_some(StaleProof::Login)
    }
}

fn trust_of(connector: &Inbound) -> &[TrustId] {
    match &connector.tls {
        InboundTls::Off | InboundTls::Opportunistic => &[],
        InboundTls::Forced(forced) => forced.trust(),
    }
}

const NO_CONNECTOR: &str = "(none)";
