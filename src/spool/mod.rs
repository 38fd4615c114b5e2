//! Messages on disk: what was acknowledged, and what has happened to it so far. The spool neither chooses a
//! connector nor delivers; after the 250 only the scheduler changes a message's state.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use crate::connector::{Arrival, Choice, NextHop, OnwardDemand, Outbound, Rerouting, Table, choose_again};
use crate::mail::{
    BodyType, Content, Domain, Envelope, Mailbox, MailboxDomain, MessageDsn, QueueId, RecipientDsn,
    ReversePath, UnixMillis,
};

pub mod body;
mod filter;
mod lease;
pub mod mark;
pub mod recover;
mod reserve;
pub mod settings;
mod shown;
pub mod sqlite;
mod undo;

pub use filter::{CountPart, Filter, HoldResult, LaneCount, ListPage};
pub use lease::{Divisible, Lease, LeaseBook};
pub use settings::Settings;
pub use shown::{LastTrouble, QueuedMessage, QueuedRow};

/// An operation that runs from the moment it is requested; dropping it only means that nobody waits for the
/// answer.
pub type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Messages on disk. Every change is durable by the time it is answered.
pub trait Spool: Send + Sync {
    /// A queue ID for a message about to be received.
    fn new_id(&self, now: UnixMillis) -> QueueId;

    /// A file for content too large to be held in memory.
    ///
    /// # Errors
    /// [`SpoolFault`], for instance if the disk is full.
    fn begin_body(&self, id: QueueId) -> Result<Box<dyn BodyWriter>, SpoolFault>;

    /// Stores a message. Once the answer is `Ok`, it is on stable storage, and its recipients are leased to
    /// the caller, one [`Leased`] for each lane.
    fn put(&self, message: NewMessage) -> Pending<Result<Vec<Leased>, SpoolFault>> {
        self.put_with(message, None)
    }

    /// The same, with an answer to it in one commit.
    fn put_with(
        &self,
        message: NewMessage,
        answer: Option<NewMessage>,
    ) -> Pending<Result<Vec<Leased>, SpoolFault>>;

    /// Records the result of an attempt, and the messages it caused, in one commit. A message whose last
    /// recipient is done is deleted with its content. The new messages are leased to the caller.
    fn settle(&self, settlement: Settlement) -> Pending<Result<Vec<Leased>, SpoolFault>>;

    /// Leases what is due in a lane, the longest overdue first.
    fn due(&self, window: DueWindow) -> Pending<Result<Due, SpoolFault>>;

    /// Leases recipients of a lane that are past one of these dates, starting after `after`. Examines a
    /// bounded number of them.
    fn overdue(
        &self,
        lane: LaneKey,
        dates: Overdue,
        after: Option<Place>,
        limit: usize,
    ) -> Pending<Result<Part<Vec<Leased>>, SpoolFault>>;

    /// Leases every recipient of a message, held or not; all or none.
    fn claim(&self, id: QueueId) -> Pending<Result<Claim, SpoolFault>>;

    /// The content of a message.
    fn read(&self, id: QueueId) -> Pending<Result<Content, SpoolFault>>;

    /// Lanes with a recipient that is not held, by name, starting after `after`, each with the time its first
    /// recipient is due. Fewer than `limit` means the last page. Each page is a separate query, so that
    /// others are answered in between.
    fn lanes(
        &self,
        after: Option<LaneKey>,
        limit: usize,
    ) -> Pending<Result<Vec<(LaneKey, UnixMillis)>, SpoolFault>>;

    /// Queued messages by age, starting after `after`. Examines a bounded number of them, so that deliveries
    /// do not wait behind a long listing.
    fn list(
        &self,
        filter: Filter,
        after: Option<QueueId>,
        limit: usize,
    ) -> Pending<Result<ListPage, SpoolFault>>;

    /// How many of them there are, starting after `after`. Examines a bounded number, and says after which one to go on.
    fn count(&self, filter: Filter, after: Option<QueueId>) -> Pending<Result<CountPart, SpoolFault>>;

    /// The lanes with the most recipients.
    fn top(&self, limit: usize) -> Pending<Result<Vec<LaneCount>, SpoolFault>>;

    /// One queued message; `None` if there is none with this queue ID.
    fn show(&self, id: QueueId) -> Pending<Result<Option<QueuedMessage>, SpoolFault>>;

    /// Makes a queued message due now. Returns the lanes concerned and the number of recipients.
    fn hasten(&self, id: QueueId, now: UnixMillis) -> Pending<Result<HastenedLanes, SpoolFault>>;

    /// The same for the whole queue, one part at a time, lane by lane, starting after the recipient `after`.
    /// Parts are small, so that a client submitting a message hardly waits.
    fn hasten_all(
        &self,
        after: Option<Place>,
        now: UnixMillis,
    ) -> Pending<Result<Part<HastenedLanes>, SpoolFault>>;

    /// Deletes a message from the queue without a report.
    fn remove(&self, id: QueueId) -> Pending<Result<Removal, SpoolFault>>;

    /// Holds a message, for this reason, until it is released.
    fn hold(&self, id: QueueId, reason: String) -> Pending<Result<HoldResult, SpoolFault>>;

    /// Releases a held message and makes it due now. `false`: there is no held message with this queue ID.
    fn release(&self, id: QueueId, now: UnixMillis) -> Pending<Result<bool, SpoolFault>>;

    /// The number of messages and recipients queued.
    fn stats(&self) -> Pending<Result<Stats, SpoolFault>>;

    /// When the message that is queued longest was accepted, held ones included; `None` if none is queued. It reads one
    /// row. An engine may not know.
    fn oldest(&self) -> Pending<Result<Option<UnixMillis>, SpoolFault>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// The same without those that are held; it reads past them.
    fn oldest_waiting(&self) -> Pending<Result<Option<UnixMillis>, SpoolFault>> {
        self.oldest()
    }

    /// What waits in the lanes of an outbound connector, held mail included. Examines at most `limit` recipients, so it takes
    /// no longer the more there are. An engine may not know.
    fn waiting(&self, connector: Arc<str>, limit: usize) -> Pending<Result<WaitingMail, SpoolFault>> {
        let _unknown = (connector, limit);
        Box::pin(std::future::ready(Ok(WaitingMail::default())))
    }

    /// The size of the database and how much of it is free. An engine without a file has none.
    fn extent(&self) -> Pending<Result<Extent, SpoolFault>> {
        Box::pin(std::future::ready(Ok(Extent::default())))
    }

    /// Completes once the engine can't continue: the process must end and start over.
    fn broken(&self) -> Pending<SpoolFault>;

    /// What the mark of a failed engine should say but could not be written, for the next process. It is
    /// complete only once the spool is dropped; until then more may be noted.
    fn unwritten(&self) -> UnwrittenMarks {
        Box::new(String::new)
    }
}

/// Returns what a mark should say but could not be written.
pub type UnwrittenMarks = Box<dyn FnOnce() -> String + Send>;

/// Content being written to a file. Writes go to the page cache.
pub trait BodyWriter: io::Write + Send {
    /// Makes the content durable under its final name.
    fn finish(self: Box<Self>) -> Pending<Result<StoredBody, SpoolFault>>;
}

/// Durable content in a file of the spool; the file is removed on drop unless a message took it over.
pub struct StoredBody {
    /// The message it belongs to.
    pub id: QueueId,
    /// The content, to be read at offsets.
    pub content: Content,
    /// Removes the file while no message has taken it over.
    pub undo: undo::Undo,
}

/// A message to be stored.
pub struct NewMessage {
    /// The queue ID, from [`Spool::new_id`].
    pub id: QueueId,
    /// Reverse-path, recipients and options.
    pub envelope: Envelope,
    /// The expected lane of each recipient, in the order of the envelope.
    pub lanes: Vec<LaneKey>,
    /// The content, including our Received field.
    pub content: NewContent,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
    /// How it was received, and more.
    pub origin: Origin,
    /// How its recipients are handed to another connector from the start; `None`: they are not.
    pub rerouted: Option<Rerouting>,
}

/// Where the content of a new message is.
pub enum NewContent {
    /// In memory, in wire form.
    Held(Arc<[u8]>),
    /// In a file, durable.
    Stored(StoredBody),
}

/// How a message was received.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The inbound connector; `None` for our own reports.
    pub connector: Option<Arc<str>>,
    /// Received over TLS under a forced connector: a report about it returns headers only.
    pub sealed: bool,
    /// How it must leave, and how reports about it must.
    pub onward: OnwardDemand,
    /// The organisation it comes from, by the word of one of our own systems, for next hops that are told (`XOORG`).
    pub originator: Option<Domain>,
    /// The Message-ID header, if present.
    pub message_id: Option<String>,
    /// The Subject header, decoded and shortened, if it is kept.
    pub subject: Option<String>,
}

impl Origin {
    /// How the message came, as far as the choice of its outbound connector depends on it.
    #[must_use]
    pub fn arrival(&self) -> Arrival<'_> {
        Arrival::of(self.connector.as_ref())
    }
}

/// A partition of the queue: connector and recipient domain, or connector and smart-host group. It only
/// locates a message; the connector is chosen again at every attempt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneKey(pub Arc<str>);

impl std::borrow::Borrow<str> for LaneKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A message's recipients in one lane, leased until settled. Dropping it ends the lease, and the recipients
/// can be leased again. `L` is the lease, for code that only passes it on.
pub struct Leased<L = Lease> {
    /// The message of these recipients.
    pub message: Arc<StoredMessage>,
    /// Its recipients in this lane.
    pub recipients: Vec<QueuedRecipient>,
    /// The lane they were leased from.
    pub lane: LaneKey,
    /// The content, if it was handed over in memory or is in a file; otherwise use [`Spool::read`].
    pub content: Option<Content>,
    /// Keeps others from attempting these recipients.
    pub lease: L,
}

/// What the spool knows about a message, except content and recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// The queue ID.
    pub id: QueueId,
    /// The address failure reports go to.
    pub reverse_path: ReversePath,
    /// The BODY parameter of MAIL FROM.
    pub body: BodyType,
    /// Whether it was declared SMTPUTF8.
    pub utf8: bool,
    /// The DSN parameters of MAIL FROM.
    pub dsn: MessageDsn,
    /// Size in octets, in wire form.
    pub size: u64,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
    /// How it was received.
    pub origin: Origin,
}

/// A recipient that is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedRecipient {
    /// Its index in the envelope.
    pub number: u32,
    /// The address of RCPT TO.
    pub forward_path: Mailbox,
    /// The DSN parameters of RCPT TO.
    pub dsn: RecipientDsn,
    /// Number of attempts so far.
    pub attempts: u32,
    /// Whether the delay was reported to the sender.
    pub delay_told: bool,
    /// How it was handed to another connector; `None` if it was not.
    pub rerouted: Option<Rerouting>,
}

impl QueuedRecipient {
    /// The connector that serves it under this table.
    #[must_use]
    pub fn way(&self, table: &Table, arrival: Arrival<'_>) -> Option<Choice> {
        choose_again(table, (self.forward_path.domain_name(), arrival), self.rerouted.as_ref())
    }
}

/// Which part of a lane to lease.
#[derive(Debug, Clone)]
pub struct DueWindow {
    /// The lane to lease from.
    pub lane: LaneKey,
    /// The current time: leases what is due by now.
    pub now: UnixMillis,
    /// A recipient due later than this is due now: no wait is that long, so the clock was wrong when the time
    /// was written.
    pub latest: UnixMillis,
    /// Maximum number of messages.
    pub limit: usize,
}

/// A recipient's position in the queue: lanes by name, their recipients by due time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The lane it is in.
    pub lane: LaneKey,
    /// When the recipient is due.
    pub next_at: UnixMillis,
    /// The queue ID of its message.
    pub message: QueueId,
    /// The recipient's index in the message.
    pub number: u32,
}

impl Place {
    /// The key to search after in a lane, in database order; with `None`, one before everything.
    fn key(after: Option<&Self>) -> (i64, i64, u32) {
        after.map_or((i64::MIN, i64::MIN, 0), |place| {
            (place.next_at.0, place.message.to_number(), place.number)
        })
    }
}

/// One part of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Part<T> {
    /// The results of this part.
    pub found: T,
    /// Where the next part starts; `None` after the last part.
    pub next: Option<Place>,
}

/// Lanes with recipients that are due now, by name, and the number of those recipients.
pub type HastenedLanes = (Vec<LaneKey>, usize);

/// Dates for overdue mail: a message accepted before one of them is overdue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// The delay is to be reported to the sender, and was not yet.
    pub delay: Option<UnixMillis>,
    /// The message is to be given up.
    pub expire: UnixMillis,
    /// The message is to be given up if its reverse-path is null.
    pub null_expire: Option<UnixMillis>,
}

/// The result of claiming a whole message.
#[derive(Debug)]
pub enum Claim {
    /// All its recipients, in any lane; the lane given is that of the first.
    Whole(Leased),
    /// An attempt is under way; retry after it.
    Busy,
    /// There is no message with this queue ID.
    Unknown,
}

/// What is due in a lane.
pub struct Due {
    /// What is due, leased to the caller.
    pub leased: Vec<Leased>,
    /// When the next recipient that is not leased is due; `None` if there is none. Not later than now if
    /// `limit` cut the answer short.
    pub next_at: Option<UnixMillis>,
}

/// The result of an attempt.
pub struct Settlement {
    /// The queue ID.
    pub message: QueueId,
    /// The lease; the commit ends it.
    pub lease: Lease,
    /// For each recipient: done, or deferred until when.
    pub recipients: Vec<(u32, RecipientResult)>,
    /// The reports to send because of it.
    pub reports: Vec<NewMessage>,
    /// A recipient got the message under forced TLS: from now on no report returns its content.
    pub left_sealed: bool,
}

/// The result of an attempt for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipientResult {
    /// Delivered, or failed and reported: nothing is left to do.
    Done,
    /// It stays in the queue.
    Deferred {
        /// Number of attempts so far.
        attempts: u32,
        /// When the next attempt is due.
        next_at: UnixMillis,
        /// Whether the delay was reported to the sender.
        delay_told: bool,
        /// The lane it is expected to leave by.
        lane: LaneKey,
        /// The trouble of the last attempt, for `queue show`.
        last: LastTrouble,
        /// How it was handed to another connector, now or before.
        rerouted: Option<Rerouting>,
    },
}

/// The result of removing a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// The message was deleted.
    Removed,
    /// An attempt is under way; retry after it.
    Leased,
    /// There is no message with this queue ID.
    Unknown,
}

/// The size of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Messages with at least one recipient that is not done.
    pub messages: u64,
    /// Recipients that are not done.
    pub recipients: u64,
    /// Messages that are held.
    pub held: u64,
}

/// What waits in the lanes of an outbound connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WaitingMail {
    /// Recipients that are not done.
    pub recipients: u64,
    /// When the message of the oldest of them was accepted.
    pub oldest: Option<UnixMillis>,
}

/// The size of the database. Content in files is not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// Octets of the file.
    pub file: u64,
    /// Octets of it that are free; new messages use them first.
    pub free: u64,
}

/// Why a spool operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpoolFault {
    /// Out of space, inodes or quota; service resumes when there is room again.
    #[error("no room in the spool: {0}")]
    Full(String),
    /// This operation failed, but the next may succeed: too many open files, a body that can't be read.
    #[error("the spool could not do it: {0}")]
    Failed(String),
    /// A flush or a commit failed, or the engine is gone: the process must start over.
    #[error("the spool has stopped: {0}")]
    Broken(String),
    /// This thread of the engine has ended because of a bug: reading the disk again would not help.
    #[error("the spool has stopped: its thread {0} has ended")]
    Lost(&'static str),
}

impl fmt::Display for LaneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl LaneKey {
    /// The outbound connector that it was made for.
    #[must_use]
    pub fn connector(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(connector, _)| connector)
    }

    /// The lane of a recipient domain under its connector: one for each domain if MX hosts are used, one for
    /// all if smart hosts take everything.
    #[must_use]
    pub fn of(connector: &Outbound, domain: &MailboxDomain) -> Self {
        match &connector.next_hop {
            NextHop::Mx { .. } => Self(format!("{}/{domain}", connector.name).into()),
            NextHop::SmartHosts(_) => Self(format!("{}/", connector.name).into()),
        }
    }
}

impl<L> fmt::Debug for Leased<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<u32> = self.recipients.iter().map(|recipient| recipient.number).collect();
        write!(f, "Leased({} {numbers:?} in {})", self.message.id, self.lane)
    }
}
