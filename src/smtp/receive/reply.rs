//! What is said, and what counts as an error.

use std::sync::Arc;

use super::{Action, Phase, Refusal, Session};
use crate::connector::Decision;
use crate::mail::{Enhanced, Reply};

impl Session {
    pub(super) fn answer(&mut self, code: u16, enhanced: Enhanced, text: &'static str) -> Option<Action> {
        self.say(&Reply::new(code, enhanced, text));
        None
    }

    pub(super) fn say(&mut self, reply: &Reply) {
        reply.write_to(&mut self.out);
    }

    pub(super) fn close(&mut self, reply: &Reply) -> Action {
        self.say(reply);
        self.phase = Phase::Closed;
        Action::Close
    }

    /// The client spoke before its greeting, which it does not get then.
    pub fn on_early_talker(&mut self) -> Action {
        self.out.clear();
        let reply = Reply::new(554, Enhanced(5, 5, 1), "you spoke before the greeting; closing");
        let action = self.close(&reply);
        self.refusals.push(Refusal {
            stage: "greeting",
            reverse_path: None,
            forward_path: None,
            reply,
            decision: None,
        });
        action
    }

    pub(super) fn refuse(
        &mut self,
        stage: &'static str,
        reply: Reply,
        decision: Option<Arc<Decision>>,
    ) -> Option<Action> {
        self.note(Refusal { stage, reverse_path: None, forward_path: None, reply, decision })
    }

    /// Answers with a refusal and keeps it for the tracking log; with one too many, the session
    /// ends (RFC 5321 §3.8 lets 421 stand for any reply).
    pub(super) fn note(&mut self, refusal: Refusal) -> Option<Action> {
        if refusal.reply.is_permanent() {
            self.errors = self.errors.saturating_add(1);
        }
        let closing = self.errors >= self.rules.errors_max;
        if closing {
            let reply = Reply::new(
                421,
                Enhanced(4, 7, 0),
                format!("too many errors; the last was: {}", refusal.reply),
            );
            let action = self.close(&reply);
            self.refusals.push(refusal);
            return Some(action);
        }
        self.say(&refusal.reply);
        self.refusals.push(refusal);
        None
    }
}
