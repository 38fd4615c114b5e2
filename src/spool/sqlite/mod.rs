//! The spool in an `SQLite` database, with large content in files beside it. One thread writes, one reads for
//! deliveries and one for long listings; callers only send and wait. It does not decide when anything is due.

mod answers;
mod apply;
mod aside;
mod fault;
mod findings;
mod inspect;
mod lists;
mod lock;
mod long;
mod ops;
mod reader;
mod rows;
mod salvage;
mod schema;
mod shared;
mod start;
mod tidy;
mod trial;
mod trouble;
mod upkeep;
mod writer;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

pub use self::fault::OpenFault;
pub use self::inspect::{Inspection, extent_of};
use self::ops::{Answer, Fresh, HastenPart, Op, Settle};
use self::reader::{Question, Reader};
pub use self::salvage::{Loss, SalvageFault, SalvageReport};
use self::shared::SpoolState;
pub use self::trial::{Trial, TrialFault};
use super::mark::Mark;
use super::{
    BodyWriter, Claim, CountPart, Due, DueWindow, Extent, Filter, HastenedLanes, HoldResult, LaneCount,
    LaneKey, Leased, ListPage, NewMessage, Overdue, Part, Pending, Place, QueuedMessage, Removal, Settings,
    Settlement, Spool, SpoolFault, Stats, UnwrittenMarks, WaitingMail,
};
use crate::mail::{Content, QueueId, UnixMillis};

/// The spool in an `SQLite` database. Dropping it completes pending operations and closes it.
pub struct SqliteSpool {
    shared: Arc<SpoolState>,
    last_id: AtomicI64,
    ops: Option<Sender<Op>>,
    questions: Option<Sender<Question>>,
    desk_questions: Option<Sender<Question>>,
    writer: Option<JoinHandle<()>>,
    reader: Option<JoinHandle<()>>,
    desk: Option<JoinHandle<()>>,
    /// Held until the threads have ended.
    _lock: File,
}

impl SqliteSpool {
    /// Checks a failed spool before anything in it is delivered: the database is checked, written and
    /// flushed; recipients the mark lists as done are recorded; then the mark is removed. Blocks until
    /// finished.
    ///
    /// # Errors
    /// A [`TrialFault`]; the mark stays.
    pub fn try_again(settings: &Settings, mark: &Mark) -> Result<Trial, TrialFault> {
        trial::run(settings, mark)
    }

    /// Inspects a spool that is not in use, without changing it. Blocks until finished.
    ///
    /// # Errors
    /// An [`OpenFault`].
    pub fn inspect(data_dir: &std::path::Path) -> Result<Inspection, OpenFault> {
        inspect::inspect(data_dir)
    }

    /// Copies what can be read of a spool that is not in use into a new database. Blocks until finished.
    ///
    /// # Errors
    /// A [`SalvageFault`].
    pub fn salvage(data_dir: &std::path::Path, to: &std::path::Path) -> Result<SalvageReport, SalvageFault> {
        salvage::salvage(data_dir, to)
    }

    /// Sends an operation to the writer; it is queued when this returns.
    fn ask_writer<T: Send + 'static>(
        &self,
        op: impl FnOnce(Answer<T>) -> Op,
    ) -> Pending<Result<T, SpoolFault>> {
        let (answer, answered) = oneshot::channel();
        if let Some(ops) = &self.ops {
            // If the writer is gone, the answer is dropped, and the caller learns of it below.
            let _ = ops.send(op(answer));
        }
        self.wait(answered)
    }

    /// Asks the reader thread that deliveries use.
    fn ask_reader<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Reader) -> Result<T, SpoolFault> + Send + 'static,
    ) -> Pending<Result<T, SpoolFault>> {
        self.ask(self.questions.as_ref(), question)
    }

    /// Asks the thread for long listings, so that no delivery waits behind one.
    fn ask_desk<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Reader) -> Result<T, SpoolFault> + Send + 'static,
    ) -> Pending<Result<T, SpoolFault>> {
        self.ask(self.desk_questions.as_ref(), question)
    }

    fn ask<T: Send + 'static>(
        &self,
        whom: Option<&Sender<Question>>,
        question: impl FnOnce(&Reader) -> Result<T, SpoolFault> + Send + 'static,
    ) -> Pending<Result<T, SpoolFault>> {
        let (answer, answered) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        let question: Question = Box::new(move |reader| {
            let result = shared.fault().map_or_else(|| question(reader), Err);
            let _ = answer.send(result);
        });
        if let Some(questions) = whom {
            let _ = questions.send(question);
        }
        self.wait(answered)
    }

    fn wait<T: Send + 'static>(
        &self,
        answered: oneshot::Receiver<Result<T, SpoolFault>>,
    ) -> Pending<Result<T, SpoolFault>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let gone = |_| Err(shared.fault().unwrap_or_else(closed));
            answered.await.unwrap_or_else(gone)
        })
    }
}

impl Spool for SqliteSpool {
    fn new_id(&self, now: UnixMillis) -> QueueId {
        let first = QueueId::first_of(u64::try_from(now.0).unwrap_or_default()).to_number();
        // If the clock was set back, or a millisecond has 32,768 messages, IDs run ahead of the clock.
        let after = |last: i64| Some(first.max(last.saturating_add(1)));
        match self.last_id.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after) {
            Ok(last) | Err(last) => QueueId::from_number(first.max(last.saturating_add(1))),
        }
    }

    fn begin_body(&self, id: QueueId) -> Result<Box<dyn BodyWriter>, SpoolFault> {
        let shared = Arc::clone(&self.shared);
        let lost = move |fault| shared.set_broken(fault);
        self.shared.fault().map_or_else(|| self.shared.bodies.begin(id, lost), Err)
    }

    fn put_with(
        &self,
        message: NewMessage,
        answer: Option<NewMessage>,
    ) -> Pending<Result<Vec<Leased>, SpoolFault>> {
        let prepare = |message| Fresh::prepare(message, &self.shared.book, &self.shared.bodies);
        match (prepare(message), answer.map(prepare).transpose()) {
            (Ok(fresh), Ok(beside)) => {
                let beside = beside.map(Box::new);
                self.ask_writer(|answer| Op::Put { fresh, beside, answer })
            }
            (Err(fault), _) | (_, Err(fault)) => Box::pin(std::future::ready(Err(fault))),
        }
    }

    fn settle(&self, settlement: Settlement) -> Pending<Result<Vec<Leased>, SpoolFault>> {
        let Settlement { message, lease, recipients, reports, left_sealed } = settlement;
        let prepare = |report| Fresh::prepare(report, &self.shared.book, &self.shared.bodies);
        match reports.into_iter().map(prepare).collect::<Result<Vec<_>, _>>() {
            Ok(reports) => self.ask_writer(|answer| {
                Op::Settle(Settle { message, lease, recipients, reports, left_sealed, answer })
            }),
            Err(fault) => Box::pin(std::future::ready(Err(fault))),
        }
    }

    fn due(&self, window: DueWindow) -> Pending<Result<Due, SpoolFault>> {
        self.ask_reader(move |reader| reader.due(&window))
    }

    fn overdue(
        &self,
        lane: LaneKey,
        dates: Overdue,
        after: Option<Place>,
        limit: usize,
    ) -> Pending<Result<Part<Vec<Leased>>, SpoolFault>> {
        self.ask_desk(move |desk| desk.overdue(&lane, dates, after.as_ref(), limit))
    }

    fn claim(&self, id: QueueId) -> Pending<Result<Claim, SpoolFault>> {
        self.ask_reader(move |reader| reader.claim(id))
    }

    fn read(&self, id: QueueId) -> Pending<Result<Content, SpoolFault>> {
        self.ask_reader(move |reader| reader.read(id))
    }

    fn lanes(
        &self,
        after: Option<LaneKey>,
        limit: usize,
    ) -> Pending<Result<Vec<(LaneKey, UnixMillis)>, SpoolFault>> {
        self.ask_desk(move |desk| desk.lanes(after.as_ref(), limit))
    }

    fn list(
        &self,
        filter: Filter,
        after: Option<QueueId>,
        limit: usize,
    ) -> Pending<Result<ListPage, SpoolFault>> {
        self.ask_desk(move |desk| desk.list(&filter, after, limit))
    }

    fn count(&self, filter: Filter, after: Option<QueueId>) -> Pending<Result<CountPart, SpoolFault>> {
        self.ask_desk(move |desk| desk.count(&filter, after))
    }

    fn top(&self, limit: usize) -> Pending<Result<Vec<LaneCount>, SpoolFault>> {
        self.ask_desk(move |desk| desk.top(limit))
    }

    fn show(&self, id: QueueId) -> Pending<Result<Option<QueuedMessage>, SpoolFault>> {
        self.ask_desk(move |desk| desk.show(id))
    }

    fn hasten(&self, id: QueueId, now: UnixMillis) -> Pending<Result<HastenedLanes, SpoolFault>> {
        self.ask_writer(|answer| Op::Hasten { id, now, answer })
    }

    fn hasten_all(
        &self,
        after: Option<Place>,
        now: UnixMillis,
    ) -> Pending<Result<Part<HastenedLanes>, SpoolFault>> {
        self.ask_writer(|answer| Op::HastenPart(HastenPart { after, now, answer }))
    }

    fn remove(&self, id: QueueId) -> Pending<Result<Removal, SpoolFault>> {
        self.ask_writer(|answer| Op::Remove { id, answer })
    }

    fn hold(&self, id: QueueId, reason: String) -> Pending<Result<HoldResult, SpoolFault>> {
        self.ask_writer(|answer| Op::HoldBack { id, reason, answer })
    }

    fn release(&self, id: QueueId, now: UnixMillis) -> Pending<Result<bool, SpoolFault>> {
        self.ask_writer(|answer| Op::Release { id, now, answer })
    }

    fn stats(&self) -> Pending<Result<Stats, SpoolFault>> {
        Box::pin(std::future::ready(self.shared.fault().map_or_else(|| Ok(self.shared.stats()), Err)))
    }

    fn oldest(&self) -> Pending<Result<Option<UnixMillis>, SpoolFault>> {
        self.ask_reader(Reader::oldest)
    }

    fn oldest_waiting(&self) -> Pending<Result<Option<UnixMillis>, SpoolFault>> {
        self.ask_desk(Reader::oldest_waiting)
    }

    fn waiting(&self, connector: Arc<str>, limit: usize) -> Pending<Result<WaitingMail, SpoolFault>> {
        self.ask_desk(move |desk| desk.waiting(&connector, limit))
    }

    fn extent(&self) -> Pending<Result<Extent, SpoolFault>> {
        // Reads two numbers, which must not wait behind a long listing.
        self.ask_reader(Reader::extent)
    }

    fn unwritten(&self) -> UnwrittenMarks {
        let shared = Arc::clone(&self.shared);
        Box::new(move || {
            shared.marker.sync();
            shared.marker.unwritten()
        })
    }

    fn broken(&self) -> Pending<SpoolFault> {
        let mut watch = self.shared.watch();
        Box::pin(async move {
            match watch.wait_for(Option::is_some).await {
                Ok(fault) => fault.clone().unwrap_or_else(closed),
                Err(_) => closed(),
            }
        })
    }
}

impl Drop for SqliteSpool {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        // The readers may still send to the writer, so the writer closes last: the last connection to close
        // checkpoints the WAL.
        (self.questions, self.desk_questions) = (None, None);
        self.reader.take().map(JoinHandle::join);
        self.desk.take().map(JoinHandle::join);
        self.ops = None;
        self.writer.take().map(JoinHandle::join);
    }
}

fn closed() -> SpoolFault {
    SpoolFault::Broken("it is closed".into())
}
