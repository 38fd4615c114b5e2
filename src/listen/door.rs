//! What all sessions of one listener have in common.

use std::sync::Arc;
use std::time::Duration;

use super::ListenerState;
use super::lobby::Lobby;
use super::settings::ListenerTls;
use crate::connector::Table;
use crate::smtp::data::ContentLimits;
use crate::smtp::receive::{Patience, Rules, Upgrade};
use crate::tls::ServerSetup;
use crate::tracking::Event;

/// What one session is under from its first octet to its last, whatever is put in effect meanwhile.
pub(super) struct Terms {
    /// The connectors.
    pub(super) table: Arc<Table>,
    /// What it is shown; `None` where there is no TLS, or the certificate is missing.
    pub(super) setup: Option<Arc<ServerSetup>>,
}

/// What all sessions of one listener share.
pub(super) struct Door {
    /// Its name in the configuration.
    pub(super) name: String,
    /// What it does of TLS.
    pub(super) tls: ListenerTls,
    /// How long a client must be silent before it is greeted.
    pub(super) greeting_delay: Option<Duration>,
    /// What holds for its sessions.
    pub(super) rules: Arc<Rules>,
    /// What it shares with the other listeners.
    pub(super) lobby: Arc<Lobby>,
}

impl Door {
    pub(super) fn new(name: String, tls: ListenerTls, shared: &ListenerState, lobby: &Arc<Lobby>) -> Self {
        let settings = &shared.settings;
        let limits = &settings.limits;
        let listener = settings.listeners.iter().find(|listener| listener.name == name);
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
            patience: Patience { errors_max: limits.errors_max, useless_max: limits.useless_max },
            withheld: listener.map_or_else(Vec::new, |listener| listener.withheld.clone()),
            room: Arc::clone(&shared.room),
            quotas: Arc::clone(&shared.quotas),
        };
        let greeting_delay = listener.and_then(|listener| listener.greeting_delay);
        let lobby = Arc::clone(lobby);
        let door = Self { name, tls, greeting_delay, rules: Arc::new(rules), lobby };
        if door.terms(shared).setup.is_none() && tls != ListenerTls::Off {
            let name = &door.name;
            let what = format!("listener {name} has no certificate to show: STARTTLS is answered 454");
            shared.journal.record(&Event::Alarm { what: &what });
        }
        door
    }

    /// What a session that begins now is under.
    pub(super) fn terms(&self, shared: &ListenerState) -> Terms {
        let mut table = shared.live.table();
        let mut setups = shared.tls.load();
        // The set-ups of a table stay until it is replaced: where they are gone, there is a later one.
        while !setups.contains_key(&table.generation) && table.generation != shared.live.generation() {
            table = shared.live.table();
            setups = shared.tls.load();
        }
        let own = setups.get(&table.generation).and_then(|own| own.get(&self.name));
        Terms { setup: own.map(Arc::clone), table }
    }

    /// What a session does of STARTTLS.
    pub(super) fn upgrade(&self, terms: &Terms) -> Upgrade {
        match (self.tls, &terms.setup) {
            (ListenerTls::Off | ListenerTls::Implicit, _) => Upgrade::Never,
            (ListenerTls::StartTls, Some(_)) => Upgrade::Offered,
            (ListenerTls::Required, Some(_)) => Upgrade::Required,
            (ListenerTls::StartTls, None) => Upgrade::Broken { required: false },
            (ListenerTls::Required, None) => Upgrade::Broken { required: true },
        }
    }
}
