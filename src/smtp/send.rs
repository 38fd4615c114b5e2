//! The outbound session, from the greeting to QUIT: replies come in, commands go out into a
//! buffer. It makes no TLS handshake, judges nothing, and reads no content; it only knows what may
//! be said next.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::mem;

use super::answer::{AnswerReader, Offers};
use crate::connector::{Permit, SessionId};
use crate::mail::Reply;

mod envelope;
mod login;
mod steps;
mod words;

use steps::{Transaction, put};
pub use words::{Awaited, Demand, Finished, LoginAs, MailFrom, NotBegun, Opening, SendEvent, SendFault};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Auth,
    Rset,
    Mail,
    Rcpt(usize),
    Data,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Handshake,
    Open,
    Closed,
}

/// One outbound session.
#[derive(Debug)]
pub struct SendSession {
    id: SessionId,
    opening: Opening,
    phase: Phase,
    sealed: bool,
    reader: AnswerReader,
    offers: Offers,
    permit: Option<Permit>,
    owed: VecDeque<Owed>,
    transactions: VecDeque<Transaction>,
    /// A transaction ended without its content: the server may still hold its envelope.
    reset_due: bool,
    /// Whole replies taken so far.
    replies: u64,
    banner: Option<Cow<'static, str>>,
    /// What answers the server's challenges, in base64.
    responses: VecDeque<String>,
    /// The last challenge was answered by giving up.
    given_up: bool,
}

impl SendSession {
    /// A session on a fresh connection, waiting for the greeting.
    #[must_use]
    pub fn new(opening: Opening) -> Self {
        let sealed = opening.implicit;
        Self {
            id: SessionId::new(),
            opening,
            phase: Phase::Opening,
            sealed,
            reader: AnswerReader::default(),
            offers: Offers::default(),
            permit: None,
            owed: VecDeque::from([Owed::Greeting]),
            transactions: VecDeque::new(),
            reset_due: false,
            replies: 0,
            banner: None,
            responses: VecDeque::new(),
            given_up: false,
        }
    }

    /// The name by which a permit is bound to it.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// What the server offers now.
    #[must_use]
    pub fn offers(&self) -> Offers {
        self.offers
    }

    /// What the server greeted with.
    #[must_use]
    pub fn banner(&self) -> Option<&str> {
        self.banner.as_deref()
    }

    /// How many whole replies have been taken: the limit for the next one begins when it changes.
    #[must_use]
    pub fn replies(&self) -> u64 {
        self.replies
    }

    /// What the session waits for.
    #[must_use]
    pub fn awaited(&self) -> Awaited {
        match self.owed.front() {
            None => Awaited::Nothing,
            Some(Owed::StartTls) => Awaited::StartTls,
            Some(Owed::Data) => Awaited::Data,
            Some(Owed::End) => Awaited::End,
            Some(
                Owed::Greeting
                | Owed::Ehlo
                | Owed::Helo
                | Owed::Auth
                | Owed::Rset
                | Owed::Mail
                | Owed::Rcpt(_),
            ) => Awaited::Command,
        }
    }

    /// Whether a transaction could be begun now, if a permit covers it: none is under way, or, with
    /// PIPELINING, the one that is has sent its content (RFC 2920 §3.1 lets commands follow it).
    #[must_use]
    pub fn is_free(&self) -> bool {
        let chained =
            || self.offers.pipelining && self.owed.len() == 1 && self.owed.front() == Some(&Owed::End);
        self.phase == Phase::Open && (self.transactions.is_empty() || chained())
    }

    /// Takes octets that came until something happens; commands due meanwhile go to `out`. `None`:
    /// write `out`, and read on.
    ///
    /// # Errors
    /// A [`SendFault`]; the session is over then.
    pub fn feed(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<Option<SendEvent>, SendFault> {
        loop {
            let taken = self.reader.take(input);
            let Some(reply) = taken.inspect_err(|_| self.close())? else { return Ok(None) };
            self.replies = self.replies.wrapping_add(1);
            let event = self.on_reply(reply, !input.is_empty(), out).inspect_err(|_| self.close())?;
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// The handshake is done. RFC 3207 §4.2: what was said before it may be planted, so it is
    /// forgotten, and EHLO is said again.
    pub fn sealed(&mut self, out: &mut Vec<u8>) {
        // With implicit TLS the greeting is still to come, and EHLO follows it.
        if self.opening.implicit {
            return;
        }
        if self.phase != Phase::Handshake {
            return self.close();
        }
        self.phase = Phase::Opening;
        self.sealed = true;
        self.hello(Owed::Ehlo, out);
    }

    /// Hands over what the judge made for this session. An earlier permit is void.
    pub fn authorise(&mut self, permit: Permit) {
        if self.phase != Phase::Closed {
            self.permit = Some(permit);
        }
    }

    /// The content has been sent, or is about to be in the same write: `out` gets the final dot.
    pub fn end_content(&mut self, out: &mut Vec<u8>) {
        if self.transactions.back().is_none_or(|t| t.chunk.is_none()) {
            out.extend_from_slice(b".\r\n");
        }
        self.owed.push_back(Owed::End);
        if let Some(transaction) = self.transactions.back_mut() {
            transaction.so_far.sent = true;
        }
    }

    /// Says QUIT and ends the session; nobody needs to wait for the answer.
    pub fn quit(&mut self, out: &mut Vec<u8>) {
        self.close();
        out.extend_from_slice(b"QUIT\r\n");
    }

    /// Ends the session and tells how far each transaction came, the oldest first.
    pub fn abandon(&mut self) -> Vec<Finished> {
        self.close();
        mem::take(&mut self.transactions).into_iter().map(|t| t.so_far).collect()
    }

    fn close(&mut self) {
        self.phase = Phase::Closed;
        self.permit = None;
        self.responses.clear();
        self.owed.clear();
        self.transactions.iter_mut().for_each(|t| t.unsent.clear());
    }

    fn hello(&mut self, verb: Owed, out: &mut Vec<u8>) {
        let word = if verb == Owed::Helo { "HELO" } else { "EHLO" };
        put(out, format_args!("{word} {}\r\n", self.opening.name));
        self.owed.push_back(verb);
    }

    /// Without PIPELINING: the next command, once the last one was answered.
    fn go_on(&mut self, out: &mut Vec<u8>) {
        if !self.owed.is_empty() {
            return;
        }
        if let Some((owed, line)) = self.transactions.back_mut().and_then(|t| t.unsent.pop_front()) {
            out.extend_from_slice(&line);
            self.owed.push_back(owed);
        }
    }

    fn on_reply(
        &mut self,
        reply: Reply,
        more: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<SendEvent>, SendFault> {
        let owed = self.owed.pop_front();
        if reply.code == 421 && owed != Some(Owed::Greeting) {
            self.close();
            return Ok(Some(SendEvent::Closing(reply)));
        }
        match owed {
            None => Err(SendFault::Unasked(reply)),
            Some(owed @ (Owed::Greeting | Owed::Ehlo | Owed::Helo | Owed::StartTls)) => {
                self.on_opening(owed, reply, more, out)
            }
            Some(Owed::Auth) => self.on_auth(reply, out),
            Some(owed @ (Owed::Rset | Owed::Mail | Owed::Rcpt(_) | Owed::Data | Owed::End)) => {
                Ok(self.on_transaction(owed, reply, out))
            }
        }
    }

    fn on_opening(
        &mut self,
        owed: Owed,
        reply: Reply,
        more: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<SendEvent>, SendFault> {
        match owed {
            Owed::Greeting if reply.code == 220 => {
                self.banner = Some(reply.text);
                self.hello(Owed::Ehlo, out);
                Ok(None)
            }
            Owed::Greeting => {
                self.close();
                Ok(Some(SendEvent::NotGreeted(reply)))
            }
            Owed::StartTls if reply.code == 220 && more => Err(SendFault::AfterStartTls),
            Owed::StartTls if reply.code == 220 => {
                self.phase = Phase::Handshake;
                self.offers = Offers::default();
                self.permit = None;
                Ok(Some(SendEvent::Handshake))
            }
            Owed::StartTls => {
                self.phase = Phase::Open;
                Ok(Some(SendEvent::InClear(Some(reply))))
            }
            Owed::Ehlo | Owed::Helo if reply.is_positive() => Ok(self.on_hello(owed, &reply, out)),
            // RFC 5321 §3.2: HELO is for servers that don't know EHLO, so for 5yz alone.
            Owed::Ehlo if reply.is_permanent() && self.opening.helo && !self.sealed => {
                self.hello(Owed::Helo, out);
                Ok(None)
            }
            // A server that knows no EHLO offers no STARTTLS. Where HELO must not follow, that is what
            // the judge has to know; without a permit nothing more is said.
            Owed::Ehlo if reply.is_permanent() && !self.sealed => {
                self.phase = Phase::Open;
                Ok(Some(SendEvent::InClear(None)))
            }
            Owed::Ehlo | Owed::Helo => {
                self.close();
                Ok(Some(SendEvent::HelloRefused(reply)))
            }
            Owed::Auth | Owed::Rset | Owed::Mail | Owed::Rcpt(_) | Owed::Data | Owed::End => {
                Err(SendFault::Unasked(reply))
            }
        }
    }

    fn on_hello(&mut self, owed: Owed, reply: &Reply, out: &mut Vec<u8>) -> Option<SendEvent> {
        let ignored = &self.opening.ignored;
        self.offers = if owed == Owed::Ehlo { Offers::read(reply, ignored) } else { Offers::default() };
        if self.sealed {
            self.phase = Phase::Open;
            return Some(SendEvent::Ready);
        }
        if self.offers.starttls && self.opening.starttls {
            out.extend_from_slice(b"STARTTLS\r\n");
            self.owed.push_back(Owed::StartTls);
            return None;
        }
        self.phase = Phase::Open;
        Some(SendEvent::InClear(None))
    }

    fn on_transaction(&mut self, owed: Owed, reply: Reply, out: &mut Vec<u8>) -> Option<SendEvent> {
        if owed == Owed::End {
            let mut finished = self.transactions.pop_front()?.so_far;
            finished.end = Some(reply);
            return Some(SendEvent::Done(finished));
        }
        let transaction = self.transactions.back_mut()?;
        let so_far = &mut transaction.so_far;
        match owed {
            Owed::Mail => {
                so_far.begun = true;
                so_far.mail = (!reply.is_positive()).then_some(reply);
            }
            Owed::Rcpt(number) => {
                if let Some(slot) = so_far.recipients.get_mut(number) {
                    *slot = (!reply.is_positive()).then_some(reply);
                }
            }
            Owed::Data if reply.code == 354 => return self.on_go_ahead(out),
            Owed::Data => so_far.data = Some(reply),
            // RSET can't fail; a server that says otherwise will say so to MAIL as well.
            Owed::Rset
            | Owed::Greeting
            | Owed::Ehlo
            | Owed::Helo
            | Owed::StartTls
            | Owed::Auth
            | Owed::End => {}
        }
        let hopeless = !so_far.has_taker() && matches!(transaction.unsent.front(), Some((Owed::Data, _)))
            || so_far.mail.is_some() && !transaction.unsent.is_empty();
        if owed == Owed::Data || hopeless {
            let finished = self.transactions.pop_back()?.so_far;
            self.reset_due = finished.mail.is_none();
            return Some(SendEvent::Done(finished));
        }
        self.go_on(out);
        if self.owed.is_empty() {
            // The last recipient was answered, and no DATA follows: content in a chunk does, or nothing.
            if let Some(octets) =
                self.transactions.back().filter(|t| t.so_far.has_taker()).and_then(|t| t.chunk)
            {
                put(out, format_args!("BDAT {octets} LAST\r\n"));
                return Some(SendEvent::SendContent);
            }
            let finished = self.transactions.pop_back()?.so_far;
            self.reset_due = finished.mail.is_none();
            return Some(SendEvent::Done(finished));
        }
        None
    }

    fn on_go_ahead(&mut self, out: &mut Vec<u8>) -> Option<SendEvent> {
        let taker = self.transactions.back().is_some_and(|t| t.so_far.has_taker());
        if taker {
            return Some(SendEvent::SendContent);
        }
        // RFC 2920 §3.1: 354 though every recipient was refused: an empty message ends it, and the
        // server is to refuse it.
        out.extend_from_slice(b".\r\n");
        self.owed.push_back(Owed::End);
        None
    }
}

#[cfg(test)]
mod tests;
