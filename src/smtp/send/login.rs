//! AUTH on our side (RFC 4954): only over a session whose permit is of an enforced requirement, so that a
//! password is shown to nobody who did not prove who they are.

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::steps::put;
use super::{LoginAs, NotBegun, Owed, Phase, SendEvent, SendFault, SendSession};
use crate::connector::{Mechanism, Permit};
use crate::mail::Reply;

impl SendSession {
    /// Logs in, before the first transaction.
    ///
    /// # Errors
    /// [`NotBegun`] if the session is in clear, not authorised under an enforced requirement, or busy;
    /// nothing of the secret was written.
    pub fn login(&mut self, login: LoginAs<'_>, out: &mut Vec<u8>) -> Result<(), NotBegun> {
        if !self.sealed || !self.permit.as_ref().is_some_and(Permit::is_enforced) {
            return Err(NotBegun::Unauthorised);
        }
        if self.phase != Phase::Open || !self.transactions.is_empty() {
            return Err(NotBegun::Busy);
        }
        self.given_up = false;
        let LoginAs { mechanism, user, secret } = login;
        let word = mechanism.word();
        match mechanism {
            Mechanism::Plain => {
                let response = STANDARD.encode(format!("\0{user}\0{secret}"));
                put(out, format_args!("AUTH {word} {response}\r\n"));
            }
            Mechanism::Login => {
                self.responses = VecDeque::from([STANDARD.encode(user), STANDARD.encode(secret)]);
                put(out, format_args!("AUTH {word}\r\n"));
            }
            Mechanism::XOAuth2 => {
                let response = STANDARD.encode(format!("user={user}\x01auth=Bearer {secret}\x01\x01"));
                put(out, format_args!("AUTH {word} {response}\r\n"));
                // A token that is refused is explained in a challenge; nothing answers that.
                self.responses = VecDeque::from([String::new()]);
            }
        }
        self.owed.push_back(Owed::Auth);
        Ok(())
    }

    pub(super) fn on_auth(
        &mut self,
        reply: Reply,
        out: &mut Vec<u8>,
    ) -> Result<Option<SendEvent>, SendFault> {
        if reply.code == 334 {
            // `*` gives up (RFC 4954 §4); who asks on after that does not speak SMTP.
            let given_up = std::mem::replace(&mut self.given_up, self.responses.is_empty());
            if given_up {
                return Err(SendFault::Unasked(reply));
            }
            let response = self.responses.pop_front().unwrap_or_else(|| "*".to_owned());
            put(out, format_args!("{response}\r\n"));
            self.owed.push_back(Owed::Auth);
            return Ok(None);
        }
        self.responses.clear();
        if reply.is_positive() {
            return Ok(Some(SendEvent::LoggedIn));
        }
        self.permit = None;
        Ok(Some(SendEvent::LoginRefused(reply)))
    }
}
