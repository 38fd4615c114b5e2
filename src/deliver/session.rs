//! An open, judged session and the address it is connected to. Nothing here opens one.

use std::net::SocketAddr;
use std::sync::Arc;

use super::connection::Connection;
use crate::connector::{
    Decision, Generation, LiveTable, Observed, Outbound, OutboundTransit, Requirement, Rerouting, Revision,
    SmartHostName, TransactionGuard, Transit, Verdict, judge,
};
use crate::mail::{Domain, Mailbox};
use crate::smtp::Open;
use crate::spool::QueuedRecipient;

/// A session that was judged and may carry mail, with the decision to report.
pub(super) struct OpenSession {
    pub(super) connection: Connection,
    pub(super) smtp: Open,
    pub(super) key: Key,
    /// Name, address and port.
    pub(super) host: String,
    pub(super) observed: Observed,
    pub(super) requirement: Requirement,
    /// Shared by all messages of the session.
    pub(super) decision: Arc<Decision>,
    /// Number of transactions started.
    pub(super) used: u32,
}

impl OpenSession {
    /// Judges the session again by what it showed when it was opened: for another recipient domain,
    /// or under another table that kept the connector. On success the session holds a new permit.
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

    /// Registers a transaction with these recipients. The caller reads the table in effect after this.
    pub(super) fn enter<'a>(
        &self,
        live: &LiveTable,
        connector: &Outbound,
        recipients: impl Iterator<Item = RecipientWay<'a>>,
        arrived_by: Option<&Arc<str>>,
    ) -> TransactionGuard {
        let mut domains: Vec<(Option<Domain>, Option<Rerouting>)> = Vec::new();
        for (mailbox, rerouted) in recipients {
            let this = (mailbox.domain_name(), rerouted);
            if domains.last().is_none_or(|(domain, rerouted)| (domain.as_ref(), rerouted.as_ref()) != this) {
                domains.push((this.0.cloned(), this.1.cloned()));
            }
        }
        let transit = OutboundTransit {
            connector: Arc::clone(&connector.name),
            revision: connector.revision,
            domains,
            arrived_by: arrived_by.map(Arc::clone),
            host: self.key.host.clone(),
            address: self.key.address.ip(),
            observed: self.observed.clone(),
        };
        live.enter(Transit::Outbound(transit), live.table(), self.connection.cut().clone())
    }

    /// Whether the session is in plaintext because handshakes failed; the next attempt starts with
    /// TLS.
    pub(super) fn is_after_broken(&self) -> bool {
        matches!(self.observed, Observed::ClearAfterBroken(_))
    }
}

/// What must match for a session to be reused: everything that it was opened under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) revision: Revision,
    pub(super) host: Option<Domain>,
    pub(super) address: SocketAddr,
}

/// One address to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The host's name, if it has one; used as the SNI name.
    pub(super) name: Option<Domain>,
    /// The smart host this address belongs to.
    pub(super) smart: Option<SmartHostName>,
    pub(super) address: SocketAddr,
}

impl Candidate {
    /// Name, address and port, as every event and report shows them.
    pub(super) fn host(&self) -> String {
        let name = self.name.as_ref().map_or("", Domain::as_str);
        format!("{name}[{}]:{}", self.address.ip(), self.address.port())
    }

    pub(super) fn key(&self, revision: Revision) -> Key {
        Key { revision, host: self.name.clone(), address: self.address }
    }
}

/// A recipient, and how it was handed to another connector before.
pub(super) type RecipientWay<'a> = (&'a Mailbox, Option<&'a Rerouting>);

/// The recipients of a job.
pub(super) fn addressed(recipients: &[QueuedRecipient]) -> impl Iterator<Item = RecipientWay<'_>> {
    recipients.iter().map(|recipient| (&recipient.forward_path, recipient.rerouted.as_ref()))
}
