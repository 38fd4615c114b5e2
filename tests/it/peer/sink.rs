//! A next hop that behaves as a test needs: well, badly, slowly. It keeps every octet that came in
//! clear and every message, and tells of each change by an event.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

mod upgrade;

pub(crate) use super::manner::{End, Manner, SILENCE, SinkTls};
use super::{LONG, within};

/// A message that was taken.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    /// When its last octet was there.
    pub(crate) at: Instant,
    pub(crate) sealed: bool,
    pub(crate) client_certificate: Option<Vec<u8>>,
    pub(crate) mail: String,
    pub(crate) recipients: Vec<String>,
    /// Without the final dot, dots unstuffed.
    pub(crate) content: Vec<u8>,
}

/// What happened so far.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) sessions: usize,
    pub(crate) arrived: Vec<Arrived>,
    /// All that came before, or without, a handshake.
    pub(crate) clear: Vec<u8>,
    /// What came after a 220 to STARTTLS that led to no handshake: a ClientHello at most.
    pub(crate) broken: Vec<u8>,
    /// Handshakes that were completed.
    pub(crate) handshakes: usize,
    /// Version and group of the last one.
    pub(crate) agreed: Option<(rustls::ProtocolVersion, rustls::NamedGroup)>,
    /// Sessions that are over.
    pub(crate) ended: usize,
    /// Every command line, sealed or not.
    pub(crate) commands: Vec<String>,
    /// Messages whose reply waits for its time ([`End::After`]): now, and at most at the same time.
    pub(crate) waiting: Busy,
    /// Sessions by address: open now, and at most at the same time.
    pub(crate) hosts: HashMap<IpAddr, Busy>,
}

/// How many there are, and were at most.
#[derive(Clone, Copy, Default)]
pub(crate) struct Busy {
    pub(crate) open: usize,
    pub(crate) most: usize,
}

impl Busy {
    fn begin(&mut self) {
        self.open += 1;
        self.most = self.most.max(self.open);
    }
}

/// A running sink; it ends, sessions and all, when dropped.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    /// By quarter; 0 is for all that have none of their own.
    manners: Mutex<HashMap<u8, Manner>>,
    log: Mutex<Log>,
    changed: watch::Sender<()>,
}

impl Sink {
    pub(crate) async fn start(manner: Manner) -> Self {
        Self::start_at("127.0.0.1:0", manner).await
    }

    pub(crate) async fn start_at(address: &str, manner: Manner) -> Self {
        Self::start_with(address, HashMap::from([(0, manner)])).await
    }

    /// A town of hosts: one port on every loopback address. Those of a quarter, 127.QUARTER.y.z, share
    /// a manner; 0 is for the quarters that are not named.
    pub(crate) async fn town(manners: impl IntoIterator<Item = (u8, Manner)>) -> Self {
        raise_descriptor_limit();
        Self::start_with("0.0.0.0:0", manners.into_iter().collect()).await
    }

    async fn start_with(address: &str, manners: HashMap<u8, Manner>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (changed, _) = watch::channel(());
        let (manners, log) = (Mutex::new(manners), Mutex::default());
        let shared = Arc::new(Shared { manners, log, changed });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// What the next commands are answered, in sessions under way too; their TLS stays as it began.
    pub(crate) fn behave(&self, manner: Manner) {
        self.shared.manners.lock().unwrap().insert(0, manner);
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        look(&self.shared.log.lock().unwrap())
    }

    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.read(|log| log.arrived.clone())
    }

    /// Waits until the log shows what is asked for.
    pub(crate) async fn until(&self, what: &str, limit: Duration, mut shown: impl FnMut(&Log) -> bool) {
        let mut changes = self.shared.changed.subscribe();
        within(what, limit, async {
            while !self.read(&mut shown) {
                changes.changed().await.unwrap();
            }
        })
        .await;
    }

    /// Waits until nothing has happened for `quiet`, and not longer than `at_most`.
    pub(crate) async fn until_quiet(&self, quiet: Duration, at_most: Duration) {
        let mut changes = self.shared.changed.subscribe();
        let settled = async { while tokio::time::timeout(quiet, changes.changed()).await.is_ok() {} };
        let _ = tokio::time::timeout(at_most, settled).await;
    }

    /// Waits for so many messages in all.
    pub(crate) async fn messages(&self, count: usize) -> Vec<Arrived> {
        self.until(&format!("{count} messages"), LONG * 3, |log| log.arrived.len() >= count).await;
        self.arrived()
    }

    /// Nothing of an envelope or content may be among the octets that came in clear.
    #[track_caller]
    pub(crate) fn assert_nothing_in_clear(&self) {
        let clear = self.read(|log| String::from_utf8_lossy(&log.clear).to_lowercase());
        let broken = self.read(|log| String::from_utf8_lossy(&log.broken).to_lowercase());
        for forbidden in ["mail from", "rcpt to", "data\r\n", "bdat", "x-test-id", "received:"] {
            assert!(!clear.contains(forbidden), "{forbidden:?} went in clear: {clear:?}");
            assert!(!broken.contains(forbidden), "{forbidden:?} went in clear: {broken:?}");
        }
        assert!(!clear.contains('@'), "an address went in clear: {clear:?}");
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn note<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        let value = change(&mut self.log.lock().unwrap());
        self.changed.send_replace(());
        value
    }

    fn manner<T>(&self, quarter: u8, look: impl FnOnce(&Manner) -> T) -> T {
        let manners = self.manners.lock().unwrap();
        look(manners.get(&quarter).or_else(|| manners.get(&0)).expect("a manner for this quarter"))
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut sessions = JoinSet::new();
    while let Ok((stream, from)) = listener.accept().await {
        // A town listens beyond loopback too, and is nobody's business there.
        let Some(host) = stream.local_addr().ok().filter(|_| from.ip().is_loopback()) else { continue };
        let host = host.ip();
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        let quarter = quarter(host);
        let manner = shared.manner(quarter, Manner::clone);
        shared.note(|log| {
            log.sessions += 1;
            log.hosts.entry(host).or_default().begin();
        });
        sessions.spawn(async move {
            let _ = converse(stream, quarter, manner, &shared).await;
            shared.note(|log| {
                log.ended += 1;
                log.hosts.entry(host).or_default().open -= 1;
            });
        });
        while sessions.try_join_next().is_some() {}
    }
}

/// Which part of the loopback network a host is in.
fn quarter(host: IpAddr) -> u8 {
    match host {
        IpAddr::V4(ip) => ip.octets()[1],
        IpAddr::V6(_) => 0,
    }
}

/// A town with thousands of guests needs more descriptors than many systems give at first.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

/// What a stretch of the conversation ended with.
enum Next {
    Over,
    StartTls,
}

async fn converse(
    mut stream: TcpStream,
    quarter: u8,
    manner: Manner,
    shared: &Shared,
) -> std::io::Result<()> {
    let begins_sealed = manner.implicit && manner.tls.is_tried();
    if manner.greeting == SILENCE {
        return upgrade::drain(stream, shared).await;
    }
    if !begins_sealed {
        stream.write_all(format!("{}\r\n", manner.greeting).as_bytes()).await?;
        if manner.implicit {
            return upgrade::drain(stream, shared).await;
        }
        if !manner.greeting.starts_with('2') {
            // The peer may say QUIT.
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await?;
            shared.note(|log| log.clear.extend_from_slice(&rest));
            return Ok(());
        }
        let Next::StartTls = Talk::new(&mut stream, quarter, &manner, shared).run().await? else {
            return Ok(());
        };
        // In one segment, or it would not be behind the 220 but in front of the handshake.
        let planted = if matches!(manner.tls, SinkTls::Injects(_)) { "250 2.0.0 planted\r\n" } else { "" };
        stream.write_all(format!("220 go ahead\r\n{planted}").as_bytes()).await?;
    }
    let Some((stream, server)) = upgrade::before_handshake(stream, &manner.tls, shared).await? else {
        return Ok(());
    };
    let mut sealed = TlsAcceptor::from(server).accept(stream).await?;
    let state = sealed.get_ref().1;
    let agreed = state.protocol_version().zip(state.negotiated_key_exchange_group().map(|g| g.name()));
    shared.note(|log| {
        log.handshakes += 1;
        log.agreed = agreed;
    });
    let certificate = sealed.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = certificate.map(|der| der.to_vec());
    if begins_sealed {
        sealed.write_all(format!("{}\r\n", manner.greeting).as_bytes()).await?;
        sealed.flush().await?;
    }
    let mut talk = Talk::new(&mut sealed, quarter, &manner, shared);
    talk.sealed = true;
    talk.certificate = certificate;
    talk.run().await?;
    sealed.shutdown().await
}

struct Talk<'a, S> {
    stream: &'a mut S,
    quarter: u8,
    manner: &'a Manner,
    shared: &'a Shared,
    sealed: bool,
    certificate: Option<Vec<u8>>,
    buffer: Vec<u8>,
    /// MAIL was taken.
    open: bool,
    mail: String,
    recipients: Vec<String>,
    /// Messages taken in this session.
    messages: usize,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Talk<'a, S> {
    fn new(stream: &'a mut S, quarter: u8, manner: &'a Manner, shared: &'a Shared) -> Self {
        let (buffer, mail, recipients) = (Vec::new(), String::new(), Vec::new());
        Self {
            stream,
            quarter,
            manner,
            shared,
            sealed: false,
            certificate: None,
            buffer,
            open: false,
            mail,
            recipients,
            messages: 0,
        }
    }

    async fn run(&mut self) -> std::io::Result<Next> {
        loop {
            let Some(line) = self.upto(b"\r\n").await? else { return Ok(Next::Over) };
            let line = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
            self.shared.note(|log| log.commands.push(line.clone()));
            let lower = line.to_lowercase();
            if lower.starts_with("mail from:") {
                self.open = false;
                self.recipients.clear();
            }
            let reply = match self.planned(&lower) {
                Some(reply) if reply == "close" => return Ok(Next::Over),
                Some(reply) if reply == SILENCE => return self.silence().await,
                Some(reply) => reply,
                None if lower.starts_with("starttls") => match self.manner.tls {
                    SinkTls::Refuses(reply) => reply.to_owned(),
                    SinkTls::RefusesAndCloses(reply) => {
                        self.say(reply).await?;
                        return Ok(Next::Over);
                    }
                    SinkTls::Absent => "502 5.5.1 not implemented".to_owned(),
                    _ if self.sealed => "503 5.5.1 already".to_owned(),
                    _ => return Ok(Next::StartTls),
                },
                None => self.usual(&line, &lower),
            };
            if let Some(octets) = lower.strip_prefix("bdat ").filter(|_| reply.starts_with('2')) {
                let octets = octets.split(' ').next().unwrap().parse().unwrap();
                let chunk = self.peek(octets).await?.to_vec();
                self.buffer.drain(..chunk.len());
                assert!(lower.ends_with(" last"), "our client sends one chunk");
                self.take(Instant::now(), chunk);
            }
            self.say(&reply).await?;
            if reply.starts_with("354") && !self.content().await?
                || reply.starts_with("421")
                || lower == "quit"
            {
                return Ok(Next::Over);
            }
        }
    }

    /// The reply that the sink's manner, as it is now, has for a command.
    fn planned(&self, lower: &str) -> Option<String> {
        let fits = |c: &str| match c.strip_prefix("tls:") {
            Some(c) => self.sealed && lower.starts_with(c),
            None => lower.starts_with(c),
        };
        self.shared.manner(self.quarter, |manner| {
            manner.replies.iter().find(|(c, _)| fits(c)).map(|(_, reply)| reply.clone())
        })
    }

    fn usual(&mut self, line: &str, lower: &str) -> String {
        if lower.starts_with("ehlo") {
            let offers = !self.sealed && !matches!(self.manner.tls, SinkTls::Absent);
            let starttls = if offers { "250-STARTTLS\r\n" } else { "" };
            let rest =
                "250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 0";
            return format!("250-sink.test\r\n{starttls}{rest}");
        }
        let over = |(max, reply): (usize, &'static str), count| (count >= max).then(|| reply.to_owned());
        if lower.starts_with("mail from:") {
            if let Some(reply) = self.manner.messages_max.and_then(|limit| over(limit, self.messages)) {
                return reply;
            }
            self.open = true;
            self.mail = path(line);
        } else if lower.starts_with("rcpt to:") {
            if !self.open {
                return "503 5.5.1 MAIL first".to_owned();
            }
            if let Some(reply) = self.manner.recipients_max.and_then(|l| over(l, self.recipients.len())) {
                return reply;
            }
            self.recipients.push(path(line));
        } else if lower == "data" {
            if self.recipients.is_empty() {
                return "554 5.5.1 no valid recipients".to_owned();
            }
            return "354 go on".to_owned();
        } else if lower == "quit" {
            return "221 2.0.0 bye".to_owned();
        }
        "250 2.0.0 fine".to_owned()
    }

    /// Reads the content and answers; false if the connection is to end.
    async fn content(&mut self) -> std::io::Result<bool> {
        let content = if self.peek(3).await? == b".\r\n" {
            self.buffer.drain(..3);
            Vec::new()
        } else {
            let Some(mut stuffed) = self.upto(b"\r\n.\r\n").await? else { return Ok(false) };
            stuffed.truncate(stuffed.len() - 3);
            unstuffed(&stuffed)
        };
        let at = Instant::now();
        let end = self.shared.manner(self.quarter, |manner| manner.end.clone());
        match &end {
            End::Drop => return Ok(false),
            End::Reply(reply) if *reply == SILENCE => return self.silence().await.map(|_| false),
            End::Reply(reply) => {
                self.say(reply).await?;
                return Ok(!reply.starts_with("421"));
            }
            End::Hold(gate) => gate.acquire().await.unwrap().forget(),
            End::After(time) => {
                self.shared.note(|log| log.waiting.begin());
                tokio::time::sleep(*time).await;
                self.shared.note(|log| log.waiting.open -= 1);
            }
            End::Accept => {}
        }
        self.take(at, content);
        self.say("250 2.0.0 taken").await?;
        Ok(true)
    }

    fn take(&mut self, at: Instant, content: Vec<u8>) {
        self.messages += 1;
        let arrived = Arrived {
            at,
            sealed: self.sealed,
            client_certificate: self.certificate.clone(),
            mail: self.mail.clone(),
            recipients: std::mem::take(&mut self.recipients),
            content,
        };
        self.shared.note(|log| log.arrived.push(arrived));
    }

    /// Reads on until the peer goes.
    async fn silence(&mut self) -> std::io::Result<Next> {
        while self.fill().await? {
            self.buffer.clear();
        }
        Ok(Next::Over)
    }

    async fn say(&mut self, reply: &str) -> std::io::Result<()> {
        self.stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
        self.stream.flush().await
    }

    async fn peek(&mut self, length: usize) -> std::io::Result<&[u8]> {
        while self.buffer.len() < length && self.fill().await? {}
        Ok(self.buffer.get(..length).unwrap_or_default())
    }

    /// All up to and including `end`; `None` at the end of the stream.
    async fn upto(&mut self, end: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if let Some(at) = memchr::memmem::find(&self.buffer[searched..], end) {
                return Ok(Some(self.buffer.drain(..searched + at + end.len()).collect()));
            }
            searched = self.buffer.len().saturating_sub(end.len() - 1);
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    async fn fill(&mut self) -> std::io::Result<bool> {
        let before = self.buffer.len();
        self.buffer.reserve(64 << 10);
        self.stream.read_buf(&mut self.buffer).await?;
        let new = &self.buffer[before..];
        if !self.sealed && !new.is_empty() {
            self.shared.note(|log| log.clear.extend_from_slice(new));
        }
        Ok(!new.is_empty())
    }
}

fn path(line: &str) -> String {
    let from = line.find('<').map_or(0, |at| at + 1);
    let end = line.rfind('>').unwrap_or(line.len());
    line.get(from..end).unwrap_or_default().to_owned()
}

fn unstuffed(stuffed: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(stuffed.len());
    let mut at = 0;
    while at < stuffed.len() {
        let end = memchr::memmem::find(&stuffed[at..], b"\r\n").map_or(stuffed.len(), |e| at + e + 2);
        let line = &stuffed[at..end];
        out.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        at = end;
    }
    out
}
