//! `[tracking]`: the keys of the tracking store.

use super::entry::Entry as _;
use super::key::Section;
use super::kinds::{Flag, Period, Size};
use super::section::section;
use crate::tracking::TrackingSettings;

section! {
    pub(in crate::config) TrackingEntry, TrackingValues;

    enabled: Flag = true => {
        meaning: "Whether what happens to each message is kept in `data_dir`, for `trace` and `report`.",
        explanation: "The log has the same events. Without the store nothing is known of a message once it has left \
            the queue and its log lines are gone.",
    }
    keep: Period = "90d" => {
        meaning: "How long events are kept. Sums by day, for reports, are kept for 400 days.",
    }
    max_size: Size<u64> = "2GiB" => {
        meaning: "How large the store may get; the oldest events are removed first.",
        explanation: "A message takes about 700 octets. The store takes no part in `free_disk`: it is pruned and \
            stops growing while there is less room than that.",
    }
    subjects: Flag = true => {
        meaning: "Whether the Subject of messages is kept and can be searched for.",
        explanation: "It is decoded and cut after 200 characters.",
    }
}

impl TrackingValues {
    /// Whether the Subject of messages is kept.
    pub(in crate::config) fn keeps_subjects(&self) -> bool {
        self.enabled && self.subjects
    }

    pub(in crate::config) fn settings(&self) -> TrackingSettings {
        TrackingSettings { enabled: self.enabled, keep: self.keep, bytes_max: self.max_size }
    }
}

pub(super) const SECTION: Section = Section {
    name: "tracking",
    header: "[tracking]",
    sample_header: "[tracking]",
    sample: &[],
    comment: "What is kept of each message, for `sealpost trace` and `sealpost report`.",
    intro: "What is kept of each message, for `sealpost trace` and `sealpost report`. See [tracking](tracking.md).",
    reload: false,
    keys: TrackingEntry::KEYS,
};
