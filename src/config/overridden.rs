//! A configuration under break-glass overrides. Which of them apply is decided by each connector and its floor.

use serde_json::{Value, json};

use super::{Config, view};
use crate::connector::Override;

impl Config {
    /// The configuration with the requirements of these connectors lowered, and the overrides that it does not allow, each
    /// with the reason.
    #[must_use]
    pub fn overridden(&self, overrides: &[Override]) -> (Self, Vec<(Override, String)>) {
        let mut config = self.clone();
        let mut ended = Vec::new();
        for one in overrides {
            if let Err(why) = config.lower(one) {
                ended.push((one.clone(), why));
            }
        }
        (config, ended)
    }

    fn lower(&mut self, one: &Override) -> Result<(), String> {
        let named = |name: &str| *name == *one.connector;
        if let Some(connector) = self.outbound.iter_mut().find(|connector| named(&connector.name)) {
            *connector = connector.lowered(one.level).map_err(|fault| fault.to_string())?;
            let requirement = view::requirement(connector);
            let revision = connector.revision.to_string();
            self.show("outbound", one, &requirement, &revision);
            return Ok(());
        }
        if let Some(connector) = self.inbound.iter_mut().find(|connector| named(&connector.name)) {
            *connector = connector.lowered(one.level).map_err(|fault| fault.to_string())?;
            let requirement = view::inbound_requirement(connector);
            let revision = connector.revision.to_string();
            self.show("inbound", one, &requirement, &revision);
            return Ok(());
        }
        Err("there is no such connector any more".to_owned())
    }

    fn show(&mut self, section: &str, one: &Override, requirement: &str, revision: &str) {
        let entries = self.in_force.get_mut(section).and_then(Value::as_array_mut).into_iter().flatten();
        let named = |entry: &&mut Value| entry.get("name").and_then(Value::as_str) == Some(&*one.connector);
        if let Some(Value::Object(entry)) = entries.into_iter().find(named) {
            entry.insert("requirement".to_owned(), json!(requirement));
            entry.insert("revision".to_owned(), json!(revision));
        }
    }
}
