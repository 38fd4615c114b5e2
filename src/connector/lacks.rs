//! What a partner's connectors lack. No clock here: `now` is an argument.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bypass::Bypass;
use super::expiry::expiry_threshold;
use super::partner::Partner;
use super::pattern::{DomainPattern, PatternSet};
use super::requirement::Forced;
use super::table::{Inbound, Mode, Outbound, Table};
use crate::mail::{Domain, UnixMillis, rfc3339};

/// Something that a partner lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartnerLack {
    /// No inbound connector of it is in use.
    NoInbound,
    /// No outbound connector of it is in use.
    NoOutbound,
    /// Mail from it is forced, and mail to it by this connector is not.
    OutboundNotForced(Arc<Outbound>),
    /// Mail to it is forced, and mail from it by this connector is not.
    InboundNotForced(Arc<Inbound>),
    /// Mail to one of its domains leaves by this connector without forced TLS, though the partner is forced.
    ServedLooser(Bypass<Outbound>),
    /// This connector admits mail from one of its domains without forced TLS, though mail from it is forced.
    AdmittedLooser(Bypass<Inbound>),
    /// A pattern of its domains is a zone in which everybody may have a domain.
    Registry(DomainPattern),
    /// A pattern of its domains begins with a star, and nothing covers the domain itself.
    NoApex(Domain),
    /// Its connector pins one key, and no successor.
    NoNextPin(Arc<str>),
    /// Its review is due within a month.
    ReviewSoon(UnixMillis),
    /// Its review was due.
    ReviewOverdue(UnixMillis),
}

impl Partner {
    /// What it lacks, in a fixed order.
    #[must_use]
    pub fn lacks(&self, table: &Table, now: UnixMillis) -> Vec<PartnerLack> {
        let is_ours = |partner: &Option<Arc<Self>>| partner.as_ref().is_some_and(|one| one.name == self.name);
        let in_use = |partner: &Option<Arc<Self>>, mode: Mode| is_ours(partner) && mode != Mode::Off;
        let inbound: Vec<_> = table.inbound.iter().filter(|c| in_use(&c.partner, c.mode)).collect();
        let outbound: Vec<_> = table.outbound.iter().filter(|c| in_use(&c.partner, c.mode)).collect();
        let mut lacks = Vec::new();
        lacks.extend(inbound.is_empty().then_some(PartnerLack::NoInbound));
        lacks.extend(outbound.is_empty().then_some(PartnerLack::NoOutbound));
        lacks.extend(self.looser(table, &inbound, &outbound));
        lacks.extend(self.domains.iter().filter(|one| is_registry(one)).cloned().map(PartnerLack::Registry));
        lacks.extend(self.without_apex().cloned().map(PartnerLack::NoApex));
        let demands = inbound.iter().map(|c| (&c.name, c.forced()));
        let demands = demands.chain(outbound.iter().map(|c| (&c.name, c.forced())));
        let one_key = demands.filter(|(_, forced)| forced.is_some_and(|forced| pins_one_key(forced, now)));
        lacks.extend(one_key.map(|(name, _)| PartnerLack::NoNextPin(Arc::clone(name))));
        lacks.extend(self.review.and_then(|review| match expiry_threshold(review, now)? {
            0 => Some(PartnerLack::ReviewOverdue(review)),
            _ => Some(PartnerLack::ReviewSoon(review)),
        }));
        lacks
    }

    /// The domains of which only those below are covered.
    fn without_apex(&self) -> impl Iterator<Item = &Domain> {
        let mine = PatternSet::new(&self.domains);
        self.domains.iter().filter(|pattern| !is_registry(pattern)).filter_map(move |pattern| match pattern {
            DomainPattern::Below(domain) => (!mine.covers(Some(domain))).then_some(domain),
            DomainPattern::Exact(_) | DomainPattern::Any => None,
        })
    }

    /// Where TLS is forced in one direction only, or where mail goes by a connector that doesn't force it. A direction
    /// without a connector is reported as such.
    fn looser(
        &self,
        table: &Table,
        inbound: &[&Arc<Inbound>],
        outbound: &[&Arc<Outbound>],
    ) -> Vec<PartnerLack> {
        let forced_in = inbound.iter().any(|connector| connector.is_enforced());
        let forced_out = outbound.iter().any(|connector| connector.is_enforced());
        let mut lacks = Vec::new();
        if !outbound.is_empty() && (forced_in || forced_out) {
            lacks.extend(self.outbound_bypasses(table).into_iter().map(|bypass| {
                if bypass.connector.partner.is_some() && !forced_out {
                    return PartnerLack::OutboundNotForced(bypass.connector);
                }
                PartnerLack::ServedLooser(bypass)
            }));
        }
        match inbound.first() {
            Some(_) if forced_in => {
                lacks.extend(self.inbound_bypasses(table).into_iter().map(PartnerLack::AdmittedLooser));
            }
            Some(first) if forced_out => lacks.push(PartnerLack::InboundNotForced(Arc::clone(first))),
            Some(_) | None => {}
        }
        lacks
    }
}

/// Whether a pattern covers domains of different organisations: it is a single label, or a country's zone such as `co.uk`.
fn is_registry(pattern: &DomainPattern) -> bool {
    let (DomainPattern::Exact(domain) | DomainPattern::Below(domain)) = pattern else { return false };
    match domain.as_str().split_once('.') {
        None => true,
        Some((kind, country)) => country.len() == 2 && REGISTRY_LABELS.contains(&kind),
    }
}

/// What countries call the zones below which they register others.
const REGISTRY_LABELS: &[&str] =
    &["ac", "co", "com", "edu", "go", "gob", "gouv", "gov", "mil", "ne", "net", "or", "org"];

fn pins_one_key(forced: &Forced, now: UnixMillis) -> bool {
    let lasting = forced.pins.iter().filter(|pin| pin.until.is_none_or(|until| now < until));
    lasting.map(|pin| pin.sha256).collect::<BTreeSet<_>>().len() == 1
}

impl PartnerLack {
    /// What is lacking and what to do, in a sentence.
    #[must_use]
    pub fn words(&self, partner: &Partner) -> String {
        let name = &partner.name;
        let date = |at: &UnixMillis| rfc3339(*at).split('T').next().unwrap_or_default().to_owned();
        match self {
            Self::NoInbound => format!(
                "{name} has no inbound connector in use, so mail in its name comes by whatever else covers its domains; add \
                 an [[inbound]] connector with partner = \"{name}\""
            ),
            Self::NoOutbound => format!(
                "{name} has no outbound connector in use, so mail to it leaves by whatever else covers its domains; add an \
                 [[outbound]] connector with partner = \"{name}\""
            ),
            Self::OutboundNotForced(open) => format!(
                "{name} is forced only inbound: {} has {}; write {} there",
                open.name,
                terms(open.tls_word(), open.forced().is_some()),
                remedy(open.forced().is_some())
            ),
            Self::InboundNotForced(open) => format!(
                "{name} is forced only outbound: {} has {}; write {} there",
                open.name,
                terms(open.tls.word(), open.forced().is_some()),
                remedy(open.forced().is_some())
            ),
            Self::ServedLooser(bypass) => served_looser(name, bypass),
            Self::AdmittedLooser(bypass) => admitted_looser(name, bypass),
            Self::Registry(pattern) => format!(
                "\"{pattern}\" of {name} is a zone in which everybody may have domains, and a partner is one organisation; write \
                 its own domains"
            ),
            Self::NoApex(domain) => format!(
                "\"*.{domain}\" of {name} does not cover {domain} itself; add \"{domain}\", unless it belongs to somebody else"
            ),
            Self::NoNextPin(connector) => format!(
                "the pins of {connector} have one key: once {name} renews its certificate with another, mail stops; ask {} for \
                 its next key, and add its pin",
                partner.contact.as_deref().unwrap_or(name)
            ),
            Self::ReviewSoon(at) => {
                format!(
                    "the review of {partner} is due on {}: check with it what is agreed, and write the next date",
                    date(at)
                )
            }
            Self::ReviewOverdue(at) => format!(
                "the review of {partner} was due on {}: check with it what is agreed, and write the next date",
                date(at)
            ),
        }
    }
}

fn served_looser(name: &str, bypass: &Bypass<Outbound>) -> String {
    let open = &bypass.connector;
    let (has, write) = (terms(open.tls_word(), open.forced().is_some()), remedy(open.forced().is_some()));
    if open.partner.is_some() {
        return format!("{name} is forced, but its {} has {has}; write {write} there", open.name);
    }
    let arriving = bypass.arrives_by.as_ref().map(|by| format!(" that arrives by {by}")).unwrap_or_default();
    format!(
        "{name} is forced, but mail to {}{arriving} leaves by {}, which has {has}; let a connector of {name} serve it \
         (from_connectors, cost), or write {write} in {}",
        bypass.domain, open.name, open.name
    )
}

fn admitted_looser(name: &str, bypass: &Bypass<Inbound>) -> String {
    let open = &bypass.connector;
    format!(
        "{name} is forced, but {} accepts mail from {}, and has {}; let only connectors of {name} cover that, or \
         write {} in {}",
        open.name,
        bypass.domain,
        terms(open.tls.word(), open.forced().is_some()),
        remedy(open.forced().is_some()),
        open.name
    )
}

/// What a connector that is not enforced has, of its keys.
fn terms(tls: &str, rehearses: bool) -> String {
    if rehearses { "mode = \"audit\"".to_owned() } else { format!("tls = \"{tls}\"") }
}

fn remedy(rehearses: bool) -> &'static str {
    if rehearses { "mode = \"enforce\"" } else { "tls = \"forced\"" }
}

impl Table {
    /// The partners that connectors refer to, by name.
    #[must_use]
    pub fn partners(&self) -> Vec<&Arc<Partner>> {
        let inbound = self.inbound.iter().filter_map(|c| c.partner.as_ref());
        let outbound = self.outbound.iter().filter_map(|c| c.partner.as_ref());
        let mut all: Vec<_> = inbound.chain(outbound).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.dedup_by(|a, b| a.name == b.name);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::pin::Pin;
    use super::super::samples::{identity, inbound, outbound};
    use super::super::table::{Generation, InboundTls, OutboundTls};
    use super::*;

    const DAY: i64 = 24 * 60 * 60 * 1_000;

    fn pinned(keys: &[u8]) -> Forced {
        let pin = |key: &u8| Pin { sha256: [*key; 32], from: None, until: None };
        Forced { pins: keys.iter().map(pin).collect(), ..identity(&["mail.fabrikam.example"]) }
    }

    /// What `fabrikam` lacks with an inbound and an outbound connector, each by its TLS and mode; `None`: there is none.
    #[track_caller]
    fn check(
        domains: &[&str],
        way_in: Option<(InboundTls, Mode)>,
        way_out: Option<(OutboundTls, Mode)>,
        expected: &[&str],
    ) {
        let domains = domains.iter().map(|one| DomainPattern::parse(one).expect("a pattern")).collect();
        let partner = Arc::new(Partner {
            contact: Some("mail@fabrikam.example".into()),
            review: Some(UnixMillis(100 * DAY)),
            ..Partner::new("fabrikam", domains)
        });
        let way_in = way_in.map(|(tls, mode)| Inbound {
            mode,
            partner: Some(Arc::clone(&partner)),
            ..inbound("in", &["fabrikam.example"], tls)
        });
        let way_out = way_out.map(|(tls, mode)| Outbound {
            mode,
            tls,
            partner: Some(Arc::clone(&partner)),
            ..outbound("out", &["fabrikam.example"], 10)
        });
        let table = Table::new(Generation(1), way_in.into_iter().collect(), way_out.into_iter().collect());
        let lacks = partner.lacks(&table, UnixMillis(0));
        let words: Vec<String> = lacks.iter().map(|lack| lack.words(&partner)).collect();
        assert_eq!(words.len(), expected.len(), "{words:?}");
        for (words, expected) in words.iter().zip(expected) {
            assert!(words.starts_with(expected), "{words}");
        }
    }

    #[test]
    fn each_thing_that_is_missing_has_its_sentence() {
        let (enforce, audit, off) = (Mode::Enforce, Mode::Audit, Mode::Off);
        let forced_in = |keys: &[u8]| InboundTls::Forced(pinned(keys));
        let forced_out = |keys: &[u8]| OutboundTls::Forced(pinned(keys));
        let (open_in, open_out) = (InboundTls::Opportunistic, OutboundTls::Opportunistic(None));
        let one = &["fabrikam.example"][..];
        let (no_in, no_out) = ("fabrikam has no inbound connector", "fabrikam has no outbound connector");
        check(one, Some((forced_in(&[]), enforce)), Some((forced_out(&[]), enforce)), &[]);
        check(one, Some((open_in.clone(), enforce)), Some((open_out.clone(), enforce)), &[]);
        check(one, None, Some((forced_out(&[]), enforce)), &[no_in]);
        check(one, Some((forced_in(&[]), enforce)), None, &[no_out]);
        check(one, Some((forced_in(&[]), off)), Some((forced_out(&[]), off)), &[no_in, no_out]);
        check(
            one,
            Some((forced_in(&[]), enforce)),
            Some((open_out, enforce)),
            &["fabrikam is forced only inbound: out has tls = \"opportunistic\"; write tls = \"forced\""],
        );
        check(
            one,
            Some((open_in, enforce)),
            Some((forced_out(&[]), enforce)),
            &["fabrikam is forced only outbound: in has tls = \"opportunistic\"; write tls = \"forced\""],
        );
        check(
            one,
            Some((forced_in(&[]), audit)),
            Some((forced_out(&[]), enforce)),
            &["fabrikam is forced only outbound: in has mode = \"audit\"; write mode = \"enforce\""],
        );
        let both = |keys: &[u8]| (Some((forced_in(keys), enforce)), Some((forced_out(&[1, 2]), enforce)));
        let (way_in, way_out) = both(&[7]);
        check(one, way_in, way_out, &["the pins of in have one key: once fabrikam renews"]);
        let (way_in, way_out) = both(&[]);
        let stars = &["*.fabrikam.example", "*.a.fabrikam.example", "*.b.example", "b.example"];
        check(
            stars,
            way_in,
            way_out,
            &["\"*.fabrikam.example\" of fabrikam does not cover fabrikam.example"],
        );
    }

    #[test]
    fn a_review_is_named_before_and_after_its_date() {
        let partner = Partner { review: Some(UnixMillis(100 * DAY)), ..Partner::new("fabrikam", Vec::new()) };
        let table = Table::new(Generation(1), Vec::new(), Vec::new());
        let lacks = |now| partner.lacks(&table, UnixMillis(now)).last().cloned();
        assert_eq!(lacks(60 * DAY), Some(PartnerLack::NoOutbound));
        assert_eq!(lacks(71 * DAY), Some(PartnerLack::ReviewSoon(UnixMillis(100 * DAY))));
        let overdue = lacks(100 * DAY + 1).expect("it is overdue");
        let words = "the review of fabrikam was due on 1970-04-11: check with it what is agreed, and write the next date";
        assert_eq!(overdue.words(&partner), words);
    }
}
