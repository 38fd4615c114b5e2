//! What a session is told, and what it tells.

use std::pin::Pin;
use std::sync::Arc;

use super::quota::Quotas;
use super::room::Room;
use super::tally::Patience;
use crate::connector::{Decision, Inbound, Login, Outbound};
use crate::mail::{Domain, Envelope, Extension, Mailbox, QueueId, Reply, ReversePath, UnixMillis};
use crate::smtp::data::ContentLimits;

/// What holds for all sessions.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Our name: greeting, EHLO answer, Received.
    pub name: Domain,
    /// Who `<postmaster>` without a domain is.
    pub postmaster: Mailbox,
    /// What content may be.
    pub content: ContentLimits,
    /// Recipients of one message.
    pub recipients_max: usize,
    /// Received lines of one message.
    pub hops_max: usize,
    /// How often a session may be wrong.
    pub patience: Patience,
    /// What the listener does not offer.
    pub withheld: Vec<Extension>,
    /// Whether there is room for more; one for all listeners.
    pub room: Arc<Room>,
    /// What comes by connectors with limits of their own; one for all listeners.
    pub quotas: Arc<Quotas>,
}

/// What a session does of STARTTLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    /// Not offered.
    Never,
    /// Offered.
    Offered,
    /// Nothing is accepted before it (RFC 3207 §4).
    Required,
    /// Offered, and answered 454: our certificate is missing. What is offered never disappears
    /// silently, or a peer would go on in clear for a fault of ours.
    Broken {
        /// Nothing is accepted before it.
        required: bool,
    },
}

/// What the shell does next. Replies wait in [`Session::take_output`].
#[derive(Debug)]
pub enum Action {
    /// Send the replies, and feed what comes.
    NeedInput,
    /// Send the replies, let others have a turn, and feed what is left.
    Flush,
    /// Find a place for a handshake, say [`Session::on_place`] or [`Session::on_no_place`]; with one,
    /// send the replies, shake hands, and say [`Session::on_tls`].
    StartTls,
    /// Check the password, and say [`Session::on_verified`].
    Verify(Login),
    /// Send the replies, ask the next hop, and say [`Session::on_asked`].
    Ask(Box<Question>),
    /// Make the message durable, and say [`Session::on_stored`].
    Commit(Box<ReceivedMessage>),
    /// Send the replies; the session is over, and nothing was wrong.
    Quit,
    /// Send the replies; the session is over.
    Close,
}

/// A recipient that the next hop is asked about.
#[derive(Debug, Clone)]
pub struct Question {
    /// The recipient.
    pub mailbox: Mailbox,
    /// The connector by which mail for it would leave.
    pub way: Arc<Outbound>,
    /// It must leave sealed.
    pub onward_sealed: bool,
}

/// Asks next hops for recipients (`verify_recipients`).
pub trait RecipientVerifier: Send + Sync {
    /// What the next hop says of a recipient; within a bounded time.
    fn verify(&self, question: Question) -> Pin<Box<dyn Future<Output = RecipientCheck> + Send>>;
}

/// What the next hop says of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipientCheck {
    /// It takes mail for it.
    Exists,
    /// It refuses it for good, with these words.
    Unknown(Reply),
    /// It could not be asked, or says to come later.
    Unsure,
}

/// A message that has come whole and is in order. It is not ours yet.
#[derive(Debug)]
pub struct ReceivedMessage {
    /// Its name.
    pub id: QueueId,
    /// Paths and options.
    pub envelope: Envelope,
    /// For each recipient, the connector it is expected to leave by.
    pub ways: Vec<Arc<Outbound>>,
    /// The connector it came by.
    pub connector: Arc<Inbound>,
    /// Why it was this one.
    pub decision: Arc<Decision>,
    /// Its Message-ID.
    pub message_id: Option<String>,
    /// When its content began.
    pub at: UnixMillis,
}

/// Why a message that arrived was not taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreRefusal {
    /// There is no room for it now.
    Full,
    /// Something else hindered it.
    Failed,
}

/// A reply that refused something, for the tracking log.
#[derive(Debug)]
pub struct Refusal {
    /// The verb or stage.
    pub stage: &'static str,
    /// The transaction's reverse-path.
    pub reverse_path: Option<ReversePath>,
    /// The recipient it was about.
    pub forward_path: Option<Mailbox>,
    /// What we said.
    pub reply: Reply,
    /// Why, where a connector decided.
    pub decision: Option<Arc<Decision>>,
}
