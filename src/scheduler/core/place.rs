//! Maps recipients to lanes: the connector is chosen again at every attempt. It resolves no hosts.

use std::sync::Arc;

use super::super::Way;
use super::lane::WaitingMessage;
use super::settle::RecipientVerdict;
use crate::connector::{
    Decision, NextHop, OnFailure, Outbound, Rerouting, Ruling, Table, choose, handed_to, reroute_target,
};
use crate::mail::{MailboxDomain, UnixMillis};
use crate::outcome::{Cause, Outcome, Trouble};
use crate::spool::{Divisible, LaneKey, Leased, Origin, QueuedRecipient};

/// Some recipients of a message, and the lane they belong to under the table in effect.
#[derive(Debug)]
pub(super) struct Placement<L> {
    pub(super) waiting: WaitingMessage<L>,
    /// `None` if no connector covers them.
    pub(super) home: Home,
}

type Home = Option<(LaneKey, Way)>;

/// Whether all recipients still go this way: the common case, without an allocation.
pub(super) fn fits<L>(table: &Table, way: &Way, leased: &Leased<L>) -> bool {
    let mut last = None;
    leased.recipients.iter().all(|recipient| {
        let domain = recipient.forward_path.domain();
        let this = Some((domain, recipient.rerouted.as_ref()));
        if last == this {
            return true;
        }
        last = this;
        recipient
            .way(table, leased.message.origin.arrival())
            .is_some_and(|c| same(&c.connector, &way.connector))
            && leads_to(way, domain)
    })
}

pub(super) fn same(a: &Outbound, b: &Outbound) -> bool {
    std::ptr::eq(a, b) || (a.revision == b.revision && a.name == b.name)
}

fn leads_to(way: &Way, domain: &MailboxDomain) -> bool {
    match (&way.connector.next_hop, domain) {
        (NextHop::SmartHosts(_), _) => true,
        (NextHop::Mx { .. }, MailboxDomain::Name(name)) => way.domain.as_ref() == Some(name),
        (NextHop::Mx { .. }, MailboxDomain::Literal(ip)) => way.literal == Some(*ip),
    }
}

/// Splits a message by the lanes its recipients belong to now.
pub(super) fn place<L: Divisible>(table: &Table, waiting: WaitingMessage<L>) -> Vec<Placement<L>> {
    let mut homes: Vec<(Home, Vec<u32>)> = Vec::new();
    for recipient in &waiting.leased.recipients {
        let domain = recipient.forward_path.domain();
        let choice = recipient.way(table, waiting.leased.message.origin.arrival());
        let home =
            choice.map(|c| (LaneKey::of(&c.connector, domain), Way::new(Arc::clone(&c.connector), domain)));
        let key = home.as_ref().map(|(key, _)| key);
        match homes.iter_mut().find(|(known, _)| known.as_ref().map(|(key, _)| key) == key) {
            Some((_, numbers)) => numbers.push(recipient.number),
            None => homes.push((home, vec![recipient.number])),
        }
    }
    let mut parts = Vec::with_capacity(homes.len());
    let mut rest = waiting;
    let mut homes = homes.into_iter();
    let Some((first, _)) = homes.next() else { return parts };
    for (home, numbers) in homes {
        parts.push(Placement { waiting: rest.part(&numbers), home });
    }
    parts.insert(0, Placement { waiting: rest, home: first });
    for part in &mut parts {
        if let Some((key, _)) = &part.home {
            part.waiting.leased.lane = key.clone();
        }
    }
    parts
}

/// What follows where no host meets the requirement of `used`, or `used` that of the message, and that connector hands such mail
/// to another one that meets the message's. Otherwise the outcome stands. What is known of an earlier rerouting is brought up
/// to date.
pub(super) fn rerouted(
    table: &Table,
    used: &Outbound,
    (recipient, origin): (&mut QueuedRecipient, &Origin),
    outcome: Outcome,
    now: UnixMillis,
) -> Result<RecipientVerdict, Outcome> {
    recipient.rerouted = recipient.rerouted.take().and_then(|known| still_rerouted(table, used, known));
    let trouble = match (outcome, &used.on_failure) {
        (Outcome::Failed(trouble), OnFailure::Reroute(_)) if trouble.cause == Cause::Requirement => trouble,
        (Outcome::Deferred(trouble), OnFailure::Reroute(_)) if is_asked_for_more(&trouble) => {
            trouble.made_final()
        }
        (outcome, _) => return Err(outcome),
    };
    let path = &recipient.forward_path;
    let serves = choose(table, path.domain_name(), origin.arrival()).map(|choice| choice.connector);
    let serves = serves.filter(|connector| connector.name == used.name);
    let target = serves.and_then(|connector| reroute_target(table, &connector));
    let Some(target) = target.filter(|target| Decision::onward(target, &origin.onward).is_none()) else {
        // The table has changed, or the message asks for more than the other one meets too: the connector that serves it now
        // decides.
        let status = trouble.status.in_class(4);
        return Err(Outcome::Deferred(Trouble { status, ..trouble }));
    };
    let rerouting = Rerouting {
        from: Arc::clone(&used.name),
        to: Arc::clone(&target.name),
        status: trouble.status.to_string(),
        reason: trouble.reason.clone(),
        alert: false,
    };
    let lane = LaneKey::of(&target, path.domain());
    Ok(RecipientVerdict::Rerouted { trouble, rerouting, lane, next_at: now })
}

/// Whether the connector requires less than the message asks for; no later attempt changes that.
fn is_asked_for_more(trouble: &Trouble) -> bool {
    trouble.decision.as_ref().is_some_and(|decision| matches!(decision.ruling, Ruling::Onward))
}

/// What is still true of a rerouting after an attempt by `used`: nothing where the mail went back to the connector it came from,
/// or by one that has nothing to do with it.
pub(super) fn still_rerouted(table: &Table, used: &Outbound, rerouting: Rerouting) -> Option<Rerouting> {
    if rerouting.to == used.name {
        return Some(rerouting);
    }
    let from = table.outbound.iter().find(|one| one.name == rerouting.from && one.name != used.name)?;
    let target = handed_to(table, from, &rerouting)?;
    (target.name == used.name).then(|| Rerouting { to: Arc::clone(&used.name), ..rerouting })
}

impl Way {
    /// The way to a recipient domain through a connector.
    #[must_use]
    pub fn new(connector: Arc<Outbound>, domain: &MailboxDomain) -> Self {
        let (name, literal) = match (&connector.next_hop, domain) {
            (NextHop::SmartHosts(_), _) => (None, None),
            (NextHop::Mx { .. }, MailboxDomain::Name(name)) => (Some(name.clone()), None),
            (NextHop::Mx { .. }, MailboxDomain::Literal(ip)) => (None, Some(*ip)),
        };
        Self { connector, domain: name, literal }
    }
}

impl<L: Divisible> WaitingMessage<L> {
    /// Splits off some recipients as a message part of their own. The memory charge stays with `self`.
    /// The share in a joined report is copied; a caller that keeps both parts must count the second.
    pub(super) fn part(&mut self, numbers: &[u32]) -> Self {
        let all = std::mem::take(&mut self.leased.recipients);
        let (taken, kept) = all.into_iter().partition(|recipient| numbers.contains(&recipient.number));
        self.leased.recipients = kept;
        let leased = Leased {
            message: Arc::clone(&self.leased.message),
            recipients: taken,
            lane: self.leased.lane.clone(),
            content: self.leased.content.clone(),
            lease: self.leased.lease.split_off(numbers),
        };
        let joined = self.joined;
        Self { leased, row: self.row.clone(), charged: 0, lost: self.lost, round: 0, joined }
    }
}
