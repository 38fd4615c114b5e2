//! A spool in memory for the listener tests. It delivers nothing.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::mail::{Content, QueueId, UnixMillis};
use crate::spool::{
    BodyWriter, CountPart, Due, DueWindow, Filter, HastenedLanes, HoldResult, LaneCount, LaneKey, Leased,
    ListPage, NewMessage, Part, Pending, Place, QueuedMessage, Removal, Settlement, Spool, SpoolFault, Stats,
    StoredBody,
};

/// A spool that keeps what it is given. It has no room for files: a body written to a file is kept for the
/// test, and refused at its end.
#[derive(Default)]
pub(super) struct MemorySpool {
    pub(super) messages: Mutex<Vec<NewMessage>>,
    pub(super) file: Arc<Mutex<Vec<u8>>>,
    ids: AtomicUsize,
}

struct Writer(Arc<Mutex<Vec<u8>>>);

impl Write for Writer {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("the file").extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl BodyWriter for Writer {
    fn finish(self: Box<Self>) -> Pending<Result<StoredBody, SpoolFault>> {
        Box::pin(async { Err(SpoolFault::Full("no files here".to_owned())) })
    }
}

fn unasked<T: Send + 'static>() -> Pending<Result<T, SpoolFault>> {
    Box::pin(async { Err(SpoolFault::Failed("a listener does not ask for this".to_owned())) })
}

impl Spool for MemorySpool {
    fn new_id(&self, _now: UnixMillis) -> QueueId {
        let number = self.ids.fetch_add(1, Ordering::Relaxed);
        QueueId::from_number(i64::try_from(number).expect("a small number"))
    }

    fn begin_body(&self, _id: QueueId) -> Result<Box<dyn BodyWriter>, SpoolFault> {
        Ok(Box::new(Writer(Arc::clone(&self.file))))
    }

    fn put_with(
        &self,
        message: NewMessage,
        answer: Option<NewMessage>,
    ) -> Pending<Result<Vec<Leased>, SpoolFault>> {
        self.messages.lock().expect("the messages").extend(std::iter::once(message).chain(answer));
        Box::pin(async { Ok(Vec::new()) })
    }

    fn settle(&self, _settlement: Settlement) -> Pending<Result<Vec<Leased>, SpoolFault>> {
        unasked()
    }

    fn due(&self, _window: DueWindow) -> Pending<Result<Due, SpoolFault>> {
        unasked()
    }

    fn overdue(
        &self,
        _lane: LaneKey,
        _dates: crate::spool::Overdue,
        _after: Option<Place>,
        _limit: usize,
    ) -> Pending<Result<Part<Vec<Leased>>, SpoolFault>> {
        unasked()
    }

    fn claim(&self, _id: QueueId) -> Pending<Result<crate::spool::Claim, SpoolFault>> {
        Box::pin(std::future::ready(Ok(crate::spool::Claim::Unknown)))
    }

    fn read(&self, _id: QueueId) -> Pending<Result<Content, SpoolFault>> {
        unasked()
    }

    fn lanes(
        &self,
        _after: Option<LaneKey>,
        _limit: usize,
    ) -> Pending<Result<Vec<(LaneKey, UnixMillis)>, SpoolFault>> {
        unasked()
    }

    fn list(
        &self,
        _filter: Filter,
        _after: Option<QueueId>,
        _limit: usize,
    ) -> Pending<Result<ListPage, SpoolFault>> {
        unasked()
    }

    fn count(&self, _filter: Filter, _after: Option<QueueId>) -> Pending<Result<CountPart, SpoolFault>> {
        unasked()
    }

    fn top(&self, _limit: usize) -> Pending<Result<Vec<LaneCount>, SpoolFault>> {
        unasked()
    }

    fn show(&self, _id: QueueId) -> Pending<Result<Option<QueuedMessage>, SpoolFault>> {
        unasked()
    }

    fn hasten(&self, _id: QueueId, _now: UnixMillis) -> Pending<Result<HastenedLanes, SpoolFault>> {
        unasked()
    }

    fn hasten_all(
        &self,
        _after: Option<Place>,
        _now: UnixMillis,
    ) -> Pending<Result<Part<HastenedLanes>, SpoolFault>> {
        unasked()
    }

    fn remove(&self, _id: QueueId) -> Pending<Result<Removal, SpoolFault>> {
        unasked()
    }

    fn hold(&self, _id: QueueId, _reason: String) -> Pending<Result<HoldResult, SpoolFault>> {
        unasked()
    }

    fn release(&self, _id: QueueId, _now: UnixMillis) -> Pending<Result<bool, SpoolFault>> {
        unasked()
    }

    fn stats(&self) -> Pending<Result<Stats, SpoolFault>> {
        unasked()
    }

    fn broken(&self) -> Pending<SpoolFault> {
        Box::pin(std::future::pending())
    }
}
