//! What a session has others answer: password checks and recipient verification; and the logging of refusals.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Conversation;
use super::presentation::Presentation;
use crate::connector::{Login, RecipientCheck, TlsFacts, TrustId};
use crate::listen::login::{LoginOutcome, checked};
use crate::mail::{Clock, Mailbox, UnixMillis};
use crate::smtp::receive::{Action, Question, RepeatedRefusals, Session};
use crate::tracking::Event;

impl Conversation {
    /// Has a login checked. Returns whether the session is over.
    pub(super) async fn verify(&mut self, login: Login) -> bool {
        let from = (self.network(), &self.stop);
        // The users of the table in effect: one that was removed since the session began has no login.
        let (table, turns) = (self.shared.live.table(), &self.door.lobby.logins);
        let checked = checked(&self.shared, turns, &table, login, from).await;
        self.told(|session| match checked {
            LoginOutcome::Answer(user) => session.on_verified(user),
            LoginOutcome::Later => session.on_unverified(),
        })
    }

    /// Has the client's chain assessed. Returns whether the session is over.
    pub(super) async fn assess(&mut self, sets: Vec<TrustId>) -> bool {
        // Before the lists are looked at: one that comes meanwhile is news.
        let now = Clock::wall();
        let assessed = self.assessed(sets, now).await.map(Arc::new);
        if let (Some(presented), Some(assessed)) = (&mut self.presented, &assessed) {
            presented.assessed(Arc::clone(assessed), now);
        }
        self.told(|session| session.on_assessed(assessed))
    }

    /// The facts with what these sets say. What may cost much waits for its turn, beside the threads that serve everyone.
    async fn assessed(&mut self, sets: Vec<TrustId>, now: UnixMillis) -> Option<TlsFacts> {
        let Presentation { facts, chain, .. } = &**self.presented.as_ref()?;
        if !chain.is_costly(&sets) {
            return Some(chain.assess(facts, &sets, now));
        }
        let is_named = self.shared.live.table().sessions_of_named(self.peer.ip()).is_some();
        let turns = &self.door.lobby.assessments;
        let turn = tokio::select! {
            turn = turns.wait(self.network(), u32::from(!is_named), ASSESSMENT_WAIT) => turn?,
            () = self.stop.cancelled() => return None,
        };
        let (facts, chain) = (Arc::clone(facts), chain.clone());
        let assessed = tokio::task::spawn_blocking(move || {
            let assessed = chain.assess(&facts, &sets, now);
            drop(turn);
            assessed
        });
        assessed.await.ok()
    }

    /// Has the next hop asked for a recipient. Returns whether the session is over.
    pub(super) async fn ask(&mut self, question: Question) -> bool {
        let (network, guesses) = (self.network(), &self.shared.unknown_recipients);
        let known = match self.shared.verifier.recall(&question) {
            Some(known) => known,
            None if guesses.rank(network, Instant::now()).is_none() => return self.told(Session::on_unasked),
            None => tokio::select! {
                known = self.shared.verifier.verify(question) => known,
                () = self.stop.cancelled() => RecipientCheck::Unsure,
            },
        };
        if let RecipientCheck::Unknown(_) = known {
            guesses.failed(network, Instant::now());
        }
        self.told(|session| session.on_asked(known))
    }

    /// Passes the answer to the session. Returns whether it is over.
    pub(super) fn told(&mut self, tell: impl FnOnce(&mut Session) -> Action) -> bool {
        let action = self.session.as_mut().map(tell);
        self.tell_refusals();
        matches!(action, None | Some(Action::Close))
    }

    pub(super) fn tell_refusals(&mut self) {
        let Some(session) = &mut self.session else { return };
        let counted = session.take_counted();
        for refusal in counted.into_iter().filter(|_| self.probe.is_none()) {
            self.shared.count_refusal(refusal);
        }
        for refusal in session.take_refusals() {
            self.record(&Event::Refused {
                peer: self.peer,
                stage: refusal.stage,
                reverse_path: refusal.reverse_path.as_ref(),
                forward_path: refusal.forward_path.as_ref().map(Mailbox::as_str),
                reply: &refusal.reply,
                decision: refusal.decision.as_ref(),
            });
        }
    }

    /// Logs the number of refusals beyond those logged one by one.
    pub(super) fn tell_repeated(&mut self) {
        let repeated = self.session.as_mut().map(Session::take_repeated).unwrap_or_default();
        for RepeatedRefusals { stage, code, count } in repeated {
            self.record(&Event::RefusedAgain { peer: self.peer, stage, code, count });
        }
    }
}

/// How long a chain waits to be assessed before the client is asked to come again.
const ASSESSMENT_WAIT: Duration = Duration::from_secs(30);
