//! A session that was judged, and the address it is to. Nothing here opens one.

use std::net::SocketAddr;
use std::sync::Arc;

use super::connection::Connection;
use crate::connector::{
    Decision, Generation, Observed, Outbound, Requirement, Revision, SmartHostName, Verdict, judge,
};
use crate::mail::Domain;
use crate::smtp::Open;

/// A session that was judged and may carry mail, and what is to be told of it.
pub(super) struct OpenSession {
    pub(super) connection: Connection,
    pub(super) smtp: Open,
    pub(super) key: Key,
    /// Name, address and port.
    pub(super) host: String,
    pub(super) observed: Observed,
    pub(super) requirement: Requirement,
    /// One for all messages of the session.
    pub(super) decision: Arc<Decision>,
    /// Transactions begun.
    pub(super) used: u32,
}

impl OpenSession {
    /// Judges the session again, from what it showed when it was opened: for another recipient
    /// domain, or by another table that kept the connector. The session holds a new permit then.
    pub(super) fn rejudge(
        &mut self,
        connector: &Outbound,
        requirement: Requirement,
        generation: Generation,
    ) -> bool {
        match judge(&requirement, &self.observed, self.smtp.id(), connector.revision, generation) {
            Verdict::Withhold(_) => false,
            Verdict::Proceed(permit) => {
                if requirement != self.requirement {
                    let decision = Decision::proceeded(connector, &self.host, &requirement, &permit);
                    self.decision = Arc::new(decision);
                    self.requirement = requirement;
                }
                self.smtp.reauthorise(permit);
                true
            }
        }
    }

    /// Whether the session is in clear since handshakes broke; the next attempt begins with TLS.
    pub(super) fn is_after_broken(&self) -> bool {
        matches!(self.observed, Observed::ClearAfterBroken(_))
    }
}

/// What must be the same for a connection to be used again: nothing that it was opened under may
/// differ.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) revision: Revision,
    pub(super) host: Option<Domain>,
    pub(super) address: SocketAddr,
}

/// One address to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The host's name, if it has one: the SNI name.
    pub(super) name: Option<Domain>,
    /// The smart host it stands for.
    pub(super) smart: Option<SmartHostName>,
    pub(super) address: SocketAddr,
}

impl Candidate {
    /// Name, address and port, as every event and report names it.
    pub(super) fn host(&self) -> String {
        let name = self.name.as_ref().map_or("", Domain::as_str);
        format!("{name}[{}]:{}", self.address.ip(), self.address.port())
    }

    pub(super) fn key(&self, revision: Revision) -> Key {
        Key { revision, host: self.name.clone(), address: self.address }
    }
}
