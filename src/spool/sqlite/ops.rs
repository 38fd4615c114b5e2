//! The operations that callers send to the writer thread. It executes none of them.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::mail::{Content, QueueId, Recipient, UnixMillis};
use crate::spool::body::Bodies;
use crate::spool::undo::Undo;
use crate::spool::{
    HastenedLanes, HoldResult, LaneKey, Lease, LeaseBook, Leased, NewContent, NewMessage, Part, Place,
    QueuedRecipient, RecipientResult, Removal, SpoolFault, StoredMessage,
};

/// Where an answer goes; the receiver may have gone.
pub(super) type Answer<T> = oneshot::Sender<Result<T, SpoolFault>>;

/// An operation for the writer.
pub(super) enum Op {
    /// Stores a message, and perhaps another one that answers it.
    Put { fresh: Fresh, beside: Option<Box<Fresh>>, answer: Answer<Vec<Leased>> },
    /// Records the result of an attempt.
    Settle(Settle),
    /// Makes a message's recipients due.
    Hasten { id: QueueId, now: UnixMillis, answer: Answer<HastenedLanes> },
    /// Makes a part of all recipients due; never in a group.
    HastenPart(HastenPart),
    /// Deletes a message.
    Remove { id: QueueId, answer: Answer<Removal> },
    /// Holds a message on an operator's request.
    HoldBack { id: QueueId, reason: String, answer: Answer<HoldResult> },
    /// Releases a held message.
    Release { id: QueueId, now: UnixMillis, answer: Answer<bool> },
    /// Holds a message until its file is whole, or until it is released. The lease, if there is one, ends
    /// with the commit.
    Hold { id: QueueId, reason: String, until_whole: bool, lease: Option<Lease> },
}

/// A settlement waiting to be written.
pub(super) struct Settle {
    pub(super) message: QueueId,
    pub(super) lease: Lease,
    pub(super) recipients: Vec<(u32, RecipientResult)>,
    pub(super) reports: Vec<Fresh>,
    pub(super) left_sealed: bool,
    pub(super) answer: Answer<Vec<Leased>>,
}

/// A new message, already leased: its rows are visible once committed, and nobody else may lease them in
/// between.
pub(super) struct Fresh {
    pub(super) message: Arc<StoredMessage>,
    pub(super) leased: Vec<Leased>,
    pub(super) content: FreshContent,
}

/// Where the content of a new message is.
pub(super) enum FreshContent {
    /// To be stored in a row.
    Row(Arc<[u8]>),
    /// Already in a file.
    File(Undo),
}

impl Op {
    /// Octets of content this adds to a group.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Put { fresh, beside, .. } => {
                fresh.bytes().saturating_add(beside.as_ref().map_or(0, |beside| beside.bytes()))
            }
            Self::Settle(settle) => settle.reports.iter().map(Fresh::bytes).fold(0, usize::saturating_add),
            Self::Hasten { .. }
            | Self::HastenPart(_)
            | Self::Remove { .. }
            | Self::HoldBack { .. }
            | Self::Release { .. }
            | Self::Hold { .. } => 0,
        }
    }

    /// Whether it may delete a message with its content.
    pub(super) fn ends_messages(&self) -> bool {
        match self {
            Self::Settle(_) | Self::Remove { .. } => true,
            Self::Put { .. }
            | Self::Hasten { .. }
            | Self::HastenPart(_)
            | Self::HoldBack { .. }
            | Self::Release { .. }
            | Self::Hold { .. } => false,
        }
    }

    /// Whether it may wait for others, keeping nobody waiting: a settlement without reports.
    pub(super) fn can_wait(&self) -> bool {
        match self {
            Self::Settle(settle) => settle.reports.is_empty(),
            Self::Put { .. }
            | Self::Hasten { .. }
            | Self::HastenPart(_)
            | Self::Remove { .. }
            | Self::HoldBack { .. }
            | Self::Release { .. }
            | Self::Hold { .. } => false,
        }
    }
}

impl Settle {
    /// The recipients that are done for good, even if the reports are lost: none if a report is due, since it
    /// is not known which of them it covers.
    pub(super) fn done(&self) -> Vec<u32> {
        if !self.reports.is_empty() {
            return Vec::new();
        }
        let done = |(number, settled): &(u32, RecipientResult)| {
            (*settled == RecipientResult::Done).then_some(*number)
        };
        self.recipients.iter().filter_map(done).collect()
    }
}

impl Fresh {
    /// Leases a message's recipients, lane by lane.
    ///
    /// # Errors
    /// [`SpoolFault::Failed`] if it has no recipients, not exactly one lane for each, another message's
    /// content, or a queue ID that is in use.
    pub(super) fn prepare(
        new: NewMessage,
        book: &Arc<LeaseBook>,
        bodies: &Bodies,
    ) -> Result<Self, SpoolFault> {
        let refuse = |what: &str| Err(SpoolFault::Failed(format!("message {}: {what}", new.id)));
        let recipients = new.envelope.recipients;
        if recipients.is_empty() || recipients.len() != new.lanes.len() {
            return refuse("it needs recipients, and one lane for each");
        }
        let (content, kept) = match new.content {
            NewContent::Held(bytes) => (Content::Held(Arc::clone(&bytes)), FreshContent::Row(bytes)),
            NewContent::Stored(stored) if stored.id == new.id => {
                (bodies.content(new.id, stored.content.len()), FreshContent::File(stored.undo))
            }
            NewContent::Stored(_) => return refuse("the file belongs to another message"),
        };
        let message = Arc::new(StoredMessage {
            id: new.id,
            reverse_path: new.envelope.reverse_path,
            body: new.envelope.body,
            utf8: new.envelope.utf8,
            dsn: new.envelope.dsn,
            size: content.len(),
            accepted_at: new.accepted_at,
            origin: new.origin,
        });
        let mut lanes: Vec<(LaneKey, Vec<QueuedRecipient>)> = Vec::new();
        for (number, (Recipient { forward_path, dsn }, lane)) in
            (0_u32..).zip(recipients.into_iter().zip(new.lanes))
        {
            let rerouted = new.rerouted.clone();
            let recipient =
                QueuedRecipient { number, forward_path, dsn, attempts: 0, delay_told: false, rerouted };
            match lanes.iter_mut().find(|(key, _)| *key == lane) {
                Some((_, members)) => members.push(recipient),
                None => lanes.push((lane, vec![recipient])),
            }
        }
        let mut leased = Vec::with_capacity(lanes.len());
        for (lane, recipients) in lanes {
            let numbers: Vec<u32> = recipients.iter().map(|r| r.number).collect();
            let Some(lease) = book.lease(new.id, &numbers).filter(|l| l.recipients().len() == numbers.len())
            else {
                return refuse("a message of this name is being worked on");
            };
            let (message, content) = (Arc::clone(&message), Some(content.clone()));
            leased.push(Leased { message, recipients, lane, content, lease });
        }
        Ok(Self { message, leased, content: kept })
    }

    /// Keeps the file, and hands the leases to the caller.
    pub(super) fn taken(self) -> Vec<Leased> {
        match self.content {
            FreshContent::File(undo) => undo.keep(),
            FreshContent::Row(_) => {}
        }
        self.leased
    }

    fn bytes(&self) -> usize {
        match &self.content {
            FreshContent::Row(bytes) => bytes.len(),
            FreshContent::File(_) => 0,
        }
    }
}

/// Makes some recipients due that are not held, in index order, so that a lane's recipients come together. A
/// recipient made due moves before those still to come.
pub(super) struct HastenPart {
    pub(super) after: Option<Place>,
    pub(super) now: UnixMillis,
    pub(super) answer: Answer<Part<HastenedLanes>>,
}
