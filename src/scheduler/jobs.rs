//! A carrier's view of the scheduler: the jobs of its lane, and the places for its sessions. It decides
//! nothing; `core` does.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use super::core::{HandedWork, Reach, Start};
use super::run::Scheduler;
use super::{Errand, Job, Jobs, Progress, QuestionEnd, RecipientQuestion};
use crate::connector::RecipientCheck;
use crate::mail::{Enhanced, QueueId};
use crate::outcome::{Cause, Outcome, Scope, Trouble};
use crate::spool::SpoolFault;
use crate::tracking::Event;

impl Scheduler {
    pub(super) fn start(&self, me: &Arc<Self>, Start { carrier: number, way }: Start) {
        let progress = Arc::<Progress>::default();
        self.carriers().insert(number, Arc::clone(&progress));
        let post = Post { scheduler: Arc::clone(me), carrier: number, progress: Arc::clone(&progress) };
        let ending = Ending { scheduler: Arc::clone(me), carrier: number };
        let (carrier, end) = (Arc::clone(&self.carrier), self.end.clone());
        self.tasks.spawn(async move {
            let _ending = ending;
            tokio::select! {
                () = end.cancelled() => {}
                () = progress.dismissed() => {}
                () = carrier.carry((*way).clone(), Arc::new(post)) => {}
            }
        });
    }
}

/// The jobs of a lane, for one carrier.
pub(super) struct Post {
    pub(super) scheduler: Arc<Scheduler>,
    pub(super) carrier: u64,
    pub(super) progress: Arc<Progress>,
}

impl Post {
    async fn next_errand(&self) -> Option<Errand> {
        loop {
            let mut job = match self.scheduler.ask_core(|core, at| core.take(self.carrier, at))? {
                HandedWork::Job(job) => job,
                HandedWork::Question(ticket) => match self.scheduler.questions.look_up(ticket) {
                    Some(question) => return Some(Errand::Ask(question)),
                    // Nobody waits for the answer any more.
                    None => {
                        let end = QuestionEnd::Unasked;
                        self.scheduler.with_core(|core, at| core.answered(self.carrier, ticket, end, at));
                        continue;
                    }
                },
            };
            if let Some(content) = job.content.take() {
                return Some(Errand::Deliver(job.into_job(content)));
            }
            let id = job.message.id;
            match self.scheduler.spool.read(id).await {
                Ok(content) => return Some(Errand::Deliver(job.into_job(content))),
                Err(fault) => self.set_aside(id, job.ticket, &fault),
            }
        }
    }

    fn set_aside(&self, id: QueueId, ticket: u64, fault: &SpoolFault) {
        let reason = format!("the message can't be read: {fault}");
        self.scheduler.journal.record(&Event::Held { id, reason: &reason });
        let trouble = Trouble {
            status: Enhanced(4, 3, 0),
            cause: Cause::Unreadable,
            reason,
            remote: None,
            decision: None,
            scope: Scope::Recipient,
            expired: false,
        };
        self.scheduler.with_core(|core, at| core.set_aside(ticket, &trouble, at));
    }
}

impl Jobs for Post {
    fn next(&self) -> Pin<Box<dyn Future<Output = Option<Errand>> + Send + '_>> {
        Box::pin(self.next_errand())
    }

    fn report(&self, job: &Job, outcomes: Vec<Outcome>) {
        self.scheduler.with_core(|core, at| core.report(job.ticket, outcomes, at));
    }

    fn answer(&self, question: &RecipientQuestion, known: RecipientCheck, end: QuestionEnd) {
        self.scheduler.questions.answer(question.ticket, known);
        self.scheduler.with_core(|core, at| core.answered(self.carrier, question.ticket, end, at));
    }

    fn reach(&self, address: SocketAddr) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let reach = self.scheduler.ask_core(|core, at| core.reach(self.carrier, address, at));
        Box::pin(async move {
            match reach {
                Reach::Go => {}
                Reach::Wait => self.progress.granted().await,
            }
            self.progress.moved();
        })
    }

    fn reuse(&self, address: SocketAddr) {
        self.scheduler.with_core(|core, at| core.reuse(self.carrier, address, at));
    }

    fn opened(&self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        let seated = self.scheduler.ask_core(|core, at| core.opened(self.carrier, at));
        Box::pin(async move {
            if !seated {
                self.progress.granted().await;
            }
            self.progress.moved();
            !seated
        })
    }

    fn reopening(&self) -> bool {
        self.progress.moved();
        self.scheduler.ask_core(|core, at| core.reopening(self.carrier, at))
    }

    fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }
}

/// Gives a carrier's place back, however the carrier ended.
pub(super) struct Ending {
    pub(super) scheduler: Arc<Scheduler>,
    pub(super) carrier: u64,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.scheduler.leave(self.carrier);
    }
}
