//! What is done with many messages at once: with those of one answer of a list, all under way together.

use std::time::Duration;

use axum::Json;
use axum::extract::State;

use super::control::{Control, HELD_BY_OPERATOR, Refusal, parse};
use super::view::{ActRequest, Deed, DeedTally, ListQuery};
use crate::mail::{Clock, QueueId};
use crate::scheduler::Bounced;
use crate::spool::{Filter, Holding, Pending, QueuedMessage, Removal, SpoolFault};

/// What a list is asked by.
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

/// Does it with the next messages.
pub(super) async fn act(
    State(control): State<Control>,
    Json(request): Json<ActRequest>,
) -> Result<Json<DeedTally>, Refusal> {
    let after = request.of.after.as_deref().map(parse).transpose()?;
    let mut filter = filter_of(&request.of);
    // What is not held can't be released.
    filter.held |= request.deed == Deed::Release;
    let part = control.spool.list(filter.clone(), after, PAGE).await?;
    let mut done = DeedTally { next: part.next, ..DeedTally::default() };
    let (named, partly): (Vec<_>, Vec<_>) = part.messages.into_iter().partition(|message| {
        let for_good = matches!(request.deed, Deed::Bounce | Deed::Remove);
        !for_good || request.whole || message.recipients.iter().all(|row| filter.takes(row))
    });
    for message in partly {
        done.leave(message.id, "it has recipients that the filter does not name; see --whole");
    }
    let ids: Vec<QueueId> = named.iter().map(|message: &QueuedMessage| message.id).collect();
    match request.deed {
        Deed::Retry => {
            control.scheduler.retry_all(&ids).await?;
            done.messages = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        }
        Deed::Hold => {
            let hold = |id| control.spool.hold(id, HELD_BY_OPERATOR.to_owned());
            insist(&control, &ids, hold, &mut done).await?;
        }
        Deed::Release => {
            let now = Clock::wall();
            let asked: Vec<_> = ids.iter().map(|id| (*id, control.spool.release(*id, now))).collect();
            for (id, answer) in asked {
                done.note(id, if answer.await? { Was::Done } else { Was::Unknown });
            }
            control.scheduler.retry_all(&ids).await?;
        }
        Deed::Bounce => {
            for id in ids {
                done.note(id, control.scheduler.bounce(id).await.map(Was::from)?);
            }
        }
        Deed::Remove => {
            insist(&control, &ids, |id| control.spool.remove(id), &mut done).await?;
        }
    }
    Ok(Json(done))
}

/// Asks for each, all under way together. Those that wait in memory are let go of, and asked for once more.
async fn insist<T>(
    control: &Control,
    ids: &[QueueId],
    ask: impl Fn(QueueId) -> Pending<Result<T, SpoolFault>>,
    done: &mut DeedTally,
) -> Result<(), SpoolFault>
where
    Was: From<T>,
{
    let mut busy = Vec::new();
    let asked: Vec<_> = ids.iter().map(|id| (*id, ask(*id))).collect();
    for (id, answer) in asked {
        match Was::from(answer.await?) {
            Was::Busy => busy.push(id),
            was @ (Was::Done | Was::Unknown) => done.note(id, was),
        }
    }
    if busy.is_empty() {
        return Ok(());
    }
    control.scheduler.let_go(&busy).await;
    let asked: Vec<_> = busy.iter().map(|id| (*id, ask(*id))).collect();
    for (id, answer) in asked {
        done.note(id, Was::from(answer.await?));
    }
    Ok(())
}

/// What became of one message.
pub(super) enum Was {
    Done,
    Busy,
    Unknown,
}

impl DeedTally {
    fn note(&mut self, id: QueueId, was: Was) {
        match was {
            Was::Done => self.messages = self.messages.saturating_add(1),
            Was::Busy => self.leave(id, BUSY),
            Was::Unknown => self.leave(id, "it is not queued any more, or not held"),
        }
    }

    fn leave(&mut self, id: QueueId, why: &str) {
        self.left = self.left.saturating_add(1);
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(format!("{id}: {why}"));
        }
    }
}

impl From<Holding> for Was {
    fn from(holding: Holding) -> Self {
        match holding {
            Holding::Held => Self::Done,
            Holding::Leased => Self::Busy,
            Holding::Unknown => Self::Unknown,
        }
    }
}

impl From<Removal> for Was {
    fn from(removal: Removal) -> Self {
        match removal {
            Removal::Removed => Self::Done,
            Removal::Leased => Self::Busy,
            Removal::Unknown => Self::Unknown,
        }
    }
}

impl From<Bounced> for Was {
    fn from(bounced: Bounced) -> Self {
        match bounced {
            Bounced::Done(_) => Self::Done,
            Bounced::Busy => Self::Busy,
            Bounced::Unknown => Self::Unknown,
        }
    }
}

/// Why a message can't be had now.
pub(super) const BUSY: &str = "it is being delivered; ask again in a moment";
/// Messages of one answer.
const PAGE: usize = 500;
/// Reasons of one answer.
const REASONS_MAX: usize = 20;
