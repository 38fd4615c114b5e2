//! What became weaker from one table to the next: for each domain, what the old and the new one come to, whichever
//! connectors that takes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::arrival::Arrival;
use super::choose::choose;
use super::pattern::DomainPattern;
use super::reroute::reroute_target;
use super::table::{ClientKind, Inbound, Mode, Outbound, Table};
use super::weaker::{Loss, lost_inbound, lost_outbound};
use crate::mail::Domain;

/// Domains whose mail may go by less than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weakening<C> {
    /// The domains, as the tables write them, or one by one.
    pub domains: Vec<DomainPattern>,
    /// Only mail that arrives by this inbound connector; `None`: mail in general.
    pub arrives_by: Option<Arc<str>>,
    /// The connectors by which their mail went; of several inbound connectors the one that comes closest.
    pub was: Arc<C>,
    /// The connector that asks for less.
    pub now: Arc<C>,
    /// What it does not ask for, or not as strictly.
    pub losses: BTreeSet<Loss>,
}

/// The recipient domains for which less is required of a session. A domain that nobody served before is none of
/// them. `others` are named too, such as domains with queued mail.
#[must_use]
pub fn weaker_outbound(old: &Table, new: &Table, others: &[Domain]) -> Vec<Weakening<Outbound>> {
    let patterns = |table: &Table| -> Vec<DomainPattern> {
        table.outbound.iter().flat_map(|connector| connector.domains.iter().cloned()).collect()
    };
    let arrivals: BTreeSet<Arrival<'_>> = old.arrivals().chain(new.arrivals()).collect();
    let mut known: HashMap<(*const Outbound, *const Outbound), BTreeSet<Loss>> = HashMap::new();
    let mut groups = Groups::default();
    for (label, domain) in witnesses(patterns(old), patterns(new), others) {
        let both = |arrival| {
            let connector = |table| choose(table, domain.as_ref(), arrival).map(|choice| choice.connector);
            (connector(old), connector(new))
        };
        // What is so for mail in general is not said of each arrival.
        let general = both(Arrival::Ours);
        for arrival in &arrivals {
            let answer = both(*arrival);
            if *arrival != Arrival::Ours && is_same(&answer, &general) {
                continue;
            }
            let (Some(was), Some(now)) = answer else { continue };
            let arrives_by = arrival.name().map(Arc::from);
            // Mail may go by whichever it is handed to, in both tables.
            let ways = |table, first: Arc<Outbound>| -> Vec<Arc<Outbound>> {
                let other = reroute_target(table, &first);
                std::iter::once(first).chain(other).collect()
            };
            let was = ways(old, was);
            for now in ways(new, now) {
                let losses = was.iter().map(|was| {
                    let losses = known
                        .entry((Arc::as_ptr(was), Arc::as_ptr(&now)))
                        .or_insert_with(|| lost_outbound((was, &old.trust), (&now, &new.trust)));
                    (losses.clone(), Arc::clone(was))
                });
                let closest = losses.min_by_key(|(losses, was)| (losses.len(), was.name != now.name));
                if let Some((losses, was)) = closest {
                    groups.add((label.clone(), arrives_by.clone()), (was, now), losses);
                }
            }
        }
    }
    groups.list()
}

type Successors = (Option<Arc<Outbound>>, Option<Arc<Outbound>>);

fn is_same(one: &Successors, other: &Successors) -> bool {
    let pointers = |(was, now): &Successors| (was.as_ref().map(Arc::as_ptr), now.as_ref().map(Arc::as_ptr));
    pointers(one) == pointers(other)
}

/// The reverse-path domains for which mail is admitted that was refused, where some was admitted before.
#[must_use]
pub fn weaker_inbound(old: &Table, new: &Table) -> Vec<Weakening<Inbound>> {
    let (was, now) = (Senders::of(old), Senders::of(new));
    let patterns = |table: &Table| -> Vec<DomainPattern> {
        let of = |connector: &Arc<Inbound>| {
            connector.from_domains.iter().chain(&connector.except_domains).cloned().collect::<Vec<_>>()
        };
        table.inbound.iter().flat_map(of).collect()
    };
    let mut known = HashMap::new();
    let mut groups = Groups::default();
    for (label, domain) in witnesses(patterns(old), patterns(new), &[]) {
        let partners = was.partners(domain.as_ref());
        let is_served = !partners.is_empty();
        let was: Vec<_> = was.own.iter().map(Arc::clone).chain(partners).collect();
        // A partner's first connector lets nobody in by less than before.
        let now = now
            .own
            .iter()
            .map(Arc::clone)
            .chain(now.partners(domain.as_ref()).into_iter().filter(|_| is_served));
        for one in now.filter(|_| !was.is_empty()) {
            let key = (Arc::as_ptr(&one), was.iter().map(Arc::as_ptr).collect::<Vec<_>>());
            let (closest, losses) =
                known.entry(key).or_insert_with(|| uncovered(&was, &one, (old, new))).clone();
            groups.add((label.clone(), None), (closest, one), losses);
        }
    }
    groups.list()
}

/// What `now` admits and none of the old alternatives did, beside the one that comes closest.
fn uncovered(
    was: &[Arc<Inbound>],
    now: &Arc<Inbound>,
    (old, new): (&Table, &Table),
) -> (Arc<Inbound>, BTreeSet<Loss>) {
    let namesake = was.iter().find(|one| one.name == now.name).or(was.first()).unwrap_or(now);
    let mut found = (Arc::clone(namesake), BTreeSet::new());
    let networks: Vec<_> = if now.from_networks.is_anywhere() {
        vec![None]
    } else {
        now.from_networks.iter().map(Some).collect()
    };
    for network in networks {
        for to in &now.to_domains {
            let losses =
                |one: &Arc<Inbound>| lost_inbound((one, &old.trust), (now, &new.trust), (network, to));
            let closest = was
                .iter()
                .map(|one| (losses(one), one))
                .min_by_key(|(losses, one)| (losses.len(), one.name != now.name, Arc::clone(&one.name)));
            if let Some((losses, one)) = closest
                && !losses.is_empty()
            {
                if found.1.is_empty() {
                    found.0 = Arc::clone(one);
                }
                found.1.extend(losses);
            }
        }
    }
    found
}

/// The inbound connectors: our own systems', and partners' by what they cover.
pub(super) struct Senders {
    own: Vec<Arc<Inbound>>,
    by_pattern: HashMap<DomainPattern, Vec<Arc<Inbound>>>,
}

impl Senders {
    pub(super) fn of(table: &Table) -> Self {
        let mut by_pattern: HashMap<DomainPattern, Vec<Arc<Inbound>>> = HashMap::new();
        let open = || table.inbound.iter().filter(|connector| connector.mode != Mode::Off);
        for connector in open() {
            for pattern in &connector.from_domains {
                by_pattern.entry(pattern.clone()).or_default().push(Arc::clone(connector));
            }
        }
        let own = open().filter(|connector| connector.kind == ClientKind::Own).map(Arc::clone).collect();
        Self { own, by_pattern }
    }

    /// The partners' connectors by which mail from a domain can be admitted: level by level, down to one that binds it.
    pub(super) fn partners(&self, domain: Option<&Domain>) -> Vec<Arc<Inbound>> {
        let levels = DomainPattern::all_covering(domain);
        let mut found: Vec<Arc<Inbound>> = Vec::new();
        for (level, here) in levels.iter().filter_map(|level| Some((level, self.by_pattern.get(level)?))) {
            // A connector of this level covers the domain: its other patterns, often thousands, need not be asked.
            let is_fresh = |one: &&Arc<Inbound>| {
                DomainPattern::closest(&one.except_domains, domain).is_none()
                    && !found.iter().any(|known| Arc::ptr_eq(known, one))
            };
            let fresh: Vec<_> = here.iter().filter(is_fresh).map(Arc::clone).collect();
            // `*` binds nobody.
            let binding: Vec<_> = fresh
                .iter()
                .filter(|one| *level != DomainPattern::Any && one.is_enforced())
                .map(Arc::clone)
                .collect();
            if !binding.is_empty() {
                found.extend(binding);
                return found;
            }
            found.extend(fresh);
        }
        found
    }
}

/// One domain for each case that the patterns of both tables distinguish, with what it stands for: every domain of the
/// world fares like one of them. `None` fares like a domain that only `*` covers.
pub(super) fn witnesses(
    old: Vec<DomainPattern>,
    new: Vec<DomainPattern>,
    others: &[Domain],
) -> Vec<(DomainPattern, Option<Domain>)> {
    let mut patterns: BTreeSet<DomainPattern> = old.into_iter().chain(new).collect();
    let exact: HashSet<Domain> = patterns
        .iter()
        .filter_map(|pattern| match pattern {
            DomainPattern::Exact(domain) => Some(domain.clone()),
            DomainPattern::Below(_) | DomainPattern::Any => None,
        })
        .collect();
    patterns.insert(DomainPattern::Any);
    let below = |parent: &Domain| {
        let labels = std::iter::once("any".to_owned()).chain((0_u32..).map(|number| format!("any{number}")));
        labels
            .take(exact.len().saturating_add(1))
            .filter_map(|label| Domain::parse(&format!("{label}.{parent}")).ok())
            .find(|domain| !exact.contains(domain))
    };
    let mut found: Vec<_> = patterns
        .into_iter()
        .filter_map(|pattern| match &pattern {
            DomainPattern::Exact(domain) => Some((pattern.clone(), Some(domain.clone()))),
            // A name so long that nothing can be below it covers nothing.
            DomainPattern::Below(parent) => Some((pattern.clone(), Some(below(parent)?))),
            DomainPattern::Any => Some((pattern, None)),
        })
        .collect();
    let fresh: BTreeSet<&Domain> = others.iter().filter(|domain| !exact.contains(*domain)).collect();
    found.extend(fresh.into_iter().map(|one| (DomainPattern::Exact(one.clone()), Some(one.clone()))));
    found
}

/// Domains with the same answer.
struct Groups<C> {
    by_answer: BTreeMap<GroupKey, Weakening<C>>,
}

/// The names of the old and the new connector, the arrival, and what differs.
type GroupKey = (Arc<str>, Arc<str>, Option<Arc<str>>, BTreeSet<Loss>);

impl<C> Default for Groups<C> {
    fn default() -> Self {
        Self { by_answer: BTreeMap::new() }
    }
}

trait ConnectorName {
    fn name(&self) -> Arc<str>;
}

impl ConnectorName for Inbound {
    fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }
}

impl ConnectorName for Outbound {
    fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }
}

impl<C: ConnectorName> Groups<C> {
    fn add(
        &mut self,
        (label, arrives_by): (DomainPattern, Option<Arc<str>>),
        (was, now): (Arc<C>, Arc<C>),
        losses: BTreeSet<Loss>,
    ) {
        if losses.is_empty() {
            return;
        }
        self.by_answer
            .entry((was.name(), now.name(), arrives_by.clone(), losses.clone()))
            .or_insert_with(|| Weakening { domains: Vec::new(), arrives_by, was, now, losses })
            .domains
            .push(label);
    }

    fn list(self) -> Vec<Weakening<C>> {
        self.by_answer.into_values().collect()
    }
}
