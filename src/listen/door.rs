//! What all sessions of one listener have in common.

use std::sync::Arc;

use super::Shared;
use super::settings::ListenerTls;
use crate::smtp::data::ContentLimits;
use crate::smtp::receive::{Rules, Upgrade};
use crate::tls::ServerSetup;
use crate::tracking::Event;

/// What all sessions of one listener share.
pub(super) struct Door {
    /// Its name in the configuration.
    pub(super) name: String,
    /// What it does of TLS.
    pub(super) tls: ListenerTls,
    /// What it shows; `None` where it does no TLS, or its certificate is missing.
    pub(super) setup: Option<Arc<ServerSetup>>,
    /// What holds for its sessions.
    pub(super) rules: Arc<Rules>,
}

impl Door {
    pub(super) fn new(name: String, tls: ListenerTls, shared: &Shared) -> Self {
        let settings = &shared.settings;
        let limits = &settings.limits;
        let rules = Rules {
            name: settings.name.clone(),
            postmaster: settings.postmaster.clone(),
            content: ContentLimits {
                message_bytes_max: limits.message_bytes_max,
                header_bytes_max: limits.header_bytes_max,
                line_bytes_max: limits.line_bytes_max,
            },
            recipients_max: limits.recipients_max,
            hops_max: limits.hops_max,
            errors_max: limits.errors_max,
        };
        let setup = shared.tls.get(&name).map(Arc::clone);
        if setup.is_none() && tls != ListenerTls::Off {
            let what = format!("listener {name} has no certificate to show: STARTTLS is answered 454");
            shared.journal.record(&Event::Alarm { what: &what });
        }
        Self { name, tls, setup, rules: Arc::new(rules) }
    }

    /// What its sessions do of STARTTLS.
    pub(super) fn upgrade(&self) -> Upgrade {
        match (self.tls, &self.setup) {
            (ListenerTls::Off | ListenerTls::Implicit, _) => Upgrade::Never,
            (ListenerTls::StartTls, Some(_)) => Upgrade::Offered,
            (ListenerTls::Required, Some(_)) => Upgrade::Required,
            (ListenerTls::StartTls, None) => Upgrade::Broken { required: false },
            (ListenerTls::Required, None) => Upgrade::Broken { required: true },
        }
    }
}
