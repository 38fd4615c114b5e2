//! `[log]`: the keys of the program's own log, not the message tracking log.

use super::entry::Entry as _;
use super::forms::Filter;
use super::key::Section;
use super::kinds::Word;
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
}

impl LogValues {
    pub(in crate::config) fn settings(&self) -> LogSettings {
        LogSettings { format: self.format, level: self.level.clone() }
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
