//! What the console asks of the daemon: what ends soon, and our own certificates.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::coming::coming;
use super::reload::Reloader;
use crate::admin::MonitoringSource;
use crate::connector::PresentedName;
use crate::console::{Outlook, SiteCertificate};
use crate::mail::{Clock, UnixMillis};

/// The daemon, as the console sees it.
pub(super) struct ConsoleOutlook {
    pub(super) reloader: Arc<Reloader>,
    pub(super) monitored: Arc<dyn MonitoringSource>,
}

impl Outlook for ConsoleOutlook {
    fn ending(&self) -> Vec<(UnixMillis, String)> {
        coming(&self.reloader.base(), Clock::wall()).into_iter().collect()
    }

    fn certificates(&self) -> Vec<SiteCertificate> {
        let in_use = self.reloader.in_use.load();
        let one = |(id, identity): (&String, &Arc<crate::tls::Identity>)| {
            let facts = identity.facts();
            SiteCertificate {
                id: id.clone(),
                names: facts.names.iter().map(PresentedName::to_string).collect(),
                issuer: facts.issuer.clone(),
                not_before: facts.not_before,
                not_after: facts.not_after,
                sha256: facts.sha256.clone(),
                pin: STANDARD.encode(facts.spki),
            }
        };
        in_use.identities.iter().map(one).collect()
    }

    fn refused(&self) {
        self.monitored.refused();
    }
}
