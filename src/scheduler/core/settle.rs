//! Turns the outcomes of an attempt into a verdict for each recipient, and collects what is written for
//! the message. It writes nothing itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::retry::{self, Next};
use crate::connector::{Decision, Rerouting, Retry};
use crate::mail::{Content, Enhanced, Occasion, UnixMillis};
use crate::outcome::{Cause, DeliveryRecord, Outcome, Scope, Trouble};
use crate::spool::{Divisible, LaneKey, QueuedRecipient, StoredMessage};

/// What is to be written and logged about one message.
#[derive(Debug)]
pub(in crate::scheduler) struct Work<L> {
    pub(in crate::scheduler) message: Arc<StoredMessage>,
    pub(in crate::scheduler) lease: L,
    pub(in crate::scheduler) content: Option<Content>,
    pub(in crate::scheduler) lane: LaneKey,
    /// Time after acceptance at which the message expires.
    pub(in crate::scheduler) expire: Duration,
    pub(in crate::scheduler) verdicts: Vec<(QueuedRecipient, RecipientVerdict)>,
    /// Whether the verdicts were logged already.
    pub(in crate::scheduler) told: bool,
}

/// The verdict on one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::scheduler) enum RecipientVerdict {
    Delivered(DeliveryRecord),
    Failed(Trouble),
    Deferred {
        trouble: Trouble,
        attempts: u32,
        next_at: UnixMillis,
        tell: bool,
    },
    /// It goes by another connector, in this lane.
    Rerouted {
        trouble: Trouble,
        rerouting: Rerouting,
        lane: LaneKey,
        next_at: UnixMillis,
    },
}

impl RecipientVerdict {
    /// How the session stood to the connector, if it came to one.
    pub(in crate::scheduler) fn decision(&self) -> Option<&Arc<Decision>> {
        match self {
            Self::Delivered(delivered) => Some(&delivered.decision),
            Self::Failed(trouble) | Self::Deferred { trouble, .. } | Self::Rerouted { trouble, .. } => {
                trouble.decision.as_ref()
            }
        }
    }
}

/// What a message is judged by; all times are on the schedule.
#[derive(Debug, Clone, Copy)]
pub(in crate::scheduler) struct Rules<'a> {
    pub(in crate::scheduler) retry: &'a Retry,
    pub(in crate::scheduler) accepted_at: UnixMillis,
    pub(in crate::scheduler) now: UnixMillis,
    /// Until when the lane is blocked, if it is.
    pub(in crate::scheduler) blocked_until: Option<UnixMillis>,
    /// Whether a message is tried again at once after a lost session.
    pub(in crate::scheduler) again: bool,
}

/// Judges one outcome; `None` means that the recipient is tried again at once.
pub(in crate::scheduler) fn judge(
    rules: Rules<'_>,
    recipient: &QueuedRecipient,
    outcome: Outcome,
) -> Option<RecipientVerdict> {
    let trouble = match outcome {
        Outcome::Delivered(delivered) => return Some(RecipientVerdict::Delivered(delivered)),
        Outcome::Failed(trouble) => return Some(RecipientVerdict::Failed(trouble)),
        Outcome::Deferred(trouble) => trouble,
    };
    let of_session = trouble.scope == Scope::Session;
    if of_session && rules.again && rules.blocked_until.is_none() {
        return None;
    }
    let attempts = recipient.attempts.saturating_add(1);
    let Rules { retry, accepted_at, now, .. } = rules;
    let next_at = match retry::after_attempt(retry, accepted_at, attempts, now) {
        Next::GiveUp => return Some(RecipientVerdict::Failed(retry::expired(trouble, retry))),
        Next::TryAt(time) => rules.blocked_until.unwrap_or(time),
    };
    let tell = retry::delay_is_due(retry, accepted_at, recipient.delay_told, now);
    Some(RecipientVerdict::Deferred { trouble, attempts, next_at, tell })
}

/// Judges a recipient of a blocked lane that may have expired, without an attempt of its own: the
/// lane's last trouble is the reason.
pub(in crate::scheduler) fn judge_overdue(
    rules: Rules<'_>,
    recipient: &QueuedRecipient,
    trouble: &Trouble,
) -> RecipientVerdict {
    let Rules { retry, accepted_at, now, .. } = rules;
    if retry::expires_at(retry, accepted_at) <= now {
        return RecipientVerdict::Failed(retry::expired(trouble.clone(), retry));
    }
    RecipientVerdict::Deferred {
        trouble: trouble.clone(),
        attempts: recipient.attempts,
        next_at: rules.blocked_until.unwrap_or(now),
        tell: retry::delay_is_due(retry, accepted_at, recipient.delay_told, now),
    }
}

impl<L: Divisible> Work<L> {
    /// Whether all recipients were delivered and no report is due.
    pub(in crate::scheduler) fn is_plain(&self) -> bool {
        self.verdicts.iter().all(|(_, verdict)| match verdict {
            RecipientVerdict::Delivered(_) => true,
            RecipientVerdict::Failed(_)
            | RecipientVerdict::Deferred { .. }
            | RecipientVerdict::Rerouted { .. } => false,
        }) && self.relayed().next().is_none()
    }

    /// Splits off the recipients that failed, if any.
    pub(in crate::scheduler) fn split_failed(&mut self) -> Option<Self> {
        let failed = |(_, verdict): &(QueuedRecipient, RecipientVerdict)| {
            matches!(verdict, RecipientVerdict::Failed(_))
        };
        let (taken, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.verdicts).into_iter().partition(failed);
        self.verdicts = kept;
        if taken.is_empty() {
            return None;
        }
        let numbers: Vec<u32> = taken.iter().map(|(recipient, _)| recipient.number).collect();
        Some(Self {
            message: Arc::clone(&self.message),
            lease: self.lease.split_off(&numbers),
            content: self.content.clone(),
            lane: self.lane.clone(),
            expire: self.expire,
            verdicts: taken,
            told: self.told,
        })
    }

    /// Adds the verdicts of another lane of the same message; none of them is a deferral.
    pub(in crate::scheduler) fn absorb(&mut self, other: Self) {
        self.lease.absorb(other.lease);
        self.verdicts.extend(other.verdicts);
    }

    /// Recipients relayed to a host that sends no reports, if the reverse-path asked for a success
    /// report.
    pub(in crate::scheduler) fn relayed(&self) -> impl Iterator<Item = (&QueuedRecipient, &DeliveryRecord)> {
        self.verdicts.iter().filter_map(|(recipient, verdict)| match verdict {
            RecipientVerdict::Delivered(delivered) => {
                let wanted = recipient.dsn.notify.wants(Occasion::Success) && !delivered.reports_on;
                wanted.then_some((recipient, delivered))
            }
            RecipientVerdict::Failed(_)
            | RecipientVerdict::Deferred { .. }
            | RecipientVerdict::Rerouted { .. } => None,
        })
    }

    pub(in crate::scheduler) fn failed(&self) -> impl Iterator<Item = (&QueuedRecipient, &Trouble)> {
        self.verdicts.iter().filter_map(|(recipient, verdict)| match verdict {
            RecipientVerdict::Failed(trouble) => Some((recipient, trouble)),
            RecipientVerdict::Delivered(_)
            | RecipientVerdict::Deferred { .. }
            | RecipientVerdict::Rerouted { .. } => None,
        })
    }

    /// The recipients whose delay is to be reported.
    pub(in crate::scheduler) fn late(&self) -> impl Iterator<Item = (&QueuedRecipient, &Trouble)> {
        self.verdicts.iter().filter_map(|(recipient, verdict)| match verdict {
            RecipientVerdict::Deferred { trouble, tell: true, .. } => Some((recipient, trouble)),
            RecipientVerdict::Deferred { tell: false, .. }
            | RecipientVerdict::Rerouted { .. }
            | RecipientVerdict::Delivered(_)
            | RecipientVerdict::Failed(_) => None,
        })
    }

    /// The lanes of the recipients that stay in the queue, each with the time its first one is due.
    pub(in crate::scheduler) fn due(&self) -> Vec<(LaneKey, UnixMillis)> {
        let mut first: BTreeMap<&LaneKey, UnixMillis> = BTreeMap::new();
        for (_, verdict) in &self.verdicts {
            let (lane, next_at) = match verdict {
                RecipientVerdict::Deferred { next_at, .. } => (&self.lane, *next_at),
                RecipientVerdict::Rerouted { lane, next_at, .. } => (lane, *next_at),
                RecipientVerdict::Delivered(_) | RecipientVerdict::Failed(_) => continue,
            };
            let known = first.entry(lane).or_insert(next_at);
            *known = next_at.min(*known);
        }
        first.into_iter().map(|(lane, next_at)| (lane.clone(), next_at)).collect()
    }
}

/// Limits a trouble to the session: one carrier met it, and the message goes with another one.
pub(in crate::scheduler) fn to_session(outcome: &mut Outcome) {
    match outcome {
        Outcome::Deferred(trouble) if trouble.scope == Scope::Lane => trouble.scope = Scope::Session,
        Outcome::Deferred(_) | Outcome::Delivered(_) | Outcome::Failed(_) => {}
    }
}

pub(in crate::scheduler) fn of_session(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Deferred(trouble) => trouble.scope == Scope::Session,
        Outcome::Delivered(_) | Outcome::Failed(_) => false,
    }
}

pub(in crate::scheduler) fn unreported() -> Trouble {
    Trouble {
        status: Enhanced(4, 3, 0),
        cause: Cause::NotTried,
        reason: "the attempt ended without an outcome".to_owned(),
        remote: None,
        decision: None,
        scope: Scope::Session,
        expired: false,
    }
}
