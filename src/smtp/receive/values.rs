//! The values that go into an inbound session and come out of it. It holds no session state.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;

use super::brakes::Brakes;
use super::quota::Quotas;
use super::room::Room;
use super::tally::Patience;
use crate::connector::{Decision, HeaderFindings, Inbound, Login, Onward, Outbound, RecipientCheck, TrustId};
use crate::echo::EchoCall;
use crate::mail::{Domain, Envelope, Extension, Mailbox, QueueId, Reply, ReversePath, UnixMillis};
use crate::smtp::data::ContentLimits;

/// Settings that apply to all sessions.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The listener's name.
    pub listener: Arc<str>,
    /// Our host name in the greeting, EHLO reply and Received lines.
    pub name: Domain,
    /// The mailbox that `<postmaster>` without a domain stands for.
    pub postmaster: Mailbox,
    /// The limits of content.
    pub content: ContentLimits,
    /// Recipients of one message.
    pub recipients_max: usize,
    /// Received lines of one message, above which it is refused as a loop.
    pub hops_max: usize,
    /// The same for Received lines of our own.
    pub own_hops_max: usize,
    /// How many errors a session may make.
    pub patience: Patience,
    /// Extensions the listener does not offer.
    pub withheld: Vec<Extension>,
    /// Whether there is room for more mail; shared by all listeners.
    pub room: Arc<Room>,
    /// Counts for connectors with limits of their own; shared by all listeners.
    pub quotas: Arc<Quotas>,
    /// Which connectors take no new mail because of a flood; shared by all listeners.
    pub brakes: Arc<Brakes>,
}

/// How a session treats STARTTLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    /// STARTTLS is not offered.
    Never,
    /// STARTTLS is offered, and mail is accepted without it.
    Offered,
    /// No mail is accepted before STARTTLS (RFC 3207 §4).
    Required,
    /// STARTTLS is offered but refused with 454: our certificate is missing. The offer never disappears
    /// silently, or a peer would continue in plaintext because of a fault of ours.
    Broken {
        /// Whether no mail is accepted before STARTTLS.
        required: bool,
    },
}

/// What the shell does next. Replies wait in [`Session::take_output`].
#[derive(Debug)]
pub enum Action {
    /// Send the replies, and feed what arrives.
    NeedInput,
    /// Send the replies, give other sessions a turn, and feed what is left.
    Flush,
    /// Find a slot for a handshake, and call [`Session::on_place`] or [`Session::on_no_place`]. With a
    /// slot: send the replies, make the handshake, and call [`Session::on_tls`].
    StartTls,
    /// Check the password, and call [`Session::on_verified`].
    Verify(Login),
    /// Assess the client's chain by these trust anchor sets, then call [`Session::on_assessed`].
    Assess(Vec<TrustId>),
    /// Send the replies, ask the next hop, and call [`Session::on_asked`].
    Ask(Box<Question>),
    /// Commit the message, and call [`Session::on_stored`].
    Commit(Box<ReceivedMessage>),
    /// Send the replies; the session is over, without an error.
    Quit,
    /// Send the replies; the session is over.
    Close,
}

/// A recipient that the next hop is asked about.
#[derive(Debug, Clone)]
pub struct Question {
    /// The recipient in question.
    pub mailbox: Mailbox,
    /// The connector by which mail for it would leave.
    pub way: Arc<Outbound>,
    /// The inbound connector by which it comes.
    pub arrives_by: Arc<str>,
    /// How the message must leave, as far as the inbound connector says.
    pub onward: Onward,
}

/// Asks next hops about recipients (`verify_recipients`).
pub trait RecipientVerifier: Send + Sync {
    /// The answer, if it is remembered.
    fn recall(&self, question: &Question) -> Option<RecipientCheck>;

    /// Asks the next hop about a recipient; must answer within a bounded time.
    fn verify(&self, question: Question) -> Pin<Box<dyn Future<Output = RecipientCheck> + Send>>;
}

/// A message that has arrived completely and is valid. We do not own it yet.
#[derive(Debug)]
pub struct ReceivedMessage {
    /// The queue ID.
    pub id: QueueId,
    /// Reverse-path, recipients and options.
    pub envelope: Envelope,
    /// For each recipient, the connector it is expected to leave by.
    pub ways: Vec<Arc<Outbound>>,
    /// Set if the echo mailbox is a recipient, which is not among those of the envelope.
    pub echo: Option<Box<EchoCall>>,
    /// The connector it came by.
    pub connector: Arc<Inbound>,
    /// Why this connector was chosen.
    pub decision: Arc<Decision>,
    /// What follows from its header section.
    pub findings: HeaderFindings,
    /// The organisation it comes from, if one of our own systems says so.
    pub originator: Option<Domain>,
    /// The Message-ID field, if there is one.
    pub message_id: Option<String>,
    /// The Subject field, decoded and shortened, if there is one.
    pub subject: Option<String>,
    /// When its content began.
    pub at: UnixMillis,
}

/// Why a message that arrived was not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreRefusal {
    /// There is no room for it now.
    Full,
    /// It could not be stored for another reason.
    Failed,
}

/// A refusal as it is counted: by inbound connector and reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedRefusal {
    /// The connector that refused, or to which the transaction is attributed.
    pub connector: Option<Arc<str>>,
    /// The token of the decision, or else the stage and the reply code: `rcpt-550`. There are few of them.
    pub reason: Cow<'static, str>,
    /// The reply code.
    pub code: u16,
    /// The decision, if a connector made one.
    pub decision: Option<Arc<Decision>>,
}

impl CountedRefusal {
    /// How a refusal is counted.
    #[must_use]
    pub fn of(refusal: &Refusal) -> Self {
        let decision = refusal.decision.as_ref();
        let reason = match decision.filter(|decision| decision.status().is_some()) {
            Some(decision) => decision.token(),
            None => Cow::Owned(format!("{}-{}", refusal.stage.to_lowercase(), refusal.reply.code)),
        };
        let connector = decision.and_then(|decision| decision.connector.clone());
        Self { connector, reason, code: refusal.reply.code, decision: decision.cloned() }
    }
}

/// A refusal, for the tracking log.
#[derive(Debug)]
pub struct Refusal {
    /// The SMTP verb, or the stage of the session.
    pub stage: &'static str,
    /// The transaction's reverse-path, if any.
    pub reverse_path: Option<ReversePath>,
    /// The refused recipient, if there is one.
    pub forward_path: Option<Mailbox>,
    /// The reply sent to the client.
    pub reply: Reply,
    /// The connector's decision, if it caused the refusal.
    pub decision: Option<Arc<Decision>>,
}
