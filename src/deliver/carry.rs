//! Carries the jobs of one lane, one after the other, over a session. If the peer offers
//! PIPELINING, the next envelope goes out in the same write as the content before it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use super::answers::AnswerKey;
use super::batch::Batch;
use super::classify::{
    Ending, crowded_out, elsewhere, ended, is_in_doubt, outcome_of, recipient_check, scope, stopping,
    unconverted, unreadable,
};
use super::connection::Interruption;
use super::courier::Courier;
use super::declare::{Declaration, needs_form, to_declare};
use super::leaving;
use super::need::{Need, serves};
use super::probe::ProbeFailure;
use super::search::{Search, may_go_clear};
use super::session::{OpenSession, addressed};
use crate::connector::{Decision, HeaderHandling, NotCovered, RecipientCheck, Shortfall, TransactionGuard};
use crate::mail::{Content, ReversePath};
use crate::outcome::{ContentRecord, DeliveryRecord, LinkFault, Outcome, Scope, Trouble};
use crate::scheduler::{Carrier, Errand, Job, Jobs, QuestionEnd, RecipientQuestion, Way};
use crate::smtp::{Demand, MailFrom, NotBegun, OpenEvent, TransactionResult};

/// How often the table may change between a judgement and MAIL FROM before the job is returned.
const JUDGEMENTS_MAX: usize = 4;

type NextErrand = Pin<Box<dyn Future<Output = Option<Errand>> + Send>>;

impl Carrier for Courier {
    fn carry(self: Arc<Self>, way: Way, jobs: Arc<dyn Jobs>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(LaneCarrier::new(self, way, jobs).run())
    }

    fn try_anew(&self) {
        self.unreached.clear();
        // A host that did not get TLS right may have been fixed: it is not left without for that reason.
        self.broken.clear();
        self.broken_once.clear();
        self.classic_only.clear();
        self.rehearsed_in_vain.clear();
    }
}

/// One lane's way and its unreported jobs: at most two.
pub(super) struct LaneCarrier {
    courier: Arc<Courier>,
    way: Way,
    jobs: Arc<dyn Jobs>,
    /// The next job, requested and perhaps still being read from disk.
    coming: Option<NextErrand>,
    batches: VecDeque<Batch>,
    /// The question that goes next, before the batches.
    question: Option<PendingQuestion>,
    /// Transactions under way, in the order of their replies.
    sent: VecDeque<SentEnvelope>,
    serial: u64,
    /// Why no more mail is carried.
    blocked: Option<Outcome>,
}

/// A transaction under way.
struct SentEnvelope {
    serial: u64,
    range: Range<usize>,
    /// The first one of its session: no refusal can come from what was said before.
    first: bool,
    /// What is sent, and how it was changed for this host.
    content: Content,
    noted: ContentRecord,
    /// Held until the final reply, so that a stricter table can wait for it.
    _guard: TransactionGuard,
}

impl SentEnvelope {
    /// The outcome for a recipient; `None` if its refusal may be about the session. `open` is for recipients without a
    /// reply.
    fn outcome(
        &self,
        finished: &TransactionResult,
        number: usize,
        session: &OpenSession,
        open: Option<&Outcome>,
    ) -> Option<Outcome> {
        let in_doubt = !self.first && is_in_doubt(finished, number);
        (!in_doubt).then(|| noted(outcome_of(finished, number, session, open), &self.noted))
    }
}

/// A question that a carrier has taken, and how many sessions it was tried over.
type PendingQuestion = (RecipientQuestion, u32);

const FIRST_TRY: u32 = 0;

/// Whether a session can be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Again,
    Over,
}

impl LaneCarrier {
    pub(super) fn new(courier: Arc<Courier>, way: Way, jobs: Arc<dyn Jobs>) -> Self {
        Self {
            courier,
            way,
            jobs,
            coming: None,
            batches: VecDeque::new(),
            question: None,
            sent: VecDeque::new(),
            serial: 0,
            blocked: None,
        }
    }

    pub(super) async fn run(mut self) {
        let mut idle: Option<OpenSession> = None;
        let mut seated = false;
        while self.blocked.is_none() {
            if self.batches.is_empty() && self.question.is_none() {
                match self.next_errand().await {
                    Some(errand) => self.take_on(errand),
                    None => break,
                }
                continue;
            }
            let Some(mut session) = self.obtain(&mut idle, &mut seated).await else { continue };
            session.connection.tell_progress(self.jobs.progress());
            let used = match self.question.take() {
                Some(question) => self.ask(&mut session, question).await,
                None => self.transact(&mut session).await,
            };
            match used {
                Use::Again => idle = Some(session),
                Use::Over => {}
            }
        }
        self.give_back(idle);
    }

    /// A session with a seat for what is next. `None`: there is none now, and what follows from that is done.
    async fn obtain(&mut self, idle: &mut Option<OpenSession>, seated: &mut bool) -> Option<OpenSession> {
        let mut session = match idle.take() {
            Some(session) if self.may_use(&session) => session,
            other => {
                other.into_iter().for_each(|session| session.connection.dismiss());
                if *seated && !self.jobs.reopening() {
                    self.settle_next(&stopping());
                    return None;
                }
                *seated = false;
                // Of the fields one by one: a reference to all of them could not wait on another thread.
                let (need, fresh) = match (&self.question, self.batches.front()) {
                    (Some((question, tries)), _) => (Need::of(question), *tries > FIRST_TRY),
                    (None, Some(batch)) => (Need::Delivery(&batch.job), batch.in_doubt),
                    (None, None) => return None,
                };
                let (courier, way, jobs) = (&*self.courier, &self.way, Some(&*self.jobs));
                match (Search { courier, way, need, jobs, fresh }).run().await {
                    Ok(session) => session,
                    Err(outcome) => {
                        self.settle_next(&outcome);
                        if self.jobs.progress().is_evicted() {
                            self.blocked.get_or_insert_with(crowded_out);
                        }
                        return None;
                    }
                }
            }
        };
        if !*seated {
            let waited = self.jobs.opened().await;
            *seated = true;
            // The peer may have given up while we waited, which says nothing about the host.
            if waited && !session.connection.is_quiet().await {
                session.connection.dismiss();
                return None;
            }
        }
        Some(session)
    }

    fn take_on(&mut self, errand: Errand) {
        match errand {
            Errand::Deliver(job) => self.push(job),
            Errand::Ask(question) => self.question = Some((question, FIRST_TRY)),
        }
    }

    /// Asks about a recipient, unless somebody has asked the same meanwhile.
    async fn ask(&mut self, session: &mut OpenSession, (question, tries): PendingQuestion) -> Use {
        let connector = &self.way.connector;
        let key = AnswerKey::new(connector.revision, &question.mailbox, question.onward);
        if let Some(known) = self.courier.answers.recall(&key) {
            self.jobs.answer(&question, known, QuestionEnd::Unasked);
            return Use::Again;
        }
        let (proven, envelope) = (session.used > 0, (&ReversePath::NULL, &question.mailbox));
        let unanswered = match session.ask(&self.courier, connector, envelope, Need::of(&question)).await {
            // It may be about the session, as with mail.
            Ok(finished) if proven && tries == FIRST_TRY && is_in_doubt(&finished, 0) => {
                self.question = Some((question, tries.saturating_add(1)));
                return Use::Again;
            }
            Ok(finished) => {
                let known = recipient_check(&finished);
                self.courier.answers.note(key, known.clone());
                self.jobs.answer(&question, known, QuestionEnd::ByHost);
                return Use::Again;
            }
            Err(unanswered) => unanswered,
        };
        let ending = match unanswered {
            // The table has changed, or the host can't be asked for this recipient: it says nothing of the session.
            ProbeFailure::Elsewhere | ProbeFailure::NotBegun(_) => {
                self.jobs.answer(&question, RecipientCheck::Unsure, QuestionEnd::Unasked);
                return Use::Again;
            }
            ProbeFailure::Closing(reply) => Ending::Closing(reply),
            ProbeFailure::Lost(fault) => Ending::Fault(fault),
        };
        if proven && tries == FIRST_TRY {
            // It may have been closed while it was idle.
            self.question = Some((question, tries.saturating_add(1)));
            return Use::Over;
        }
        let begun = session.smtp.abandon().into_iter().next().unwrap_or_default();
        let outcome = ended(&begun, session, &ending);
        self.question = Some((question, tries));
        self.settle_next(&outcome);
        Use::Over
    }

    /// The end of the lane: jobs that were taken and not attempted get the lane's outcome.
    fn give_back(mut self, idle: Option<OpenSession>) {
        let blocked = self.blocked.take();
        if let Some(outcome) = &blocked {
            while self.question.is_some() || !self.batches.is_empty() {
                self.settle_next(outcome);
            }
        }
        let Some(session) = idle else { return };
        if blocked.is_some() {
            return session.connection.dismiss();
        }
        self.courier.keep(session, &self.way);
    }

    fn push(&mut self, job: Job) {
        self.serial = self.serial.wrapping_add(1);
        if job.recipients.is_empty() {
            return self.jobs.report(&job, Vec::new());
        }
        self.batches.push_back(Batch::new(self.serial, job));
    }

    /// Whether the next job may use this session.
    fn may_use(&self, session: &OpenSession) -> bool {
        if self.courier.is_worn(session, &self.way) {
            return false;
        }
        match (&self.question, self.batches.front()) {
            (Some((question, tries)), _) => {
                (*tries == FIRST_TRY || session.used == 0) && self.may_serve(session, Need::of(question))
            }
            (None, Some(batch)) => self.may_take(session, batch),
            (None, None) => true,
        }
    }

    /// With `clear_later`, a session that is in plaintext because handshakes failed is not for a
    /// message that has not been tried over TLS first.
    fn may_take(&self, session: &OpenSession, batch: &Batch) -> bool {
        (!batch.in_doubt || session.used == 0) && self.may_serve(session, Need::Delivery(&batch.job))
    }

    fn may_serve(&self, session: &OpenSession, need: Need<'_>) -> bool {
        (!session.is_after_broken() || may_go_clear(&self.way.connector, need)) && need.suits(session).is_ok()
    }

    /// Sends the first batch's next recipients, and any transactions that can be chained to them.
    async fn transact(&mut self, session: &mut OpenSession) -> Use {
        if !self.examine(session, 0).await || !self.begin(session, 0) {
            return Use::Again;
        }
        loop {
            let event =
                match session.connection.event(&mut session.smtp, &self.courier.settings.timeouts).await {
                    Ok(event) => event,
                    Err(broken) => return self.break_off(session, &Ending::Fault(broken.into_link())),
                };
            match event {
                OpenEvent::SendContent => {
                    if let Err(fault) = self.send_content(session).await {
                        return self.break_off(session, &Ending::Fault(fault));
                    }
                }
                OpenEvent::Done(finished) => {
                    session.connection.dot_answered();
                    self.finish(session, &finished);
                    if self.sent.is_empty() {
                        return Use::Again;
                    }
                }
                OpenEvent::Closing(reply) => return self.break_off(session, &Ending::Closing(reply)),
            }
        }
    }

    /// Looks at a batch's content once: at its header section, and at all of it if this host must not be sent 8-bit octets. `false`: it can't be read, and the
    /// recipients are settled.
    async fn examine(&mut self, session: &mut OpenSession, place: usize) -> bool {
        let (offers, own) = (session.smtp.offers(), &self.courier.settings.name);
        let sending = &self.way.connector.sending;
        let Some(batch) = self.batches.get_mut(place) else { return true };
        if batch.is_examined(offers, sending, own) {
            return true;
        }
        let (content, left) = (batch.job.content.clone(), batch.leaving.clone());
        let converts = needs_form(&batch.job, offers);
        let courier = Arc::clone(&self.courier);
        let examined = async {
            let left = match left {
                Some(left) => left,
                None => leaving::read(&content, sending.headers, own).await?,
            };
            let form = match converts {
                true => Some(courier.converter.form(&left.content, sending.eight_bit).await?),
                false => None,
            };
            Ok((left, form))
        };
        match (examined.await, self.batches.get_mut(place)) {
            (Ok((left, form)), Some(batch)) => {
                (batch.leaving, batch.form) = (Some(left), form.or(batch.form.take()))
            }
            (Ok(_), None) => {}
            (Err(error), _) => {
                self.settle_rest(place, &unreadable(&error, session));
                return false;
            }
        }
        true
    }

    /// Writes the envelope of a batch's next recipients. `false`: nothing was written, and those
    /// recipients are settled.
    fn begin(&mut self, session: &mut OpenSession, place: usize) -> bool {
        let Some(batch) = self.batches.get_mut(place) else { return false };
        let offers = session.smtp.offers();
        let own = self.way.connector.sending.recipients_max;
        let everywhere = self.courier.settings.recipients_per_transaction_max;
        let range = batch.next_range(&[Some(everywhere), own, offers.recipients_max], offers.domains_max);
        let recipients = batch.job.recipients.get(range.clone()).unwrap_or_default();
        let message = &batch.job.message;
        let declared =
            match to_declare(&batch.job, recipients, offers, (batch.leaving.as_ref(), batch.form.as_ref())) {
                Ok(declared) => declared,
                Err(error) => {
                    self.settle_rest(place, &unreadable(&error, session));
                    return false;
                }
            };
        let Declaration { content, tally, size, body, utf8, converted } = declared;
        let (reverse_path, dsn) = (&message.reverse_path, &message.dsn);
        let connector = &self.way.connector;
        let promotes = connector.sending.headers == HeaderHandling::Promote;
        let origin = &message.origin;
        let originator = origin.originator.as_ref().filter(|_| promotes);
        let mail = MailFrom { reverse_path, body, size, utf8, originator, dsn };
        let mut refused = elsewhere();
        // Before the table is read: a stricter one either waits for this transaction or is seen by it.
        let guard =
            session.enter(&self.courier.live, connector, addressed(recipients), origin.connector.as_ref());
        for _ in 0..JUDGEMENTS_MAX {
            let table = self.courier.live.table();
            if !serves(&table, connector, addressed(recipients), origin.arrival()) {
                break;
            }
            let demand = Demand {
                requirement: &session.requirement,
                revision: connector.revision,
                generation: table.generation,
                onward: origin.onward.level,
            };
            let paths = recipients.iter().map(|r| (&r.forward_path, &r.dsn));
            match session.smtp.begin(&mail, paths, &demand, &mut session.connection.out) {
                Ok(()) => {
                    batch.begin(range.clone());
                    let (serial, first) = (batch.serial, session.used == 0);
                    session.used = session.used.saturating_add(1);
                    let _guard = guard;
                    let noted = ContentRecord { converted, tally };
                    self.sent.push_back(SentEnvelope { serial, range, first, content, noted, _guard });
                    return true;
                }
                Err(NotBegun::NotCovered(NotCovered::Stale)) => {
                    if !session.rejudge(connector, session.requirement.clone(), table.generation) {
                        break;
                    }
                }
                Err(NotBegun::NotCovered(NotCovered::Short(Shortfall::Onward))) => {
                    if let Some(decision) = Decision::onward(connector, &message.origin.onward) {
                        refused = Outcome::Deferred(Trouble::by(decision, Scope::Recipient));
                    }
                    break;
                }
                Err(NotBegun::Unauthorised | NotBegun::Busy | NotBegun::NotCovered(_)) => break,
                Err(fault) => {
                    refused = unconverted(&fault, batch.form.as_ref(), session);
                    break;
                }
            }
        }
        self.settle_rest(place, &refused);
        false
    }

    /// Sends the content of the transaction that has its go-ahead. A write error does not end the
    /// session if the peer has already replied with the reason.
    async fn send_content(&mut self, session: &mut OpenSession) -> Result<(), LinkFault> {
        let content = self.sent.front().map(|load| load.content.clone());
        let content = content.ok_or_else(|| LinkFault::Content("the job is gone".to_owned()))?;
        // With BDAT the command precedes the content, and no final dot follows.
        let before = session.connection.flush(self.courier.settings.timeouts.command).await;
        match before {
            Ok(()) | Err(Interruption::Link(LinkFault::Lost(_))) => {}
            Err(broken) => return Err(broken.into_link()),
        }
        session.smtp.end_content(&mut session.connection.out);
        self.chain(session).await;
        let sent = session.connection.send_content(&content, self.courier.settings.timeouts.data_block).await;
        match sent {
            Ok(()) | Err(Interruption::Link(LinkFault::Lost(_))) => Ok(()),
            Err(broken) => Err(broken.into_link()),
        }
    }

    /// Starts the next transaction behind this content, if the peer allows it and a job is ready.
    async fn chain(&mut self, session: &mut OpenSession) {
        if !session.smtp.is_free() || self.courier.is_worn(session, &self.way) || self.blocked.is_some() {
            return;
        }
        if self.batches.iter().all(Batch::is_under_way) {
            if self.question.is_some() {
                return;
            }
            let Some(errand) = self.next_errand_at_once().await else { return };
            self.take_on(errand);
        }
        let Some(place) = self.batches.iter().position(|batch| !batch.is_under_way()) else { return };
        // What has to be converted first is not waited for while the peer waits for content.
        let offers = session.smtp.offers();
        let (sending, own) = (&self.way.connector.sending, &self.courier.settings.name);
        let examined =
            self.batches.get_mut(place).is_some_and(|batch| batch.is_examined(offers, sending, own));
        if examined && self.batches.get(place).is_some_and(|batch| self.may_take(session, batch)) {
            self.begin(session, place);
        }
    }

    fn finish(&mut self, session: &OpenSession, finished: &TransactionResult) {
        let Some(load) = self.sent.pop_front() else { return };
        self.settle(&load, |number| load.outcome(finished, number, session, None));
    }

    /// Ends the session: recipients with a reply keep it. A transaction whose content was never sent goes to another
    /// session, and so does one after others, if the end may be about the session.
    fn break_off(&mut self, session: &mut OpenSession, ending: &Ending) -> Use {
        let sent = std::mem::take(&mut self.sent);
        let all = session.smtp.abandon();
        // A new table has ended it, which says nothing of the host: the connector is chosen again.
        let outdated = session.connection.cut().is_cancelled() && !session.connection.is_after_dot();
        for (number, (load, finished)) in sent.iter().zip(all).enumerate() {
            let after_dot = finished.sent && session.connection.is_after_dot();
            if number > 0 || outdated || (!load.first && ending.may_be_of_session(after_dot)) {
                self.settle(load, |_| None);
                continue;
            }
            let outcome = ended(&finished, session, ending);
            self.settle(load, |number| load.outcome(&finished, number, session, Some(&outcome)));
            if scope(&outcome) == Some(Scope::Lane) {
                self.blocked = Some(outcome);
            }
        }
        Use::Over
    }

    fn coming(&mut self) -> &mut NextErrand {
        let jobs = &self.jobs;
        self.coming.get_or_insert_with(|| {
            let jobs = Arc::clone(jobs);
            Box::pin(async move { jobs.next().await })
        })
    }

    async fn next_errand(&mut self) -> Option<Errand> {
        let errand = self.coming().as_mut().await;
        self.coming = None;
        errand
    }

    /// The next job, if it is ready. A job that must first be read from disk keeps loading and
    /// becomes the next one.
    async fn next_errand_at_once(&mut self) -> Option<Errand> {
        let coming = self.coming();
        let polled = poll_fn(|context| Poll::Ready(coming.as_mut().poll(context))).await;
        match polled {
            Poll::Ready(errand) => {
                self.coming = None;
                errand
            }
            Poll::Pending => None,
        }
    }

    /// Sets the outcomes of a transaction's recipients; `None`: another session decides.
    fn settle(&mut self, load: &SentEnvelope, outcome: impl Fn(usize) -> Option<Outcome>) {
        let Some(place) = self.batches.iter().position(|batch| batch.serial == load.serial) else { return };
        if let Some(batch) = self.batches.get_mut(place) {
            batch.settle(&load.range, !load.first, outcome);
        }
        self.report(place);
    }

    /// Sets this outcome for the recipients of a batch that have not been in a transaction.
    fn settle_rest(&mut self, place: usize, outcome: &Outcome) {
        if let Some(batch) = self.batches.get_mut(place) {
            batch.settle_rest(outcome);
        }
        self.block(outcome);
        self.report(place);
    }

    /// The question that comes first, or the first batch, ends like this.
    fn settle_next(&mut self, outcome: &Outcome) {
        let Some((question, _)) = self.question.take() else { return self.settle_rest(0, outcome) };
        let end = match outcome {
            Outcome::Deferred(trouble) | Outcome::Failed(trouble) => QuestionEnd::Hindered(trouble.clone()),
            Outcome::Delivered(_) => QuestionEnd::Unasked,
        };
        self.jobs.answer(&question, RecipientCheck::Unsure, end);
        self.block(outcome);
    }

    /// Nothing more is carried where the outcome concerns more than this recipient.
    fn block(&mut self, outcome: &Outcome) {
        match scope(outcome) {
            Some(Scope::Lane | Scope::Session) => self.blocked = Some(outcome.clone()),
            Some(Scope::Recipient) | None => {}
        }
    }

    /// Reports a batch once all its recipients are settled.
    fn report(&mut self, place: usize) {
        let done = self.batches.get(place).is_some_and(Batch::is_settled);
        if done && let Some(batch) = self.batches.remove(place) {
            let (job, outcomes) = batch.into_outcomes();
            self.jobs.report(&job, outcomes);
        }
    }
}

/// A delivery's record says how the content was changed.
fn noted(outcome: Outcome, content: &ContentRecord) -> Outcome {
    match outcome {
        Outcome::Delivered(record) => {
            Outcome::Delivered(DeliveryRecord { content: content.clone(), ..record })
        }
        Outcome::Deferred(_) | Outcome::Failed(_) => outcome,
    }
}
