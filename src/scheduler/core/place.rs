//! Maps recipients to lanes: the connector is chosen again at every attempt. It resolves no hosts.

use std::sync::Arc;

use super::super::Way;
use super::lane::WaitingMessage;
use crate::connector::{NextHop, Outbound, Table, choose};
use crate::mail::MailboxDomain;
use crate::spool::{Divisible, LaneKey, Leased};

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
        if last == Some(domain) {
            return true;
        }
        last = Some(domain);
        let name = recipient.forward_path.domain_name();
        choose(table, name, leased.message.origin.arrival())
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
        let arrival = waiting.leased.message.origin.arrival();
        let choice = choose(table, recipient.forward_path.domain_name(), arrival);
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
