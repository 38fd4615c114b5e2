//! Digests of what was read and of what is in effect, so that a document says what it is about. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::admin::{Connectors, Direction};
use crate::config::Config;

/// The revision of each connector.
pub(super) type Revisions = BTreeMap<(Direction, String), String>;

/// Those of a configuration.
pub(super) fn revisions_of(config: &Config) -> Revisions {
    let inbound = config.inbound.iter().map(|one| ((Direction::Inbound, one.name.to_string()), one.revision));
    let outbound =
        config.outbound.iter().map(|one| ((Direction::Outbound, one.name.to_string()), one.revision));
    inbound.chain(outbound).map(|(key, revision)| (key, revision.to_string())).collect()
}

/// Those that a daemon has in effect.
pub(super) fn revisions_in_effect(connectors: &Connectors) -> Revisions {
    let one =
        |view: &crate::admin::ConnectorView| ((view.direction, view.name.to_string()), view.revision.clone());
    connectors.connectors.iter().map(one).collect()
}

/// One digest of all of them.
pub(super) fn digest(revisions: &Revisions) -> String {
    let mut sum = Sha256::new();
    for ((direction, name), revision) in revisions {
        sum.update(format!("{} {name} {revision}\n", direction.word()));
    }
    hex(&sum.finalize())
}

/// SHA-256 of octets.
pub(super) fn sha256(octets: &[u8]) -> String {
    hex(&Sha256::digest(octets))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        // Writing to a string does not fail.
        let _written = write!(text, "{octet:02x}");
        text
    })
}
