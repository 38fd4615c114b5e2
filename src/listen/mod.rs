//! The sockets that receive mail. It makes no decisions: `smtp::receive` chooses the reply, `connector` who
//! may relay, and the spool says when a message is ours.

mod accept;
mod census;
mod closed;
mod converse;
mod deadline;
mod door;
mod early;
mod echo;
mod guesses;
mod intake;
mod lobby;
mod login;
mod open_sessions;
mod ration;
mod refusals;
pub mod settings;
mod turns;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;

pub use accept::{BindFault, BoundListener, ServingListeners, bind, serve};
pub use closed::turn_away;
pub use guesses::Guesses;
pub use open_sessions::OpenSessions;
pub use refusals::{RefusalCount, RefusalTally};
pub use settings::Settings;

use crate::connector::{Generation, LiveTable};
use crate::echo::EchoQuota;
use crate::smtp::receive::{Brakes, CountedRefusal, Quotas, RecipientVerifier, Room};
use crate::spool::{Leased, Spool};
use crate::tls::{Partners, ServerSetup};
use crate::tracking::{Event, Journal, ProtocolLog};

/// Called with every accepted message before its 250 goes out; it must not block.
pub type AcceptedHook = Arc<dyn Fn(Vec<Leased>) + Send + Sync>;

/// What the listeners present in a handshake, by listener name, for each table a session may start under:
/// certificate and table change in one step.
pub type ServerSetups = ArcSwap<BTreeMap<Generation, Arc<BTreeMap<String, Arc<ServerSetup>>>>>;

/// What sessions have seen of other hosts.
#[derive(Debug, Clone)]
pub struct SeenPeers {
    /// The certificates that partners presented.
    pub partners: Arc<Partners>,
    /// What clients were refused for.
    pub refusals: Arc<RefusalTally>,
}

/// What all sessions share.
pub struct ListenerState {
    /// The listeners' checked settings.
    pub settings: Settings,
    /// The connector table in effect.
    pub live: Arc<LiveTable>,
    /// Usage of connectors that have limits of their own.
    pub quotas: Arc<Quotas>,
    /// Which connectors take no new mail because of a flood.
    pub brakes: Arc<Brakes>,
    /// Failed logins by network.
    pub guesses: Guesses,
    /// Questions about unknown recipients by network.
    pub unknown_recipients: Guesses,
    /// Whether there is room for more mail.
    pub room: Arc<Room>,
    /// Where messages are stored.
    pub spool: Arc<dyn Spool>,
    /// What each listener presents in a handshake. A listener with TLS but without an entry answers STARTTLS
    /// with 454.
    pub tls: Arc<ServerSetups>,
    /// What sessions have seen of other hosts.
    pub seen: SeenPeers,
    /// How many sessions are open.
    pub open: Arc<OpenSessions>,
    /// Asks next hops whether a recipient exists.
    pub verifier: Arc<dyn RecipientVerifier>,
    /// Called with every accepted message.
    pub accepted: AcceptedHook,
    /// Where events are recorded.
    pub journal: Arc<Journal>,
    /// How many answers the echo mailbox has sent.
    pub echo: Mutex<EchoQuota>,
    /// Where dialogues are recorded.
    pub protocol: ProtocolLog,
}

impl ListenerState {
    /// Counts a refusal: since the start, and for reports. Whether it has a line of its own is decided elsewhere.
    fn count_refusal(&self, refusal: CountedRefusal) {
        self.journal
            .record(&Event::RefusalCounted { code: refusal.code, decision: refusal.decision.as_ref() });
        self.seen.refusals.count(refusal);
    }
}

#[cfg(test)]
mod tests;
