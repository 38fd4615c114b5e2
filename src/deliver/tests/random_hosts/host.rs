//! A host that does as its script and its dice say, over a stream in memory, and remembers what it did.
//!
//! Whatever it says begins with `message` where that is about the message, with `host` where it takes no mail from us,
//! and with `session` where it comes from the session.

use std::io;
use std::sync::Mutex;

use fastrand::Rng;
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream,
};

use super::*;
use crate::mail::Clock;

/// How a host behaves.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) unreachable: bool,
    greeting: &'static str,
    /// In place of the answer to EHLO, in plaintext and inside TLS.
    ehlo: [Option<&'static str>; 2],
    offers: Vec<&'static str>,
    tls: Tls,
    /// One fault in so many commands; 0: none.
    faults: u32,
    /// So many messages of a session, and then this.
    messages_max: usize,
    limit: &'static str,
    /// So many recipients of a transaction, and then this.
    recipients_max: usize,
    crowd: &'static str,
    resets: bool,
    silent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tls {
    Absent,
    Refuses(&'static str),
    RefusesAndCloses(&'static str),
    Garbage,
    Closes,
    Works,
    /// Asks for a certificate, gets none, and goes without a word.
    Demands,
    ClosesInside,
    /// It works, unless the ClientHello is a large one: it goes without a word then.
    DropsLargeHello,
}

/// Octets of a TLS record, beyond which a ClientHello is large.
const LARGE: u16 = 1000;

const OFFERS: &[&str] =
    &["PIPELINING", "8BITMIME", "SIZE 1000", "DSN", "LIMITS RCPTMAX=2", "LIMITS MAILMAX=2"];
const LIMITS: &[&str] = &[
    "452 4.4.5 session",
    "421 4.7.0 session",
    "503 5.5.1 session",
    "550 session",
    "550 5.7.1 session",
    "554 5.7.0 session",
    "500 5.5.2 session",
    "502 5.5.1 session",
    "552 session",
    "close",
];
const CROWDS: &[&str] =
    &["550 5.5.3 session", "452 4.5.3 session", "552 session", "452 session", "552 5.5.3 session"];
/// What a session may say whatever came before.
const FAULTS: &[&str] = &[
    "503 5.5.1 session",
    "451 4.3.0 session",
    "452 4.4.5 session",
    "421 4.7.0 session",
    "450 session",
    "close",
    "354 session",
    "what?",
    "250-session\r\n550 session",
    "503 session",
];
/// What it may say only because of what came before.
const WORN: &[&str] = &[
    "550 session",
    "550 5.7.1 session",
    "554 5.5.0 session",
    "500 5.5.2 session",
    "552 session",
    "502 session",
    "501 5.5.4 session",
    "530 5.7.0 session",
    "571 session",
];
const GREETINGS: &[&str] =
    &["421 host", "554 host", "521 5.3.2 host", "220-mx\r\n521 host", "what?", "close", "550 host"];
const HELLOS: &[&str] = &[
    "550 5.7.1 host",
    "501 host",
    "503 host",
    "451 host",
    "421 host",
    "521 host",
    "502 host",
    "close",
    "554 5.7.1 host",
];
const REFUSALS: &[&str] = &["454 host", "502 host", "421 host", "501 host"];

/// What ends a session without a word that could be understood.
fn is_no_reply(said: &str) -> bool {
    said == "close" || said == "what?" || said.contains("\r\n")
}

fn one_of(dice: &mut Rng, all: &[&'static str]) -> &'static str {
    all[dice.usize(..all.len())]
}

impl Script {
    pub(super) fn new(dice: &mut Rng, silent: bool) -> Self {
        let tls = match dice.u8(..13) {
            0 => Tls::Absent,
            1 => Tls::Refuses(one_of(dice, REFUSALS)),
            2 => Tls::RefusesAndCloses(one_of(dice, REFUSALS)),
            3 => Tls::Garbage,
            4 => Tls::Closes,
            5 => Tls::Demands,
            6 => Tls::ClosesInside,
            7 => Tls::DropsLargeHello,
            _ => Tls::Works,
        };
        let refused = |dice: &mut Rng| (dice.u8(..12) == 0).then(|| one_of(dice, HELLOS));
        Self {
            unreachable: dice.u8(..12) == 0,
            greeting: if dice.u8(..10) == 0 { one_of(dice, GREETINGS) } else { "220 host" },
            ehlo: [refused(dice), refused(dice)],
            offers: OFFERS.iter().copied().filter(|_| dice.bool()).collect(),
            tls,
            faults: dice.choice([0, 0, 40, 15, 6]).expect("one"),
            messages_max: dice.choice([1, 2, 3, usize::MAX]).expect("one"),
            limit: one_of(dice, LIMITS),
            recipients_max: dice.choice([1, 2, usize::MAX, usize::MAX]).expect("one"),
            crowd: one_of(dice, CROWDS),
            resets: dice.u8(..4) != 0,
            silent,
        }
    }
}

/// What a host did.
#[derive(Default)]
struct Record {
    sessions: u64,
    taken: Vec<(u64, String)>,
    not_offered: bool,
    refused: bool,
    broken: bool,
    wrong: Option<String>,
    trace: String,
}

pub(super) struct Host {
    pub(super) script: Script,
    forced: bool,
    seed: u64,
    record: Mutex<Record>,
}

/// The TLS of all hosts.
pub(super) struct Servers {
    plain: Arc<ServerSetup>,
    asking: Arc<ServerSetup>,
}

impl Servers {
    pub(super) fn new() -> Self {
        let folder = tempfile::TempDir::new().expect("a folder");
        let (plain, _) = sealed_peer(folder.path());
        let (chain, key) = (folder.path().join("mx.crt"), folder.path().join("mx.key"));
        let identity = Arc::new(Identity::load(&chain, &key).expect("an identity"));
        let asking = ServerSettings {
            identities: vec![identity],
            profile: None,
            required: false,
            ask_client: true,
            trust: Vec::new(),
        };
        Self { plain, asking: Arc::new(ServerSetup::new(asking).expect("a setup")) }
    }
}

impl Host {
    pub(super) fn new(script: Script, forced: bool, seed: u64) -> Self {
        Self { script, forced, seed, record: Mutex::default() }
    }

    pub(super) fn begin_session(&self) -> u64 {
        let mut record = self.record.lock().expect("a record");
        record.sessions += 1;
        record.sessions
    }

    pub(super) fn taken(&self, ticket: u64, recipient: &str) -> usize {
        let record = self.record.lock().expect("a record");
        record.taken.iter().filter(|(number, to)| *number == ticket && to == recipient).count()
    }

    pub(super) fn assert_right(&self) {
        let wrong = self.record.lock().expect("a record").wrong.clone();
        assert_eq!(wrong, None);
    }

    /// Whether it did what a decision with this token says of it.
    pub(super) fn is_to_blame_for(&self, token: &str) -> bool {
        let record = self.record.lock().expect("a record");
        match token {
            "starttls-not-offered" => record.not_offered,
            "starttls-refused" => record.refused,
            _ => record.broken,
        }
    }

    pub(super) fn trace(&self) -> String {
        self.record.lock().expect("a record").trace.clone()
    }

    fn note<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        change(&mut self.record.lock().expect("a record"))
    }

    pub(super) async fn serve(self: Arc<Self>, stream: DuplexStream, session: u64, servers: Arc<Servers>) {
        // Whoever sees its connection end is done, one way or the other.
        let _over = self.converse(stream, session, &servers).await;
    }

    async fn converse(&self, mut stream: DuplexStream, session: u64, servers: &Servers) -> io::Result<()> {
        let mut dice = Rng::with_seed(self.seed ^ session);
        let mut talk = Talk::new(self, &mut stream, &mut dice, session);
        talk.greet().await?;
        if !talk.run().await? {
            return Ok(());
        }
        drop(talk);
        let (setup, goes_on) = match self.script.tls {
            Tls::Garbage => {
                self.note(|record| record.broken = true);
                return stream.write_all(b"this is not TLS\r\n").await;
            }
            Tls::Closes => {
                self.note(|record| record.broken = true);
                return Ok(());
            }
            Tls::Demands => (&servers.asking, false),
            Tls::ClosesInside => (&servers.plain, false),
            Tls::Absent | Tls::Refuses(_) | Tls::RefusesAndCloses(_) | Tls::Works | Tls::DropsLargeHello => {
                (&servers.plain, true)
            }
        };
        if !goes_on {
            self.note(|record| record.broken = true);
        }
        let mut head = [0; 5];
        stream.read_exact(&mut head).await?;
        if self.script.tls == Tls::DropsLargeHello && u16::from_be_bytes([head[3], head[4]]) > LARGE {
            return Ok(());
        }
        let (reader, writer) = tokio::io::split(stream);
        let stream = tokio::io::join(io::Cursor::new(head).chain(reader), writer);
        let Ok((mut stream, ..)) = setup.accept(stream, true, Clock::wall()).await else {
            self.note(|record| record.wrong = Some("a handshake failed".to_owned()));
            return Ok(());
        };
        if !goes_on {
            return Ok(());
        }
        let mut talk = Talk { sealed: true, ..Talk::new(self, &mut stream, &mut dice, session) };
        talk.run().await?;
        stream.shutdown().await
    }
}

struct Talk<'a, S> {
    host: &'a Host,
    stream: BufReader<&'a mut S>,
    dice: &'a mut Rng,
    session: u64,
    sealed: bool,
    /// Commands MAIL of this session.
    begun: usize,
    messages: usize,
    mail: bool,
    recipients: Vec<String>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Talk<'a, S> {
    fn new(host: &'a Host, stream: &'a mut S, dice: &'a mut Rng, session: u64) -> Self {
        let (stream, recipients) = (BufReader::new(stream), Vec::new());
        Self { host, stream, dice, session, sealed: false, begun: 0, messages: 0, mail: false, recipients }
    }

    fn trace(&self, who: &str, line: &str) {
        let (session, seal) = (self.session, if self.sealed { "*" } else { "" });
        self.host.note(|record| record.trace += &format!("{session}{seal} {who} {}\n", line.trim_end()));
    }

    async fn greet(&mut self) -> io::Result<()> {
        let greeting = self.host.script.greeting;
        self.say(greeting).await
    }

    /// `close` closes.
    async fn say(&mut self, reply: &str) -> io::Result<()> {
        self.trace("S", reply);
        if reply == "close" {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
        self.stream.flush().await?;
        if reply.starts_with("421") { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        if self.stream.read_until(b'\n', &mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Until the session is over; `true`: a handshake is next.
    async fn run(&mut self) -> io::Result<bool> {
        loop {
            let line = self.line().await?;
            self.trace("C", &line);
            let verb = line.split(' ').next().unwrap_or_default().to_owned();
            let of_envelope = ["MAIL", "RCPT", "DATA", "BDAT", "AUTH"].contains(&verb.as_str());
            let script = &self.host.script;
            let needs_tls = self.host.forced || script.tls == Tls::Demands && script.ehlo[0].is_none();
            if of_envelope && !self.sealed && needs_tls {
                self.host.note(|record| record.wrong = Some(format!("in plaintext: {line}")));
            }
            self.begun += usize::from(verb == "MAIL");
            if let Some(fault) = self.fault(&verb) {
                if fault == "silence" {
                    while self.line().await.is_ok() {}
                    return Ok(false);
                }
                self.say(fault).await?;
                continue;
            }
            match verb.as_str() {
                "STARTTLS" => match self.host.script.tls {
                    Tls::Refuses(reply) => {
                        self.host.note(|record| record.refused = true);
                        self.say(reply).await?;
                    }
                    Tls::RefusesAndCloses(reply) => {
                        self.host.note(|record| (record.refused, record.broken) = (true, true));
                        self.say(reply).await?;
                        return Ok(false);
                    }
                    Tls::Absent
                    | Tls::Garbage
                    | Tls::Closes
                    | Tls::Works
                    | Tls::Demands
                    | Tls::ClosesInside
                    | Tls::DropsLargeHello => {
                        self.say("220 go").await?;
                        return Ok(true);
                    }
                },
                "DATA" => self.content().await?,
                "QUIT" => return Ok(false),
                _ => {
                    let reply = self.reply(&verb, &line);
                    self.say(&reply).await?;
                }
            }
        }
    }

    /// What goes wrong at a command, if something does.
    fn fault(&mut self, verb: &str) -> Option<&'static str> {
        let faults = self.host.script.faults;
        if verb == "QUIT"
            || verb == "STARTTLS"
            || verb == "RSET"
            || faults == 0
            || self.dice.u32(..faults) > 0
        {
            return None;
        }
        if self.host.script.silent && self.dice.bool() {
            self.host.note(|record| record.broken |= verb == "EHLO");
            return Some("silence");
        }
        let all = if self.begun >= 2 && self.dice.bool() { WORN } else { FAULTS };
        let fault = one_of(self.dice, all);
        // After a 354 to DATA the content would come.
        let fault = Some(fault).filter(|fault| verb != "DATA" || !fault.starts_with("354"));
        if self.sealed && verb == "EHLO" && fault.is_some_and(is_no_reply) {
            self.host.note(|record| record.broken = true);
        }
        fault
    }

    fn reply(&mut self, verb: &str, line: &str) -> String {
        let script = &self.host.script;
        match verb {
            "EHLO" => self.hello(),
            "HELO" => "250 host".to_owned(),
            "MAIL" if self.mail => "503 5.5.1 session".to_owned(),
            "MAIL" if self.messages >= script.messages_max => script.limit.to_owned(),
            "MAIL" => {
                self.mail = true;
                "250 ok".to_owned()
            }
            "RCPT" if !self.mail => "503 5.5.1 session".to_owned(),
            "RCPT" if self.recipients.len() >= script.recipients_max => script.crowd.to_owned(),
            "RCPT" => {
                let to = line.split(['<', '>']).nth(1).unwrap_or_default();
                let refused = match to.split('@').next().unwrap_or_default() {
                    "unknown" => Some("550 5.1.1 message"),
                    "full" => Some("552 5.2.2 message"),
                    "policy" => Some("550 5.7.1 message"),
                    "later" => Some("450 message"),
                    _ => None,
                };
                if refused.is_none() {
                    self.recipients.push(to.to_owned());
                }
                refused.unwrap_or("250 ok").to_owned()
            }
            "RSET" if !script.resets => "502 session".to_owned(),
            "RSET" => {
                self.mail = false;
                self.recipients.clear();
                "250 ok".to_owned()
            }
            _ => "500 session".to_owned(),
        }
    }

    fn hello(&self) -> String {
        let script = &self.host.script;
        if let Some(refusal) = script.ehlo[usize::from(self.sealed)] {
            // Whoever does not know EHLO offers no STARTTLS.
            let unknown = !self.sealed && refusal.starts_with("502");
            let broken = self.sealed && is_no_reply(refusal);
            self.host.note(|record| {
                (record.not_offered, record.broken) = (record.not_offered | unknown, record.broken | broken)
            });
            return refusal.to_owned();
        }
        let mut lines = vec!["mx"];
        lines.extend(&script.offers);
        if script.tls == Tls::Absent {
            self.host.note(|record| record.not_offered = true);
        } else if !self.sealed {
            lines.push("STARTTLS");
        }
        let last = lines.len() - 1;
        let line =
            |(number, line): (usize, &&str)| format!("250{}{line}", if number < last { '-' } else { ' ' });
        lines.iter().enumerate().map(line).collect::<Vec<_>>().join("\r\n")
    }

    async fn content(&mut self) -> io::Result<()> {
        if self.recipients.is_empty() && self.dice.bool() {
            return self.say("554 5.5.1 session").await;
        }
        self.say("354 go").await?;
        let mut ticket = 0;
        loop {
            let line = self.line().await?;
            if line == "." {
                break;
            }
            if let Some(number) = line.strip_prefix("Subject: ") {
                ticket = number.parse().unwrap_or_default();
            }
        }
        let recipients = std::mem::take(&mut self.recipients);
        self.mail = false;
        if recipients.is_empty() {
            return self.say("554 5.5.1 session").await;
        }
        if let Some(fault) = self.fault(".").filter(|fault| *fault != "silence") {
            return self.say(fault).await;
        }
        match ticket % 7 {
            3 => return self.say("554 5.7.1 message").await,
            5 => return self.say("451 4.3.0 message").await,
            _ => {}
        }
        self.messages += 1;
        self.host.note(|record| record.taken.extend(recipients.into_iter().map(|to| (ticket, to))));
        self.say("250 2.0.0 taken").await
    }
}
