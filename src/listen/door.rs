//! What all sessions of one listener share, and the table and certificate a new session starts with. It
//! accepts nothing itself.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::ListenerState;
use super::lobby::Lobby;
use super::settings::ListenerTls;
use crate::connector::Table;
use crate::smtp::data::ContentLimits;
use crate::smtp::receive::{Patience, Rules, Upgrade};
use crate::tls::ServerSetup;
use crate::tracking::{AlarmTopic, Event};

/// The table and TLS set-up a session keeps from start to end, whatever is reloaded meanwhile.
pub(super) struct Terms {
    pub(super) table: Arc<Table>,
    /// What a handshake presents; `None` without TLS, or if the certificate is missing.
    pub(super) setup: Option<Arc<ServerSetup>>,
}

/// What all sessions of one listener share.
pub(super) struct Door {
    pub(super) name: String,
    pub(super) tls: ListenerTls,
    /// How long a client must be silent before it is greeted.
    pub(super) greeting_delay: Option<Duration>,
    /// The session rules.
    pub(super) rules: Arc<Rules>,
    /// What it shares with the other listeners.
    pub(super) lobby: Arc<Lobby>,
    /// The number of its open sessions.
    pub(super) open: Arc<AtomicU64>,
}

impl Door {
    pub(super) fn new(name: String, tls: ListenerTls, shared: &ListenerState, lobby: &Arc<Lobby>) -> Self {
        let settings = &shared.settings;
        let limits = &settings.limits;
        let listener = settings.listeners.iter().find(|listener| listener.name == name);
        let rules = Rules {
            listener: name.as_str().into(),
            name: settings.name.clone(),
            postmaster: settings.postmaster.clone(),
            content: ContentLimits {
                message_bytes_max: limits.message_bytes_max,
                header_bytes_max: limits.header_bytes_max,
                line_bytes_max: limits.line_bytes_max,
            },
            recipients_max: limits.recipients_max,
            hops_max: limits.hops_max,
            own_hops_max: limits.own_hops_max,
            patience: Patience { errors_max: limits.errors_max, useless_max: limits.useless_max },
            withheld: listener.map_or_else(Vec::new, |listener| listener.withheld.clone()),
            room: Arc::clone(&shared.room),
            quotas: Arc::clone(&shared.quotas),
            brakes: Arc::clone(&shared.brakes),
        };
        let greeting_delay = listener.and_then(|listener| listener.greeting_delay);
        let (lobby, open) = (Arc::clone(lobby), shared.open.at(&name));
        let door = Self { name, tls, greeting_delay, rules: Arc::new(rules), lobby, open };
        if door.terms(shared).setup.is_none() && tls != ListenerTls::Off {
            let name = &door.name;
            let what = format!("listener {name} has no certificate to show: STARTTLS is answered 454");
            shared.journal.record(&Event::Alarm { topic: AlarmTopic::Other, what: &what });
        }
        door
    }

    /// The terms of a session that starts now.
    pub(super) fn terms(&self, shared: &ListenerState) -> Terms {
        let mut table = shared.live.table();
        let mut setups = shared.tls.load();
        // The set-ups of a table are kept until it is replaced: if they are missing, there is a newer table.
        while !setups.contains_key(&table.generation) && table.generation != shared.live.generation() {
            table = shared.live.table();
            setups = shared.tls.load();
        }
        let own = setups.get(&table.generation).and_then(|own| own.get(&self.name));
        Terms { setup: own.map(Arc::clone), table }
    }

    /// How a session handles STARTTLS.
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
