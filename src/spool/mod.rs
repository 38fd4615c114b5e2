//! Messages on disk: what was acknowledged, and what became of it so far. The spool neither
//! chooses a connector nor delivers; after the 250 only the scheduler changes a message's state.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use crate::connector::{NextHop, Outbound};
use crate::mail::{
    BodyType, Content, Envelope, Mailbox, MailboxDomain, MessageDsn, QueueId, RecipientDsn, ReversePath,
    UnixMillis,
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

pub use filter::{Filter, HoldResult, LaneCount, ListPage};
pub use lease::{Divisible, Lease, LeaseBook};
pub use settings::Settings;
pub use shown::{LastTrouble, QueuedMessage, QueuedRow};

/// An operation that is under way from the moment it was asked for; dropping it only means that
/// nobody waits for the answer.
pub type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Messages on disk. Every operation that changes something is durable when its answer comes.
pub trait Spool: Send + Sync {
    /// A name for a message about to come.
    fn new_id(&self, now: UnixMillis) -> QueueId;

    /// A file for content that is too large to be held.
    ///
    /// # Errors
    /// [`SpoolFault`], for instance when the disk is full.
    fn begin_body(&self, id: QueueId) -> Result<Box<dyn BodyWriter>, SpoolFault>;

    /// Takes a message over. When the answer is `Ok`, it is on stable storage, and its recipients
    /// are leased to the caller, one [`Leased`] for each lane.
    fn put(&self, message: NewMessage) -> Pending<Result<Vec<Leased>, SpoolFault>>;

    /// Writes what an attempt came to, and the messages it caused, in one commit. A message whose
    /// last recipient is done goes, content included. The new messages are leased to the caller.
    fn settle(&self, settlement: Settlement) -> Pending<Result<Vec<Leased>, SpoolFault>>;

    /// Leases what is due in a lane, the longest due first.
    fn due(&self, window: DueWindow) -> Pending<Result<Due, SpoolFault>>;

    /// Leases recipients of a lane that are past one of these dates, from the one behind `after` on. Looks at a
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

    /// Lanes that have a recipient which is not held, in the order of their names from the one
    /// behind `after` on, each with the time at which its first recipient is due. Fewer than `limit`
    /// are the last ones. A page is one question, so that others are answered in between.
    fn lanes(
        &self,
        after: Option<LaneKey>,
        limit: usize,
    ) -> Pending<Result<Vec<(LaneKey, UnixMillis)>, SpoolFault>>;

    /// Queued messages in the order of their age, from the one after `after` on. Looks at a bounded
    /// number of them, so that deliveries need not wait for an answer about a long queue.
    fn list(
        &self,
        filter: Filter,
        after: Option<QueueId>,
        limit: usize,
    ) -> Pending<Result<ListPage, SpoolFault>>;

    /// The lanes with the most recipients.
    fn top(&self, limit: usize) -> Pending<Result<Vec<LaneCount>, SpoolFault>>;

    /// One queued message.
    fn show(&self, id: QueueId) -> Pending<Result<Option<QueuedMessage>, SpoolFault>>;

    /// Makes a queued message due at once. Answers with the lanes concerned and the number of recipients.
    fn hasten(&self, id: QueueId, now: UnixMillis) -> Pending<Result<HastenedLanes, SpoolFault>>;

    /// The same for all that is queued, a part at a time, lane after lane, from the recipient behind `after` on.
    /// A part is so small that who hands in a message hardly waits for it.
    fn hasten_all(
        &self,
        after: Option<Place>,
        now: UnixMillis,
    ) -> Pending<Result<Part<HastenedLanes>, SpoolFault>>;

    /// Takes a message out of the queue without a report.
    fn remove(&self, id: QueueId) -> Pending<Result<Removal, SpoolFault>>;

    /// Keeps a message back, for this reason, until it is released.
    fn hold(&self, id: QueueId, reason: String) -> Pending<Result<HoldResult, SpoolFault>>;

    /// Makes a held message due at once. `false`: no held message has this name.
    fn release(&self, id: QueueId, now: UnixMillis) -> Pending<Result<bool, SpoolFault>>;

    /// How much is queued.
    fn stats(&self) -> Pending<Result<Stats, SpoolFault>>;

    /// How large the database is, and how much of it is free. An engine without a file has none.
    fn extent(&self) -> Pending<Result<Extent, SpoolFault>> {
        Box::pin(std::future::ready(Ok(Extent::default())))
    }

    /// Answers once the engine can't go on: the process must end and start over.
    fn broken(&self) -> Pending<SpoolFault>;

    /// What the mark that a broken engine left should say and could not be written: for the next process. It is
    /// complete once this is dropped, since until then more may be noted.
    fn unwritten(&self) -> UnwrittenMarks {
        Box::new(String::new)
    }
}

/// Answers with what a mark should say and could not be written.
pub type UnwrittenMarks = Box<dyn FnOnce() -> String + Send>;

/// Content on its way to a file. Writes go to the page cache.
pub trait BodyWriter: io::Write + Send {
    /// Makes what was written durable under its final name.
    fn finish(self: Box<Self>) -> Pending<Result<StoredBody, SpoolFault>>;
}

/// Content that lies durable in a file of the spool; removed again on drop unless a message took
/// it over.
pub struct StoredBody {
    /// The message it is for.
    pub id: QueueId,
    /// The content, to be read at offsets.
    pub content: Content,
    /// Undoes the file while no message has taken it over.
    pub undo: undo::Undo,
}

/// A message to be taken over.
pub struct NewMessage {
    /// Its name, from [`Spool::new_id`].
    pub id: QueueId,
    /// Paths and options.
    pub envelope: Envelope,
    /// For each recipient, in the envelope's order, the lane it is expected to leave by.
    pub lanes: Vec<LaneKey>,
    /// The content, Received line included.
    pub content: NewContent,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
    /// What else is known of it.
    pub origin: Origin,
}

/// Where the content of a new message is.
pub enum NewContent {
    /// In memory, in wire form.
    Held(Arc<[u8]>),
    /// In a file already.
    Stored(StoredBody),
}

/// How a message came to be here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The inbound connector; `None` for our own reports.
    pub connector: Option<Arc<str>>,
    /// It came sealed by a forced connector: a report about it returns headers only.
    pub sealed: bool,
    /// It must leave sealed too, and so must the reports about it.
    pub onward_sealed: bool,
    /// Its Message-ID.
    pub message_id: Option<String>,
}

/// A partition of the queue: connector and recipient domain, or connector and smart-host group.
/// It says where a message is looked for; which connector serves it is chosen at every attempt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneKey(pub Arc<str>);

impl std::borrow::Borrow<str> for LaneKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A message's recipients of one lane, leased until settled. Dropping it ends the lease, and the
/// recipients can be leased again. `L` is the lease: whoever only moves it need not know what it is.
pub struct Leased<L = Lease> {
    /// The message.
    pub message: Arc<StoredMessage>,
    /// Its recipients in this lane.
    pub recipients: Vec<QueuedRecipient>,
    /// The lane.
    pub lane: LaneKey,
    /// The content, where it was handed over in memory or lies in a file; otherwise
    /// [`Spool::read`] gives it.
    pub content: Option<Content>,
    /// The lease itself.
    pub lease: L,
}

/// What the spool knows of a message but for content and recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its name.
    pub id: QueueId,
    /// Who is told.
    pub reverse_path: ReversePath,
    /// What the client declared of the content.
    pub body: BodyType,
    /// Declared as SMTPUTF8.
    pub utf8: bool,
    /// What is asked of reports.
    pub dsn: MessageDsn,
    /// Octets in wire form.
    pub size: u64,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
    /// How it came.
    pub origin: Origin,
}

/// A recipient that is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedRecipient {
    /// Its place in the envelope.
    pub number: u32,
    /// The forward-path.
    pub forward_path: Mailbox,
    /// What is asked of reports about it.
    pub dsn: RecipientDsn,
    /// Attempts so far.
    pub attempts: u32,
    /// Whether the sender was told of the delay.
    pub delay_told: bool,
}

/// Which part of a lane to lease.
#[derive(Debug, Clone)]
pub struct DueWindow {
    /// The lane.
    pub lane: LaneKey,
    /// Due until now.
    pub now: UnixMillis,
    /// What would be due later than this is due now: no wait is that long, so a clock was wrong when
    /// the time was written.
    pub latest: UnixMillis,
    /// At most so many messages.
    pub limit: usize,
}

/// Where a recipient stands in its lane: lanes by name, their recipients by when they are due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The lane.
    pub lane: LaneKey,
    /// When it is due.
    pub next_at: UnixMillis,
    /// Its message.
    pub message: QueueId,
    /// Its number in it.
    pub number: u32,
}

impl Place {
    /// What to look behind in a lane, as the database orders it; at the start, what comes before everything.
    fn key(after: Option<&Self>) -> (i64, i64, u32) {
        after.map_or((i64::MIN, i64::MIN, 0), |place| {
            (place.next_at.0, place.message.to_number(), place.number)
        })
    }
}

/// A part of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Part<T> {
    /// What was found.
    pub found: T,
    /// Where to go on; `None` after the last part.
    pub next: Option<Place>,
}

/// Lanes with recipients that are due now, in the order of their names, and how many recipients that are.
pub type HastenedLanes = (Vec<LaneKey>, usize);

/// The dates before which a message was accepted that is past its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// Its sender is to be told of the delay, and was not yet.
    pub delay: Option<UnixMillis>,
    /// It is to be given up.
    pub expire: UnixMillis,
    /// It is to be given up if its reverse-path is null.
    pub null_expire: Option<UnixMillis>,
}

/// What asking for a whole message came to.
#[derive(Debug)]
pub enum Claim {
    /// All its recipients, whatever their lanes are; the lane is that of the first.
    Whole(Leased),
    /// An attempt is under way; ask again after it.
    Busy,
    /// No such message.
    Unknown,
}

/// What a lane has due.
pub struct Due {
    /// Leased to the caller.
    pub leased: Vec<Leased>,
    /// When the next one that is not leased is due; `None` if there is none. Not later than now
    /// where `limit` cut the answer.
    pub next_at: Option<UnixMillis>,
}

/// What an attempt came to.
pub struct Settlement {
    /// The message.
    pub message: QueueId,
    /// Ended by the commit.
    pub lease: Lease,
    /// For each recipient: done, or when to go on.
    pub recipients: Vec<(u32, RecipientResult)>,
    /// The reports it caused.
    pub reports: Vec<NewMessage>,
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipientResult {
    /// Delivered, or failed and reported: nothing is left to do.
    Done,
    /// It waits.
    Deferred {
        /// Attempts so far.
        attempts: u32,
        /// When to try again.
        next_at: UnixMillis,
        /// Whether the sender was told of the delay.
        delay_told: bool,
        /// The lane it is expected to leave by.
        lane: LaneKey,
        /// What hindered it, for `queue show`.
        last: LastTrouble,
    },
}

/// What `remove` came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// An attempt is under way; ask again after it.
    Leased,
    /// No such message.
    Unknown,
}

/// How much is queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Messages.
    pub messages: u64,
    /// Recipients that are not done.
    pub recipients: u64,
    /// Messages kept back since they can't be read whole.
    pub held: u64,
}

/// How large the database is. Content in files is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// Octets of the file.
    pub file: u64,
    /// Octets of it that hold nothing: new messages go there first.
    pub free: u64,
}

/// Why the spool did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpoolFault {
    /// No room, no inodes, or a quota; service goes on when there is room again.
    #[error("no room in the spool: {0}")]
    Full(String),
    /// Not this message, but the next may fare better: too many open files, a body that can't be
    /// read.
    #[error("the spool could not do it: {0}")]
    Failed(String),
    /// A flush or a commit failed, or the engine is gone: the process must start over.
    #[error("the spool has stopped: {0}")]
    Broken(String),
    /// A thread of the engine, of this name, has ended by a fault of ours: reading the disk again would not help.
    #[error("the spool has stopped: its thread {0} has ended")]
    Lost(&'static str),
}

impl fmt::Display for LaneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl LaneKey {
    /// The lane of a recipient domain under the connector that serves it: one for each domain
    /// where its mail exchangers are asked, one for all where smart hosts take everything.
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
