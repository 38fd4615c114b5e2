//! Writes the log on its own thread: callers only copy a line and continue, even if nobody reads the log.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::backlog::{Backlog, DroppedLines};
use super::journal::FACT;
use super::{Event, Journal, Vitals};

/// The sink of log lines. Clones share the same log.
#[derive(Debug, Clone)]
pub struct Log(Arc<LogState>);

#[derive(Debug)]
struct LogState {
    backlog: Mutex<Backlog>,
    /// Signalled when there is something to write.
    filled: Condvar,
    /// Signalled when something was written.
    moved: Condvar,
    /// Lines that are not facts are being dropped.
    full: AtomicBool,
    /// Writing has stopped: the writer has ended, or its sink fails.
    failing: AtomicBool,
    over: AtomicBool,
    vitals: Vitals,
}

impl Log {
    /// Starts the thread that writes to `sink`.
    ///
    /// # Errors
    /// The I/O error if no thread can be started.
    pub fn start(sink: impl Write + Send + 'static, vitals: &Vitals) -> io::Result<Self> {
        Self::start_as(("log", "the writer of the log"), sink, vitals)
    }

    /// As [`Self::start`], under another name for the thread, and for what it does.
    pub(super) fn start_as(
        (name, what): (&str, &'static str),
        sink: impl Write + Send + 'static,
        vitals: &Vitals,
    ) -> io::Result<Self> {
        let log = Self(Arc::new(LogState {
            backlog: Mutex::default(),
            filled: Condvar::new(),
            moved: Condvar::new(),
            full: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            over: AtomicBool::new(false),
            vitals: vitals.clone(),
        }));
        let scribe = Scribe { shared: Arc::clone(&log.0) };
        let life = vitals.life(what);
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _life = life;
            scribe.write_all(sink);
        })?;
        Ok(log)
    }

    /// Adds a line as it is, regardless of the log level. It is kept like a fact.
    pub fn say(&self, line: &str) {
        self.push_fact(format!("{line}\n").as_bytes());
    }

    /// Adds whole lines, unless much is waiting: then they are dropped, and counted as of this kind.
    pub(super) fn offer(&self, (level, kind): (Level, &str), lines: &[u8]) {
        if self.0.full.load(Ordering::Relaxed) {
            return self.drop_other(level, kind);
        }
        self.push(lines);
    }

    /// Waits at most `patience` until everything is written. Returns whether it is.
    #[must_use]
    pub fn flush(&self, patience: Duration) -> bool {
        let unsettled =
            |backlog: &mut Backlog| !backlog.is_settled() && !self.0.failing.load(Ordering::Relaxed);
        let waited = self.0.moved.wait_timeout_while(self.0.lock(), patience, unsettled);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_settled()
    }

    /// Whether the writer has ended, so that nothing will be written any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Relaxed)
    }

    fn push_fact(&self, line: &[u8]) {
        let mut backlog = self.0.lock();
        if !backlog.push_fact(line) {
            self.0.vitals.log_drops();
        }
        self.pushed(backlog);
    }

    fn push(&self, line: &[u8]) {
        let mut backlog = self.0.lock();
        backlog.push(line);
        self.pushed(backlog);
    }

    fn pushed(&self, backlog: MutexGuard<'_, Backlog>) {
        self.0.full.store(backlog.is_full(), Ordering::Relaxed);
        drop(backlog);
        self.0.filled.notify_one();
    }

    fn drop_other(&self, level: Level, target: &str) {
        let mut backlog = self.0.lock();
        backlog.drop_other(level.as_str(), target);
        // Set under the lock: the scribe resets it once it has reported the drops.
        self.0.vitals.log_drops();
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter(Some((self, false)))
    }

    /// Called for each event, once its line is composed.
    fn make_writer_for(&'a self, event: &Metadata<'_>) -> LineWriter<'a> {
        if event.name() == FACT {
            return LineWriter(Some((self, true)));
        }
        if self.0.full.load(Ordering::Relaxed) {
            self.drop_other(*event.level(), event.target());
            return LineWriter(None);
        }
        self.make_writer()
    }
}

/// Takes one line, with whether it is a fact; without a log, the line is discarded.
#[derive(Debug)]
pub struct LineWriter<'a>(Option<(&'a Log, bool)>);

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.0 {
            Some((log, true)) => log.push_fact(line),
            Some((log, false)) => log.push(line),
            None => {}
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The writer thread.
struct Scribe {
    shared: Arc<LogState>,
}

impl Scribe {
    fn write_all(self, mut sink: impl Write) {
        loop {
            let chunk = self.next();
            self.write(&mut sink, &chunk);
            let mut backlog = self.shared.lock();
            backlog.written(chunk);
            self.shared.full.store(backlog.is_full(), Ordering::Relaxed);
            let dropped = backlog.take_dropped();
            drop(backlog);
            if let Some(dropped) = dropped {
                report(&dropped);
                self.reported();
            }
            self.shared.moved.notify_all();
        }
    }

    fn reported(&self) {
        let mut backlog = self.shared.lock();
        backlog.reported();
        if !backlog.has_dropped() {
            self.shared.vitals.log_drops_over();
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut backlog = self.shared.lock();
        loop {
            if let Some(chunk) = backlog.take() {
                return chunk;
            }
            backlog = self.shared.filled.wait(backlog).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Retries until the chunk is written. A failing sink may recover: the disk has room again, a named pipe
    /// a reader.
    fn write(&self, sink: &mut impl Write, chunk: &[u8]) {
        let mut rest = chunk;
        while !rest.is_empty() {
            match sink.write(rest) {
                Ok(count @ 1..) => {
                    self.shared.failing.store(false, Ordering::Relaxed);
                    rest = rest.get(count..).unwrap_or_default();
                }
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                // Another process sharing this terminal or pipe made it non-blocking.
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => thread::sleep(SHORT_PAUSE),
                Ok(_) | Err(_) => {
                    self.shared.failing.store(true, Ordering::Relaxed);
                    self.shared.moved.notify_all();
                    thread::sleep(PAUSE);
                }
            }
        }
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        self.shared.failing.store(true, Ordering::Relaxed);
        self.shared.over.store(true, Ordering::Relaxed);
        self.shared.moved.notify_all();
    }
}

fn report(dropped: &DroppedLines) {
    let (count, facts, kinds) = (dropped.count(), dropped.facts, dropped.kinds());
    Journal::default().record(&Event::LinesDropped { count, facts, kinds: &kinds });
}

impl LogState {
    fn lock(&self) -> MutexGuard<'_, Backlog> {
        // Each change is complete, even if a holder panicked.
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wait after a failed write.
const PAUSE: Duration = Duration::from_millis(200);
/// Wait after a write that would block.
const SHORT_PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::mail::QueueId;
    use crate::tracking::backlog::OTHERS_BYTES_MAX;

    const LONG: Duration = Duration::from_secs(30);

    /// Writes only when the test allows it.
    struct Gate {
        leave: Receiver<io::Result<()>>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            // Once the test has ended, everything passes.
            self.leave.recv().unwrap_or(Ok(()))?;
            let part = octets.get(..octets.len().min(50_000)).unwrap_or_default();
            let _ = self.written.send(part.to_vec());
            Ok(part.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gate() -> (Log, Vitals, Sender<io::Result<()>>, Receiver<Vec<u8>>) {
        let ((allow, leave), (written, read)) = (channel(), channel());
        let vitals = Vitals::new(|loss| assert_eq!(loss.what, "the writer of the log"));
        (Log::start(Gate { leave, written }, &vitals).expect("a thread"), vitals, allow, read)
    }

    fn subscriber(log: &Log) -> impl tracing::Subscriber + use<> {
        tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(log.clone()).finish()
    }

    fn fact(number: u64) {
        let id = QueueId::first_of(number);
        Journal::default().record(&Event::Reported { id, kind: "failed", report: None });
    }

    #[test]
    fn facts_are_kept_and_other_drops_are_counted_while_nobody_reads() {
        let (log, vitals, allow, read) = gate();
        // The scribe reports through the process's subscriber, which tests do not have: its report is checked
        // in `tests/it/life.rs`, here what is kept.
        tracing::subscriber::with_default(subscriber(&log), || {
            let mut others = 0;
            while !log.0.full.load(Ordering::Relaxed) {
                tracing::info!(filler = "x".repeat(1_000), "other");
                others += 1;
                assert!(others <= OTHERS_BYTES_MAX / 1_000, "it never fills");
            }
            assert!(!vitals.drops_log_lines());
            for number in 0..100 {
                fact(number);
                tracing::info!("dropped");
            }
        });
        assert!(vitals.drops_log_lines());
        assert!(!log.flush(Duration::from_millis(10)));
        assert_eq!(log.0.lock().take_dropped(), None);
        drop(allow);
        assert!(log.flush(LONG));
        drop(log);
        let text = String::from_utf8(read.try_iter().flatten().collect()).expect("text");
        assert_eq!(text.matches("not reported id=").count(), 100);
        assert_eq!(text.matches("dropped").count(), 0);
        assert!(!vitals.drops_log_lines());
    }

    #[test]
    fn a_sink_that_fails_is_tried_again_and_loses_nothing() {
        let (log, _, allow, read) = gate();
        allow.send(Err(io::ErrorKind::StorageFull.into())).expect("a scribe");
        log.say("one");
        // Shutdown does not wait for a failing sink.
        assert!(!log.flush(LONG));
        allow.send(Err(io::ErrorKind::BrokenPipe.into())).expect("a scribe");
        allow.send(Err(io::ErrorKind::WouldBlock.into())).expect("a scribe");
        allow.send(Ok(())).expect("a scribe");
        assert_eq!(read.recv_timeout(LONG).expect("a line"), b"one\n");
        drop(allow);
        log.say("two");
        assert_eq!(read.recv_timeout(LONG).expect("a line"), b"two\n");
        assert!(log.flush(LONG));
    }

    #[test]
    fn lines_that_wait_together_are_written_together() {
        let (log, _, allow, read) = gate();
        log.say("one");
        allow.send(Ok(())).expect("a scribe");
        assert_eq!(read.recv_timeout(LONG).expect("a line"), b"one\n");
        log.say("two");
        // The scribe may or may not have taken it already.
        log.say("three");
        log.say("four");
        drop(allow);
        assert!(log.flush(LONG));
        let writes: Vec<Vec<u8>> = read.try_iter().collect();
        assert!(writes.len() <= 2, "{writes:?}");
        assert_eq!(writes.concat(), b"two\nthree\nfour\n");
    }
}
