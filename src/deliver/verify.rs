//! `verify_recipients`: whether a next hop takes mail for a recipient. The question goes the way of mail for it, by the
//! scheduler; here it is answered from memory where that is possible.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::answers::AnswerKey;
use super::courier::Courier;
use crate::connector::RecipientCheck;
use crate::scheduler::Scheduler;
use crate::smtp::receive::{Question, RecipientVerifier};

/// Asks next hops about recipients, and remembers what they said.
pub struct Verifier {
    courier: Arc<Courier>,
    scheduler: Arc<Scheduler>,
}

impl Verifier {
    /// A verifier that asks by the carriers of this scheduler, which are the courier's.
    #[must_use]
    pub fn new(courier: Arc<Courier>, scheduler: Arc<Scheduler>) -> Arc<Self> {
        Arc::new(Self { courier, scheduler })
    }
}

impl RecipientVerifier for Verifier {
    fn recall(&self, question: &Question) -> Option<RecipientCheck> {
        let key = AnswerKey::new(question.way.revision, &question.mailbox, question.onward);
        let all = key.of_domain(&question.mailbox);
        let answers = &self.courier.answers;
        answers.recall(&key).or_else(|| answers.recall(&all))
    }

    fn verify(&self, question: Question) -> Pin<Box<dyn Future<Output = RecipientCheck> + Send>> {
        let (courier, scheduler) = (Arc::clone(&self.courier), Arc::clone(&self.scheduler));
        Box::pin(async move {
            let Question { mailbox, way, arrives_by, onward } = question;
            let all = AnswerKey::new(way.revision, &mailbox, onward).of_domain(&mailbox);
            match timeout(PATIENCE, scheduler.ask(way, mailbox, (arrives_by, onward))).await {
                Ok(known) => known,
                Err(_) => {
                    // A domain whose hosts keep one client waiting must not keep the next one waiting as long.
                    courier.answers.note(all, RecipientCheck::Unsure);
                    RecipientCheck::Unsure
                }
            }
        })
    }
}

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
