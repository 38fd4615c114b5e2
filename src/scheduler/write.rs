//! What is written after an attempt: the recipients' state and the reports they cause, in one commit.
//! It does not write by itself.

use super::core::{RecipientVerdict, Work};
use crate::mail::Dates;
use crate::outcome::Trouble;
use crate::spool::{LaneKey, LastTrouble, Lease, NewMessage, QueuedRecipient, RecipientResult, Settlement};

impl Work<Lease> {
    /// The settlement to commit. Times on the schedule become dates.
    pub(super) fn into_settlement(self, reports: Vec<NewMessage>, dates: &Dates) -> Settlement {
        let (lane, left_sealed) = (self.lane, self.verdicts.iter().any(|(_, verdict)| left_sealed(verdict)));
        let recipients = self
            .verdicts
            .into_iter()
            .map(|(recipient, verdict)| (recipient.number, settled(&recipient, verdict, &lane, dates)))
            .collect();
        Settlement { message: self.message.id, lease: self.lease, recipients, reports, left_sealed }
    }
}

/// Whether a recipient got the message where TLS was demanded.
fn left_sealed(verdict: &RecipientVerdict) -> bool {
    match verdict {
        RecipientVerdict::Delivered(delivered) => delivered.decision.required.is_forced(),
        RecipientVerdict::Failed(_)
        | RecipientVerdict::Deferred { .. }
        | RecipientVerdict::Rerouted { .. } => false,
    }
}

fn settled(
    recipient: &QueuedRecipient,
    verdict: RecipientVerdict,
    lane: &LaneKey,
    dates: &Dates,
) -> RecipientResult {
    match verdict {
        RecipientVerdict::Delivered(_) | RecipientVerdict::Failed(_) => RecipientResult::Done,
        RecipientVerdict::Deferred { trouble, attempts, next_at, tell } => RecipientResult::Deferred {
            attempts,
            next_at: dates.to_wall(next_at),
            delay_told: recipient.delay_told || tell,
            lane: lane.clone(),
            last: last(trouble),
            rerouted: recipient.rerouted.clone(),
        },
        // Under the other connector it begins anew.
        RecipientVerdict::Rerouted { trouble, rerouting, lane, next_at } => RecipientResult::Deferred {
            attempts: 0,
            next_at: dates.to_wall(next_at),
            delay_told: recipient.delay_told,
            lane,
            last: last(trouble),
            rerouted: Some(rerouting),
        },
    }
}

fn last(trouble: Trouble) -> LastTrouble {
    LastTrouble {
        hint: trouble.hint().map(|hint| hint.token.to_owned()),
        status: trouble.status.to_string(),
        reason: trouble.reason,
        decision: trouble.decision.as_deref().map(|decision| Box::new(decision.into())),
    }
}
