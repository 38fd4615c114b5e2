//! The session before its first transaction: greeting, EHLO, STARTTLS, and EHLO again inside TLS. It
//! makes no handshake itself.

use std::borrow::Cow;

use super::words::{AwaitedReply, Hello, OpeningEvent, SecuredEvent, SendFault};
use super::{Dialogue, Open, Permit, Replies, put};
use crate::connector::{HandshakeFault, SecuringFault, SessionId};
use crate::mail::Reply;
use crate::smtp::Offers;

/// A session on a new connection, up to plaintext or the handshake.
#[derive(Debug)]
pub struct Opening {
    id: SessionId,
    hello: Hello,
    replies: Replies,
    state: State,
    offers: Offers,
    banner: Option<Cow<'static, str>>,
    /// STARTTLS was said.
    asked: bool,
    /// What was said to STARTTLS, where that was refused.
    refused: Option<Reply>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The reply to this step is awaited.
    Awaiting(Step),
    /// It continues in plaintext.
    InClear,
    /// The handshake is next.
    Handshake,
    /// With implicit TLS the handshake comes before anything is sent.
    Implicit,
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    /// Said after STARTTLS was refused, to learn whether the server goes on.
    Noop,
}

/// The session after a permit was granted.
#[derive(Debug)]
pub enum AuthorisedSession {
    /// Plaintext: transactions may begin.
    Open(Open),
    /// TLS: EHLO is sent again first.
    Secured(SecuredSession),
}

impl Opening {
    /// A session on a new connection, waiting for the greeting.
    #[must_use]
    pub fn new(hello: Hello) -> Self {
        let state = if hello.implicit { State::Implicit } else { State::Awaiting(Step::Greeting) };
        let (id, replies, offers) = (SessionId::new(), Replies::default(), Offers::default());
        Self { id, hello, replies, state, offers, banner: None, asked: false, refused: None }
    }

    /// The session ID that a permit is bound to.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The text of the server's greeting.
    #[must_use]
    pub fn banner(&self) -> Option<&str> {
        self.banner.as_deref()
    }

    /// Takes the judge's permit for this session. `None`: it is not at the end of its opening.
    ///
    /// RFC 3207 §4.2: anything received before the handshake may have been injected, so it is
    /// discarded, and EHLO is sent again.
    #[must_use]
    pub fn authorise(self, permit: Permit, out: &mut Vec<u8>) -> Option<AuthorisedSession> {
        let Self { id, hello, replies, state, offers, banner, .. } = self;
        let owed = match state {
            State::InClear => return Some(AuthorisedSession::Open(Open::new(id, replies, offers, permit))),
            State::Handshake => SecuredStep::Ehlo,
            State::Implicit => SecuredStep::Greeting,
            State::Awaiting(_) | State::Over => return None,
        };
        let mut secured =
            SecuredSession { id, hello, replies, owed: Some(owed), offers: None, banner, permit };
        if owed == SecuredStep::Ehlo {
            secured.say_ehlo(out);
        }
        Some(AuthorisedSession::Secured(secured))
    }

    /// What it means for TLS that the session ended here without a reply, for this reason. `None`: nothing, since
    /// STARTTLS was not said.
    #[must_use]
    pub fn ended_by(&self, why: &str) -> Option<SecuringFault> {
        match &self.refused {
            Some(reply) => Some(SecuringFault::Refused(reply.clone())),
            None if self.asked => {
                Some(SecuringFault::Handshake(HandshakeFault::new(format!("after STARTTLS {why}"))))
            }
            None => None,
        }
    }

    fn say(&mut self, step: Step, word: &str, out: &mut Vec<u8>) {
        put(out, format_args!("{word} {}\r\n", self.hello.name));
        self.state = State::Awaiting(step);
    }

    fn end(&mut self, state: State, event: OpeningEvent) -> Option<OpeningEvent> {
        self.state = state;
        Some(event)
    }

    fn on_reply(
        &mut self,
        reply: Reply,
        more: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<OpeningEvent>, SendFault> {
        let State::Awaiting(step) = self.state else { return Err(SendFault::Unasked(reply)) };
        if reply.code == 421 && step != Step::Greeting {
            let event = match (step, self.refused.take()) {
                (Step::Noop, Some(refusal)) => OpeningEvent::RefusedAndClosed(refusal),
                (Step::StartTls, _) => OpeningEvent::RefusedAndClosed(reply),
                (Step::Greeting | Step::Ehlo | Step::Helo | Step::Noop, _) => OpeningEvent::Closing(reply),
            };
            return Ok(self.end(State::Over, event));
        }
        Ok(match step {
            Step::Greeting if reply.code == 220 => {
                self.banner = Some(reply.text);
                self.say(Step::Ehlo, "EHLO", out);
                None
            }
            Step::Greeting => self.end(State::Over, OpeningEvent::NotGreeted(reply)),
            Step::StartTls if reply.code == 220 && more => return Err(SendFault::AfterStartTls),
            Step::StartTls if reply.code == 220 => self.end(State::Handshake, OpeningEvent::Handshake),
            // RFC 3207 §4: the client decides whether it goes on. Many servers do not: this is found out before an
            // envelope depends on it. Where plaintext is out of the question nothing more is said.
            Step::StartTls if self.hello.helo => {
                self.refused = Some(reply);
                out.extend_from_slice(b"NOOP\r\n");
                self.state = State::Awaiting(Step::Noop);
                None
            }
            Step::StartTls => self.end(State::InClear, OpeningEvent::InClear(Some(reply))),
            Step::Noop => {
                let refused = self.refused.take();
                self.end(State::InClear, OpeningEvent::InClear(refused))
            }
            Step::Ehlo | Step::Helo if reply.is_positive() => self.on_hello(step, &reply, out),
            // RFC 5321 §3.2: HELO is for servers that don't know EHLO. Any other refusal is about us, and an administrator
            // has to read it.
            Step::Ehlo if is_unknown_command(&reply) && self.hello.helo => {
                self.say(Step::Helo, "HELO", out);
                None
            }
            // A server that does not know EHLO offers no STARTTLS. If HELO must not follow, the judge
            // has to know that; without a permit nothing more is sent.
            Step::Ehlo if is_unknown_command(&reply) => self.end(State::InClear, OpeningEvent::InClear(None)),
            Step::Ehlo | Step::Helo => self.end(State::Over, OpeningEvent::HelloRefused(reply)),
        })
    }

    fn on_hello(&mut self, step: Step, reply: &Reply, out: &mut Vec<u8>) -> Option<OpeningEvent> {
        let ignored = &self.hello.ignored;
        self.offers = if step == Step::Ehlo { Offers::read(reply, ignored) } else { Offers::default() };
        if self.offers.starttls && self.hello.starttls {
            out.extend_from_slice(b"STARTTLS\r\n");
            self.asked = true;
            self.state = State::Awaiting(Step::StartTls);
            return None;
        }
        self.end(State::InClear, OpeningEvent::InClear(None))
    }
}

impl Dialogue for Opening {
    type Event = OpeningEvent;

    fn feed(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<Option<OpeningEvent>, SendFault> {
        while let Some(reply) = self.replies.next(input).inspect_err(|_| self.state = State::Over)? {
            let event = self.on_reply(reply, !input.is_empty(), out);
            if let Some(event) = event.inspect_err(|_| self.state = State::Over)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn replies(&self) -> u64 {
        self.replies.count
    }

    fn awaited(&self) -> AwaitedReply {
        match self.state {
            State::Awaiting(Step::StartTls) => AwaitedReply::StartTls,
            State::Awaiting(Step::Greeting | Step::Ehlo | Step::Helo | Step::Noop) => AwaitedReply::Command,
            State::InClear | State::Handshake | State::Implicit | State::Over => AwaitedReply::Nothing,
        }
    }
}

/// Whether the server does not know the command, or not with an argument (RFC 5321 §4.2.3).
fn is_unknown_command(reply: &Reply) -> bool {
    matches!(reply.code, 500 | 502 | 504)
}

/// A session after the handshake and the judgement, up to the EHLO reply inside TLS.
#[derive(Debug)]
pub struct SecuredSession {
    id: SessionId,
    hello: Hello,
    replies: Replies,
    owed: Option<SecuredStep>,
    offers: Option<Offers>,
    banner: Option<Cow<'static, str>>,
    permit: Permit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SecuredStep {
    Greeting,
    Ehlo,
}

impl SecuredSession {
    /// The open session once EHLO was answered; `None` before.
    #[must_use]
    pub fn open(self) -> Option<Open> {
        Some(Open::new(self.id, self.replies, self.offers?, self.permit).over_tls())
    }

    /// The text of the server's greeting.
    #[must_use]
    pub fn banner(&self) -> Option<&str> {
        self.banner.as_deref()
    }

    fn say_ehlo(&mut self, out: &mut Vec<u8>) {
        put(out, format_args!("EHLO {}\r\n", self.hello.name));
        self.owed = Some(SecuredStep::Ehlo);
    }

    fn on_reply(&mut self, reply: Reply, out: &mut Vec<u8>) -> Result<Option<SecuredEvent>, SendFault> {
        let Some(owed) = self.owed.take() else { return Err(SendFault::Unasked(reply)) };
        Ok(match owed {
            SecuredStep::Greeting if reply.code == 220 => {
                self.banner = Some(reply.text);
                self.say_ehlo(out);
                None
            }
            SecuredStep::Greeting => Some(SecuredEvent::NotGreeted(reply)),
            SecuredStep::Ehlo if reply.code == 421 => Some(SecuredEvent::Closing(reply)),
            SecuredStep::Ehlo if reply.is_positive() => {
                self.offers = Some(Offers::read(&reply, &self.hello.ignored));
                Some(SecuredEvent::Ready)
            }
            SecuredStep::Ehlo => Some(SecuredEvent::HelloRefused(reply)),
        })
    }
}

impl Dialogue for SecuredSession {
    type Event = SecuredEvent;

    fn feed(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<Option<SecuredEvent>, SendFault> {
        while let Some(reply) = self.replies.next(input).inspect_err(|_| self.owed = None)? {
            if let Some(event) = self.on_reply(reply, out)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn replies(&self) -> u64 {
        self.replies.count
    }

    fn awaited(&self) -> AwaitedReply {
        if self.owed.is_some() { AwaitedReply::Command } else { AwaitedReply::Nothing }
    }
}
