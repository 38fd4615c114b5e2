//! `[evidence]`: the keys of the sealed record.

use std::time::Duration;

use super::entry::Entry as _;
use super::key::Section;
use super::kinds::{Flag, Line, Optional, Period};
use super::section::section;
use crate::config::fault::Report;
use crate::retrieve::HttpUrl;
use crate::seal::SealSettings;

section! {
    pub(in crate::config) EvidenceEntry, EvidenceValues;

    enabled: Flag = true => {
        meaning: "Whether the record of events is sealed with signed statements, for `sealpost evidence`.",
        explanation: "There is nothing to seal with `[tracking] enabled = false`. Error: it is true, and that is false.",
    }
    timestamp_url: Optional<Line> = "http://timestamp.contoso.example/" => {
        meaning: "The time-stamping authority (RFC 3161) that is asked for a time stamp on the statement that closes a day.",
        explanation: "Only a hash is sent. While it does not answer, statements wait, up to 366 of them; after a restart, the last 31. \
            What it answers is signed itself, so `http://` it is. Errors: it is no `http://` URL; `enabled` is false.",
    }
    rotate: Period = "1d" => {
        meaning: "How old the key that signs may get; at least a day.",
        explanation: "When a day is closed and the key is older, the key signs the next one and is removed, so that nobody can \
            sign in its name later, whoever takes the machine. Error: shorter than a day.",
    }
}

impl EvidenceValues {
    /// How the record is sealed; `None`: it is not.
    pub(in crate::config) fn settings(&self, site: &str, is_tracked: bool) -> Option<SealSettings> {
        (self.enabled && is_tracked).then(|| SealSettings {
            site: site.to_owned(),
            timestamp_url: self.timestamp_url.as_ref().map(|url| url.get_ref().as_str().into()),
            rotate: self.rotate,
        })
    }

    /// Reports what can never take effect.
    pub(in crate::config) fn settle(
        &self,
        written: &EvidenceEntry,
        is_tracked: bool,
        report: &mut Report<'_>,
    ) {
        if let Some(place) = written.place("enabled").filter(|_| self.enabled && !is_tracked) {
            report.fault(
                place,
                "enabled would be ignored: [tracking] enabled is false, so there is nothing to seal; remove one of them",
            );
        }
        if let Some(url) = &self.timestamp_url {
            if !self.enabled || !is_tracked {
                report.fault_of_key(
                    url.span(),
                    "timestamp_url would be ignored: nothing is sealed; remove it".to_owned(),
                );
            }
            if let Err(fault) = HttpUrl::parse(url.get_ref()) {
                report.fault(url.span(), format!("{}: {fault}", url.get_ref()));
            }
        }
        if let Some(place) = written.place("rotate").filter(|_| self.rotate < DAY) {
            report.fault(place, "rotate is shorter than a day, and the key changes when a day is closed; write \"1d\", or more");
        }
    }
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

pub(super) const SECTION: Section = Section {
    name: "evidence",
    header: "[evidence]",
    sample_header: "[evidence]",
    sample: &[],
    comment: "Whether the record of events is sealed, so that what is altered later is found.",
    intro: "Whether the record of events is sealed, so that what is altered, removed or exchanged later is found. \
        See [Evidence](evidence.md).",
    reload: false,
    keys: EvidenceEntry::KEYS,
};
