//! Tests the running site: its listeners must take no mail in a bound name from whoever is not its owner, and its
//! sender must send nothing to a host that does not meet a forced requirement. No partner is contacted, no message
//! leaves, and no name is looked up: intruders and hostile servers are on this host. It changes nothing, and what it finds
//! is data.

mod doors;
mod evidence;
mod fingerprint;
mod html;
mod inbound;
mod intruder;
mod listener;
mod manner;
mod mint;
mod outbound;
mod sender;
mod server;
mod standing;
mod text;
mod transcript;
mod visit;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Instant;

pub use evidence::{
    Assurance, ConfigFingerprint, DaemonFingerprint, Evidence, EvidenceArea, EvidenceTally, EvidenceVerdict,
};
pub use html::page;
pub use standing::RunningView;
pub use text::text;
pub use visit::{ProbeAnnouncement, ProbeAnnouncer};

use crate::config::Config;
use crate::connector::Override;
use crate::mail::{Clock, rfc3339};

/// The site: its configuration, and what the daemon says.
pub struct TestedSite<'a> {
    /// The configuration as written.
    pub config: &'a Config,
    /// The daemon, or why there is none.
    pub running: Result<RunningView, String>,
    /// The overrides in effect.
    pub overrides: Vec<Override>,
    /// Tells the daemon of each session before it is made.
    pub announcer: ProbeAnnouncer,
}

/// Tests a site.
pub async fn assure(site: TestedSite<'_>) -> Assurance {
    let (began, now) = (Instant::now(), Clock::wall());
    let TestedSite { config, running, overrides, announcer } = site;
    let (in_effect, _) = config.overridden(&overrides);
    let mut evidence =
        standing::standing((config, &in_effect), running.as_ref().map_err(String::as_str), &overrides, now);
    let listening = running.as_ref().map(|one| one.status.listening.clone()).unwrap_or_default();
    let (inbound, outbound) = tokio::join!(
        inbound::inbound(config, &listening, &announcer),
        outbound::outbound(config, &in_effect)
    );
    evidence.extend(inbound.into_iter().chain(outbound));
    evidence.sort_by_key(|one| (one.verdict, one.area));
    Assurance {
        version: env!("CARGO_PKG_VERSION"),
        gateway: config.listen.name.to_string(),
        at: rfc3339(now),
        took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        config: ConfigFingerprint {
            file: config.file.display().to_string(),
            sha256: digest_of(&config.file),
            connectors: fingerprint::digest(&fingerprint::revisions_of(&in_effect)),
        },
        daemon: running.as_ref().ok().map(|running| DaemonFingerprint {
            version: running.status.version.to_string(),
            generation: running.connectors.generation.map(|one| one.0),
            connectors: fingerprint::digest(&fingerprint::revisions_in_effect(&running.connectors)),
        }),
        tally: EvidenceTally::of(&evidence),
        evidence,
    }
}

fn digest_of(file: &Path) -> String {
    std::fs::read(file)
        .map_or_else(|fault| format!("unreadable: {fault}"), |octets| fingerprint::sha256(&octets))
}

impl Assurance {
    /// Adds what turned out after the tests.
    pub fn add(&mut self, evidence: Evidence) {
        self.evidence.push(evidence);
        self.evidence.sort_by_key(|one| (one.verdict, one.area));
        self.tally = EvidenceTally::of(&self.evidence);
    }
}
