//! What a session has others answer: passwords, and whether a recipient is known; and what it refused.

use super::Conversation;
use crate::connector::Login;
use crate::listen::login::{Checked, checked};
use crate::mail::Mailbox;
use crate::smtp::receive::{Action, Known, Question, Session};
use crate::tracking::Event;

impl Conversation {
    /// Has a login checked. Whether the session is over.
    pub(super) async fn verify(&mut self, login: Login) -> bool {
        let from = (self.peer.ip(), &self.stop);
        let checked = checked(&self.shared, &self.terms.table, login, from).await;
        self.told(|session| match checked {
            Checked::Answer(user) => session.on_verified(user),
            Checked::Later => session.on_unverified(),
        })
    }

    /// Has the next hop asked. Whether the session is over.
    pub(super) async fn ask(&mut self, question: Question) -> bool {
        let known = tokio::select! {
            known = self.shared.asker.ask(question) => known,
            () = self.stop.cancelled() => Known::Unsure,
        };
        self.told(|session| session.on_asked(known))
    }

    fn told(&mut self, tell: impl FnOnce(&mut Session) -> Action) -> bool {
        let action = self.session.as_mut().map(tell);
        self.tell_refusals();
        matches!(action, None | Some(Action::Close))
    }

    pub(super) fn tell_refusals(&mut self) {
        let Some(session) = &mut self.session else { return };
        for refusal in session.take_refusals() {
            self.shared.journal.record(&Event::Refused {
                peer: self.peer,
                stage: refusal.stage,
                reverse_path: refusal.reverse_path.as_ref(),
                forward_path: refusal.forward_path.as_ref().map(Mailbox::as_str),
                reply: &refusal.reply,
                decision: refusal.decision.as_deref(),
            });
        }
    }
}
