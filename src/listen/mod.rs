//! Sockets on which mail comes in. It decides nothing of its own: `smtp::receive` says what to
//! answer, `connector` who may relay, and the spool when a message is ours.

mod accept;
mod census;
mod closed;
mod converse;
mod deadline;
mod door;
mod early;
mod guesses;
mod intake;
mod lobby;
mod login;
mod ration;
pub mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

pub use accept::{BindFault, BoundListener, ServingListeners, bind, serve};
pub use closed::turn_away;
pub use guesses::Guesses;
pub use settings::Settings;

use crate::connector::{Generation, LiveTable};
use crate::smtp::receive::{Quotas, RecipientVerifier, Room};
use crate::spool::{Leased, Spool};
use crate::tls::{Partners, ServerSetup};
use crate::tracking::Journal;

/// Told of every message that became ours, before its 250 goes out; it must not block.
pub type AcceptedHook = Arc<dyn Fn(Vec<Leased>) + Send + Sync>;

/// What the listeners show in a handshake, by their names, for each table that a session may begin
/// under: certificate and table change in one step.
pub type ServerSetups = ArcSwap<BTreeMap<Generation, Arc<BTreeMap<String, Arc<ServerSetup>>>>>;

/// What all sessions share.
pub struct ListenerState {
    /// What the listeners are told to do.
    pub settings: Settings,
    /// The connectors in effect.
    pub live: Arc<LiveTable>,
    /// What comes by connectors with limits of their own.
    pub quotas: Arc<Quotas>,
    /// Who guesses passwords.
    pub guesses: Guesses,
    /// Whether there is room for more.
    pub room: Arc<Room>,
    /// Where messages go.
    pub spool: Arc<dyn Spool>,
    /// What each listener shows in a handshake. A listener that does TLS and has no entry answers
    /// STARTTLS with 454.
    pub tls: Arc<ServerSetups>,
    /// What partners showed before.
    pub partners: Arc<Partners>,
    /// Who asks next hops for recipients.
    pub verifier: Arc<dyn RecipientVerifier>,
    /// Who goes on with a message.
    pub accepted: AcceptedHook,
    /// Where events are told.
    pub journal: Arc<Journal>,
}

#[cfg(test)]
mod tests;
