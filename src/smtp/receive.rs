//! The server side of an inbound session (RFC 5321), without a socket: octets and events go in, replies
//! and actions come out. `connector` decides which connector a transaction belongs to.

mod asked;
mod brakes;
mod chunks;
mod echoed;
mod header;
mod lenient;
mod login;
mod minutes;
mod opening;
mod quota;
mod recorded;
mod repeats;
mod reply;
mod room;
mod shown;
mod tally;
mod transaction;
mod values;

pub use brakes::{BrakeBook, BrakedConnector, Brakes};
pub use minutes::Spoken;
pub use quota::Quotas;
pub use repeats::RepeatedRefusals;
pub use room::{Fullness, Measure, Reservation, Room};
pub use tally::Patience;
pub use values::{
    Action, CountedRefusal, Question, ReceivedMessage, RecipientVerifier, Refusal, Rules, StoreRefusal,
    Upgrade,
};

use quota::Share;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use super::chunk::ChunkScanner;
use super::command::{Command, CommandFault, MailFrom};
use super::data::{ContentSink, Scanner};
use super::line::{LineSplitter, Split};
use crate::connector::{
    Admission, Channel, Decision, Inbound, Outbound, SessionTable, TlsFacts, TransactionGuard,
};
use crate::mail::{
    Domain, Enhanced, Envelope, Mailbox, MailboxDomain, QueueId, Recipient, Reply, UnixMillis,
};
use header::HeaderStage;
use minutes::Minutes;
use repeats::Repeats;
use tally::Tally;

/// The state machine of one inbound session.
#[derive(Debug)]
pub struct Session {
    rules: Arc<Rules>,
    /// The table that the session goes by: the one in effect at its last EHLO or MAIL.
    table: SessionTable,
    channel: Channel,
    upgrade: Upgrade,
    phase: Phase,
    client: Option<Client>,
    lines: LineSplitter,
    out: Vec<u8>,
    refusals: Vec<Refusal>,
    counted: Vec<CountedRefusal>,
    repeats: Repeats,
    tally: Tally,
    /// Complete lines read.
    lines_read: u64,
    /// Lines read since the pending replies were last taken.
    lines_in_turn: u32,
    /// Failed logins.
    logins_failed: u32,
    /// Octets still to come of a chunk that was refused.
    unwanted: u64,
    /// The session's share of its connectors' limits.
    share: Share,
    /// The last answer to MAIL FROM, with the reverse-path's domain; `None` is the null reverse-path.
    admission: Option<(Option<MailboxDomain>, Admission)>,
    /// The handshake without an assessment, if the one that was made no longer holds.
    unassessed_again: Option<Arc<TlsFacts>>,
    /// What was said, if anybody wants to know.
    minutes: Option<Box<Minutes>>,
}

/// The name the client gave, and whether it used EHLO or HELO.
#[derive(Debug)]
struct Client {
    name: String,
    extended: bool,
}

/// Which AUTH response is awaited.
#[derive(Debug)]
enum Step {
    /// `authzid NUL authcid NUL passwd`.
    Plain,
    /// The user name.
    LoginName,
    /// The password for this user name.
    LoginPassword(String),
}

#[derive(Debug)]
enum Phase {
    /// Commands, outside a transaction.
    Ready,
    /// Between MAIL and DATA.
    Envelope(Box<Transaction>),
    /// The next hop is being asked about a recipient.
    Asked(Box<Transaction>, Box<(Recipient, Arc<Outbound>)>),
    /// Between DATA and the end of the content.
    Content(Box<Transaction>, Scanner, OpenTransaction),
    /// Within a chunk.
    Chunk(Box<ChunkedMessage>, Left),
    /// Between chunks.
    Chunks(Box<ChunkedMessage>),
    /// The message is being committed.
    Commit(QueueId),
    /// The client's AUTH response is awaited.
    Auth(Step),
    /// A password is being checked.
    Verify,
    /// The client's chain is being assessed, since this MAIL FROM asks what it is worth.
    Assess(Box<MailFrom>),
    /// The client may start the handshake. Until it completes, the transaction is kept.
    Handshake(Option<Box<Transaction>>),
    /// The session is over.
    Closed,
}

#[derive(Debug, Clone, Copy)]
struct OpenTransaction {
    id: QueueId,
    at: UnixMillis,
}

/// A message that arrives in chunks.
#[derive(Debug)]
struct ChunkedMessage {
    transaction: Box<Transaction>,
    scanner: ChunkScanner,
    opened: OpenTransaction,
}

/// What is left of a chunk.
#[derive(Debug, Clone, Copy)]
struct Left {
    octets: u64,
    last: bool,
}

#[derive(Debug)]
struct Transaction {
    envelope: Envelope,
    ways: Vec<Arc<Outbound>>,
    /// The echo mailbox, if it is a recipient: not among those of the envelope.
    echo: Option<Mailbox>,
    connector: Arc<Inbound>,
    decision: Arc<Decision>,
    declared: u64,
    header: HeaderStage,
    /// The organisation it comes from, if one of our own systems says so.
    originator: Option<Domain>,
    /// Recipients refused so far.
    refused: usize,
    /// Registers it, so that a stricter table can wait for it.
    _guard: TransactionGuard,
}

impl Session {
    /// A new session; already inside TLS if facts are given. The greeting waits in the output.
    #[must_use]
    pub fn start(
        rules: Arc<Rules>,
        table: SessionTable,
        peer: IpAddr,
        upgrade: Upgrade,
        tls: Option<Arc<TlsFacts>>,
    ) -> Self {
        let greeting = Reply::bare(220, format!("{} ESMTP Sealpost", rules.name));
        let mut session = Self {
            share: Share::new(Arc::clone(&rules.quotas)),
            channel: Channel { listener: Some(Arc::clone(&rules.listener)), peer, tls, user: None },
            rules,
            table,
            upgrade,
            phase: Phase::Ready,
            client: None,
            lines: LineSplitter::default(),
            out: Vec::new(),
            refusals: Vec::new(),
            counted: Vec::new(),
            repeats: Repeats::default(),
            tally: Tally::default(),
            lines_read: 0,
            lines_in_turn: 0,
            logins_failed: 0,
            unwanted: 0,
            admission: None,
            unassessed_again: None,
            minutes: None,
        };
        session.say(&greeting);
        session
    }

    /// Takes input up to the next action, and returns how many octets that was. However much input
    /// there is, one turn answers few commands: pending replies stay small until the client reads them.
    pub fn feed(&mut self, input: &[u8], sink: &mut dyn ContentSink) -> (usize, Action) {
        let mut at = 0_usize;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            if rest.is_empty() {
                return (at, Action::NeedInput);
            }
            if self.lines_in_turn >= LINES_PER_TURN_MAX || self.out.len() >= OWED_BYTES_MAX {
                return (at, Action::Flush);
            }
            let reading = self.reads_content();
            let before = self.minutes.as_mut().filter(|_| reading).map(|minutes| minutes.begin_reading());
            let skipped = self.skip_unwanted(rest.len());
            if skipped > 0 {
                self.count_content(skipped, before);
                at = at.saturating_add(skipped);
                continue;
            }
            let (used, action) = match mem::replace(&mut self.phase, Phase::Closed) {
                Phase::Content(transaction, scanner, opened) => {
                    self.on_content(rest, (transaction, scanner, opened), sink)
                }
                Phase::Chunk(chunked, left) => self.on_chunk(rest, chunked, left, sink),
                phase @ (Phase::Ready | Phase::Envelope(_) | Phase::Chunks(_)) => {
                    self.phase = phase;
                    self.on_octets(rest, sink)
                }
                Phase::Auth(step) => self.on_response(rest, step),
                phase @ (Phase::Commit(_)
                | Phase::Handshake(_)
                | Phase::Verify
                | Phase::Assess(_)
                | Phase::Asked(..)) => {
                    self.phase = phase;
                    return (at, Action::NeedInput);
                }
                Phase::Closed => return (input.len(), Action::Close),
            };
            self.count_content(used, before);
            at = at.saturating_add(used);
            match action {
                None => {}
                Some(action) => return (at, action),
            }
        }
    }

    /// The handshake is done. Anything received before it may have been injected by an attacker, so the
    /// session starts over and waits for a new EHLO (RFC 3207 §4.2).
    pub fn on_tls(&mut self, facts: Arc<TlsFacts>) {
        self.channel.tls = Some(facts);
        self.upgrade = Upgrade::Never;
        self.phase = Phase::Ready;
        self.client = None;
        self.admission = None;
        self.tally.turn_over();
        self.lines.clear();
    }

    /// The spool's answer to a commit. Only now do we own the message (RFC 5321 §6.1), or refuse it.
    pub fn on_stored(&mut self, result: Result<(), StoreRefusal>) -> Action {
        let Phase::Commit(id) = mem::replace(&mut self.phase, Phase::Ready) else {
            return self.close(&Reply::new(451, Enhanced(4, 3, 0), "out of order"));
        };
        match result {
            Ok(()) => {
                self.tally.clear();
                self.say(&Reply::new(250, Enhanced(2, 0, 0), format!("accepted as {id}")));
            }
            Err(StoreRefusal::Full) => {
                self.refuse(
                    "content",
                    Reply::new(452, Enhanced(4, 3, 1), "insufficient storage; try again later"),
                    None,
                );
            }
            Err(StoreRefusal::Failed) => {
                self.refuse(
                    "content",
                    Reply::new(451, Enhanced(4, 3, 0), "the message could not be stored; try again later"),
                    None,
                );
            }
        }
        Action::NeedInput
    }

    /// Something did not arrive in time (RFC 5321 §4.5.3.2.7); `words` says what we did.
    pub fn on_timeout(&mut self, words: &'static str) -> Action {
        let text = format!("{} {words}; closing", self.rules.name);
        self.close(&Reply::new(421, Enhanced(4, 4, 2), text))
    }

    /// Ends the session with 421 because the daemon stops.
    pub fn on_shutdown(&mut self) -> Action {
        self.close(&Reply::new(
            421,
            Enhanced(4, 3, 2),
            format!("{} is shutting down; closing", self.rules.name),
        ))
    }

    fn on_octets(&mut self, rest: &[u8], sink: &mut dyn ContentSink) -> (usize, Option<Action>) {
        let (used, split) = self.lines.next(rest);
        let parsed = match split {
            Split::More => return (used, None),
            Split::Line(line) => {
                let parsed = self.parse(&line);
                if let Some(minutes) = &mut self.minutes {
                    minutes.heard(&line, &parsed);
                }
                parsed
            }
            Split::Fault(fault) => {
                self.minutes.iter_mut().for_each(|minutes| minutes.heard_malformed());
                Err(fault)
            }
        };
        self.count_line();
        let action = match parsed {
            // RFC 3207 §4.2, and the injection it missed: octets that came in plaintext together with
            // STARTTLS must never be processed as if they had come over TLS.
            Ok(Command::StartTls) if used < rest.len() => Some(self.on_injection()),
            Ok(command) => self.on_command(command, sink),
            Err(fault) => self.on_fault(&fault),
        };
        (used, action)
    }

    fn on_injection(&mut self) -> Action {
        let reply = Reply::new(554, Enhanced(5, 5, 1), "nothing may follow STARTTLS before the handshake");
        let action = self.close(&reply);
        self.keep_refusal("STARTTLS", reply);
        action
    }

    fn on_fault(&mut self, fault: &CommandFault) -> Option<Action> {
        if *fault == CommandFault::Chunk {
            let action = self.refuse("command", fault.reply(), None);
            self.phase = Phase::Closed;
            return action.or(Some(Action::Close));
        }
        self.refuse("command", fault.reply(), None)
    }

    fn on_command(&mut self, command: Command, sink: &mut dyn ContentSink) -> Option<Action> {
        let sealed_only = match self.upgrade {
            Upgrade::Required | Upgrade::Broken { required: true } => true,
            Upgrade::Never | Upgrade::Offered | Upgrade::Broken { required: false } => false,
        };
        let ends = matches!(command, Command::Ehlo(_) | Command::Helo(_) | Command::Rset | Command::Quit);
        if ends && matches!(self.phase, Phase::Chunks(_)) {
            sink.discard();
        }
        if is_without_effect(&command) && self.tally.waste(self.rules.patience) {
            return Some(self.close_for_waste());
        }
        match command {
            Command::Ehlo(name) => self.on_hello(name, true),
            Command::Helo(name) => self.on_hello(name, false),
            Command::StartTls => self.on_starttls(),
            Command::Rset => {
                self.phase = Phase::Ready;
                self.tally.turn_over();
                self.answer(250, Enhanced(2, 0, 0), "reset")
            }
            Command::Noop => self.answer(250, Enhanced(2, 0, 0), "ok"),
            Command::Help => self.answer(
                214,
                Enhanced(2, 0, 0),
                "EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT",
            ),
            Command::Quit => {
                self.phase = Phase::Closed;
                self.say(&Reply::new(221, Enhanced(2, 0, 0), format!("{} closing", self.rules.name)));
                Some(Action::Quit)
            }
            Command::Mail(_)
            | Command::Rcpt(_)
            | Command::Data
            | Command::Bdat(_)
            | Command::Auth(_)
            | Command::Vrfy
            | Command::Expn
                if sealed_only =>
            {
                let reply = Reply::new(530, Enhanced(5, 7, 0), "must issue a STARTTLS command first");
                if let Command::Bdat(chunk) = command {
                    return self.refuse_chunk(chunk, reply);
                }
                self.refuse("command", reply, None)
            }
            Command::Mail(mail) => self.on_mail(mail),
            Command::Rcpt(rcpt) => self.on_rcpt(rcpt),
            Command::Data => self.on_data(sink),
            Command::Bdat(chunk) => self.on_bdat(chunk, sink),
            Command::Auth(auth) => self.on_auth(auth),
            Command::Vrfy => self.answer(252, Enhanced(2, 5, 2), "cannot verify; send mail and see"),
            Command::Expn => self.refuse("command", CommandFault::NotOffered("EXPN").reply(), None),
        }
    }
}

/// Whether the command does nothing to advance a message, however often it is repeated.
fn is_without_effect(command: &Command) -> bool {
    match command {
        Command::Ehlo(_)
        | Command::Helo(_)
        | Command::Rset
        | Command::Noop
        | Command::Help
        | Command::Vrfy => true,
        Command::StartTls
        | Command::Mail(_)
        | Command::Rcpt(_)
        | Command::Data
        | Command::Bdat(_)
        | Command::Auth(_)
        | Command::Expn
        | Command::Quit => false,
    }
}

/// Lines answered before the replies are sent and other sessions get a turn.
const LINES_PER_TURN_MAX: u32 = 50;
/// Octets of pending replies above which nothing more is answered until they are sent.
const OWED_BYTES_MAX: usize = 4_096;

#[cfg(test)]
mod tests;
