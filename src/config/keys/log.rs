//! `[log]`: the keys of the program's own log, not the message tracking log.

use super::entry::Entry as _;
use super::forms::Filter;
use super::key::Section;
use super::kinds::{Size, Word};
use super::section::section;
use crate::config::{LogFormat, LogSettings};

section! {
    pub(in crate::config) LogEntry, LogValues;

    format: Word<LogFormat> = "text" => {
        meaning: "`text` for people, `json` for machines: one object a line.",
    }
    level: Filter = "info" => {
        meaning: "`error`, `warn`, `info`, `debug`, or a filter by module: `\"info,sealpost::listen=debug\"`.",
    }
    protocol_size: Size<u64> = "256MiB" => {
        meaning: "Maximum size of all files of the protocol log (`protocol_log` of a connector) together.",
        explanation: "The oldest files are removed to stay below it. Nothing is written while the disk has less room than twice \
            `free_disk`. Error: less than 1 MiB.",
    }
}

impl LogValues {
    pub(in crate::config) fn settings(&self) -> LogSettings {
        LogSettings { format: self.format, level: self.level.clone(), protocol_bytes_max: self.protocol_size }
    }
}

pub(super) const SECTION: Section = Section {
    name: "log",
    header: "[log]",
    sample_header: "[log]",
    sample: &[],
    comment: "",
    intro: "",
    reload: false,
    keys: LogEntry::KEYS,
};
