//! Sends replies, and decides which of them count as errors.

use std::sync::Arc;

use super::{Action, CountedRefusal, Phase, Refusal, Session};
use crate::connector::Decision;
use crate::mail::{Enhanced, Reply, ReversePath};

impl Session {
    pub(super) fn answer(&mut self, code: u16, enhanced: Enhanced, text: &'static str) -> Option<Action> {
        self.say(&Reply::new(code, enhanced, text));
        None
    }

    pub(super) fn say(&mut self, reply: &Reply) {
        reply.write_to(&mut self.out);
        if let Some(minutes) = &mut self.minutes {
            minutes.said(reply);
        }
    }

    pub(super) fn close(&mut self, reply: &Reply) -> Action {
        self.say(reply);
        self.phase = Phase::Closed;
        Action::Close
    }

    /// The client spoke before the greeting, so it is refused without one.
    pub fn on_early_talker(&mut self) -> Action {
        self.out.clear();
        self.minutes.iter_mut().for_each(|minutes| minutes.not_greeted());
        let reply = Reply::new(554, Enhanced(5, 5, 1), "you spoke before the greeting; closing");
        let action = self.close(&reply);
        self.keep_refusal("greeting", reply);
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

    /// Sends a refusal and keeps it for the tracking log. One error too many ends the session (RFC 5321
    /// §3.8 allows 421 in place of any reply).
    pub(super) fn note(&mut self, refusal: Refusal) -> Option<Action> {
        let bounds = (self.rules.patience, self.rules.recipients_max);
        let closing = self.tally.refuse(refusal.stage, &refusal.reply, bounds);
        if closing {
            let reply = Reply::new(
                421,
                Enhanced(4, 7, 0),
                format!("too many errors; the last was: {}", refusal.reply),
            );
            let action = self.close(&reply);
            self.keep(refusal);
            return Some(action);
        }
        self.say(&refusal.reply);
        self.keep(refusal);
        None
    }

    /// Counts a refusal, and keeps it if it is to be logged: its fields may be long.
    fn keep(&mut self, refusal: Refusal) {
        self.counted.push(CountedRefusal::of(&refusal));
        if self.repeats.note(refusal.stage, refusal.reply.code) {
            self.refusals.push(refusal);
        }
    }

    /// Ends the session after too many commands without effect.
    pub(super) fn close_for_waste(&mut self) -> Action {
        let reply = Reply::new(421, Enhanced(4, 7, 0), "too many commands and no message; closing");
        let action = self.close(&reply);
        self.keep_refusal("command", reply);
        action
    }

    /// The table has changed since the session began, and by the one in effect the session can't go on. A new session
    /// gets an answer for good, whichever it is (RFC 5321 §3.8: 421 may stand for any reply).
    pub(super) fn close_outdated(
        &mut self,
        path: ReversePath,
        why: &'static str,
        decision: Option<Arc<Decision>>,
    ) -> Action {
        let text = format!("{}: the configuration has changed, {why}; connect again", self.rules.name);
        let reply = Reply::new(421, Enhanced(4, 3, 2), text);
        let action = self.close(&reply);
        let (reverse_path, forward_path) = (Some(path), None);
        self.keep(Refusal { stage: "MAIL", reverse_path, forward_path, reply, decision });
        action
    }

    /// A stricter table has not waited any longer for the transaction. Ends the session with 421.
    pub fn on_outdated(&mut self) -> Action {
        let text = format!("{}: the configuration has changed; connect again", self.rules.name);
        self.close(&Reply::new(421, Enhanced(4, 3, 2), text))
    }

    /// Keeps a refusal that was already sent and concerns no path.
    pub(super) fn keep_refusal(&mut self, stage: &'static str, reply: Reply) {
        let (reverse_path, forward_path, decision) = (None, None, None);
        self.keep(Refusal { stage, reverse_path, forward_path, reply, decision });
    }

    /// Counts a complete line.
    pub(super) fn count_line(&mut self) {
        self.lines_read = self.lines_read.saturating_add(1);
        self.lines_in_turn = self.lines_in_turn.saturating_add(1);
    }
}
