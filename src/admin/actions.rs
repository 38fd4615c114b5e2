//! Actions on many messages: one page of a list per request, with all its messages under way
//! together.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::asker::Asker;
use super::control::{Control, HELD_BY_OPERATOR, Refusal, parse};
use super::view::{ActRequest, ActionTally, ListQuery, QueueAction};
use crate::mail::{Clock, QueueId};
use crate::scheduler::BounceResult;
use crate::spool::{Filter, HoldResult, LaneKey, Pending, QueuedMessage, Removal, SpoolFault};
use crate::tracking::QueueHandling;

/// The spool filter for a query.
pub(super) fn filter_of(query: &ListQuery) -> Filter {
    let before = |seconds| Clock::wall().before(Duration::from_secs(seconds));
    Filter {
        connector: query.connector.clone(),
        domain: query.domain.clone(),
        sender: query.sender.clone(),
        recipient: query.recipient.clone(),
        reason: query.reason.clone(),
        accepted_before: query.older_than.map(before),
        held: query.held,
    }
}

/// Recipients that are due, and are not tried because an operator has paused their connectors.
#[derive(Default)]
pub(super) struct PausedShare {
    pub(super) recipients: usize,
    pub(super) connectors: BTreeSet<Arc<str>>,
}

impl PausedShare {
    /// What is paused of lanes, each with its recipients.
    pub(super) fn of<'a>(paused: &[Arc<str>], lanes: impl IntoIterator<Item = (&'a LaneKey, usize)>) -> Self {
        let mut share = Self::default();
        for (LaneKey(lane), recipients) in lanes {
            let connector = lane.split_once('/').map_or(&**lane, |(connector, _)| connector);
            if let Some(name) = paused.iter().find(|name| ***name == *connector) {
                share.recipients = share.recipients.saturating_add(recipients);
                share.connectors.insert(Arc::clone(name));
            }
        }
        share
    }

    /// What is paused of messages.
    pub(super) fn of_messages(paused: &[Arc<str>], messages: &[QueuedMessage]) -> Self {
        let rows = messages.iter().flat_map(|message| &message.recipients);
        Self::of(paused, rows.map(|row| (&row.lane, 1)))
    }
}

/// Applies an action to the next page of the messages that a filter selects.
#[utoipa::path(post, path = "/queue/act", tag = "queue", request_body = ActRequest, responses((status = 200, body = ActionTally), (status = 503)))]
pub(super) async fn act(
    State(control): State<Control>,
    asker: Asker,
    Json(request): Json<ActRequest>,
) -> Result<Json<ActionTally>, Refusal> {
    let after = request.of.after.as_deref().map(parse).transpose()?;
    if let Some(part) = request.of.empty_part() {
        let words = format!("of.{part} is empty; leave it out to mean any");
        return Err(Refusal(StatusCode::BAD_REQUEST, words));
    }
    let mut filter = filter_of(&request.of);
    // Only held messages can be released.
    filter.held |= request.action == QueueAction::Release;
    let part = control.spool.list(filter.clone(), after, PAGE).await?;
    let mut done = ActionTally { next: part.next, ..ActionTally::default() };
    let (named, partly): (Vec<_>, Vec<_>) = part.messages.into_iter().partition(|message| {
        let for_good = matches!(request.action, QueueAction::Bounce | QueueAction::Remove);
        !for_good || request.whole || message.recipients.iter().all(|row| filter.takes(row))
    });
    for message in partly {
        done.leave(message.id, "it has recipients that the filter does not name; see --whole");
    }
    apply(&control, &asker, (request.action, named), &mut done).await?;
    Ok(Json(done))
}

/// Applies an action to the messages that are named. Also returns those to which it applies as they are.
pub(super) async fn act_on_each(
    control: &Control,
    ids: &[QueueId],
    action: QueueAction,
    asker: &Asker,
) -> Result<(ActionTally, Vec<QueueId>), Refusal> {
    let (mut done, mut named) = (ActionTally::default(), Vec::new());
    for id in ids {
        match control.spool.show(*id).await? {
            None => done.leave(*id, "it is not queued any more"),
            Some(message) if action == QueueAction::Retry && message.held.is_some() => {
                done.leave(*id, "it is held");
            }
            // Whoever takes this hold back must not take back another one.
            Some(message) if action == QueueAction::Hold && message.held.is_some() => {
                done.leave(*id, "it is held already");
            }
            Some(message) => named.push(message),
        }
    }
    let meant = named.iter().map(|message| message.id).collect();
    apply(control, asker, (action, named), &mut done).await?;
    Ok((done, meant))
}

async fn apply(
    control: &Control,
    asker: &Asker,
    (action, named): (QueueAction, Vec<QueuedMessage>),
    done: &mut ActionTally,
) -> Result<(), Refusal> {
    if matches!(action, QueueAction::Retry | QueueAction::Release) {
        let share = PausedShare::of_messages(&control.scheduler.paused(), &named);
        (done.paused_recipients, done.paused) = (share.recipients, share.connectors.into_iter().collect());
    }
    let ids: Vec<QueueId> = named.iter().map(|message: &QueuedMessage| message.id).collect();
    match action {
        QueueAction::Retry => {
            control.scheduler.retry_all(&ids).await?;
            control.tell(&ids, QueueHandling::Retried, asker);
            done.messages = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        }
        QueueAction::Hold => {
            let hold = |id| control.spool.hold(id, HELD_BY_OPERATOR.to_owned());
            let held = ask_each(control, &ids, hold, done).await?;
            control.tell(&held, QueueHandling::Held, asker);
        }
        QueueAction::Release => {
            let now = Clock::wall();
            let asked: Vec<_> = ids.iter().map(|id| (*id, control.spool.release(*id, now))).collect();
            for (id, answer) in asked {
                let was = if answer.await? { ActionOutcome::Done } else { ActionOutcome::Unknown };
                if was == ActionOutcome::Done {
                    control.tell(&[id], QueueHandling::Released, asker);
                }
                done.note(id, was);
            }
            control.scheduler.retry_all(&ids).await?;
        }
        QueueAction::Bounce => {
            for id in ids {
                let was = control.scheduler.bounce(id).await.map(ActionOutcome::from)?;
                if was == ActionOutcome::Done {
                    control.tell(&[id], QueueHandling::Bounced, asker);
                }
                done.note(id, was);
            }
        }
        QueueAction::Remove => {
            let gone = ask_each(control, &ids, |id| control.spool.remove(id), done).await?;
            control.tell(&gone, QueueHandling::Removed, asker);
        }
    }
    Ok(())
}

/// Asks for each message, all at once. Messages that wait in memory are released from their lease
/// and tried a second time. Returns those for which it was done.
async fn ask_each<T>(
    control: &Control,
    ids: &[QueueId],
    ask: impl Fn(QueueId) -> Pending<Result<T, SpoolFault>>,
    done: &mut ActionTally,
) -> Result<Vec<QueueId>, SpoolFault>
where
    ActionOutcome: From<T>,
{
    let (mut busy, mut changed) = (Vec::new(), Vec::new());
    let asked: Vec<_> = ids.iter().map(|id| (*id, ask(*id))).collect();
    for (id, answer) in asked {
        match ActionOutcome::from(answer.await?) {
            ActionOutcome::Busy => busy.push(id),
            was @ (ActionOutcome::Done | ActionOutcome::Unknown) => {
                changed.extend((was == ActionOutcome::Done).then_some(id));
                done.note(id, was);
            }
        }
    }
    if busy.is_empty() {
        return Ok(changed);
    }
    control.scheduler.let_go(&busy).await;
    let asked: Vec<_> = busy.iter().map(|id| (*id, ask(*id))).collect();
    for (id, answer) in asked {
        let was = ActionOutcome::from(answer.await?);
        changed.extend((was == ActionOutcome::Done).then_some(id));
        done.note(id, was);
    }
    Ok(changed)
}

/// The result for one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ActionOutcome {
    Done,
    Busy,
    Unknown,
}

impl ActionTally {
    fn note(&mut self, id: QueueId, was: ActionOutcome) {
        match was {
            ActionOutcome::Done => self.messages = self.messages.saturating_add(1),
            ActionOutcome::Busy => self.leave(id, BUSY),
            ActionOutcome::Unknown => self.leave(id, "it is not queued any more, or not held"),
        }
    }

    fn leave(&mut self, id: QueueId, why: &str) {
        self.left = self.left.saturating_add(1);
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(format!("{id}: {why}"));
        }
    }
}

impl From<HoldResult> for ActionOutcome {
    fn from(holding: HoldResult) -> Self {
        match holding {
            HoldResult::Held => Self::Done,
            HoldResult::Leased => Self::Busy,
            HoldResult::Unknown => Self::Unknown,
        }
    }
}

impl From<Removal> for ActionOutcome {
    fn from(removal: Removal) -> Self {
        match removal {
            Removal::Removed => Self::Done,
            Removal::Leased => Self::Busy,
            Removal::Unknown => Self::Unknown,
        }
    }
}

impl From<BounceResult> for ActionOutcome {
    fn from(bounced: BounceResult) -> Self {
        match bounced {
            BounceResult::Done(_) => Self::Done,
            BounceResult::Busy => Self::Busy,
            BounceResult::Unknown => Self::Unknown,
        }
    }
}

/// Why a message can't be changed now.
pub(super) const BUSY: &str = "it is being delivered; ask again in a moment";
/// Maximum number of messages per request.
const PAGE: usize = 500;
/// Maximum number of reasons per answer.
const REASONS_MAX: usize = 20;
