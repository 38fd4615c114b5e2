//! Handles EHLO, HELO and STARTTLS, and what the session offers. It makes no TLS handshake.

use super::{Action, Client, Phase, Session, Upgrade};
use crate::mail::{Enhanced, Reply};
use crate::smtp::command::CommandFault;
use crate::smtp::extension::Offered;

impl Session {
    pub(super) fn offered(&self) -> Offered<'_> {
        Offered {
            message_bytes_max: self.rules.content.message_bytes_max,
            recipients_max: self.rules.recipients_max,
            starttls: self.upgrade != Upgrade::Never,
            auth: self.channel.tls.is_some() && self.table.table().knows_users(),
            originator: self.table.table().may_promote(&self.channel),
            withheld: &self.rules.withheld,
        }
    }

    /// RFC 5321 §4.1.4: a new EHLO ends the transaction, as RSET does.
    pub(super) fn on_hello(&mut self, name: String, extended: bool) -> Option<Action> {
        self.phase = Phase::Ready;
        self.tally.turn_over();
        self.client = Some(Client { name, extended });
        if self.table.renew() {
            self.admission = None;
        }
        if extended {
            let reply = self.offered().ehlo_reply(&self.rules.name, self.channel.peer);
            self.say(&reply);
        } else {
            self.say(&Reply::bare(250, self.rules.name.to_string()));
        }
        None
    }

    /// RFC 3207 §4.2 lets a handshake end the transaction, but says nothing about partial content,
    /// which must not be dropped silently.
    pub(super) fn on_starttls(&mut self) -> Option<Action> {
        let reply = match self.upgrade {
            Upgrade::Offered | Upgrade::Required if matches!(self.phase, Phase::Chunks(_)) => {
                Reply::new(503, Enhanced(5, 5, 1), "the message comes by BDAT; send the rest, or RSET")
            }
            Upgrade::Never if self.channel.tls.is_some() => {
                Reply::new(503, Enhanced(5, 5, 1), "the session is within TLS already")
            }
            Upgrade::Never => CommandFault::NotOffered("STARTTLS").reply(),
            Upgrade::Broken { .. } => Reply::new(
                454,
                Enhanced(4, 7, 0),
                "TLS is not available now for a local reason; try again later",
            ),
            Upgrade::Offered | Upgrade::Required => {
                self.phase = match std::mem::replace(&mut self.phase, Phase::Ready) {
                    Phase::Envelope(transaction) => Phase::Handshake(Some(transaction)),
                    Phase::Ready
                    | Phase::Asked(..)
                    | Phase::Content(..)
                    | Phase::Chunk(..)
                    | Phase::Chunks(_)
                    | Phase::Commit(_)
                    | Phase::Auth(_)
                    | Phase::Verify
                    | Phase::Assess(_)
                    | Phase::Handshake(_)
                    | Phase::Closed => Phase::Handshake(None),
                };
                return Some(Action::StartTls);
            }
        };
        self.refuse("STARTTLS", reply, None)
    }

    /// A handshake slot is free: the client may begin.
    pub fn on_place(&mut self) {
        self.say(&Reply::new(220, Enhanced(2, 0, 0), "ready to start TLS"));
    }

    /// Too many handshakes are under way (RFC 3207 §4).
    pub fn on_no_place(&mut self) -> Action {
        if let Phase::Handshake(Some(transaction)) = std::mem::replace(&mut self.phase, Phase::Ready) {
            self.phase = Phase::Envelope(transaction);
        }
        let text = "TLS not available due to temporary reason: too many handshakes; try again later";
        let closing = self.refuse("STARTTLS", Reply::new(454, Enhanced(4, 7, 0), text), None);
        closing.unwrap_or(Action::NeedInput)
    }
}
