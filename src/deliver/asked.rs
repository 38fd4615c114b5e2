//! Whether a next hop takes mail for a recipient: asked by the way and under the rules of mail for it, without
//! content.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use super::Courier;
use super::attempt::Carriage;
use super::decide::serves;
use super::link::Link;
use crate::connector::NotCovered;
use crate::mail::BodyType;
use crate::outcome::Outcome;
use crate::scheduler::{Job, Jobs, Progress, Way};
use crate::smtp::receive::{Known, Question};
use crate::smtp::{Demand, Finished, MailFrom, NotBegun, SendEvent};

/// Sessions tried: one that waited may have ended meanwhile.
const SESSIONS_MAX: usize = 2;

impl Courier {
    /// Asks the next hop for a recipient. Limits of time are the caller's.
    pub async fn knows(self: Arc<Self>, question: &Question) -> Known {
        let way = Way::new(Arc::clone(&question.way), question.mailbox.domain());
        let mut carriage = Carriage::new(self, way, Arc::new(NoJobs::default()));
        let job = Job::question(&question.mailbox, question.onward_sealed);
        for _ in 0..SESSIONS_MAX {
            carriage.push(job.clone());
            let Ok(mut link) = carriage.obtain().await else { return Known::Unsure };
            carriage.batches.clear();
            if let Some(finished) = carriage.ask(&mut link, &job).await {
                carriage.give_back(Some(link));
                return known(finished);
            }
            link.line.dismiss();
        }
        Known::Unsure
    }
}

impl Carriage {
    /// MAIL and RCPT over a session; `None` if it gave no answer.
    async fn ask(&mut self, link: &mut Link, job: &Job) -> Option<Finished> {
        let connector = &self.way.connector;
        // Until the last reply: the envelope may be in clear.
        let _in_clear = (!link.line.is_sealed()).then(|| self.courier.live.enter_clear());
        let table = self.courier.live.table();
        if !serves(&table, connector, &job.recipients) {
            return None;
        }
        let (reverse_path, dsn) = (&job.message.reverse_path, &job.message.dsn);
        let utf8 = job.message.utf8;
        let mail = MailFrom { reverse_path, body: BodyType::SevenBit, size: 0, utf8, dsn };
        let begin = |link: &mut Link| {
            let demand = Demand {
                requirement: &link.requirement,
                revision: connector.revision,
                generation: table.generation,
                onward_sealed: job.message.origin.onward_sealed,
            };
            let paths = job.recipients.iter().map(|r| (&r.forward_path, &r.dsn));
            link.line.session.ask(&mail, paths, &demand, &mut link.line.out)
        };
        let mut begun = begin(link);
        if matches!(begun, Err(NotBegun::NotCovered(NotCovered::Stale)))
            && link.rejudge(connector, link.requirement.clone(), table.generation)
        {
            begun = begin(link);
        }
        begun.ok()?;
        link.used = link.used.saturating_add(1);
        match link.line.event(&self.courier.settings.timeouts).await {
            Ok(SendEvent::Done(finished)) => Some(finished),
            Ok(_) | Err(_) => None,
        }
    }
}

/// Only a refusal of the recipient itself says that it is not known.
fn known(finished: Finished) -> Known {
    match (finished.mail, finished.recipients.into_iter().next()) {
        (None, Some(None)) => Known::Yes,
        (None, Some(Some(reply))) if reply.is_permanent() => Known::No(reply),
        (Some(_), _) | (None, Some(Some(_)) | None) => Known::Unsure,
    }
}

/// Nothing follows a question, and it takes nobody's place.
#[derive(Default)]
struct NoJobs {
    progress: Arc<Progress>,
}

impl Jobs for NoJobs {
    fn next(&self) -> Pin<Box<dyn Future<Output = Option<Job>> + Send + '_>> {
        Box::pin(std::future::ready(None))
    }

    fn report(&self, _job: &Job, _outcomes: Vec<Outcome>) {}

    fn reach(&self, _address: SocketAddr) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    fn reuse(&self, _address: SocketAddr) {}

    fn opened(&self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(std::future::ready(false))
    }

    fn reopening(&self) -> bool {
        true
    }

    fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }
}
