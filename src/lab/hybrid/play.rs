//! Plays the messages: hands them to the gateway, follows them until they arrive or wait with a reason,
//! and compares the result with the policy.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::cases::{CASES, ExpectedTreatment, HybridCase};
use super::dress;
use super::expect::{Expectation, expect, is_changed};
use super::faults::FaultSet;
use super::fields::SplitMessage;
use super::ledger::HostArrival;
use super::marks;
use super::outside::OutsideCause;
use super::row::{HybridResult, HybridRow};
use super::sender::Handover;
use super::stage::HybridStage;
use crate::lab::client::SubmissionResult;
use crate::lab::fault::LabFault;
use crate::lab::plan::CaseOutcome;
use crate::mail::QueueId;
use crate::scheduler::Scheduler;
use crate::spool::{Filter, QueuedMessage, QueuedRow, Removal, Spool};

/// The gateway, as far as the lab looks into it.
pub(super) struct GatewayView {
    pub(super) spool: Arc<dyn Spool>,
    pub(super) scheduler: Arc<Scheduler>,
}

/// What is known of one message.
#[derive(Debug, Clone)]
struct MessageFindings {
    outcome: CaseOutcome,
    token: String,
    attained: String,
    reason: String,
    arrival: Option<HostArrival>,
    /// What no policy allows.
    wrong: Option<&'static str>,
}

/// One run: its number is in every Message-ID.
#[derive(Clone, Copy)]
pub(super) struct HybridRun<'a> {
    pub(super) stage: &'a HybridStage,
    pub(super) gateway: &'a GatewayView,
    pub(super) number: u64,
}

impl HybridRun<'_> {
    /// Sends every message at once, and reports the outcome of each.
    ///
    /// # Errors
    /// The spool can't be queried.
    pub(super) async fn play(self) -> Result<HybridResult, LabFault> {
        let faults = self.stage.board.faults();
        self.stage.ledger.clear();
        // What was learned of hosts before a switch is forgotten.
        self.gateway.scheduler.retry(None).await?;
        let mut found = self.hand_over(&faults).await;
        let deadline = Instant::now() + WAIT;
        loop {
            let queued = self.gateway.spool.list(Filter::default(), None, QUEUE_LIMIT).await?.messages;
            let late = Instant::now() >= deadline;
            for (slot, case) in found.iter_mut().zip(CASES) {
                if slot.is_none() {
                    let expected = expect(case, &faults);
                    *slot = self.look(case, &queued).filter(|found| late || settles(&expected, found));
                }
            }
            if late || found.iter().all(Option::is_some) {
                break;
            }
            sleep(POLL).await;
        }
        let rows = found.into_iter().zip(CASES).map(|(found, case)| self.row(case, found, &faults)).collect();
        self.empty_queue().await?;
        Ok(HybridResult { faults: faults.iter().map(ToString::to_string).collect(), rows })
    }

    /// Hands everything to the gateway; what it refuses is settled.
    async fn hand_over(self, faults: &FaultSet) -> Vec<Option<MessageFindings>> {
        let mut sessions = JoinSet::new();
        for (number, case) in CASES.iter().enumerate() {
            let handover = Handover {
                host: case.sender,
                tls: case.tls,
                reverse_path: case.from.to_owned(),
                forward_path: case.to.to_owned(),
                content: marks::write(case, self.number).octets(),
            };
            let (clients, faults) = (Arc::clone(&self.stage.clients), faults.clone());
            sessions.spawn(async move { (number, clients.hand_over(handover, &faults).await) });
        }
        let mut found: Vec<Option<MessageFindings>> = CASES.iter().map(|_| None).collect();
        while let Some(session) = sessions.join_next().await {
            if let Ok((number, result)) = session
                && let Some(slot) = found.get_mut(number)
            {
                *slot = refused(result);
            }
        }
        found
    }

    fn look(self, case: &HybridCase, queued: &[QueuedMessage]) -> Option<MessageFindings> {
        let ledger = &self.stage.ledger;
        let is_this = |arrival: &HostArrival| {
            Some(arrival.host) == case.end()
                && marks::case_of(&arrival.content)
                    .is_some_and(|(of, run)| of.id == case.id && run == self.number)
        };
        if let Some(arrival) = ledger.find(is_this) {
            return Some(self.delivered(case, arrival));
        }
        if let Some(reply) = ledger.reply_to(case.id) {
            return Some(MessageFindings::refused(reply, "the host could not send it on: "));
        }
        let paths = case.forward_paths();
        let rows = queued.iter().filter(|message| message.reverse_path.as_str() == case.from);
        let mut rows = rows.flat_map(|message| &message.recipients);
        let row = rows.find(|row| paths.iter().any(|path| row.forward_path.as_str() == path));
        let refusal = paths.iter().find_map(|to| ledger.refusal((case.from, to), '5'));
        match (row, refusal) {
            // It is over when the gateway has given it up; the report to its sender is another message.
            (None, Some(refusal)) => Some(MessageFindings::refused(refusal.reply, "the next hop: ")),
            (Some(_), Some(_)) | (None, None) => None,
            (Some(row), None) => waiting(row, queued),
        }
    }

    fn delivered(self, case: &HybridCase, arrival: HostArrival) -> MessageFindings {
        let tried_tls = self.stage.ledger.came_in_clear(arrival.host, "STARTTLS\r\n");
        let is_forced = case.legs.last().is_some_and(|leg| leg.forced);
        let paths = case.forward_paths();
        let later = paths.iter().find_map(|to| self.stage.ledger.refusal((case.from, to), '4'));
        let (outcome, token, how) = match (&arrival.channel, tried_tls) {
            (Some(_), _) => {
                let token = if is_forced { "met" } else { "sealed" };
                (CaseOutcome::DeliveredTls, token, "arrived over TLS, body and fields unchanged")
            }
            (None, false) => (
                CaseOutcome::DeliveredClear,
                "clear-not-offered",
                "STARTTLS is not offered; arrived in plaintext",
            ),
            (None, true) => {
                (CaseOutcome::DeliveredClear, "clear-after-starttls", "TLS failed; arrived in plaintext")
            }
        };
        let (token, reason) = match later {
            None => (token.to_owned(), how.to_owned()),
            Some(later) => (status_of(&later.reply), format!("{how}, after {}", later.reply)),
        };
        let original = marks::write(case, self.number);
        let copy = SplitMessage::parse(&arrival.content);
        let leaks = !arrival.host.is_exchange() && dress::has_internal(&copy);
        let wrong = marks::compare(&original, &copy).err();
        let wrong = wrong.or_else(|| leaks.then_some("fields of our Exchange left the organisation"));
        let attained = arrival.channel.clone().unwrap_or_else(|| "plaintext".to_owned());
        MessageFindings { outcome, token, attained, reason, arrival: Some(arrival), wrong }
    }

    fn row(self, case: &HybridCase, found: Option<MessageFindings>, faults: &FaultSet) -> HybridRow {
        let expected = expect(case, faults);
        let mut found = found.unwrap_or_else(|| MessageFindings {
            wrong: Some("nothing was heard of it in time"),
            ..MessageFindings::refused(String::new(), "")
        });
        let leaked = case.legs.iter().filter(|leg| leg.forced).any(|leg| {
            let told = |to: &String| self.stage.ledger.came_in_clear(leg.host, &format!("RCPT TO:<{to}>"));
            case.forward_paths().iter().any(told)
        });
        if leaked {
            found.wrong = Some("an envelope came in plaintext under forced TLS");
        }
        let treatment = found.arrival.as_ref().and_then(|arrival| arrival.treatment.as_ref());
        let internal = treatment.map(|treatment| treatment.outside);
        let treated = expected.treated.map(|treated| match treated {
            ExpectedTreatment::Internal => None,
            ExpectedTreatment::External(cause) => Some(cause),
        });
        let wrong = match (found.wrong, is_as(&expected, &found), internal == treated) {
            (Some(wrong), ..) => Some(wrong.to_owned()),
            (None, false, _) => Some(format!("expected: {}, {}", expected.outcome.word(), expected.because)),
            (None, true, false) => Some(format!("Exchange was expected to treat it as {}", word(treated))),
            (None, true, true) => None,
        };
        let as_expected = wrong.is_none();
        let reason = wrong.map_or(found.reason.clone(), |wrong| format!("{wrong}; {}", found.reason));
        HybridRow {
            id: case.id.to_owned(),
            from: case.from.to_owned(),
            to: case.to.to_owned(),
            way: case.way().into_iter().map(str::to_owned).collect(),
            outcome: found.outcome,
            token: found.token.clone(),
            attained: found.attained.clone(),
            reason,
            internal: internal.map(|outside| outside.is_none()),
            internal_token: internal.map(|outside| word(Some(outside)).to_owned()).unwrap_or_default(),
            internal_reason: treatment.map(ToString::to_string).unwrap_or_default(),
            changed: is_changed(case, faults),
            as_expected,
        }
    }

    /// Removes what waits, so that the next run begins with an empty queue.
    async fn empty_queue(self) -> Result<(), LabFault> {
        let deadline = Instant::now() + EMPTY_WAIT;
        while Instant::now() < deadline {
            let queued = self.gateway.spool.list(Filter::default(), None, QUEUE_LIMIT).await?.messages;
            let ids: Vec<QueueId> = queued.iter().map(|message| message.id).collect();
            if ids.is_empty() {
                break;
            }
            self.gateway.scheduler.let_go(&ids).await;
            let mut left = false;
            for id in ids {
                left |= self.gateway.spool.remove(id).await? == Removal::Leased;
            }
            if left {
                sleep(POLL).await;
            }
        }
        Ok(())
    }
}

impl MessageFindings {
    fn refused(reply: String, whose: &str) -> Self {
        Self {
            outcome: CaseOutcome::Refused,
            token: reply.split(' ').take(2).collect::<Vec<_>>().join(" "),
            attained: "no delivery".to_owned(),
            reason: format!("{whose}{reply}"),
            arrival: None,
            wrong: None,
        }
    }
}

/// What the gateway refused, or why there was no session.
fn refused(result: io::Result<SubmissionResult>) -> Option<MessageFindings> {
    match result {
        Ok(handed) if handed.is_accepted() => None,
        Ok(handed) => {
            let attained = handed.channel.clone();
            Some(MessageFindings { attained, ..MessageFindings::refused(handed.reply(), "") })
        }
        Err(fault) => Some(MessageFindings {
            token: "no-session".to_owned(),
            ..MessageFindings::refused(fault.to_string(), "")
        }),
    }
}

/// What is known of a recipient that waits: its own trouble, or that of its lane, which waits for the same
/// reason.
fn waiting(row: &QueuedRow, queued: &[QueuedMessage]) -> Option<MessageFindings> {
    let rows = queued.iter().flat_map(|message| &message.recipients);
    let mut lane = rows.filter(|other| other.lane == row.lane);
    let trouble = row.last.as_ref().or_else(|| lane.find_map(|other| other.last.as_ref()))?;
    let decision = trouble.decision.as_ref();
    let withheld = decision.filter(|decision| decision.withheld == Some(true));
    let outcome = if withheld.is_some() { CaseOutcome::Withheld } else { CaseOutcome::Deferred };
    Some(MessageFindings {
        outcome,
        token: withheld.map_or_else(|| trouble.status.clone(), |decision| decision.token.clone()),
        attained: decision.map_or_else(|| "no session".to_owned(), |decision| decision.attained.clone()),
        reason: trouble.reason.clone(),
        arrival: None,
        wrong: None,
    })
}

/// Whether to stop following a message: a deferral that is not expected may be followed by a delivery.
fn settles(expected: &Expectation, found: &MessageFindings) -> bool {
    match found.outcome {
        CaseOutcome::DeliveredTls | CaseOutcome::DeliveredClear | CaseOutcome::Refused => true,
        CaseOutcome::Withheld | CaseOutcome::Deferred => is_as(expected, found),
    }
}

fn is_as(expected: &Expectation, found: &MessageFindings) -> bool {
    let token = found.token.strip_prefix(expected.because);
    expected.outcome == found.outcome && token.is_some_and(str::is_empty)
}

fn word(outside: Option<Option<OutsideCause>>) -> &'static str {
    outside.map_or("nothing", |cause| cause.map_or("internal", OutsideCause::word))
}

/// The enhanced status code of a reply.
fn status_of(reply: &str) -> String {
    reply.split(' ').nth(1).unwrap_or_default().to_owned()
}

const WAIT: Duration = Duration::from_secs(10);
const EMPTY_WAIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);
const QUEUE_LIMIT: usize = 1000;
