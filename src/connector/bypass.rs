//! By which connectors mail of a forced partner goes without forced TLS: for each of its domains, what the table itself
//! answers. It has no clock, and no opinion.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::arrival::Arrival;
use super::choose::choose;
use super::compare::{Senders, witnesses};
use super::partner::Partner;
use super::pattern::{DomainPattern, PatternSet};
use super::table::{Inbound, Mode, Outbound, Table};

/// A connector that doesn't force TLS, by which mail of a partner goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bypass<C> {
    /// The connector.
    pub connector: Arc<C>,
    /// The first of the partner's domains for which it is so.
    pub domain: DomainPattern,
    /// Only mail that arrives by this inbound connector; `None`: mail in general.
    pub arrives_by: Option<Arc<str>>,
}

impl Partner {
    /// The connectors by which mail to its domains leaves without forced TLS, each once. Those of another partner, which has
    /// a domain below one of these, are that one's business.
    pub(super) fn outbound_bypasses(&self, table: &Table) -> Vec<Bypass<Outbound>> {
        let mine = PatternSet::new(&self.domains);
        let arrivals: Vec<(Arrival<'_>, Option<PatternSet<'_>>)> =
            table.arrivals().filter_map(|arrival| Some((arrival, recipients(table, arrival)?))).collect();
        let patterns = table.outbound.iter().flat_map(|one| one.domains.iter().cloned()).collect();
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        for (label, domain) in witnesses(patterns, Vec::new(), &[]) {
            let domain = domain.as_ref().filter(|domain| mine.covers(Some(domain)));
            for (arrival, to) in arrivals.iter().filter(|_| domain.is_some()) {
                if to.as_ref().is_some_and(|to| !to.covers(domain)) {
                    continue;
                }
                let Some(choice) = choose(table, domain, *arrival) else { continue };
                let open = choice.connector;
                let is_open = !open.is_enforced() && !self.is_of_another(open.partner.as_ref());
                if is_open && seen.insert(Arc::clone(&open.name)) {
                    let arrives_by = arrival.name().map(Arc::from);
                    found.push(Bypass { connector: open, domain: label.clone(), arrives_by });
                }
            }
        }
        found
    }

    /// The connectors that admit mail from its domains without forced TLS, each once; our own systems may use any domain.
    pub(super) fn inbound_bypasses(&self, table: &Table) -> Vec<Bypass<Inbound>> {
        let (mine, senders) = (PatternSet::new(&self.domains), Senders::of(table));
        let written = |one: &Arc<Inbound>| [one.from_domains.clone(), one.except_domains.clone()].concat();
        let patterns = table.inbound.iter().flat_map(written).collect();
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        for (label, domain) in witnesses(patterns, Vec::new(), &[]) {
            let domain = domain.as_ref().filter(|domain| mine.covers(Some(domain)));
            for open in domain.map(|domain| senders.partners(Some(domain))).unwrap_or_default() {
                let is_open = !open.is_enforced() && !self.is_of_another(open.partner.as_ref());
                if is_open && seen.insert(Arc::clone(&open.name)) {
                    found.push(Bypass { connector: open, domain: label.clone(), arrives_by: None });
                }
            }
        }
        found
    }

    /// Whether a connector of this partner belongs to another organisation.
    fn is_of_another(&self, partner: Option<&Arc<Self>>) -> bool {
        partner.is_some_and(|partner| partner.name != self.name)
    }
}

/// To where mail of an arrival may go (`Some(None)`: anywhere); `None` if nothing arrives so.
fn recipients<'t>(table: &'t Table, arrival: Arrival<'_>) -> Option<Option<PatternSet<'t>>> {
    let Some(name) = arrival.name() else { return Some(None) };
    let inbound = table.inbound.iter().find(|one| *one.name == *name && one.mode != Mode::Off)?;
    Some(Some(PatternSet::new(&inbound.to_domains)))
}
