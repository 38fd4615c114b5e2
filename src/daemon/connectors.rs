//! The connectors as an operator sees them: requirement, lanes, alarms and last validation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::braking::brake_alarm;
use super::overrides::recorded;
use super::paused::PauseFile;
use super::validated;
use crate::admin::{
    Alarm, BrakeView, ConnectorView, Connectors, Direction, LanesView, PartnerView, SeenView, Validation,
    WaitingByConnector,
};
use crate::config::Config;
use crate::connector::{Generation, Mode, Override, Table};
use crate::listen::RefusalCount;
use crate::mail::{Clock, rfc3339};
use crate::scheduler::LaneView;
use crate::smtp::receive::BrakedConnector;
use crate::tls::{Partners, SeenCertificate};

/// The connectors of a configuration that no daemon has in effect.
#[must_use]
pub fn from_file(config: &Config) -> Connectors {
    let (config, _) = &config.overridden(&recorded(&config.data_dir).unwrap_or_default());
    let table = Table::new(Generation::default(), config.inbound.clone(), config.outbound.clone());
    let words = Words::of(&config.in_force());
    let known = Sighting {
        words: &words,
        data_dir: &config.data_dir,
        queue: None,
        alarms: &[],
        paused: &PauseFile::load(&config.data_dir).map(|file| file.names()).unwrap_or_default(),
        partners: &Partners::recorded(&config.data_dir),
        refused: &[],
        braked: &[],
        overrides: &recorded(&config.data_dir).unwrap_or_default(),
    };
    let connectors = views(&table, &known);
    Connectors {
        generation: None,
        partners: PartnerView::all(&table, &connectors, Clock::wall()),
        connectors,
        refused_since: None,
        refused_by_none: BTreeMap::new(),
        alarms: Vec::new(),
    }
}

/// What each connector requires, in the words of `check`.
#[derive(Debug, Default)]
pub(super) struct Words(BTreeMap<(Direction, String), String>);

impl Words {
    pub(super) fn of(in_force: &Value) -> Self {
        let mut words = BTreeMap::new();
        for (direction, section) in [(Direction::Inbound, "inbound"), (Direction::Outbound, "outbound")] {
            for one in in_force.get(section).and_then(Value::as_array).into_iter().flatten() {
                let text = |key| one.get(key).and_then(Value::as_str).map(str::to_owned);
                if let (Some(name), Some(requirement)) = (text("name"), text("requirement")) {
                    words.insert((direction, name), requirement);
                }
            }
        }
        Self(words)
    }

    pub(super) fn find(&self, direction: Direction, name: &str) -> String {
        self.0.get(&(direction, name.to_owned())).cloned().unwrap_or_default()
    }
}

/// What is known of connectors beside the table.
pub(super) struct Sighting<'a> {
    /// What each requires, in words.
    pub(super) words: &'a Words,
    pub(super) data_dir: &'a Path,
    /// Lanes, and recipients that wait, by connector; only in a running daemon.
    pub(super) queue: Option<(&'a [LaneView], &'a WaitingByConnector)>,
    pub(super) alarms: &'a [Alarm],
    pub(super) paused: &'a BTreeSet<String>,
    /// What partners' hosts showed.
    pub(super) partners: &'a Partners,
    /// Refusals since the start.
    pub(super) refused: &'a [RefusalCount],
    /// Floods that last.
    pub(super) braked: &'a [BrakedConnector],
    /// Overrides in effect.
    pub(super) overrides: &'a [Override],
}

/// A view of each connector of a table, inbound ones first.
pub(super) fn views(table: &Table, known: &Sighting<'_>) -> Vec<ConnectorView> {
    let inbound = table.inbound.iter().map(|c| ConnectorView {
        partner: c.partner.as_ref().map(|partner| Arc::clone(&partner.name)),
        domains: c.from_domains.iter().map(ToString::to_string).collect(),
        mode: c.mode,
        tls: c.tls.word().into(),
        revision: c.revision.to_string(),
        refused: known.refused_by(Some(&c.name)),
        braked: known.braked_of(&c.name).map(|one| BrakeView {
            since: rfc3339(one.trip.since),
            why: one.trip.to_string(),
            last: one.trip.last.clone(),
            refuses: one.refuses,
        }),
        alarms: known.braked_of(&c.name).map(brake_alarm).into_iter().collect(),
        ..known.view(Direction::Inbound, &c.name)
    });
    let outbound = table.outbound.iter().map(|c| {
        let (validated, validated_to) = validated(known.data_dir, &c.name, &c.revision.to_string());
        ConnectorView {
            partner: c.partner.as_ref().map(|partner| Arc::clone(&partner.name)),
            domains: c.domains.iter().map(ToString::to_string).collect(),
            mode: c.mode,
            tls: c.tls_word().into(),
            revision: c.revision.to_string(),
            paused: known.paused.contains(&*c.name),
            lanes: known.queue.map(|(lanes, _)| count(lanes, &c.name)),
            waiting: known.queue.map(|(_, waiting)| waiting.get(&*c.name).copied().unwrap_or_default()),
            validated,
            validated_to,
            alarms: known.alarms_of(&c.name),
            ..known.view(Direction::Outbound, &c.name)
        }
    });
    inbound.chain(outbound).collect()
}

impl Sighting<'_> {
    /// What both directions have alike.
    fn view(&self, direction: Direction, name: &Arc<str>) -> ConnectorView {
        ConnectorView {
            direction,
            name: Arc::clone(name),
            partner: None,
            domains: Vec::new(),
            mode: Mode::default(),
            tls: "".into(),
            requirement: self.words.find(direction, name),
            revision: String::new(),
            paused: false,
            braked: None,
            overridden: self.overrides.iter().find(|one| one.connector == *name).cloned(),
            lanes: None,
            validated: None,
            validated_to: Vec::new(),
            seen: self.partners.newest(name).into_iter().map(seen).collect(),
            waiting: None,
            refused: BTreeMap::new(),
            alarms: Vec::new(),
        }
    }

    fn braked_of(&self, name: &str) -> Option<&BrakedConnector> {
        self.braked.iter().find(|one| *one.name == *name)
    }

    fn alarms_of(&self, name: &str) -> Vec<String> {
        let of_it = self.alarms.iter().filter(|alarm| alarm.connectors.iter().any(|one| *one == *name));
        of_it.map(|alarm| alarm.what.clone()).collect()
    }

    /// The refusals of a connector, or those for which none was found.
    pub(super) fn refused_by(&self, name: Option<&Arc<str>>) -> BTreeMap<String, u64> {
        let of_it = self.refused.iter().filter(|one| one.connector.as_ref() == name);
        of_it.map(|one| (one.reason.to_string(), one.count)).collect()
    }
}

fn seen((host, certificate): (String, SeenCertificate)) -> SeenView {
    let SeenCertificate { sha256, issuer, root, not_after, since } = certificate;
    SeenView { host, issuer, root, not_after: rfc3339(not_after), since: rfc3339(since), sha256 }
}

/// What `validate` found of the connector as it is: without asking for a recipient if it ever did, and for each
/// recipient that it asked for.
fn validated(data_dir: &Path, name: &str, revision: &str) -> (Option<Validation>, Vec<Validation>) {
    let all = validated::read(data_dir, name).into_iter().filter(|found| found.revision == revision);
    let (hosts, addresses): (Vec<_>, Vec<_>) = all.partition(|found| found.to.is_none());
    (hosts.into_iter().next().or_else(|| addresses.first().cloned()), addresses)
}

fn count(lanes: &[LaneView], name: &str) -> LanesView {
    let mut counted = LanesView::default();
    for lane in lanes.iter().filter(|lane| lane.connector.as_deref() == Some(name)) {
        counted.lanes = counted.lanes.saturating_add(1);
        counted.blocked = counted.blocked.saturating_add(usize::from(lane.blocked_until.is_some()));
        counted.messages = counted.messages.saturating_add(lane.waiting).saturating_add(lane.in_flight);
    }
    counted
}
