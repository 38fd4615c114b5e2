//! The jobs of one lane: one after the other over a session, the next envelope in the same write
//! as the content before it where the peer offers PIPELINING.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::Courier;
use super::batch::{Batch, Coming, scope};
use super::converse::Broken;
use super::decide::serves;
use super::fit::{speaks, to_declare};
use super::link::{Link, elsewhere};
use super::result::{
    Ending, crowded_out, ended, not_onward, outcome_of, stopping, undeliverable, unreadable,
};
use crate::connector::{ClearGuard, NotCovered, OnHandshakeFailure, Shortfall};
use crate::outcome::{LinkFault, Outcome, Scope};
use crate::scheduler::{Job, Jobs, Way};
use crate::smtp::{Demand, Finished, MailFrom, NotBegun, SendEvent};
use crate::spool::QueuedRecipient;

/// How often the table may change between a judgement and MAIL FROM before the job goes back.
const JUDGEMENTS_MAX: usize = 4;

/// One lane's way, and the jobs taken so far and not reported yet: at most two.
pub(super) struct Carriage {
    pub(super) courier: Arc<Courier>,
    pub(super) way: Way,
    pub(super) jobs: Arc<dyn Jobs>,
    /// The next job, asked for and perhaps still being read.
    pub(super) coming: Option<Coming>,
    pub(super) batches: VecDeque<Batch>,
    /// Transactions under way, in the order of their replies.
    loads: VecDeque<Load>,
    serial: u64,
    /// Why nothing more is carried.
    pub(super) blocked: Option<Outcome>,
}

/// A transaction under way.
pub(super) struct Load {
    pub(super) serial: u64,
    pub(super) range: Range<usize>,
    /// Held until the final reply, so that a tighter table can wait for it.
    _in_clear: Option<ClearGuard>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Alive,
    Dead,
}

impl Carriage {
    pub(super) fn new(courier: Arc<Courier>, way: Way, jobs: Arc<dyn Jobs>) -> Self {
        Self {
            courier,
            way,
            jobs,
            coming: None,
            batches: VecDeque::new(),
            loads: VecDeque::new(),
            serial: 0,
            blocked: None,
        }
    }

    pub(super) async fn run(mut self) {
        let mut idle: Option<Link> = None;
        let mut seated = false;
        while self.blocked.is_none() {
            if self.batches.is_empty() {
                let Some(job) = self.next_job().await else { break };
                self.push(job);
                continue;
            }
            let mut link = match idle.take() {
                Some(link) if self.may_use(&link) => link,
                other => {
                    other.into_iter().for_each(|link| link.line.dismiss());
                    if seated && !self.jobs.reopening() {
                        self.settle_first(&stopping());
                        continue;
                    }
                    seated = false;
                    match self.obtain().await {
                        Ok(link) => link,
                        Err(outcome) => {
                            self.settle_first(&outcome);
                            if self.jobs.progress().is_evicted() {
                                self.blocked.get_or_insert_with(crowded_out);
                            }
                            continue;
                        }
                    }
                }
            };
            if !seated {
                let waited = self.jobs.opened().await;
                seated = true;
                // The peer may have grown tired of waiting, which says nothing of it.
                if waited && !link.line.is_quiet().await {
                    link.line.dismiss();
                    continue;
                }
            }
            link.line.tell_progress(self.jobs.progress());
            if self.transact(&mut link).await == Line::Alive {
                idle = Some(link);
            }
        }
        self.give_back(idle);
    }

    /// The end: what was taken and not attempted shares the fate of the lane.
    pub(super) fn give_back(mut self, idle: Option<Link>) {
        let blocked = self.blocked.take();
        if let Some(outcome) = &blocked {
            while !self.batches.is_empty() {
                self.settle_first(outcome);
            }
        }
        let Some(link) = idle else { return };
        if link.is_after_broken() || self.is_worn(&link) || blocked.is_some() {
            return link.line.dismiss();
        }
        self.courier.pool.put(link);
    }

    pub(super) fn push(&mut self, job: Job) {
        self.serial = self.serial.wrapping_add(1);
        let outcomes: Vec<Option<Outcome>> = vec![None; job.recipients.len()];
        if outcomes.is_empty() {
            return self.jobs.report(&job, outcomes.into_iter().flatten().collect());
        }
        self.batches.push_back(Batch { serial: self.serial, job, outcomes, next: 0 });
    }

    fn is_worn(&self, link: &Link) -> bool {
        let max = [self.way.connector.sending.messages_max, link.line.session.offers().messages_max];
        link.used
            >= max.into_iter().flatten().fold(self.courier.settings.messages_per_connection_max, u32::min)
    }

    /// Whether the next job may go over this session.
    fn may_use(&self, link: &Link) -> bool {
        !self.is_worn(link) && self.batches.front().is_none_or(|batch| self.may_take(link, &batch.job))
    }

    /// A session that is in clear since handshakes broke is not for a message that has not been
    /// tried over TLS first, where the connector says `clear_later`.
    fn may_take(&self, link: &Link, job: &Job) -> bool {
        (!link.is_after_broken() || self.may_go_clear(&job.recipients)) && speaks(job, link).is_ok()
    }

    pub(super) fn may_go_clear(&self, recipients: &[QueuedRecipient]) -> bool {
        match self.way.connector.on_handshake_failure {
            OnHandshakeFailure::Clear => true,
            OnHandshakeFailure::ClearLater => recipients.iter().all(|r| r.attempts >= 1),
            OnHandshakeFailure::Defer => false,
        }
    }

    /// Sends the first batch's next recipients, and whatever can be chained to them.
    async fn transact(&mut self, link: &mut Link) -> Line {
        if !self.begin(link, 0) {
            return Line::Alive;
        }
        loop {
            let event = match link.line.event(&self.courier.settings.timeouts).await {
                Ok(event) => event,
                Err(Broken::Link(fault)) => return self.break_off(link, &Ending::Fault(fault)),
                Err(Broken::Tls(fault)) => {
                    return self.break_off(link, &Ending::Fault(LinkFault::Lost(fault.words)));
                }
            };
            match event {
                SendEvent::SendContent => {
                    if let Err(fault) = self.send_content(link).await {
                        return self.break_off(link, &Ending::Fault(fault));
                    }
                }
                SendEvent::Done(finished) => {
                    self.finish(link, &finished);
                    if self.loads.is_empty() {
                        return Line::Alive;
                    }
                }
                SendEvent::Closing(reply) => return self.break_off(link, &Ending::Closing(reply)),
                SendEvent::NotGreeted(_)
                | SendEvent::HelloRefused(_)
                | SendEvent::InClear(_)
                | SendEvent::Handshake
                | SendEvent::LoggedIn
                | SendEvent::LoginRefused(_)
                | SendEvent::Ready => {
                    let fault = LinkFault::Garbled("its replies are out of order".to_owned());
                    return self.break_off(link, &Ending::Fault(fault));
                }
            }
        }
    }

    /// Writes the envelope of a batch's next recipients. `false`: nothing was written, and those
    /// recipients are settled.
    fn begin(&mut self, link: &mut Link, place: usize) -> bool {
        let Some(batch) = self.batches.get_mut(place) else { return false };
        let offers = link.line.session.offers();
        let own = self.way.connector.sending.recipients_max;
        let everywhere = self.courier.settings.recipients_per_transaction_max;
        let range = batch.next_range(&[Some(everywhere), own, offers.recipients_max], offers.domains_max);
        let recipients = batch.job.recipients.get(range.clone()).unwrap_or_default();
        let message = &batch.job.message;
        let (body, utf8) = match to_declare(&batch.job, recipients, offers) {
            Ok(declared) => declared,
            Err(error) => {
                self.settle_rest(place, &unreadable(&error, link));
                return false;
            }
        };
        let (reverse_path, dsn) = (&message.reverse_path, &message.dsn);
        let mail = MailFrom { reverse_path, body, size: message.size, utf8, dsn };
        let connector = &self.way.connector;
        let mut refused = elsewhere();
        for _ in 0..JUDGEMENTS_MAX {
            // In this order, so that a tighter table either waits for this transaction or is seen
            // by it. After another judgement the guard is a new one: the last may be the guard of
            // a table that is not in force any more.
            let in_clear = (!link.line.is_sealed()).then(|| self.courier.live.enter_clear());
            let table = self.courier.live.table();
            if !serves(&table, connector, recipients) {
                break;
            }
            let demand = Demand {
                requirement: &link.requirement,
                revision: connector.revision,
                generation: table.generation,
                onward_sealed: message.origin.onward_sealed,
            };
            let paths = recipients.iter().map(|r| (&r.forward_path, &r.dsn));
            match link.line.session.begin(&mail, paths, &demand, &mut link.line.out) {
                Ok(()) => {
                    batch.next = range.end;
                    link.used = link.used.saturating_add(1);
                    self.loads.push_back(Load { serial: batch.serial, range, _in_clear: in_clear });
                    return true;
                }
                Err(NotBegun::NotCovered(NotCovered::Stale)) => {
                    if !link.rejudge(connector, link.requirement.clone(), table.generation) {
                        break;
                    }
                }
                Err(NotBegun::NotCovered(NotCovered::Short(Shortfall::Onward))) => {
                    refused = not_onward(connector);
                    break;
                }
                Err(NotBegun::Unauthorised | NotBegun::Busy | NotBegun::NotCovered(_)) => break,
                Err(fault) => {
                    refused = undeliverable(&fault, link);
                    break;
                }
            }
        }
        self.settle_rest(place, &refused);
        false
    }

    /// Sends the content of the transaction that has its go-ahead. A failure to write is not the
    /// end where the peer has said why.
    async fn send_content(&mut self, link: &mut Link) -> Result<(), LinkFault> {
        let content = self
            .loads
            .front()
            .and_then(|load| self.batches.iter().find(|batch| batch.serial == load.serial))
            .map(|batch| batch.job.content.clone())
            .ok_or_else(|| LinkFault::Content("the job is gone".to_owned()))?;
        // A chunk's command goes before the content; behind it comes no dot.
        let before = link.line.flush(self.courier.settings.timeouts.command).await;
        match before {
            Ok(()) | Err(Broken::Link(LinkFault::Lost(_))) => {}
            Err(Broken::Link(fault)) => return Err(fault),
            Err(Broken::Tls(fault)) => return Err(LinkFault::Lost(fault.words)),
        }
        link.line.session.end_content(&mut link.line.out);
        self.chain(link).await;
        let sent = link.line.send_content(&content, self.courier.settings.timeouts.data_block).await;
        match sent {
            Ok(()) | Err(Broken::Link(LinkFault::Lost(_))) => Ok(()),
            Err(Broken::Link(fault)) => Err(fault),
            Err(Broken::Tls(fault)) => Err(LinkFault::Lost(fault.words)),
        }
    }

    /// Begins the next transaction behind the content of this one, if the peer lets us and there
    /// is one at once.
    async fn chain(&mut self, link: &mut Link) {
        if !link.line.session.is_free() || self.is_worn(link) || self.blocked.is_some() {
            return;
        }
        if self.batches.iter().all(Batch::is_under_way) {
            let next = self.next_job_at_once().await;
            let Some(job) = next else { return };
            self.push(job);
        }
        let Some(place) = self.batches.iter().position(|batch| !batch.is_under_way()) else { return };
        if self.batches.get(place).is_some_and(|batch| self.may_take(link, &batch.job)) {
            self.begin(link, place);
        }
    }

    fn finish(&mut self, link: &Link, finished: &Finished) {
        let Some(load) = self.loads.pop_front() else { return };
        self.settle(&load, |number| outcome_of(finished, number, link, None));
    }

    /// The session is over: what was answered stands, what wasn't even heard goes to another one.
    fn break_off(&mut self, link: &mut Link, ending: &Ending) -> Line {
        let loads = std::mem::take(&mut self.loads);
        let proven = usize::try_from(link.used).unwrap_or(usize::MAX) > loads.len();
        let all = link.line.session.abandon();
        let displaced = matches!(ending, Ending::Fault(LinkFault::Displaced));
        for (number, (load, finished)) in loads.iter().zip(all).enumerate() {
            // A connection that carried mail before and gives no answer to MAIL was closed while it
            // was idle: that says nothing of the host. The content of a chained one never left.
            if number > 0 || (proven && !finished.begun && !displaced) {
                self.put_back(load);
                continue;
            }
            let outcome = ended(&finished, link, ending);
            self.settle(load, |number| outcome_of(&finished, number, link, Some(&outcome)));
            if scope(&outcome) == Some(Scope::Lane) {
                self.blocked = Some(outcome);
            }
        }
        Line::Dead
    }
}
