//! Everything that ends within 60 days, for `doctor`: certificates, anchors, lists, pins, reviews, overrides. Only what
//! files say.

use std::collections::BTreeSet;
use std::time::Duration;

use super::ends;
use super::overrides::recorded;
use crate::config::Config;
use crate::connector::Generation;
use crate::mail::UnixMillis;
use crate::tls::Partners;

/// What ends, and when, the soonest first; what has ended already included.
pub(super) fn coming(config: &Config, now: UnixMillis) -> BTreeSet<(UnixMillis, String)> {
    let table = config.table(Generation::default());
    let mut all = BTreeSet::new();
    let ours = ends::certificates(&config.identities, &config.staged);
    all.extend(ours.into_iter().map(|(id, end)| (end, format!("our certificate {id}"))));
    let anchors = ends::anchors(&config.trust).into_iter();
    all.extend(anchors.map(|(id, end)| (end, format!("an anchor of trust {id}"))));
    let lists = ends::lists(&config.trust, now).into_iter();
    all.extend(lists.map(|(id, end)| (end, format!("a revocation list of trust {id}"))));
    let pins = ends::pins(&table, now).into_iter();
    all.extend(pins.map(|one| (one.ends, format!("the last pin of connector {}", one.connector))));
    for one in recorded(&config.data_dir).unwrap_or_default() {
        all.insert((one.until, format!("the override of connector {}", one.connector)));
    }
    for partner in table.partners() {
        all.extend(partner.review.map(|review| (review, format!("the review of partner {}", partner.name))));
    }
    let seen = Partners::recorded(&config.data_dir);
    let names = table.inbound.iter().map(|one| &one.name).chain(table.outbound.iter().map(|one| &one.name));
    for name in names {
        let shown = seen.newest(name).into_iter();
        all.extend(
            shown.map(|(host, one)| (one.not_after, format!("the certificate of {host} (connector {name})"))),
        );
    }
    let until = now.plus(AHEAD);
    all.retain(|(end, _)| *end <= until);
    all
}

/// How far it looks ahead.
const AHEAD: Duration = Duration::from_secs(60 * 24 * 3_600);
