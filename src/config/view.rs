//! What `check --json` shows beyond the declared keys: what follows from several of them together.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::Config;
use crate::connector::{DomainPattern, Forced, Inbound, InboundTls, NextHop, Outbound, Require};

impl Config {
    /// Every value in effect, defaults and inheritance resolved; null where a key does not apply.
    #[must_use]
    pub fn in_force(&self) -> Value {
        self.in_force.clone()
    }
}

/// Adds the paths of `[server]`, as the daemon uses them.
pub(super) fn paths(in_force: &mut Map<String, Value>, data_dir: &Path, control: &Path) {
    if let Some(Value::Object(server)) = in_force.get_mut("server") {
        server.insert("data_dir".to_owned(), json!(data_dir.display().to_string()));
        server.insert("control".to_owned(), json!(control.display().to_string()));
    }
}

/// An inbound connector's keys, with the resulting requirement.
pub(super) fn inbound(mut keys: Map<String, Value>, connector: &Inbound) -> Value {
    if connector.partner.is_some() {
        keys.insert("from_domains".to_owned(), patterns(&connector.from_domains));
    }
    keys.insert("brake".to_owned(), json!(connector.brake));
    keys.insert("echo".to_owned(), json!(connector.uses_echo()));
    keys.insert("requirement".to_owned(), json!(inbound_requirement(connector)));
    keys.insert("revision".to_owned(), json!(connector.revision.to_string()));
    Value::Object(keys)
}

/// An outbound connector's keys, with the resulting requirement.
pub(super) fn outbound(mut keys: Map<String, Value>, connector: &Outbound) -> Value {
    if connector.partner.is_some() {
        keys.insert("domains".to_owned(), patterns(&connector.domains));
    }
    keys.insert("requirement".to_owned(), json!(requirement(connector)));
    keys.insert("revision".to_owned(), json!(connector.revision.to_string()));
    Value::Object(keys)
}

fn patterns(patterns: &[DomainPattern]) -> Value {
    patterns.iter().map(|pattern| json!(pattern.to_string())).collect()
}

/// What connectors take from other sections: where they say nothing themselves, and where the limit for all is lower.
pub(super) fn inherit(in_force: &mut Map<String, Value>) {
    let limits = in_force.get("limits").cloned().unwrap_or_default();
    let name = in_force.get("server").and_then(|server| server.get("name")).cloned().unwrap_or_default();
    let connectors = |section: Option<&mut Value>, lowered: &[(&str, &str)]| {
        for one in
            section.and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
        {
            for (key, general) in lowered {
                let (Some(own), Some(general)) = (one.get_mut(*key), limits.get(general)) else { continue };
                if own.as_u64().is_none_or(|own| general.as_u64().is_some_and(|general| general < own)) {
                    general.clone_into(own);
                }
            }
            if let Some(own) = one.get_mut("ehlo_name").filter(|own| own.is_null()) {
                name.clone_into(own);
            }
        }
    };
    connectors(in_force.get_mut("inbound"), INBOUND_LIMITS);
    connectors(in_force.get_mut("outbound"), OUTBOUND_LIMITS);
}

/// The section that a connector's key takes its value from if it is not written.
pub(super) fn inherited_from(section: &str, key: &str) -> Option<&'static str> {
    let limits = match section {
        "inbound" => INBOUND_LIMITS,
        "outbound" => OUTBOUND_LIMITS,
        _ => return None,
    };
    let is_limit = limits.iter().any(|(own, _)| *own == key);
    match key {
        _ if is_limit => Some("[limits]"),
        "ehlo_name" => Some("[server]"),
        "domains" | "from_domains" => Some("[[partner]]"),
        _ => None,
    }
}

/// Keys of connectors, and those of `[limits]` that hold for all.
const INBOUND_LIMITS: &[(&str, &str)] =
    &[("message_size", "message_size"), ("recipients", "recipients"), ("connections", "connections")];
const OUTBOUND_LIMITS: &[(&str, &str)] = &[
    ("messages_per_connection", "messages_per_connection"),
    ("max_recipients", "recipients_per_transaction"),
];

pub(super) fn inbound_requirement(connector: &Inbound) -> String {
    match &connector.tls {
        InboundTls::Off => "TLS is neither required nor judged".to_owned(),
        InboundTls::Opportunistic => "TLS if the client wishes".to_owned(),
        InboundTls::Forced(forced) => forced.to_string(),
    }
}

/// Like [`Outbound::requirement`], without a particular recipient.
pub(super) fn requirement(connector: &Outbound) -> String {
    let Some(forced) = connector.forced() else { return connector.requirement(None, None).to_string() };
    let Require::Identity { trust, names } = &forced.require else { return forced.to_string() };
    if !names.is_empty() {
        return forced.to_string();
    }
    let name = match &connector.next_hop {
        NextHop::Mx { .. } => "the recipient domain as name",
        NextHop::SmartHosts(_) => "the smart host's own name",
    };
    let chain = Forced { require: Require::Chain { trust: trust.clone() }, ..forced.clone() };
    format!("{chain}, {name}")
}
