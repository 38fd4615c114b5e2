//! The answer of `GET /connectors`: the connectors, and each partner as one unit with its connectors of both directions.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::alarms::Alarm;
use super::connectors::{ConnectorView, Direction, SeenView, Validation};
use crate::connector::{Generation, Mode, Partner, Table};
use crate::mail::{UnixMillis, rfc3339};

/// The answer of `GET /connectors`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Connectors {
    /// The generation in effect; `None` without a daemon.
    pub generation: Option<Generation>,
    /// The connectors, inbound first, in file order.
    pub connectors: Vec<ConnectorView>,
    /// The partners, by name.
    #[serde(default)]
    pub partners: Vec<PartnerView>,
    /// Since when refusals are counted, in RFC 3339 format; `None` without a daemon.
    #[serde(default)]
    pub refused_since: Option<String>,
    /// Refusals for which no connector was found, by reason.
    #[serde(default)]
    pub refused_by_none: BTreeMap<String, u64>,
    /// The current alarms.
    pub alarms: Vec<Alarm>,
}

/// A partner with both directions.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PartnerView {
    /// Its name.
    pub name: Arc<str>,
    /// Its domains.
    pub domains: Vec<String>,
    /// Whom to ask there.
    pub contact: Option<Arc<str>>,
    /// What our own people should know of it.
    pub note: Option<Arc<str>>,
    /// When it is to be reviewed, in RFC 3339 format.
    pub review: Option<String>,
    /// What it lacks, one sentence each.
    pub lacks: Vec<String>,
    /// The connectors by which its mail comes in.
    pub inbound: Vec<PartnerWay>,
    /// The connectors by which mail to it leaves.
    pub outbound: Vec<PartnerWay>,
}

/// One connector of a partner, and its state.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PartnerWay {
    /// The connector's name.
    pub connector: Arc<str>,
    /// The `tls` value of the configuration.
    #[schema(value_type = String)]
    pub tls: Cow<'static, str>,
    /// Whether its requirement is enforced.
    pub mode: Mode,
    /// What it requires, in words.
    pub requirement: String,
    /// Whether an operator has paused it.
    pub paused: bool,
    /// The newest certificate that each host showed and that met the requirement.
    pub seen: Vec<SeenView>,
    /// How it was last validated.
    pub validated: Option<Validation>,
    /// Recipients that wait in the queue; `None`: not known here.
    pub waiting: Option<u64>,
    /// Refusals since the start, by reason.
    pub refused: BTreeMap<String, u64>,
}

impl PartnerView {
    /// The partners of a table, with what is known of their connectors.
    #[must_use]
    pub fn all(table: &Table, connectors: &[ConnectorView], now: UnixMillis) -> Vec<Self> {
        let one = |partner: &Arc<Partner>| {
            let ways = |direction: Direction| {
                let of_it = connectors.iter().filter(|view| {
                    view.direction == direction && view.partner.as_ref() == Some(&partner.name)
                });
                of_it.map(PartnerWay::of).collect()
            };
            Self {
                name: Arc::clone(&partner.name),
                domains: partner.domains.iter().map(ToString::to_string).collect(),
                contact: partner.contact.clone(),
                note: partner.note.clone(),
                review: partner.review.map(rfc3339),
                lacks: partner.lacks(table, now).iter().map(|lack| lack.words(partner)).collect(),
                inbound: ways(Direction::Inbound),
                outbound: ways(Direction::Outbound),
            }
        };
        table.partners().into_iter().map(one).collect()
    }

    /// Both directions, a sentence each; a direction without a connector is one that it lacks.
    pub fn ways(&self) -> impl Iterator<Item = (Direction, &PartnerWay)> {
        let inbound = self.inbound.iter().map(|way| (Direction::Inbound, way));
        inbound.chain(self.outbound.iter().map(|way| (Direction::Outbound, way)))
    }
}

impl PartnerWay {
    fn of(view: &ConnectorView) -> Self {
        Self {
            connector: Arc::clone(&view.name),
            tls: view.tls.clone(),
            mode: view.mode,
            requirement: view.requirement.clone(),
            paused: view.paused,
            seen: view.seen.clone(),
            validated: view.validated.clone(),
            waiting: view.waiting,
            refused: view.refused.clone(),
        }
    }
}

impl fmt::Display for PartnerWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connector, tls, mode, requirement, .. } = self;
        write!(f, "{connector} (tls {tls}, mode {}", mode.word())?;
        f.write_str(if self.paused { ", paused): " } else { "): " })?;
        f.write_str(requirement)?;
        match self.seen.as_slice() {
            [] => f.write_str("; no certificate seen yet")?,
            seen => {
                for one in seen.iter().take(HOSTS_MAX) {
                    write!(f, "; {} showed one of {} until {}", one.host, one.issuer, one.not_after)?;
                }
                let more = seen.len().saturating_sub(HOSTS_MAX);
                if more > 0 {
                    write!(f, "; {more} more hosts")?;
                }
            }
        }
        if let Some(last) = &self.validated {
            write!(f, "; validated {}: {}", last.at, last.verdict)?;
        }
        if let Some(waiting) = self.waiting.filter(|waiting| *waiting > 0) {
            let noun = if waiting == 1 { "recipient waits" } else { "recipients wait" };
            write!(f, "; {waiting} {noun}")?;
        }
        if !self.refused.is_empty() {
            write!(f, "; refused {}", refusals_in_words(&self.refused))?;
        }
        Ok(())
    }
}

/// Refusals by reason, as the end of a sentence.
#[must_use]
pub fn refusals_in_words(refused: &BTreeMap<String, u64>) -> String {
    refused.iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join(", ")
}

/// Maximum number of hosts named in a line.
const HOSTS_MAX: usize = 5;
