//! What a reload tells of domains for which less is required than before. What is weaker, `connector` decides. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::changes::LoosenedPart;
use super::connectors::Words;
use super::setups::{ListenerOffer, ListenerOffers};
use crate::admin::{Direction, Loosening, LooseningTerms};
use crate::connector::{Loss, Mode, Table, Weakening, weaker_inbound, weaker_outbound};
use crate::mail::Domain;

/// What became weaker, and the recipient domains that it is about.
pub(super) struct LooseningList {
    pub(super) list: Vec<Loosening>,
    /// Number of further ones.
    pub(super) more: usize,
    pub(super) recipients: BTreeSet<LoosenedPart>,
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
        list.push(told(direction, &one, (was, now)));
        let arrives_by = one.arrives_by;
        recipients.extend(one.domains.into_iter().map(|pattern| (pattern, arrives_by.clone())));
    }
    for one in weaker_inbound(old, new) {
        let direction = Direction::Inbound;
        let was = terms(direction, was_words, &one.was.name, one.was.mode);
        let now = terms(direction, now_words, &one.now.name, one.now.mode);
        list.push(told(direction, &one, (was, now)));
    }
    let more = list.len().saturating_sub(LIST_MAX);
    list.truncate(LIST_MAX);
    LooseningList { list, more, recipients }
}

fn told<C>(
    direction: Direction,
    Weakening { domains, arrives_by, losses, .. }: &Weakening<C>,
    (was, now): (LooseningTerms, LooseningTerms),
) -> Loosening {
    let more = domains.len().saturating_sub(DOMAINS_MAX);
    let domains: Vec<String> = domains.iter().take(DOMAINS_MAX).map(ToString::to_string).collect();
    let weaker: Vec<String> = losses.iter().map(Loss::to_string).collect();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    let arrives = arrives_by.as_ref().map(|name| format!(" that arrives by {name}")).unwrap_or_default();
    let what = format!(
        "{}{rest}: {} mail{arrives} required {} by connector {}, and now {} by connector {}; weaker: {}",
        domains.join(", "),
        direction.word(),
        was.required,
        was.connector,
        now.required,
        now.connector,
        weaker.join(", "),
    );
    Loosening { direction, domains, arrives_by: arrives_by.clone(), more, was, now, weaker, what }
}

/// The listeners whose handshakes are limited less than before, one sentence each.
pub(super) fn listeners(old: &ListenerOffers, new: &ListenerOffers) -> Vec<String> {
    let looser = |(name, now): (&String, &ListenerOffer)| {
        let was = old.get(name)?.profile?;
        if now.profile.is_some_and(|now| was.includes(now)) {
            return None;
        }
        let to = now.profile.map_or_else(|| "no profile".to_owned(), |now| format!("profile {now}"));
        Some(format!(
            "listener {name}: handshakes were limited to profile {was}, and now to {to}; weaker: profile"
        ))
    };
    new.iter().filter_map(looser).collect()
}

/// Domains named of those that fare alike.
const DOMAINS_MAX: usize = 10;
/// Groups of domains told.
const LIST_MAX: usize = 100;
