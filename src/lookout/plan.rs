//! Which target is looked at when: spread over the period, few at a time, and one connection to a host. Pure: time is an
//! argument, and whoever asks does what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::mail::{Domain, UnixMillis, stable_hash};

/// What is looked at as a whole: the hosts of a connector, for a domain where it uses MX.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookTarget {
    /// The outbound connector.
    pub connector: Arc<str>,
    /// The recipient domain, if it matters.
    pub domain: Option<Domain>,
}

/// Something to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookStep {
    /// Find out the addresses of a target's hosts, and report them by [`WatchPlan::found`].
    Find {
        /// Identifies the look.
        look: u64,
        /// Whose.
        target: LookTarget,
    },
    /// Try the address of this number, and report the end by [`WatchPlan::tried`].
    Try {
        /// Identifies the look.
        look: u64,
        /// The place of the address in what was found.
        number: usize,
    },
}

/// The schedule, and what is under way.
#[derive(Debug)]
pub struct WatchPlan {
    every: Duration,
    at_once_max: usize,
    /// When each target is due that is not being looked at.
    due: BTreeMap<LookTarget, UnixMillis>,
    order: BTreeSet<(UnixMillis, LookTarget)>,
    /// The targets that are being looked at, by look; the oldest first.
    open: BTreeMap<u64, OpenLook>,
    /// Connections, by look and number.
    trying: BTreeMap<(u64, usize), IpAddr>,
    /// Look-ups.
    finding: usize,
    next: u64,
}

#[derive(Debug)]
struct OpenLook {
    target: LookTarget,
    /// Addresses that have not been tried yet; `None` until they are known.
    left: Option<Vec<(usize, IpAddr)>>,
    trying: usize,
}

impl fmt::Display for LookTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.domain {
            Some(domain) => write!(f, "{}/{domain}", self.connector),
            None => f.write_str(&self.connector),
        }
    }
}

impl WatchPlan {
    /// An empty one: each target is looked at once in `every`, with at most so many connections and look-ups at a time.
    #[must_use]
    pub fn new(every: Duration, at_once_max: usize) -> Self {
        Self {
            every,
            at_once_max: at_once_max.max(1),
            due: BTreeMap::new(),
            order: BTreeSet::new(),
            open: BTreeMap::new(),
            trying: BTreeMap::new(),
            finding: 0,
            next: 0,
        }
    }

    /// Other targets, each with the time of its last look, another period or another number. Looks at those that stay go on,
    /// and what was planned stays as far as it can. Looks at all others are over: whoever is under way for them keeps his
    /// place until he reports, and no longer.
    pub fn settle(
        &mut self,
        (every, at_once_max): (Duration, usize),
        targets: &BTreeMap<LookTarget, Option<UnixMillis>>,
        now: UnixMillis,
    ) {
        let kept = if every == self.every { std::mem::take(&mut self.due) } else { BTreeMap::new() };
        self.every = every;
        self.at_once_max = at_once_max.max(1);
        self.due.clear();
        self.order.clear();
        self.open.retain(|_, look| targets.contains_key(&look.target));
        let open: BTreeSet<LookTarget> = self.open.values().map(|look| look.target.clone()).collect();
        for (target, last) in targets.iter().filter(|(target, _)| !open.contains(*target)) {
            let due = kept.get(target).copied().unwrap_or_else(|| first_due(target, *last, now, every));
            self.put(target.clone(), due);
        }
    }

    /// Makes these targets due at once. Whoever is being looked at is left alone.
    pub fn hasten(&mut self, chosen: impl Fn(&LookTarget) -> bool, now: UnixMillis) {
        let chosen: Vec<LookTarget> = self.due.keys().filter(|target| chosen(target)).cloned().collect();
        for target in chosen {
            self.put(target, now);
        }
    }

    /// Whether a look goes on.
    #[must_use]
    pub fn is_open(&self, look: u64) -> bool {
        self.open.contains_key(&look)
    }

    /// Every target.
    pub fn targets(&self) -> impl Iterator<Item = &LookTarget> {
        self.due.keys().chain(self.open.values().map(|look| &look.target))
    }

    /// The next thing to do now; to be asked until there is none.
    pub fn next(&mut self, now: UnixMillis) -> Option<LookStep> {
        if self.trying.len().saturating_add(self.finding) >= self.at_once_max {
            return None;
        }
        if let Some((look, number, ip)) = self.next_address() {
            self.trying.insert((look, number), ip);
            return Some(LookStep::Try { look, number });
        }
        // Looks that wait for a host must not grow without limit, and not keep all others from beginning.
        if self.open.len() >= self.at_once_max.saturating_mul(OPEN_FACTOR) {
            return None;
        }
        let (due, target) = self.order.first().cloned()?;
        if due > now {
            return None;
        }
        self.take(&target);
        let look = self.next;
        self.next = self.next.saturating_add(1);
        self.finding = self.finding.saturating_add(1);
        self.open.insert(look, OpenLook { target: target.clone(), left: None, trying: 0 });
        Some(LookStep::Find { look, target })
    }

    /// The addresses of a look; whether it is over, since there is none.
    pub fn found(&mut self, look: u64, addresses: &[IpAddr]) -> bool {
        self.finding = self.finding.saturating_sub(1);
        let Some(open) = self.open.get_mut(&look) else { return true };
        open.left = Some(addresses.iter().copied().enumerate().collect());
        addresses.is_empty()
    }

    /// An address was tried; whether the look is over.
    pub fn tried(&mut self, look: u64, number: usize) -> bool {
        self.trying.remove(&(look, number));
        let Some(open) = self.open.get_mut(&look) else { return true };
        open.trying = open.trying.saturating_sub(1);
        open.trying == 0 && open.left.as_ref().is_none_or(Vec::is_empty)
    }

    /// A look is over: when its target is due again. `again`: what it saw may be over in a moment, and is looked at soon.
    pub fn end(&mut self, look: u64, now: UnixMillis, again: bool) {
        let Some(open) = self.open.remove(&look) else { return };
        let seed = seed(&open.target);
        let due = if again {
            let wait = (self.every / AGAIN_PART).min(AGAIN_MAX);
            now.plus(wait / 2).plus(share(mixed(seed, look), wait / 2))
        } else {
            next_slot(seed, now.plus(self.every / 4), self.every)
        };
        self.put(open.target, due);
    }

    /// When the next target is due.
    #[must_use]
    pub fn next_due(&self) -> Option<UnixMillis> {
        self.order.first().map(|(due, _)| *due)
    }

    /// The number of the next look that begins.
    #[must_use]
    pub fn next_look(&self) -> u64 {
        self.next
    }

    /// The first address, of the oldest look, whose host has no connection of ours.
    fn next_address(&mut self) -> Option<(u64, usize, IpAddr)> {
        let busy: BTreeSet<IpAddr> = self.trying.values().copied().collect();
        for (look, open) in &mut self.open {
            let Some(left) = &mut open.left else { continue };
            if let Some(at) = left.iter().position(|(_, ip)| !busy.contains(ip)) {
                let (number, ip) = left.remove(at);
                open.trying = open.trying.saturating_add(1);
                return Some((*look, number, ip));
            }
        }
        None
    }

    fn put(&mut self, target: LookTarget, due: UnixMillis) {
        self.take(&target);
        self.order.insert((due, target.clone()));
        self.due.insert(target, due);
    }

    fn take(&mut self, target: &LookTarget) {
        if let Some(due) = self.due.remove(target) {
            self.order.remove(&(due, target.clone()));
        }
    }
}

/// When a target is looked at first after a start, or after it was added. A daemon that restarts goes on where it was; what
/// was missed meanwhile, and what was never looked at, is spread.
fn first_due(target: &LookTarget, last: Option<UnixMillis>, now: UnixMillis, every: Duration) -> UnixMillis {
    let seed = seed(target);
    // A date that lies ahead was written while the clock was wrong.
    let Some(last) = last.filter(|last| *last <= now) else {
        return now.plus(share(seed, every.min(FIRST_SPREAD)));
    };
    let due = next_slot(seed, last.plus(every / 4), every);
    if due > now { due } else { now.plus(share(seed, (every / 4).min(FIRST_SPREAD))) }
}

/// The target's next time after this one. Each period of the calendar has one: at the same place for a target, give or take a
/// tenth, so that targets are spread evenly and no partner is met at the same minute each day.
fn next_slot(seed: u64, after: UnixMillis, every: Duration) -> UnixMillis {
    let period = i64::try_from(every.as_millis()).unwrap_or(i64::MAX).max(1);
    let number = after.0.div_euclid(period);
    let slot = |number: i64| {
        let start = UnixMillis(number.saturating_mul(period));
        let jitter = share(mixed(seed, number.unsigned_abs()), every / 5);
        start.plus(share(seed, every.saturating_mul(4) / 5)).plus(jitter)
    };
    let this = slot(number);
    if this > after { this } else { slot(number.saturating_add(1)) }
}

/// A part of a duration that a number stands for; less than all of it.
fn share(number: u64, of: Duration) -> Duration {
    let millis = u64::try_from(of.as_millis()).unwrap_or(u64::MAX);
    // The upper half, times the duration: exact for durations below 49 days, and even for all.
    let part = (u128::from(number >> 32) * u128::from(millis)) >> 32;
    Duration::from_millis(u64::try_from(part).unwrap_or(millis))
}

/// A number for a target that stays the same over restarts and versions.
fn seed(target: &LookTarget) -> u64 {
    mixed(stable_hash(target.to_string().bytes()), 0)
}

/// Another number, as good as random (SplitMix64).
fn mixed(seed: u64, number: u64) -> u64 {
    let mut mixed = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Looks that may be open for each connection that may be.
const OPEN_FACTOR: usize = 4;
/// What may be over in a moment is looked at again after this part of the period, at most [`AGAIN_MAX`].
const AGAIN_PART: u32 = 4;
const AGAIN_MAX: Duration = Duration::from_secs(10 * 60);
/// Over how long first looks are spread.
const FIRST_SPREAD: Duration = Duration::from_secs(60 * 60);
