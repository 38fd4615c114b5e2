//! Why each of the other connectors was not chosen: for `explain`, not used for mail.

use std::fmt;
use std::sync::Arc;

use super::super::pattern::Specificity;
use super::super::table::{ClientKind, Inbound, Mode, Table};
use super::{Admission, Channel, UnmetCondition, names_peer};
use crate::mail::ReversePath;

/// A connector that was not chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnchosenConnector {
    /// The connector's name.
    pub connector: Arc<str>,
    /// Why it was not chosen.
    pub why: Pass,
}

/// Why an inbound connector was not chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pass {
    /// It does not cover this reverse-path.
    NotCovering,
    /// Its `except_domains` exclude this reverse-path.
    Excepted,
    /// One of its conditions does not hold.
    Unmet(UnmetCondition),
    /// Its conditions hold, but the client is one of our own systems, by this connector.
    OurOwn(Arc<str>),
    /// Its conditions hold, but another connector's pattern is closer.
    Farther(Arc<str>),
    /// Its conditions hold, but an enforced forced connector is binding for the mail.
    Bound(Arc<str>),
    /// Its conditions hold, but another connector comes first in the order of attribution.
    Later(Arc<str>),
}

impl UnchosenConnector {
    /// All connectors of the table except the one chosen, sorted by name.
    #[must_use]
    pub fn all(table: &Table, channel: &Channel, path: &ReversePath, answer: &Admission) -> Vec<Self> {
        let ruling = match answer {
            Admission::Admitted(admitted) => Some(Arc::clone(&admitted.connector.name)),
            Admission::Refused(refused) => refused.decision.connector.clone(),
        };
        let ruling = table.inbound.iter().find(|c| Some(&c.name) == ruling.as_ref());
        let taken = match answer {
            Admission::Admitted(admitted) => Some(&admitted.connector.name),
            Admission::Refused(_) => None,
        };
        let mut all: Vec<Self> = table
            .inbound
            .iter()
            .filter(|c| Some(&c.name) != taken)
            .map(|c| Self { connector: Arc::clone(&c.name), why: why(c, ruling, channel, path) })
            .collect();
        all.sort_by(|a, b| a.connector.cmp(&b.connector));
        all
    }
}

fn why(connector: &Inbound, ruling: Option<&Arc<Inbound>>, channel: &Channel, path: &ReversePath) -> Pass {
    if connector.mode == Mode::Off {
        return Pass::Unmet(UnmetCondition::Off);
    }
    let domain = path.mailbox().and_then(|m| m.domain_name());
    let own = |c: &Inbound| c.kind == ClientKind::Own;
    let close = |c: &Inbound| c.covers(domain);
    let by_peer = |c: &Inbound| path.is_null() && c.forced().is_some() && names_peer(c, channel);
    if !own(connector) && close(connector).is_none() && !by_peer(connector) {
        return if connector.excepts(domain) { Pass::Excepted } else { Pass::NotCovering };
    }
    if let (Some(ruling), None) = (ruling.filter(|c| own(c) && !own(connector)), connector.unmet_by(channel))
    {
        return Pass::OurOwn(Arc::clone(&ruling.name));
    }
    let unmet = connector.unmet_by(channel).map(Pass::Unmet);
    unmet.or_else(|| outranked(connector, ruling?, close, by_peer)).unwrap_or(Pass::NotCovering)
}

/// Why a connector whose conditions hold lost to the one that decided.
fn outranked(
    connector: &Inbound,
    ruling: &Arc<Inbound>,
    close: impl Fn(&Inbound) -> Option<Specificity>,
    by_peer: impl Fn(&Inbound) -> bool,
) -> Option<Pass> {
    let name = Arc::clone(&ruling.name);
    let rank = |c: &Inbound| (by_peer(c), close(c));
    let anybody = |c: &Inbound| !by_peer(c) && close(c) == Some(Specificity::Any);
    Some(match () {
        () if rank(ruling) > rank(connector) => Pass::Farther(name),
        () if ruling.is_enforced() && !connector.is_enforced() && !anybody(ruling) => Pass::Bound(name),
        () => Pass::Later(name),
    })
}

impl Pass {
    /// A stable word for machines.
    #[must_use]
    pub fn token(&self) -> &'static str {
        match self {
            Self::NotCovering => "not-covering",
            Self::Excepted => "excepted-domain",
            Self::OurOwn(_) => "own-first",
            Self::Unmet(unmet) => unmet.token(),
            Self::Farther(_) => "farther",
            Self::Bound(_) => "bound",
            Self::Later(_) => "later",
        }
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCovering => f.write_str("none of its from_domains covers the reverse-path"),
            Self::Excepted => f.write_str("its except_domains exclude the reverse-path"),
            Self::OurOwn(other) => {
                write!(f, "it would hold, but {other} identifies one of our own systems, which come first")
            }
            Self::Unmet(unmet) => unmet.fmt(f),
            Self::Farther(other) => {
                write!(f, "it would hold, but {other} covers the reverse-path more closely")
            }
            Self::Bound(other) => {
                write!(
                    f,
                    "it would hold, but {other} is forced, covers the reverse-path as closely and binds it"
                )
            }
            Self::Later(other) => {
                write!(
                    f,
                    "it would hold, but {other} comes first (certificate, user, network, domain, then name)"
                )
            }
        }
    }
}
