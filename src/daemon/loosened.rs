//! What a reload tells of domains for which less is required than before. What is weaker, `connector` decides. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::connectors::Words;
use crate::admin::{Direction, Loosening, LooseningTerms};
use crate::connector::{DomainPattern, Loss, Mode, Table, weaker_inbound, weaker_outbound};
use crate::mail::Domain;

/// What became weaker, and the recipient domains that it is about.
pub(super) struct LooseningList {
    pub(super) list: Vec<Loosening>,
    /// Number of further ones.
    pub(super) more: usize,
    pub(super) recipients: BTreeSet<DomainPattern>,
}

/// Compares two tables, each with what its connectors require in words. Domains with `queued` mail are named too.
pub(super) fn loosened(
    (old, was_words): (&Table, &Words),
    (new, now_words): (&Table, &Words),
    queued: &[Domain],
) -> LooseningList {
    let terms = |direction, words: &Words, name: &Arc<str>, mode| {
        let required = words.find(direction, name);
        let required = if mode == Mode::Audit { format!("in audit: {required}") } else { required };
        LooseningTerms { connector: Arc::clone(name), required }
    };
    let mut recipients = BTreeSet::new();
    let mut list = Vec::new();
    for one in weaker_outbound(old, new, queued) {
        let direction = Direction::Outbound;
        let was = terms(direction, was_words, &one.was.name, one.was.mode);
        let now = terms(direction, now_words, &one.now.name, one.now.mode);
        list.push(told(direction, &one.domains, (was, now), &one.losses));
        recipients.extend(one.domains);
    }
    for one in weaker_inbound(old, new) {
        let direction = Direction::Inbound;
        let was = terms(direction, was_words, &one.was.name, one.was.mode);
        let now = terms(direction, now_words, &one.now.name, one.now.mode);
        list.push(told(direction, &one.domains, (was, now), &one.losses));
    }
    let more = list.len().saturating_sub(LIST_MAX);
    list.truncate(LIST_MAX);
    LooseningList { list, more, recipients }
}

fn told(
    direction: Direction,
    domains: &[DomainPattern],
    (was, now): (LooseningTerms, LooseningTerms),
    losses: &BTreeSet<Loss>,
) -> Loosening {
    let more = domains.len().saturating_sub(DOMAINS_MAX);
    let domains: Vec<String> = domains.iter().take(DOMAINS_MAX).map(ToString::to_string).collect();
    let weaker: Vec<String> = losses.iter().map(ToString::to_string).collect();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    let what = format!(
        "{}{rest}: {} mail required {} by connector {}, and now {} by connector {}; weaker: {}",
        domains.join(", "),
        direction.word(),
        was.required,
        was.connector,
        now.required,
        now.connector,
        weaker.join(", "),
    );
    Loosening { direction, domains, more, was, now, weaker, what }
}

/// Domains named of those that fare alike.
const DOMAINS_MAX: usize = 10;
/// Groups of domains told.
const LIST_MAX: usize = 100;
