//! Drives one session: feeds octets from the stream to `smtp::receive`, sends its replies, and runs the
//! handshake in between. It decides no reply.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::ListenerState;
use super::census::Place;
use super::deadline::{Deadlines, Overdue, SessionActivity};
use super::door::{Door, Terms};
use super::early::speaks_early;
use super::intake::Intake;
use super::settings::ListenerTls;
use crate::connector::{SessionTable, TlsFacts};
use crate::mail::{Clock, Network};
use crate::smtp::receive::{Action, Fullness, Session, StoreRefusal};
use crate::tracking::{Event, ProbeSession, Recording};

mod asking;
mod presentation;
mod recording;
mod sealing;
mod sending;

use presentation::Presentation;

/// Drives a session from the first octet to the last.
pub(super) async fn converse(
    shared: Arc<ListenerState>,
    door: Arc<Door>,
    mut stream: TcpStream,
    (peer, stop): (SocketAddr, CancellationToken),
) {
    if let Err(fault) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %fault, "TCP_NODELAY");
    }
    let probe = shared.journal.probes().enter(peer, Clock::wall()).map(Box::new);
    let mut conversation = Conversation {
        session: None,
        presented: None,
        intake: Intake::new(Arc::clone(&shared), Arc::clone(&door.rules.listener)),
        pending: Vec::new(),
        taken: 0,
        deadlines: Deadlines::new(Instant::now()),
        place: None,
        grace_until: None,
        terms: door.terms(&shared),
        shared,
        door,
        peer,
        stop,
        cut: CancellationToken::new(),
        recording: None,
        probe,
    };
    conversation.begin_recording(stream.local_addr().ok());
    if conversation.door.tls != ListenerTls::Implicit {
        conversation.start(None);
        let delay = conversation.door.greeting_delay;
        if speaks_early(&stream, delay, &conversation.stop).await {
            // Octets already sent are no longer read as commands: the next input closes.
            let _close = conversation.session.as_mut().map(Session::on_early_talker);
            conversation.tell_refusals();
        }
        if conversation.drive(&mut stream).await != End::StartTls {
            return conversation.tell_repeated();
        }
    }
    // Boxed: a plaintext session must not carry the size of a handshake and a TLS stream.
    Box::pin(conversation.go_on_sealed(stream)).await;
}

/// One session and the state around its stream.
struct Conversation {
    shared: Arc<ListenerState>,
    door: Arc<Door>,
    terms: Terms,
    peer: SocketAddr,
    stop: CancellationToken,
    /// Ends the session where a new table does not allow its transaction.
    cut: CancellationToken,
    /// What the client presented in the handshake.
    presented: Option<Box<Presentation>>,
    /// `None` only until an implicit TLS handshake is done.
    session: Option<Session>,
    intake: Intake,
    /// Unprocessed input: it waits for the spool's answer, or for the client to read replies.
    pending: Vec<u8>,
    /// Octets of `pending` that the session has taken.
    taken: usize,
    deadlines: Deadlines,
    /// The place held for the handshake under way.
    place: Option<Box<Place>>,
    /// When the session must end, once the daemon stops.
    grace_until: Option<Instant>,
    /// What is recorded of the dialogue, if anybody wants to know.
    recording: Option<Box<Recording>>,
    /// It is a test of ours. Dropped last, as the end of the session is told before.
    probe: Option<Box<ProbeSession>>,
}

/// Why driving a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    StartTls,
    Over,
}

/// The result of waiting for input.
enum Turn {
    Acted(Action),
    Gone(Option<io::Error>),
    TimedOut(Overdue),
    Stopped,
    Outdated,
}

/// What a session waits for besides input; built once, so that a turn costs no allocation.
struct Waits {
    sleep: Pin<Box<Sleep>>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Conversation {
    /// Starts the session under the table that was in effect when the client connected.
    fn start(&mut self, tls: Option<Arc<TlsFacts>>) {
        let mut session = Session::start(
            Arc::clone(&self.door.rules),
            SessionTable::new(Arc::clone(&self.shared.live), Arc::clone(&self.terms.table), self.cut.clone()),
            self.peer.ip(),
            self.door.upgrade(&self.terms),
            tls,
        );
        if self.recording.is_some() {
            session.keep_minutes();
        }
        self.session = Some(session);
    }

    /// Feeds the session until it ends or starts TLS.
    async fn drive<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S) -> End {
        let mut waits = Waits {
            sleep: Box::pin(sleep_until(Instant::now())),
            stopped: Box::pin(self.stop.clone().cancelled_owned()),
            cut: Box::pin(self.cut.clone().cancelled_owned()),
        };
        loop {
            let action = if self.pending.is_empty() {
                match self.next_action(stream, &mut waits).await {
                    Some(action) => action,
                    None => return End::Over,
                }
            } else {
                self.feed_pending()
            };
            let is_over = match action {
                Action::NeedInput => false,
                Action::Flush => {
                    if !self.flush(stream, &mut waits).await {
                        return End::Over;
                    }
                    // A client that sends commands faster than they are answered waits its turn like any
                    // other.
                    tokio::task::yield_now().await;
                    false
                }
                Action::Commit(arrived) => {
                    if self.shared.room.fullness() == Fullness::Slow {
                        tokio::time::sleep(SLOW).await;
                    }
                    // Pending replies go out with this one: a client that has sent its content waits for none
                    // of them.
                    // Boxed: a session that waits must not carry the size of a message's way to the disk.
                    let result = Box::pin(self.intake.commit(*arrived, self.peer.ip())).await;
                    self.on_stored(result);
                    false
                }
                Action::Verify(login) => self.verify(login).await,
                Action::Assess(sets) => self.assess(sets).await,
                Action::Ask(question) => {
                    // Asking may take a while, so the client gets its pending replies first.
                    if !self.flush(stream, &mut waits).await {
                        return End::Over;
                    }
                    self.ask(*question).await
                }
                Action::StartTls => {
                    let is_over = Box::pin(self.find_place()).await;
                    if !is_over && self.place.is_some() {
                        return if self.flush(stream, &mut waits).await { End::StartTls } else { End::Over };
                    }
                    is_over
                }
                Action::Quit => {
                    self.finish(stream, &mut waits, false).await;
                    return End::Over;
                }
                Action::Close => true,
            };
            if is_over {
                self.finish(stream, &mut waits, true).await;
                return End::Over;
            }
        }
    }

    /// Sends pending replies in one write, then waits for input. `None`: the client is gone.
    async fn next_action<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        waits: &mut Waits,
    ) -> Option<Action> {
        if self.grace_until.is_none() && self.stop.is_cancelled() {
            self.grace_until = Some(Instant::now() + GRACE);
        }
        let in_transaction = self.session.as_ref().is_some_and(Session::in_transaction);
        if self.grace_until.is_some() && !in_transaction {
            return self.session.as_mut().map(Session::on_shutdown);
        }
        if self.cut.is_cancelled() {
            return self.outdated();
        }
        if !self.flush(stream, waits).await {
            return None;
        }
        let now = Instant::now();
        let (due, overdue) = self.deadlines.next(now, &self.shared.settings.timeouts);
        let until = self.grace_until.map_or(due, |grace| grace.min(due));
        waits.sleep.as_mut().reset(until);
        // A stream that is always readable would never let the deadline fire.
        let turn =
            if until <= now { Turn::TimedOut(overdue) } else { self.wait(stream, waits, overdue).await };
        match turn {
            Turn::Acted(action) => Some(action),
            Turn::Stopped => {
                self.grace_until = Some(Instant::now() + GRACE);
                Some(Action::NeedInput)
            }
            Turn::Outdated => self.outdated(),
            Turn::TimedOut(_) if self.grace_until.is_some_and(|grace| grace <= until) => {
                self.session.as_mut().map(Session::on_shutdown)
            }
            Turn::TimedOut(overdue) => {
                self.ended(overdue.reason(self.session.as_ref().is_some_and(Session::in_content)));
                self.session.as_mut().map(|session| session.on_timeout(overdue.words()))
            }
            Turn::Gone(fault) => {
                match fault {
                    Some(fault) if fault.kind() == io::ErrorKind::UnexpectedEof => {
                        self.ended("connection lost: the client left without ending TLS");
                    }
                    Some(fault) => self.ended(&format!("connection lost: {fault}")),
                    None if in_transaction => self.ended("the client left within a transaction"),
                    None => {}
                }
                None
            }
        }
    }

    async fn wait<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        waits: &mut Waits,
        overdue: Overdue,
    ) -> Turn {
        poll_fn(|context| {
            let turn = SCRATCH.with_borrow_mut(|scratch| self.poll_turn(stream, waits, (context, scratch)));
            turn.map(|turn| turn.unwrap_or(Turn::TimedOut(overdue)))
        })
        .await
    }

    /// Reads into the thread's own buffer and feeds from it at once, so that a waiting session holds no
    /// buffer. `None`: the deadline has passed.
    fn poll_turn<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        waits: &mut Waits,
        (context, scratch): (&mut Context<'_>, &mut Vec<u8>),
    ) -> Poll<Option<Turn>> {
        scratch.resize(SCRATCH_BYTES, 0);
        // Input the session does not take at once stays with it, so few commands are read ahead.
        let in_content = self.session.as_ref().is_some_and(Session::in_content);
        let room = if in_content { SCRATCH_BYTES } else { COMMANDS_BYTES };
        let mut buffer = ReadBuf::new(scratch.get_mut(..room).unwrap_or_default());
        match Pin::new(stream).poll_read(context, &mut buffer) {
            Poll::Ready(Err(fault)) => return Poll::Ready(Some(Turn::Gone(Some(fault)))),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Poll::Ready(Some(Turn::Gone(None))),
            Poll::Ready(Ok(())) => {
                let (used, action) = self.feed(buffer.filled());
                self.pending.extend_from_slice(buffer.filled().get(used..).unwrap_or_default());
                return Poll::Ready(Some(Turn::Acted(action)));
            }
            Poll::Pending => {}
        }
        if self.grace_until.is_none() && waits.stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Turn::Stopped));
        }
        if waits.cut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Turn::Outdated));
        }
        waits.sleep.as_mut().poll(context).map(|()| None)
    }

    /// A new table does not allow the transaction, and has waited for it long enough.
    fn outdated(&mut self) -> Option<Action> {
        self.ended("a reload has tightened the connector, and the transaction did not end in time");
        self.session.as_mut().map(Session::on_outdated)
    }

    /// Feeds the session the input it did not take before.
    fn feed_pending(&mut self) -> Action {
        let input = std::mem::take(&mut self.pending);
        let (used, action) = self.feed(input.get(self.taken..).unwrap_or_default());
        self.taken = self.taken.saturating_add(used);
        if self.taken < input.len() {
            self.pending = input;
        } else {
            self.taken = 0;
        }
        action
    }

    /// Feeds the session; returns how many octets it took.
    fn feed(&mut self, input: &[u8]) -> (usize, Action) {
        let Some(session) = &mut self.session else { return (input.len(), Action::Close) };
        if let Some(facts) = self.presented.as_mut().and_then(|presented| presented.renew()) {
            session.on_new_lists(facts);
        }
        let (used, action) = session.feed(input, &mut self.intake);
        let doing = SessionActivity { line: session.line_begun(), content: session.in_content() };
        let settings = &self.shared.settings;
        self.deadlines.fed(used, doing, (Instant::now(), &settings.limits, &settings.timeouts));
        self.tell_refusals();
        (used, action)
    }

    fn on_stored(&mut self, result: Result<(), StoreRefusal>) {
        if result.is_ok() {
            self.deadlines.accepted(Instant::now());
            self.tell_repeated();
        }
        if let Some(session) = &mut self.session {
            // The next action comes from feeding.
            let _need_input = session.on_stored(result);
        }
        self.tell_refusals();
    }

    fn ended(&mut self, reason: &str) {
        self.take_down();
        if let Some(recording) = &mut self.recording {
            recording.fail_for(reason);
        }
        self.record(&Event::SessionEnded { peer: self.peer, reason });
    }

    fn record(&self, event: &Event<'_>) {
        self.door.lobby.record(&self.shared, self.network(), event);
    }

    /// The network the client is counted under for limits.
    fn network(&self) -> Network {
        Network::of(self.peer.ip(), self.shared.settings.limits.network_bits)
    }
}

thread_local! {
    /// The read buffer of a thread, shared by its sessions: only one of them reads at a time.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Delay of each message while the queue is long.
const SLOW: Duration = Duration::from_millis(250);
/// Maximum octets of content in one read.
const SCRATCH_BYTES: usize = 65_536;
/// Maximum octets of commands in one read.
const COMMANDS_BYTES: usize = 4_096;
/// How long a transaction may continue after the daemon is told to stop.
const GRACE: Duration = Duration::from_millis(2_500);
