//! The document as text for a terminal. Pure.

use std::collections::BTreeMap;

use super::evidence::{Assurance, Evidence, EvidenceArea, EvidenceVerdict};

/// The document: what was found in full, and a line for each thing that was tested.
#[must_use]
pub fn text(assurance: &Assurance) -> String {
    let Assurance { version, gateway, at, took_ms, config, daemon, tally, evidence } = assurance;
    let seconds = took_ms.div_euclid(1000);
    let mut lines = vec![
        format!("sealpost {version} assure: {gateway}, {at}"),
        format!("{tally}, in {seconds} s"),
        String::new(),
        format!("configuration  {} (sha256 {})", config.file, config.sha256),
        format!("connectors     {}", config.connectors),
    ];
    lines.push(match daemon {
        Some(daemon) => format!(
            "daemon         version {}, generation {}, connectors {}",
            daemon.version,
            daemon.generation.unwrap_or_default(),
            if daemon.connectors == config.connectors { "the same" } else { &daemon.connectors }
        ),
        None => "daemon         none answered".to_owned(),
    });
    let shown = evidence.iter().filter(|one| {
        matches!(one.verdict, EvidenceVerdict::Finding | EvidenceVerdict::Untested | EvidenceVerdict::Note)
    });
    for one in shown {
        lines.push(String::new());
        lines.push(format!("{}  {}", one.verdict.word(), heading(one)));
        lines.push(format!("  required  {}", one.required));
        lines.push(format!("  done      {}", one.done));
        lines.push(format!("  seen      {}", one.seen));
    }
    // What there is to say of the configuration stands above.
    for area in EvidenceArea::ALL.into_iter().filter(|area| *area != EvidenceArea::Configuration) {
        let subjects = by_subject(evidence, area);
        if subjects.is_empty() {
            continue;
        }
        lines.push(String::new());
        lines.push(area.heading().to_owned());
        let width = subjects.iter().map(|(subject, _)| subject.chars().count()).max().unwrap_or_default();
        lines.extend(
            subjects.iter().map(|(subject, tests)| format!("  {subject:<width$}  {}", summary(tests))),
        );
    }
    lines.join("\n")
}

fn heading(one: &Evidence) -> String {
    format!("{}: {}", one.area.heading(), one.subject)
}

/// The tests of an area, by what they are about.
pub(super) fn by_subject(evidence: &[Evidence], area: EvidenceArea) -> Vec<(&str, Vec<&Evidence>)> {
    let mut subjects: BTreeMap<&str, Vec<&Evidence>> = BTreeMap::new();
    for one in evidence.iter().filter(|one| one.area == area) {
        subjects.entry(&one.subject).or_default().push(one);
    }
    subjects.into_iter().collect()
}

/// How many of the tests held.
pub(super) fn summary(tests: &[&Evidence]) -> String {
    let count = |verdict| tests.iter().filter(|one| one.verdict == verdict).count();
    let counts = [
        (EvidenceVerdict::Finding, "FAILED"),
        (EvidenceVerdict::Untested, "not tested"),
        (EvidenceVerdict::Held, "held"),
        (EvidenceVerdict::Note, "noted"),
    ];
    let words =
        counts.map(|(verdict, word)| (count(verdict), word)).into_iter().filter(|(count, _)| *count > 0);
    words.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}
