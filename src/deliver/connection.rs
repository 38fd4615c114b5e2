//! One outbound connection: moves the octets of a session's dialogue, one write per turn, and waits
//! for replies within the limits. It does not interpret them; the session does.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::dial::Transport;
use super::script::{Script, link_words};
use super::settings::Timeouts;
use crate::connector::{ClientCertificate, HandshakeFault, TlsFacts};
use crate::mail::{Clock, Content, Domain};
use crate::outcome::LinkFault;
use crate::scheduler::Progress;
use crate::smtp::{AwaitedReply, Dialogue, SendFault};
use crate::tls::{ClientSetup, KeyShares, late_fault};

/// Octets of content per write when it is not held in memory.
const BLOCK_BYTES: usize = 65_536;
/// Octets per read.
const READ_BYTES: usize = 4096;
/// How long to wait for the peer to take our QUIT.
const QUIT_LIMIT: Duration = Duration::from_secs(2);
/// Why a session was ended from our side.
const OUTDATED: &str = "we ended it: the connector was tightened";

enum Wire {
    Plain(Box<dyn Transport>),
    Sealed(Box<TlsStream<Box<dyn Transport>>>),
    /// Lost in a failed handshake.
    Gone,
}

/// One outbound connection, in plaintext or over TLS.
pub(super) struct Connection {
    wire: Wire,
    /// Commands waiting to be written.
    pub(super) out: Vec<u8>,
    input: Vec<u8>,
    /// Whether a reply has come since the handshake.
    heard: bool,
    /// Whether the peer asked for our certificate.
    asked: ClientCertificate,
    /// Number of replies already reported as progress.
    replies_before: u64,
    /// Ends the session where a new table does not allow what it carries.
    cut: CancellationToken,
    /// Whether a final dot was sent, or is being sent, and is not answered yet.
    after_dot: bool,
    /// Shows progress to whoever wants the connection's place.
    progress: Arc<Progress>,
    /// What is recorded of the dialogue, if anybody wants to know.
    script: Option<Box<Script>>,
}

/// Why a conversation ended early.
#[derive(Debug)]
pub(super) enum Interruption {
    /// The connection failed, or what came over it was invalid.
    Link(LinkFault),
    /// TLS failed: the peer sent an alert or an invalid record.
    Tls(HandshakeFault),
}

impl Interruption {
    /// As a connection fault, where it no longer matters that TLS failed.
    pub(super) fn into_link(self) -> LinkFault {
        match self {
            Self::Link(fault) => fault,
            Self::Tls(fault) => LinkFault::Lost(fault.words),
        }
    }

    /// For the protocol log.
    fn words(&self) -> String {
        match self {
            Self::Tls(fault) => format!("TLS: {}", fault.words),
            Self::Link(fault) => link_words(fault),
        }
    }
}

impl Connection {
    pub(super) fn new(transport: Box<dyn Transport>) -> Self {
        Self {
            wire: Wire::Plain(transport),
            out: Vec::new(),
            input: Vec::new(),
            heard: false,
            asked: ClientCertificate::NotAskedFor,
            replies_before: 0,
            cut: CancellationToken::new(),
            after_dot: false,
            progress: Arc::default(),
            script: None,
        }
    }

    /// Records the dialogue.
    pub(super) fn recorded(self, script: Option<Box<Script>>) -> Self {
        Self { script, ..self }
    }

    /// What is recorded of the dialogue.
    pub(super) fn script(&mut self) -> Option<&mut Script> {
        self.script.as_deref_mut()
    }

    /// Reports progress here from now on.
    pub(super) fn tell_progress(&mut self, progress: &Arc<Progress>) {
        self.progress = Arc::clone(progress);
        self.progress.set_after_dot(self.after_dot);
        self.progress.moved();
    }

    fn set_after_dot(&mut self, after_dot: bool) {
        if self.after_dot != after_dot {
            self.after_dot = after_dot;
            self.progress.set_after_dot(after_dot);
        }
    }

    /// Records that the final dot was answered.
    pub(super) fn dot_answered(&mut self) {
        self.set_after_dot(false);
    }

    /// Ends the session when cancelled, unless the peer may have received the whole message.
    pub(super) fn cut(&self) -> &CancellationToken {
        &self.cut
    }

    /// Whether the peer may have received the whole message.
    pub(super) fn is_after_dot(&self) -> bool {
        self.after_dot
    }

    pub(super) fn is_sealed(&self) -> bool {
        matches!(self.wire, Wire::Sealed(_))
    }

    /// Writes what is due and waits for the next event of the session. The limit covers each reply
    /// as a whole (RFC 5321 §4.5.3.2), however many reads it takes: a peer gains nothing by sending
    /// octets slowly.
    pub(super) async fn event<D: Dialogue>(
        &mut self,
        session: &mut D,
        limits: &Timeouts,
    ) -> Result<D::Event, Interruption> {
        let event = self.next_event(session, limits).await;
        self.note_failure(event.as_ref().err());
        event
    }

    fn note_failure(&mut self, interruption: Option<&Interruption>) {
        if let (Some(script), Some(interruption)) = (&mut self.script, interruption) {
            script.fail_for(&interruption.words());
        }
    }

    async fn next_event<D: Dialogue>(
        &mut self,
        session: &mut D,
        limits: &Timeouts,
    ) -> Result<D::Event, Interruption> {
        let mut waiting: Option<(u64, Instant)> = None;
        loop {
            let mut rest = self.input.as_slice();
            let fed = session.feed(&mut rest, &mut self.out);
            let used = self.input.len().saturating_sub(rest.len());
            if let Some(script) = &mut self.script {
                script.received(self.input.get(..used).unwrap_or_default());
            }
            let event = fed.map_err(|fault| {
                // Octets injected before the handshake are an attack on it, so they are reported as
                // a failed handshake.
                if fault == SendFault::AfterStartTls {
                    return Interruption::Tls(HandshakeFault::new(fault.to_string()));
                }
                Interruption::Link(LinkFault::Garbled(fault.to_string()))
            })?;
            self.input.drain(..used);
            // Only a whole reply counts as progress: a peer that sends octets slowly does not keep
            // its place.
            let replies = session.replies();
            if mem::replace(&mut self.replies_before, replies) != replies {
                self.progress.moved();
            }
            if let Some(event) = event {
                self.heard = true;
                return Ok(event);
            }
            self.flush(limits.command).await?;
            let since = match waiting {
                Some((before, since)) if before == replies => since,
                Some(_) | None => Instant::now(),
            };
            waiting = Some((replies, since));
            let left = limit(limits, session.awaited()).saturating_sub(since.elapsed());
            if left.is_zero() {
                return Err(Interruption::Link(LinkFault::Silent));
            }
            self.read(left).await?;
        }
    }

    /// Writes the pending commands.
    pub(super) async fn flush(&mut self, limit: Duration) -> Result<(), Interruption> {
        if self.out.is_empty() {
            return Ok(());
        }
        let out = mem::take(&mut self.out);
        self.script.iter_mut().for_each(|script| script.sent(&out));
        let written = self.write([out.as_slice(), &[]], limit).await;
        self.out = out;
        self.out.clear();
        written
    }

    /// Writes the content and, in the same write as its end, `out`: the final dot and what may
    /// follow it.
    pub(super) async fn send_content(
        &mut self,
        content: &Content,
        limit: Duration,
    ) -> Result<(), Interruption> {
        if self.cut.is_cancelled() {
            return Err(Interruption::Link(LinkFault::Lost(OUTDATED.to_owned())));
        }
        let out = mem::take(&mut self.out);
        if let Some(script) = &mut self.script {
            script.content(content.len());
            script.sent(&out);
        }
        let sent = match content {
            Content::Held(bytes) => {
                self.set_after_dot(true);
                self.write([bytes, out.as_slice()], limit).await
            }
            Content::Source(_) => self.send_blocks(content, &out, limit).await,
        };
        self.out = out;
        self.out.clear();
        self.note_failure(sent.as_ref().err());
        sent
    }

    async fn send_blocks(
        &mut self,
        content: &Content,
        end: &[u8],
        limit: Duration,
    ) -> Result<(), Interruption> {
        let mut block = vec![0; BLOCK_BYTES];
        let mut offset = 0;
        loop {
            // A blocking read on purpose: the 64 KiB come from the page cache, just written or read
            // ahead; handing the read to another thread would cost more than the wait.
            let count = content
                .read_at(&mut block, offset)
                .map_err(|e| Interruption::Link(LinkFault::Content(e.to_string())))?;
            offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            let last = offset >= content.len();
            self.set_after_dot(last);
            if count == 0 && !last {
                // The final dot would make a truncated message look whole, so end the connection
                // instead.
                return Err(Interruption::Link(LinkFault::Content("it is shorter than recorded".to_owned())));
            }
            let block = block.get(..count).unwrap_or_default();
            self.write([block, if last { end } else { &[] }], limit).await?;
            if last {
                return Ok(());
            }
        }
    }

    async fn write(&mut self, parts: [&[u8]; 2], limit: Duration) -> Result<(), Interruption> {
        let writing = async {
            match &mut self.wire {
                Wire::Plain(stream) => write_all(stream, parts).await,
                Wire::Sealed(stream) => write_all(stream, parts).await,
                Wire::Gone => Err(io::Error::new(io::ErrorKind::NotConnected, "it was closed")),
            }
        };
        let written = uninterrupted(writing, limit, (&self.progress, &self.cut), self.after_dot).await?;
        written.map_err(|error| self.broken(&error))?;
        self.progress.moved();
        Ok(())
    }

    async fn read(&mut self, limit: Duration) -> Result<(), Interruption> {
        self.input.reserve(READ_BYTES);
        let reading = async {
            match &mut self.wire {
                Wire::Plain(stream) => stream.read_buf(&mut self.input).await,
                Wire::Sealed(stream) => stream.read_buf(&mut self.input).await,
                Wire::Gone => Err(io::Error::new(io::ErrorKind::NotConnected, "it was closed")),
            }
        };
        let read = uninterrupted(reading, limit, (&self.progress, &self.cut), self.after_dot).await?;
        match read.map_err(|error| self.broken(&error))? {
            0 => Err(Interruption::Link(LinkFault::Lost("the peer closed it".to_owned()))),
            _ => Ok(()),
        }
    }

    fn broken(&self, error: &io::Error) -> Interruption {
        // A TLS 1.3 client learns only from its first read that the server refused its certificate
        // (RFC 8446 §4.4.2.4): such an alert still belongs to the handshake.
        match late_fault(error, self.asked) {
            Some(fault) if self.is_sealed() && !self.heard => Interruption::Tls(fault),
            Some(_) | None => Interruption::Link(LinkFault::Lost(error.to_string())),
        }
    }

    /// Makes the handshake, after
    /// [`OpeningEvent::Handshake`](crate::smtp::OpeningEvent::Handshake). If it fails, the
    /// connection is lost.
    pub(super) async fn seal(
        &mut self,
        setup: &ClientSetup,
        (sni, shares): (Option<&Domain>, KeyShares),
        limit: Duration,
    ) -> Result<Arc<TlsFacts>, HandshakeFault> {
        let Wire::Plain(stream) = mem::replace(&mut self.wire, Wire::Gone) else {
            return Err(HandshakeFault::new("the connection is not in plaintext".to_owned()));
        };
        let handshake = Box::pin(setup.connect(stream, (sni, shares), Clock::wall()));
        let shaken = timeout(limit, handshake)
            .await
            .map_err(|_| HandshakeFault::new(format!("not done in {} s", limit.as_secs())))
            .flatten();
        if let Some(script) = &mut self.script {
            match &shaken {
                Ok((_, facts)) => script.secured(facts),
                Err(fault) => script.fail_for(&format!("TLS handshake: {}", fault.words)),
            }
        }
        let (stream, facts) = shaken?;
        self.wire = Wire::Sealed(Box::new(stream));
        self.progress.moved();
        self.heard = false;
        self.asked = facts.client_certificate.unwrap_or(ClientCertificate::NotAskedFor);
        self.input.clear();
        Ok(Arc::new(facts))
    }

    /// Whether the connection was lost in a failed handshake.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.wire, Wire::Gone)
    }

    /// Whether an idle connection is still usable: nothing may have arrived on it, not even a 421.
    pub(super) async fn is_quiet(&mut self) -> bool {
        if self.cut.is_cancelled() {
            return false;
        }
        match &mut self.wire {
            Wire::Plain(stream) => nothing_to_read(stream).await,
            Wire::Sealed(stream) => nothing_to_read(stream.as_mut()).await,
            Wire::Gone => false,
        }
    }

    /// Frees the buffers while the connection is idle.
    pub(super) fn rest(&mut self) {
        self.out = Vec::new();
        self.input = Vec::new();
    }

    /// Sends QUIT and closes TLS, without waiting for a reply.
    pub(super) async fn quit(mut self) {
        self.out.clear();
        self.out.extend_from_slice(b"QUIT\r\n");
        let goodbye = async {
            let _sent = self.flush(QUIT_LIMIT).await;
            match &mut self.wire {
                Wire::Plain(stream) => stream.shutdown().await,
                Wire::Sealed(stream) => stream.shutdown().await,
                Wire::Gone => Ok(()),
            }
        };
        // The session is over either way; a peer that is gone needs no QUIT.
        let _ended = timeout(QUIT_LIMIT, goodbye).await;
    }

    /// As [`Self::quit`], in the background.
    pub(super) fn dismiss(self) {
        tokio::spawn(self.quit());
    }
}

fn limit(limits: &Timeouts, awaited: AwaitedReply) -> Duration {
    match awaited {
        AwaitedReply::Command | AwaitedReply::Nothing => limits.command,
        AwaitedReply::StartTls => limits.handshake,
        AwaitedReply::Data => limits.data_start,
        AwaitedReply::End => limits.data_end,
    }
}

/// One read or write within `limit`, interrupted if others get the place, or if a new table does not allow the
/// transaction. Never after a final dot: that would leave open whether the message was accepted.
async fn uninterrupted<T>(
    exchange: impl Future<Output = io::Result<T>>,
    limit: Duration,
    (progress, cut): (&Progress, &CancellationToken),
    after_dot: bool,
) -> Result<io::Result<T>, Interruption> {
    tokio::select! {
        biased;
        // Before anything else: not one octet more may leave.
        () = cut.cancelled(), if !after_dot => Err(Interruption::Link(LinkFault::Lost(OUTDATED.to_owned()))),
        done = timeout(limit, exchange) => done.map_err(|_| Interruption::Link(LinkFault::Silent)),
        () = progress.evicted(), if !after_dot => Err(Interruption::Link(LinkFault::Displaced)),
    }
}

async fn write_all<W: AsyncWrite + Unpin>(wire: &mut W, parts: [&[u8]; 2]) -> io::Result<()> {
    let mut slices = parts.map(IoSlice::new);
    let mut rest = slices.as_mut_slice();
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        let count = wire.write_vectored(rest).await?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, count);
    }
    wire.flush().await
}

async fn nothing_to_read<R: AsyncRead + Unpin>(wire: &mut R) -> bool {
    let mut octet = [0];
    let mut buffer = ReadBuf::new(&mut octet);
    poll_fn(|context| {
        let read = Pin::new(&mut *wire).poll_read(context, &mut buffer);
        Poll::Ready(read.is_pending())
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;
    use crate::smtp::{Hello, Opening};

    /// A peer that writes `drop` every 20 ms, up to 200 times, and then ends its greeting.
    async fn check(drop: &'static [u8], is_silent: bool) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let peer = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            for _ in 0..200 {
                tick.tick().await;
                if stream.write_all(drop).await.is_err() {
                    return;
                }
            }
            let _gone = stream.write_all(b"220 x\r\n").await;
        });
        let name = Domain::parse("gw.example").expect("a domain");
        let ignored = Vec::new();
        let mut session = Opening::new(Hello { name, starttls: true, implicit: false, helo: true, ignored });
        let mut connection =
            Connection::new(Box::new(TcpStream::connect(address).await.expect("a connection")));
        let second = Duration::from_secs(1);
        let limits = Timeouts {
            connect: second,
            command: second,
            handshake: second,
            data_start: second,
            data_block: second,
            data_end: second,
        };
        let got = connection.event(&mut session, &limits).await;
        assert_eq!(matches!(got, Err(Interruption::Link(LinkFault::Silent))), is_silent, "{drop:?}: {got:?}");
        peer.abort();
    }

    #[tokio::test]
    async fn a_reply_that_drips_is_no_reply_in_time() {
        check(b"220-x\r\n", true).await;
        check(b"220 x\r\n250 x\r\n", false).await;
    }
}
