//! What the configuration and the daemon say before anything is tested: connectors that enforce nothing, requirements
//! that are lowered, and files that are not what is in effect. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::evidence::{Evidence, EvidenceVerdict};
use super::fingerprint::{Revisions, revisions_in_effect, revisions_of};
use crate::admin::{Connectors, Direction, Status};
use crate::config::Config;
use crate::connector::{Forced, Generation, Mode, Override, PartnerLack};
use crate::mail::{UnixMillis, rfc3339};

/// What the running daemon says.
#[derive(Debug, Clone)]
pub struct RunningView {
    /// Its answer to `GET /status`.
    pub status: Status,
    /// Its answer to `GET /connectors`.
    pub connectors: Connectors,
}

/// What the written configuration, the one under overrides, and the daemon say.
pub(super) fn standing(
    (written, in_effect): (&Config, &Config),
    running: Result<&RunningView, &str>,
    overrides: &[Override],
    now: UnixMillis,
) -> Vec<Evidence> {
    let mut evidence = match running {
        Ok(running) => daemon(in_effect, running),
        Err(why) => vec![Evidence::stated(
            "daemon",
            "it runs",
            format!("no inbound test could be made: {why}"),
            EvidenceVerdict::Finding,
        )],
    };
    evidence.extend(overrides.iter().map(overridden));
    let inbound = written.inbound.iter().map(|one| {
        let words = (Direction::Inbound, &*one.name, one.tls.word());
        connector(words, (one.mode, one.is_enforced()), one.forced())
    });
    let outbound = written.outbound.iter().map(|one| {
        let words = (Direction::Outbound, &*one.name, one.tls_word());
        connector(words, (one.mode, one.is_enforced()), one.forced())
    });
    evidence.extend(inbound.chain(outbound));
    evidence.extend(partners(written, now));
    evidence
}

/// Whether the daemon has in effect what the file says.
fn daemon(in_effect: &Config, running: &RunningView) -> Vec<Evidence> {
    let mut evidence = Vec::new();
    let mut add = |required: &str, seen: String, holds: bool| {
        let verdict = if holds { EvidenceVerdict::Held } else { EvidenceVerdict::Finding };
        evidence.push(Evidence::stated("daemon", required, seen, verdict));
    };
    let version = &running.status.version;
    add(
        "it is of the version that tests",
        format!("it is of version {version}"),
        *version == env!("CARGO_PKG_VERSION"),
    );
    let differing = differing(&revisions_of(in_effect), &revisions_in_effect(&running.connectors));
    let seen = if differing.is_empty() {
        let generation = running.connectors.generation.map(|one| one.0).unwrap_or_default();
        format!("all connectors are those of the file (generation {generation})")
    } else {
        format!("not as in the file: {}; apply it with sealpost reload", differing.join(", "))
    };
    add("its connectors are those of the file", seen, differing.is_empty());
    let closed = closed(in_effect, &running.status.listening);
    let seen = if closed.is_empty() {
        "it listens at all addresses of the file, and at no other".to_owned()
    } else {
        format!("{}; listeners change with a restart", closed.join(", "))
    };
    add("its listeners are those of the file", seen, closed.is_empty());
    let alarms = running.status.alarms.iter().take(ALARMS_MAX);
    evidence.extend(alarms.map(|alarm| {
        Evidence::stated("daemon", "no alarm is in effect", &alarm.what, EvidenceVerdict::Note)
    }));
    evidence
}

/// The connectors that two tables have not alike.
fn differing(file: &Revisions, in_effect: &Revisions) -> Vec<String> {
    let words = |(direction, name): &(Direction, String)| format!("{} {name}", direction.word());
    let changed = file.iter().filter(|(key, revision)| in_effect.get(*key) != Some(*revision));
    let gone = in_effect.keys().filter(|key| !file.contains_key(*key));
    changed.map(|(key, _)| key).chain(gone).map(words).collect()
}

/// The addresses of the file that are not open, and those that are and are not in it. Port 0 stands for any.
fn closed(config: &Config, listening: &[(String, SocketAddr)]) -> Vec<String> {
    let mut open: BTreeMap<&str, Vec<SocketAddr>> = BTreeMap::new();
    listening.iter().for_each(|(name, address)| open.entry(name).or_default().push(*address));
    let mut faults = Vec::new();
    for listener in &config.listen.listeners {
        let here = open.entry(&listener.name).or_default();
        for written in &listener.addresses {
            let same = |one: &SocketAddr| {
                one.ip() == written.ip() && (one.port() == written.port() || written.port() == 0)
            };
            match here.iter().position(same) {
                Some(place) => drop(here.swap_remove(place)),
                None => faults.push(format!("{} does not listen at {written}", listener.name)),
            }
        }
    }
    let more =
        open.iter().flat_map(|(name, rest)| rest.iter().map(move |one| format!("{name} listens at {one}")));
    faults.extend(more);
    faults
}

fn overridden(one: &Override) -> Evidence {
    let (level, until) = (one.level.word(), rfc3339(one.until));
    let seen = format!("overridden: only \"{level}\" until {until}, by {}: {}", one.by, one.reason);
    Evidence::stated(&one.connector, "its requirement is in effect", seen, EvidenceVerdict::Finding)
}

/// Whether a connector enforces what it requires.
fn connector(
    (direction, name, tls): (Direction, &str, &str),
    (mode, is_enforced): (Mode, bool),
    forced: Option<&Forced>,
) -> Evidence {
    let subject = format!("{} {name}", direction.word());
    let required = "it enforces forced TLS";
    let (verdict, seen) = match (mode, forced) {
        (Mode::Audit, _) => {
            let seen = "mode = \"audit\": its requirement is judged and recorded, and not enforced";
            (EvidenceVerdict::Finding, seen.to_owned())
        }
        (Mode::Off, _) => (EvidenceVerdict::Finding, "mode = \"off\": it serves nothing".to_owned()),
        (Mode::Enforce, Some(forced)) if is_enforced => {
            (EvidenceVerdict::Held, format!("enforced: {forced}"))
        }
        (Mode::Enforce, _) => {
            let seen = format!("tls = \"{tls}\": nothing is required, so nothing is tested");
            (EvidenceVerdict::Note, seen)
        }
    };
    Evidence::stated(subject, required, seen, verdict)
}

/// Where a partner is forced, and some of its mail goes by a connector that does not force it.
fn partners(config: &Config, now: UnixMillis) -> Vec<Evidence> {
    let table = config.table(Generation(1));
    let mut evidence = Vec::new();
    for partner in table.partners() {
        for lack in partner.lacks(&table, now) {
            let is_looser = match &lack {
                PartnerLack::OutboundNotForced(_)
                | PartnerLack::InboundNotForced(_)
                | PartnerLack::ServedLooser(_)
                | PartnerLack::AdmittedLooser(_) => true,
                PartnerLack::NoInbound
                | PartnerLack::NoOutbound
                | PartnerLack::Registry(_)
                | PartnerLack::NoApex(_)
                | PartnerLack::NoNextPin(_)
                | PartnerLack::ReviewSoon(_)
                | PartnerLack::ReviewOverdue(_) => false,
            };
            let verdict = if is_looser { EvidenceVerdict::Finding } else { EvidenceVerdict::Note };
            let subject = format!("partner {}", partner.name);
            let required = "all its mail is forced, in both directions";
            evidence.push(Evidence::stated(subject, required, lack.words(partner), verdict));
        }
    }
    evidence
}

const ALARMS_MAX: usize = 20;
