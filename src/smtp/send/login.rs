//! AUTH as a client (RFC 4954), only over a session whose permit is for an enforced requirement, so
//! that no password is sent to an unauthenticated server.

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::words::{AwaitedReply, LoginAs, LoginEvent, NotBegun, SendFault};
use super::{Dialogue, Open, put};
use crate::connector::{Mechanism, Permit};
use crate::mail::Reply;
use crate::smtp::hidden::HiddenWords;

/// RFC 4954 §4: the command with an initial response is no longer than any other, CRLF included (RFC 5321 §4.5.3.1.4).
const COMMAND_OCTETS_MAX: usize = 512;

/// A session during its login.
#[derive(Debug)]
pub struct LoggingIn<'a> {
    session: &'a mut Open,
    /// Responses to the server's challenges, in base64.
    responses: VecDeque<String>,
    /// The last challenge was answered with `*`, which cancels.
    given_up: bool,
    over: bool,
}

impl Open {
    /// Logs in, before the first transaction.
    ///
    /// # Errors
    /// [`NotBegun`] if the session is in plaintext, not authorised under an enforced requirement, or
    /// busy; nothing of the secret was written.
    pub fn login(&mut self, login: LoginAs<'_>, out: &mut Vec<u8>) -> Result<LoggingIn<'_>, NotBegun> {
        if !self.over_tls || !self.permit.as_ref().is_some_and(Permit::is_enforced) {
            return Err(NotBegun::Unauthorised);
        }
        if !self.transactions.is_empty() {
            return Err(NotBegun::Busy);
        }
        let LoginAs { mechanism, user, secret } = login;
        let word = mechanism.word();
        let initial = login.initial();
        let mut responses = match mechanism {
            Mechanism::Plain => VecDeque::new(),
            Mechanism::Login => VecDeque::from([STANDARD.encode(user), STANDARD.encode(secret)]),
            // A refused token is explained in a challenge, which gets an empty response.
            Mechanism::XOAuth2 => VecDeque::from([String::new()]),
        };
        self.replies.reader.hide(login.words());
        let initial = initial.map(|initial| STANDARD.encode(initial));
        let line = initial.as_deref().map(|initial| format!("AUTH {word} {initial}\r\n"));
        match (line, initial) {
            (Some(line), Some(_)) if line.len() <= COMMAND_OCTETS_MAX => {
                out.extend_from_slice(line.as_bytes())
            }
            // The response then follows the first challenge, which is empty.
            (_, initial) => {
                put(out, format_args!("AUTH {word}\r\n"));
                initial.into_iter().for_each(|initial| responses.push_front(initial));
            }
        }
        Ok(LoggingIn { session: self, responses, given_up: false, over: false })
    }
}

impl LoginAs<'_> {
    /// What is said at first, before it is encoded; `None`: the server asks for name and password.
    fn initial(&self) -> Option<String> {
        let Self { mechanism, user, secret } = self;
        match mechanism {
            Mechanism::Plain => Some(format!("\0{user}\0{secret}")),
            Mechanism::Login => None,
            Mechanism::XOAuth2 => Some(format!("user={user}\x01auth=Bearer {secret}\x01\x01")),
        }
    }

    /// What it says, which nobody but the server may read.
    #[must_use]
    pub fn words(&self) -> HiddenWords {
        HiddenWords::of_login(self.secret, self.initial().as_deref())
    }
}

impl LoggingIn<'_> {
    fn on_reply(&mut self, reply: Reply, out: &mut Vec<u8>) -> Result<Option<LoginEvent>, SendFault> {
        if reply.code == 334 {
            // `*` cancels (RFC 4954 §4); a server that sends another challenge does not speak SMTP.
            let given_up = std::mem::replace(&mut self.given_up, self.responses.is_empty());
            if given_up {
                self.end();
                return Err(SendFault::Unasked(reply));
            }
            let response = self.responses.pop_front().unwrap_or_else(|| "*".to_owned());
            put(out, format_args!("{response}\r\n"));
            return Ok(None);
        }
        self.over = true;
        if reply.is_positive() {
            return Ok(Some(LoginEvent::LoggedIn));
        }
        self.end();
        let event = if reply.code == 421 { LoginEvent::Closing(reply) } else { LoginEvent::Refused(reply) };
        Ok(Some(event))
    }

    fn end(&mut self) {
        self.over = true;
        self.session.close();
    }
}

impl Dialogue for LoggingIn<'_> {
    type Event = LoginEvent;

    fn feed(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<Option<LoginEvent>, SendFault> {
        while let Some(reply) = self.session.replies.next(input).inspect_err(|_| self.session.close())? {
            if let Some(event) = self.on_reply(reply, out)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn replies(&self) -> u64 {
        self.session.replies.count
    }

    fn awaited(&self) -> AwaitedReply {
        if self.over { AwaitedReply::Nothing } else { AwaitedReply::Command }
    }
}
