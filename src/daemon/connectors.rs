//! The connectors as an operator sees them: requirement, lanes, alarms and last validation.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::validated;
use crate::admin::{Alarm, ConnectorView, Connectors, Direction, LanesView, Validation};
use crate::config::Config;
use crate::connector::{Generation, Table};
use crate::scheduler::LaneView;

/// The connectors of a configuration that no daemon has in effect.
#[must_use]
pub fn from_file(config: &Config) -> Connectors {
    let table = Table::new(Generation::default(), config.inbound.clone(), config.outbound.clone());
    let words = Words::of(&config.in_force());
    let connectors = views(&table, &words, &config.data_dir, None, &[]);
    Connectors { generation: None, connectors, alarms: Vec::new() }
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

/// A view of each connector of a table; `lanes` is present only in a running daemon.
pub(super) fn views(
    table: &Table,
    words: &Words,
    data_dir: &Path,
    lanes: Option<&[LaneView]>,
    alarms: &[Alarm],
) -> Vec<ConnectorView> {
    let inbound = table.inbound.iter().map(|c| ConnectorView {
        direction: Direction::Inbound,
        name: Arc::clone(&c.name),
        domains: c.from_domains.iter().map(ToString::to_string).collect(),
        mode: c.mode,
        tls: c.tls.word().into(),
        requirement: words.find(Direction::Inbound, &c.name),
        revision: c.revision.to_string(),
        paused: false,
        lanes: None,
        validated: None,
        validated_to: Vec::new(),
        alarms: Vec::new(),
    });
    let outbound = table.outbound.iter().map(|c| (c, validated(data_dir, &c.name, &c.revision.to_string())));
    let outbound = outbound.map(|(c, (validated, validated_to))| ConnectorView {
        direction: Direction::Outbound,
        name: Arc::clone(&c.name),
        domains: c.domains.iter().map(ToString::to_string).collect(),
        mode: c.mode,
        tls: c.tls_word().into(),
        requirement: words.find(Direction::Outbound, &c.name),
        revision: c.revision.to_string(),
        paused: false,
        lanes: lanes.map(|lanes| count(lanes, &c.name)),
        validated,
        validated_to,
        alarms: alarms
            .iter()
            .filter(|alarm| alarm.connectors.iter().any(|name| **name == *c.name))
            .map(|alarm| alarm.what.clone())
            .collect(),
    });
    inbound.chain(outbound).collect()
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
