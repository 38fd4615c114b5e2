//! Drives one session: octets from the stream to `smtp::receive`, replies back, the handshake in
//! between.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::Shared;
use super::door::{Door, Terms};
use super::early::speaks_early;
use super::intake::Intake;
use super::settings::ListenerTls;
use crate::connector::{HandshakeFault, TlsFacts};
use crate::mail::Clock;
use crate::smtp::receive::{Action, Fullness, Session};
use crate::tracking::Event;

mod asking;

/// Drives a session from the first octet to the last.
pub(super) async fn converse(
    shared: Arc<Shared>,
    door: Arc<Door>,
    mut stream: TcpStream,
    (peer, stop): (SocketAddr, CancellationToken),
) {
    if let Err(fault) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %fault, "TCP_NODELAY");
    }
    let mut conversation = Conversation {
        session: None,
        intake: Intake::new(Arc::clone(&shared)),
        pending: Vec::new(),
        content_until: None,
        grace_until: None,
        terms: door.terms(&shared),
        shared,
        door,
        peer,
        stop,
    };
    if conversation.door.tls != ListenerTls::Implicit {
        conversation.start(None);
        let delay = conversation.door.greeting_delay;
        if speaks_early(&stream, delay, &conversation.stop).await {
            // What it has said is not read as commands any more: the next input closes.
            let _close = conversation.session.as_mut().map(Session::on_early_talker);
            conversation.tell_refusals();
        }
        if conversation.drive(&mut stream).await != End::StartTls {
            return;
        }
    }
    // Boxed: a session in clear shall not carry the room of a handshake and a TLS stream.
    Box::pin(conversation.go_on_sealed(stream)).await;
}

/// One session and its stream's other end.
struct Conversation {
    shared: Arc<Shared>,
    door: Arc<Door>,
    terms: Terms,
    peer: SocketAddr,
    stop: CancellationToken,
    /// Absent only until an implicit handshake is done.
    session: Option<Session>,
    intake: Intake,
    /// Input that waits for the spool's answer.
    pending: Vec<u8>,
    /// When the content under way must have come.
    content_until: Option<Instant>,
    /// When the session must end, once the daemon stops.
    grace_until: Option<Instant>,
}

/// How driving a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    StartTls,
    Over,
}

/// What waiting for input came to.
enum Turn {
    Acted(Action),
    Gone(Option<io::Error>),
    TimedOut,
    Stopped,
}

/// What a session waits for beside input; made once, so that a turn costs no allocation.
struct Waits {
    sleep: Pin<Box<Sleep>>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Conversation {
    /// Begins the session, under the table that was in force when the client connected.
    fn start(&mut self, tls: Option<Arc<TlsFacts>>) {
        self.session = Some(Session::start(
            Arc::clone(&self.door.rules),
            Arc::clone(&self.terms.table),
            self.peer.ip(),
            self.door.upgrade(&self.terms),
            tls,
        ));
    }

    async fn go_on_sealed(mut self, stream: TcpStream) {
        let (mut sealed, facts) = match self.handshake(stream).await {
            Ok(done) => done,
            Err(HandshakeFault { words: text, .. }) => return self.ended(&format!("TLS handshake: {text}")),
        };
        let facts = Arc::new(facts);
        match &mut self.session {
            Some(session) => session.on_tls(facts),
            None => self.start(Some(facts)),
        }
        // A second STARTTLS is refused, so the stream is over.
        let _over = self.drive(&mut *sealed).await;
    }

    async fn handshake(
        &mut self,
        stream: TcpStream,
    ) -> Result<(Box<TlsStream<TcpStream>>, TlsFacts), HandshakeFault> {
        let Some(setup) = &self.terms.setup else {
            return Err(HandshakeFault::new("the listener has no certificate to show".to_owned()));
        };
        let shaking = Box::pin(setup.accept(stream, Clock::wall()));
        tokio::select! {
            done = timeout(self.shared.settings.timeouts.handshake, shaking) => match done {
                Ok(done) => done.map(|(stream, facts)| (Box::new(stream), facts)),
                Err(_) => Err(HandshakeFault::new("it took too long".to_owned())),
            },
            () = self.stop.cancelled() => Err(HandshakeFault::new("the daemon stops".to_owned())),
        }
    }

    /// Feeds the session until it is over or wants a handshake.
    async fn drive<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S) -> End {
        let mut waits = Waits {
            sleep: Box::pin(sleep_until(Instant::now())),
            stopped: Box::pin(self.stop.clone().cancelled_owned()),
        };
        loop {
            let action = if self.pending.is_empty() {
                match self.next_action(stream, &mut waits).await {
                    Some(action) => action,
                    None => return End::Over,
                }
            } else {
                let input = std::mem::take(&mut self.pending);
                self.feed(&input)
            };
            match action {
                Action::NeedInput => {}
                Action::Commit(arrived) => {
                    if self.shared.room.fullness() == Fullness::Slow {
                        tokio::time::sleep(SLOW).await;
                    }
                    // Replies still owed go out with the answer: a client that has sent its
                    // content waits for none of them.
                    let result = self.intake.commit(*arrived, self.peer.ip()).await;
                    if let Some(session) = &mut self.session {
                        // Whatever comes next, comes by feeding.
                        let _need_input = session.on_stored(result);
                    }
                    self.tell_refusals();
                }
                Action::Verify(login) => {
                    if self.verify(login).await {
                        self.finish(stream, &mut waits, true).await;
                        return End::Over;
                    }
                }
                Action::Ask(question) => {
                    // It may take a while, and the client has a right to what it is owed.
                    if !self.flush(stream, &mut waits).await {
                        return End::Over;
                    }
                    if self.ask(*question).await {
                        self.finish(stream, &mut waits, true).await;
                        return End::Over;
                    }
                }
                Action::StartTls => {
                    return if self.flush(stream, &mut waits).await { End::StartTls } else { End::Over };
                }
                Action::Quit => {
                    self.finish(stream, &mut waits, false).await;
                    return End::Over;
                }
                Action::Close => {
                    self.finish(stream, &mut waits, true).await;
                    return End::Over;
                }
            }
        }
    }

    /// Sends what is owed, in one write, and waits for input. `None`: nobody is left to talk to.
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
        if !self.flush(stream, waits).await {
            return None;
        }
        let now = Instant::now();
        let idle_until = now + self.shared.settings.timeouts.idle;
        let until =
            [self.content_until, self.grace_until].into_iter().flatten().fold(idle_until, Instant::min);
        waits.sleep.as_mut().reset(until);
        // A stream that always has more would never show the time.
        let turn = if until <= now { Turn::TimedOut } else { self.wait(stream, waits).await };
        match turn {
            Turn::Acted(action) => Some(action),
            Turn::Stopped => {
                self.grace_until = Some(Instant::now() + GRACE);
                Some(Action::NeedInput)
            }
            Turn::TimedOut if self.grace_until.is_some_and(|grace| grace <= until) => {
                self.session.as_mut().map(Session::on_shutdown)
            }
            Turn::TimedOut => {
                self.ended(if self.content_until.is_some() { "time-out within content" } else { "time-out" });
                self.session.as_mut().map(Session::on_timeout)
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

    async fn wait<S: AsyncRead + Unpin>(&mut self, stream: &mut S, waits: &mut Waits) -> Turn {
        poll_fn(|context| {
            SCRATCH.with_borrow_mut(|scratch| self.poll_turn(stream, waits, (context, scratch)))
        })
        .await
    }

    /// Reads into the thread's own buffer and feeds from it at once, so that a session that waits
    /// holds no buffer at all.
    fn poll_turn<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        waits: &mut Waits,
        (context, scratch): (&mut Context<'_>, &mut Vec<u8>),
    ) -> Poll<Turn> {
        scratch.resize(SCRATCH_BYTES, 0);
        let mut buffer = ReadBuf::new(scratch);
        match Pin::new(stream).poll_read(context, &mut buffer) {
            Poll::Ready(Err(fault)) => return Poll::Ready(Turn::Gone(Some(fault))),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Poll::Ready(Turn::Gone(None)),
            Poll::Ready(Ok(())) => return Poll::Ready(Turn::Acted(self.feed(buffer.filled()))),
            Poll::Pending => {}
        }
        if self.grace_until.is_none() && waits.stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(Turn::Stopped);
        }
        waits.sleep.as_mut().poll(context).map(|()| Turn::TimedOut)
    }

    /// Feeds the session, and keeps what it did not take.
    fn feed(&mut self, input: &[u8]) -> Action {
        let Some(session) = &mut self.session else { return Action::Close };
        let (used, action) = session.feed(input, &mut self.intake);
        self.pending.extend_from_slice(input.get(used..).unwrap_or_default());
        if !session.in_content() {
            self.content_until = None;
        } else if self.content_until.is_none() {
            self.content_until = Some(Instant::now() + self.shared.settings.timeouts.content);
        }
        self.tell_refusals();
        action
    }

    fn ended(&self, reason: &str) {
        self.shared.journal.record(&Event::SessionEnded { peer: self.peer, reason });
    }

    /// Whether the replies owed could be sent. A client that doesn't read them is as silent as one
    /// that doesn't write; when the daemon stops, it is not waited for.
    async fn flush<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, waits: &mut Waits) -> bool {
        let out = self.session.as_mut().map(Session::take_output).unwrap_or_default();
        if out.is_empty() {
            return true;
        }
        let limit = if self.grace_until.is_some() { CLOSE_WAIT } else { self.shared.settings.timeouts.idle };
        waits.sleep.as_mut().reset(Instant::now() + limit);
        let mut writing = pin!(async {
            stream.write_all(&out).await?;
            stream.flush().await
        });
        loop {
            tokio::select! {
                biased;
                written = &mut writing => match written {
                    Ok(()) => return true,
                    Err(fault) => {
                        self.ended(&format!("connection lost: {fault}"));
                        return false;
                    }
                },
                () = waits.sleep.as_mut() => {
                    self.ended("the client does not read its replies");
                    return false;
                }
                () = waits.stopped.as_mut(), if self.grace_until.is_none() => {
                    let now = Instant::now();
                    self.grace_until = Some(now + GRACE);
                    waits.sleep.as_mut().reset(now + CLOSE_WAIT);
                }
            }
        }
    }

    /// The last replies, close_notify within TLS, and the end of the connection.
    async fn finish<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        waits: &mut Waits,
        linger: bool,
    ) {
        if !self.flush(stream, waits).await {
            return;
        }
        let closing = timeout(CLOSE_WAIT, async {
            stream.shutdown().await?;
            // Closing over octets unread would reset the connection, and the client might never
            // read why.
            let mut left = if linger { LINGER_READS_MAX } else { 0 };
            let mut unread = vec![0_u8; 512];
            while left > 0 && stream.read(&mut unread).await? > 0 {
                left = left.saturating_sub(1);
            }
            io::Result::Ok(())
        });
        if let Ok(Err(fault)) = closing.await {
            tracing::debug!(peer = %self.peer, %fault, "closing");
        }
    }
}

thread_local! {
    /// What a thread reads into; one for all its sessions, since none reads while another does.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How long each message is held up while the queue is long.
const SLOW: Duration = Duration::from_millis(250);
/// Octets read at once.
const SCRATCH_BYTES: usize = 65_536;
/// How long a transaction may go on when the daemon stops.
const GRACE: Duration = Duration::from_millis(2_500);
/// How long closing may take, or writing once the daemon stops. With the grace it stays under
/// the 5 seconds in which SIGTERM ends the process.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// Reads of what a client still sends after we closed.
const LINGER_READS_MAX: usize = 128;
