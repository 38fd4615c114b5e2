//! AUTH (RFC 4954): PLAIN (RFC 4616) and LOGIN, only inside TLS. Passwords are checked elsewhere;
//! connectors decide what a user may do.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Action, Phase, Session, Step};
use crate::connector::{Login, User};
use crate::mail::{Enhanced, Reply};
use crate::smtp::command::{Auth, CommandFault};
use crate::smtp::line::Split;

/// Failed logins after which the session ends.
const LOGINS_FAILED_MAX: u32 = 3;

impl Session {
    pub(super) fn on_auth(&mut self, auth: Auth) -> Option<Action> {
        if self.channel.tls.is_none() && self.table.table().knows_users() {
            return self.refuse_login(538, Enhanced(5, 7, 11), "TLS is required for AUTH");
        }
        if !self.offered().auth {
            return self.refuse("AUTH", CommandFault::NotOffered("AUTH").reply(), None);
        }
        if !matches!(self.phase, Phase::Ready) {
            return self.refuse_login(503, Enhanced(5, 5, 1), "not within a transaction");
        }
        if self.client.as_ref().is_none_or(|client| !client.extended) {
            return self.refuse_login(503, Enhanced(5, 5, 1), "say EHLO first");
        }
        if self.channel.user.is_some() {
            return self.refuse_login(503, Enhanced(5, 5, 1), "you are logged in already");
        }
        let step = match auth.mechanism.as_str() {
            "PLAIN" => Step::Plain,
            "LOGIN" => Step::LoginName,
            _ => return self.refuse_login(504, Enhanced(5, 5, 4), "PLAIN and LOGIN are offered"),
        };
        match auth.initial {
            Some(initial) if initial == "=" => self.on_decoded(step, Vec::new()),
            Some(initial) => self.on_base64(step, initial.as_bytes()),
            None => self.challenge(step),
        }
    }

    /// Handles a line while an AUTH response is awaited.
    pub(super) fn on_response(&mut self, rest: &[u8], step: Step) -> (usize, Option<Action>) {
        let (used, split) = self.lines.next(rest);
        if split != Split::More {
            self.count_line();
            let gives_up = matches!(&split, Split::Line(line) if &**line == b"*");
            self.minutes.iter_mut().for_each(|minutes| minutes.heard_secret(gives_up));
        }
        match split {
            Split::More => {
                self.phase = Phase::Auth(step);
                (used, None)
            }
            Split::Line(line) if &*line == b"*" => {
                self.phase = Phase::Ready;
                (used, self.refuse_login(501, Enhanced(5, 7, 0), "AUTH is given up"))
            }
            Split::Line(line) => {
                let line = line.into_owned();
                (used, self.on_base64(step, &line))
            }
            Split::Fault(fault) => {
                self.phase = Phase::Ready;
                (used, self.refuse("AUTH", fault.reply(), None))
            }
        }
    }

    /// The password was checked; `None` if it was wrong.
    pub fn on_verified(&mut self, user: Option<Arc<User>>) -> Action {
        self.phase = Phase::Ready;
        let Some(user) = user else {
            self.logins_failed = self.logins_failed.saturating_add(1);
            if self.logins_failed >= LOGINS_FAILED_MAX {
                let reply = Reply::new(421, Enhanced(4, 7, 0), "too many failed logins; closing");
                return self.close(&reply);
            }
            let closing = self.refuse_login(535, Enhanced(5, 7, 8), "name or password is wrong");
            return closing.unwrap_or(Action::NeedInput);
        };
        self.channel.user = Some(user);
        // Another connector may apply now.
        self.admission = None;
        self.say(&Reply::new(235, Enhanced(2, 7, 0), "logged in"));
        Action::NeedInput
    }

    /// The password could not be checked in time, or the daemon stops.
    pub fn on_unverified(&mut self) -> Action {
        self.phase = Phase::Ready;
        let closing = self.refuse_login(454, Enhanced(4, 7, 0), "no login now; try again later");
        closing.unwrap_or(Action::NeedInput)
    }

    fn challenge(&mut self, step: Step) -> Option<Action> {
        let text = match step {
            Step::Plain => "",
            Step::LoginName => "Username:",
            Step::LoginPassword(_) => "Password:",
        };
        self.phase = Phase::Auth(step);
        self.say(&Reply::bare(334, STANDARD.encode(text)));
        None
    }

    fn on_base64(&mut self, step: Step, text: &[u8]) -> Option<Action> {
        match STANDARD.decode(text) {
            Ok(octets) => self.on_decoded(step, octets),
            Err(_) => {
                self.phase = Phase::Ready;
                self.refuse_login(501, Enhanced(5, 5, 2), "the response is not base64")
            }
        }
    }

    fn on_decoded(&mut self, step: Step, octets: Vec<u8>) -> Option<Action> {
        self.phase = Phase::Ready;
        let malformed = "the response is not of the form that the mechanism wants";
        let Ok(text) = String::from_utf8(octets) else {
            return self.refuse_login(501, Enhanced(5, 5, 2), malformed);
        };
        let login = match step {
            Step::LoginName => return self.challenge(Step::LoginPassword(text)),
            Step::LoginPassword(name) => Login { name, password: text },
            Step::Plain => {
                let mut parts = text.split('\0');
                match (parts.next(), parts.next(), parts.next(), parts.next()) {
                    // Acting on behalf of another identity is not supported.
                    (Some(acts_for), Some(name), Some(password), None)
                        if acts_for.is_empty() || acts_for == name =>
                    {
                        Login { name: name.to_owned(), password: password.to_owned() }
                    }
                    _ => return self.refuse_login(501, Enhanced(5, 5, 2), malformed),
                }
            }
        };
        self.phase = Phase::Verify;
        Some(Action::Verify(login))
    }

    fn refuse_login(&mut self, code: u16, enhanced: Enhanced, text: &'static str) -> Option<Action> {
        self.refuse("AUTH", Reply::new(code, enhanced, text), None)
    }
}
